"""near_names: names of classes that may be one class, spelled in two ways."""

import re
from collections.abc import Iterable

from keras_combiner.datasets.label_names import alike

# In shorter names one letter may be all the difference: "cat" and "car".
_LEAST_LETTERS = 5
_LONGEST = 60  # names of more characters are not compared: the work grows with the square
# More names than these with one letter between the same others are a series, and not spelled wrong:
# "group a", "group b", ...
_MOST_AT_ONE_PLACE = 12
_NOT_A_LETTER = re.compile(r"[\W\d_]+")


def near_names(names: Iterable[str]) -> dict[str, list[list[str]]]:
    """Finds names that differ in white space only, in case only, or in a letter.

    A letter too many, a letter missing, another letter or two letters swapped, in names of five
    letters or more. Names that differ in digits or signs are different: "part 1", "part 2"; and so
    are those of a series, more than a dozen that differ at one place: "group a", "group b", ...

    Args:
        names: iterable of str, all different.

    Returns:
        dict of "white space", "case" and "a letter" to lists of names that are near each other;
        every pair stands under the first that fits.

    Example:

    >>> near_names(["tale", "Tale", "weather", "wether", "part 1", "part 2"])
    {'white space': [], 'case': [['Tale', 'tale']], 'a letter': [['weather', 'wether']]}
    """
    names = sorted(names)
    spaces = alike(names)
    cases = {}
    for name in names:
        cases.setdefault(" ".join(name.casefold().split()), []).append(name)
    # Of names that differ in more than case.
    spelled = {key: group[0] for key, group in cases.items()}
    return {
        "white space": spaces,
        "case": [x for x in cases.values() if len(x) > 1 and x not in spaces],
        "a letter": [[spelled[a], spelled[b]] for a, b in _letter_apart(spelled)],
    }


def _letter_apart(names):
    """Yields pairs of names that are a letter apart, without comparing every name with every other.

    Two such names are equal once one letter is taken out of one of them, or of both.
    """
    shorter = {}
    for name in names:
        if len(name) <= _LONGEST and len(_NOT_A_LETTER.sub("", name)) >= _LEAST_LETTERS:
            for cut in {name, *(name[:i] + name[i + 1 :] for i in range(len(name)))}:
                shorter.setdefault(cut, []).append(name)
    found, series = set(), set()
    for group in shorter.values():
        if len(group) > _MOST_AT_ONE_PLACE:
            series.update(group)
            continue
        for i, first in enumerate(group):
            for second in group[i + 1 :]:
                if _is_letter_apart(first, second):
                    found.add((min(first, second), max(first, second)))
    return sorted(pair for pair in found if not series.issuperset(pair))


def _is_letter_apart(a, b):
    start = next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), None)
    start = min(len(a), len(b)) if start is None else start
    rest_a, rest_b = a[start:], b[start:]
    swapped = rest_a[:2] == rest_b[:2][::-1] and rest_a[2:] == rest_b[2:]
    if swapped:
        return rest_a[:2].isalpha()
    if len(a) == len(b):
        return rest_a[1:] == rest_b[1:] and (rest_a[0] + rest_b[0]).isalpha()
    longer, other = sorted([rest_a, rest_b], key=len, reverse=True)
    return longer[1:] == other and longer[0].isalpha()
