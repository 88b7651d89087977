"""WholeWordMasking: hides words of a text, which a model learns to predict."""

import numpy as np
import tensorflow as tf

# Of the words that are to be predicted, what share becomes what; the rest stays as it is.
SHARE_HIDDEN = 0.8
SHARE_RANDOM = 0.1


class WholeWordMasking:
    """Chooses a share of the words of every row of token ids, and hides most of them.

    All pieces of a chosen word are chosen: a start piece and the pieces with `##` that follow it,
    or the bytes between white space. Of the chosen words 80 % become mask tokens, one for each
    piece, 10 % random tokens, and 10 % stay as they are: the model has to predict all of them, and
    cannot rely on what it reads. Special tokens, `[UNK]` among them, and padding are never chosen,
    and no token becomes one.

    Random choices depend on `seed` and on each row's key alone, not on the other rows of the batch
    nor on padding. So a training that is resumed hides what it would have hidden. It is made of
    TensorFlow ops, for `tf.data.Dataset.map`.

    Args:
        tokenizer: `keras_combiner.text.Tokenizer` with a mask token, such as a
            `WordPieceTokenizer` whose vocabulary has `[MASK]`, or `ByteTokenizer(mask_token=True)`.
        masked_share: float above 0 and below 1, share of the words of a row to choose, rounded to
            whole words, but at least one.
        seed: int, at least 0.

    Call arguments:
        token_ids: int tensor `[batch, length]`, 0 for padding.
        keys: int tensor `[batch, 2]`, the seed of each row, such as epoch and number of the
            document.

    Returns:
        Pair of int32 tensors `[batch, length]`: the ids with masks, and the targets, which are the
        ids of the chosen words and 0 elsewhere, as `keras_combiner.CombinerMaskedLM` takes them.

    Raises:
        ValueError: if the tokenizer has no mask token, or `masked_share` or `seed` is out of range.

    Example:

    >>> from keras_combiner.text import WordPieceTokenizer
    >>> vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "long", "##er", "text"]
    >>> tokenizer = WordPieceTokenizer(vocabulary)
    >>> masking = WholeWordMasking(tokenizer, masked_share=0.5, seed=1)
    >>> token_ids = tokenizer(["longer text"], sequence_length=6)
    >>> masked, targets = masking(token_ids, keys=[[0, 0]])
    >>> token_ids.numpy().tolist(), masked.numpy().tolist(), targets.numpy().tolist()
    ([[2, 5, 6, 7, 3, 0]], [[2, 4, 4, 7, 3, 0]], [[0, 5, 6, 0, 0, 0]])

    Reference:
        Devlin et al., "BERT: Pre-training of Deep Bidirectional Transformers for Language
        Understanding", 2019, https://arxiv.org/abs/1810.04805, section 3.1; whole words: the note
        of May 31st, 2019, in https://github.com/google-research/bert.
    """

    def __init__(self, tokenizer, masked_share=0.15, seed=0):
        check_masked_share(masked_share)
        check_mask_token(tokenizer)
        if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
            raise ValueError(f"`seed` must be an int of at least 0. Received: {seed!r}.")
        self.masked_share = masked_share
        self.seed = seed
        self._mask_token_id = tokenizer.mask_token_id
        # Arrays of numpy, which any graph takes in.
        self._in_words, self._goes_on = tokenizer.words()
        self._ordinary_ids = np.flatnonzero(self._in_words).astype("int32")

    def __call__(self, token_ids, keys):
        """See the class docstring."""
        token_ids = tf.cast(token_ids, tf.int32)
        length = tf.shape(token_ids)[1]
        priority, action, replacement = self._draw(tf.cast(keys, tf.int64), length)
        in_words, word, num_words = self._words(token_ids)
        # [batch, words]: the words with the least numbers are chosen.
        is_word = tf.range(length) < num_words[:, tf.newaxis]
        rank = _rank(tf.where(is_word, priority, 2.0))
        num_chosen = tf.round(self.masked_share * tf.cast(num_words, tf.float32))
        num_chosen = tf.minimum(tf.maximum(tf.cast(num_chosen, tf.int32), 1), num_words)
        # [batch, length]: and so are their tokens.
        chosen = in_words & (tf.gather(rank, word, batch_dims=1) < num_chosen[:, tf.newaxis])
        action = tf.gather(action, word, batch_dims=1)
        place = tf.cast(replacement * len(self._ordinary_ids), tf.int32)
        random_ids = tf.gather(self._ordinary_ids, tf.minimum(place, len(self._ordinary_ids) - 1))
        hidden = tf.where(action < SHARE_HIDDEN, self._mask_token_id, random_ids)
        hidden = tf.where(action < SHARE_HIDDEN + SHARE_RANDOM, hidden, token_ids)
        return tf.where(chosen, hidden, token_ids), tf.where(chosen, token_ids, 0)

    def _words(self, token_ids):
        """`[batch, length]`: which tokens stand in words, and in which; `[batch]`: how many."""
        in_words = tf.gather(self._in_words, token_ids)
        after_one = tf.pad(in_words[:, :-1], [[0, 0], [1, 0]])
        begins = in_words & ~(tf.gather(self._goes_on, token_ids) & after_one)
        counts = tf.cumsum(tf.cast(begins, tf.int32), axis=1)
        # A token before the first word gets word 0, too, and is left out by `in_words`.
        return in_words, tf.maximum(counts - 1, 0), counts[:, -1]

    def _draw(self, keys, length):
        """Three float tensors `[batch, length]`, from 0 to below 1, each row by its own key."""

        def draw(key):
            seed = tf.constant([self.seed, 0], tf.int64)
            seed = tf.random.fold_in(seed, key[0], alg="philox")
            seed = tf.random.fold_in(seed, key[1], alg="philox")
            # A row of three for each place: the first numbers do not depend on the length.
            return tf.random.stateless_uniform([length, 3], seed, alg="philox")

        signature = tf.TensorSpec([None, 3], tf.float32)
        return tf.unstack(tf.map_fn(draw, keys, fn_output_signature=signature), num=3, axis=2)


def check_masked_share(masked_share):
    """Raises a ValueError unless `masked_share` is a number above 0 and below 1."""
    if not isinstance(masked_share, (int, float)) or not 0 < masked_share < 1:
        raise ValueError(
            f"`masked_share` must be a number above 0 and below 1. Received: {masked_share!r}."
        )


def check_mask_token(tokenizer):
    """Raises a ValueError unless `tokenizer` has a mask token."""
    if tokenizer.mask_token_id is None:
        raise ValueError(
            f"The tokenizer, a {type(tokenizer).__name__}, has no mask token. Word pieces have one "
            "if [MASK] is in their vocabulary: learn it with learn_wordpiece_vocabulary(..., "
            "mask_token=True), or, of a pretrained model, put [MASK] in place of an entry that "
            "is not used. Bytes have one with ByteTokenizer(mask_token=True)."
        )


def _rank(numbers):
    """`[batch, n]`: how many numbers of the row are less than each; the first of equals first.

    `[0.3 0.1 0.2]` -> `[2 0 1]`.
    """
    order = tf.argsort(numbers, axis=1, stable=True)
    return tf.argsort(order, axis=1, stable=True)
