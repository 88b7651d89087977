"""DocumentAnswers: one answer for each document, however many windows it takes."""

import keras
import numpy as np

from keras_combiner.batches import text_inputs
from keras_combiner.batches.documents import Documents
from keras_combiner.export import export_litert, export_onnx, export_saved_model
from keras_combiner.models import fit_arguments
from keras_combiner.models.text_training import TextTraining


class DocumentAnswers(TextTraining):
    """What a model says of whole documents: `predict` on texts, and exports that do the same.

    A part of a `keras.Model` from token ids to one row of numbers for each. A subclass sets
    `task`, a `keras_combiner.tasks.Outputs`, besides what `TextTraining` asks for, and its
    `_batches` take `with_targets=False`.
    """

    def predict(self, x, batch_size=16, **kwargs):
        """Returns the outputs for texts, or, as `keras.Model.predict`, for token ids.

        Args:
            x: texts as in `fit`, a reader, or what `keras.Model.predict` takes.
            batch_size: int, documents a step.
            **kwargs: what else `keras.Model.predict` takes. With `steps`, only the first
                `steps * batch_size` documents are read.

        Returns:
            float array `[documents, units]`: of a classifier float32 (or of the `head_dtype`)
            probabilities, in the order of `labels`, or, for a regression, values `[documents, 1]`;
            of an embedder embeddings.

        Raises:
            TypeError: for an unknown argument, or a data set of strings.
        """
        batch_size, settings = fit_arguments.evaluation_settings("predict", batch_size, kwargs)
        if not text_inputs.is_text(x):
            x = self._checked_token_ids(x)
            return super().predict(x, batch_size=batch_size, **settings)
        steps = settings.pop("steps", None)
        batches = self._first_batches(Documents(x), batch_size, steps, with_targets=False)
        return self._predict_batches(batches, settings)

    def predict_with_summary(self, texts, batch_size=16, **kwargs):
        """As `predict` of texts, and figures about the texts that were read.

        Args:
            texts: texts as in `fit`, or a reader.
            batch_size: int, documents a step.
            **kwargs: as for `predict`, without `steps`.

        Returns:
            pair: what `predict` returns, and a dict of "documents", "windows", "tokens",
            "longer_than_sequence_length" (int), "unknown_share" and "padding" (float).

        Raises:
            TypeError: as `predict`.
            ValueError: for what is not texts.
        """
        batch_size, settings = fit_arguments.evaluation_settings("predict", batch_size, kwargs)
        batches = self._batches(Documents(texts), batch_size, with_targets=False)
        return self._predict_batches(batches, settings), batches.summary()

    def _predict_batches(self, batches, settings):
        if len(batches) == 0:
            return np.zeros((0, self.output_shape[-1]), self.outputs[0].dtype)
        outputs = super().predict(batches.whole_dataset(), **settings)
        return self.pooled(batches.in_order(outputs), batches.documents.windows)

    def pooled(self, outputs, windows):
        """Turns answers for windows into one for each document, as the task does it.

        Args:
            outputs: float array `[windows, units]`, of one document after the other, as `predict`
                returns them for the token ids of windows.
            windows: int array `[documents]`, how many are of each, at least one.

        Returns:
            float array `[documents, units]`.
        """
        if len(outputs) == len(windows):
            return outputs
        return keras.ops.convert_to_numpy(self.task.pool(outputs, windows))

    def export_saved_model(self, path, **kwargs):
        """Writes a SavedModel for TF Serving; see `keras_combiner.export.export_saved_model`."""
        return export_saved_model(self, path, **kwargs)

    def export_litert(self, path, **kwargs):
        """Writes a .tflite file for devices; see `keras_combiner.export.export_litert`."""
        return export_litert(self, path, **kwargs)

    def export_onnx(self, path, **kwargs):
        """Writes an .onnx file for other runtimes; see `keras_combiner.export.export_onnx`."""
        return export_onnx(self, path, **kwargs)
