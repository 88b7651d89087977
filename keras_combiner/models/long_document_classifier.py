"""LongDocumentClassifier: whole documents in, labels out."""

import math
import zipfile
from pathlib import Path

import keras
import numpy as np

from keras_combiner import text  # also registers the tokenizers that saved models name
from keras_combiner.layers import MaskedAveragePooling, TokenDropout
from keras_combiner.models import text_batches
from keras_combiner.models.arguments import check_keywords
from keras_combiner.models.combiner_backbone import CombinerBackbone, check_backbone, check_size
from keras_combiner.text.tokenizer import MIN_SEQUENCE_LENGTH, as_bytes
from keras_combiner.whole_files import written_whole


@keras.saving.register_keras_serializable(package="keras_combiner")
class LongDocumentClassifier(keras.Model):
    """Classifies whole documents: tokenizer, backbone, masked average, softmax over the labels.

    A functional `keras.Model` from token ids `[batch, length]` to probabilities
    `[batch, classes]` that also takes texts: `fit`, `evaluate` and `predict` accept, besides
    arrays of token ids, lists of strings and the readers of `keras_combiner.datasets`. The
    tokenizer and the labels are saved with the model.

    `fit` on a model that was never compiled brings its own recipe: AdamW with gradient clipping,
    and a learning rate that warms up and decays along a cosine over the epochs asked for. Calling
    `compile` yourself replaces it, as in any Keras model (outputs are probabilities).

    Masking: token id 0 is padding. Probabilities do not depend on how much of it there is.

    Args:
        backbone: `CombinerBackbone`.
        tokenizer: `keras_combiner.text.Tokenizer`.
        labels: list of str, the name of each class.
        dropout: float, dropout rate before the last layer.
        token_dropout: float, share of the tokens that each step of training leaves out; see
            `keras_combiner.layers.TokenDropout`.
        head_dtype: dtype or dtype policy of the last layer: probabilities in float32, whatever
            the policy of the layers before, unless asked otherwise.
        learning_rate: float, the highest learning rate of `fit`'s own recipe. If None, one for a
            backbone that starts from random weights, by its width.
        **kwargs: `name` and `trainable`.

    Raises:
        TypeError: if `backbone` is no `CombinerBackbone`, or for an argument that there is not.
        ValueError: if there are fewer than two labels, a label occurs twice, or the backbone has
            fewer token ids than the tokenizer.

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
        **kwargs,
    ):
        labels = [str(label) for label in labels]
        _check_labels(labels)
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
            len(labels), activation="softmax", dtype=head_dtype, name="probabilities"
        )(x)
        super().__init__(inputs=token_ids, outputs=outputs, **kwargs)
        self.backbone = backbone
        self.tokenizer = tokenizer
        self.labels = labels
        self.dropout = dropout
        self.token_dropout = token_dropout
        self.learning_rate = learning_rate
        self._recipe_optimizer_id = None

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
        **kwargs,
    ):
        """Builds an untrained classifier for these texts and labels.

        Args:
            texts: iterable of str that can be read more than once; the vocabulary is learned
                from it.
            labels: iterable of str (or of what `str` turns into a name), one a text.
            sequence_length: int, the longest document, in tokens; longer ones are cut.
            size: str, one of `keras_combiner.models.SIZES`.
            vocabulary_size: int, the most tokens that a learned vocabulary may have.
            tokenizer: "wordpiece" (learned from `texts`), "bytes" (no vocabulary), or a
                `keras_combiner.text.Tokenizer`.
            dropout: float, dropout rate everywhere.
            token_dropout: float, share of the tokens that each step of training leaves out.
            verbose: bool, whether to say what is being done.
            **kwargs: what else `CombinerBackbone` takes, for example `block_size`.

        Returns:
            `LongDocumentClassifier`.

        Raises:
            ValueError: for an unknown `size` or `tokenizer`, or fewer than two different labels.
        """
        # What cannot work shows before a vocabulary is learned, which takes a while.
        names = sorted({str(label) for label in labels})
        _check_labels(names)
        check_size(size)
        if sequence_length < MIN_SEQUENCE_LENGTH:
            raise ValueError(
                f"`sequence_length` must be at least {MIN_SEQUENCE_LENGTH}: two tokens frame a "
                f"text. Received: {sequence_length!r}."
            )
        if tokenizer == "wordpiece":
            vocabulary = text.learn_wordpiece_vocabulary(
                texts, vocabulary_size=vocabulary_size, verbose=verbose
            )
            tokenizer = text.WordPieceTokenizer(vocabulary)
        elif tokenizer == "bytes":
            tokenizer = text.ByteTokenizer()
        elif not isinstance(tokenizer, text.Tokenizer):
            raise ValueError(
                "`tokenizer` must be 'wordpiece', 'bytes' or a keras_combiner.text.Tokenizer. "
                f"Received: {tokenizer!r}."
            )
        backbone = CombinerBackbone.from_size(
            size, tokenizer.vocabulary_size, sequence_length, dropout=dropout, **kwargs
        )
        return cls(backbone, tokenizer, names, dropout=dropout, token_dropout=token_dropout)

    @classmethod
    def from_pretrained(
        cls,
        source,
        labels,
        sequence_length=4096,
        token_dropout=0.0,
        learning_rate=1e-4,
        **kwargs,
    ):
        """Builds a classifier on pretrained weights, to be fine-tuned with `fit`.

        Args:
            source: a Hugging Face checkpoint directory, a checkpoint of Model Garden's, or a
                KerasHub model; see `keras_combiner.convert.use_combiner`.
            labels: iterable of str, the names of the classes, or one a text.
            sequence_length: int, the longest document, in tokens; longer ones are cut.
            token_dropout: float, share of the tokens that each step of training leaves out.
            learning_rate: float, the highest learning rate of `fit`'s own recipe: a small one
                keeps what was learned before.
            **kwargs: what else `use_combiner` takes, for example `block_size` or `tokenizer`.

        Returns:
            `LongDocumentClassifier`.

        Raises:
            TypeError: if the source is a model that does not become a `CombinerBackbone`.
            ValueError: if there are fewer than two different labels, the source comes without a
                tokenizer, or for what `use_combiner` refuses.
        """
        # Models come below convert; only this shortcut looks up.
        from keras_combiner.convert import use_combiner

        names = sorted({str(label) for label in labels})
        _check_labels(names)
        backbone, tokenizer = use_combiner(source, sequence_length=sequence_length, **kwargs)
        check_backbone(backbone)
        if tokenizer is None:
            raise ValueError(
                "The source has no vocabulary of word pieces. Pass `tokenizer`: the path of a "
                "vocab.txt, or a keras_combiner.text.Tokenizer with the ids of the model."
            )
        return cls(
            backbone,
            tokenizer,
            names,
            dropout=backbone.arguments["dropout"],
            token_dropout=token_dropout,
            learning_rate=learning_rate,
        )

    @property
    def sequence_length(self):
        """int, the longest document, in tokens."""
        return self.backbone.arguments["sequence_length"]

    @property
    def _compiled_by_user(self):
        if not self.compiled or self.optimizer is None:  # that is while `save` is at work
            return False
        return id(self.optimizer) != self._recipe_optimizer_id

    def _compile_by_default(self, steps=None):
        """AdamW; a tenth of the steps to warm up, then a cosine to zero, if `steps` is known."""
        # The wider the layers, the smaller the steps that they bear.
        learning_rate = self.learning_rate
        if learning_rate is None:
            learning_rate = min(2e-3, 0.2 / self.backbone.arguments["hidden_dim"])
        if steps is not None:
            warmup_steps = max(1, steps // 10)
            learning_rate = keras.optimizers.schedules.CosineDecay(
                initial_learning_rate=0.0,
                warmup_target=learning_rate,
                warmup_steps=warmup_steps,
                decay_steps=max(1, steps - warmup_steps),
            )
        self.compile(
            keras.optimizers.AdamW(learning_rate, weight_decay=0.01, clipnorm=1.0),
            loss="sparse_categorical_crossentropy",
            metrics=["accuracy"],
        )
        self._recipe_optimizer_id = id(self.optimizer)

    def get_compile_config(self):
        """None after the default recipe, whose schedule has run out when a fit is over."""
        return super().get_compile_config() if self._compiled_by_user else None

    def fit(
        self,
        x=None,
        y=None,
        batch_size=16,
        epochs=1,
        validation_split=0.0,
        validation_data=None,
        **kwargs,
    ):
        """Trains on texts, or as `keras.Model.fit` on token ids.

        Args:
            x: list (or array) of str, a `keras_combiner.datasets.DocumentReader` (streamed, never
                held in memory as a whole), or what `keras.Model.fit` takes.
            y: list of labels, one a text; None if `x` is a reader.
            batch_size: int, documents a step.
            epochs: int, passes over the documents.
            validation_split: float, share of the texts held out for validation, drawn with a
                fixed seed.
            validation_data: pair `(texts, labels)`, or a reader; wins over `validation_split`.
            **kwargs: what else `keras.Model.fit` takes; `class_weight` may name the labels.

        Returns:
            `keras.callbacks.History`.

        Raises:
            ValueError: if texts and labels differ in number, a label is unknown, or there is
                nothing to train on.
        """
        if not text_batches.is_text(x):
            if not self._compiled_by_user:
                steps = _steps(x, batch_size, validation_split)
                self._compile_by_default(steps and steps * epochs)
            return super().fit(
                x,
                y,
                # A data set brings its own batches, and Keras refuses another size.
                batch_size=batch_size if hasattr(x, "shape") else None,
                epochs=epochs,
                validation_split=validation_split,
                validation_data=validation_data,
                **kwargs,
            )
        if validation_split and validation_data is None:
            (x, y), validation_data = text_batches.hold_out(x, y, validation_split)
        total = text_batches.count(x, self._class_id)
        if total == 0:
            raise ValueError("There is no document to train on.")
        if kwargs.get("sample_weight") is not None:
            raise ValueError(
                "`sample_weight` does not go with texts. Use `class_weight`, or train on token ids."
            )
        if kwargs.get("class_weight"):
            kwargs["class_weight"] = {
                self._class_id(label) if isinstance(label, str) else label: weight
                for label, weight in kwargs["class_weight"].items()
            }
        batches = self._batches(x, y, batch_size, total, shuffle=kwargs.pop("shuffle", True))
        if validation_data is not None:
            if not isinstance(validation_data, tuple):
                validation_data = (validation_data, None)
            validation_total = text_batches.count(validation_data[0], self._class_id)
            validation_data = self._batches(*validation_data, batch_size, validation_total)
        if not self._compiled_by_user:
            self._compile_by_default(math.ceil(total / batch_size) * epochs)
        return super().fit(
            batches, epochs=epochs, validation_data=validation_data, shuffle=False, **kwargs
        )

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
        if text_batches.is_text(x):
            total = text_batches.count(x, self._class_id)
            return super().evaluate(self._batches(x, y, batch_size, total), **kwargs)
        return super().evaluate(x, y, batch_size=batch_size, **kwargs)

    def predict(self, x, batch_size=16, **kwargs):
        """Probabilities of texts, or as `keras.Model.predict` of token ids.

        Args:
            x: list (or array) of str, a reader, or what `keras.Model.predict` takes.
            batch_size: int, documents a step.
            **kwargs: what else `keras.Model.predict` takes.

        Returns:
            float32 array `[documents, classes]`, in the order of `labels`.
        """
        if not text_batches.is_text(x):
            return super().predict(x, batch_size=batch_size, **kwargs)
        total = text_batches.count(x)
        if total == 0:
            return np.zeros((0, len(self.labels)), "float32")
        batches = self._batches(x, None, batch_size, total, with_classes=False)
        return super().predict(batches, **kwargs)

    def classify(self, texts, batch_size=16):
        """Names the class of every text.

        Args:
            texts: list of str.
            batch_size: int, documents a step.

        Returns:
            A list of dictionaries, one a text: "label" (str), "probabilities" (label -> float, the
            most probable first), "tokens" (int, how many the model read) and "truncated" (bool,
            whether the text had more).

        Raises:
            ValueError: for a single string.
            TypeError: for what is not text.
        """
        text_batches.refuse_single(texts)
        texts = [as_bytes(document, i) for i, document in enumerate(texts)]
        rows = self.predict(texts, batch_size=batch_size, verbose=0)
        results = []
        for document, row in zip(texts, rows, strict=True):
            # One token more than the model reads shows whether the text goes on.
            tokens = int(
                self.tokenizer.encode([document], self.sequence_length + 1).row_lengths()[0]
            )
            order = np.argsort(-row, kind="stable")
            results.append(
                {
                    "label": self.labels[order[0]],
                    "probabilities": {self.labels[i]: float(row[i]) for i in order},
                    "tokens": min(tokens, self.sequence_length),
                    "truncated": tokens > self.sequence_length,
                }
            )
        return results

    def _batches(self, texts, labels, batch_size, total, shuffle=False, with_classes=True):
        # Under XLA every length is a program of its own: there all batches get the same one.
        one_length = (
            keras.backend.backend() == "jax"
            or getattr(self, "jit_compile", False) is True
            or self.backbone.arguments["static_length"]
        )
        return text_batches.batches(
            texts,
            labels,
            total=total,
            encode=lambda text: self.tokenizer.encode(text, self.sequence_length),
            class_id=self._class_id if with_classes else None,
            batch_size=batch_size,
            shuffle=shuffle,
            length=self.sequence_length if one_length else None,
        )

    def _class_id(self, label):
        try:
            return self.labels.index(str(label))
        except ValueError:
            raise ValueError(
                f"Unknown label {label!r}; this model knows {', '.join(map(repr, self.labels))}."
            ) from None

    def save(self, filepath, overwrite=True, **kwargs):
        """As `keras.Model.save`, but the file appears whole or not at all.

        Args:
            filepath: str or path, ending in ".keras".
            overwrite: bool, whether an existing file may be replaced.
            **kwargs: what else `keras.Model.save` takes.

        Raises:
            ValueError: if the path has another ending.
            FileExistsError: if the file exists and `overwrite` is false.
        """
        path = Path(filepath)
        if path.suffix != ".keras":
            raise ValueError(f"A model is saved to a path that ends in .keras. Received: {path}.")
        recipe = self.optimizer if self.compiled and not self._compiled_by_user else None
        if recipe is not None:
            self.optimizer = None  # its state is dead weight: `fit` will start its recipe anew
        try:
            with written_whole(path, overwrite) as unfinished:
                super().save(unfinished, **kwargs)
        finally:
            if recipe is not None:
                self.optimizer = recipe

    @classmethod
    def load(cls, path):
        """Loads what `save` wrote.

        Args:
            path: str or path of a .keras file, or of a directory that holds a model.keras.

        Returns:
            `LongDocumentClassifier`.

        Raises:
            FileNotFoundError: if there is no such file.
            ValueError: if the file holds another model.
        """
        path = Path(path)
        file = path / "model.keras" if path.is_dir() else path
        if not file.is_file():
            raise FileNotFoundError(f"Expected a .keras file. There is none at {file}.")
        if not zipfile.is_zipfile(file):
            raise ValueError(f"{file} is no .keras file. Name one that `save` wrote.")
        # Classifiers of every kind are known to Keras once they are imported; this one lives above.
        import keras_combiner.optimization  # noqa: F401

        model = keras.saving.load_model(file)
        if not isinstance(model, cls):
            raise ValueError(f"{file} holds a {type(model).__name__}, not a {cls.__name__}.")
        return model

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
                self.get_layer("probabilities").dtype_policy  # its own once it is quantized
            ),
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


def _check_labels(labels):
    if len(labels) < 2 or len(set(labels)) < len(labels):
        raise ValueError(
            f"`labels` must be at least two different names, one a class. Received: {labels!r}."
        )


def _steps(x, batch_size, validation_split):
    """Number of training steps in an epoch over what is not texts, or None if it is unknown."""
    if hasattr(x, "shape"):
        return max(1, math.ceil(x.shape[0] * (1 - validation_split) / batch_size))
    if hasattr(x, "cardinality"):
        steps = int(x.cardinality())
        return steps if steps > 0 else None
    return len(x) if hasattr(x, "__len__") else None
