"""The options of each block of a backbone, of which some may be lists, with one value a block."""

from keras_combiner import factorizations
from keras_combiner.layers.encoder_options import EncoderOptions

_NUMBERS = ("rotary_base", "rotary_scaling_factor")
# Options of a backbone that may be lists.
LISTS = ("factorization", *_NUMBERS)


def options_by_layer(num_layers, options):
    """Returns the options of every block of a stack.

    Args:
        num_layers: int, number of blocks.
        options: dict, arguments of `keras_combiner.layers.CombinerEncoder`. Those in `LISTS` may be
            lists, with one value for each block, from the first to the last.

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
    by_layer = {"factorization": factorizations.by_layer(plans, num_layers)}
    for name in _NUMBERS:
        numbers = options.get(name, getattr(EncoderOptions, name))
        by_layer[name] = _as_list(name, numbers, num_layers)
    return [
        EncoderOptions(**{**options, **{name: values[i] for name, values in by_layer.items()}})
        for i in range(num_layers)
    ]


def _as_list(name, numbers, num_layers):
    if not isinstance(numbers, list | tuple):
        return [numbers] * num_layers
    if len(numbers) != num_layers:
        raise ValueError(
            f"A list as `{name}` must have one number for each layer, {num_layers} in all. "
            f"Received: {len(numbers)}, {list(numbers)!r}. Give as many, or a single number for "
            "all layers."
        )
    return list(numbers)
