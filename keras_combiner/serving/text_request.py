"""What a request asks, read from KServe's V1 and V2 forms of it."""

import base64
import binascii
import dataclasses
import math
import struct

from kserve import InferRequest
from kserve.protocol.infer_type import to_http_parameters

from keras_combiner.serving.errors import InvalidInput, shown
from keras_combiner.serving.served_version import DEFAULT_SIGNATURE, INPUT
from keras_combiner.serving.v1_request import V1Request
from keras_combiner.serving.v2_body import V2_FORM

V1_FORM = '{"instances": ["a text", ...]}'
_COLUMNS_FORM = '{"inputs": ["a text", ...]} or {"inputs": {"text": ["a text", ...]}}'
_V1_FIELDS = ("instances", "inputs", "signature_name")
_ELEMENT = 'a text as "...", or {"b64": "..."} for bytes in base64'
_INSTANCE = 'a text as "...", {"text": "..."}, or {"b64": "..."} for bytes in base64'
# What a V2 request may have for parameters, and of which type. The sizes are read elsewhere.
_V2_PARAMETERS = {
    "a request": {"signature_name": str, "binary_data_output": bool},
    "an input": {"binary_data_size": int},
    "an output": {"binary_data": bool},
}
_KINDS = {str: "a string", bool: "true or false", int: "an integer"}


@dataclasses.dataclass(frozen=True)
class TextRequest:
    """Texts to answer, and by what.

    Attributes:
        texts: list of bytes.
        signature: str, the SavedModel's signature.
        outputs: list of str, the outputs that are asked for; None for all.
        version: str, the version that is asked for; None for the newest.
        label: str, the label of that version; None if there is none.
        in_columns: bool, whether V1's answer has a list an output, and not an object a text.
    """

    texts: list
    signature: str = DEFAULT_SIGNATURE
    outputs: list = None
    version: str = None
    label: str = None
    in_columns: bool = False

    @classmethod
    def read(cls, payload):
        """Reads what KServe hands to a model.

        Args:
            payload: `V1Request`, or only its fields; for V2 `kserve.InferRequest`.

        Returns:
            `TextRequest`.

        Raises:
            InvalidInput: if it is not a request, with what was expected and what was received.

        Example:

        >>> TextRequest.read({"instances": ["a text", {"text": "another"}]}).texts
        [b'a text', b'another']
        """
        if isinstance(payload, InferRequest):
            return cls(*_from_v2(payload), version=payload.model_version or None)
        if not isinstance(payload, V1Request):
            payload = V1Request(payload)
        return cls(
            *_from_v1(payload.fields),
            version=payload.version,
            label=payload.label,
            in_columns="inputs" in payload.fields,
        )


def _from_v1(payload):
    if not isinstance(payload, dict) or not {"instances", "inputs"} & set(payload):
        raise InvalidInput(f"Expected {V1_FORM}, or {_COLUMNS_FORM}. Received: {shown(payload)}.")
    unknown = [x for x in payload if x not in _V1_FIELDS]
    if unknown:
        raise InvalidInput(
            f"Expected the fields {', '.join(_V1_FIELDS)} only. Received: "
            f"{shown(dict.fromkeys(unknown))}."
        )
    if "instances" in payload and "inputs" in payload:
        raise InvalidInput(
            "Expected either `instances`, an object or text each, or `inputs`, a list of texts. "
            "Received: both."
        )
    name = "inputs" if "inputs" in payload else "instances"
    column = _column(payload["inputs"]) if name == "inputs" else payload["instances"]
    if not isinstance(column, list):
        form = _COLUMNS_FORM if name == "inputs" else V1_FORM
        raise InvalidInput(f"Expected {form}. Received: {shown(column)} as `{name}`.")
    read = _from_element if name == "inputs" else _from_instance
    texts = [read(x, i) for i, x in enumerate(column)]
    return texts, _checked_signature(payload.get("signature_name"))


def _column(inputs):
    """The list in `inputs`, which is named or not."""
    if not isinstance(inputs, dict) or set(inputs) == {"b64"}:
        return inputs
    if set(inputs) != {INPUT}:
        raise InvalidInput(
            f"Expected the input `{INPUT}` only, as in {_COLUMNS_FORM}. Received: {shown(inputs)}."
        )
    return inputs[INPUT]


def _from_instance(instance, position):
    value = instance
    if isinstance(value, dict) and set(value) == {INPUT}:
        value = value[INPUT]
    return _from_value(value, position, instance, f"each instance to be {_INSTANCE}")


def _from_element(element, position):
    return _from_value(element, position, element, f"each text of `inputs` to be {_ELEMENT}")


def _from_value(value, position, received, expected):
    if isinstance(value, str):
        return _utf8(value, position)
    if isinstance(value, dict) and set(value) == {"b64"} and isinstance(value["b64"], str):
        try:
            return base64.b64decode(value["b64"], validate=True)
        except (binascii.Error, ValueError) as error:
            raise InvalidInput(
                f"Expected base64 in the `b64` at position {position}. Received what cannot be "
                f"decoded: {error}."
            ) from error
    raise InvalidInput(f"Expected {expected}. Received at position {position}: {shown(received)}.")


def _from_v2(payload):
    tensors = payload.inputs
    if len(tensors) != 1 or tensors[0].name != INPUT or tensors[0].datatype != "BYTES":
        received = [f"{x.name[:40]!r} of datatype {x.datatype[:20]}" for x in tensors[:3]]
        raise InvalidInput(
            f"Expected one input, `{INPUT}` of datatype BYTES, as in {V2_FORM}. Received: "
            f"{', '.join(received) or 'none'}{' and more' if len(tensors) > 3 else ''}."
        )
    texts = [
        x if isinstance(x, bytes) else _utf8(x, i) for i, x in enumerate(_elements(tensors[0]))
    ]
    parameters = _checked_parameters(payload.parameters, "a request")
    _checked_parameters(tensors[0].parameters, "an input")
    outputs = None
    if payload.request_outputs:
        outputs = [x.name for x in payload.request_outputs]
        for output in payload.request_outputs:
            _checked_parameters(output.parameters, "an output")
    return texts, _checked_signature(parameters.get("signature_name")), outputs


def _checked_parameters(parameters, where):
    """The parameters as a dict, if all of them mean something here."""
    values = to_http_parameters(parameters or {})
    known = _V2_PARAMETERS[where]
    for name in parameters or ():  # in gRPC one may have no value
        value = values.get(name)
        if name not in known:
            raise InvalidInput(
                f"Expected for parameters of {where} {' and '.join(known)} only. Received: "
                f"{name[:40]!r}."
            )
        if type(value) is not known[name]:
            raise InvalidInput(
                f"Expected {_KINDS[known[name]]} as the parameter {name} of {where}. Received: "
                f"{shown(value)}."
            )
    return values


def _elements(tensor):
    """The elements of a BYTES tensor of shape [batch] or [batch, 1], as bytes or str."""
    shape = list(tensor.shape)
    if len(shape) not in (1, 2) or shape[1:] not in ([], [1]) or shape[0] < 0:
        raise InvalidInput(
            f"Expected `{INPUT}` to have the shape [batch] or [batch, 1]. Received: {shape[:8]}."
        )
    try:
        elements = tensor.as_numpy().ravel().tolist()
    except (ValueError, TypeError, OverflowError, struct.error) as error:
        raise InvalidInput(
            f"Expected {math.prod(shape)} texts in `{INPUT}`, of shape {shape}. Received data that "
            f"is not that: {str(error)[:100]}."
        ) from error
    for position, element in enumerate(elements):
        if not isinstance(element, (str, bytes)):
            raise InvalidInput(
                f"Expected the data of `{INPUT}` to be strings. Received at position {position}: "
                f"{shown(element)}."
            )
    return elements


def _utf8(text, position):
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise InvalidInput(
            f"Expected Unicode text. Received at position {position} a lone surrogate, "
            f"{text[error.start]!r}. Send bytes that are not UTF-8 as such."
        ) from error


def _checked_signature(name):
    if name is None:
        return DEFAULT_SIGNATURE
    if not isinstance(name, str):
        raise InvalidInput(f"Expected a string as `signature_name`. Received: {shown(name)}.")
    return name
