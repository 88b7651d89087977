"""How many documents of each class there are, in words."""

_MOST_CLASSES = 20
_MOST_ALIKE = 3


def check_known(counts, labels, documents):
    """Refuses labels that a model cannot give.

    Args:
        counts: mapping whose keys are the labels of the documents.
        labels: list of str, the labels that are known.
        documents: `keras_combiner.datasets.DocumentReader`, what was counted.

    Raises:
        ValueError: if there is another label, by the rule of
            `keras_combiner.datasets.label_places`: where it stands, and the nearest that are known.
    """
    from keras_combiner.datasets.label_names import unknown_label
    from keras_combiner.datasets.label_places import LabelPlaces

    places = LabelPlaces(labels)
    unknown = [label for label in counts if label not in places]
    if unknown:
        error = unknown_label(unknown[0], labels, first_place_of(unknown[0], documents))
        more = f" {len(unknown):,} labels of the file are unknown." if len(unknown) > 1 else ""
        raise ValueError(f"{error}{more}")


def check_distinct(counts, documents):
    """Refuses labels that a reader would take for one.

    Args:
        counts: mapping whose keys are the labels of the documents.
        documents: `keras_combiner.datasets.DocumentReader`, what was counted.

    Raises:
        ValueError: if two labels differ in white space only: both, and where they stand.
    """
    from keras_combiner.datasets.label_names import alike, alike_error

    for group in alike(counts):
        raise alike_error(
            f"{label!r} ({first_place_of(label, documents)})" for label in group[:_MOST_ALIKE]
        )


def first_place_of(label, documents):
    """Finds the first document that has a label.

    Args:
        label: str.
        documents: `keras_combiner.datasets.DocumentReader`, read as far as the document.

    Returns:
        str, where it stands: a file and a line, or the number of a record.
    """
    for place, found in zip(documents.places(), documents.labels(), strict=False):
        if label == found or (isinstance(found, tuple) and label in found):
            return place
    return documents.name


def describe(counts, number_format=","):
    """Writes the classes with their numbers of documents, or with other numbers.

    Args:
        counts: mapping of label to number.
        number_format: str, how a number is formatted.

    Returns:
        str.

    Example:

    >>> describe({"bad": 1200, "good": 7})
    'bad 1,200, good 7'
    """
    return _listed(f"{label} {count:{number_format}}" for label, count in counts.items())


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
