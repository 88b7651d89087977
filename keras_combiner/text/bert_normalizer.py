"""BERT's normalization of texts, character by character, inside the TensorFlow graph."""

import functools
import unicodedata

import numpy as np
import tensorflow as tf

_REMOVED = 0  # NUL is one of the characters that vanish
# Too many to list, and removed as well.
_PRIVATE_USE = ((0xE000, 0xF8FF), (0xF0000, 0xFFFFD), (0x100000, 0x10FFFD))
# Where Unicode has characters, or is going to have some; looking at the rest takes seconds.
_ASSIGNED = (range(0x40000), range(0xE0000, 0xE1000))


class BertNormalizer:
    """Normalizes texts as BERT's own tokenizer does.

    Control and format characters vanish, and so does U+FFFD; white space becomes a space. Accents
    are stripped by canonical decomposition (NFD), and letters are converted to lower case one by
    one. There is no compatibility decomposition (NFKC): "½" and "…" stay what they are.

    No character depends on its neighbors, so one table is enough: character -> characters.

    Args:
        lowercase: bool, whether to convert letters to lower case.
        strip_accents: bool, whether to decompose characters and to strip their accents.

    Example:

    >>> normalizer = BertNormalizer(lowercase=True, strip_accents=True)
    >>> normalizer.normalize(tf.constant(["Café ½…"])).numpy()[0].decode()
    'cafe ½…'
    """

    def __init__(self, lowercase, strip_accents):
        table = _table(lowercase, strip_accents)
        with tf.init_scope():  # it may be made while a function is traced, and must outlive that
            self._keys = tf.constant([*table], tf.int32)
            lengths = [len(x) for x in table.values()]
            self._lengths = tf.constant(lengths, tf.int32)
            self._starts = tf.constant(np.cumsum([0, *lengths])[:-1], tf.int32)
            self._values = tf.constant([y for x in table.values() for y in x], tf.int32)

    def normalize(self, texts):
        """Normalizes texts.

        Args:
            texts: tf.string tensor `[batch]` of valid UTF-8.

        Returns:
            tf.string tensor `[batch]`.
        """
        characters = tf.strings.unicode_decode(texts, "UTF-8")
        mapped, _ = self._map(characters)
        return tf.strings.unicode_encode(mapped, "UTF-8")

    def normalize_with_offsets(self, texts):
        """As `normalize`, and where in its text every byte comes from.

        Args:
            texts: as in `normalize`.

        Returns:
            `(normalized, origins)`: tf.string tensor `[batch]`, and tf.RaggedTensor int64
            `[batch, None]`, for every byte of the normalized text, and for its end, a byte of the
            text: where the character starts that it comes from.
        """
        characters, starts = tf.strings.unicode_decode_with_offsets(texts, "UTF-8")
        mapped, sources = self._map(characters)
        starts = mapped.with_values(tf.gather(starts.flat_values, sources))
        # A character has 1 to 4 bytes, by its code point.
        code = mapped.flat_values
        num_bytes = 1 + sum(tf.cast(code >= x, tf.int64) for x in (0x80, 0x800, 0x10000))
        bytes_a_row = tf.reduce_sum(mapped.with_values(num_bytes), axis=1)
        origins = tf.RaggedTensor.from_row_lengths(
            tf.repeat(starts.flat_values, num_bytes), bytes_a_row
        )
        ends = tf.cast(tf.strings.length(texts), tf.int64)[:, tf.newaxis]
        return tf.strings.unicode_encode(mapped, "UTF-8"), tf.concat([origins, ends], axis=1)

    def _map(self, characters):
        """Looks every character up.

        Args:
            characters: tf.RaggedTensor int32 `[batch, None]` of code points.

        Returns:
            `(mapped, sources)`: tf.RaggedTensor int32 `[batch, None]`; and for each value of it,
            int32, which value of `characters` it comes from.
        """
        code = characters.flat_values
        for first, last in _PRIVATE_USE:
            code = tf.where((code >= first) & (code <= last), _REMOVED, code)
        row = tf.minimum(tf.searchsorted(self._keys, code), tf.size(self._keys) - 1)
        is_listed = tf.gather(self._keys, row) == code
        lengths = tf.where(is_listed, tf.gather(self._lengths, row), 1)
        sources = tf.repeat(tf.range(tf.size(code)), lengths)
        within = tf.range(tf.size(sources)) - tf.gather(tf.cumsum(lengths, exclusive=True), sources)
        row = tf.gather(row, sources)
        # Characters that are not listed look up some value, too, but `where` does not use it.
        place = tf.minimum(tf.gather(self._starts, row) + within, tf.size(self._values) - 1)
        values = tf.where(
            tf.gather(is_listed, sources), tf.gather(self._values, place), tf.gather(code, sources)
        )
        row_lengths = tf.reduce_sum(characters.with_values(lengths), axis=1)
        return tf.RaggedTensor.from_row_lengths(values, row_lengths), sources


@functools.cache
def _table(lowercase, strip_accents):
    """Code point -> code points, in ascending order, of all that do not stand for themselves."""
    table = {}
    for code in (code for plane in _ASSIGNED for code in plane):
        character = chr(code)
        category = unicodedata.category(character)
        if category in ("Cn", "Co", "Cs"):
            continue
        mapped = _normalized(character, category, lowercase, strip_accents)
        if mapped != character:
            table[code] = [ord(x) for x in mapped]
    return table


def _normalized(character, category, lowercase, strip_accents):
    if character in "\t\n\r" or category in ("Zs", "Zl", "Zp"):
        return " "
    if category in ("Cc", "Cf") or character == "\ufffd":
        return ""
    if strip_accents:
        decomposed = unicodedata.normalize("NFD", character)
        character = "".join(x for x in decomposed if unicodedata.category(x) != "Mn")
    return "".join(x.lower() for x in character) if lowercase else character
