"""What exports make of the dtypes of a model."""

import tempfile
from pathlib import Path

import keras


def refuse_quantized(classifier, instead):
    """Raises a ValueError for a model that Keras has quantized, whose integers do not convert.

    Args:
        classifier: `keras_combiner.LongDocumentClassifier`.
        instead: str, what to do with the model as it was before.
    """
    modes = {x.quantization_mode for x in classifier._flatten_layers()} - {None}
    if modes:
        raise ValueError(
            f"The model was quantized by `quantize({min(modes)!r})` of Keras, which "
            "export_saved_model takes, and this export does not. Load the model as it was before, "
            f"and {instead}."
        )


def in_float32(classifier, others=("float64", "float16", "bfloat16")):
    """Makes a copy in float32 of a classifier that computes in another dtype.

    LiteRT and ONNX lack most operations in these, and exports promise float32.

    Args:
        classifier: `keras_combiner.LongDocumentClassifier`, not quantized by Keras.
        others: tuple of str, the dtypes that are not kept.

    Returns:
        a classifier of the same class with the same weights, rounded where they were longer; or
        `classifier` itself, if it does not compute in any of `others`.
    """
    # Models have a dtype too, which says nothing of their layers.
    layers = [x for x in classifier._flatten_layers() if not isinstance(x, keras.Model)]
    if all(x.compute_dtype not in others for x in layers if x.weights):
        return classifier
    config = classifier.get_config()
    config["backbone"]["config"]["dtype"] = config["head_dtype"] = "float32"
    copy = type(classifier).from_config(config)
    with tempfile.TemporaryDirectory() as folder:
        # Not one by one: files hold LoRA's additions as part of the weights that they add to.
        weights = Path(folder, "copy.weights.h5")
        classifier.save_weights(weights)
        copy.load_weights(weights)
    return copy
