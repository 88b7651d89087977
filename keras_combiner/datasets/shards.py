"""ShardsReader: documents from several files, one after the other."""

from collections.abc import Sequence

from keras_combiner.datasets.document import task_of
from keras_combiner.datasets.document_reader import DocumentReader


class ShardsReader(DocumentReader):
    """Documents of several readers, in their order.

    Args:
        shards: sequence of `DocumentReader`, at least one.

    Raises:
        ValueError: on reading, when one file has another kind of target than those before it, and
            for whatever is wrong in a file; the message names the file.

    Example:

    >>> import pathlib, tempfile
    >>> from keras_combiner.datasets import read_documents
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> for i in range(2):
    ...     _ = (folder / f"shard-{i}.csv").write_text(f"text,label\\nbook {i},good\\n")
    >>> list(read_documents(folder / "shard-*.csv").texts())
    ['book 0', 'book 1']
    """

    def __init__(self, shards: Sequence[DocumentReader]):
        self._shards = tuple(shards)

    def __iter__(self):
        task = None
        for shard in self._shards:
            for document in shard:
                found = task_of(document.label)
                if found is not None and task is not None and found != task:
                    raise ValueError(
                        f"{shard.name}: its targets are those of task={found!r}, the files before "
                        f"it have those of {task!r}. All files need the same kind of target."
                    )
                task = task or found
                yield document

    @property
    def has_weights(self):
        """Whether the documents of the shards have weights."""
        return all(shard.has_weights for shard in self._shards)

    @property
    def keeps_alike_labels(self):
        """Whether any shard keeps labels that look alike; see `DocumentReader`."""
        return any(shard.keeps_alike_labels for shard in self._shards)

    def places(self):
        """Yields those of the shards."""
        for shard in self._shards:
            yield from shard.places()

    def located(self):
        """Yields those of the shards."""
        for shard in self._shards:
            yield from shard.located()

    def __repr__(self):
        return f"{type(self).__name__}({list(self._shards)!r})"
