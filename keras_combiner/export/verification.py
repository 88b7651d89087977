"""The answers of an export compared with those of its model, and the report of that."""

import dataclasses
import json
import subprocess
import sys

import numpy as np

from keras_combiner import tasks
from keras_combiner.atomic_files import atomic_write
from keras_combiner.export import runners

# A phone has few cores; whether a second one helps is the next question.
_NUMBERS_OF_THREADS = (1, 2)

_ERRORS = ("error", "model_error")


@dataclasses.dataclass(frozen=True)
class ExportReport:
    """An export compared with its model on documents; as a str, a table in Markdown.

    Attributes:
        path: str, what was written.
        size: int, bytes on disk.
        documents: int, number of documents compared, each counted once for every length of a
            .tflite file.
        largest_difference: float, the largest difference of a probability (or of a value, or of a
            number of an embedding).
        agreement: float, share of documents for which both name the same class, or of the single
            labels where there may be several; None for a regression or embeddings.
        accuracy: float, share of documents for which the export names the right class; None
            without labels.
        model_accuracy: float, the same for the model.
        error: float, the mean absolute error of a regression; None without targets.
        model_error: float, the same for the model.
        smallest_cosine: float, of the angle between the vectors that export and model have for a
            document, the smallest of all; None unless the outputs are embeddings.
        milliseconds_1_thread: float, median time of a document, or of a window for a .tflite file
            of a model that reads windows; None if it was not measured.
        milliseconds_2_threads: float, the same with two threads.
        peak_memory: int, bytes by which loading and running the export raised the peak of memory of
            a process; None if it was not measured, or the system does not say (only Linux does).

    Example:

    >>> print(ExportReport("model.tflite", 2_500_000, 100, 0.011, 1.0, 0.87, 0.88))
    model.tflite against its model on 100 documents:
    <BLANKLINE>
    | figure | value |
    | --- | --- |
    | size | 2.50 MB |
    | largest difference of a probability | 1.1e-02 |
    | same class | 100.0% |
    | accuracy | 0.870 |
    | accuracy of the model | 0.880 |
    """

    path: str
    size: int
    documents: int
    largest_difference: float
    agreement: float | None
    accuracy: float | None = None
    model_accuracy: float | None = None
    milliseconds_1_thread: float | None = None
    milliseconds_2_threads: float | None = None
    peak_memory: int | None = None
    error: float | None = None
    model_error: float | None = None
    smallest_cosine: float | None = None

    def __str__(self):
        output = "probability" if self.agreement is not None else "value"
        rows = [
            ("size", self.size, lambda x: f"{x / 1e6:.2f} MB"),
            (f"largest difference of a {output}", self.largest_difference, "{:.1e}".format),
            ("smallest cosine", self.smallest_cosine, "{:.6f}".format),
            ("same class", self.agreement, "{:.1%}".format),
            ("accuracy", self.accuracy, "{:.3f}".format),
            ("accuracy of the model", self.model_accuracy, "{:.3f}".format),
            ("mean absolute error", self.error, "{:.4g}".format),
            ("mean absolute error of the model", self.model_error, "{:.4g}".format),
            ("median latency, 1 thread", self.milliseconds_1_thread, "{:.1f} ms".format),
            ("median latency, 2 threads", self.milliseconds_2_threads, "{:.1f} ms".format),
            ("peak memory", self.peak_memory, lambda x: f"{x / 1e6:.0f} MB"),
        ]
        lines = [f"| {name} | {show(x)} |" for name, x, show in rows if x is not None]
        return "\n".join(
            [
                f"{self.path} against its model on {self.documents} documents:",
                "",
                "| figure | value |",
                "| --- | --- |",
                *lines,
            ]
        )


def write_reports(reports, path):
    """Writes reports as JSON: a list of objects with the attributes of `ExportReport`.

    Args:
        reports: list of `ExportReport`.
        path: str or path of the file, which is replaced.

    Raises:
        OSError: if the file cannot be written.

    Example:

    >>> import tempfile
    >>> from pathlib import Path
    >>> path = Path(tempfile.mkdtemp()) / "report.json"
    >>> write_reports([ExportReport("model.tflite", 2_500_000, 100, 0.011, 1.0)], path)
    >>> json.loads(path.read_text())[0]["agreement"]
    1.0
    """
    content = json.dumps([dataclasses.asdict(report) for report in reports], indent=2) + "\n"
    with atomic_write(path, overwrite=True) as unfinished:
        unfinished.write_text(content, encoding="utf-8")


def compare(
    path, size, expected, received, class_ids=None, max_accuracy_drop=None, task="single_label"
):
    """Returns the report of an export from its outputs and those of its model.

    Args:
        path: path of the export.
        size: int, its bytes.
        expected: float array `[documents, classes]`, from the Keras model.
        received: float array `[documents, classes]`, from the export.
        class_ids: int array `[documents]`, the right classes (or the targets of another task), or
            None.
        max_accuracy_drop: float, by how much the accuracy may be below the model's, or None. A drop
            of 0.01 is one document in a hundred.
        task: `keras_combiner.tasks.Outputs`, or the name of a task: what the outputs mean.

    Returns:
        `ExportReport`.

    Raises:
        RuntimeError: if the export returns values that are not finite, or loses more accuracy than
            it may.
    """
    expected, received = np.asarray(expected), np.asarray(received)
    if not np.all(np.isfinite(received)):
        raise RuntimeError(
            f"The export {path} returns values that are not finite; nothing was written."
        )
    task = task if isinstance(task, tasks.Outputs) else tasks.get(task)
    same, cosines = task.same(expected, received), task.cosines(expected, received)
    report = ExportReport(
        path=str(path),
        size=size,
        documents=len(expected),
        largest_difference=float(np.max(np.abs(expected - received))),
        agreement=None if same is None else float(np.mean(same)),
        smallest_cosine=None if cosines is None else float(np.min(cosines)),
    )
    if class_ids is None:
        return report
    right, expected_right = (task.right(class_ids, x) for x in (received, expected))
    if right is None:
        errors = (float(np.mean(np.abs(x - class_ids))) for x in (received, expected))
        return dataclasses.replace(report, **dict(zip(_ERRORS, errors, strict=True)))
    right, expected_right = right.sum(), expected_right.sum()
    report = dataclasses.replace(
        report,
        accuracy=float(right / len(expected)),
        model_accuracy=float(expected_right / len(expected)),
    )
    # By counts of documents, so that 0.90 - 0.89 is not more than 0.01.
    drop = (expected_right - right) / len(expected)
    if max_accuracy_drop is not None and drop > max_accuracy_drop:
        raise RuntimeError(
            f"The export {path} loses too much accuracy: {report.accuracy:.4f} on "
            f"{report.documents} documents, the model {report.model_accuracy:.4f}. That is "
            f"{drop:.4f} less; max_accuracy_drop={max_accuracy_drop} allows no more than that. "
            "Nothing was written."
        )
    return report


def measured(report, kind, path, documents):
    """Adds latency and peak memory to a report.

    Each number of threads has a process of its own, which loads what a device or a server loads:
    neither Keras nor this package.

    Args:
        report: `ExportReport`.
        kind: "token_ids" or "text" for what a .tflite file takes, "onnx", or "saved_model".
        path: str or path of the export.
        documents: list of int32 arrays `[length]` for "token_ids" and "onnx", otherwise list of
            bytes; the first `runners.RUNS` of them are run.

    Returns:
        `ExportReport`.

    Raises:
        RuntimeError: if such a process fails; the message ends with what it said.
    """
    documents = [
        # JSON has no bytes; latin-1 turns each into one character.
        x.decode("latin-1") if isinstance(x, bytes) else x.tolist()
        for x in documents[: runners.RUNS]
    ]
    results = []
    for num_threads in _NUMBERS_OF_THREADS:
        job = {"kind": kind, "path": str(path), "num_threads": num_threads, "documents": documents}
        done = subprocess.run(
            # -P: files in the folder of that one must not hide modules with the same names.
            [sys.executable, "-P", runners.__file__],
            input=json.dumps(job),
            capture_output=True,
            encoding="utf-8",
        )
        if done.returncode != 0:
            raise RuntimeError(
                f"The export {report.path} cannot be run in a process of its own; nothing was "
                f"written. The process said: {done.stderr[-2000:]}"
            )
        results.append(json.loads(done.stdout.splitlines()[-1]))
    return dataclasses.replace(
        report,
        milliseconds_1_thread=results[0]["milliseconds"],
        milliseconds_2_threads=results[1]["milliseconds"],
        peak_memory=results[0]["peak_memory"],
    )
