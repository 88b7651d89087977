"""NearDuplicates: which texts are nearly the same, by MinHash."""

import re
import zlib

import numpy as np

# No library, because none is faster: datasketch 2.0 and rensa 0.5 take 5.7 and 2.0 ms for the
# signature of a text of 2,000 words with its shingles, numpy takes 1.7 ms; and the index of
# datasketch holds 3,600 bytes a text, where a signature here has 256.
_SHINGLE = 5  # words
_HASHES = 128
_BANDS = 32  # of 4 hashes: of texts that share 0.7 of their shingles, 99.98 % meet in a band
_ALIKE = 0.7  # one word in thirty is another
_LEAST_SHINGLES = 20  # in shorter texts, one word more or less is a large share of them
_CHUNK = 2**12  # shingles, times _HASHES numbers in memory

# Where words are written without spaces between them, a character is a word: Thai, Lao, Tibetan,
# Burmese, Khmer, kana and Chinese characters.
_UNSPACED = (
    r"\u0e00-\u0fff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\U00020000-\U0003ffff"
)
_WORD = re.compile(rf"[{_UNSPACED}]|[^\W{_UNSPACED}]+")


class NearDuplicates:
    """Finds texts that share most of their runs of five words.

    Case, punctuation and white space do not count. Of every text, 256 bytes are kept. Texts of
    fewer than 24 words are left out. Among many texts that are somewhat similar, a pair may be
    missed.

    Example:

    >>> words = [str(i) for i in range(100)]
    >>> texts = [" ".join(words), " ".join(words[3:]), " ".join(words[50:] + words[:50])]
    >>> found = NearDuplicates()
    >>> for i, text in enumerate(texts):
    ...     found.add(i, text)
    >>> [group.tolist() for group in found.groups()]
    [[0, 1, 2]]
    """

    def __init__(self):
        generator = np.random.default_rng(0)
        numbers = generator.integers(0, 2**32, (2, _HASHES), dtype="uint32")
        self._factors, self._terms = numbers[0] | np.uint32(1), numbers[1]
        self._places = generator.integers(0, 2**63, _SHINGLE, dtype="uint64") | np.uint64(1)
        self._signatures = bytearray()
        self._names = []

    def add(self, name: int, text: str):
        """Adds a text.

        Args:
            name: int, what `groups` calls it.
            text: str.
        """
        shingles = self._shingles(text)
        if len(shingles) < _LEAST_SHINGLES:
            return
        least = np.full(_HASHES, 2**32 - 1, "uint32")
        for start in range(0, len(shingles), _CHUNK):
            part = shingles[start : start + _CHUNK]
            hashes = part * self._factors[:, None] + self._terms[:, None]
            np.minimum(least, hashes.min(axis=1), out=least)
        # The high bits of the least of many are all zero.
        self._signatures += (least & np.uint32(0xFFFF)).astype("uint16").tobytes()
        self._names.append(name)

    def groups(self) -> list[np.ndarray]:
        """Gathers the texts that are nearly the same.

        Returns:
            list of int arrays, the names of two texts or more, in the order in which they came.
        """
        signatures = np.frombuffer(bytes(self._signatures), "uint16").reshape(-1, _HASHES)
        roots = np.arange(len(signatures))
        for i, j in self._candidates(signatures):
            i, j = _root(roots, i), _root(roots, j)
            roots[max(i, j)] = min(i, j)
        found = {}
        for i in range(len(roots)):
            found.setdefault(_root(roots, i), []).append(self._names[i])
        return [np.array(group) for group in found.values() if len(group) > 1]

    def _shingles(self, text):
        """The hashes of all runs of words, uint32 `[shingles]`."""
        words = (zlib.crc32(word.encode("utf-8", "replace")) for word in _words(text))
        words = np.fromiter(words, "uint64")
        count = max(len(words) - _SHINGLE + 1, 0)
        hashes = np.zeros(count, "uint64")
        for i in range(_SHINGLE):
            hashes += words[i : i + count] * self._places[i]
        hashes ^= hashes >> np.uint64(32)
        hashes *= np.uint64(0xD6E8FEB86659FD93)
        return (hashes >> np.uint64(32)).astype("uint32")

    @staticmethod
    def _candidates(signatures):
        """Yields pairs of places of signatures that agree in a band, and in most of all."""
        rows = _HASHES // _BANDS
        for band in range(_BANDS):
            part = np.ascontiguousarray(signatures[:, band * rows : (band + 1) * rows])
            keys = part.view("uint64").ravel()
            order = np.argsort(keys, kind="stable")
            same = keys[order[1:]] == keys[order[:-1]]
            first = None
            for place in np.flatnonzero(same):
                i, j = order[place], order[place + 1]
                if first is None or not same[place - 1]:
                    first = i
                # To the one before and to the first: all pairs of many would be too many.
                for other in {i, first}:
                    if (signatures[other] == signatures[j]).mean() >= _ALIKE:
                        yield other, j


def _words(text):
    return _WORD.findall(text.lower())


def _root(roots, i):
    while roots[i] != i:
        roots[i] = roots[roots[i]]
        i = roots[i]
    return i
