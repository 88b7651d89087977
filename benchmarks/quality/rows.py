"""The rows of the quality benchmark's tables."""

MAJORITY = "majority"
ROOT_OPERATOR = "root operator"
TFIDF = "TF-IDF"
TFIDF_TRUNCATED = "TF-IDF, truncated"
WITHOUT_ATTENTION = "no attention"
TRUNCATED = "full attention, truncated"
FULL = "full attention"
WINDOW = "sliding window"
BIGBIRD = "BigBird"
DEFAULT = "Combiner fixed, variational"
FIRST_BLOCK = "Combiner fixed, first block, locality"
# Combiner's rows: the plan and the summary.
COMBINER = {
    "Combiner fixed, max": ("fixed", "max"),
    DEFAULT: ("fixed", "variational"),
    FIRST_BLOCK: ("first block", "variational"),
    "Combiner logsparse": ("logsparse", "variational"),
    "Combiner axial_rowmajor": ("axial_rowmajor", "variational"),
    "Combiner mixture": ("mixture", "variational"),
    "Combiner hierarchical": ("hierarchical", "variational"),
}
MODELS = (WITHOUT_ATTENTION, TRUNCATED, FULL, WINDOW, BIGBIRD, *COMBINER)


def is_baseline(row):
    """Whether a row is not a network, and so the same with every seed."""
    return row not in MODELS


def rows_of(dataset):
    """Returns the rows of a data set's table, a tuple of str."""
    if dataset == "listops":
        return (MAJORITY, ROOT_OPERATOR, *MODELS)
    return (MAJORITY, TFIDF, TFIDF_TRUNCATED, *MODELS)


def title(row, settings):
    """Returns the name of a row in tables."""
    return row.replace("truncated", f"first {settings['short_length']} tokens")
