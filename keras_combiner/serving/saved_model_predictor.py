"""A KServe model that answers with a SavedModel."""

import re
from pathlib import Path

import kserve
from kserve.utils.numpy_codec import from_np_dtype

from keras_combiner.serving import answers
from keras_combiner.serving.batcher import Batcher
from keras_combiner.serving.errors import InvalidInput, NotOffered, shown
from keras_combiner.serving.model_directory import ModelDirectory
from keras_combiner.serving.served_version import DEFAULT_SIGNATURE, INPUT
from keras_combiner.serving.text_request import TextRequest
from keras_combiner.version_folders import is_version


class SavedModelPredictor(kserve.Model):
    """Serves the newest version of a model in a directory, and takes up newer ones as they appear.

    It answers what `keras_combiner.export.export_saved_model` wrote: texts, by the signature
    `serving_default`, or by `serving_scores` where a request names it. Texts of all requests share
    batches. Texts of a request are answered by one version, that of when it came.

    Args:
        directory: str or path of a SavedModel, or of a directory of numbered versions.
        name: str, what requests call the model; None for the directory's name, or for that of the
            directory around it if its own is a number.
        max_batch_size: int, how many texts go through the model together; memory grows with it.
        max_waiting: int, how many texts may wait or be at work before requests are refused.
        threads: int, how many batches are at work at a time.
        poll_seconds: float, how often to look for a new version.

    Raises:
        ValueError: for a name that an address cannot hold.
        FileNotFoundError: by `load`, if there is nothing to serve.
        ImportError: if kserve or tensorflow-text is missing (extra "server").

    Example:

    >>> SavedModelPredictor("serving/my_model").name
    'my_model'

    In a server, which runs until it is told to stop:

        predictor = SavedModelPredictor("serving/my_model")
        predictor.load()
        PredictionServer(http_port=8080).start([predictor])
    """

    def __init__(
        self, directory, name=None, max_batch_size=8, max_waiting=256, threads=2, poll_seconds=2.0
    ):
        super().__init__(_checked(name or default_name(directory)))
        self.versions = ModelDirectory(directory)
        self._batcher = Batcher(max_batch_size, max_waiting, threads)
        self._poll_seconds = poll_seconds

    def load(self):
        """Loads the newest version.

        Returns:
            True.

        Raises:
            FileNotFoundError: if there is none that can be loaded.
        """
        self.versions.load_newest()
        self.ready = True
        return True

    def start(self):
        """Begins to look for new versions; KServe's server calls it."""
        super().start()
        self.versions.watch(self._poll_seconds)

    def stop(self):
        """Ends that; KServe's server calls it."""
        super().stop()
        self.versions.stop()
        self._batcher.close()

    def validate(self, payload):
        """Leaves the payload to `predict`, which says more about it than KServe would."""
        return payload

    async def predict(self, payload, headers=None, response_headers=None):
        """Answers a request.

        Args:
            payload: dict of V1, or `kserve.InferRequest` of V2.
            headers: dict of the request's headers, which say nothing to it.
            response_headers: dict that KServe offers for those of the answer.

        Returns:
            dict or `kserve.InferResponse`.

        Raises:
            InvalidInput: if the request cannot be answered, with the reason.
            Overloaded: if too many texts are waiting.
        """
        request = TextRequest.read(payload)
        served = self.versions.served
        outputs = _chosen_outputs(request, served)
        rows = await self._batcher.answers(served.runner(request.signature), request.texts)
        if isinstance(payload, kserve.InferRequest):
            return answers.v2_answer(rows, outputs, payload, self.name, str(served.number))
        return answers.v1_answer(rows)

    async def explain(self, payload, headers=None):
        """Says where explanations are, which KServe would ask another server for."""
        raise NotOffered(
            'This server explains in :predict, where "signature_name": "serving_scores" asks for '
            "the weight of every token."
        )

    def get_input_types(self):
        """Describes the input, for the model's metadata in V2."""
        return [{"name": INPUT, "datatype": "BYTES", "shape": [-1]}]

    def get_output_types(self):
        """Describes the outputs of `serving_default`, for the model's metadata in V2."""
        return [
            {"name": name, "datatype": from_np_dtype(dtype), "shape": [-1, *shape]}
            for name, (dtype, shape) in self.versions.served.outputs(DEFAULT_SIGNATURE).items()
        ]


def default_name(directory):
    """Names a model by its directory, as TF Serving's configuration does here.

    Args:
        directory: str or path.

    Returns:
        str.

    Example:

    >>> default_name("serving/my_model"), default_name("serving/my_model/12")
    ('my_model', 'my_model')
    """
    path = Path(directory).absolute()
    return path.parent.name if is_version(path.name) else path.name


def _checked(name):
    if not re.fullmatch(r"[A-Za-z0-9_.-]+", name):
        raise ValueError(
            "Requests name the model in their address, which takes letters, digits, '_', '-' and "
            f"'.'. Received: {name!r}. Give another with name=..."
        )
    return name


def _chosen_outputs(request, served):
    if request.signature not in served.signatures:
        raise InvalidInput(
            f"Expected `signature_name` to be one of {', '.join(served.signatures)}, which version "
            f"{served.number} has for texts. Received: {shown(request.signature)}."
        )
    outputs = served.outputs(request.signature)
    if request.outputs is None:
        return outputs
    unknown = [x for x in request.outputs if x not in outputs]
    if unknown:
        raise InvalidInput(
            f"Expected outputs among {', '.join(outputs)}. Received: {shown(unknown[0])}."
        )
    return {name: outputs[name] for name in request.outputs}
