"""Files of embeddings: .npy, the numbers alone, and .parquet, each with its document's place."""

import numpy as np

from keras_combiner.atomic_files import atomic_write
from keras_combiner.cli.embedding_parts import read_part
from keras_combiner.datasets.parquet import import_pyarrow


def write_embeddings(path, parts, overwrite=False):
    """Makes one file of the embeddings in all parts, of which one at a time is in memory.

    Args:
        path: path that ends in .npy, for an array `[documents, dim]` of float32; or in .parquet,
            for columns "document" (string, file and line) and "embedding" (list of float32 of one
            size).
        parts: list of paths, what `EmbeddingParts.keep` returned, at least one.
        overwrite: bool, whether a file may be replaced.

    Raises:
        FileExistsError: if `path` exists and `overwrite` is false.
        ImportError: if pyarrow is missing and needed (extra "parquet").
    """
    write = _write_npy if path.suffix == ".npy" else _write_parquet
    with atomic_write(path, overwrite) as unfinished:
        write(unfinished, parts)


def _write_npy(path, parts):
    shapes = [read_part(part)[0].shape for part in parts]
    shape = (sum(rows for rows, _ in shapes), shapes[0][1])
    array = np.lib.format.open_memmap(path, mode="w+", dtype="float32", shape=shape)
    first = 0
    for part in parts:
        embeddings, _, _ = read_part(part)
        array[first : first + len(embeddings)] = embeddings
        first += len(embeddings)
    array.flush()


def _write_parquet(path, parts):
    pyarrow, parquet = import_pyarrow()
    dim = read_part(parts[0])[0].shape[1]
    vector = pyarrow.list_(pyarrow.float32(), dim)
    schema = pyarrow.schema([("document", pyarrow.string()), ("embedding", vector)])
    with parquet.ParquetWriter(path, schema) as writer:
        for part in parts:
            embeddings, places, _ = read_part(part)
            numbers = pyarrow.array(np.ravel(embeddings), pyarrow.float32())
            vectors = pyarrow.FixedSizeListArray.from_arrays(numbers, dim)
            columns = [pyarrow.array(places, pyarrow.string()), vectors]
            writer.write_table(pyarrow.Table.from_arrays(columns, schema=schema))
