"""LongDocumentClassifier: whole documents in, labels out."""

import collections
import dataclasses

import keras
import numpy as np
import tensorflow as tf

from keras_combiner.layers import MaskedAveragePooling, TokenDropout
from keras_combiner.models import tasks, text_batches
from keras_combiner.models.arguments import check_keywords
from keras_combiner.models.combiner_backbone import CombinerBackbone, check_backbone, check_size
from keras_combiner.models.encoded_documents import EncodedDocuments
from keras_combiner.models.make_tokenizer import make_tokenizer
from keras_combiner.models.text_training import (
    TextTraining,
    check_found,
    check_sequence_length,
    order_seed,
)
from keras_combiner.text.tokenizer import as_bytes

LONG = ("cut", "windows")


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
    and validation average the logits of a document's windows. Exports cut.

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
        head_dtype: dtype or dtype policy of the last layer: probabilities in float32, whatever
            the policy of the layers before, unless asked otherwise.
        learning_rate: float, the highest learning rate of `fit`'s own recipe. If None, one for a
            backbone that starts from random weights, by its width.
        task: "single_label", "multi_label", "regression", or a `keras_combiner.models.tasks.Task`.
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
        head_dtype="float32",
        learning_rate=None,
        task="single_label",
        long="cut",
        **kwargs,
    ):
        labels = [str(label) for label in labels]
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
        self._validation = None

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
            texts: iterable of str that can be read more than once; the vocabulary is learned
                from it.
            labels: iterable of str (or of what `str` turns into a name), one a text; of lists of
                them for a `task` of "multi_label", of numbers for "regression".
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
            ValueError: for an unknown `size`, `tokenizer`, `task` or `long`, labels of another kind
                than the task's, or fewer than two different ones.
        """
        # What cannot work shows before a vocabulary is learned, which takes a while.
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
            labels: iterable of str, the names of the classes, or one a text; of what else `task`
                takes, as in `from_texts`.
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
        # Models come below convert; only this shortcut looks up.
        from keras_combiner.convert import use_combiner

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
        seed=None,
        gradient_accumulation_steps=None,
        **kwargs,
    ):
        """Trains on texts, or as `keras.Model.fit` on token ids.

        Texts of about the same length share a batch, and are padded to one of a dozen lengths at
        most. With `shuffle=False` they stay in the order in which they come.

        Args:
            x: list (or array) of str, a `keras_combiner.datasets.DocumentReader` (streamed, never
                held in memory as a whole), or what `keras.Model.fit` takes.
            y: list of labels, one a text; None if `x` is a reader.
            batch_size: int, documents (or windows) a step.
            epochs: int, passes over the documents.
            validation_split: float, share of the texts held out for validation, drawn with a
                fixed seed.
            validation_data: pair `(texts, labels)`, or a reader; wins over `validation_split`.
            class_weight: dict of label to weight (1 for those that are left out), or "balanced":
                every class then weighs as much as any other. For a task of one label.
            seed: int, of the order of the texts, which is a function of it and the epoch; drawn
                from Python's own generator, which `keras.utils.set_random_seed` sets, if None.
            gradient_accumulation_steps: int, steps whose gradients `fit`'s own recipe averages for
                each change of the weights; None for one.
            **kwargs: what else `keras.Model.fit` takes. `callbacks` may hold those of
                `keras_combiner.training`, which need texts.

        Returns:
            `keras.callbacks.History`.

        Raises:
            ValueError: if texts and labels differ in number, a label is unknown, there is nothing
                to train on, `class_weight` does not go with the task, or
                `gradient_accumulation_steps` with a model that you compiled.
        """
        self._refuse_accumulation(gradient_accumulation_steps)
        if not text_batches.is_text(x):
            return self._fit_token_ids(
                x,
                y,
                batch_size,
                epochs,
                validation_split=validation_split,
                gradient_accumulation_steps=gradient_accumulation_steps,
                validation_data=validation_data,
                class_weight=self._class_weights(class_weight, y),
                **kwargs,
            )
        if kwargs.get("sample_weight") is not None:
            raise ValueError(
                "`sample_weight` does not go with texts. Use `class_weight`, or train on token ids."
            )
        if validation_split and validation_data is None:
            (x, y), validation_data = text_batches.hold_out(x, y, validation_split)
        shuffle = kwargs.pop("shuffle", True)
        seed = order_seed(seed, kwargs.get("callbacks"))
        order = "shuffled" if shuffle else "given"
        batches = self._batches(x, y, batch_size, order=order, seed=seed)
        class_weight = self._class_weights(
            class_weight, (self._target(x) for x in (x.labels() if y is None else y))
        )
        if validation_data is not None:
            if not isinstance(validation_data, tuple):
                validation_data = (validation_data, None)
            validation = self._batches(*validation_data, batch_size)
            validation_data = validation.dataset(count=len(validation))
            if self.long == "windows":
                self._validation = _Validation(validation_data, validation)
        try:
            return self._fit_batches(
                batches,
                epochs,
                gradient_accumulation_steps=gradient_accumulation_steps,
                validation_data=validation_data,
                class_weight=class_weight,
                **kwargs,
            )
        finally:
            self._validation = None

    def evaluate(self, x=None, y=None, batch_size=16, **kwargs):
        """Loss and metrics on texts, or as `keras.Model.evaluate` on token ids.

        Args:
            x: as in `fit`.
            y: as in `fit`.
            batch_size: int, documents a step.
            **kwargs: what else `keras.Model.evaluate` takes, for example `return_dict=True`.

        Returns:
            Whatever `keras.Model.evaluate` returns.
        """
        if not self.compiled:
            self._compile_by_default()
        if self._validation is not None and x is self._validation.dataset:
            return self._evaluate_pooled(self._validation.batches, **kwargs)
        if not text_batches.is_text(x):
            return super().evaluate(x, y, batch_size=batch_size, **kwargs)
        batches = self._batches(x, y, batch_size)
        if self.long == "windows":
            return self._evaluate_pooled(batches, **kwargs)
        return super().evaluate(batches.dataset(count=len(batches)), **kwargs)

    def _evaluate_pooled(self, batches, return_dict=False, verbose="auto", **kwargs):
        """Loss and metrics of documents, not of their windows."""
        outputs, targets = [], []
        for token_ids, target in batches.finite():
            outputs.append(self.predict_on_batch(token_ids))
            targets.append(target)
        outputs, targets = (batches.in_order(np.concatenate(x)) for x in (outputs, targets))
        outputs = self._pooled(outputs, batches.documents.windows)
        firsts = np.cumsum(batches.documents.windows) - batches.documents.windows
        y, y_pred = (keras.ops.convert_to_tensor(x) for x in (targets[firsts], outputs))
        self.reset_metrics()
        self._loss_tracker.update_state(self.compute_loss(None, y, y_pred, training=False))
        logs = {name: float(x) for name, x in self.compute_metrics(None, y, y_pred).items()}
        return logs if return_dict else list(logs.values())

    def predict(self, x, batch_size=16, **kwargs):
        """Probabilities of texts, or as `keras.Model.predict` of token ids.

        Args:
            x: list (or array) of str, a reader, or what `keras.Model.predict` takes.
            batch_size: int, documents a step.
            **kwargs: what else `keras.Model.predict` takes.

        Returns:
            float32 array `[documents, classes]`, in the order of `labels`; of values
            `[documents, 1]` for a regression.
        """
        if not text_batches.is_text(x):
            return super().predict(x, batch_size=batch_size, **kwargs)
        batches = self._batches(x, None, batch_size, with_targets=False)
        if len(batches) == 0:
            return np.zeros((0, self.task.units(self.labels)), "float32")
        outputs = super().predict(batches.dataset(count=len(batches)), **kwargs)
        return self._pooled(batches.in_order(outputs), batches.documents.windows)

    def classify(self, texts, batch_size=16):
        """Names the class of every text.

        Args:
            texts: list of str.
            batch_size: int, documents a step.

        Returns:
            A list of dictionaries, one a text: "label" (str), "probabilities" (label -> float, the
            most probable first), "tokens" (int, how many the model read) and "truncated" (bool,
            whether the text had more). A model of several labels gives "labels" (list of str, those
            with a probability above one half) in place of "label", a regression "value" (float)
            in place of both. With `long="windows"` there is also "windows" (int), how many it took.

        Raises:
            ValueError: for a single string.
            TypeError: for what is not text.
        """
        text_batches.refuse_single(texts)
        texts = [as_bytes(document, i) for i, document in enumerate(texts)]
        batches = self._batches(texts, None, batch_size, with_targets=False)
        if len(batches) == 0:
            return []
        outputs = super().predict(batches.dataset(count=len(batches)), verbose=0)
        outputs = self._pooled(batches.in_order(outputs), batches.documents.windows)
        results = []
        for i, row in enumerate(outputs):
            result = self.task.result(row, self.labels)
            result["tokens"] = int(batches.documents.tokens[i])
            result["truncated"] = bool(self.long == "cut" and batches.documents.is_long[i])
            if self.long == "windows":
                result["windows"] = int(batches.documents.windows[i])
            results.append(result)
        return results

    def _pooled(self, outputs, windows):
        """One row a document of what is one row a window; a single window's is left as it is."""
        ends = np.cumsum(windows)
        rows = outputs[ends - windows]
        for i in np.flatnonzero(windows > 1):
            rows[i] = self.task.pool(outputs[ends[i] - windows[i] : ends[i]])
        return rows

    def _batches(self, texts, labels, batch_size, order="grouped", seed=0, with_targets=True):
        documents = EncodedDocuments(
            texts,
            labels,
            self.tokenizer,
            self.sequence_length,
            long=self.long,
            target=self._target if with_targets else None,
        )
        target = tf.TensorSpec(self.task.target_shape(self.labels), self.task.target_dtype)
        return text_batches.TextBatches(
            documents,
            batch_size,
            order=order,
            seed=seed,
            padded_lengths=self._padded_lengths(order),
            target=target if with_targets else None,
        )

    def _target(self, label):
        return self.task.target(label, self.labels)

    def _class_weights(self, class_weight, targets):
        """Weights by class id, as Keras wants them, of what `fit` takes; targets are class ids."""
        if not class_weight:
            return None
        if self.task.name != "single_label":
            raise ValueError(
                "`class_weight` is for a task of one label a document. This model's is "
                f"{self.task.name!r}: leave it out."
            )
        if class_weight == "balanced":
            counts = collections.Counter(int(x) for x in targets)
            share = sum(counts.values()) / max(1, len(counts))
            return {i: share / counts[i] if counts[i] else 1.0 for i in range(len(self.labels))}
        if not isinstance(class_weight, dict):
            raise ValueError(
                "`class_weight` must be 'balanced' or a dict of label to weight. Received: "
                f"{class_weight!r}."
            )
        by_id = {
            int(self._target(label)) if isinstance(label, str) else label: weight
            for label, weight in class_weight.items()
        }
        return {i: by_id.get(i, 1.0) for i in range(len(self.labels))}

    def export_saved_model(self, path, **kwargs):
        """Writes a SavedModel for TF Serving; see `keras_combiner.export.export_saved_model`."""
        # Models come below export; only these three shortcuts look up.
        from keras_combiner.export import export_saved_model

        return export_saved_model(self, path, **kwargs)

    def export_litert(self, path, **kwargs):
        """Writes a .tflite file for devices; see `keras_combiner.export.export_litert`."""
        from keras_combiner.export import export_litert

        return export_litert(self, path, **kwargs)

    def export_onnx(self, path, **kwargs):
        """Writes an .onnx file for other runtimes; see `keras_combiner.export.export_onnx`."""
        from keras_combiner.export import export_onnx

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
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        """Undoes `get_config`."""
        config = dict(config)
        for name in ("backbone", "tokenizer"):
            config[name] = keras.saving.deserialize_keras_object(
                config[name], custom_objects=custom_objects
            )
        return cls(**config)


@dataclasses.dataclass
class _Validation:
    """What `fit` validates on, while it runs."""

    dataset: tf.data.Dataset
    batches: text_batches.TextBatches


def _check_long(long):
    if long not in LONG:
        raise ValueError(f"`long` must be one of {', '.join(map(repr, LONG))}. Received: {long!r}.")
