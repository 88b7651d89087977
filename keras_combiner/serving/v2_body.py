"""The body of a V2 request over REST: JSON, and perhaps tensors in binary behind it."""

import struct

import orjson
from kserve import InferRequest
from kserve.protocol.infer_type import deserialize_bytes_tensor
from kserve.protocol.rest.v2_datamodels import InferenceRequest
from pydantic import ValidationError

from keras_combiner.serving.errors import InvalidInput, shown

V2_FORM = '{"inputs": [{"name": "text", "datatype": "BYTES", "shape": [1], "data": ["a text"]}]}'
# Validation has a record of every mistake, and a body of some megabytes may hold millions.
MOST_PARTS = 16


def read_v2_body(body, json_length, model_name):
    """Reads a body.

    Args:
        body: bytes.
        json_length: int, how many of them are JSON; tensors of BYTES follow, which the
            `binary_data_size` of their parameters measures.
        model_name: str.

    Returns:
        `kserve.InferRequest`, its texts as str, or as bytes where they came in binary.

    Raises:
        InvalidInput: if the body is no V2 request.

    Example:

    >>> body = b'{"inputs": [{"name": "a", "datatype": "BYTES", "shape": [1], "data": ["b"]}]}'
    >>> read_v2_body(body, len(body), "my_model").inputs[0].data
    ['b']
    """
    try:
        fields = orjson.loads(body[:json_length])
        _check_sizes(fields)
        _take_binary(fields, memoryview(body)[json_length:])
        request = InferenceRequest.model_validate(fields)
    except orjson.JSONDecodeError as error:
        raise InvalidInput(f"Expected {V2_FORM}. Received no JSON: {error}.") from error
    except ValidationError as error:
        said = [f"{'.'.join(map(str, x['loc']))}: {x['msg']}" for x in error.errors()[:3]]
        raise InvalidInput(f"Expected {V2_FORM}. {'; '.join(said)}.") from error
    return InferRequest.from_inference_request(request, model_name)


def _check_sizes(fields):
    """Refuses what is no object, or has more parts than any request needs."""
    if not isinstance(fields, dict):
        raise InvalidInput(f"Expected {V2_FORM}. Received: {shown(fields)}.")
    tensors = []
    for name in ("inputs", "outputs"):
        value = _few(fields.get(name), name)
        tensors += [x for x in value if isinstance(x, dict)] if isinstance(value, list) else []
    for part in (fields, *tensors):
        for name in ("shape", "parameters"):
            _few(part.get(name), name)


def _few(value, name):
    if isinstance(value, (list, dict)) and len(value) > MOST_PARTS:
        raise InvalidInput(
            f"Expected at most {MOST_PARTS} parts in `{name}`, as in {V2_FORM}. Received: "
            f"{len(value)}."
        )
    return value


def _take_binary(fields, binary):
    """Puts the tensors behind the JSON into its inputs, as their `data`."""
    inputs = fields.get("inputs")
    for tensor in inputs if isinstance(inputs, list) else ():
        parameters = tensor.get("parameters") if isinstance(tensor, dict) else None
        size = parameters.get("binary_data_size") if isinstance(parameters, dict) else None
        if size is None or "data" in tensor:
            continue
        if not isinstance(size, int) or not 0 <= size <= len(binary):
            raise InvalidInput(
                f"Expected as `binary_data_size` how many bytes follow the JSON. Received: "
                f"{shown(size)}, and {len(binary)} bytes."
            )
        if tensor.get("datatype") != "BYTES":
            raise InvalidInput(
                f"Expected the datatype BYTES. Received: {shown(tensor.get('datatype'))}."
            )
        try:
            tensor["data"] = deserialize_bytes_tensor(bytes(binary[:size])).tolist()
        except struct.error as error:
            raise InvalidInput(
                "Expected texts in binary, each behind its length in 4 bytes, the least first. "
                f"Received {size} bytes that end within one."
            ) from error
        binary = binary[size:]
