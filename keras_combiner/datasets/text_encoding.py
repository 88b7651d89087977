"""From bytes to text: the one rule for files that are trained on and files that are classified."""

import codecs
from collections.abc import Iterable, Iterator

# The mark of UTF-32 in little-endian order begins with that of UTF-16: it comes first.
_MARKS = (
    (codecs.BOM_UTF8, "UTF-8"),
    (codecs.BOM_UTF32_LE, "UTF-32-LE"),
    (codecs.BOM_UTF32_BE, "UTF-32-BE"),
    (codecs.BOM_UTF16_LE, "UTF-16-LE"),
    (codecs.BOM_UTF16_BE, "UTF-16-BE"),
)
# How files start that are taken for text by mistake. The first three may be nothing but ASCII.
_OTHER_KINDS = (
    (b"%PDF-", "a PDF document"),
    (b"{\\rtf", "an RTF document"),
    (b"%!PS", "a PostScript document"),
    (b"PK\x03\x04", "a ZIP archive, as documents of Word (.docx) are"),
    (b"\xd0\xcf\x11\xe0", "an older document of Microsoft Office"),
    (b"\x1f\x8b", "gzip data, whose name must end in .gz"),
    (b"\x28\xb5\x2f\xfd", "Zstandard data, whose name must end in .zst"),
)
_ADVICE = "Save the file as UTF-8."


class LineError(ValueError):
    """What is wrong with a line of a file that is not text.

    Args:
        message: str.
        line: str, the line with U+FFFD in place of what is wrong.
    """

    def __init__(self, message: str, line: str):
        super().__init__(message)
        self.line = line


def decoded_text(content: bytes, name: str) -> str:
    """Decodes a whole document: UTF-8, or UTF-16 or UTF-32 where a byte order mark says so.

    Args:
        content: bytes. The document.
        name: str. What messages call it.

    Returns:
        str, the text without a byte order mark and with line ends as "\\n".

    Raises:
        ValueError: the content is not text in such an encoding, holds a NUL character or is a
            document of another kind, such as a PDF; the message names line and byte.

    Example:

    >>> decoded_text("one\\r\\ntwo".encode("utf-16"), "a.txt")
    'one\\ntwo'
    >>> decoded_text(b"caf\\xe9", "a.txt")
    Traceback (most recent call last):
    ValueError: a.txt:1: not UTF-8 at byte 3 of the file (0xe9, unexpected end of data). Save the \
file as UTF-8.
    """
    kind = next((kind for start, kind in _OTHER_KINDS if content.startswith(start)), None)
    if kind is not None:
        raise ValueError(f"{name}: {kind}, and not text. Save its text as UTF-8.")
    mark, encoding = _encoding_of(content)
    try:
        text = str(memoryview(content)[len(mark) :], encoding)
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        for _, line in numbered_lines_of([content], name):  # only lines tell the place
            if isinstance(line, LineError):
                raise ValueError(str(line))
    return text.replace("\r\n", "\n").replace("\r", "\n")


def numbered_lines_of(chunks: Iterable[bytes], name: str) -> Iterator[tuple[int, str | ValueError]]:
    """Decodes the content of a file as lines, past those that are not text.

    Args:
        chunks: iterable of bytes. The content, cut after line ends or anywhere else but within
            the first four bytes. What is in memory is a chunk or a line, whichever is longer.
        name: str. What messages call the file.

    Returns:
        An iterator of pairs: the number of the line, from 1, and the line with its end, or a
        `LineError` that says why it is not text. The mark of a byte order is not part of a line.

    Raises:
        ValueError: UTF-16 or UTF-32 is damaged, after which nothing can be read.

    Example:

    >>> list(numbered_lines_of([codecs.BOM_UTF8 + b"one\\n", b"two"], "a.txt"))
    [(1, 'one\\n'), (2, 'two')]
    """
    chunks = iter(chunks)
    first = next(chunks, b"")
    mark, encoding = _encoding_of(first)
    place = _Place(name, encoding, len(mark))
    chunks = _with_first(first[len(mark) :], chunks)
    lines = _utf8_lines(chunks, place) if encoding == "UTF-8" else _wide_lines(chunks, place)
    for line in lines:
        if isinstance(line, str) and "\0" in line:
            line = LineError(place.nul(line), line.replace("\0", "\ufffd"))
        yield place.line, line
        place.line += 1


def _encoding_of(start):
    """The mark that bytes start with, and the encoding that it stands for."""
    return next((x for x in _MARKS if start.startswith(x[0])), (b"", "UTF-8"))


class _Place:
    """Where in a file a reader is, and what is wrong there."""

    def __init__(self, name, encoding, offset):
        self.encoding = encoding
        self.line = 1
        self.offset = offset  # of the line in the file, in bytes
        self._name = name

    def message(self, error, offset):
        """What `error`, a `UnicodeDecodeError`, says of bytes that start at `offset`."""
        found = error.object[error.start]
        return (
            f"{self._name}:{self.line}: not {self.encoding} at byte {offset + error.start} of the "
            f"file (0x{found:02x}, {error.reason}). {_ADVICE}"
        )

    def nul(self, line):
        """A NUL is valid in every encoding, and stands in no text."""
        advice = _ADVICE
        if self.encoding == "UTF-8":
            advice = f"It is binary, or UTF-16 without a byte order mark. {_ADVICE}"
        return (
            f"{self._name}:{self.line}: a NUL at character {line.index(chr(0))} of the line, which "
            f"no text has. {advice}"
        )


def _with_first(first, chunks):
    yield first
    yield from chunks


def _utf8_lines(chunks, place):
    """Every line is decoded by itself, so that an invalid one does not affect the others."""
    for line in _split(chunks, b"\n"):
        try:
            text = line.decode("utf-8")
        except UnicodeDecodeError as error:
            replaced = line.decode("utf-8", "replace").replace("\0", "\ufffd")
            text = LineError(place.message(error, place.offset), replaced)
        yield text
        place.offset += len(line)


def _wide_lines(chunks, place):
    """Where a character has two bytes or four, bytes do not tell where lines end."""
    return _split(_decoded(chunks, place), "\n")


def _decoded(chunks, place):
    decoder = codecs.getincrementaldecoder(place.encoding)()
    for chunk in _with_last(chunks):
        start = place.offset - len(decoder.getstate()[0])
        try:
            yield decoder.decode(chunk, final=not chunk)
        except UnicodeDecodeError as error:
            # What stands before it is read first, and tells the line.
            yield error.object[: error.start].decode(place.encoding)
            raise ValueError(place.message(error, start)) from None
        place.offset += len(chunk)


def _with_last(chunks):
    """The chunks that hold something, then an empty one."""
    yield from filter(None, chunks)
    yield b""


def _split(chunks, end):
    """Cuts chunks, all bytes or all str, into lines with their ends."""
    parts = []
    for chunk in chunks:
        start = 0
        while stop := chunk.find(end, start) + 1:
            parts.append(chunk[start:stop])
            yield end[:0].join(parts)
            parts, start = [], stop
        if start < len(chunk):
            parts.append(chunk[start:])
    if parts:
        yield end[:0].join(parts)
