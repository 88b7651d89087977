"""The options of each block of a backbone, of which some may be lists, with one value a block."""

from keras_combiner import factorizations
from keras_combiner.layers.encoder_options import EncoderOptions

# Options of a backbone that may be lists.
LISTS = ("factorization", "rotary_base")


def options_by_layer(num_layers, options):
    """Returns the options of every block of a stack.

    Args:
        num_layers: int, number of blocks.
        options: dict, arguments of `keras_combiner.layers.CombinerEncoder`. `factorization` and
            `rotary_base` may be lists, with one value for each block, from the first to the last.

    Returns:
        list of `num_layers` `EncoderOptions`.

    Raises:
        ValueError: for a list of another length, and for what a block refuses.

    Example:

    >>> first, second = options_by_layer(
    ...     2, {"num_heads": 2, "intermediate_dim": 8, "rotary_base": [160000.0, 10000.0]}
    ... )
    >>> first.rotary_base, second.rotary_base
    (160000.0, 10000.0)
    """
    plans = options.get("factorization", EncoderOptions.factorization)
    bases = options.get("rotary_base", EncoderOptions.rotary_base)
    if not isinstance(bases, list | tuple):
        bases = [bases] * num_layers
    elif len(bases) != num_layers:
        raise ValueError(
            f"A list as `rotary_base` must have one number for each layer, {num_layers} in all. "
            f"Received: {len(bases)}, {list(bases)!r}. Give as many, or a single number for all "
            "layers."
        )
    return [
        EncoderOptions(**{**options, "factorization": plan, "rotary_base": base})
        for plan, base in zip(factorizations.by_layer(plans, num_layers), bases, strict=True)
    ]
