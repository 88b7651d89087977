"""LongDocumentClassifier: whole documents in, labels out."""

import keras

from keras_combiner import tasks
from keras_combiner.backbones.arguments import check_keywords
from keras_combiner.backbones.combiner_backbone import CombinerBackbone, check_backbone, check_size
from keras_combiner.backbones.trainable_layers import model_from_config, trainable_layers
from keras_combiner.batches import text_inputs
from keras_combiner.batches.document_encoder import check_long_texts, with_long_texts
from keras_combiner.batches.documents import Documents
from keras_combiner.convert import use_combiner
from keras_combiner.datasets.label_names import label_name
from keras_combiner.layers import TokenDropout
from keras_combiner.models import calibration
from keras_combiner.models.classifier_head import ClassifierHead, check_head
from keras_combiner.models.document_model import DocumentModel
from keras_combiner.models.make_tokenizer import make_tokenizer
from keras_combiner.models.not_finite_error import refuse_not_finite
from keras_combiner.models.tokenizer_checks import check_fits, check_found, check_sequence_length


@keras.saving.register_keras_serializable(package="keras_combiner")
class LongDocumentClassifier(DocumentModel):
    """Classifies whole documents: tokenizer, backbone, pooling, softmax over the labels.

    A functional `keras.Model` from token ids `[batch, length]` to probabilities
    `[batch, classes]` that also takes texts: `fit`, `evaluate` and `predict` accept, besides
    arrays of token ids, lists of strings and the readers of `keras_combiner.datasets`. The
    tokenizer and the labels are saved with the model.

    With `task="multi_label"` a document has any number of labels, given as a list, and every label
    a probability of its own (sigmoid, binary cross entropy). With `task="regression"` it has a
    number, and the model returns values `[batch, 1]` (mean squared error).

    Texts longer than the backbone reads are truncated; or, with `long_texts="windows"`, covered by
    overlapping windows. In training every window has its document's label. `predict`, `evaluate`,
    `classify` and validation average the logits of a document's windows, and so do SavedModels and
    ONNX files. A program that runs a .tflite file must do the same if the file's metadata says so,
    as examples/on_device and examples/web do.

    `fit` on a model that was never compiled uses its own recipe: AdamW with gradient clipping, and
    a learning rate that warms up and decays along a cosine over the epochs asked for. Calling
    `compile` yourself replaces it, as in any Keras model (outputs are probabilities).

    Masking: token id 0 is padding. Probabilities do not depend on the amount of padding.

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
        long_texts: "truncate" or "windows", how texts longer than the backbone reads are read.
        pooling: "mean", the average of all tokens for all labels, or "label", an average for each
            label, weighted by its own attention; see `keras_combiner.layers.LabelAttentionPooling`.
        lexical: bool, whether a linear model of the document's token ids adds its logits to those
            of the transformer ("wide and deep"), see `keras_combiner.layers.BagOfTokens`; or a
            `keras.regularizers.Regularizer` of its table, which means True. In training it answers
            alone for half of the documents of a step: `keras_combiner.layers.SumOfBranches`.
        **kwargs: `name` and `trainable`.

    Raises:
        TypeError: if `backbone` is not a `CombinerBackbone`, or for an unknown argument.
        ValueError: if there are fewer than two labels, a label occurs twice, the backbone has
            fewer token ids than the tokenizer, or for an unknown `task`, `long_texts`, `pooling` or
            `lexical`.

    Example:

    >>> texts = ["long ago and far away"] * 8 + ["tomorrow it will rain"] * 8
    >>> labels = ["tale"] * 8 + ["weather"] * 8
    >>> classifier = LongDocumentClassifier.from_texts(
    ...     texts, labels, sequence_length=32, vocabulary_size=60, num_layers=1, verbose=False
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
        long_texts="truncate",
        pooling="mean",
        lexical=False,
        **kwargs,
    ):
        # Those of a saved model stay as they were saved, whatever the rule was then.
        labels = [
            str(x) if isinstance(x, str) else label_name(x)
            for x in text_inputs.as_list(labels, "labels")
        ]
        task = tasks.get(task)
        task.check_names(labels)
        check_long_texts(long_texts)
        check_head(pooling, lexical)
        check_backbone(backbone)
        check_keywords(self, kwargs)
        check_fits(backbone, tokenizer)
        token_ids = keras.Input(backbone.input_shape[1:], dtype="int32", name="token_ids")
        kept = TokenDropout(token_dropout, name="token_dropout")(token_ids)
        head = ClassifierHead(task, task.units(labels), pooling, lexical, dropout, head_dtype)
        super().__init__(inputs=token_ids, outputs=head(backbone, kept), **kwargs)
        self.backbone = backbone
        self.tokenizer = tokenizer
        self.labels = labels
        self.dropout = dropout
        self.token_dropout = token_dropout
        self.learning_rate = learning_rate
        self.task = task
        self.long_texts = long_texts
        self.pooling = pooling
        self.lexical = lexical
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
        long_texts="truncate",
        pooling="mean",
        lexical=True,
        **kwargs,
    ):
        """Builds an untrained classifier for these texts and labels.

        Args:
            texts: texts as `fit` takes them, or an iterable of str that can be read more than once,
                such as `reader.texts()`; the vocabulary is learned from it.
            labels: labels as `fit` takes them, one a text. With an iterable of texts, or without
                any, the names of the classes are enough.
            sequence_length: int, the longest document, in tokens; see `long_texts` for longer ones.
            size: str, one of `keras_combiner.models.SIZES`.
            vocabulary_size: int, the most tokens that a learned vocabulary may have.
            tokenizer: "wordpiece" (learned from `texts`), "bytes" (no vocabulary), or a
                `keras_combiner.text.Tokenizer`.
            dropout: float, dropout rate everywhere.
            token_dropout: float, share of the tokens that each step of training leaves out.
            verbose: bool, whether to say what is being done.
            task: "single_label", "multi_label" or "regression".
            long_texts: "truncate" or "windows", how texts longer than `sequence_length` are read.
            pooling: "mean" or "label", as in the constructor.
            lexical: bool or regularizer, as in the constructor. With random weights the linear
                model keeps a classifier from falling behind a bag of words where documents are few.
            **kwargs: what else `CombinerBackbone` takes, for example `block_size`.

        Returns:
            `LongDocumentClassifier`.

        Raises:
            ValueError: for an unknown `size`, `tokenizer`, `task`, `long_texts` or `pooling`, texts
                and labels that differ in number, labels that are missing, look alike or are of
                another kind than the task's, or fewer than two different ones.
        """
        # Wrong arguments are refused before a vocabulary is learned, which takes a while.
        texts, labels = text_inputs.corpus(texts, labels)
        task, names = tasks.get(task).learned(labels)
        task.check_names(names)
        check_long_texts(long_texts)
        check_head(pooling, lexical)
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
            long_texts=long_texts,
            pooling=pooling,
            lexical=lexical,
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
        long_texts="truncate",
        pooling="mean",
        lexical=False,
        **kwargs,
    ):
        """Builds a classifier on pretrained weights, to be fine-tuned with `fit`.

        Args:
            source: a Hugging Face checkpoint directory, a directory that `keras-combiner pretrain`
                wrote, a `CombinerMaskedLM`, a checkpoint of Model Garden's, or a KerasHub model;
                see `keras_combiner.convert.use_combiner`.
            labels: labels as `fit` takes them: the names of the classes, or one a text.
            sequence_length: int, the longest document, in tokens; see `long_texts` for longer ones.
            token_dropout: float, share of the tokens that each step of training leaves out.
            learning_rate: float, the highest learning rate of `fit`'s own recipe: a small one
                keeps what was learned before.
            task: "single_label", "multi_label" or "regression".
            long_texts: "truncate" or "windows", how texts longer than `sequence_length` are read.
            pooling: "mean" or "label", as in the constructor.
            lexical: bool or regularizer, as in the constructor.
            **kwargs: what else `use_combiner` takes, for example `block_size` or `tokenizer`.

        Returns:
            `LongDocumentClassifier`.

        Raises:
            TypeError: if the source is a model that does not become a `CombinerBackbone`.
            ValueError: for an unknown `task`, `long_texts` or `pooling`, labels of another kind
                than the task's, a source without a tokenizer, or for what `use_combiner` refuses.
        """
        task, names = tasks.get(task).learned(labels)
        task.check_names(names)
        check_long_texts(long_texts)
        check_head(pooling, lexical)
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
            long_texts=long_texts,
            pooling=pooling,
            lexical=lexical,
        )

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
            `long_texts="windows"` there is also "windows" (int), how many it took.

        Raises:
            NotFiniteError: a ValueError, if the model's outputs are not finite numbers.
            ValueError: for a single string, another container, or a threshold that is out of range,
                of an unknown label, or for a regression.
            TypeError: for what is not text.
        """
        task = self.task.with_threshold(threshold, self.labels)
        documents = Documents(text_inputs.as_texts(texts))
        batches = self._batches(documents, batch_size, with_targets=False)
        outputs = self._predict_batches(batches, {"verbose": 0})
        refuse_not_finite(outputs)
        results = []
        for i, row in enumerate(outputs):
            result = task.result(row, self.labels)
            result["tokens"] = int(batches.documents.tokens[i])
            result["truncated"] = bool(
                self.long_texts == "truncate" and batches.documents.is_long[i]
            )
            if self.long_texts == "windows":
                result["windows"] = int(batches.documents.windows[i])
            results.append(result)
        return results

    def calibrate(self, texts, labels=None, precision=None, batch_size=16):
        """Makes probabilities match how often answers are right, and chooses thresholds.

        Pass documents that the model was not trained on: on its training documents it is more
        confident, and more often right, than on others. Validation documents will do.

        One temperature `T` is fitted, by which all logits are divided, for the least log loss. It
        goes into the weights of the last layer and of the bag of tokens: probabilities are the same
        everywhere, in exports and token weights too, and so is the most probable label. Windows of
        a document are averaged as before. One number is learned reliably from few documents;
        several labels have one for all, since thresholds by label do the rest.

        For several labels, each then gets the threshold with the largest F1 on these documents; or,
        with `precision`, the smallest one above which that share of the answers is right. For
        single labels, `precision` sets one threshold for all classes in the same way: documents
        whose largest probability is not above it get no label. `classify`, SavedModels and
        whatever reads `thresholds.txt` apply thresholds.

        Calibrating again replaces what was found before. Training the model discards it, and so do
        `set_weights` and `load_weights`, with a warning.

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
        ...     texts, labels, sequence_length=32, tokenizer="bytes", num_layers=1
        ... )
        >>> report = classifier.calibrate(texts, labels)
        >>> report.documents, report.after["nll"] <= report.before["nll"]
        (16, True)

        Source: Guo et al., "On Calibration of Modern Neural Networks", ICML 2017,
        https://arxiv.org/abs/1706.04599.
        """
        return calibration.calibrate(self, texts, labels, precision, batch_size)

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
            "long_texts": self.long_texts,
            "pooling": self.pooling,
            "lexical": keras.saving.serialize_keras_object(self.lexical),
            "name": self.name,
            "trainable": self.trainable,
            "trainable_layers": trainable_layers(self),
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        """Undoes `get_config`."""
        config = dict(with_long_texts(config))
        for name in {"backbone", "tokenizer", "lexical"} & set(config):  # earlier files lack some
            config[name] = keras.saving.deserialize_keras_object(
                config[name], custom_objects=custom_objects
            )
        return model_from_config(cls, config)
