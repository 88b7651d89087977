"""KServe's data plane, with a message for every body that cannot be read."""

from cloudevents.sdk.converters.util import has_binary_headers
from kserve.constants.constants import INFERENCE_CONTENT_LENGTH_HEADER, PredictorProtocol
from kserve.protocol.dataplane import DataPlane

from keras_combiner.serving.errors import InvalidInput
from keras_combiner.serving.strict_json import read_json
from keras_combiner.serving.text_request import V1_FORM
from keras_combiner.serving.v2_body import read_v2_body


class CheckedDataPlane(DataPlane):
    """Reads bodies as KServe does, but JSON whatever the content type, and strictly.

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
            # Python refuses to read thousands of digits.
            if not (length.isascii() and length.isdigit() and len(length) < 20):
                raise InvalidInput(
                    f"Expected a number as {INFERENCE_CONTENT_LENGTH_HEADER}. Received: "
                    f"{length[:20]!r}."
                )
            return read_v2_body(body, int(length), model_name), {}
        fields = read_json(body, V1_FORM)
        if not has_binary_headers(headers):
            return self.decode_cloudevent(fields)
        if headers.get("content-type") != "application/cloudevents+json":
            headers = {**headers, "content-type": "application/json"}  # curl -d calls it a form
        try:
            return super().decode(body, headers, protocol_version, model_name)
        except (ValueError, TypeError, AttributeError) as error:  # those of cloud events' library
            reason = " ".join(str(error).split())[:200]
            raise InvalidInput(f"Expected {V1_FORM}. {reason}") from error

    async def model_metadata(self, model_name, model_version=None):
        """Describes a model.

        Args:
            model_name: str.
            model_version: str, its number; None or empty for the newest.

        Returns:
            dict, as V2 has it in JSON.

        Raises:
            ModelNotFound: if there is no such model or version.
        """
        model = self.get_model_from_registry(model_name)
        return {
            "name": model_name,
            "versions": [str(x) for x in model.versions.loaded()],
            "platform": "",
            "inputs": model.get_input_types(),
            "outputs": model.get_output_types(model_version or None),
        }

    def check_version(self, model_name, model_version):
        """Refuses a version that is not loaded.

        Args:
            model_name: str.
            model_version: str, its number; None or empty for the newest.

        Raises:
            ModelNotFound: if there is no such model or version.
        """
        self.get_model_from_registry(model_name).find(model_version or None)
