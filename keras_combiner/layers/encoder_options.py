"""EncoderOptions: the options of a transformer block, passed down as one object."""

import dataclasses
from collections.abc import Callable

import keras

from keras_combiner import factorizations
from keras_combiner.factorizations import summaries
from keras_combiner.factorizations.factorization import check_locality
from keras_combiner.layers import normalization
from keras_combiner.layers.combiner_attention import check_heads


@dataclasses.dataclass(frozen=True)
class EncoderOptions:
    """The arguments of `CombinerEncoder`, which documents them, checked.

    A `CombinerBackbone` passes one of these to each of its blocks; a block passes the part for
    attention to its `CombinerAttention`.

    Raises:
        ValueError: for arguments that no block can be built with.

    Example:

    >>> options = EncoderOptions(num_heads=4, intermediate_dim=64, block_size=16)
    >>> options.for_attention()["block_size"], options.get_config()["activation"]
    (16, 'gelu')
    """

    num_heads: int
    intermediate_dim: int
    key_dim: int | None = None
    dropout: float = 0.0
    activation: str | Callable = "gelu"
    normalize_first: bool = True
    layer_norm_epsilon: float = 1e-5
    use_causal_mask: bool = False
    factorization: str | factorizations.Factorization = "fixed"
    block_size: int = 64
    summary: str = "variational"
    num_key_value_heads: int | None = None
    rotary: bool = False
    rotary_base: float = 10000.0
    remat: bool = False
    kernel_initializer: str | dict | keras.Initializer = "glorot_uniform"
    bias_initializer: str | dict | keras.Initializer = "zeros"
    kernel_regularizer: keras.Regularizer | None = None
    bias_regularizer: keras.Regularizer | None = None
    locality: float = 0.0
    use_bias: bool = True
    use_gated_activation: bool = False
    normalization: str = "layer_norm"
    use_attention_norm: bool = True
    rotary_scaling_factor: float = 1.0

    def __post_init__(self):
        for name in ("num_heads", "intermediate_dim"):
            size = getattr(self, name)
            if not isinstance(size, int) or size < 1:
                raise ValueError(f"`{name}` must be an int of at least 1. Received: {size!r}.")
        resolved = {
            "activation": keras.activations.get(self.activation),
            "factorization": factorizations.deserialize(self.factorization),
            "kernel_regularizer": keras.regularizers.get(self.kernel_regularizer),
            "bias_regularizer": keras.regularizers.get(self.bias_regularizer),
        }
        for name, value in resolved.items():
            object.__setattr__(self, name, value)
        factorizations.get(self.factorization, self.block_size)  # refuses a wrong block size
        summaries.check(self.summary)
        normalization.check(self.normalization)
        check_locality(self.locality, self.num_heads)
        check_heads(self.num_heads, self.num_key_value_heads)

    @classmethod
    def names(cls):
        """Returns the names of the arguments, a list of str."""
        return [field.name for field in dataclasses.fields(cls)]

    def arguments(self):
        """Returns the arguments of `CombinerEncoder`, a dictionary."""
        return {name: getattr(self, name) for name in self.names()}

    def for_attention(self):
        """Returns what `CombinerAttention` takes of them besides `key_dim`, a dictionary."""
        return {
            "num_heads": self.num_heads,
            "dropout": self.dropout,
            "factorization": self.factorization,
            "block_size": self.block_size,
            "summary": self.summary,
            "locality": self.locality,
            "num_key_value_heads": self.num_key_value_heads,
            "rotary": self.rotary,
            "rotary_base": self.rotary_base,
            "rotary_scaling_factor": self.rotary_scaling_factor,
            "use_bias": self.use_bias,
            **self.for_weights(),
        }

    def for_weights(self):
        """Returns what every layer with a kernel and a bias takes of them, a dictionary."""
        return {
            "kernel_initializer": _own(self.kernel_initializer),
            "bias_initializer": _own(self.bias_initializer),
            "kernel_regularizer": self.kernel_regularizer,
            "bias_regularizer": self.bias_regularizer,
        }

    def get_config(self):
        """Returns the arguments as a dictionary that JSON can hold."""
        return {
            **self.arguments(),
            "activation": keras.activations.serialize(self.activation),
            "factorization": factorizations.serialize(self.factorization),
            "kernel_initializer": _serialized(self.kernel_initializer),
            "bias_initializer": _serialized(self.bias_initializer),
            "kernel_regularizer": keras.regularizers.serialize(self.kernel_regularizer),
            "bias_regularizer": keras.regularizers.serialize(self.bias_regularizer),
        }


def _own(initializer):
    """An initializer of its own for a layer: one that is used twice draws the same numbers."""
    return initializer.clone() if isinstance(initializer, keras.Initializer) else initializer


def _serialized(initializer):
    # A name stays one: to make an initializer of it would draw a seed.
    if isinstance(initializer, (str, dict)):
        return initializer
    return keras.initializers.serialize(initializer)
