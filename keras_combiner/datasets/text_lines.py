"""Reading UTF-8 with errors that say where: what the readers of lines and of files share."""

import codecs
import pathlib
from collections.abc import Iterator

from keras_combiner.datasets.compression import decompression_error, open_bytes

_ADVICE = "Save the file as UTF-8."


def decoded_lines(path: pathlib.Path) -> Iterator[str]:
    """Yield the lines of a UTF-8 file with their line ends, without a byte order mark.

    Args:
        path: pathlib.Path. The file; one that ends in .gz or .zst is decompressed.

    Returns:
        An iterator of str, one line in memory at a time.

    Raises:
        ValueError: a line is not UTF-8; the message names line and byte. Or the compressed data
            are damaged or end too early; the message names the last line that could be read.

    Example:

    >>> import tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "two.txt"
    >>> _ = path.write_bytes(codecs.BOM_UTF8 + b"one\\r\\ntwo")
    >>> list(decoded_lines(path))
    ['one\\r\\n', 'two']
    """
    for _, line in numbered_lines(path):
        if isinstance(line, ValueError):
            raise line
        yield line


def numbered_lines(path: pathlib.Path) -> Iterator[tuple[int, str | ValueError]]:
    """Yield the lines of a UTF-8 file as `decoded_lines` does, past those that are not UTF-8.

    Args:
        path: pathlib.Path. The file; one that ends in .gz or .zst is decompressed.

    Returns:
        An iterator of pairs: the number of the line, from 1, and the line, or a `ValueError` that
        says why it is none.

    Raises:
        ValueError: the compressed data are damaged or end too early.

    Example:

    >>> import tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "three.txt"
    >>> _ = path.write_bytes(b"one\\n\\xff\\nthree")
    >>> [(number, type(line).__name__) for number, line in numbered_lines(path)]
    [(1, 'str'), (2, 'ValueError'), (3, 'str')]
    """
    offset = 0  # of the line in the file, in bytes
    with open_bytes(path) as file:
        for number, line in _numbered(file, path):
            if number == 1 and line.startswith(codecs.BOM_UTF8):
                offset = len(codecs.BOM_UTF8)
                line = line[offset:]
            try:
                text = line.decode("utf-8")
            except UnicodeDecodeError as error:
                text = ValueError(_not_utf8(path, number, line, error, offset))
            yield number, text
            offset += len(line)


def _numbered(file, path):
    number = 0
    try:
        for number, line in enumerate(file, start=1):
            yield number, line
    except Exception as error:
        message = decompression_error(path, error)
        if message is None:
            raise
        raise ValueError(f"{path}:{number + 1}: {message}") from None


def decoded_file(path: pathlib.Path) -> str:
    """Read a whole UTF-8 file, without a byte order mark and with line ends as "\\n".

    Args:
        path: pathlib.Path. The file; one that ends in .gz or .zst is decompressed.

    Returns:
        str, the text.

    Raises:
        ValueError: the file is not UTF-8; the message names line and byte. Or the compressed data
            are damaged or end too early.

    Example:

    >>> import tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "two.txt"
    >>> _ = path.write_bytes(b"one\\r\\ntwo")
    >>> decoded_file(path)
    'one\\ntwo'
    """
    try:
        with open_bytes(path) as file:
            content = file.read()
    except Exception as error:
        message = decompression_error(path, error)
        if message is None:
            raise
        raise ValueError(f"{path}: {message}") from None
    mark = len(codecs.BOM_UTF8) if content.startswith(codecs.BOM_UTF8) else 0
    try:
        text = content[mark:].decode("utf-8")
    except UnicodeDecodeError as error:
        before = content[mark : mark + error.start]
        number = before.count(b"\n") + 1
        raise ValueError(_not_utf8(path, number, content[mark:], error, mark)) from None
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _not_utf8(path, number, content, error, offset):
    found = content[error.start]
    return (
        f"{path}:{number}: not UTF-8 at byte {offset + error.start} of the file "
        f"(0x{found:02x}, {error.reason}). {_ADVICE}"
    )
