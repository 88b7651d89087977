"""Reads a document as keras-combiner reads those that a model is trained on."""

import codecs
import pathlib
import sys

# The mark of UTF-32 in little-endian order begins with that of UTF-16: it comes first.
_MARKS = (
    (codecs.BOM_UTF8, "UTF-8"),
    (codecs.BOM_UTF32_LE, "UTF-32-LE"),
    (codecs.BOM_UTF32_BE, "UTF-32-BE"),
    (codecs.BOM_UTF16_LE, "UTF-16-LE"),
    (codecs.BOM_UTF16_BE, "UTF-16-BE"),
)
# How files start that are not plain text, though they may be nothing but ASCII.
_OTHER_KINDS = (
    (b"%PDF-", "a PDF document"),
    (b"{\\rtf", "an RTF document"),
    (b"%!PS", "a PostScript document"),
)


def read_document(path):
    """Reads UTF-8, or UTF-16 or UTF-32 where a byte order mark says so.

    Args:
        path: str, a file; "-" for standard input.

    Returns:
        str, without a byte order mark and with "\\n" for a line end.

    Raises:
        ValueError: If the file is not text in such an encoding, holds a NUL, or is a PDF, RTF or
            PostScript document.
    """
    if path == "-":
        path, content = "standard input", sys.stdin.buffer.read()
    else:
        content = pathlib.Path(path).read_bytes()
    kind = next((kind for start, kind in _OTHER_KINDS if content.startswith(start)), None)
    if kind is not None:
        raise ValueError(f"{path}: {kind}. Save it as plain text in UTF-8.")
    mark, encoding = next((x for x in _MARKS if content.startswith(x[0])), (b"", "UTF-8"))
    try:
        text = content[len(mark) :].decode(encoding)
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path}: not {encoding} at byte {len(mark) + error.start} of the file. Save it as "
            "plain text in UTF-8."
        ) from None
    if "\0" in text:
        raise ValueError(
            f"{path}: a NUL at character {text.index(chr(0))}, which no text has. Save it as plain "
            "text in UTF-8."
        )
    return text.replace("\r\n", "\n").replace("\r", "\n")
