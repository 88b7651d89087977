"""A KServe model that answers with a SavedModel."""

import re
from pathlib import Path

import kserve
from kserve.utils.numpy_codec import from_np_dtype

from keras_combiner.serving import answers
from keras_combiner.serving.batcher import Batcher
from keras_combiner.serving.errors import InvalidInput, NotOffered, VersionNotFound, shown
from keras_combiner.serving.model_directory import ModelDirectory
from keras_combiner.serving.served_version import DEFAULT_SIGNATURE, INPUT
from keras_combiner.serving.text_request import TextRequest
from keras_combiner.version_folders import is_version


class SavedModelPredictor(kserve.Model):
    """Serves the newest version of a model in a directory, and takes up newer ones as they appear.

    It answers what `keras_combiner.export.export_saved_model` wrote: texts, by the signature
    `serving_default`, or by `serving_scores` where a request names it. Texts of all requests share
    batches. Texts of a request are answered by one version: the newest when it came, or the one
    that it names by number or label.

    Args:
        directory: str or path of a SavedModel, or of a directory of numbered versions.
        name: str, what requests call the model; None for the directory's name, or for that of the
            directory around it if its own is a number.
        max_batch_size: int, how many texts go through the model together; memory grows with it.
        max_waiting: int, how many texts may wait or be at work before requests are refused.
        threads: int, how many batches are at work at a time.
        poll_seconds: float, how often to look for a new version.
        version_labels: dict of str to int, names of versions, which stay in memory beside the
            newest, as in `{"stable": 3}`; None for none.

    Raises:
        ValueError: for a name or a label that an address cannot hold.
        FileNotFoundError: by `load`, if there is nothing to serve, or not what has a label.
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
        self,
        directory,
        name=None,
        max_batch_size=8,
        max_waiting=256,
        threads=2,
        poll_seconds=2.0,
        version_labels=None,
    ):
        super().__init__(_checked(name or default_name(directory)))
        self.version_labels = dict(version_labels or {})
        for label in self.version_labels:
            _checked(label, "a version's label", "Choose another one")
        self.versions = ModelDirectory(directory, kept=self.version_labels.values())
        self._batcher = Batcher(max_batch_size, max_waiting, threads)
        self._poll_seconds = poll_seconds

    def load(self):
        """Loads the newest version, and those with a label.

        Returns:
            True.

        Raises:
            FileNotFoundError: if there is none that can be loaded, or not the one with a label.
        """
        self.versions.load_newest()
        self.versions.load_kept()
        self.ready = True
        return True

    def start(self):
        """Begins to look for new versions; KServe's server calls it."""
        super().start()
        self.versions.watch(self._poll_seconds)

    def stop(self):
        """Stops looking for new versions and starting batches; KServe's server calls it."""
        super().stop()
        self.versions.stop()
        self._batcher.close()

    def validate(self, payload):
        """Leaves the payload to `predict`, which says more about it than KServe would."""
        return payload

    async def predict(self, payload, headers=None, response_headers=None):
        """Answers a request.

        Args:
            payload: `V1Request` or dict, or `kserve.InferRequest` of V2.
            headers: dict of the request's headers, which are not used.
            response_headers: dict that KServe offers for those of the answer.

        Returns:
            dict or `kserve.InferResponse`.

        Raises:
            InvalidInput: if the request cannot be answered, with the reason.
            VersionNotFound: if it names a version that is not loaded.
            InferenceError: if the model's answer is not a finite number.
            Overloaded: if too many texts are waiting.
        """
        request = TextRequest.read(payload)
        served = self.find(request.version, request.label)
        outputs = _chosen_outputs(request, served)
        rows = await self._batcher.answers(served.runner(request.signature), request.texts)
        answers.check_numbers(rows)
        if isinstance(payload, kserve.InferRequest):
            return answers.v2_answer(rows, outputs, payload, self.name, str(served.number))
        if request.in_columns:
            return answers.v1_columns(rows, outputs)
        return answers.v1_answer(rows)

    def find(self, version=None, label=None):
        """Finds a version that is loaded.

        Args:
            version: str, its number; None for the newest.
            label: str, its label, instead of the number.

        Returns:
            `ServedVersion`.

        Raises:
            VersionNotFound: if it is not loaded, with those that are.
        """
        if label is not None:
            if label not in self.version_labels:
                labels = ", ".join(self.version_labels) or (
                    "none: --version-label LABEL=N names a version"
                )
                raise VersionNotFound(
                    f"Expected a label of {self.name}. Received: {label[:40]!r}. There are: "
                    f"{labels}."
                )
            version = str(self.version_labels[label])
        if version is None:
            return self.versions.served
        loaded = self.versions.loaded()
        if is_version(version) and len(version) < 20:
            if int(version) in loaded:
                return loaded[int(version)]
            if self.versions.is_on_disk(int(version)):
                raise VersionNotFound(
                    f"Version {int(version)} of {self.name} is on disk and not loaded. Loaded are "
                    f"the newest that works and those with a label: "
                    f"{', '.join(map(str, loaded))}."
                )
        raise VersionNotFound(
            f"Expected a version of {self.name} that is loaded: {', '.join(map(str, loaded))}. "
            f"Received: {version[:40]}."
        )

    async def explain(self, payload, headers=None):
        """Says where explanations are, which KServe would ask another server for."""
        raise NotOffered(
            'This server explains in :predict, where "signature_name": "serving_scores" asks for '
            "the weight of every token."
        )

    def get_input_types(self):
        """Describes the input, for the model's metadata in V2."""
        return [{"name": INPUT, "datatype": "BYTES", "shape": [-1]}]

    def get_output_types(self, version=None):
        """Describes the outputs of `serving_default`, for the model's metadata in V2.

        Args:
            version: str, the version's number; None for the newest.

        Returns:
            list of dict.
        """
        return [
            {"name": name, "datatype": from_np_dtype(dtype), "shape": [-1, *shape]}
            for name, (dtype, shape) in self.find(version).outputs(DEFAULT_SIGNATURE).items()
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


def _checked(name, what="the model", remedy="Give another with name=..."):
    if not re.fullmatch(r"[A-Za-z0-9_.-]+", name):
        raise ValueError(
            f"Requests name {what} in their address, which takes letters, digits, '_', '-' and "
            f"'.'. Received: {name!r}. {remedy}"
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
    if len(set(request.outputs)) < len(request.outputs):
        raise InvalidInput(f"Expected every output once. Received: {', '.join(request.outputs)}.")
    return {name: outputs[name] for name in request.outputs}
