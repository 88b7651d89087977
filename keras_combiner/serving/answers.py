"""The model's rows as the answers of KServe's protocols."""

import numpy as np
from kserve import InferOutput, InferResponse
from kserve.utils.numpy_codec import from_np_dtype
from kserve.utils.utils import generate_uuid


def v1_answer(rows):
    """Makes the body of a V1 answer.

    Args:
        rows: list of dict of str to numpy array or bytes, one a text.

    Returns:
        dict, `{"predictions": [...]}` of what JSON can hold.

    Example:

    >>> v1_answer([{"label": b"tale", "probabilities": np.array([0.25, 0.75])}])
    {'predictions': [{'label': 'tale', 'probabilities': [0.25, 0.75]}]}
    """
    return {"predictions": [{name: _plain(x) for name, x in row.items()} for row in rows]}


def v2_answer(rows, outputs, request, model_name, model_version):
    """Makes a V2 answer, of REST and of gRPC.

    Args:
        rows: list of dict of str to numpy array or bytes, one a text. What has a value a token is
            padded with 0 to the text of most tokens.
        outputs: dict of str to (numpy dtype, shape of a row), the outputs to give.
        request: `kserve.InferRequest` that is answered.
        model_name: str.
        model_version: str.

    Returns:
        `kserve.InferResponse`.
    """
    tensors = []
    for name, (dtype, shape) in outputs.items():
        array = _stacked([row[name] for row in rows], dtype, shape)
        tensors.append(InferOutput(name, list(array.shape), from_np_dtype(array.dtype), array))
    return InferResponse(
        request.id or generate_uuid(),
        model_name,
        tensors,
        model_version=model_version,
        # In gRPC arrays are always sent in binary, and KServe fails where this says so.
        use_binary_outputs=request.use_binary_outputs and not request.from_grpc,
        requested_outputs=request.request_outputs,
    )


def _plain(value):
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value.tolist()


def _stacked(values, dtype, shape):
    """Puts rows into one array; zeros follow those that are shorter than the longest."""
    longest = max((len(x) for x in values), default=0) if None in shape else None
    shape = [longest if x is None else x for x in shape]
    stacked = np.zeros([len(values), *shape], dtype)
    for row, value in zip(stacked, values, strict=True) if shape else ():
        row[: len(value)] = value
    if not shape:
        stacked[:] = values
    return stacked
