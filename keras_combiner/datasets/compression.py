"""open_bytes: a file as bytes, also a .gz or .zst one."""

import contextlib
import gzip
import io
import pathlib
import zlib

COMPRESSIONS = (".gz", ".zst")


def without_compression(path: pathlib.Path) -> pathlib.Path:
    """Removes the ending of a compression from a path.

    Args:
        path: pathlib.Path.

    Returns:
        pathlib.Path, the path itself if it has no such ending.

    Example:

    >>> without_compression(pathlib.Path("reviews.jsonl.gz")).name
    'reviews.jsonl'
    """
    return path.with_suffix("") if path.suffix.lower() in COMPRESSIONS else path


@contextlib.contextmanager
def open_bytes(path: pathlib.Path):
    """Opens a file to be read as bytes, decompressed as its ending says.

    Args:
        path: pathlib.Path. The file.

    Yields:
        A binary file object.

    Raises:
        ImportError: the file is a .zst one and there is no decompressor (extra "zst").

    Example:

    >>> import tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "two.txt.gz"
    >>> _ = path.write_bytes(gzip.compress(b"one, two"))
    >>> with open_bytes(path) as file:
    ...     file.read()
    b'one, two'
    """
    match path.suffix.lower():
        case ".gz":
            with gzip.open(path) as file:
                yield file
        case ".zst":
            with import_zstd().ZstdFile(path) as file:
                # Lines straight from a ZstdFile are slow.
                yield io.BufferedReader(file, 2**20)
        case _:
            with open(path, "rb") as file:
                yield file


def decompression_error(path: pathlib.Path, error: Exception) -> str | None:
    """Says what is wrong with a compressed file.

    Args:
        path: pathlib.Path. The file.
        error: Exception, raised while it was read.

    Returns:
        str, or None if the error is not one of decompression.

    Example:

    >>> decompression_error(pathlib.Path("r.gz"), EOFError())
    'the file ends in the middle of its compressed data. Was it copied whole?'
    """
    kind = {".gz": "gzip", ".zst": "Zstandard"}.get(path.suffix.lower())
    if kind is None:
        return None
    if isinstance(error, EOFError):
        return "the file ends in the middle of its compressed data. Was it copied whole?"
    is_zstd_error = type(error).__name__ == "ZstdError"
    if isinstance(error, gzip.BadGzipFile | zlib.error) or is_zstd_error:
        return f"not {kind} data, or damaged, in spite of the ending {path.suffix}: {error}."
    return None


def import_zstd():
    """Imports what reads Zstandard: Python's own module, or its backport.

    Returns:
        The module `compression.zstd` or `backports.zstd`.

    Raises:
        ImportError: there is neither (extra "zst").
    """
    try:
        from compression import zstd  # from Python 3.14 on
    except ImportError:
        try:
            from backports import zstd
        except ImportError as error:
            raise ImportError(
                "Files that end in .zst are read with backports.zstd. "
                "Install it with: pip install keras_combiner[zst]"
            ) from error
    return zstd
