"""The kinds of .tflite file: what a float32 one becomes in 16, 8 or 4 bits."""

import contextlib
import io
import warnings

QUANTIZATIONS = ("float32", "float16", "dynamic_int8", "int8", "int4", "int16x8")
CALIBRATED = ("int8", "int16x8")  # those that need to see texts

# A sum over the tokens of a document: of a short one, 8 bits that hold a long one's are too few.
_KEPT_IN_FLOAT = r"/pooling(_\d+)?/"


def quantize(content, quantization, token_ids):
    """Makes a file of another kind out of a float32 one.

    Softmax, layer normalization and the pooling stay in float32 in every kind: they are few
    operations, and lose most in integers.

    Args:
        content: bytes of a float32 .tflite file that `read_by_lookup` has gone over.
        quantization: str, one of `QUANTIZATIONS`.
        token_ids: dictionary, name of a signature -> int32 array `[documents, length]`; what the
            kinds in `CALIBRATED` learn the ranges of activations from. Others do not look at it.

    Returns:
        bytes of the file.

    Raises:
        ImportError: if ai-edge-quantizer is missing (extra "litert").
    """
    if quantization == "float32":
        return content
    quantizer = import_quantizer()
    recipe = _recipe(quantization)
    with _without_notes():
        ranges = _ranges(content, recipe, token_ids) if recipe.need_calibration() else None
        result = quantizer.Quantizer(content, recipe.get_quantization_recipe()).quantize(
            ranges, enable_progress_bar=False, enable_progress_report=False
        )
    return bytes(result.quantized_model)


def import_quantizer():
    """Returns the module `ai_edge_quantizer.quantizer`, or says what to install."""
    try:
        from ai_edge_quantizer import quantizer
    except ImportError as error:
        raise ImportError(
            "Quantized .tflite files are made with ai-edge-quantizer: pip install "
            "'keras_combiner[litert]'."
        ) from error
    return quantizer


def _recipe(quantization):
    """What becomes of which operation.

    8 bits hold a table with one scale; 4 bits need one a row, and clipping where that lowers the
    error (OCTAV, Sakr et al., ICML 2022).
    """
    from ai_edge_quantizer import qtyping, recipe_manager

    operations, granularities = qtyping.TFLOperationName, qtyping.QuantGranularity
    recipe = recipe_manager.RecipeManager()
    table, kernel = operations.EMBEDDING_LOOKUP, operations.FULLY_CONNECTED
    if quantization == "float16":
        for operation in (table, kernel):
            recipe.add_weight_only_config(
                ".*",
                operation,
                num_bits=16,
                algorithm_key=recipe_manager.AlgorithmName.FLOAT_CASTING,
            )
    elif quantization == "int4":
        for operation in (table, kernel):
            recipe.add_dynamic_config(
                ".*", operation, num_bits=4, algorithm_key=recipe_manager.AlgorithmName.OCTAV
            )
    else:
        recipe.add_dynamic_config(".*", table, num_bits=8, granularity=granularities.TENSORWISE)
    if quantization == "dynamic_int8":
        recipe.add_dynamic_config(".*", kernel, num_bits=8)
    if quantization in CALIBRATED:
        integer = [
            kernel,
            operations.BATCH_MATMUL,
            operations.RESHAPE,
            operations.TRANSPOSE,
            operations.SELECT_V2,
        ]
        bits = 8
        if quantization == "int16x8":
            bits = 16
        else:
            integer.append(operations.GELU)  # there is no kernel in 16 bits
        for operation in integer:
            recipe.add_static_config(".*", operation, activation_num_bits=bits, weight_num_bits=8)
        recipe.add_quantization_config(
            _KEPT_IN_FLOAT,
            operations.ALL_SUPPORTED,
            algorithm_key=recipe_manager.AlgorithmName.NO_QUANTIZE,
        )
    return recipe


def _ranges(content, recipe, token_ids):
    """Smallest and largest value of every activation over all texts.

    Not a moving average of them, which is the default and forgets the short texts.
    """
    from ai_edge_quantizer import calibrator
    from ai_edge_quantizer.utils import qsv_utils

    inputs = {
        signature: [{"token_ids": row[None]} for row in rows]
        for signature, rows in token_ids.items()
    }
    calibration = calibrator.Calibrator(
        content, num_threads=1, qsv_update_func=qsv_utils.min_max_update
    )
    calibration.calibrate(inputs, recipe)
    return calibration.get_model_qsvs()


@contextlib.contextmanager
def _without_notes():
    """Leaves out progress bars, and the warning that keeping all activations takes memory."""
    with contextlib.redirect_stderr(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        yield
