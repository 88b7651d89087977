"""KServe's data plane, with words for every body that cannot be read."""

from kserve.constants.constants import INFERENCE_CONTENT_LENGTH_HEADER, PredictorProtocol
from kserve.protocol.dataplane import DataPlane

from keras_combiner.serving.errors import InvalidInput
from keras_combiner.serving.text_request import V1_FORM
from keras_combiner.serving.v2_body import read_v2_body


class CheckedDataPlane(DataPlane):
    """Reads bodies as KServe does, but JSON whatever the content type.

    Args:
        model_registry: `kserve.ModelRepository`.
    """

    def decode(
        self, body, headers, protocol_version=PredictorProtocol.REST_V1.value, model_name=None
    ):
        """Reads a body.

        Args:
            body: bytes.
            headers: dict of the request's headers.
            protocol_version: str, "v1" or "v2".
            model_name: str.

        Returns:
            Pair of dict or `kserve.InferRequest`, and dict of a cloud event's attributes.

        Raises:
            InvalidInput: if the body is not what the protocol wants.
        """
        if protocol_version == PredictorProtocol.REST_V2.value:
            length = headers.get(INFERENCE_CONTENT_LENGTH_HEADER, str(len(body)))
            if not (length.isascii() and length.isdigit()):
                raise InvalidInput(
                    f"Expected a number as {INFERENCE_CONTENT_LENGTH_HEADER}. Received: "
                    f"{length[:20]!r}."
                )
            return read_v2_body(body, int(length), model_name), {}
        if headers.get("content-type") != "application/cloudevents+json":
            headers = {**headers, "content-type": "application/json"}  # curl -d calls it a form
        try:
            return super().decode(body, headers, protocol_version, model_name)
        except (ValueError, TypeError, AttributeError) as error:  # those of cloud events' library
            reason = " ".join(str(error).split())[:200]
            raise InvalidInput(f"Expected {V1_FORM}. {reason}") from error
