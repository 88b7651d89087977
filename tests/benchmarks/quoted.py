"""Which numbers the words of a page quote, and whether phrases account for all of them."""

import re

from benchmarks.common.pages import MARKED

# 512 or 4,096 or +11.5 or 30% or 0.1.0, but no digits of a name, such as those of "x86-64".
NUMBER = re.compile(r"(?<![\w.,-])[+-]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)*%?(?![\w-])")


def words_of(page):
    """Returns the words of a page on one line, without tables, marks of code, and addresses."""
    for pattern in (MARKED, re.compile("`"), re.compile(r"(?<=\])\([^)]*\)")):
        page = pattern.sub("", page)
    return " ".join(page.split())


def unaccounted(words, phrases):
    """Returns the numbers of `words` that no phrase holds, and the phrases that are not there.

    Args:
        words: str, see `words_of`.
        phrases: list of str, made of the figures: pieces of `words` as they have to be.

    Returns:
        Two lists of str; numbers have a few words around them.
    """
    held = [x.span() for phrase in phrases for x in re.finditer(re.escape(phrase), words)]
    numbers = [
        words[max(0, x.start() - 30) : x.end() + 30]
        for x in NUMBER.finditer(words)
        if not any(start <= x.start() and x.end() <= end for start, end in held)
    ]
    return numbers, [phrase for phrase in phrases if phrase not in words]
