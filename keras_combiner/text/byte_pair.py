"""GPT-2's byte pairs inside the graph: the tokenizer of RoBERTa, Longformer and ModernBERT."""

import copy
import unicodedata

import keras
import numpy as np
import tensorflow as tf

from keras_combiner.text.added_tokens import AddedTokens, check_added_tokens
from keras_combiner.text.byte_pair_merges import BytePairMerges, byte_alphabet
from keras_combiner.text.byte_pair_words import word_starts
from keras_combiner.text.canonical_order import in_canonical_order
from keras_combiner.text.tensorflow_text_ops import import_tensorflow_text, replace_invalid_utf8
from keras_combiner.text.tokenizer import Tokenizer

_WHITE_SPACE = b" \t\n\v\f\r"


# Not KerasHub's BytePairTokenizer: it marks where to split by characters that texts may hold, takes
# one step a merge for each word, keeps words in a table that grows, and has no offsets. And not the
# SentencePiece of tensorflow-text: it merges what makes a known token, not the pairs of a list.
@keras.saving.register_keras_serializable(package="keras_combiner")
class BytePairTokenizer(Tokenizer):
    """Turns texts into the ids of byte pairs, as GPT-2, RoBERTa, Longformer and ModernBERT do.

    Texts are split into words (letters, numbers or other characters, each with the blank before
    them), and words into bytes. Pairs of these are merged in the order in which they were learned.
    So nothing is unknown. `keras_combiner.convert.use_combiner` makes one of the files of a Hugging
    Face checkpoint, with the same ids.

    What becomes of unusual texts:

    - An empty text: start and end token. White space has tokens of its own.
    - Added tokens, such as `<mask>`, are found in texts and become their ids, as Hugging Face's
      tokenizers do it. So a text with `</s>` in it has an end token there, and one with `<pad>`
      padding, which is masked. Leave those out of `added_tokens` that texts must not have.
    - Bytes that are not valid UTF-8 become U+FFFD, like Python's `decode("utf-8", "replace")`.
    - A text of any length, and a word of any length, takes time in proportion to it. But offsets
      with NFC take longer for thousands of combining marks in a row that are not in its order.

    Args:
        vocabulary: list of str, a token's id being its index. The first is the padding. Bytes are
            written in GPT-2's alphabet, where a blank is `Ġ`; added tokens as they stand in texts.
        merges: list of str, two parts with a blank between them, in the order of their ranks.
        start_token: str, the token of the vocabulary that begins every row.
        end_token: str, the one that ends it.
        mask_token: str, the one that hides another, which only masked language models need.
        added_tokens: list of tokens to find in texts before these are split: str, or dict with
            "content" (str), and, where they are true, "lstrip" and "rstrip" (bool: it takes in
            white space to its left or right) and "normalized" (bool: it is looked for after
            normalization, and after all that are not).
        normalization: str, "NFC" for composed characters, or None.

    Raises:
        ImportError: If tensorflow-text is not installed.
        ValueError: If the vocabulary has a token twice, lacks one of the 256 bytes, a special token
            or what merges are about; if merges are not in an order in which they are learned; if
            texts would have padding.
        TypeError: If a token is not a str.

    Example:

    >>> from keras_combiner.text import BytePairTokenizer
    >>> from keras_combiner.text.byte_pair_merges import byte_alphabet
    >>> vocabulary = ["<pad>", "<s>", "</s>", *byte_alphabet(), "er", "Ġt"]
    >>> tokenizer = BytePairTokenizer(vocabulary, ["e r", "Ġ t"], "<s>", "</s>")
    >>> tokenizer(["er t"], sequence_length=6).numpy().tolist()
    [[1, 259, 260, 2, 0, 0]]

    Reference:
        Radford et al., "Language Models are Unsupervised Multitask Learners", 2019, section 2.2.
    """

    def __init__(
        self,
        vocabulary,
        merges,
        start_token,
        end_token,
        mask_token=None,
        added_tokens=(),
        normalization=None,
    ):
        import_tensorflow_text()
        if normalization not in ("NFC", None):
            raise ValueError(
                f"Expected `normalization` to be NFC or None. Received: {normalization!r}."
            )
        self._vocabulary = _checked_vocabulary(vocabulary)
        pairs = [_pair(x) for x in merges]
        self._config = {
            "vocabulary": self._vocabulary,
            "merges": [" ".join(x) for x in pairs],
            "start_token": start_token,
            "end_token": end_token,
            "mask_token": mask_token,
            "added_tokens": check_added_tokens(added_tokens, self._vocabulary),
            "normalization": normalization,
        }
        self.start_token_id = self._special_id("start_token")
        self.end_token_id = self._special_id("end_token")
        if mask_token is not None:
            self.mask_token_id = self._special_id("mask_token")
        padding = self._vocabulary[self.pad_token_id]
        if padding in byte_alphabet() or any("".join(x) == padding for x in pairs):
            raise ValueError(
                "Expected the first token of the vocabulary to be padding, since padding is id 0. "
                f"Received there {padding!r}, which texts have. Swap it with the padding, in the "
                "model's embedding too."
            )
        self._merges = BytePairMerges(self._vocabulary, pairs)
        self._made = {"".join(x) for x in pairs}
        self._added_first, self._added_then = (self._added_tokens(x) for x in (False, True))
        self._bytes = self._bytes_of_tokens()
        # An array of numpy, which any graph takes in.
        self._num_bytes = np.array([len(x) for x in self._bytes], "int32")

    def _special_id(self, name):
        token = self._config[name]
        if token not in self._vocabulary:
            raise ValueError(f"Expected `{name}` to be in the vocabulary. Received: {token!r}.")
        return self._vocabulary.index(token)

    def _added_tokens(self, normalized):
        tokens = [x for x in self._config["added_tokens"] if x["normalized"] == normalized]
        form = self._config["normalization"] if normalized else None
        return AddedTokens(
            [
                {
                    **token,
                    "id": self._vocabulary.index(token["content"]),
                    "content": _normalized(token["content"], form),
                }
                for token in tokens
            ]
        )

    def _bytes_of_tokens(self):
        """The bytes of each token, a list; of those that are not made of bytes, their letters'."""
        numbers = {letter: number for number, letter in enumerate(byte_alphabet())}
        added = {x["content"] for x in self._config["added_tokens"]}
        return [
            token.encode()
            if token in added or not numbers.keys() >= {*token}
            else bytes(numbers[letter] for letter in token)
            for token in self._vocabulary
        ]

    @property
    def vocabulary(self):
        """The tokens, a list of str; a token's id is its index."""
        return list(self._vocabulary)

    @property
    def vocabulary_size(self):
        """How many tokens the vocabulary has."""
        return len(self._vocabulary)

    def _tokenize(self, texts, max_tokens):
        # max_tokens cannot shorten the work: where a text may be cut is known only once its words
        # are.
        pieces, _, parts, ids = self._split(texts)
        tokens = _either(self._cut(parts.values, ids.values), ids.values, ids.values >= 0)
        return pieces.with_values(parts.with_values(tokens)).merge_dims(1, 3)

    def _tokenize_with_offsets(self, texts, max_tokens):
        pieces, is_added, parts, ids = self._split(texts)
        tokens = self._cut(parts.values, ids.values)
        num_bytes = tokens.with_values(tf.gather(self._num_bytes, tokens.values))
        # Tokens stand side by side, and one that was added may have taken in white space.
        num_bytes = _either(num_bytes, tf.strings.length(parts.values), ids.values >= 0)
        num_bytes = parts.with_values(num_bytes).merge_dims(1, 2)
        ends = _cumulated(num_bytes)
        bounds = [ends.with_values(ends.values - num_bytes.values), ends]
        if self._config["normalization"]:
            ordinary = tf.where(is_added, "", pieces.values)
            bounds = [self._before_normalization(ordinary, x, is_added) for x in bounds]
        first = pieces.with_values(tf.strings.length(pieces.values))
        first = _cumulated(first).values - first.values
        tokens = _either(tokens, ids.values, ids.values >= 0)
        of_texts = [parts.with_values(tokens).merge_dims(1, 2)]
        of_texts += [x + first[:, tf.newaxis] for x in bounds]
        return tuple(pieces.with_values(x).merge_dims(1, 2) for x in of_texts)

    def _split(self, texts):
        """Splits texts into pieces at added tokens, and these, once normalized, into parts.

        Returns:
            `(pieces, is_added, parts, ids)`: tf.RaggedTensor of strings `[batch, None]`; bool
            `[pieces]`, which of all pieces are added tokens; and tf.RaggedTensors `[pieces, None]`
            of strings and of int32, the ids of parts that are added tokens, -1 for others.
        """
        pieces, ids = self._added_first.split(replace_invalid_utf8(texts))
        is_added = ids.values >= 0
        ordinary = tf.where(is_added, "", pieces.values)
        if self._config["normalization"]:
            ordinary = import_tensorflow_text().normalize_utf8(
                in_canonical_order(ordinary), self._config["normalization"]
            )
        parts, inner_ids = self._added_then.split(ordinary)
        return (
            pieces,
            is_added,
            _either(parts, pieces.values, is_added),
            _either(inner_ids, ids.values, is_added),
        )

    def _cut(self, parts, ids):
        """Cuts strings `[parts]` into byte pairs, int32 `[parts, None]`; none of added tokens."""
        characters = tf.strings.unicode_decode(tf.where(ids < 0, parts, ""), "UTF-8")
        part = characters.value_rowids()
        begins = tf.concat([part[:1] >= 0, part[1:] != part[:-1]], axis=0)
        starts = tf.where(word_starts(characters.values, begins))[:, 0]
        words = tf.RaggedTensor.from_row_starts(characters.values, starts, validate=False)
        # Different words are few beside words.
        words, which = tf.unique(tf.strings.unicode_encode(words, "UTF-8"))
        tokens = tf.gather(self._merges(words), which)
        part_of_word = tf.gather(part, starts)
        tokens = tf.RaggedTensor.from_value_rowids(
            tokens, part_of_word, tf.size(parts, tf.int64), validate=False
        )
        return tokens.merge_dims(1, 2)

    def _before_normalization(self, pieces, offsets, is_added):
        """Offsets `[pieces, None]` in normalized pieces as those in the pieces themselves."""
        tft = import_tensorflow_text()
        # One piece more: find_source_offsets ends the process where there is none.
        _, changes = tft.normalize_utf8_with_offsets_map(
            tf.concat([pieces, ["a"]], axis=0), self._config["normalization"]
        )
        is_added = tf.gather(is_added, offsets.value_rowids())
        asked = offsets.with_values(tf.where(is_added, 0, offsets.values))
        asked = tf.concat([tf.cast(asked, tf.int64), tf.zeros([1, 1], tf.int64)], axis=0)
        found = tf.cast(tft.find_source_offsets(changes, asked).values[:-1], tf.int32)
        return offsets.with_values(tf.where(is_added, offsets.values, found))

    def _detokenize(self, token_ids):
        # A text that was cut, or generated, may end in the middle of a character.
        content = b"".join(self._bytes[x] for x in token_ids)
        return content.decode("utf-8", "replace")

    def words(self):
        """See `Tokenizer.words`; a word is what stands between white space of ASCII."""
        of_texts = self._made.union(byte_alphabet())
        tokens = list(zip(self._vocabulary, self._bytes, strict=True))
        in_words = np.array([x in of_texts and bool(y.strip(_WHITE_SPACE)) for x, y in tokens])
        goes_on = np.array([y[:1] not in _WHITE_SPACE for _, y in tokens])
        return in_words, in_words & goes_on

    def get_config(self):
        """Returns the constructor's arguments, the whole vocabulary and all merges among them.

        Returns:
            A dict with "vocabulary" and "merges" (lists of str), "start_token", "end_token",
            "mask_token" (str, the last one or None), "added_tokens" (list of dict) and
            "normalization" (str or None).
        """
        return copy.deepcopy(self._config)


def _either(rows, values, is_value):
    """Puts `values` `[n]` into rows of a tf.RaggedTensor `[n, None]` that are empty for them."""
    instead = tf.RaggedTensor.from_row_lengths(
        tf.boolean_mask(values, is_value), tf.cast(is_value, tf.int64), validate=False
    )
    return tf.concat([rows, instead], axis=1)


def _cumulated(rows):
    """`[[1 2] [3]]` -> `[[1 3] [3]]`."""
    total = tf.concat([[0], tf.cumsum(rows.values)], axis=0)
    before = tf.gather(tf.gather(total, rows.row_starts()), rows.value_rowids())
    return rows.with_values(total[1:] - before)


def _normalized(token, form):
    return unicodedata.normalize(form, token) if form else token


def _pair(merge):
    """The two parts of a merge as it stands in merges.txt."""
    parts = merge.split(" ") if isinstance(merge, str) else merge
    if len(parts) != 2 or not all(isinstance(x, str) and x and " " not in x for x in parts):
        raise ValueError(
            f"Expected merges to be two tokens with a blank between them. Received: {merge!r}."
        )
    return tuple(parts)


def _checked_vocabulary(vocabulary):
    """The vocabulary as a list of str."""
    vocabulary = list(vocabulary)
    ids = {}
    for i, token in enumerate(vocabulary):
        if not isinstance(token, str):
            raise TypeError(
                f"Expected every token of the vocabulary to be a str. Received at {i}: {token!r}."
            )
        if ids.setdefault(token, i) != i or not token:
            raise ValueError(
                "Expected every token of the vocabulary once, and none that is empty. Received "
                f"{token!r} at {i} (counted from 0)."
            )
    return vocabulary
