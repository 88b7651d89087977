"""The three steps of word-piece tokenization, each on one tensorflow-text or TensorFlow op.

The tokenizer and the learning of a vocabulary share them, so a vocabulary is learned from exactly
the words that the tokenizer will see.
"""

import functools

import tensorflow as tf

UNKNOWN_TOKEN = "[UNK]"
SUFFIX_INDICATOR = "##"
# A longer word is one [UNK]: the limit of BERT and the default of tensorflow-text.
MAX_BYTES_PER_WORD = 100


def import_tensorflow_text():
    """Imports tensorflow-text, which is optional, where it is needed.

    Returns:
        The module `tensorflow_text`.

    Raises:
        ImportError: If it is not installed, or was built for another TensorFlow.
    """
    try:
        import tensorflow_text
    except (ImportError, tf.errors.NotFoundError) as error:
        # NotFoundError is how a library of ops built for another TensorFlow refuses to load.
        raise ImportError(
            "This needs tensorflow-text in the version of the installed TensorFlow "
            f"({tf.__version__}). Install it with: pip install keras_combiner[text]. "
            f"The import said: {error}"
        ) from error
    return tensorflow_text


def replace_invalid_utf8(texts):
    """Replaces what is not valid UTF-8 by U+FFFD, as bytes.decode("utf-8", "replace") does.

    Args:
        texts: tf.string tensor.

    Returns:
        A tf.string tensor of the same shape.
    """
    return tf.strings.unicode_transcode(
        texts, input_encoding="UTF-8", output_encoding="UTF-8", errors="replace"
    )


def build_normalizer(lowercase):
    """Makes the op that BERT normalizes texts with.

    Args:
        lowercase: bool. True: case folding, NFKC and NFD, without accents; always: control
            characters become spaces.

    Returns:
        A tensorflow_text.FastBertNormalizer.
    """
    tft = import_tensorflow_text()
    with tf.init_scope():
        buffer = _as_uint8_tensor(_normalizer_model(lowercase))
        return tft.FastBertNormalizer(model_buffer=buffer)


def build_wordpiece(vocabulary):
    """Makes the op that splits at white space and punctuation and cuts words into pieces.

    Args:
        vocabulary: list of str with `[UNK]` among them; the id of a piece is its index.

    Returns:
        A tensorflow_text.FastWordpieceTokenizer whose ids are int32.
    """
    tft = import_tensorflow_text()
    with tf.init_scope():
        buffer = _as_uint8_tensor(_wordpiece_model(tuple(vocabulary)))
        return tft.FastWordpieceTokenizer(model_buffer=buffer, token_out_type=tf.int32)


# A model that is loaded or copied has the tokenizer of another one: both are built once.
@functools.cache
def _normalizer_model(lowercase):
    return import_tensorflow_text().build_fast_bert_normalizer_model(lowercase)


@functools.lru_cache(maxsize=8)
def _wordpiece_model(vocabulary):
    return import_tensorflow_text().build_fast_wordpiece_model(
        list(vocabulary),
        MAX_BYTES_PER_WORD,
        SUFFIX_INDICATOR,
        UNKNOWN_TOKEN,
        False,  # no_pretokenization
        False,  # support_detokenization
    )


def _as_uint8_tensor(buffer):
    # Made in init_scope by the callers: a tokenizer may be built while a function is traced, and
    # must outlive that trace.
    return tf.io.decode_raw(tf.constant(buffer), tf.uint8)
