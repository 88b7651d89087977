"""The kinds of .tflite file: what a float32 one becomes in 16, 8 or 4 bits."""

import contextlib
import io
import re
import warnings

QUANTIZATIONS = ("float32", "float16", "dynamic_int8", "int8", "int4", "int16x8")
CALIBRATED = ("int8", "int16x8")  # these learn ranges from texts

# Sums over all tokens: 8 bits that span those of a long document are too coarse for a short one.
_KEPT_IN_FLOAT = r"/(pooling|lexical)(_\d+)?/"
_BAG = r"/lexical(_\d+)?/"


def quantize(content, quantization, token_ids, learns_ranges=False):
    """Converts a float32 file to another kind.

    Softmax, layer normalization, pooling and the values of a regression stay in float32 in every
    kind: they are few operations and lose most in integers.

    Args:
        content: bytes of a float32 .tflite file that `use_embedding_lookup` has rewritten.
        quantization: str, one of `QUANTIZATIONS`.
        token_ids: dictionary, name of a signature -> int32 array `[documents, length]`, from which
            the kinds in `CALIBRATED` learn the ranges of activations. Other kinds ignore it.
        learns_ranges: bool, whether the model learned these ranges in training instead, for "int8";
            `content` then holds them.

    Returns:
        bytes of the file.

    Raises:
        ImportError: if ai-edge-quantizer is missing (extra "litert").
    """
    if quantization == "float32":
        return content
    quantizer = import_quantizer()
    ranges = None
    with _without_notes():
        if learns_ranges:
            content, ranges, recipe = _learned(content)
        else:
            recipe = _recipe(quantization, _answering(content))
            if recipe.need_calibration():
                ranges = _ranges(content, recipe, token_ids)
        result = quantizer.Quantizer(content, recipe.get_quantization_recipe()).quantize(
            ranges, enable_progress_bar=False, enable_progress_report=False
        )
    return bytes(result.quantized_model)


def import_quantizer():
    """Returns the module `ai_edge_quantizer.quantizer`, or raises an ImportError."""
    try:
        from ai_edge_quantizer import quantizer
    except ImportError as error:
        raise ImportError(
            "Quantized .tflite files are made with ai-edge-quantizer: pip install "
            "'keras_combiner[litert]'."
        ) from error
    return quantizer


def _recipe(quantization, answering=()):
    """Returns the recipe of a kind: which operations are quantized, and how.

    `answering` are names of operations, as `_answering` returns them.

    In 8 bits one scale is enough for a table. 4 bits need one for each row, and clipping where that
    lowers the error (OCTAV, Sakr et al., ICML 2022). The scales of a bag of tokens, whose rows are
    as short as there are labels, would take more than 4 bits save: it has 8 bits then.
    """
    from ai_edge_quantizer import qtyping, recipe_manager

    operations, granularities = qtyping.TFLOperationName, qtyping.QuantGranularity
    recipe = recipe_manager.RecipeManager()
    table, kernel = operations.EMBEDDING_LOOKUP, operations.FULLY_CONNECTED
    if quantization == "float16":
        for operation in (table, kernel):
            _store_in_float16(recipe, ".*", operation)
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
        _compute_with_integers(recipe, ".*", 8 if quantization == "int8" else 16)
        # The integers of a result span the calibration's answers alone, and are too coarse for
        # numbers around 10,000: the converter puts a regression's mean and scale into this layer.
        for name in answering:
            recipe.add_weight_only_config(f"^{re.escape(name)};$", kernel, num_bits=8)
    recipe.add_quantization_config(
        _KEPT_IN_FLOAT,
        operations.ALL_SUPPORTED,
        algorithm_key=recipe_manager.AlgorithmName.NO_QUANTIZE,
    )
    if quantization == "float16":
        _store_in_float16(recipe, _BAG, table)
    else:
        recipe.add_dynamic_config(_BAG, table, num_bits=8, granularity=granularities.TENSORWISE)
    return recipe


def _store_in_float16(recipe, regex, operation):
    """Adds operations of matching names to a recipe, with weights of 16 bits."""
    from ai_edge_quantizer import recipe_manager

    recipe.add_weight_only_config(
        regex,
        operation,
        num_bits=16,
        algorithm_key=recipe_manager.AlgorithmName.FLOAT_CASTING,
    )


def _answering(content):
    """Returns names of the dense operations that make the outputs of a regression.

    Their results are outputs, or become some by sums and products alone.
    """
    from keras_combiner.export.tflite_editors.flatbuffer import OpCode, op_code, read_model

    model = read_model(content)
    found = []
    for subgraph in model.subgraphs:
        maker = {index: x for x in subgraph.operators for index in x.outputs}
        waiting = [maker[index] for index in subgraph.outputs]
        while waiting:
            operator = waiting.pop()
            if op_code(model, operator) == OpCode.FULLY_CONNECTED:
                found.append(subgraph.tensors[operator.outputs[0]].name.decode())
            elif op_code(model, operator) in (OpCode.ADD, OpCode.MUL):
                waiting += [maker[index] for index in operator.inputs if index in maker]
    return found


def _compute_with_integers(recipe, regex, bits):
    """Adds operations of matching names to a recipe, on integer activations of so many bits."""
    from ai_edge_quantizer import qtyping

    operations = qtyping.TFLOperationName
    integer = [
        operations.FULLY_CONNECTED,
        operations.BATCH_MATMUL,
        operations.RESHAPE,
        operations.TRANSPOSE,
        operations.SELECT_V2,
    ]
    if bits == 8:
        integer.append(operations.GELU)  # has no kernel in 16 bits
    for operation in integer:
        recipe.add_static_config(regex, operation, activation_num_bits=bits, weight_num_bits=8)


def _learned(content):
    """Returns the file without the ranges that it learned, the ranges, and the recipe.

    An operation whose ranges were not learned (training did not reach or does not quantize it)
    computes as in "dynamic_int8".
    """
    from keras_combiner.export.tflite_editors.fake_quant import strip_fake_quant

    content, ranges, integer = strip_fake_quant(content)
    if not ranges:
        raise ValueError(
            "The model has not learned the ranges of its activations yet: `fit` it after "
            "`quantization_aware`, then export it."
        )
    recipe = _recipe("dynamic_int8")
    names = "|".join(map(re.escape, integer))
    _compute_with_integers(recipe, f"^({names});$", 8)
    return content, ranges, recipe


def _ranges(content, recipe, token_ids):
    """Returns the smallest and largest value of every activation over all texts.

    The default, a moving average, would forget the short texts.
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
    """Hides progress bars, and the warning that keeping all activations takes memory."""
    with contextlib.redirect_stderr(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        yield
