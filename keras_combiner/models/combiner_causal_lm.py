"""CombinerCausalLM: which token comes next."""

import numbers
import types

import keras
import numpy as np
from keras import ops

from keras_combiner.backbones.combiner_backbone import check_backbone
from keras_combiner.batches import text_inputs
from keras_combiner.models import fit_arguments
from keras_combiner.models.language_model import LanguageModel, next_tokens


@keras.saving.register_keras_serializable(package="keras_combiner")
class CombinerCausalLM(LanguageModel):
    """Causal language model: logits of the next token at every position, and generated texts.

    A functional `keras.Model` from token ids `[batch, length]` to logits `[batch, length,
    vocabulary]`. The matrix that makes the logits is the token embedding. `fit` and `evaluate` take
    the ids alone; every token's target is the one after it. `generate` decodes one token at a time
    from a cache, at a cost per token that grows more slowly than the length.

    Masking: token id 0 is padding, to the right of a text. Padding is not a target, and is never
    generated.

    Args:
        backbone: `CombinerBackbone`, causal.
        **kwargs: `name` and `trainable`.

    Raises:
        TypeError: if `backbone` is not a `CombinerBackbone`, or for an unknown argument.
        ValueError: if the backbone is not causal.

    Example:

    >>> import numpy as np
    >>> from keras_combiner.models import CombinerBackbone
    >>> backbone = CombinerBackbone.from_size(
    ...     "tiny", vocabulary_size=50, sequence_length=64, use_causal_mask=True
    ... )
    >>> model = CombinerCausalLM(backbone)
    >>> model.compile("adam")
    >>> token_ids = np.random.default_rng(0).integers(1, 50, size=(8, 40))
    >>> _ = model.fit(token_ids, verbose=0)
    >>> tuple(model(token_ids).shape)
    (8, 40, 50)
    >>> [row.shape for row in model.generate([[3, 1, 4], [1]], max_new_tokens=5, seed=0)]
    [(8,), (6,)]

    Reference:
        Radford et al., "Language Models are Unsupervised Multitask Learners", 2019. Tied weights:
        Press and Wolf, "Using the Output Embedding to Improve Language Models", 2017,
        https://arxiv.org/abs/1608.05859.
    """

    def __init__(self, backbone, **kwargs):
        check_backbone(backbone)
        if not backbone.arguments["use_causal_mask"]:
            raise ValueError(
                "A causal language model may not see the future: build the backbone with "
                "use_causal_mask=True, or take CombinerMaskedLM."
            )
        super().__init__(backbone, **kwargs)
        self._forget_compiled()

    def _forget_compiled(self):
        # No dictionary of its own: an export would look through it for what to save.
        self._compiled_generate = types.SimpleNamespace(functions={})

    def quantize(self, *args, **kwargs):
        """As `keras.Model.quantize`."""
        super().quantize(*args, **kwargs)
        self._forget_compiled()  # compiled functions read variables that no longer exist

    def fit(self, x=None, y=None, *args, validation_data=None, **kwargs):
        """As `keras.Model.fit`, on token ids.

        Args:
            x: int array `[sequences, length]`, or a data set of token ids, as a tokenizer of
                `keras_combiner.text` makes them of texts.
            y: int array `[sequences, length]`, 0 where nothing is to be predicted; the next tokens
                of `x` if None.
            *args: as in `keras.Model.fit`.
            validation_data: token ids, or a pair or triple as in `keras.Model.fit`.
            **kwargs: as in `keras.Model.fit`.

        Returns:
            `keras.callbacks.History`.

        Raises:
            TypeError: for texts.
            ValueError: for ids that the vocabulary does not have.
        """
        if validation_data is not None:
            held_out, *targets = fit_arguments.unpacked(validation_data)
            validation_data = (self._learned_from(held_out), *targets)
        return super().fit(
            self._learned_from(x), y, *args, validation_data=validation_data, **kwargs
        )

    def evaluate(self, x=None, y=None, *args, **kwargs):
        """As `keras.Model.evaluate`, on token ids; `x` and `y` as in `fit`."""
        if not fit_arguments.is_validation(kwargs):
            x = self._learned_from(x)
        return super().evaluate(x, y, *args, **kwargs)

    def _learned_from(self, x):
        """Token ids as `_checked_token_ids` returns them; raises a TypeError for texts."""
        if text_inputs.is_text(x):
            raise TypeError(
                f"{type(self).__name__} learns from token ids. Received: texts. Pass the ids that "
                "a tokenizer of keras_combiner.text makes of them: `fit(tokenizer(texts, "
                "sequence_length))`."
            )
        return self._checked_token_ids(x)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """As `keras.Model.compute_loss`; the targets are the next tokens of `x` if `y` is None."""
        y = next_tokens(x) if y is None else y
        return super().compute_loss(x, y, y_pred, sample_weight, training)

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        """As `keras.Model.compute_metrics`, with targets as in `compute_loss`."""
        y = next_tokens(x) if y is None else y
        return super().compute_metrics(x, y, y_pred, sample_weight)

    def initial_cache(self, batch_size, max_length=None):
        """See `CombinerBackbone.initial_cache`."""
        return self.backbone.initial_cache(batch_size, max_length)

    def decode(self, token_ids, cache, position):
        """Computes the logits that follow the next token of every sequence.

        Args:
            token_ids: as in `CombinerBackbone.decode`.
            cache: as in `CombinerBackbone.decode`.
            position: as in `CombinerBackbone.decode`.

        Returns:
            `(logits, cache)`: float32 tensor `[batch, vocabulary]`, and the cache for the next
            step.

        Raises:
            NotImplementedError: if the plan does not decode one token at a time.
            ValueError: if `position` is an int for which the cache has no room.
        """
        vectors, cache = self.backbone.decode(token_ids, cache, position)
        return self.backbone.embedding.token_embedding(vectors, reverse=True), cache

    def generate(
        self, prompt_ids, max_new_tokens, temperature=1.0, top_k=None, seed=None, end_id=None
    ):
        """Continues every prompt, token by token.

        The first call for a number of prompts (and a `top_k`) compiles, on TensorFlow by XLA if the
        model was compiled with `jit_compile=True`; later ones do not, whatever the lengths.

        Args:
            prompt_ids: list of lists (or arrays) of int, at least one token each, none of them 0;
                prompts may differ in length.
            max_new_tokens: int, the most tokens that are added to a prompt. Prompt and new tokens
                together fit into `sequence_length`.
            temperature: float, what the logits are divided by before the softmax that is drawn
                from; 0 takes the most probable token every time.
            top_k: int, number of most probable tokens to draw from, or None for all.
            seed: int, for the same text in every call, or None.
            end_id: int, the token that ends a text, or None.

        Returns:
            A list of int32 arrays, one a prompt: the prompt and what follows, up to and including
            `end_id`.

        Raises:
            NotImplementedError: if the plan does not decode one token at a time.
            ValueError: for an empty prompt, a token that the vocabulary does not have, more tokens
                than `sequence_length`, or a number out of range.
        """
        prompts = self._checked_prompts(prompt_ids)
        _check_options(max_new_tokens, temperature, top_k, seed)
        vocabulary_size = self.backbone.arguments["vocabulary_size"]
        if end_id is not None and not (_is_int(end_id) and 0 < end_id < vocabulary_size):
            raise ValueError(
                f"`end_id` must be an int between 1 and {vocabulary_size - 1}, or None. Received: "
                f"{end_id!r}."
            )
        lengths = np.array([len(prompt) for prompt in prompts], "int32")
        room = self.sequence_length
        if lengths.max() + max_new_tokens > room:
            raise ValueError(
                f"Prompt and new tokens must fit into {room} tokens (sequence_length). Received: a "
                f"prompt of {lengths.max()} and max_new_tokens={max_new_tokens}."
            )
        token_ids = np.zeros((len(prompts), room), "int32")
        for row, prompt in zip(token_ids, prompts, strict=True):
            row[: len(prompt)] = prompt
        # Drawn here, so that the text does not depend on the backend.
        draws = np.random.default_rng(seed).random((len(prompts), room), dtype="float32")
        token_ids = self._generate_function(len(prompts), top_k)(
            token_ids,
            lengths,
            lengths + np.int32(max_new_tokens),
            draws,
            np.float32(temperature),
            np.int32(-1 if end_id is None else end_id),
        )
        rows = ops.convert_to_numpy(token_ids)
        return [row[row != 0] for row in rows]

    def _checked_prompts(self, prompt_ids):
        if prompt_ids is None or isinstance(prompt_ids, (str, bytes)):
            raise ValueError(
                "`prompt_ids` must be a list of prompts, each a list of at least one int: what a "
                f"tokenizer makes of texts. Received: {prompt_ids!r}."
            )
        prompts = [np.asarray(prompt) for prompt in prompt_ids]
        vocabulary_size = self.backbone.arguments["vocabulary_size"]
        for i, prompt in enumerate(prompts):
            if prompt.ndim != 1 or prompt.dtype.kind not in "iu" or not len(prompt):
                raise ValueError(
                    "`prompt_ids` must be a list of prompts, each a list of at least one int. "
                    f"Received: {prompt_ids[i]!r} as prompt {i}."
                )
            if prompt.min() < 1 or prompt.max() >= vocabulary_size:
                raise ValueError(
                    f"Tokens of a prompt must lie between 1 and {vocabulary_size - 1}; 0 is "
                    f"padding. Received: {prompt_ids[i]!r} as prompt {i}."
                )
        if not prompts:
            raise ValueError("There is no prompt to continue: `prompt_ids` is empty.")
        return prompts

    def _generate_function(self, batch_size, top_k):
        """`_generate`, compiled where the backend can, for inputs of one shape."""
        jit_compile = getattr(self, "jit_compile", False) is True
        key = (batch_size, top_k, jit_compile)
        functions = self._compiled_generate.functions
        if key not in functions:
            functions[key] = _compiled(
                self, lambda *inputs: self._generate(*inputs, top_k=top_k), jit_compile
            )
        return functions[key]

    def _generate(self, token_ids, lengths, ends, draws, temperature, end_id, top_k):
        """Fills `token_ids` `[batch, sequence_length]` up from `lengths` to `ends`, int `[batch]`.

        Prompts are read token by token as well, so that texts of unequal length share a batch
        without padding between prompt and continuation.
        """
        token_ids, lengths, ends, draws = map(
            ops.convert_to_tensor, (token_ids, lengths, ends, draws)
        )
        batch_size = token_ids.shape[0]

        def goes_on(position, token_ids, cache, finished):
            last = ops.max(ends) - 1
            return ops.logical_and(position < last, ops.logical_not(ops.all(finished)))

        def step(position, token_ids, cache, finished):
            logits, cache = self.decode(ops.take(token_ids, position, axis=1), cache, position)
            drawn = _draw(logits, ops.take(draws, position, axis=1), temperature, top_k)
            position = position + 1
            given = ops.take(token_ids, position, axis=1)
            is_new = ops.logical_and(position >= lengths, position < ends)
            is_new = ops.logical_and(is_new, ops.logical_not(finished))
            token = ops.where(is_new, drawn, given)
            token_ids = ops.slice_update(
                token_ids, [ops.zeros((), "int32"), position], ops.expand_dims(token, 1)
            )
            ended = ops.logical_and(is_new, ops.equal(token, end_id))
            return position, token_ids, cache, ops.logical_or(finished, ended)

        state = (
            ops.zeros((), "int32"),
            token_ids,
            self.initial_cache(batch_size),
            ops.zeros((batch_size,), "bool"),
        )
        return ops.while_loop(goes_on, step, state)[1]


def _is_int(x):
    return isinstance(x, numbers.Integral) and not isinstance(x, bool)


def _check_options(max_new_tokens, temperature, top_k, seed):
    if not (_is_int(max_new_tokens) and max_new_tokens >= 1):
        raise ValueError(
            f"`max_new_tokens` must be an int of at least 1. Received: {max_new_tokens!r}."
        )
    if not (isinstance(temperature, numbers.Real) and temperature >= 0):
        raise ValueError(
            f"`temperature` must be a number of at least 0. Received: {temperature!r}."
        )
    if top_k is not None and not (_is_int(top_k) and top_k >= 1):
        raise ValueError(f"`top_k` must be an int of at least 1, or None. Received: {top_k!r}.")
    if seed is not None and not (_is_int(seed) and seed >= 0):
        raise ValueError(f"`seed` must be an int of at least 0, or None. Received: {seed!r}.")


def _draw(logits, draws, temperature, top_k):
    """Token ids `[batch]`, drawn out of softmax(logits / temperature) by inverting its sum.

    Args:
        logits: float32 tensor `[batch, vocabulary]`.
        draws: float32 tensor `[batch]`, uniform in [0, 1).
        temperature: float32 scalar; 0 takes the maximum.
        top_k: int, how many of the largest logits to draw from, or None for all.

    Returns:
        int32 tensor `[batch]`. Token 0, which is padding, is never drawn.
    """
    logits = logits[:, 1:]
    logits = logits - ops.max(logits, axis=1, keepdims=True)
    weights = ops.exp(logits / ops.maximum(temperature, 1e-6))  # near 0 the likeliest is left
    if top_k is not None and top_k < logits.shape[1]:
        smallest = ops.top_k(logits, top_k)[0][:, -1:]
        weights = ops.where(logits >= smallest, weights, 0.0)
    sums = ops.cumsum(weights, axis=1)
    chosen = ops.expand_dims(draws, 1) * sums[:, -1:]
    return 1 + ops.sum(ops.cast(sums <= chosen, "int32"), axis=1)


def _compiled(model, function, jit_compile):
    """`function` of arrays, compiled for the backend; `model` owns the variables that it reads.

    On TensorFlow by XLA if `jit_compile`, else as a graph; on PyTorch not at all.
    """
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        return tf.function(function, jit_compile=jit_compile, autograph=False)
    if backend == "jax":
        import jax

        @jax.jit
        def stateless(values, *inputs):
            mapping = zip(model.variables, values, strict=True)
            with keras.StatelessScope(state_mapping=mapping):
                return function(*inputs)

        return lambda *inputs: stateless([x.value for x in model.variables], *inputs)

    import torch

    return torch.no_grad()(function)
