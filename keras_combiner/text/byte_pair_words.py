"""Where GPT-2's words begin, character by character, inside the TensorFlow graph."""

import functools
import unicodedata

import numpy as np
import tensorflow as tf

# Unicode's white space, also as what stands between the brackets of a regular expression of RE2.
WHITE_SPACE = r"\t-\r \x{85}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000}"
_WHITE_SPACE = (*range(9, 14), 32, 0x85, 0xA0, 0x1680, *range(0x2000, 0x200B))
_WHITE_SPACE += (0x2028, 0x2029, 0x202F, 0x205F, 0x3000)

_OTHER, _LETTER, _NUMBER, _SPACE = range(4)
_NOTHING = -1
# Where the letters of Unicode end; what follows is marks, private or empty.
_END_OF_LETTERS = 0x33500


def word_starts(characters, begins):
    """Says where the words of GPT-2 begin, into which texts are split before byte pairs are merged.

    The words are those of the regular expression
    `'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+`: letters,
    numbers or other characters, with a blank before them; and white space but for that blank. RE2,
    the one engine in the graph, has no `(?!\\S)`. But whether a word begins at a character hangs on
    its neighbors alone:

    - Its kind is not that of the character before it, which is not a blank.
    - It is the last of white space before something else: it goes with that if it is a blank, and
      is a word of its own otherwise.
    - An apostrophe and `s`, `t`, `re`, `ve`, `m`, `ll` or `d` are a word where an apostrophe begins
      one: not after a blank, which it goes with, nor after other characters of its kind.

    Args:
        characters: int32 `[n]`, code points of one text after another.
        begins: bool `[n]`, which of them are the first of a text.

    Returns:
        bool `[n]`, which of them begin a word.

    Example:

    >>> text = "I've  2 !"
    >>> characters = tf.constant([ord(x) for x in text])
    >>> starts = word_starts(characters, tf.range(len(text)) == 0).numpy()
    >>> "".join("|" * int(start) + x for start, x in zip(starts, text))
    "|I|'ve| | 2| !"
    """
    kinds = _kinds()
    kind = tf.cast(tf.gather(kinds, tf.minimum(characters, len(kinds) - 1)), tf.int32)
    ends = _shifted(begins, -1, True)
    before = tf.where(begins, _NOTHING, _shifted(kind, 1, _NOTHING))
    after = tf.where(ends, _NOTHING, _shifted(kind, -1, _NOTHING))
    follows_blank = ~begins & (_shifted(characters, 1, 0) == ord(" "))
    starts = tf.where(
        kind == _SPACE,
        (before != _SPACE) | ((after != _SPACE) & (after != _NOTHING)),
        (kind != before) & ~follows_blank,
    )
    # Contractions, within one text.
    second = tf.where(ends, 0, _shifted(characters, -1, 0))
    third = tf.where(ends | _shifted(begins, -2, True), 0, _shifted(characters, -2, 0))
    is_apostrophe = (characters == ord("'")) & (before != _OTHER) & ~follows_blank
    of_two = is_apostrophe & functools.reduce(
        tf.logical_or, [second == ord(letter) for letter in "stmd"]
    )
    of_three = is_apostrophe & functools.reduce(
        tf.logical_or, [(second == ord(x)) & (third == ord(y)) for x, y in ("re", "ve", "ll")]
    )
    starts &= ~_shifted(of_two | of_three, 1, False)
    return begins | starts | _shifted(of_two, 2, False) | _shifted(of_three, 3, False)


def _shifted(x, places, filler):
    """`[1 2 3]` by 1 -> `[filler 1 2]`, by -1 -> `[2 3 filler]`."""
    fillers = tf.fill([tf.minimum(abs(places), tf.size(x))], tf.constant(filler, x.dtype))
    if places > 0:
        return tf.concat([fillers, x[:-places]], axis=0)
    return tf.concat([x[-places:], fillers], axis=0)


@functools.cache
def _kinds():
    """int8 `[code points]`, the kind of each; what comes after is of the last one's."""
    kinds = np.full(_END_OF_LETTERS + 1, _OTHER, "int8")
    of_category = {"L": _LETTER, "N": _NUMBER}
    for code in range(_END_OF_LETTERS):
        kinds[code] = of_category.get(unicodedata.category(chr(code))[0], _OTHER)
    kinds[[*_WHITE_SPACE]] = _SPACE
    return kinds
