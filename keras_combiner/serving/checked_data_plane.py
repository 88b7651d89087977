"""KServe's data plane, with words for every request that cannot be read."""

import struct

from kserve.constants.constants import INFERENCE_CONTENT_LENGTH_HEADER, PredictorProtocol
from kserve.errors import InferenceError
from kserve.protocol.dataplane import DataPlane
from kserve.protocol.rest.v2_datamodels import InferenceRequest
from pydantic import ValidationError

from keras_combiner.serving.errors import InvalidInput
from keras_combiner.serving.text_request import V1_FORM, V2_FORM


class CheckedDataPlane(DataPlane):
    """Reads bodies as KServe does, but JSON whatever the content type, and never fails otherwise.

    Args:
        model_registry: `kserve.ModelRepository`.
    """

    def decode(self, body, headers, protocol_version=PredictorProtocol.REST_V1.value, **options):
        """Reads a body.

        Args:
            body: bytes, or `InferenceRequest` where FastAPI has read it.
            headers: dict of the request's headers.
            protocol_version: str, "v1" or "v2".
            **options: `model_name`.

        Returns:
            Pair of dict or `kserve.InferRequest`, and dict, as KServe has it.

        Raises:
            InvalidInput: if the body is not what the protocol wants.
        """
        form = V2_FORM if protocol_version == PredictorProtocol.REST_V2.value else V1_FORM
        is_v2 = protocol_version == PredictorProtocol.REST_V2.value
        try:
            if isinstance(body, bytes) and is_v2 and INFERENCE_CONTENT_LENGTH_HEADER not in headers:
                body = InferenceRequest.model_validate_json(body)
            elif not is_v2 and headers.get("content-type") != "application/cloudevents+json":
                # curl -d calls JSON a form.
                headers = {**headers, "content-type": "application/json"}
            return super().decode(body, headers, protocol_version, **options)
        except InvalidInput as error:
            raise InvalidInput(f"Expected {form}. {_short(error)}") from error
        except ValidationError as error:
            raise InvalidInput(v2_mistakes(error.errors())) from error
        except KeyError as error:
            raise InvalidInput(f"Expected {form}. Received a body without {error}.") from error
        except (ValueError, TypeError, AttributeError, IndexError, struct.error) as error:
            raise InvalidInput(f"Expected {form}. {_short(error)}") from error
        except InferenceError as error:
            raise InvalidInput(f"Expected {form}. {_short(error)}") from error


def v2_mistakes(errors):
    """Says what is wrong with a V2 request.

    Args:
        errors: list of dict, as pydantic gives them.

    Returns:
        str, without what was received: it may be long, and not for logs.

    Example:

    >>> v2_mistakes([{"loc": ("body", "inputs"), "msg": "Field required"}]).partition(". ")[2]
    'inputs: Field required'
    """
    said = []
    for error in errors:
        place = [str(x) for x in error["loc"] if x not in ("body", "InferenceRequest")]
        if error.get("type") == "json_invalid":
            place = []  # where in the JSON, as a number
        if place == ["bytes"]:
            continue  # FastAPI also tells why it is no other kind of body
        words = (
            f"{error['msg']}: {error['ctx']['error']}" if "error" in error.get("ctx", ()) else ""
        )
        said.append(f"{'.'.join(place)}: {words or error['msg']}" if place else error["msg"])
    return f"Expected {V2_FORM}. {'; '.join(said[:3])}"


def _short(error):
    return " ".join(str(error).split())[:200]
