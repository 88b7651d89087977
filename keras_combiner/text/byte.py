"""A tokenizer without a vocabulary: the bytes themselves are the tokens."""

import keras
import numpy as np
import tensorflow as tf

from keras_combiner.text.tensorflow_text_ops import import_tensorflow_text
from keras_combiner.text.tokenizer import Tokenizer

_NUM_SPECIAL_TOKENS = 3
_NUM_BYTES = 256
_WHITE_SPACE = b" \t\n\v\f\r"


@keras.saving.register_keras_serializable(package="keras_combiner")
class ByteTokenizer(Tokenizer):
    """Turns texts into their UTF-8 bytes: nothing to learn, nothing unknown.

    Ids: 0 is padding, 1 the start token, 2 the end token, and byte b is b + 3. Any bytes are
    accepted, valid UTF-8 or not, NUL bytes too. Sequences are several times longer than with word
    pieces, which is what sub-quadratic attention is for. Needs TensorFlow only (and tensorflow-text
    to be put into a .tflite file).

    Args:
        mask_token: bool, whether there is an id for masked language models, 259, which no text has.

    Raises:
        TypeError: If `mask_token` is not a bool.

    Example:

    >>> from keras_combiner.text import ByteTokenizer
    >>> tokenizer = ByteTokenizer()
    >>> tokenizer.vocabulary_size
    259
    >>> tokenizer(["Hi", b"\\xff"], sequence_length=5).numpy().tolist()
    [[1, 75, 108, 2, 0], [1, 258, 2, 0, 0]]
    """

    start_token_id = 1
    end_token_id = 2

    def __init__(self, mask_token=False):
        if not isinstance(mask_token, bool):
            raise TypeError(f"Expected `mask_token` to be True or False. Received: {mask_token!r}.")
        if mask_token:
            self.mask_token_id = _NUM_SPECIAL_TOKENS + _NUM_BYTES

    @property
    def vocabulary_size(self):
        """259, the bytes and three special tokens; with a mask token 260."""
        return _NUM_SPECIAL_TOKENS + _NUM_BYTES + (self.mask_token_id is not None)

    def _tokenize(self, texts, max_tokens):
        # decode_raw pads and cuts each row to a fixed length in one op; the string lengths then say
        # which of its zeros are NUL bytes of the text and which are padding. There is no more
        # padding than the longest text needs, however large `max_tokens` is.
        lengths = tf.strings.length(texts)
        longest = tf.maximum(tf.reduce_max(lengths), 1)  # the op does not take 0
        max_tokens = longest if max_tokens is None else tf.minimum(max_tokens, longest)
        values = tf.io.decode_raw(texts, tf.uint8, fixed_length=max_tokens)
        lengths = tf.minimum(lengths, max_tokens)
        return tf.RaggedTensor.from_tensor(
            tf.cast(values, tf.int32) + _NUM_SPECIAL_TOKENS, lengths=lengths
        )

    def _tokenize_in_litert(self, text):
        # LiteRT has no decode_raw.
        splitter = import_tensorflow_text().ByteSplitter()
        return tf.cast(splitter.split(text).flat_values, tf.int32) + _NUM_SPECIAL_TOKENS

    def _tokenize_with_offsets(self, texts, max_tokens):
        tokens = self._tokenize(texts, max_tokens)
        starts = tf.ragged.range(tf.cast(tokens.row_lengths(), tf.int32))
        return tokens, starts, starts + 1

    def _detokenize(self, token_ids):
        # A text that was cut, or generated, may end in the middle of a character.
        content = b"".join(
            b"[MASK]" if x == self.mask_token_id else bytes([x - _NUM_SPECIAL_TOKENS])
            for x in token_ids
        )
        return content.decode("utf-8", "replace")

    def words(self):
        """See `Tokenizer.words`; a word is what stands between white space of ASCII."""
        in_words = np.ones(self.vocabulary_size, bool)
        in_words[:_NUM_SPECIAL_TOKENS] = False
        in_words[[x + _NUM_SPECIAL_TOKENS for x in _WHITE_SPACE]] = False
        if self.mask_token_id is not None:
            in_words[self.mask_token_id] = False
        return in_words, in_words

    def get_config(self):
        """Returns the constructor's arguments, where they are not the default.

        Returns:
            A dict.

        Example:

        >>> ByteTokenizer().get_config()
        {}
        >>> ByteTokenizer(mask_token=True).get_config()
        {'mask_token': True}
        """
        return {} if self.mask_token_id is None else {"mask_token": True}
