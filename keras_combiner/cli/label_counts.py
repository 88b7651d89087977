"""How many documents of each class there are, in words."""

_MOST_CLASSES = 20


def check_known(counts, labels, data, whose):
    """Refuses labels that a model cannot give.

    Args:
        counts: mapping whose keys are the labels of the data.
        labels: list of str, the labels that are known.
        data: str, where the data came from.
        whose: str, who knows the labels: "the model", for example.

    Raises:
        ValueError: if there is another label; it is named, and those that are known.
    """
    unknown = [label for label in counts if label not in set(labels)]
    if unknown:
        raise ValueError(
            f"{data}: unknown label {_listed(map(repr, unknown))}; {whose} has "
            f"{_listed(map(repr, labels))}."
        )


def describe(counts):
    """Writes the classes with their numbers of documents.

    Args:
        counts: mapping of label to number of documents.

    Returns:
        str.

    Example:

    >>> describe({"bad": 1200, "good": 7})
    'bad 1,200, good 7'
    """
    return _listed(f"{label} {count:,}" for label, count in counts.items())


def documents_in(total):
    """Writes how many documents there are.

    Args:
        total: int.

    Returns:
        str.

    Example:

    >>> documents_in(1207)
    '1,207 documents'
    """
    return f"{total:,} document{'' if total == 1 else 's'}"


def _listed(names):
    names = list(names)
    more = len(names) - _MOST_CLASSES
    return ", ".join(names[:_MOST_CLASSES] + ([f"and {more:,} more"] if more > 0 else []))
