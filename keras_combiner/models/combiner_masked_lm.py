"""CombinerMaskedLM: which token a mask hides."""

import keras
import tensorflow as tf
from keras import ops

from keras_combiner.backbones.combiner_backbone import CombinerBackbone, check_backbone, check_size
from keras_combiner.batches.document_encoder import (
    DocumentEncoder,
    check_long_texts,
    with_long_texts,
)
from keras_combiner.batches.documents import Documents
from keras_combiner.batches.encoded_documents import EncodedDocuments
from keras_combiner.batches.text_batches import TextBatches
from keras_combiner.batches.text_inputs import stream_or_texts
from keras_combiner.batches.windows import split_into_parts
from keras_combiner.convert import use_combiner
from keras_combiner.models.at_mask_positions import at_mask_positions
from keras_combiner.models.language_model import LanguageModel
from keras_combiner.models.make_tokenizer import make_tokenizer
from keras_combiner.models.masked_accuracy import MaskedAccuracy
from keras_combiner.models.text_training import TextTraining
from keras_combiner.models.tokenizer_checks import check_fits, check_found, check_sequence_length
from keras_combiner.text.whole_word_masking import (
    WholeWordMasking,
    check_mask_token,
    check_masked_share,
)

# Every text begins and ends with a special token: in a text of two there is nothing to hide.
_FRAME = 2


@keras.saving.register_keras_serializable(package="keras_combiner")
class CombinerMaskedLM(TextTraining, LanguageModel):
    """Masked language model: logits over the vocabulary at every position.

    A functional `keras.Model` from token ids `[batch, length]`, some of them replaced by a mask
    token, to logits `[batch, length, vocabulary]`. The matrix that makes the logits is the token
    embedding.

    With a tokenizer it pretrains on texts: `fit`, `evaluate` and `validation_data` accept lists of
    strings and the readers of `keras_combiner.datasets`. In every epoch other words are hidden
    (see `keras_combiner.text.WholeWordMasking`), in validation always the same ones. A classifier
    starts from it with `LongDocumentClassifier.from_pretrained`.

    Without texts, `fit` takes the ids with masks as `x`, and as `y` the ids that the masks hide,
    with 0 wherever nothing is to be predicted. With and without texts, `fit` uses the recipe of
    `LongDocumentClassifier`, unless you `compile` the model yourself.

    Masking: token id 0 is padding. Targets of 0 count neither in the loss nor in its gradient.

    Args:
        backbone: `CombinerBackbone`, not causal.
        tokenizer: `keras_combiner.text.Tokenizer` with a mask token; None for a model that takes
            no texts. It is saved with the model.
        masked_share: float, share of the words of a text that are to be predicted.
        long_texts: "windows" or "truncate", how texts longer than the backbone reads are read: in
            consecutive windows that cover all of them, or their first tokens alone.
        learning_rate: float, the highest learning rate of `fit`'s own recipe. If None, one for a
            backbone that starts from random weights, by its width.
        **kwargs: `name` and `trainable`.

    Call arguments:
        token_ids: int tensor `[batch, length]`; or a dict of that and "mask_positions", int tensor
            `[batch, n]`: logits at those positions only, `[batch, n, vocabulary]`.
        training: bool, whether to apply dropout.
        mask: the implicit Keras mask of the inputs, which is not used: it is made of the ids.

    Returns:
        float32 tensor (float64 for such a backbone) `[batch, length, vocabulary]`.

    Raises:
        TypeError: if `backbone` is not a `CombinerBackbone`, or for an unknown argument.
        ValueError: if the backbone is causal or has fewer token ids than the tokenizer, the
            tokenizer has no mask token, or for an unknown `long_texts` or a `masked_share` out of
            range.

    Example:

    >>> texts = ["long ago and far away", "tomorrow it will rain"] * 8
    >>> model = CombinerMaskedLM.from_texts(
    ...     texts, sequence_length=32, vocabulary_size=60, num_layers=1, verbose=False
    ... )
    >>> history = model.fit(texts, epochs=2, batch_size=4, verbose=0).history
    >>> sorted(history)
    ['accuracy', 'loss']

    With masks of your own:

    >>> import numpy as np
    >>> from keras_combiner.models import CombinerBackbone
    >>> backbone = CombinerBackbone.from_size("tiny", vocabulary_size=50, sequence_length=64)
    >>> model = CombinerMaskedLM(backbone)
    >>> token_ids = np.random.default_rng(0).integers(5, 50, size=(8, 40))
    >>> hidden = np.random.default_rng(1).random(token_ids.shape) < 0.15
    >>> masked = np.where(hidden, 4, token_ids)  # 4 is this vocabulary's mask
    >>> _ = model.fit(masked, np.where(hidden, token_ids, 0), verbose=0)
    >>> tuple(model(masked).shape)
    (8, 40, 50)

    Reference:
        Devlin et al., "BERT: Pre-training of Deep Bidirectional Transformers for Language
        Understanding", 2019, https://arxiv.org/abs/1810.04805, section 3.1. Tied weights: Press
        and Wolf, "Using the Output Embedding to Improve Language Models", 2017,
        https://arxiv.org/abs/1608.05859.
    """

    def __init__(
        self,
        backbone,
        tokenizer=None,
        masked_share=0.15,
        long_texts="windows",
        learning_rate=None,
        **kwargs,
    ):
        check_backbone(backbone)
        if backbone.arguments["use_causal_mask"]:
            raise ValueError(
                "A masked language model sees both sides of a mask: build the backbone with "
                "use_causal_mask=False, or take CombinerCausalLM."
            )
        check_masked_share(masked_share)
        check_long_texts(long_texts)
        if tokenizer is not None:
            check_mask_token(tokenizer)
            check_fits(backbone, tokenizer)
        super().__init__(backbone, **kwargs)
        self.input_spec = None  # there may be positions beside the token ids
        self.tokenizer = tokenizer
        self.masked_share = masked_share
        self.long_texts = long_texts
        self.learning_rate = learning_rate

    @classmethod
    def from_texts(
        cls,
        texts,
        sequence_length=512,
        size="tiny",
        vocabulary_size=8000,
        tokenizer="wordpiece",
        masked_share=0.15,
        verbose=True,
        long_texts="windows",
        **kwargs,
    ):
        """Builds an untrained model for these texts.

        Args:
            texts: texts as `fit` takes them, or an iterable of str that can be read more than once,
                such as `reader.texts()`; the vocabulary is learned from it.
            sequence_length: int, the most tokens that are read at once: a small number makes many
                steps of a small corpus. A classifier that starts from the model may read longer
                texts.
            size: str, one of `keras_combiner.models.SIZES`.
            vocabulary_size: int, the most tokens that a learned vocabulary may have.
            tokenizer: "wordpiece" (learned from `texts`), "bytes" (no vocabulary), or a
                `keras_combiner.text.Tokenizer` with a mask token.
            masked_share: float, share of the words of a text that are to be predicted.
            verbose: bool, whether to say what is being done.
            long_texts: "windows" or "truncate", how texts longer than `sequence_length` are read.
            **kwargs: what else `CombinerBackbone` takes, for example `block_size`.

        Returns:
            `CombinerMaskedLM`.

        Raises:
            ValueError: for an unknown `size`, `tokenizer` or `long_texts`, a `masked_share` out of
                range, or texts without a word.
        """
        # Wrong arguments are refused before a vocabulary is learned, which takes a while.
        check_masked_share(masked_share)
        check_long_texts(long_texts)
        check_size(size)
        check_sequence_length(sequence_length)
        texts = stream_or_texts(texts)
        tokenizer = make_tokenizer(
            tokenizer, texts, vocabulary_size, verbose=verbose, mask_token=True
        )
        check_mask_token(tokenizer)
        backbone = CombinerBackbone.from_size(
            size, tokenizer.vocabulary_size, sequence_length, **kwargs
        )
        return cls(backbone, tokenizer, masked_share=masked_share, long_texts=long_texts)

    @classmethod
    def from_pretrained(
        cls,
        source,
        sequence_length=512,
        masked_share=0.15,
        learning_rate=1e-4,
        long_texts="windows",
        **kwargs,
    ):
        """Builds a model on pretrained weights, to be trained further on your texts.

        Args:
            source: as for `keras_combiner.convert.use_combiner`, with a vocabulary that has
                `[MASK]`.
            sequence_length: int, the most tokens that are read at once.
            masked_share: float, share of the words of a text that are to be predicted.
            learning_rate: float, the highest learning rate of `fit`'s own recipe: a small one
                keeps what was learned before.
            long_texts: "windows" or "truncate", how texts longer than `sequence_length` are read.
            **kwargs: what else `use_combiner` takes, for example `block_size` or `tokenizer`.

        Returns:
            `CombinerMaskedLM`.

        Raises:
            TypeError: if the source is a model that does not become a `CombinerBackbone`.
            ValueError: for a source without a tokenizer or mask token, an unknown `long_texts`, a
                `masked_share` out of range, or for what `use_combiner` refuses.
        """
        check_masked_share(masked_share)
        check_long_texts(long_texts)
        backbone, tokenizer = use_combiner(source, sequence_length=sequence_length, **kwargs)
        check_backbone(backbone)
        check_found(tokenizer)
        return cls(
            backbone,
            tokenizer,
            masked_share=masked_share,
            long_texts=long_texts,
            learning_rate=learning_rate,
        )

    def call(self, token_ids, training=None, mask=None):
        """See the class docstring."""
        if not isinstance(token_ids, dict):
            return super().call(token_ids, training=training, mask=mask)
        positions = ops.cast(token_ids["mask_positions"], "int32")
        hidden_states = self.backbone(token_ids["token_ids"], training=training)
        batch, length, features = ops.shape(hidden_states)
        # One row a token, of which the wanted ones are taken.
        rows = positions + length * ops.expand_dims(ops.arange(batch, dtype="int32"), 1)
        wanted = ops.take(ops.reshape(hidden_states, (-1, features)), rows, axis=0)
        return self.backbone.embedding.token_embedding(wanted, reverse=True)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """As `keras.Model.compute_loss`; there must be targets."""
        if y is None:
            raise ValueError(
                "A masked language model needs targets: `fit(masked_ids, targets)`, where targets "
                "hold the hidden tokens and 0 elsewhere."
            )
        return super().compute_loss(x, y, y_pred, sample_weight, training)

    def loss_and_metrics(self):
        """Returns what `compile` takes: a metric, the share of hidden tokens that are found."""
        return {"metrics": [MaskedAccuracy()]}

    def _documents(self, x, y=None, weights=None):
        if y is not None:
            raise ValueError("Texts are their own targets: leave `y` out.")
        if weights is not None:
            raise ValueError("Texts that are their own targets have no weights: leave them out.")
        return Documents(x)

    def _batches(self, documents, batch_size, order="grouped", seed=0, training=False, facts=None):
        if self.tokenizer is None:
            raise ValueError(
                "The model has no tokenizer: build it with one to train on texts, as "
                "CombinerMaskedLM.from_texts does, or give it token ids."
            )
        masking = WholeWordMasking(self.tokenizer, self.masked_share, seed)
        encoded = EncodedDocuments(
            documents,
            DocumentEncoder(
                self.tokenizer, self.sequence_length, self.long_texts, split=split_into_parts
            ),
        )
        if len(encoded.lengths) and encoded.lengths.max() <= _FRAME:
            raise ValueError(
                f"There is no word to be hidden in {len(encoded.windows):,} document(s): all of "
                "them are empty."
            )
        encoded.check_unknown(training=training)
        return TextBatches(
            encoded,
            batch_size,
            order=order,
            seed=seed,
            padded_lengths=self._padded_lengths(order),
            target=tf.TensorSpec([None], tf.int32),
            augment=lambda token_ids, keys: at_mask_positions(*masking(token_ids, keys)),
            facts=facts,
        )

    def get_config(self):
        """Returns the constructor's arguments as a dictionary."""
        tokenizer = self.tokenizer
        return {
            **super().get_config(),
            "tokenizer": tokenizer and keras.saving.serialize_keras_object(tokenizer),
            "masked_share": self.masked_share,
            "long_texts": self.long_texts,
            "learning_rate": self.learning_rate,
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        """Undoes `get_config`."""
        config = with_long_texts(config)
        tokenizer = config.get("tokenizer")  # files of earlier versions have none
        if tokenizer is not None:
            tokenizer = keras.saving.deserialize_keras_object(
                tokenizer, custom_objects=custom_objects
            )
        return super().from_config({**config, "tokenizer": tokenizer}, custom_objects)
