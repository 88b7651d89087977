"""Word pieces in plain Python: what a phone, a Raspberry Pi or a test needs beside a .tflite model.

No TensorFlow and no keras_combiner: the standard library and numpy. The ids are those of
`keras_combiner.text.WordPieceTokenizer`, or of `BertTokenizer`, which run tensorflow-text inside
the graph; the tests compare them code point by code point and on whole documents.

tensorflow-text carries Unicode 16.0 and Python its own version (`unicodedata.unidata_version`: 14.0
in Python 3.11, 16.0 in Python 3.14). Only characters that one of the two does not know yet can
differ: with Python 3.11, 223 of them when lower-casing and 43 when not, all of them scripts, signs
and letters added to Unicode in 2022 or later. Every other text gives the same ids.
"""

import unicodedata
import zlib

import numpy as np

PAD_TOKEN, UNKNOWN_TOKEN, START_TOKEN, END_TOKEN = "[PAD]", "[UNK]", "[CLS]", "[SEP]"
MAX_BYTES_PER_WORD = 100
# Different words are few beside words, so each is cut up once. The bound is for programs that run
# for months.
MAX_CACHED_WORDS = 200_000

# Default_Ignorable_Code_Point of Unicode, which unicodedata does not offer. Case folding under NFKC
# deletes them. The gaps that Unicode reserves for future ones are included, so the list is stable.
_IGNORABLE = (
    (0x00AD, 0x00AD),
    (0x034F, 0x034F),
    (0x061C, 0x061C),
    (0x115F, 0x1160),
    (0x17B4, 0x17B5),
    (0x180B, 0x180F),
    (0x200B, 0x200F),
    (0x202A, 0x202E),
    (0x2060, 0x206F),
    (0x3164, 0x3164),
    (0xFE00, 0xFE0F),
    (0xFEFF, 0xFEFF),
    (0xFFA0, 0xFFA0),
    (0xFFF0, 0xFFF8),
    (0x1BCA0, 0x1BCA3),
    (0x1D173, 0x1D17A),
    (0xE0000, 0xE0FFF),
)
# The blocks that BERT splits into single characters: CJK ideographs.
_CHINESE = (
    (0x3400, 0x4DBF),
    (0x4E00, 0x9FFF),
    (0xF900, 0xFAFF),
    (0x20000, 0x2A6DF),
    (0x2A700, 0x2B73F),
    (0x2B740, 0x2B81F),
    (0x2B820, 0x2CEAF),
    (0x2F800, 0x2FA1F),
)


class WordPiece:
    """Turns a document into the int32 ids that a .tflite model takes.

    Args:
        vocabulary_path: str or path-like, vocab.txt: UTF-8, one token a line, `[PAD]` the first.
        lowercase: bool, whether to fold case and strip accents: what the model was trained with.
        normalization: str, "nfkc" for the rules of `WordPieceTokenizer`, "bert" for those of
            `BertTokenizer`.
        strip_accents: bool, whether "bert" strips accents; as `lowercase` if None.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If a special token is missing or a token comes twice.
    """

    def __init__(self, vocabulary_path, lowercase=True, normalization="nfkc", strip_accents=None):
        with open(vocabulary_path, encoding="utf-8", newline="\n") as file:
            lines = file.read().split("\n")
        tokens = [line.removesuffix("\r") for line in (lines[:-1] if lines[-1] == "" else lines)]
        self._ids = {token: index for index, token in enumerate(tokens)}
        if len(self._ids) != len(tokens):
            token = next(token for i, token in enumerate(tokens) if self._ids[token] != i)
            raise ValueError(f"{vocabulary_path} holds the token {token!r} twice; remove one.")
        specials = (PAD_TOKEN, UNKNOWN_TOKEN, START_TOKEN, END_TOKEN)
        missing = [token for token in specials if token not in self._ids]
        if missing:
            raise ValueError(
                f"{vocabulary_path} lacks {', '.join(missing)}; is it the vocabulary of a model?"
            )
        if self._ids[PAD_TOKEN] != 0:
            raise ValueError(f"{vocabulary_path} must have {PAD_TOKEN} on its first line.")
        self._unknown, self._start, self._end = (self._ids[token] for token in specials[1:])
        self._longest = max(len(token) for token in tokens)
        self._checksum = zlib.crc32("".join(f"{token}\n" for token in tokens).encode("utf-8"))
        self._characters = _CharacterTable(_normalizer(normalization, lowercase, strip_accents))
        self._pieces_of = {}

    @property
    def vocabulary_size(self):
        """How many tokens the vocabulary has, int."""
        return len(self._ids)

    @property
    def vocabulary_crc32(self):
        """The CRC-32 of the vocabulary, one token a line, int."""
        return self._checksum

    def tokenize(self, text):
        """Returns the ids of the whole text, a list of int without start, end and padding.

        Args:
            text: str, or bytes of UTF-8; bytes that are not valid become U+FFFD.
        """
        if isinstance(text, str):
            # A str may hold lone surrogates, which no UTF-8 can: the same way out as for bytes.
            text = text.encode("utf-8", "surrogatepass")
        text = text.decode("utf-8", "replace")
        ids = []
        for word in text.translate(self._characters).split():
            pieces = self._pieces_of.get(word)
            if pieces is None:
                pieces = self._cut(word)
                if len(self._pieces_of) < MAX_CACHED_WORDS:
                    self._pieces_of[word] = pieces
            ids += pieces
        return ids

    def encode(self, text, sequence_length):
        """Returns the ids that a model of input length `sequence_length` takes.

        Args:
            text: str, or bytes of UTF-8.
            sequence_length: int, at least 3.

        Returns:
            np.ndarray int32 [sequence_length]: start token, tokens (cut where they do not fit), end
            token, padding of zeros.
        """
        return self.frame(self.tokenize(text), sequence_length)

    def frame(self, token_ids, sequence_length):
        """Puts start and end tokens around the ids of `tokenize`, cuts and pads them.

        Args:
            token_ids: list of int.
            sequence_length: int, at least 3.

        Returns:
            np.ndarray int32 [sequence_length].
        """
        if sequence_length < 3:
            raise ValueError(f"sequence_length must be at least 3, but is {sequence_length}.")
        kept = [self._start, *token_ids[: sequence_length - 2], self._end]
        ids = np.zeros(sequence_length, np.int32)
        ids[: len(kept)] = kept
        return ids

    def _cut(self, word):
        """Cuts a word into the longest pieces from the left; one that does not fit is [UNK]."""
        if len(word.encode("utf-8")) > MAX_BYTES_PER_WORD:
            return [self._unknown]
        pieces, start, prefix = [], 0, ""
        while start < len(word):
            for end in range(min(len(word), start + self._longest), start, -1):
                piece = self._ids.get(prefix + word[start:end])
                if piece is not None:
                    break
            else:
                return [self._unknown]
            pieces.append(piece)
            start, prefix = end, "##"
        return pieces


class _CharacterTable(dict):
    """What each character becomes, worked out when first met; for str.translate.

    tensorflow-text normalizes code point by code point (so a context-dependent rule such as the
    Greek final sigma plays no part), and so does this. Besides, characters that separate words
    become a space, and characters that are words of their own get spaces around them: then
    str.split() finds the words.
    """

    def __init__(self, normalize):
        super().__init__()
        self._normalize = normalize

    def __missing__(self, code_point):
        text = self._normalize(chr(code_point))
        self[code_point] = result = "".join(map(_separate, text))
        return result


def _normalizer(normalization, lowercase, strip_accents):
    """Returns what normalizes a character."""
    if normalization == "bert":
        strip_accents = lowercase if strip_accents is None else strip_accents
        return lambda character: _normalize_as_bert(character, lowercase, strip_accents)
    return _fold if lowercase else str


def _normalize_as_bert(character, lowercase, strip_accents):
    """Canonical decomposition (NFD) only: a "½" stays what it is. What is invisible vanishes."""
    category = unicodedata.category(character)
    if character in "\t\n\r" or category in ("Zs", "Zl", "Zp"):
        return " "
    if category in ("Cc", "Cf", "Co") or character == "\ufffd":
        return ""
    if strip_accents:
        decomposed = unicodedata.normalize("NFD", character)
        character = "".join(each for each in decomposed if unicodedata.category(each) != "Mn")
    return "".join(each.lower() for each in character) if lowercase else character


def _fold(character):
    """Case folding under NFKC, then NFD without the accents."""
    if _is_in(ord(character), _IGNORABLE):
        return ""
    text = unicodedata.normalize("NFD", character).casefold()
    # Again, because NFKC may bring up capitals, as in a squared "MHz".
    text = unicodedata.normalize("NFKC", text).casefold()
    text = unicodedata.normalize("NFD", unicodedata.normalize("NFKC", text))
    return "".join(each for each in text if unicodedata.category(each) != "Mn")


def _separate(character):
    category = unicodedata.category(character)
    # Controls and formats (Cc, Cf) and separators (Zs, Zl, Zp). The white space of Unicode is the
    # separators and some controls.
    if category in ("Cc", "Cf", "Zs", "Zl", "Zp"):
        return " "
    code_point = ord(character)
    # ASCII symbols such as $ and + count as punctuation in BERT; letters and digits do not.
    is_ascii_symbol = 0x21 <= code_point <= 0x7E and not character.isalnum()
    if is_ascii_symbol or category.startswith("P") or _is_in(code_point, _CHINESE):
        return f" {character} "
    return character


def _is_in(code_point, ranges):
    return any(first <= code_point <= last for first, last in ranges)
