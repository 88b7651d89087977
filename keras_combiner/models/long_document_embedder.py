"""LongDocumentEmbedder: whole documents in, vectors out."""

import os
import warnings

import keras
import numpy as np

from keras_combiner.backbones.arguments import check_keywords
from keras_combiner.backbones.combiner_backbone import check_backbone
from keras_combiner.backbones.trainable_layers import model_from_config, trainable_layers
from keras_combiner.batches import text_inputs
from keras_combiner.batches.document_encoder import check_long_texts
from keras_combiner.convert import use_combiner
from keras_combiner.convert.combiner_weights import combiner_file
from keras_combiner.convert.sentence_transformers import (
    POOLINGS,
    SIMILARITIES,
    SentenceTransformer,
    is_directory_of_weights,
    read_sentence_transformer,
)
from keras_combiner.data_warning import DataWarning
from keras_combiner.keras_files import load_model
from keras_combiner.layers import MaskedAveragePooling
from keras_combiner.models.embedding_model import EmbeddingModel
from keras_combiner.models.not_finite_error import refuse_not_finite
from keras_combiner.models.tokenizer_checks import check_fits, check_found
from keras_combiner.tasks import Embedding

_EMBEDS = ("pooling", "normalize", "truncate_dim", "similarity_function")
_WEIGHTING = {"mean": "equal", "cls": "first", "last": "last", "weighted_mean": "position"}


@keras.saving.register_keras_serializable(package="keras_combiner")
class LongDocumentEmbedder(EmbeddingModel):
    """Embeds whole documents: tokenizer, backbone, pooling, and a vector for each document.

    A functional `keras.Model` from token ids `[batch, length]` to embeddings `[batch, dim]` that
    also takes texts. Documents that say something similar get vectors with a large cosine.

    Texts longer than the backbone reads are truncated, of which `embed` warns with their number;
    or, with `long_texts="windows"`, covered by overlapping windows, and a document's embedding is
    the mean of those of its windows, brought to length 1 if embeddings have that length.

    Masking: token id 0 is padding. Embeddings do not depend on the amount of padding.

    Args:
        backbone: `CombinerBackbone`.
        tokenizer: `keras_combiner.text.Tokenizer`.
        pooling: "mean" of the states of all tokens; "cls", the state of the first token; "last",
            that of the last one; or "weighted_mean", in which the first token counts 1, the second
            2, and so on.
        normalize: bool, whether embeddings are brought to length 1.
        truncate_dim: int, how many numbers of a vector are kept, for models that were trained so
            that the first ones say most ("Matryoshka"); None for all. This is done before vectors
            are brought to length 1 (in sentence-transformers after, which leaves them shorter;
            cosines are the same).
        long_texts: "truncate" or "windows", how texts longer than the backbone reads are read.
        similarity_function: "cosine" or "dot", what `similarity` computes.
        learning_rate: float, the highest learning rate of `fit`'s own recipe. If None, one for a
            backbone that starts from random weights, by its width.
        **kwargs: `name` and `trainable`.

    Raises:
        TypeError: if `backbone` is not a `CombinerBackbone`, or for an unknown argument.
        ValueError: if the backbone has fewer token ids than the tokenizer, for an unknown
            `pooling`, `long_texts` or `similarity_function`, or a `truncate_dim` out of range.

    Example:

    >>> from keras_combiner import CombinerBackbone
    >>> from keras_combiner.text import ByteTokenizer
    >>> tokenizer = ByteTokenizer()
    >>> backbone = CombinerBackbone.from_size("tiny", tokenizer.vocabulary_size, 256)
    >>> embedder = LongDocumentEmbedder(backbone, tokenizer, normalize=True)
    >>> embeddings = embedder.embed(["It will rain.", "A king."], verbose=0)
    >>> embeddings.shape, embeddings.dtype
    ((2, 96), dtype('float32'))
    >>> embedder.similarity(["It will rain."], embeddings).round(3)[0, 0]
    np.float32(1.0)
    """

    # What exports ask a model for, and this one has none of.
    learns_ranges = False
    labels = ()

    def __init__(
        self,
        backbone,
        tokenizer,
        pooling="mean",
        normalize=False,
        truncate_dim=None,
        long_texts="truncate",
        similarity_function="cosine",
        learning_rate=None,
        **kwargs,
    ):
        check_backbone(backbone)
        check_keywords(self, kwargs)
        check_fits(backbone, tokenizer)
        check_long_texts(long_texts)
        _check_one_of("pooling", pooling, POOLINGS)
        _check_one_of("similarity_function", similarity_function, SIMILARITIES)
        _check_truncate_dim(truncate_dim, backbone.arguments["hidden_dim"])
        token_ids = keras.Input(backbone.input_shape[1:], dtype="int32", name="token_ids")
        is_float64 = backbone.arguments["dtype"].compute_dtype == "float64"
        dtype = "float64" if is_float64 else "float32"
        pool = MaskedAveragePooling(_WEIGHTING[pooling], dtype=dtype, name="pooling")
        x = pool(backbone(token_ids))
        if truncate_dim is not None:
            x = x[:, :truncate_dim]
        if normalize:
            x = keras.layers.UnitNormalization(dtype=dtype, name="normalization")(x)
        super().__init__(inputs=token_ids, outputs=x, **kwargs)
        self.backbone = backbone
        self.tokenizer = tokenizer
        self.pooling = pooling
        self.truncate_dim = truncate_dim
        self.long_texts = long_texts
        self.similarity_function = similarity_function
        self.learning_rate = learning_rate
        self.task = Embedding(normalize)

    @classmethod
    def from_pretrained(
        cls,
        source,
        sequence_length=4096,
        pooling=None,
        normalize=None,
        truncate_dim=None,
        long_texts="truncate",
        learning_rate=2e-5,
        similarity_function=None,
        **kwargs,
    ):
        """Builds an embedder on pretrained weights.

        Args:
            source: a directory of sentence-transformers, whose modules.json and 1_Pooling say how
                texts are embedded; an embedder, or its .keras file, which reads longer texts then;
                or what else `keras_combiner.convert.use_combiner` takes, whose states are averaged,
                as sentence-transformers does without a modules.json.
            sequence_length: int, the longest document, in tokens; see `long_texts` for longer ones.
            pooling: as in the constructor, in place of what the source says.
            normalize: bool, in place of what the source says.
            truncate_dim: int, in place of what the source says.
            long_texts: "truncate" or "windows", how texts longer than `sequence_length` are read.
            learning_rate: float, the highest learning rate of `fit`'s own recipe: a small one
                keeps what was learned before.
            similarity_function: "cosine" or "dot", in place of what the source says.
            **kwargs: what else `use_combiner` takes, for example `block_size` or `tokenizer`. With
                a `block_size` of at least `sequence_length`, embeddings are those of the source,
                for texts up to its `max_seq_length`, which is not applied here; with smaller blocks
                they are close.

        Returns:
            `LongDocumentEmbedder`.

        Raises:
            TypeError: if the source is a model that does not become a `CombinerBackbone`.
            FileNotFoundError: if a file that modules.json calls for is missing.
            ValueError: for modules, a pooling or settings of the source that this class does not
                have (the message names file and place), a source without a tokenizer, or for what
                the constructor or `use_combiner` refuses.
        """
        check_long_texts(long_texts)
        options = {
            "pooling": pooling,
            "normalize": normalize,
            "truncate_dim": truncate_dim,
            "similarity_function": similarity_function,
        }
        found = _read(source)
        for name in _EMBEDS:
            if options[name] is None:
                options[name] = getattr(found, name)
        backbone, tokenizer = use_combiner(found.encoder, sequence_length=sequence_length, **kwargs)
        check_backbone(backbone)
        check_found(tokenizer)
        found.check_tokenizer(tokenizer)
        return cls(
            backbone, tokenizer, long_texts=long_texts, learning_rate=learning_rate, **options
        )

    def embed(self, texts, batch_size=16, verbose="auto"):
        """Embeds texts.

        Texts of about the same length share a batch. `predict_with_summary` also returns how many
        texts, tokens and windows there were.

        Args:
            texts: list of str (or any container that `LongDocumentClassifier.fit` takes), or a
                reader of `keras_combiner.datasets`.
            batch_size: int, texts (or windows) a step.
            verbose: "auto", 0, 1 or 2, as in `keras.Model.predict`: whether to show progress.

        Returns:
            float32 array `[texts, dim]`, in the order of the texts.

        Raises:
            NotFiniteError: a ValueError, if the model's outputs are not finite numbers.
            ValueError: for a single string, or another container.
            TypeError: for what is not text.
        """
        embeddings, summary = self.predict_with_summary(texts, batch_size, verbose=verbose)
        refuse_not_finite(embeddings)
        num_long = summary["longer_than_sequence_length"]
        if num_long and self.long_texts == "truncate":
            warnings.warn(
                f"{num_long:,} of {summary['documents']:,} texts are longer than "
                f"{self.sequence_length:,} tokens (sequence_length), and truncated. Take a larger "
                "one, or long_texts='windows'.",
                DataWarning,
                stacklevel=2,
            )
        return embeddings.astype("float32")

    def similarity(self, a, b, batch_size=16):
        """Compares texts by their embeddings.

        Args:
            a: texts as in `embed`, or their embeddings, float array `[n, dim]`.
            b: texts or embeddings, `[m, dim]`.
            batch_size: int, texts a step.

        Returns:
            float32 array `[n, m]`: the cosine of each embedding of `a` and each of `b`; or their
            dot product, with `similarity_function="dot"`.

        Raises:
            ValueError: for arrays of another shape, and for what `embed` refuses.
        """
        a, b = (self._as_embeddings(x, name, batch_size) for name, x in (("a", a), ("b", b)))
        if self.similarity_function == "cosine":
            a, b = (
                x / np.maximum(np.linalg.norm(x, axis=-1, keepdims=True), 1e-12) for x in (a, b)
            )
        return a @ b.T

    def _as_embeddings(self, x, name, batch_size):
        if text_inputs.is_text(x):
            return self.embed(x, batch_size, verbose=0)
        x, dim = np.asarray(x, "float32"), self.output_shape[-1]
        if x.ndim != 2 or x.shape[1] != dim:
            raise ValueError(
                f"Expected `{name}` to be texts, or embeddings of shape [texts, {dim}]. Received: "
                f"an array of shape {x.shape}."
            )
        return x

    def get_config(self):
        """Returns the constructor's arguments as a dictionary."""
        return {
            "backbone": keras.saving.serialize_keras_object(self.backbone),
            "tokenizer": keras.saving.serialize_keras_object(self.tokenizer),
            "pooling": self.pooling,
            "normalize": self.task.normalize,
            "truncate_dim": self.truncate_dim,
            "long_texts": self.long_texts,
            "similarity_function": self.similarity_function,
            "learning_rate": self.learning_rate,
            "name": self.name,
            "trainable": self.trainable,
            "trainable_layers": trainable_layers(self),
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        """Undoes `get_config`."""
        config = dict(config)
        for name in ("backbone", "tokenizer"):
            config[name] = keras.saving.deserialize_keras_object(
                config[name], custom_objects=custom_objects
            )
        return model_from_config(cls, config)


def _read(source):
    """How a source embeds, with what `use_combiner` is to read as the encoder."""
    if isinstance(source, (str, os.PathLike)):
        # As `use_combiner`, which reads a config.json where there is a .keras file as well.
        file = None if is_directory_of_weights(source) else combiner_file(source)
        if file is None:
            return read_sentence_transformer(source)
        source = load_model(file, compile=False)
    if isinstance(source, LongDocumentEmbedder):
        config = source.get_config()
        return SentenceTransformer(source, **{name: config[name] for name in _EMBEDS})
    return SentenceTransformer(source)


def _check_one_of(name, value, values):
    if value not in values:
        raise ValueError(
            f"`{name}` must be one of {', '.join(map(repr, values))}. Received: {value!r}."
        )


def _check_truncate_dim(truncate_dim, hidden_dim):
    is_int = isinstance(truncate_dim, int) and not isinstance(truncate_dim, bool)
    if truncate_dim is not None and not (is_int and 1 <= truncate_dim <= hidden_dim):
        raise ValueError(
            f"`truncate_dim` must be an int from 1 to {hidden_dim}, the width of the backbone, or "
            f"None. Received: {truncate_dim!r}."
        )
