"""EmbeddingModel: how an embedder learns from pairs and triplets of texts."""

import keras
import numpy as np
import tensorflow as tf

from keras_combiner.batches.document_encoder import DocumentEncoder
from keras_combiner.batches.encoded_documents import EncodedDocuments
from keras_combiner.batches.text_batches import TextBatches
from keras_combiner.models import fit_arguments
from keras_combiner.models.document_answers import DocumentAnswers
from keras_combiner.models.gradient_caching import cached_gradients, check_caching
from keras_combiner.models.multiple_negatives_ranking import MultipleNegativesRanking
from keras_combiner.models.text_rows import documents_of_rows, texts_in_rows


class EmbeddingModel(DocumentAnswers, keras.Model):
    """A functional model from token ids `[batch, length]` to embeddings `[batch, dim]`.

    It trains on texts that belong together, and answers for whole documents.

    A subclass sets `backbone`, `tokenizer`, `task` and `long_texts`, which `LongDocumentEmbedder`
    documents.
    """

    _mini_batch_size = None  # of `fit`

    def fit(self, x=None, y=None, batch_size=16, epochs=1, mini_batch_size=None, **kwargs):
        """Trains on pairs or triplets of texts, each of which is told from all others of a batch.

        An anchor's vector is to be nearer to that of its positive than to those of the other
        positives and the negatives of the batch: the more of them, the more there is to learn. With
        `mini_batch_size`, a batch may be larger than memory: its gradients are computed a few texts
        at a time, at the cost of computing each text twice
        (`keras_combiner.models.gradient_caching`). Texts longer than `sequence_length` are
        truncated, whatever `long_texts` says.

        Args:
            x: anchors, texts as in `embed`, without a reader: questions, or titles, for example.
            y: one an anchor: its positive, a text; or a list of its positive and one or more
                negatives, as many for every anchor.
            batch_size: int, at least 2 for pairs: anchors a step. A single pair that is left over
                is in the batch before it.
            epochs: int, passes over the anchors.
            mini_batch_size: int, texts that go through the model at once; None for all of a batch.
                It needs the TensorFlow backend of Keras. Validation does not use it: its memory is
                bounded by `validation_batch_size`.
            **kwargs: what else `LongDocumentClassifier.fit` takes, except for weights:
                `seed`, `callbacks`, and `validation_data`, a pair of anchors and the texts that
                belong to them, for example. `compile` replaces the recipe, and the loss
                (`keras_combiner.models.MultipleNegativesRanking`).

        Returns:
            `keras.callbacks.History`.

        Raises:
            TypeError: for what is not text.
            ValueError: without positives, for a single pair, for anchors with different numbers of
                texts, for numbers out of range, or if `mini_batch_size` does not go with the model
                or the backend.
        """
        if mini_batch_size is not None:
            mini_batch_size = fit_arguments.whole_number("mini_batch_size", mini_batch_size, 1)
            check_caching(self, is_compiled_by_xla=self._compiled_by_user and self.jit_compile)
        if mini_batch_size != self._mini_batch_size:
            self._mini_batch_size, self.train_function = mini_batch_size, None
        return super().fit(x, y, batch_size=batch_size, epochs=epochs, **kwargs)

    def train_step(self, *args):
        """As that of Keras; in mini-batches if `fit` was asked for them."""
        if self._mini_batch_size is None:
            return super().train_step(*args)
        token_ids, y = args[0]
        outputs, gradients = cached_gradients(
            self,
            token_ids,
            lambda outputs: self.optimizer.scale_loss(self.compute_loss(token_ids, y, outputs)),
            self._mini_batch_size,
        )
        loss = self.compute_loss(token_ids, y, outputs)
        self._loss_tracker.update_state(loss, sample_weight=keras.ops.shape(token_ids)[0])
        self.optimizer.apply_gradients(zip(gradients, self.trainable_weights, strict=True))
        return self.compute_metrics(token_ids, y, outputs)

    def loss_and_metrics(self):
        """Returns the loss of in-batch negatives, and whether XLA compiles a step, a dict."""
        # XLA wants to know all shapes: mini-batches are as long as their texts.
        jit_compile = "auto" if self._mini_batch_size is None else False
        return {"loss": MultipleNegativesRanking(), "jit_compile": jit_compile}

    def _documents(self, x, y=None, weights=None):
        if weights is not None:
            raise ValueError("Pairs and triplets of texts have no weights: leave them out.")
        return documents_of_rows(x, y)

    def _check_shape_of_targets(self, x, y):
        raise TypeError(
            "An embedder is trained and evaluated on texts: anchors, and for each of them its "
            f"positive. Received: {type(x).__name__}."
        )

    def _batches(
        self,
        documents,
        batch_size,
        order="grouped",
        seed=0,
        training=False,
        with_targets=True,
        facts=None,
    ):
        options = {}
        if with_targets:
            documents, group_size = texts_in_rows(documents)
            if batch_size < 2 and group_size == 2:
                raise ValueError(
                    "`batch_size` must be at least 2 for pairs: the other texts of a batch are "
                    f"what a positive is told from. Received: {batch_size}."
                )
            if len(documents.texts) == group_size == 2:
                raise ValueError(
                    "Expected at least 2 pairs: the other texts are what a positive is told from. "
                    "Received: 1. Add pairs, or give the anchor negatives."
                )
            options = {
                "group_size": group_size,
                "target": tf.TensorSpec([group_size], tf.int32),
                "fewest": 2 if group_size == 2 else 1,
            }
        long_texts = "truncate" if with_targets else self.long_texts
        encoded = EncodedDocuments(
            documents,
            DocumentEncoder(self.tokenizer, self.sequence_length, long_texts),
            target=np.int32 if with_targets else None,
        )
        encoded.check_unknown(training=training, each=not with_targets)
        return TextBatches(
            encoded,
            batch_size,
            order=order,
            seed=seed,
            padded_lengths=self._padded_lengths(order),
            facts=facts,
            **options,
        )
