"""data_findings: which figures of a data check need attention."""

import dataclasses

from keras_combiner.datasets.near_names import near_names

# What concerns a smaller share of the documents is worth a look; from this share on, it decides
# what is learned or measured.
_SHARE = 0.01
_UNKNOWN_SHARE, _MOST_UNKNOWN = 0.05, 0.5
_IMBALANCE = 10
_MOST_NAMES = 5
# How programs write a missing value; a class may have such a name, too.
_MISSING = {"none", "null", "nan", "na", "n/a", "<na>", "nat", "nil", "undefined", "-", "--", "?"}
_DAMAGE = {
    "mojibake": "text that was decoded wrongly, such as 'Ã¼' for 'ü'",
    "replaced": "U+FFFD, where bytes were lost in an earlier conversion",
    "controls": "control characters",
    "marks": "a byte order mark inside of the text",
}


@dataclasses.dataclass(frozen=True)
class Finding:
    """One thing that needs attention.

    Attributes:
        kind: str, for programs: "unreadable", "leakage", ...
        stops: bool, whether a training should not start with it.
        message: str, a sentence or two.
        places: list of str, where it is, the first few.

    Example:

    >>> import pathlib, tempfile
    >>> from keras_combiner.datasets import check_data
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "reviews.csv"
    >>> _ = path.write_text("text,label\\nA fine book.,good\\nToo long.,bad\\nI like it.,Good\\n")
    >>> check_data(path).findings[0].message
    "Labels that differ in case only: 'Good' and 'good'. Spell them alike if they are one class."
    """

    kind: str
    stops: bool
    message: str
    places: list


def data_findings(splits, duplicates, places, sequence_length, unit) -> tuple[Finding, ...]:
    """Returns what needs attention.

    Args:
        splits: dict of name to `keras_combiner.datasets.data_check.SplitFigures`.
        duplicates: `keras_combiner.datasets.duplicates.DuplicateFigures`.
        places: dict of kind to list of pairs of str, where `duplicates.examples` are.
        sequence_length: int or None, the tokens that a model reads.
        unit: str, "tokens" or "words".

    Returns:
        tuple of `Finding`, first those that should be fixed before a training starts.
    """
    findings = []
    for name, figures in splits.items():
        findings += _of_records(name, figures)
        findings += _of_weights(name, figures)
        findings += _of_texts(name, figures, sequence_length, unit)
    findings += _of_labels(splits)
    findings += _of_duplicates(splits, duplicates, places)
    return tuple(sorted(findings, key=lambda finding: not finding.stops))


def _of_records(name, figures):
    count = figures.unreadable.count
    if count:
        yield Finding(
            "unreadable",
            True,
            f"{name}: {_records(count)} cannot be read. Fix {_them(count)} or take {_them(count)} "
            "out.",
            figures.unreadable.first,
        )
    count = figures.unlabelled.count
    if count == figures.documents and name == "data":
        yield Finding(
            "unlabelled",
            True,
            "data: no document has a label or another target. Name the field with label_field=... "
            "if they have one.",
            [],
        )
    elif count:
        yield Finding(
            "unlabelled",
            True,
            f"{name}: {_documents(count)} without a label. Label {_them(count)} or take "
            f"{_them(count)} out.",
            figures.unlabelled.first,
        )
    count = figures.empty.count
    if count:
        yield Finding(
            "empty",
            _is_large(count, figures),
            f"{name}: {_documents(count)} without text.",
            figures.empty.first,
        )


def _of_weights(name, figures):
    weights = figures.weights
    if weights and not weights["total"]:
        yield Finding("weightless", True, f"{name}: every document has the weight 0.", [])
        return
    weightless = [x for x, total in (weights["labels"] if weights else {}).items() if not total]
    if weightless:
        yield Finding(
            "weightless",
            False,
            f"{name}: labels whose documents all have the weight 0: {_named(weightless)}. They "
            "count for nothing.",
            [],
        )


def _of_texts(name, figures, sequence_length, unit):
    for kind, found in figures.damage.items():
        yield Finding(
            kind,
            kind in ("mojibake", "replaced") and _is_large(found.count, figures),
            f"{name}: {_documents(found.count)} with {_DAMAGE[kind]}.",
            found.first,
        )
    if figures.longer:
        yield Finding(
            "long",
            False,
            f"{name}: {_documents(figures.longer)} ({figures.longer / figures.documents:.0%}) "
            f"longer than {sequence_length:,} {unit}. Cut, {figures.unread:.0%} of all {unit} are "
            "not read: a greater sequence_length or long_texts='windows' reads them.",
            [],
        )
    if figures.unknown is not None and figures.unknown > _UNKNOWN_SHARE:
        yield Finding(
            "unknown",
            figures.unknown > _MOST_UNKNOWN,
            f"{name}: {figures.unknown:.0%} of the tokens are unknown to the vocabulary. Choose "
            "another tokenizer: bytes know every text.",
            [],
        )


def _of_labels(splits):
    data = splits["data"]
    known = data.labels
    for name, figures in splits.items():
        if figures.task not in (None, data.task):
            yield Finding(
                "task",
                True,
                f"{name}: its targets are those of a task {figures.task!r}, those of the data of "
                f"{data.task!r}.",
                [],
            )
    if data.task == "single_label" and len(known) < 2:
        yield Finding(
            "classes",
            True,
            f"data: every document has the label {next(iter(known))!r}. A classifier needs two "
            "classes or more.",
            [],
        )
    for name, figures in list(splits.items())[1:]:
        unknown = [label for label in figures.labels if label not in known]
        if unknown and figures.task == data.task:
            yield Finding(
                "unknown_labels",
                True,
                f"{name}: labels that the data do not have: {_named(unknown)}.",
                [],
            )
    every = {label for figures in splits.values() for label in figures.labels}
    for difference, groups in near_names(every).items():
        if groups:
            shown = "; ".join(" and ".join(map(repr, group)) for group in groups[:_MOST_NAMES])
            more = f"; and {len(groups) - _MOST_NAMES:,} more" if len(groups) > _MOST_NAMES else ""
            yield Finding(
                "near_names",
                difference == "white space",
                f"Labels that differ in {difference} only: {shown}{more}. Spell them alike if they "
                "are one class.",
                [],
            )
    missing = [label for label in every if label.strip().lower() in _MISSING]
    if missing:
        yield Finding(
            "missing_names",
            False,
            f"Labels that look like a missing one: {_named(sorted(missing))}. Leave such documents "
            "out if they have no label.",
            [],
        )
    if len(known) > 1:
        yield from _of_balance(data)


def _of_balance(data):
    (most, highest), *_, (least, lowest) = data.labels.items()
    if highest >= _IMBALANCE * lowest:
        advice = "class_weight='balanced' makes every class weigh the same"
        if data.task != "single_label":
            advice = "Accuracy says little of the rare ones"
        yield Finding(
            "imbalance",
            False,
            f"data: {highest:,} documents of {most!r}, and {lowest:,} of {least!r}. {advice}.",
            [],
        )
    rare = [label for label, count in data.labels.items() if count < 2]
    if rare:
        yield Finding(
            "rare", False, f"data: labels that a single document has: {_named(rare)}.", []
        )


def _of_duplicates(splits, duplicates, places):
    data = splits["data"]
    alone = len(splits) == 1
    for (a, b), count in duplicates.across.items():
        if count:
            yield Finding(
                "leakage",
                _is_large(count, splits[b]),
                f"{_documents(count)} of {b} ({count / splits[b].documents:.1%}) with a text that "
                f"{a} has, too: what is measured on {b} is too good.",
                _pairs(places, f"across {a} {b}"),
            )
    for (a, b), count in duplicates.near_across.items():
        if count:
            yield Finding(
                "near_leakage",
                _is_large(count, splits[b]),
                f"{count:,} text{_s(count)} of {b} ({count / splits[b].documents:.1%}) nearly the "
                f"same as one of {a}: what is measured on {b} is too good.",
                _pairs(places, f"near_across {a} {b}"),
            )
    count = duplicates.contradictory
    if count:
        documents = sum(figures.documents for figures in splits.values())
        yield Finding(
            "contradictory",
            data.task != "regression" and count >= _SHARE * documents,
            f"{count:,} text{_s(count)} with two labels or more. Choose one.",
            _pairs(places, "contradictory"),
        )
    count = duplicates.near_contradictory
    if count:
        yield Finding(
            "near_contradictory",
            False,
            f"{count:,} group{_s(count)} of texts that are nearly the same, with different labels.",
            _pairs(places, "near_contradictory"),
        )
    for name, count in duplicates.within.items():
        if count:
            held_out = " Some will be held out for validation, which is then too good."
            yield Finding(
                "duplicates",
                alone and _is_large(count, data),
                f"{name}: {_documents(count)} ({count / splits[name].documents:.1%}) with the text "
                f"of an earlier one.{held_out if alone else ''}",
                _pairs(places, f"within {name}"),
            )
    for name, count in duplicates.near_within.items():
        if count:
            yield Finding(
                "near_duplicates",
                False,
                f"{name}: {count:,} text{_s(count)} nearly the same as an earlier one.",
                _pairs(places, f"near_within {name}"),
            )


def _is_large(count, figures):
    return count >= _SHARE * figures.documents


def _pairs(places, kind):
    return [f"{second} and {first}" for first, second in places.get(kind, [])]


def _named(labels):
    shown = ", ".join(map(repr, labels[:_MOST_NAMES]))
    more = len(labels) - _MOST_NAMES
    return f"{shown} and {more:,} more" if more > 0 else shown


def _records(count):
    return f"{count:,} record{_s(count)}"


def _documents(count):
    return f"{count:,} document{_s(count)}"


def _them(count):
    return "it" if count == 1 else "them"


def _s(count):
    return "" if count == 1 else "s"
