"""DocumentModel: how a model with a task learns from whole documents, and answers for them."""

import contextlib
import itertools
import warnings

import keras
import numpy as np
import tensorflow as tf

from keras_combiner.batches import text_batches, text_inputs
from keras_combiner.batches.document_encoder import DocumentEncoder
from keras_combiner.batches.documents import Documents
from keras_combiner.batches.encoded_documents import EncodedDocuments
from keras_combiner.models.class_weights import (
    ClassWeights,
    check_loss_of_labels,
    class_weights,
    weighed_labels,
)
from keras_combiner.models.document_answers import DocumentAnswers
from keras_combiner.models.pooled_evaluation import evaluate_pooled
from keras_combiner.models.target_shapes import refuse_other_shapes, shape_of_targets

_TARGETS = 4096  # of documents, that are counted at once
# What to do, by task, where the compiled loss does not fit the targets.
_ADVICE = {
    "single_label": "Compile with 'sparse_categorical_crossentropy' and sparse metrics, or pass "
    "targets in one-hot rows beside token ids",
    "multi_label": "Pass targets of shape [documents, labels]",
}


class DocumentModel(DocumentAnswers, keras.Model):
    """A functional model from token ids `[batch, length]` to the outputs of a task.

    It trains on texts with targets and weights, and answers for whole documents: where these take
    several windows, with the mean of their logits.

    A subclass sets `backbone`, `tokenizer`, `labels`, `task`, `long_texts` and `lexical`, which
    `LongDocumentClassifier` documents.
    """

    _label_weights = None  # of a task of several labels, while `fit` weighs them
    _expects_weights = False  # those that the task was calibrated with

    def loss_and_metrics(self):
        """Returns the loss and the metrics of the task, a dict."""
        return {"loss": self.task.loss, "metrics": self.task.metrics()}

    def _documents(self, x, y=None, weights=None):
        documents = Documents(x, y, weights)
        documents.check_labelled()
        self._check_compiled_for([None, *self.task.target_shape(self.labels)])
        return documents

    def _check_shape_of_targets(self, x, y):
        self._check_compiled_for(shape_of_targets(x, y))

    def _check_compiled_for(self, shape):
        """Raises a ValueError for a user's loss or metrics that do not go with targets of a shape.

        Args:
            shape: list of int or None, of a batch of targets; None if it is not known.
        """
        units = self.task.units(self.labels)
        is_one_number = shape is not None and (len(shape) == 1 or tuple(shape[1:]) == (1,))
        if is_one_number and units > 1 and self._compiled_by_user:
            compiled = self._compile_config.config
            refuse_other_shapes(compiled, units, f"{_ADVICE[self.task.name]}.")

    def _check_targets(self, targets):
        self.task.check_targets(targets)

    def _batches(
        self,
        documents,
        batch_size,
        order="grouped",
        seed=0,
        training=False,
        with_targets=True,
        class_weights=None,
        facts=None,
    ):
        encoded = EncodedDocuments(
            documents,
            DocumentEncoder(self.tokenizer, self.sequence_length, self.long_texts),
            target=self.task.targets(self.labels) if with_targets else None,
            class_weights=class_weights,
        )
        encoded.check_unknown(training=training, each=not with_targets)
        target = tf.TensorSpec(self.task.target_shape(self.labels), self.task.target_dtype)
        return text_batches.TextBatches(
            encoded,
            batch_size,
            order=order,
            seed=seed,
            padded_lengths=self._padded_lengths(order),
            target=target if with_targets else None,
            facts=facts,
        )

    def _targets(self, documents):
        """Yields the targets of all documents, in arrays of some thousands."""
        targets = text_inputs.each(self.task.targets(self.labels), documents.each_label())
        while some := list(itertools.islice(targets, _TARGETS)):
            yield np.array(some)

    def _class_weights(self, class_weight, targets, has_class_ids=False):
        """The `ClassWeights` of what `fit` takes; see `class_weights`."""
        if class_weight and self.task.name == "regression":
            raise ValueError(
                "`class_weight` is for classes, which a regression has none of: leave it out."
            )
        several = self.task.name == "multi_label"
        if several and class_weight and self._compiled_by_user:
            check_loss_of_labels(self.loss, len(self.labels))
        values = class_weights(class_weight, self.labels, targets, several, has_class_ids)
        return ClassWeights(values, by_label=several)

    @contextlib.contextmanager
    def _weighing_labels(self, weights):
        """Lets steps of training weigh the labels, if a document may have several."""
        if weights.by_label_or_none() is None:
            yield
            return
        # A traced step keeps the weights that it was traced with.
        self._label_weights, self.train_function = weights.values, None
        try:
            yield
        finally:
            self._label_weights, self.train_function = None, None

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """As `keras.Model.compute_loss`; with class weights of several labels, a loss a label."""
        if training and self._label_weights is not None:
            y, y_pred, sample_weight = weighed_labels(y, y_pred, sample_weight, self._label_weights)
        return super().compute_loss(x, y, y_pred, sample_weight, training)

    def _evaluate_batches(self, batches, dataset, settings):
        if self.long_texts == "windows":
            return evaluate_pooled(self, batches, settings)
        return super()._evaluate_batches(batches, dataset, settings)

    def _scale_logits(self, factor):
        """Multiplies the logits, in the weights of the last layer and of the bag of tokens."""
        head = self.get_layer(self.task.output)
        # With LoRA the kernel is a sum, of itself and a product of which one factor is scaled.
        lora = [head.lora_kernel_b] if getattr(head, "lora_enabled", False) else []
        bag = [self.get_layer("lexical").embeddings] if self.lexical else []
        for weight in (head._kernel, *lora, head.bias, *bag):
            weight.assign(weight * factor)

    def _before_training(self, stacklevel=5):
        self._void_calibration("Training makes", stacklevel)

    def _void_calibration(self, what_makes, stacklevel=4):
        """Drops a calibration, with a warning: it does not hold for other weights."""
        if self.task.is_calibrated:
            warnings.warn(
                f"{what_makes} the calibration of this model void: its thresholds are dropped. "
                "Call `calibrate` again when it is trained.",
                stacklevel=stacklevel,
            )
            self.task = self.task.uncalibrated()

    def train_on_batch(self, x, *args, **kwargs):
        """As `keras.Model.train_on_batch`, on token ids; discards a calibration, as `fit` does."""
        self._check_token_ids(x)  # a refused training leaves it as it is
        self._before_training(stacklevel=4)
        return super().train_on_batch(x, *args, **kwargs)

    def set_weights(self, weights):
        """As `keras.Model.set_weights`; discards a calibration.

        The first weights of a model that `from_config` made are those that it was calibrated with.
        """
        self._before_other_weights()
        super().set_weights(weights)
        self._expects_weights = False

    def load_weights(self, filepath, *args, **kwargs):
        """As `keras.Model.load_weights`; discards a calibration, as `set_weights` does."""
        self._before_other_weights()
        super().load_weights(filepath, *args, **kwargs)

    def load_own_variables(self, store):
        """As `keras.Model.load_own_variables`, which Keras calls when it loads a file."""
        super().load_own_variables(store)
        self._expects_weights = False

    def _before_other_weights(self):
        if not self._expects_weights:
            self._void_calibration("Other weights make")
