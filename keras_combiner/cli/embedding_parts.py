"""EmbeddingParts: embeddings are kept, some documents at a time, until all are there."""

import hashlib
import json
import shutil
import zipfile
import zlib
from pathlib import Path

import numpy as np

from keras_combiner.atomic_files import atomic_write


class EmbeddingParts:
    """A folder beside an output, with a file for every part of the documents that is embedded.

    The name of a part is made of its documents and of what their embeddings depend on: a part that
    is there need not be made again, and one of other documents or another model is not taken.

    Args:
        output: str or path of the output.
        stamp: what JSON can hold: all that embeddings depend on besides the texts.

    Example:

    >>> import tempfile
    >>> parts = EmbeddingParts(Path(tempfile.mkdtemp()) / "texts.npy", stamp="a model")
    >>> documents = [("texts.jsonl:1", "rain"), ("texts.jsonl:2", "wind")]
    >>> parts.find(0, documents) is None
    True
    >>> part = parts.keep(0, documents, np.ones((2, 3), "float32"), {"documents": 2})
    >>> parts.find(0, documents) == part
    True
    """

    def __init__(self, output, stamp):
        output = Path(output)
        self.folder = output.with_name(f"{output.name}.parts")
        self._stamp = json.dumps(stamp, sort_keys=True).encode()

    def find(self, number, documents):
        """Returns the file of a part; None if it has not been made, or cannot be read.

        Args:
            number: int, of the part, from 0.
            documents: list of pairs of str, the place and the text of each document.
        """
        path = self._path(number, documents)
        try:
            read_part(path)
        except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile, zlib.error):
            return None
        return path

    def keep(self, number, documents, embeddings, figures):
        """Writes a part.

        Args:
            number: as above.
            documents: as above.
            embeddings: float32 array `[documents, dim]`.
            figures: dict that JSON can hold.

        Returns:
            path of its file.
        """
        path = self._path(number, documents)
        places = np.array([place for place, _ in documents])
        with atomic_write(path, overwrite=True) as unfinished:
            np.savez(unfinished, embeddings=embeddings, places=places, figures=json.dumps(figures))
        return path

    def remove(self):
        """Removes the folder with all parts, those of earlier documents and models too."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _path(self, number, documents):
        digest = hashlib.blake2b(self._stamp, digest_size=12)
        for strings in documents:
            for string in strings:
                content = string.encode("utf-8", "surrogatepass")
                digest.update(len(content).to_bytes(8, "little") + content)
        return self.folder / f"{number:06}-{digest.hexdigest()}.npz"


def read_part(path):
    """Reads what `EmbeddingParts.keep` wrote.

    Args:
        path: path of the part's file.

    Returns:
        triple: float32 array `[documents, dim]`; list of str, places; and dict of figures.
    """
    # Opened here: numpy leaves a damaged file open.
    with path.open("rb") as file, np.load(file) as part:
        return part["embeddings"], part["places"].tolist(), json.loads(str(part["figures"]))
