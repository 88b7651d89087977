"""CalibrationReport: what calibration found, and what it changed."""

import dataclasses

_FIGURES = (
    ("nll", "log loss"),
    ("ece", "calibration error (ECE)"),
    ("brier", "Brier score"),
    ("accuracy", "accuracy"),
    ("f1", "F1 over all labels"),
    ("coverage", "given a label"),
    ("answered_accuracy", "accuracy of these"),
)


@dataclasses.dataclass(frozen=True)
class CalibrationReport:
    """A calibration on the documents that it was fitted on; as a str, a table in Markdown.

    On these documents it looks a little better than on others: measure it on others too, with
    `keras-combiner evaluate`.

    Attributes:
        documents: int, how many there were.
        temperature: float, what the logits of the trained model are divided by.
        thresholds: dict of label to float, the probability above which each is given; None if there
            are none.
        before: dict of figures: "nll" (mean log loss, as `evaluate` has it), "ece" (expected
            calibration error, of 15 bins), "brier" (mean squared error of the probabilities: summed
            over the classes, where a document has one of them), "accuracy", "f1" (of several
            labels), "coverage" and "answered_accuracy" (with a threshold for one label: the share
            of documents that get one, and of these the right ones), and "reliability", what
            `keras_combiner.tasks.Reliability` holds.
        after: dict of the same figures.
        notes: tuple of str, what could not be fitted, and why.

    Example:

    >>> figures = {"nll": 0.9, "ece": 0.2, "brier": 0.3, "accuracy": 0.8}
    >>> print(CalibrationReport(50, 1.6, None, figures, {**figures, "nll": 0.6, "ece": 0.03}))
    Calibrated on 50 documents: temperature 1.600
    <BLANKLINE>
    | figure | before | after |
    | --- | --- | --- |
    | log loss | 0.9000 | 0.6000 |
    | calibration error (ECE) | 0.2000 | 0.0300 |
    | Brier score | 0.3000 | 0.3000 |
    | accuracy | 0.8000 | 0.8000 |
    """

    documents: int
    temperature: float
    thresholds: dict | None
    before: dict
    after: dict
    notes: tuple = ()

    def __str__(self):
        rows = [
            f"| {words} | {_shown(self.before.get(name))} | {_shown(self.after[name])} |"
            for name, words in _FIGURES
            if name in self.after
        ]
        lines = [
            f"Calibrated on {self.documents:,} documents: temperature {self.temperature:.3f}",
            "",
            "| figure | before | after |",
            "| --- | --- | --- |",
            *rows,
        ]
        if self.thresholds and len(set(self.thresholds.values())) == 1:
            lines += ["", f"Threshold: {next(iter(self.thresholds.values())):.3f}"]
        elif self.thresholds:
            shown = ", ".join(f"{name} {x:.3f}" for name, x in self.thresholds.items())
            lines += ["", f"Thresholds: {shown}"]
        if self.notes:
            lines += ["", *(f"Note: {note}." for note in self.notes)]
        return "\n".join(lines)


def figures_of(measured):
    """Picks the figures that calibration changes out of what a task's `measure` returned.

    Args:
        measured: dict.

    Returns:
        dict, as `CalibrationReport.before`.
    """
    names = [name for name, _ in _FIGURES if name in measured]
    return {"nll": measured["loss"], **{name: measured[name] for name in [*names, "reliability"]}}


def _shown(figure):
    return "-" if figure is None else f"{figure:.4f}"
