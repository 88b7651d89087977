"""What an export gives back, compared with the model it came from."""

import dataclasses
import json
from importlib import resources

import numpy as np


@dataclasses.dataclass(frozen=True)
class ExportReport:
    """An export beside its model, on real documents.

    Attributes:
        path: str, what was written.
        size: int, bytes on disk.
        documents: int, number of documents compared.
        largest_difference: float, the largest difference of a probability.
        agreement: float, share of documents for which both name the same class.
    """

    path: str
    size: int
    documents: int
    largest_difference: float
    agreement: float

    def __str__(self):
        return (
            f"{self.path}: {self.size / 1e6:.2f} MB; against the Keras model on "
            f"{self.documents} documents: largest difference of a probability "
            f"{self.largest_difference:.1e}, same class for {self.agreement:.1%}"
        )


def compare(path, size, expected, received):
    """Makes the report of an export from the probabilities of both sides.

    Args:
        path: path of the export.
        size: int, its bytes.
        expected: float array `[documents, classes]`, from the Keras model.
        received: float array `[documents, classes]`, from the export.

    Returns:
        `ExportReport`.

    Raises:
        RuntimeError: if the export gives values that are not numbers.
    """
    expected, received = np.asarray(expected), np.asarray(received)
    if not np.all(np.isfinite(received)):
        raise RuntimeError(
            f"The export {path} gives values that are not finite; nothing was written."
        )
    return ExportReport(
        path=str(path),
        size=size,
        documents=len(expected),
        largest_difference=float(np.max(np.abs(expected - received))),
        agreement=float(np.mean(expected.argmax(-1) == received.argmax(-1))),
    )


def sample_documents():
    """Public-domain texts that ship with the package, for want of the user's own.

    Returns:
        list of str: long ones, and short ones that are mostly padding to a model of fixed length.
    """
    lines = resources.files(__package__).joinpath("sample_documents.jsonl").read_text("utf-8")
    long_documents = [json.loads(line)["text"] for line in lines.splitlines()]
    return [*long_documents, long_documents[0][:60], ""]


def checked_documents(documents):
    """Gives `documents` as a list, or `sample_documents()` if they are None.

    Raises:
        ValueError: if there is none.
    """
    if documents is None:
        return sample_documents()
    documents = list(documents)
    if not documents:
        raise ValueError(
            "An export is compared with its model on documents. Received: an empty list. Leave "
            "`documents` out to compare on texts that ship with the package."
        )
    return documents
