"""BERT's word pieces inside the graph, on tensorflow-text's fast ops."""

import os

import keras
import numpy as np
import tensorflow as tf

from keras_combiner.atomic_files import atomic_write
from keras_combiner.text.tensorflow_text_ops import (
    SUFFIX_INDICATOR,
    UNKNOWN_TOKEN,
    build_normalizer,
    build_wordpiece,
    replace_invalid_utf8,
)
from keras_combiner.text.tokenizer import Tokenizer

PAD_TOKEN = "[PAD]"
START_TOKEN = "[CLS]"
END_TOKEN = "[SEP]"
MASK_TOKEN = "[MASK]"
SPECIAL_TOKENS = (PAD_TOKEN, UNKNOWN_TOKEN, START_TOKEN, END_TOKEN)

# The trie of tensorflow-text stores the length of a piece in eight bits.
_MAX_BYTES_PER_PIECE = 256


@keras.saving.register_keras_serializable(package="keras_combiner")
class WordPieceTokenizer(Tokenizer):
    """Turns texts into the ids of word pieces, as BERT does.

    Three ops: invalid UTF-8 is replaced, the text is normalized (tensorflow-text's
    FastBertNormalizer), then split and cut into the longest pieces that the vocabulary has
    (FastWordpieceTokenizer; a piece inside a word is written with a leading `##`).

    What comes out of what goes in:

    - An empty text, or one of white space only: `[CLS] [SEP]`.
    - `lowercase=True`: case folding, NFKC (a full-width A is an a, a ligature its letters) and no
      accents; invisible characters such as the soft hyphen and zero-width spaces vanish.
      `lowercase=False`: the characters stay as they are.
    - White space, control and format characters, NUL among them, separate words and yield nothing.
    - Each punctuation character, each Chinese character is a word of its own. So `[CLS]` or `[PAD]`
      in a text is three words, never a special token, and a piece of several characters with
      punctuation in it (`...`) is never found.
    - A word with a character that the vocabulary lacks, or of more than 100 bytes of UTF-8, is one
      `[UNK]`.
    - Bytes that are not valid UTF-8 become U+FFFD, like Python's `decode("utf-8", "replace")`; the
      word they stand in is an `[UNK]` unless the vocabulary has U+FFFD.
    - A text of any length is taken; the whole of it is tokenized, then cut.

    Args:
        vocabulary: list of str, a token's id being its index; or the path of a vocab.txt in UTF-8,
            one token a line. `[PAD]` comes first; `[UNK]`, `[CLS]` and `[SEP]` are anywhere, and so
            is `[MASK]`, which only masked language models need.
        lowercase: bool, whether to fold case and strip accents. Use what the vocabulary was learned
            with.

    Raises:
        ImportError: If tensorflow-text is not installed.
        FileNotFoundError: If `vocabulary` is a path at which there is no file.
        ValueError: If a special token is missing, `[PAD]` is not the first, a token occurs twice,
            is empty, longer than 256 bytes or holds a line break or NUL; or if there is nothing but
            special tokens and tokens with punctuation in them.
        TypeError: If `vocabulary` is neither a path nor a sequence of str, or `lowercase` not a
            bool.

    Example:

    >>> from keras_combiner.text import WordPieceTokenizer
    >>> vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "long", "##er", "text", "!"]
    >>> tokenizer = WordPieceTokenizer(vocabulary)
    >>> tokenizer.vocabulary_size
    8
    >>> tokenizer(["Longer text!", "zebra"], sequence_length=7).numpy().tolist()
    [[2, 4, 5, 6, 7, 3, 0], [2, 1, 3, 0, 0, 0, 0]]

    Reference:
        Song et al., Fast WordPiece Tokenization, https://arxiv.org/abs/2012.15524
    """

    def __init__(self, vocabulary, lowercase=True):
        if not isinstance(lowercase, bool):
            raise TypeError(f"Expected `lowercase` to be True or False. Received: {lowercase!r}.")
        if isinstance(vocabulary, (str, os.PathLike)):
            vocabulary = read_vocabulary(vocabulary)
        vocabulary = _checked_vocabulary(vocabulary)
        self._normalizer = self._make_normalizer(lowercase)
        try:
            self._wordpiece = build_wordpiece(vocabulary)
        except RuntimeError as error:
            raise ValueError(
                "Expected the vocabulary to hold word pieces besides the special tokens. Received "
                f"{len(vocabulary)} tokens, of which tensorflow-text says: {error} Learn a "
                "vocabulary with keras_combiner.text.learn_wordpiece_vocabulary."
            ) from error
        self._vocabulary = vocabulary
        self._lowercase = lowercase
        self.start_token_id = vocabulary.index(START_TOKEN)
        self.end_token_id = vocabulary.index(END_TOKEN)
        self.unknown_token_id = vocabulary.index(UNKNOWN_TOKEN)
        if MASK_TOKEN in vocabulary:
            self.mask_token_id = vocabulary.index(MASK_TOKEN)

    def _make_normalizer(self, lowercase):
        return build_normalizer(lowercase)

    @property
    def vocabulary(self):
        """The tokens, a list of str; a token's id is its index."""
        return list(self._vocabulary)

    @property
    def vocabulary_size(self):
        """How many tokens the vocabulary has."""
        return len(self._vocabulary)

    @property
    def lowercase(self):
        """Whether case is folded and accents are stripped, bool."""
        return self._lowercase

    def _tokenize(self, texts, max_tokens):
        # max_tokens cannot shorten the work: where a text may be cut is known only once its words
        # are.
        return self._wordpiece.tokenize(self._normalizer.normalize(replace_invalid_utf8(texts)))

    def _tokenize_in_litert(self, text):
        # LiteRT cannot replace what is not valid UTF-8. The other two ops take it as a character
        # that no piece has, so that its word is an [UNK] all the same, unless U+FFFD is known.
        if any("\ufffd" in token for token in self._vocabulary):
            raise ValueError(
                "A .tflite file that takes text cannot replace bytes that are not valid UTF-8 by "
                "U+FFFD, which this vocabulary holds, so that texts with such bytes would get "
                "other ids. Export a file that takes token ids, or learn a vocabulary from texts "
                "without U+FFFD."
            )
        return self._wordpiece.tokenize(self._normalizer.normalize(text)).flat_values

    def _tokenize_with_offsets(self, texts, max_tokens):
        normalized, origins = self._normalizer.normalize_with_offsets(replace_invalid_utf8(texts))
        tokens, *offsets = (
            x[:, :max_tokens] for x in self._wordpiece.tokenize_with_offsets(normalized)
        )
        # From bytes of the normalized text to bytes of the text.
        starts, ends = (tf.cast(tf.gather(origins, x, batch_dims=1), tf.int32) for x in offsets)
        return tokens, starts, ends

    def _detokenize(self, token_ids):
        # What split words is gone: every word, and every punctuation mark, gets a space.
        return " ".join(self._vocabulary[x] for x in token_ids).replace(f" {SUFFIX_INDICATOR}", "")

    def words(self):
        """See `Tokenizer.words`; a piece with `##` goes on with a word, and `[...]` is special."""
        # Brackets are words of their own: no piece of a text has one at either end.
        special = [len(x) > 2 and x[0] == "[" and x[-1] == "]" for x in self._vocabulary]
        in_words = ~np.array(special)
        goes_on = np.array([x.startswith(SUFFIX_INDICATOR) for x in self._vocabulary])
        return in_words, in_words & goes_on

    def save_vocabulary(self, path):
        """Writes the vocabulary as vocab.txt: UTF-8, one token a line, in the order of the ids.

        The file appears whole or not at all: it is written beside `path` and then renamed.

        Args:
            path: str or path-like, the file to write.

        Raises:
            OSError: If the file cannot be written.

        Example:

        >>> import os, tempfile
        >>> tokenizer = WordPieceTokenizer(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a"])
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = os.path.join(folder, "vocab.txt")
        ...     tokenizer.save_vocabulary(path)
        ...     WordPieceTokenizer(path).vocabulary == tokenizer.vocabulary
        True
        """
        with atomic_write(path, overwrite=True) as unfinished:
            unfinished.write_bytes("".join(f"{token}\n" for token in self._vocabulary).encode())

    def get_config(self):
        """Returns the constructor's arguments, the whole vocabulary among them.

        Returns:
            A dict with "vocabulary" (list of str) and "lowercase" (bool).

        Example:

        >>> WordPieceTokenizer(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a"]).get_config()
        {'vocabulary': ['[PAD]', '[UNK]', '[CLS]', '[SEP]', 'a'], 'lowercase': True}
        """
        return {"vocabulary": self.vocabulary, "lowercase": self._lowercase}


def read_vocabulary(path):
    """Reads a vocab.txt.

    Args:
        path: str or path of a file in UTF-8, one token a line.

    Returns:
        A list of str, the tokens.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is not UTF-8.
    """
    try:
        # newline="\n" and split("\n"): U+2028 and its like end no line here, they may be tokens.
        with open(path, encoding="utf-8", newline="\n") as file:
            lines = file.read().split("\n")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"Expected the vocabulary {os.fspath(path)!r} to be UTF-8 text, one token a line. "
            f"Received other bytes: {error}."
        ) from error
    if lines[-1] == "":
        lines.pop()
    return [line.removesuffix("\r") for line in lines]


def _checked_vocabulary(vocabulary):
    """Returns the vocabulary as a list of str, or raises an error that names what is wrong."""
    if isinstance(vocabulary, (bytes, dict, set)) or not hasattr(vocabulary, "__iter__"):
        raise TypeError(
            "Expected `vocabulary` to be a list of str or the path of a vocab.txt. Received: "
            f"{type(vocabulary).__name__}."
        )
    vocabulary = list(vocabulary)
    ids = {}
    for index, token in enumerate(vocabulary):
        _check_token(token, index)
        if token in ids:
            raise ValueError(
                "Expected every token of the vocabulary once. Received "
                f"{token!r} at {ids[token]} and at {index} (counted from 0). Remove one of them."
            )
        ids[token] = index
    missing = [token for token in SPECIAL_TOKENS if token not in ids]
    if missing:
        raise ValueError(
            f"Expected the vocabulary to hold {', '.join(SPECIAL_TOKENS)}. Missing: "
            f"{', '.join(missing)}. Add them, {PAD_TOKEN} as the first token."
        )
    if ids[PAD_TOKEN] != Tokenizer.pad_token_id:
        raise ValueError(
            f"Expected {PAD_TOKEN} to be the first token of the vocabulary: padding is id 0. "
            f"Received it at {ids[PAD_TOKEN]} (counted from 0). Move it."
        )
    return [str(token) for token in vocabulary]


def _check_token(token, index):
    if not isinstance(token, str):
        raise TypeError(
            f"Expected every token of the vocabulary to be a str. Received at {index} (counted "
            f"from 0): {token!r} (of type {type(token).__name__})."
        )
    # What a line of vocab.txt or the trie of tensorflow-text cannot hold.
    problem = None
    if token in ("", SUFFIX_INDICATOR):
        problem = "is empty"
    elif any(character in token for character in "\n\r\0"):
        problem = "holds a line break or NUL"
    elif any("\ud800" <= character <= "\udfff" for character in token):
        problem = "holds a lone surrogate"
    elif len(token.removeprefix(SUFFIX_INDICATOR).encode()) > _MAX_BYTES_PER_PIECE:
        problem = f"is longer than {_MAX_BYTES_PER_PIECE} bytes"
    if problem:
        raise ValueError(
            "Expected every token of the vocabulary to be a piece of a word. Received at "
            f"{index} (counted from 0): {token[:40]!r}, which {problem}. Remove it."
        )
