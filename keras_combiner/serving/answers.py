"""The model's rows as the answers of KServe's protocols."""

import numpy as np
from kserve import InferOutput, InferResponse
from kserve.errors import InferenceError
from kserve.utils.numpy_codec import from_np_dtype
from kserve.utils.utils import generate_uuid


def check_numbers(rows):
    """Refuses rows that JSON cannot hold, or only as null.

    Args:
        rows: list of dict of str to numpy array or bytes, one a text.

    Raises:
        InferenceError: if a number is NaN or infinite.
    """
    for position, row in enumerate(rows):
        for name, value in row.items():
            if not isinstance(value, bytes) and not np.isfinite(value).all():
                raise InferenceError(
                    f"The model's `{name}` of the text at position {position} is not a finite "
                    "number. Train or export the model again."
                )


def v1_answer(rows):
    """Makes the body of a V1 answer to `instances`.

    Args:
        rows: list of dict of str to numpy array or bytes, one a text.

    Returns:
        dict, `{"predictions": [...]}` of what JSON can hold: an object a text, or, as in TF
        Serving, only the value where the model has one output.

    Example:

    >>> v1_answer([{"label": b"tale", "probabilities": np.array([0.25, 0.75])}])
    {'predictions': [{'label': 'tale', 'probabilities': [0.25, 0.75]}]}
    """
    rows = [{name: _plain(x) for name, x in row.items()} for row in rows]
    return {"predictions": [_only(row) for row in rows]}


def v1_columns(rows, outputs):
    """Makes the body of a V1 answer to `inputs`.

    Args:
        rows: as of `v1_answer`.
        outputs: iterable of str, their names, which no row tells where there is none.

    Returns:
        dict, `{"outputs": {...}}` of a list an output with a value a text, or, as in TF Serving,
        only the list where the model has one output.

    Example:

    >>> v1_columns([{"label": b"tale"}, {"label": b"letter"}], ["label"])
    {'outputs': ['tale', 'letter']}
    """
    columns = {name: [_plain(row[name]) for row in rows] for name in outputs}
    return {"outputs": _only(columns)}


def v2_answer(rows, outputs, request, model_name, model_version):
    """Makes a V2 answer, of REST and of gRPC.

    Args:
        rows: list of dict of str to numpy array or bytes, one a text. What has a value a token is
            padded with 0 to the text of most tokens.
        outputs: dict of str to (numpy dtype, shape of a row), the outputs to return.
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


def _only(named):
    """The value itself where there is one, else all of them by name."""
    return next(iter(named.values())) if len(named) == 1 else named


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
