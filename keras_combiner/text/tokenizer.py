"""What all tokenizers of this package share: check texts, frame, truncate and pad the ids."""

import abc
import operator
import os

import numpy as np
import tensorflow as tf

from keras_combiner.shortened_repr import shortened_repr

# The start token, the end token and one token of text.
MIN_SEQUENCE_LENGTH = 3

_EXPECTED_TEXTS = (
    "Expected `texts` to be a tf.string tensor of shape [batch], or a list, tuple or numpy array "
    "of str or bytes."
)


class Tokenizer(abc.ABC):
    """Base class of the tokenizers: texts in, int32 token ids out.

    A tokenizer is made of TensorFlow ops only, so the same object works eagerly, inside a
    `tf.function`, inside `tf.data.Dataset.map` and inside a SavedModel. It is not a Keras layer: it
    has no weights and belongs to the data, or to the string signature of an exported model.

    A subclass sets `start_token_id` and `end_token_id`, and writes `vocabulary_size`, `_tokenize`,
    `_tokenize_with_offsets`, `_detokenize` and `get_config`; for masked language models also
    `words`, and `mask_token_id`; and `unknown_token_id` if there is one. Registering it with
    `keras.saving.register_keras_serializable` makes `keras.saving.deserialize_keras_object` find it
    without `custom_objects`.

    Example:

    >>> from keras_combiner.text import ByteTokenizer, Tokenizer
    >>> isinstance(ByteTokenizer(), Tokenizer)
    True
    """

    # Always 0, so that keras.layers.Embedding(mask_zero=True) masks exactly the padding.
    pad_token_id = 0
    start_token_id: int
    end_token_id: int
    # What stands for a hidden token; no text has it. None where there is no such id.
    mask_token_id: int | None = None
    # What stands for a word that the vocabulary does not know. None where all are known.
    unknown_token_id: int | None = None

    @property
    @abc.abstractmethod
    def vocabulary_size(self):
        """How many different ids there are: the `input_dim` of an embedding of them."""

    @abc.abstractmethod
    def _tokenize(self, texts, max_tokens):
        """Turns a string tensor [batch] into a tf.RaggedTensor int32 [batch, None] of bare tokens.

        A row may hold more than `max_tokens`, an int; only the first `max_tokens` are looked at. If
        it is None, all are.
        """

    def _tokenize_in_litert(self, text):
        """Turns a string tensor [1] into the int32 tensor [None] of its bare tokens.

        In operations that LiteRT, with those of tensorflow-text, runs.
        """
        raise NotImplementedError(
            f"{type(self).__name__} has no form that runs inside a .tflite file. Export a file "
            "that takes token ids."
        )

    @abc.abstractmethod
    def _tokenize_with_offsets(self, texts, max_tokens):
        """As `_tokenize`, and where the tokens start and end.

        Returns three tf.RaggedTensor int32 [batch, None], of equal row lengths: tokens, starts and
        ends, in bytes of the text.
        """

    @abc.abstractmethod
    def _detokenize(self, token_ids):
        """Turns a list of int, bare tokens, into a str."""

    def words(self):
        """Says which ids words are made of.

        Returns:
            Pair of bool numpy arrays `[vocabulary_size]`: ids that stand in words, which special
            tokens and separators do not; and those of them that go on with a word, if one stands
            right before them, in place of beginning another.

        Raises:
            NotImplementedError: If the tokenizer does not know words.

        Example:

        >>> from keras_combiner.text import WordPieceTokenizer
        >>> tokenizer = WordPieceTokenizer(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "long", "##er"])
        >>> [x.tolist()[3:] for x in tokenizer.words()]
        [[False, True, True], [False, False, True]]
        """
        raise NotImplementedError(
            f"{type(self).__name__} does not say what words are made of: give it a method `words`."
        )

    @abc.abstractmethod
    def get_config(self):
        """Returns a dict of plain Python values from which `from_config` makes an equal tokenizer.

        Returns:
            A dict that JSON can hold.
        """

    @classmethod
    def from_config(cls, config):
        """Makes a tokenizer from what `get_config` returned.

        Args:
            config: dict, the keyword arguments of the constructor.

        Returns:
            A tokenizer of this class.
        """
        return cls(**config)

    def encode(self, texts, sequence_length=None):
        """Turns texts into ids: start token, tokens, end token, without padding.

        Args:
            texts: tf.string tensor of shape [batch], or a list, tuple or numpy array of str or
                bytes.
            sequence_length: int, at least 3. A longer row loses its last tokens and keeps its end
                token, as in BERT. None for all tokens, however many.

        Returns:
            A tf.RaggedTensor of int32, shape [batch, None], of at most `sequence_length` ids a row.

        Raises:
            ValueError: If `sequence_length` is less than 3, `texts` is a single string or has
                another rank than 1.
            TypeError: If `texts` holds something else than strings, or `sequence_length` is not an
                integer.

        Example:

        >>> from keras_combiner.text import ByteTokenizer
        >>> ByteTokenizer().encode(["ab", ""], sequence_length=8).to_list()
        [[1, 100, 101, 2], [1, 2]]
        """
        max_tokens = _max_tokens(sequence_length)
        tokens = self._tokenize(_as_string_tensor(texts), max_tokens)[:, :max_tokens]
        return _framed(tokens, self.start_token_id, self.end_token_id)

    def encode_with_offsets(self, texts, sequence_length=None):
        """As `encode`, and where in its text each token stands.

        Offsets count bytes of the UTF-8 that the tokenizer reads: of the text as it was given; or,
        for word pieces and a text that is not valid UTF-8, of
        `text.decode("utf-8", "replace").encode()`. The start token has an empty span at 0 and the
        end token one where reading stopped, which is before the text's end if the text was cut.

        Args:
            texts: as in `encode`.
            sequence_length: as in `encode`.

        Returns:
            `(token_ids, starts, ends)`: tf.RaggedTensor of int32, shape [batch, None], of the same
            row lengths.

        Raises:
            ValueError: As in `encode`.
            TypeError: As in `encode`.

        Example:

        >>> from keras_combiner.text import ByteTokenizer
        >>> _, starts, ends = ByteTokenizer().encode_with_offsets(["ab"], sequence_length=8)
        >>> starts.to_list(), ends.to_list()
        ([[0, 0, 1, 2]], [[0, 1, 2, 2]])
        """
        max_tokens = _max_tokens(sequence_length)
        tokens, starts, ends = (
            x[:, :max_tokens]
            for x in self._tokenize_with_offsets(_as_string_tensor(texts), max_tokens)
        )
        # At least 0: the maximum of an empty row is the smallest integer of the type.
        stop = tf.maximum(tf.reduce_max(ends, axis=1), 0)
        token_ids = _framed(tokens, self.start_token_id, self.end_token_id)
        return token_ids, _framed(starts, 0, stop), _framed(ends, 0, stop)

    def __call__(self, texts, sequence_length):
        """Turns texts into ids of one length: `encode`, then padding with `pad_token_id`.

        Args:
            texts: tf.string tensor of shape [batch], or a list, tuple or numpy array of str or
                bytes.
            sequence_length: int, at least 3: the length of every row.

        Returns:
            A tf.Tensor of int32, shape [batch, sequence_length].

        Raises:
            ValueError: If `sequence_length` is less than 3, `texts` is a single string or has
                another rank than 1.
            TypeError: If `texts` holds something else than strings, or `sequence_length` is not an
                integer.

        Example:

        >>> from keras_combiner.text import ByteTokenizer
        >>> ByteTokenizer()(["abcd", "a"], sequence_length=5).numpy().tolist()
        [[1, 100, 101, 102, 2], [1, 100, 2, 0, 0]]
        """
        length = _checked_sequence_length(sequence_length)
        ids = self.encode(texts, length)
        return ids.to_tensor(default_value=self.pad_token_id, shape=[None, length])

    def encode_in_litert(self, text, sequence_length):
        """Turns one text into the ids of `__call__`, as part of what becomes a .tflite file.

        Ragged tensors, and much else of what tokenizers are made of, do not run in LiteRT; its
        runtime needs the operations of tensorflow-text for what this returns.

        Args:
            text: tf.string tensor of shape [1].
            sequence_length: int, at least 3.

        Returns:
            Pair of tf.Tensors of int32: the ids, of shape [1, sequence_length]; and of shape [1],
            how many there would be if none were cut, the padding not counted.

        Raises:
            ImportError: If tensorflow-text is not installed.
            NotImplementedError: If the tokenizer has no such form.
            ValueError: If `sequence_length` is less than 3, or the tokenizer would return other ids
                for some texts than it does elsewhere.
            TypeError: If `sequence_length` is not an integer.

        Example:

        >>> import tensorflow as tf
        >>> from keras_combiner.text import ByteTokenizer
        >>> ids, num_tokens = ByteTokenizer().encode_in_litert(tf.constant(["abcd"]), 5)
        >>> ids.numpy().tolist(), num_tokens.numpy().tolist()
        ([[1, 100, 101, 102, 2]], [6])
        """
        sequence_length = _checked_sequence_length(sequence_length)
        tokens = self._tokenize_in_litert(text)
        ids = tf.concat(
            [[self.start_token_id], tokens[: sequence_length - 2], [self.end_token_id]], axis=0
        )
        padded = tf.pad(
            ids, [[0, sequence_length - tf.size(ids)]], constant_values=self.pad_token_id
        )
        return tf.reshape(padded, [1, sequence_length]), tf.reshape(tf.size(tokens) + 2, [1])

    def decode(self, token_ids):
        """Turns rows of ids back into texts, without start tokens, end tokens and padding.

        Args:
            token_ids: list of rows of int, which may differ in length, or an int array or tensor
                `[batch, length]`.

        Returns:
            A list of str, one a row.

        Raises:
            ValueError: If a row is not a row of ids, or an id lies outside the vocabulary.

        Example:

        >>> from keras_combiner.text import ByteTokenizer
        >>> ByteTokenizer().decode([[1, 75, 108, 2, 0, 0], [75]])
        ['Hi', 'H']
        """
        framing = (self.pad_token_id, self.start_token_id, self.end_token_id)
        texts = []
        for row in token_ids:
            ids = np.asarray(row)
            if ids.ndim != 1 or (ids.size and ids.dtype.kind not in "iu"):
                raise ValueError(
                    "Expected rows of token ids, one a text. Received the row "
                    f"{row!r}: wrap the ids of a single text in a list."
                )
            outside = ids[(ids < 0) | (ids >= self.vocabulary_size)]
            if outside.size:
                raise ValueError(
                    f"Expected ids between 0 and {self.vocabulary_size - 1}. Received: "
                    f"{outside[0]} as that of text {len(texts)}."
                )
            texts.append(self._detokenize([int(x) for x in ids if x not in framing]))
        return texts


def _framed(rows, first, last):
    """Adds a column before and after a tf.RaggedTensor int32; each an int, or int32 [batch]."""
    batch = rows.nrows(tf.int32)
    first, last = (tf.broadcast_to(x, [batch])[:, tf.newaxis] for x in (first, last))
    return tf.concat([first, rows, last], axis=1)


def _max_tokens(sequence_length):
    """How many tokens fit between start and end token; None for no limit."""
    return None if sequence_length is None else _checked_sequence_length(sequence_length) - 2


def _checked_sequence_length(sequence_length):
    # bool is an int for Python, but True is never a length that anyone meant.
    try:
        length = None if isinstance(sequence_length, bool) else operator.index(sequence_length)
    except TypeError:
        length = None
    if length is None:
        raise TypeError(
            f"Expected `sequence_length` to be a Python int. Received: {sequence_length!r} "
            f"(of type {type(sequence_length).__name__})."
        )
    if length < MIN_SEQUENCE_LENGTH:
        raise ValueError(
            f"Expected `sequence_length` to be at least {MIN_SEQUENCE_LENGTH} (start token, one "
            f"token of text, end token). Received: sequence_length={length}. Pass the input length "
            "of your model."
        )
    return length


def _as_string_tensor(texts):
    """Checks what a caller gave as texts and returns it as a tf.string tensor of shape [batch]."""
    if isinstance(texts, (str, bytes)):
        raise ValueError(
            f"{_EXPECTED_TEXTS} Received a single {type(texts).__name__}: {texts[:40]!r}. Wrap it "
            "in a list: [text]."
        )
    if tf.is_tensor(texts):
        return _checked_tensor(texts)
    if isinstance(texts, (dict, set, os.PathLike)) or not (
        isinstance(texts, (list, tuple)) or hasattr(texts, "__array__")
    ):
        raise TypeError(
            f"{_EXPECTED_TEXTS} Received: {shortened_repr(texts, longest=80)} "
            f"(of type {type(texts).__name__}). Turn it into a list of strings."
        )
    if not isinstance(texts, (list, tuple)):
        # Whatever holds an array (numpy, pandas): its shape first, then its elements.
        array = np.asarray(texts)
        if array.ndim != 1:
            raise ValueError(
                f"{_EXPECTED_TEXTS} Received an array of shape {array.shape}. Reshape it to "
                "[batch]."
            )
        texts = array.tolist()
    return tf.constant([as_bytes(text, i) for i, text in enumerate(texts)], tf.string, [len(texts)])


def _checked_tensor(texts):
    if isinstance(texts, (tf.RaggedTensor, tf.SparseTensor)) or texts.dtype != tf.string:
        raise TypeError(
            f"{_EXPECTED_TEXTS} Received a {type(texts).__name__} of dtype {texts.dtype.name} and "
            f"shape {texts.shape}. Pass the strings themselves, before any tokenization."
        )
    if texts.shape.rank is None:
        return tf.ensure_shape(texts, [None])
    if texts.shape.rank != 1:
        mend = "Wrap it in a list: [text]." if texts.shape.rank == 0 else "Reshape it to [batch]."
        raise ValueError(f"{_EXPECTED_TEXTS} Received a tensor of shape {texts.shape}. {mend}")
    return texts


def as_bytes(text, position):
    """Returns one text as UTF-8 bytes.

    Args:
        text: str or bytes.
        position: int, where it stood, for the message.

    Returns:
        bytes. A lone surrogate of a str, which UTF-8 cannot hold, becomes three bytes that are not
        valid UTF-8 rather than an error: texts are data, and one odd character in a corpus must
        not stop a run.

    Raises:
        TypeError: If `text` is neither str nor bytes.
    """
    if isinstance(text, str):
        return text.encode("utf-8", "surrogatepass")
    if isinstance(text, bytes):
        return text
    raise TypeError(
        f"Expected texts to be str or bytes. Received at position {position}: "
        f"{shortened_repr(text, longest=80)} (of type {type(text).__name__}). Leave out or replace "
        "what is not text."
    )
