"""The weights of a model that hold nearly all of its numbers: kernels and embedding tables."""

import keras


def kernels(model):
    """Finds the kernels of all dense layers, attention's projections among them.

    Args:
        model: `keras.Model`.

    Returns:
        A dictionary, path (str) -> `(weight, inputs)`: the `keras.Variable`, and the number (int)
        of its first dimensions that the product sums over. A kernel `[4, 2, 8]` with two of them is
        a matrix from 8 numbers to 8.
    """
    found = {}
    for layer in model._flatten_layers():
        if isinstance(layer, (keras.layers.Dense, keras.layers.EinsumDense)):
            refuse_changed(layer)
            kernel = layer.kernel
            found[kernel.path] = kernel, summed_dimensions(layer)
    return found


def tables(model):
    """Finds the tables of tokens and positions, and that of the bag of tokens, if there is one.

    Args:
        model: `keras.Model`.

    Returns:
        A dictionary, path (str) -> `keras.Variable` `[rows, features]`.
    """
    return {x.path: x for x in model.weights if x.path.endswith("embeddings")}


def summed_dimensions(layer):
    """Number of first dimensions of a dense layer's kernel that its product sums over."""
    if isinstance(layer, keras.layers.Dense):
        return 1
    inputs, kernel = layer.equation.split("->")[0].split(",")
    return sum(axis in inputs for axis in kernel)


def refuse_changed(layer):
    """Raises a ValueError for a layer whose kernel is not a plain one."""
    if layer.quantization_mode is not None or getattr(layer, "lora_enabled", False):
        raise ValueError(
            f"The kernel of {layer.path!r} is quantized by Keras, or has LoRA's addition. Start "
            "from the model as it was before `quantize` or `enable_lora`."
        )


def refuse_empty(found):
    """Raises a ValueError if there is no weight to work on."""
    if not found:
        raise ValueError(
            "The model has no kernel and no embedding table yet. Build it before `fit`, by calling "
            "it on data or by giving it an Input."
        )
