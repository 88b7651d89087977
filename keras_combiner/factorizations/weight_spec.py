"""What plans and summaries learn: declared by them, owned by the layer that uses them."""

from typing import NamedTuple


class WeightSpec(NamedTuple):
    """Declares a weight.

    Attributes:
        shape: tuple of int.
        initializer: str, the name of a Keras initializer.
        trainable: bool, whether gradients train it; otherwise `Factorization.updated_weights` does.
    """

    shape: tuple
    initializer: str = "glorot_uniform"
    trainable: bool = True


def check(specs, weights):
    """Raises a ValueError unless `weights` holds tensors of the shapes that `specs` declare.

    Args:
        specs: dict of str to `WeightSpec`.
        weights: dict of str to tensor.
    """
    for name, spec in specs.items():
        shape = tuple(weights[name].shape) if name in weights else None
        if shape != spec.shape:
            needed = {name: spec.shape for name, spec in specs.items()}
            raise ValueError(
                f"`weights` must hold tensors of these shapes: {needed}. Received: {name!r} "
                + ("missing." if shape is None else f"of shape {shape}.")
            )
