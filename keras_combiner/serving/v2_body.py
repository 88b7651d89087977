"""The body of a V2 request over REST: JSON, and perhaps tensors in binary after it."""

import struct

from kserve import InferRequest
from kserve.protocol.infer_type import deserialize_bytes_tensor
from kserve.protocol.rest.v2_datamodels import InferenceRequest
from pydantic import ValidationError

from keras_combiner.serving.errors import InvalidInput, shown
from keras_combiner.serving.strict_json import read_json

V2_FORM = '{"inputs": [{"name": "text", "datatype": "BYTES", "shape": [1], "data": ["a text"]}]}'
# Validation has a record of every mistake, and a body of some megabytes may hold millions.
MOST_PARTS = 16
# KServe's own client repeats the model's name in the body.
_FIELDS = ("id", "model_name", "parameters", "inputs", "outputs")
_TENSOR_FIELDS = {
    "inputs": ("name", "shape", "datatype", "parameters", "data"),
    "outputs": ("name", "parameters"),
}


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
        InvalidInput: if the body is not a V2 request.

    Example:

    >>> body = b'{"inputs": [{"name": "a", "datatype": "BYTES", "shape": [1], "data": ["b"]}]}'
    >>> read_v2_body(body, len(body), "my_model").inputs[0].data
    ['b']
    """
    if json_length > len(body):
        raise InvalidInput(
            f"Expected JSON of {json_length} bytes, as its header says. Received {len(body)} bytes."
        )
    fields = read_json(body[:json_length], V2_FORM)
    _check_fields(fields, model_name)
    _take_binary(fields, memoryview(body)[json_length:])
    try:
        request = InferenceRequest.model_validate(fields)
    except ValidationError as error:
        said = [f"{'.'.join(map(str, x['loc']))}: {x['msg']}" for x in error.errors()[:3]]
        raise InvalidInput(f"Expected {V2_FORM}. {'; '.join(said)}.") from error
    return InferRequest.from_inference_request(request, model_name)


def _check_fields(fields, model_name):
    """Refuses what no request has, and what would be taken for something else or left out."""
    if not isinstance(fields, dict):
        raise InvalidInput(f"Expected {V2_FORM}. Received: {shown(fields)}.")
    tensors = []
    for name, known in _TENSOR_FIELDS.items():
        value = _few(fields.get(name), name)
        found = [x for x in value if isinstance(x, dict)] if isinstance(value, list) else []
        for tensor in found:
            _few(tensor, name)
            _check_known(tensor, known, f"`{name}`")
        tensors += found
    for part in (fields, *tensors):
        for name in ("shape", "parameters"):
            _few(part.get(name), name)
        shape = part.get("shape")
        if isinstance(shape, list) and any(type(x) is not int for x in shape):
            raise InvalidInput(f"Expected integers as `shape`. Received: {str(shape)[:80]}.")
    _check_known(fields, _FIELDS, "a request")
    if fields.get("model_name", model_name) != model_name:
        raise InvalidInput(
            f"Expected the model of the address, {model_name}, as `model_name`, or none. "
            f"Received: {shown(fields['model_name'])}."
        )


def _check_known(part, known, where):
    unknown = [x for x in part if x not in known]
    if unknown:
        raise InvalidInput(
            f"Expected in {where} the fields {', '.join(known)} only. Received: "
            f"{shown(dict.fromkeys(unknown))}."
        )


def _few(value, name):
    if isinstance(value, (list, dict)) and len(value) > MOST_PARTS:
        raise InvalidInput(
            f"Expected at most {MOST_PARTS} parts in `{name}`, as in {V2_FORM}. Received: "
            f"{len(value)}."
        )
    return value


def _take_binary(fields, binary):
    """Puts the tensors after the JSON into its inputs, as their `data`."""
    inputs = fields.get("inputs")
    for tensor in inputs if isinstance(inputs, list) else ():
        parameters = tensor.get("parameters") if isinstance(tensor, dict) else None
        size = parameters.get("binary_data_size") if isinstance(parameters, dict) else None
        if size is None:
            continue
        if "data" in tensor:
            raise InvalidInput(
                "Expected either `data` or, with `binary_data_size`, bytes after the JSON. "
                f"Received both for {shown(tensor.get('name'))}."
            )
        if type(size) is not int or not 0 <= size <= len(binary):
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
                "Expected texts in binary, each after its length in 4 bytes, little-endian. "
                f"Received {size} bytes that end within one."
            ) from error
        binary = binary[size:]
    if binary:
        raise InvalidInput(
            f"Expected a `binary_data_size` for all bytes after the JSON. Received {len(binary)} "
            "more."
        )
