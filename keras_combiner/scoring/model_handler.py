"""CombinerModelHandler: what Beam's RunInference asks for a SavedModel."""

import logging
import os
import tempfile

from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems
from apache_beam.ml.inference.base import ModelHandler

from keras_combiner.scoring.saved_model_scorer import SavedModelScorer

_LOGGER = logging.getLogger(__name__)


class CombinerModelHandler(ModelHandler):
    """Loads an exported SavedModel and scores batches of texts with it.

    A text that the model cannot score does not fail its batch: the batch is then scored text by
    text, and the result of a text that fails alone is {"reason": ...}.

    Args:
        path: str, the SavedModel's directory, on any file system that Beam knows.
        labels: list of str, names of the classes; None for a plain list of probabilities.
        **kwargs: what else Beam's `ModelHandler` takes.
    """

    def __init__(self, path, labels=None, **kwargs):
        super().__init__(**kwargs)
        self._path = path
        self._labels = labels

    def load_model(self):
        """Returns a `SavedModelScorer`."""
        if os.path.isdir(self._path):
            return SavedModelScorer(self._path, self._labels)
        with tempfile.TemporaryDirectory() as folder:
            _copy_folder(self._path, folder)
            return SavedModelScorer(folder, self._labels)

    def run_inference(self, batch, model, inference_args=None):
        """Scores a list of str, and returns a list of dict."""
        try:
            return model.score(batch)
        except Exception as error:
            if len(batch) == 1:
                return [{"reason": f"The model failed: {str(error).splitlines()[0]}"}]
            _LOGGER.warning("A batch failed and is scored text by text: %s", error)
            return [row for text in batch for row in self.run_inference([text], model)]

    def get_num_bytes(self, batch):
        """Counts characters, which is cheaper than pickling all."""
        return sum(map(len, batch))

    def get_metrics_namespace(self):
        """Names Beam's metrics."""
        return "keras_combiner"


def _copy_folder(source, target):
    source = source.rstrip("/") + "/"
    for file in FileSystems.match([source + "**"])[0].metadata_list:
        path = os.path.join(target, file.path.removeprefix(source))
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with (
            FileSystems.open(file.path, compression_type=CompressionTypes.UNCOMPRESSED) as content,
            open(path, "wb") as copy,
        ):
            while block := content.read(2**20):
                copy.write(block)
