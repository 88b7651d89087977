"""LongDocumentClassifier: whole documents in, labels out."""

import contextlib
import itertools
import warnings

import keras
import numpy as np
import tensorflow as tf

from keras_combiner import tasks
from keras_combiner.backbones.arguments import check_keywords
from keras_combiner.backbones.combiner_backbone import CombinerBackbone, check_backbone, check_size
from keras_combiner.backbones.trainable_layers import set_trainable_layers, trainable_layers
from keras_combiner.batches import text_batches, text_inputs
from keras_combiner.batches.encoded_documents import EncodedDocuments
from keras_combiner.convert import use_combiner
from keras_combiner.datasets.label_names import label_name
from keras_combiner.export import export_litert, export_onnx, export_saved_model
from keras_combiner.layers import MaskedAveragePooling, TokenDropout
from keras_combiner.models import calibration, fit_arguments
from keras_combiner.models.class_weights import class_weights
from keras_combiner.models.make_tokenizer import make_tokenizer
from keras_combiner.models.not_finite_error import NotFiniteError
from keras_combiner.models.target_shapes import refuse_other_shapes, shape_of_targets
from keras_combiner.models.text_training import (
    TextTraining,
    check_found,
    check_sequence_length,
    order_seed,
)

LONG = ("cut", "windows")
_TARGETS = 4096  # of documents, that are counted at once
# By task, of who compiles with a loss that does not fit.
_ADVICE = {
    "single_label": "Compile with 'sparse_categorical_crossentropy' and sparse metrics, or pass "
    "targets in one-hot rows beside token ids",
    "multi_label": "Pass targets of shape [documents, labels]",
}


@keras.saving.register_keras_serializable(package="keras_combiner")
class LongDocumentClassifier(TextTraining, keras.Model):
    """Classifies whole documents: tokenizer, backbone, masked average, softmax over the labels.

    A functional `keras.Model` from token ids `[batch, length]` to probabilities
    `[batch, classes]` that also takes texts: `fit`, `evaluate` and `predict` accept, besides
    arrays of token ids, lists of strings and the readers of `keras_combiner.datasets`. The
    tokenizer and the labels are saved with the model.

    With `task="multi_label"` a document has any number of labels, given as a list, and every label
    a probability of its own (sigmoid, binary cross entropy). With `task="regression"` it has a
    number, and the model gives values `[batch, 1]` (mean squared error).

    Texts longer than the backbone reads are cut; or, with `long="windows"`, covered by overlapping
    windows. In training every window has its document's label. `predict`, `evaluate`, `classify`
    and validation average the logits of a document's windows, and so do SavedModels and ONNX files.
    What runs a .tflite file reads in it that it has to; examples/on_device and examples/web do.

    `fit` on a model that was never compiled brings its own recipe: AdamW with gradient clipping,
    and a learning rate that warms up and decays along a cosine over the epochs asked for. Calling
    `compile` yourself replaces it, as in any Keras model (outputs are probabilities).

    Masking: token id 0 is padding. Probabilities do not depend on how much of it there is.

    Args:
        backbone: `CombinerBackbone`.
        tokenizer: `keras_combiner.text.Tokenizer`.
        labels: list of str, the name of each class; empty for a regression.
        dropout: float, dropout rate before the last layer.
        token_dropout: float, share of the tokens that each step of training leaves out; see
            `keras_combiner.layers.TokenDropout`.
        head_dtype: dtype or dtype policy of the last layer. If None, probabilities are float32,
            whatever the policy of the layers before, and float64 if that is theirs.
        learning_rate: float, the highest learning rate of `fit`'s own recipe. If None, one for a
            backbone that starts from random weights, by its width.
        task: "single_label", "multi_label", "regression", or a `keras_combiner.tasks.Task`.
        long: "cut" or "windows", what becomes of texts that are too long.
        **kwargs: `name` and `trainable`.

    Raises:
        TypeError: if `backbone` is no `CombinerBackbone`, or for an argument that there is not.
        ValueError: if there are fewer than two labels, a label occurs twice, the backbone has
            fewer token ids than the tokenizer, or for an unknown `task` or `long`.

    Example:

    >>> texts = ["long ago and far away"] * 8 + ["tomorrow it will rain"] * 8
    >>> labels = ["tale"] * 8 + ["weather"] * 8
    >>> classifier = LongDocumentClassifier.from_texts(
    ...     texts, labels, sequence_length=32, vocabulary_size=60, verbose=False
    ... )
    >>> _ = classifier.fit(texts, labels, epochs=4, batch_size=4, verbose=0)
    >>> classifier.classify(["it will rain"])[0]["tokens"]
    5
    """

    # Whether `fit` learns the ranges of activations that an export to integers needs.
    learns_ranges = False

    def __init__(
        self,
        backbone,
        tokenizer,
        labels,
        dropout=0.1,
        token_dropout=0.3,
        head_dtype=None,
        learning_rate=None,
        task="single_label",
        long="cut",
        **kwargs,
    ):
        # Those of a saved model stay as they were saved, whatever the rule was then.
        labels = [
            str(x) if isinstance(x, str) else label_name(x)
            for x in text_inputs.as_list(labels, "labels")
        ]
        task = tasks.get(task)
        task.check_names(labels)
        _check_long(long)
        check_backbone(backbone)
        check_keywords(self, kwargs)
        if backbone.arguments["vocabulary_size"] < tokenizer.vocabulary_size:
            raise ValueError(
                f"The tokenizer has {tokenizer.vocabulary_size} token ids, the backbone only "
                f"{backbone.arguments['vocabulary_size']}: build the backbone with "
                f"vocabulary_size={tokenizer.vocabulary_size}."
            )
        dtype = backbone.arguments["dtype"]
        if head_dtype is None:
            head_dtype = "float64" if dtype.compute_dtype == "float64" else "float32"
        token_ids = keras.Input(backbone.input_shape[1:], dtype="int32", name="token_ids")
        x = backbone(TokenDropout(token_dropout, name="token_dropout")(token_ids))
        x = MaskedAveragePooling(dtype=dtype, name="pooling")(x)
        x = keras.layers.Dropout(dropout, dtype=dtype, name="dropout")(x)
        outputs = keras.layers.Dense(
            task.units(labels), activation=task.activation, dtype=head_dtype, name=task.output
        )(x)
        super().__init__(inputs=token_ids, outputs=task.finish(outputs), **kwargs)
        self.backbone = backbone
        self.tokenizer = tokenizer
        self.labels = labels
        self.dropout = dropout
        self.token_dropout = token_dropout
        self.learning_rate = learning_rate
        self.task = task
        self.long = long
        self._label_weights = None
        # Those that the task was calibrated with, where it comes out of a configuration.
        self._expects_weights = task.is_calibrated

    @classmethod
    def from_texts(
        cls,
        texts,
        labels,
        sequence_length=4096,
        size="tiny",
        vocabulary_size=8000,
        tokenizer="wordpiece",
        dropout=0.1,
        token_dropout=0.3,
        verbose=True,
        task="single_label",
        long="cut",
        **kwargs,
    ):
        """Builds an untrained classifier for these texts and labels.

        Args:
            texts: texts as `fit` takes them, or an iterable of str that can be read more than once,
                such as `reader.texts()`; the vocabulary is learned from it.
            labels: labels as `fit` takes them, one a text. With an iterable of texts, or without
                any, the names of the classes are enough.
            sequence_length: int, the longest document, in tokens; longer ones are cut.
            size: str, one of `keras_combiner.models.SIZES`.
            vocabulary_size: int, the most tokens that a learned vocabulary may have.
            tokenizer: "wordpiece" (learned from `texts`), "bytes" (no vocabulary), or a
                `keras_combiner.text.Tokenizer`.
            dropout: float, dropout rate everywhere.
            token_dropout: float, share of the tokens that each step of training leaves out.
            verbose: bool, whether to say what is being done.
            task: "single_label", "multi_label" or "regression".
            long: "cut" or "windows", what becomes of texts longer than `sequence_length`.
            **kwargs: what else `CombinerBackbone` takes, for example `block_size`.

        Returns:
            `LongDocumentClassifier`.

        Raises:
            ValueError: for an unknown `size`, `tokenizer`, `task` or `long`, texts and labels that
                differ in number, labels that are missing, look alike or are of another kind than
                the task's, or fewer than two different ones.
        """
        # What cannot work shows before a vocabulary is learned, which takes a while.
        texts, labels = text_inputs.corpus(texts, labels)
        task, names = tasks.get(task).learned(labels)
        task.check_names(names)
        _check_long(long)
        check_size(size)
        check_sequence_length(sequence_length)
        tokenizer = make_tokenizer(tokenizer, texts, vocabulary_size, verbose=verbose)
        backbone = CombinerBackbone.from_size(
            size, tokenizer.vocabulary_size, sequence_length, dropout=dropout, **kwargs
        )
        return cls(
            backbone,
            tokenizer,
            names,
            dropout=dropout,
            token_dropout=token_dropout,
            task=task,
            long=long,
        )

    @classmethod
    def from_pretrained(
        cls,
        source,
        labels,
        sequence_length=4096,
        token_dropout=0.0,
        learning_rate=1e-4,
        task="single_label",
        long="cut",
        **kwargs,
    ):
        """Builds a classifier on pretrained weights, to be fine-tuned with `fit`.

        Args:
            source: a Hugging Face checkpoint directory, a directory that `keras-combiner pretrain`
                wrote, a `CombinerMaskedLM`, a checkpoint of Model Garden's, or a KerasHub model;
                see `keras_combiner.convert.use_combiner`.
            labels: labels as `fit` takes them: the names of the classes, or one a text.
            sequence_length: int, the longest document, in tokens; longer ones are cut.
            token_dropout: float, share of the tokens that each step of training leaves out.
            learning_rate: float, the highest learning rate of `fit`'s own recipe: a small one
                keeps what was learned before.
            task: "single_label", "multi_label" or "regression".
            long: "cut" or "windows", what becomes of texts longer than `sequence_length`.
            **kwargs: what else `use_combiner` takes, for example `block_size` or `tokenizer`.

        Returns:
            `LongDocumentClassifier`.

        Raises:
            TypeError: if the source is a model that does not become a `CombinerBackbone`.
            ValueError: for an unknown `task` or `long`, labels of another kind than the task's, a
                source that comes without a tokenizer, or for what `use_combiner` refuses.
        """
        task, names = tasks.get(task).learned(labels)
        task.check_names(names)
        _check_long(long)
        backbone, tokenizer = use_combiner(source, sequence_length=sequence_length, **kwargs)
        check_backbone(backbone)
        check_found(tokenizer)
        return cls(
            backbone,
            tokenizer,
            names,
            dropout=backbone.arguments["dropout"],
            token_dropout=token_dropout,
            learning_rate=learning_rate,
            task=task,
            long=long,
        )

    @property
    def sequence_length(self):
        """int, the longest document, in tokens."""
        return self.backbone.arguments["sequence_length"]

    def _recipe(self):
        return {"loss": self.task.loss, "metrics": self.task.metrics()}

    def fit(
        self,
        x=None,
        y=None,
        batch_size=16,
        epochs=1,
        validation_split=0.0,
        validation_data=None,
        class_weight=None,
        sample_weight=None,
        seed=None,
        gradient_accumulation_steps=None,
        **kwargs,
    ):
        """Trains on texts, or as `keras.Model.fit` on token ids.

        Texts of about the same length share a batch, and are padded to one of a dozen lengths at
        most. With `shuffle=False` they stay in the order in which they come.

        Args:
            x: list of str (or an array, a tensor, a column of pandas or Arrow), a
                `keras_combiner.datasets.DocumentReader` (streamed, never held in memory as a
                whole), or what `keras.Model.fit` takes.
            y: labels, one a text, in any of these containers: what stands at the same position
                belongs together, whatever the index. A label is text, a number or a boolean, as
                `keras_combiner.datasets.label_names` reads them; a list of such for a task of
                "multi_label", a number for "regression". None if `x` is a reader.
            batch_size: int, documents (or windows) a step.
            epochs: int, passes over the documents.
            validation_split: float, share of the texts held out for validation, drawn with a
                fixed seed.
            validation_data: pair `(texts, labels)`, triple with weights, a reader, or token ids as
                `keras.Model.fit` takes them; wins over `validation_split`.
            class_weight: dict of label to weight (1 for those that are left out), or "balanced":
                every class then weighs as much as any other. With several labels, a weight is that
                of the documents that have the label, and "balanced" lets them weigh as much, for
                this label, as the others. Beside token ids, keys that are numbers are class ids, as
                in Keras; strings are labels.
            sample_weight: numbers, one a text, that its loss is multiplied with, and with its class
                weight besides; each window of a text has its weight. Of a reader with a
                `weight_field`, they come from there. Beside token ids, as in Keras.
            seed: int, of the order of the texts, which is a function of it and the epoch; drawn
                from Python's own generator, which `keras.utils.set_random_seed` sets, if None.
            gradient_accumulation_steps: int, steps whose gradients `fit`'s own recipe averages for
                each change of the weights; None for one.
            **kwargs: what else `keras.Model.fit` takes. `callbacks` may hold those of
                `keras_combiner.training`, which need texts. With `steps_per_epoch`, an epoch goes
                on where the last one stopped. `fit`'s own learning rate runs over all epochs from
                `initial_epoch` on; with a LearningRateScheduler or ReduceLROnPlateau it starts at
                its highest, and is theirs to set.

        Returns:
            `keras.callbacks.History`.

        Raises:
            TypeError: for an unknown argument, what is not a callback, or a data set of strings.
            ValueError: for a number out of range, a data set without an end and without
                `steps_per_epoch`; if texts and labels differ in number, a label is unknown, there
                is nothing to train or validate on, `class_weight` does not go with the task, or
                `gradient_accumulation_steps` with a model that you compiled.
        """
        batch_size, accumulate, settings = self._fit_settings(
            batch_size, epochs, gradient_accumulation_steps, kwargs
        )
        if not text_inputs.is_text(x):
            weights = self._class_weights(
                class_weight,
                lambda: _targets_of(x, y, settings["steps_per_epoch"]),
                has_class_ids=True,
            )
            self._check_compiled_for(shape_of_targets(x, y))
            if y is not None:
                self.task.check_targets(lambda: [keras.ops.convert_to_numpy(y)])
            if validation_data is not None:
                settings = self._validated_on(validation_data, batch_size, settings)
            settings["class_weight"] = self._for_keras(weights)
            settings["sample_weight"] = sample_weight
            with self._weighing_labels(weights):
                return self._fit_token_ids(x, y, batch_size, validation_split, accumulate, settings)
        x, y = text_inputs.as_pairs(x, y)
        if validation_split and validation_data is None:
            (x, y, sample_weight), validation_data = text_batches.hold_out(
                x, y, validation_split, sample_weight
            )
        order = "shuffled" if settings.pop("shuffle", True) else "given"
        self._check_compiled_for([None, *self.task.target_shape(self.labels)])
        weights = self._class_weights(class_weight, lambda: self._targets(x, y))
        self.task.check_targets(lambda: self._targets(x, y))
        has_weights = sample_weight is not None or getattr(x, "has_weights", False)
        batches = self._batches(
            x,
            y,
            batch_size,
            order=order,
            seed=order_seed(seed, settings["callbacks"]),
            weights=sample_weight,
            class_weights=self._for_keras(weights) if has_weights else None,
            facts={"class_weight": None if weights is None else weights.tolist()},
            training=True,
        )
        if validation_data is not None:
            settings = self._validated_on(validation_data, batch_size, settings)
        # Keras takes no class weights beside those of documents.
        settings["class_weight"] = None if has_weights else self._for_keras(weights)
        with self._weighing_labels(weights):
            return self._fit_batches(batches, accumulate, settings)

    def evaluate(self, x=None, y=None, batch_size=16, sample_weight=None, **kwargs):
        """Loss and metrics on texts, or as `keras.Model.evaluate` on token ids.

        Args:
            x: as in `fit`.
            y: as in `fit`.
            batch_size: int, documents a step.
            sample_weight: as in `fit`.
            **kwargs: what else `keras.Model.evaluate` takes, for example `return_dict=True`.
                `steps` times `batch_size` is how many documents are read, from the first.

        Returns:
            Whatever `keras.Model.evaluate` returns. The metrics of several labels decide at one
            half, as in training, whatever the thresholds of `calibrate`.

        Raises:
            TypeError: for an unknown argument, or a data set of strings.
            ValueError: as in `fit`, and without a document.
        """
        batch_size, settings = self._evaluation_settings("evaluate", batch_size, kwargs)
        if not self.compiled:
            self._compile_by_default()
        if self._validation is not None and x is self._validation.dataset:
            if self.long == "windows":
                return self._evaluate_pooled(self._validation.batches, settings)
            return super().evaluate(x, **settings)
        if not text_inputs.is_text(x):
            if not fit_arguments.is_validation(settings):
                self._check_compiled_for(shape_of_targets(x, y))
                x = self._checked_token_ids(x)
            return super().evaluate(
                x, y, batch_size=batch_size, sample_weight=sample_weight, **settings
            )
        self._check_compiled_for([None, *self.task.target_shape(self.labels)])
        steps = settings.pop("steps", None)
        batches = self._first_documents(x, y, batch_size, steps, weights=sample_weight)
        if len(batches) == 0:
            raise ValueError("There is no document to evaluate on.")
        if self.long == "windows":
            return self._evaluate_pooled(batches, settings)
        return super().evaluate(batches.dataset(count=len(batches)), **settings)

    def _evaluate_pooled(self, batches, settings):
        """Loss and metrics of documents, not of their windows, as `keras.Model.evaluate`."""
        callbacks, verbose = settings["callbacks"], settings.get("verbose", "auto")
        if not isinstance(callbacks, keras.callbacks.CallbackList):
            callbacks = keras.callbacks.CallbackList(
                callbacks,
                add_progbar=verbose != 0,
                verbose=verbose,
                epochs=1,
                steps=len(batches),
                model=self,
            )
        callbacks.on_test_begin()
        outputs, targets, weights = [], [], batches.documents.weights
        for step, (token_ids, target, *_) in enumerate(batches.finite()):
            callbacks.on_test_batch_begin(step)
            outputs.append(self.predict_on_batch(token_ids))
            targets.append(target)
            callbacks.on_test_batch_end(step, {})
        outputs, targets = (batches.in_order(np.concatenate(x)) for x in (outputs, targets))
        outputs = self.pooled(outputs, batches.documents.windows)
        firsts = np.cumsum(batches.documents.windows) - batches.documents.windows
        y, y_pred = (keras.ops.convert_to_tensor(x) for x in (targets[firsts], outputs))
        self.reset_metrics()
        self._loss_tracker.update_state(self.compute_loss(None, y, y_pred, weights, training=False))
        metrics = self.compute_metrics(None, y, y_pred, weights)
        logs = {name: float(x) for name, x in metrics.items()}
        callbacks.on_test_end(logs)
        return logs if settings.get("return_dict") else self._flatten_metrics_in_order(logs)

    def predict(self, x, batch_size=16, **kwargs):
        """Probabilities of texts, or as `keras.Model.predict` of token ids.

        Args:
            x: texts as in `fit`, a reader, or what `keras.Model.predict` takes.
            batch_size: int, documents a step.
            **kwargs: what else `keras.Model.predict` takes. `steps` times `batch_size` is how many
                documents are read, from the first.

        Returns:
            float32 array (or of the `head_dtype`) `[documents, classes]`, in the order of `labels`;
            of values `[documents, 1]` for a regression.

        Raises:
            TypeError: for an unknown argument, or a data set of strings.
        """
        batch_size, settings = self._evaluation_settings("predict", batch_size, kwargs)
        if not text_inputs.is_text(x):
            x = self._checked_token_ids(x)
            return super().predict(x, batch_size=batch_size, **settings)
        steps = settings.pop("steps", None)
        batches = self._first_documents(x, None, batch_size, steps, with_targets=False)
        return self._predict_batches(batches, settings)

    def predict_with_summary(self, texts, batch_size=16, **kwargs):
        """As `predict` of texts, and what was found while they were read.

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
        batch_size, settings = self._evaluation_settings("predict", batch_size, kwargs)
        batches = self._first_documents(texts, None, batch_size, with_targets=False)
        return self._predict_batches(batches, settings), batches.summary()

    def _predict_batches(self, batches, settings):
        if len(batches) == 0:
            return np.zeros((0, self.task.units(self.labels)), self.outputs[0].dtype)
        outputs = super().predict(batches.dataset(count=len(batches)), **settings)
        return self.pooled(batches.in_order(outputs), batches.documents.windows)

    def classify(self, texts, batch_size=16, threshold=None):
        """Names the class of every text.

        Args:
            texts: texts as in `fit`.
            batch_size: int, documents a step.
            threshold: float between 0 and 1: a label is given only if its probability is above. For
                several labels also a dict of label to float; the other labels keep theirs. None for
                what `calibrate` chose or, without that, one half for each of several labels, and
                always the most probable one of single labels.

        Returns:
            A list of dictionaries, one a text: "label" (str; None if its probability is not above
            the threshold), "probabilities" (label -> float, the most probable first), "tokens"
            (int, how many the model read) and "truncated" (bool, whether the text had more). A
            model of several labels has "labels" (list of str, those with a probability above their
            threshold) in place of "label", a regression "value" (float) in place of both. With
            `long="windows"` there is also "windows" (int), how many it took.

        Raises:
            NotFiniteError: a ValueError, if the model's outputs are not finite numbers.
            ValueError: for a single string, another container, or a threshold that is out of range,
                of an unknown label, or for a regression.
            TypeError: for what is not text.
        """
        task = self.task.with_threshold(threshold, self.labels)
        texts = text_inputs.as_texts(texts)
        batches = self._batches(texts, None, batch_size, with_targets=False)
        if len(batches) == 0:
            return []
        outputs = super().predict(batches.dataset(count=len(batches)), verbose=0)
        outputs = self.pooled(batches.in_order(outputs), batches.documents.windows)
        _refuse_not_finite(outputs)
        results = []
        for i, row in enumerate(outputs):
            result = task.result(row, self.labels)
            result["tokens"] = int(batches.documents.tokens[i])
            result["truncated"] = bool(self.long == "cut" and batches.documents.is_long[i])
            if self.long == "windows":
                result["windows"] = int(batches.documents.windows[i])
            results.append(result)
        return results

    def pooled(self, outputs, windows):
        """Makes one answer a document of those of its windows: the mean of their logits.

        Args:
            outputs: float array `[windows, classes]`, of one document after the other, as
                `predict` returns them for the token ids of windows.
            windows: int array `[documents]`, how many are of each, at least one.

        Returns:
            float array `[documents, classes]`.
        """
        if len(outputs) == len(windows):
            return outputs
        return keras.ops.convert_to_numpy(self.task.pool(outputs, windows))

    def calibrate(self, texts, labels=None, precision=None, batch_size=16):
        """Makes the probabilities as large as the answers are often right, and chooses thresholds.

        Give documents that the model was not trained on: on those of the training it is surer, and
        more often right, than on any others. Validation documents will do.

        One temperature `T` is fitted, by which all logits are divided, for the least log loss. It
        goes into the weights of the last layer: probabilities are then the same by every road,
        exports and token weights included, and the most probable label stays the same. Windows of a
        document are averaged as before. One number is learned reliably from few documents; several
        labels have one for all, since thresholds by label do the rest.

        For several labels, each then gets the threshold of the largest F1 on these documents, or
        the least above which a share of `precision` is right. For single labels `precision` chooses
        the least probability above which so many answers are right: below it, documents get no
        label. Labels are given where their probability is above their threshold, by `classify`,
        SavedModels, and whatever reads `thresholds.txt`.

        Calibrating again replaces what was found before. Training the model makes it void, and so
        do `set_weights` and `load_weights`, with a warning.

        Args:
            texts: texts as in `fit`, or a reader, whose weights do not count here.
            labels: as in `fit`; None if `texts` is a reader.
            precision: float between 0 and 1, the wished share of right answers. None for the
                largest F1 of several labels, and for always giving one of single labels.
            batch_size: int, documents a step.

        Returns:
            `keras_combiner.models.CalibrationReport`.

        Raises:
            ValueError: for a regression, fewer than ten documents, what is not text, a `precision`
                out of range, labels that `fit` refuses, or a last layer that Keras has quantized.

        Example:

        >>> texts = ["long ago and far away"] * 8 + ["tomorrow it will rain"] * 8
        >>> labels = ["tale"] * 7 + ["weather"] * 8 + ["tale"]
        >>> classifier = LongDocumentClassifier.from_texts(
        ...     texts, labels, sequence_length=32, tokenizer="bytes"
        ... )
        >>> report = classifier.calibrate(texts, labels)
        >>> report.documents, report.after["nll"] <= report.before["nll"]
        (16, True)

        Source: Guo et al., "On Calibration of Modern Neural Networks", ICML 2017,
        https://arxiv.org/abs/1706.04599.
        """
        if self.task.name == "regression":
            self.task.calibrated(1.0, None, None, None)  # says why not
        if precision is not None and not 0 < precision < 1:
            raise ValueError(
                f"`precision` is a share between 0 and 1, both excluded. Received: {precision!r}."
            )
        head = self.get_layer(self.task.output)
        if head.quantization_mode is not None:
            raise ValueError(
                "The last layer is quantized by Keras, and its weights cannot be scaled. Calibrate "
                "the model first and call `quantize` on it then."
            )
        if not text_inputs.is_text(texts):
            raise ValueError(
                f"`calibrate` takes texts, or a reader. Received: {type(texts).__name__}."
            )
        features, windows, targets = self._features(texts, labels, batch_size)
        found = calibration.fitted_temperature(
            self.task, self._logits(features, windows), targets, self.labels
        )
        outputs = [self._answers(features, windows)]
        self._scale_logits(self.task.temperature / found[0])
        # Not from the logits: thresholds are for what the model says, rounding and all.
        outputs.append(self._answers(features, windows))
        self.task, report = calibration.calibrated(
            self.task, found, outputs, targets, self.labels, precision=precision
        )
        self._expects_weights = False
        return report

    def _features(self, texts, labels, batch_size):
        """What the last layer gets of every window, windows of each document, and targets."""
        texts, labels = text_inputs.as_pairs(texts, labels)
        batches = self._batches(texts, labels, batch_size)
        targets = list(self._targets(texts, labels))
        head = self.get_layer(self.task.output)
        if not targets:
            return np.zeros((0, head.input.shape[-1])), batches.documents.windows, np.zeros(0)
        model = keras.Model(self.input, head.input)
        features = batches.in_order(model.predict(batches.dataset(count=len(batches)), verbose=0))
        return features, batches.documents.windows, np.concatenate(targets)

    def _logits(self, features, windows):
        """Logits of documents, float64 `[documents, units]`."""
        if not len(features):
            return np.zeros((0, self.task.units(self.labels)))
        head = self.get_layer(self.task.output)
        # Not from probabilities: where one is nearly 1, they no longer tell the logit. And not from
        # the layer with another activation, while other threads call it.
        kernel, bias = (
            keras.ops.convert_to_numpy(keras.ops.cast(x, "float32")).astype("float64")
            for x in (head.kernel, head.bias)
        )
        logits = np.asarray(features, "float64") @ kernel + bias
        firsts = np.cumsum(windows) - windows
        return np.add.reduceat(logits, firsts) / np.expand_dims(windows, -1)

    def _answers(self, features, windows):
        """What the model says of documents, `[documents, units]`, as `predict` returns it."""
        outputs = self.get_layer(self.task.output)(features, training=False)
        return self.pooled(keras.ops.convert_to_numpy(outputs), windows)

    def _scale_logits(self, factor):
        """Multiplies the logits, in the weights of the last layer."""
        head = self.get_layer(self.task.output)
        # With LoRA the kernel is a sum, of itself and a product of which one factor is scaled.
        lora = [head.lora_kernel_b] if getattr(head, "lora_enabled", False) else []
        for weight in (head._kernel, *lora, head.bias):
            weight.assign(weight * factor)

    def _before_training(self, stacklevel=5):
        self._void_calibration("Training makes", stacklevel)

    def _void_calibration(self, what_makes, stacklevel=4):
        """Drops a calibration that is of other weights than those to come."""
        if self.task.is_calibrated:
            warnings.warn(
                f"{what_makes} the calibration of this model void: its thresholds are dropped. "
                "Call `calibrate` again when it is trained.",
                stacklevel=stacklevel,
            )
            self.task = self.task.uncalibrated()

    def train_on_batch(self, x, *args, **kwargs):
        """As `keras.Model.train_on_batch`, on token ids; makes a calibration void, as `fit`."""
        self._check_token_ids(x)  # a refused training leaves it as it is
        self._before_training(stacklevel=4)
        return super().train_on_batch(x, *args, **kwargs)

    def set_weights(self, weights):
        """As `keras.Model.set_weights`; makes a calibration void.

        The first weights of a model that `from_config` made are those that it was calibrated with.
        """
        self._before_other_weights()
        super().set_weights(weights)
        self._expects_weights = False

    def load_weights(self, filepath, *args, **kwargs):
        """As `keras.Model.load_weights`; makes a calibration void, as `set_weights` does."""
        self._before_other_weights()
        super().load_weights(filepath, *args, **kwargs)

    def load_own_variables(self, store):
        """As `keras.Model.load_own_variables`, which loading a file comes by."""
        super().load_own_variables(store)
        self._expects_weights = False

    def _before_other_weights(self):
        if not self._expects_weights:
            self._void_calibration("Other weights make")

    def _documents(self, x, y, batch_size, weights=None, with_targets=True):
        return self._batches(x, y, batch_size, with_targets=with_targets, weights=weights)

    def _batches(
        self,
        texts,
        labels,
        batch_size,
        order="grouped",
        seed=0,
        with_targets=True,
        weights=None,
        class_weights=None,
        facts=None,
        training=False,
    ):
        documents = EncodedDocuments(
            texts,
            labels,
            self.tokenizer,
            self.sequence_length,
            long=self.long,
            target=self.task.targets(self.labels) if with_targets else None,
            weights=weights,
            class_weights=class_weights,
        )
        documents.check_unknown(training=training, each=not with_targets)
        target = tf.TensorSpec(self.task.target_shape(self.labels), self.task.target_dtype)
        return text_batches.TextBatches(
            documents,
            batch_size,
            order=order,
            seed=seed,
            padded_lengths=self._padded_lengths(order),
            target=target if with_targets else None,
            facts=facts,
        )

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """As `keras.Model.compute_loss`; with class weights of several labels, a loss a label."""
        if training and self._label_weights is not None:
            weights = 1 + keras.ops.cast(y, "float32") * (self._label_weights - 1)
            if sample_weight is not None:
                weights *= keras.ops.reshape(keras.ops.cast(sample_weight, "float32"), (-1, 1))
            y, y_pred, sample_weight = keras.ops.expand_dims(y, -1), y_pred[..., None], weights
        return super().compute_loss(x, y, y_pred, sample_weight, training)

    def _targets(self, texts, labels):
        """Yields the targets of all documents, in arrays of some thousands."""
        labels = texts.labels() if labels is None else labels
        targets = text_inputs.each(self.task.targets(self.labels), labels)
        while some := list(itertools.islice(targets, _TARGETS)):
            yield np.array(some)

    def _class_weights(self, class_weight, targets, has_class_ids=False):
        """A weight a class, of what `fit` takes; see `class_weights`."""
        if class_weight and self.task.name == "regression":
            raise ValueError(
                "`class_weight` is for classes, which a regression has none of: leave it out."
            )
        several = self.task.name == "multi_label"
        if several and class_weight and self._compiled_by_user:
            _check_loss_of_labels(self.loss, len(self.labels))
        return class_weights(class_weight, self.labels, targets, several, has_class_ids)

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

    def _for_keras(self, weights):
        """Weights by class id; None for several labels, which `compute_loss` weighs."""
        if weights is None or self.task.name == "multi_label":
            return None
        return dict(enumerate(weights.tolist()))

    @contextlib.contextmanager
    def _weighing_labels(self, weights):
        """Lets steps of training weigh the labels, if a document may have several."""
        if weights is None or self.task.name != "multi_label":
            yield
            return
        # A step that was traced has the weights that there were then.
        self._label_weights, self.train_function = weights, None
        try:
            yield
        finally:
            self._label_weights, self.train_function = None, None

    def export_saved_model(self, path, **kwargs):
        """Writes a SavedModel for TF Serving; see `keras_combiner.export.export_saved_model`."""
        return export_saved_model(self, path, **kwargs)

    def export_litert(self, path, **kwargs):
        """Writes a .tflite file for devices; see `keras_combiner.export.export_litert`."""
        return export_litert(self, path, **kwargs)

    def export_onnx(self, path, **kwargs):
        """Writes an .onnx file for other runtimes; see `keras_combiner.export.export_onnx`."""
        return export_onnx(self, path, **kwargs)

    def get_config(self):
        """Returns the constructor's arguments as a dictionary."""
        return {
            "backbone": keras.saving.serialize_keras_object(self.backbone),
            "tokenizer": keras.saving.serialize_keras_object(self.tokenizer),
            "labels": self.labels,
            "dropout": self.dropout,
            "token_dropout": self.token_dropout,
            "learning_rate": self.learning_rate,
            "head_dtype": keras.dtype_policies.serialize(
                self.get_layer(self.task.output).dtype_policy  # its own once it is quantized
            ),
            "task": self.task.get_config(),
            "long": self.long,
            "name": self.name,
            "trainable": self.trainable,
            "trainable_layers": trainable_layers(self),
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        """Undoes `get_config`."""
        config = dict(config)
        trainable = config.pop("trainable_layers", {})  # files of earlier versions have none
        for name in ("backbone", "tokenizer"):
            config[name] = keras.saving.deserialize_keras_object(
                config[name], custom_objects=custom_objects
            )
        model = cls(**config)
        set_trainable_layers(model, trainable)
        return model


def _targets_of(x, y, steps):
    """The batches of targets beside token ids, to be counted."""
    if y is not None:
        return [np.asarray(keras.ops.convert_to_numpy(y))]
    cardinality = (
        int(x.cardinality()) if hasattr(x, "cardinality") else tf.data.INFINITE_CARDINALITY
    )
    if cardinality == tf.data.INFINITE_CARDINALITY or (cardinality < 0 and steps is not None):
        raise ValueError(
            "`class_weight='balanced'` needs targets that can be counted: arrays, or a data set "
            "that ends. Pass a dict of weights."
        )
    return (np.asarray(batch[1]) for batch in x)


def _check_loss_of_labels(loss, num_labels):
    """Raises a ValueError unless a loss is the mean of one for each label."""
    generator = np.random.default_rng(0)
    y = (np.arange(num_labels) == np.array([[0], [num_labels - 1]])).astype("float32")
    y_pred = generator.uniform(0.1, 0.9, y.shape).astype("float32")
    try:
        function = keras.losses.get(loss)
        function = getattr(function, "call", function)
        # As in `compute_loss`, where weights come between.
        by_label = np.asarray(function(y[..., None], y_pred[..., None]))
        is_mean = by_label.shape == y.shape and np.allclose(
            by_label.mean(-1), np.asarray(function(y, y_pred)), rtol=1e-4
        )
    except Exception:  # whatever a loss raises that takes other shapes
        is_mean = False
    if not is_mean:
        raise ValueError(
            "`class_weight` of several labels weighs the loss of each label, and so needs a loss "
            "that is the mean of one for each, such as 'binary_crossentropy'. The model is "
            f"compiled with {loss!r}: compile it with another, or leave `class_weight` out."
        )


def _refuse_not_finite(outputs):
    """Raises a `NotFiniteError` that names the first document with other outputs."""
    wrong = np.flatnonzero(~np.isfinite(outputs.astype("float64")).all(-1))
    if len(wrong):
        raise NotFiniteError(int(wrong[0]))


def _check_long(long):
    if long not in LONG:
        raise ValueError(f"`long` must be one of {', '.join(map(repr, LONG))}. Received: {long!r}.")
