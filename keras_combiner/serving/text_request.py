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
from keras_combiner.serving.v2_body import V2_FORM

V1_FORM = '{"instances": ["a text", ...]}'
_V1_FIELDS = ("instances", "signature_name")
_INSTANCE = 'a text as "...", {"text": "..."}, or {"b64": "..."} for bytes in base64'


@dataclasses.dataclass(frozen=True)
class TextRequest:
    """Texts to answer, and by what.

    Attributes:
        texts: list of bytes.
        signature: str, the SavedModel's signature.
        outputs: list of str, the outputs that are asked for; None for all.
    """

    texts: list
    signature: str = DEFAULT_SIGNATURE
    outputs: list = None

    @classmethod
    def read(cls, payload):
        """Reads what KServe hands to a model.

        Args:
            payload: for V1 what the JSON holds, a dict if all is well; for V2
                `kserve.InferRequest`.

        Returns:
            `TextRequest`.

        Raises:
            InvalidInput: if it is none, with what was expected and what was received.

        Example:

        >>> TextRequest.read({"instances": ["a text", {"text": "another"}]}).texts
        [b'a text', b'another']
        """
        if isinstance(payload, InferRequest):
            return cls(*_from_v2(payload))
        return cls(*_from_v1(payload))


def _from_v1(payload):
    if not isinstance(payload, dict) or not isinstance(payload.get("instances"), list):
        received = shown(payload)
        if isinstance(payload, dict) and "instances" in payload:
            received = f"{shown(payload['instances'])} as `instances`"
        raise InvalidInput(f"Expected {V1_FORM}. Received: {received}.")
    unknown = [x for x in payload if x not in _V1_FIELDS]
    if unknown:
        raise InvalidInput(
            f"Expected the fields {' and '.join(_V1_FIELDS)} only. Received: "
            f"{shown(dict.fromkeys(unknown))}."
        )
    texts = [_from_instance(x, i) for i, x in enumerate(payload["instances"])]
    return texts, _checked_signature(payload.get("signature_name"))


def _from_instance(instance, position):
    value = instance
    if isinstance(value, dict) and set(value) == {INPUT}:
        value = value[INPUT]
    if isinstance(value, str):
        return _utf8(value, position)
    if isinstance(value, dict) and set(value) == {"b64"} and isinstance(value["b64"], str):
        try:
            return base64.b64decode(value["b64"], validate=True)
        except (binascii.Error, ValueError) as error:
            raise InvalidInput(
                f"Expected base64 in the `b64` of instance {position}. Received what cannot be "
                f"decoded: {error}."
            ) from error
    raise InvalidInput(
        f"Expected each instance to be {_INSTANCE}. Received at position {position}: "
        f"{shown(instance)}."
    )


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
    parameters = to_http_parameters(payload.parameters or {})
    outputs = [x.name for x in payload.request_outputs] if payload.request_outputs else None
    return texts, _checked_signature(parameters.get("signature_name")), outputs


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
