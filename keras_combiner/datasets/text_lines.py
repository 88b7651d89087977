"""Reading text with errors that say where: what the readers of lines and of files share."""

import pathlib
from collections.abc import Iterator

from keras_combiner.datasets.compression import decompression_error, open_bytes
from keras_combiner.datasets.text_encoding import decoded_text, numbered_lines_of


def decoded_lines(path: pathlib.Path) -> Iterator[str]:
    """Yields the lines of a text file with their line ends, without a byte order mark.

    It is UTF-8, or UTF-16 or UTF-32 where a byte order mark says so.

    Args:
        path: pathlib.Path. The file; one that ends in .gz or .zst is decompressed.

    Returns:
        An iterator of str, one line in memory at a time.

    Raises:
        ValueError: a line is not text; the message names line and byte. Or the compressed data
            are damaged or end too early; the message names the last line that could be read.

    Example:

    >>> import tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "two.txt"
    >>> _ = path.write_bytes("one\\r\\ntwo".encode("utf-8-sig"))
    >>> list(decoded_lines(path))
    ['one\\r\\n', 'two']
    """
    for _, line in numbered_lines(path):
        if isinstance(line, ValueError):
            raise line
        yield line


def numbered_lines(path: pathlib.Path) -> Iterator[tuple[int, str | ValueError]]:
    """Yields the lines of a text file as `decoded_lines` does, past those that are not text.

    Args:
        path: pathlib.Path. The file; one that ends in .gz or .zst is decompressed.

    Returns:
        An iterator of pairs: the number of the line, from 1, and the line, or a `LineError` that
        says why it is not text.

    Raises:
        ValueError: the compressed data are damaged or end too early, or UTF-16 is damaged.

    Example:

    >>> import tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "three.txt"
    >>> _ = path.write_bytes(b"one\\n\\xff\\nthree")
    >>> [(number, type(line).__name__) for number, line in numbered_lines(path)]
    [(1, 'str'), (2, 'LineError'), (3, 'str')]
    """
    with open_bytes(path) as file:
        number = 0
        try:
            for number, line in numbered_lines_of(file, str(path)):
                yield number, line
        except Exception as error:
            message = decompression_error(path, error)
            if message is None:
                raise
            raise ValueError(f"{path}:{number + 1}: {message}") from None


def decoded_file(path: pathlib.Path) -> str:
    """Reads a whole text file, without a byte order mark and with line ends as "\\n".

    It is UTF-8, or UTF-16 or UTF-32 where a byte order mark says so.

    Args:
        path: pathlib.Path. The file; one that ends in .gz or .zst is decompressed.

    Returns:
        str, the text.

    Raises:
        ValueError: the file is not text; the message names line and byte. Or the compressed data
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
    return decoded_text(content, str(path))
