"""text_damage: traces of wrong conversions in a text."""

import re

# UTF-8 that was read as Latin-1 or Windows-1252: "Ã¼" for "ü", "Â°" for "°", "â€œ" for a quotation
# mark, "ðŸ" at the start of an emoji. Quotation marks and dashes after a capital letter also stand
# in good text: those pairs are left out, and a damaged text has others.
_MOJIBAKE = re.compile(
    "\u00c3[\u0080-\u00ac\u00ae-\u00ba\u00bc-\u00bf\u20ac\u201a\u0192\u201e\u2020\u2021\u02c6\u2030"
    "\u0160\u2039\u0152\u017d\u02dc\u2122\u0161\u203a\u0153\u017e\u0178]"
    "|\u00c2[\u0080-\u009f\u00a0-\u00ba\u00bc-\u00bf]"
    "|\u00e2\u20ac[\u0080-\u009f\u2122\u0153\u02dc\u201c\u201d\u00a2\u00a6]"
    "|\u00f0\u0178"
)
# A form feed is not among them: it separates pages.
_CONTROLS = re.compile("[\x00-\x08\x0b\x0e-\x1f\x7f-\x84\x86-\x9f]")


def text_damage(text: str) -> list[str]:
    """Names the traces of wrong conversions that a text has.

    Args:
        text: str.

    Returns:
        list of str: of "mojibake" (UTF-8 that was read as another encoding), "replaced" (U+FFFD,
        where bytes were lost), "controls" (control characters) and "marks" (a byte order mark
        inside of the text).

    Example:

    >>> text_damage("MÃ¼ller said"), text_damage("Müller said")
    (['mojibake'], [])
    """
    found = {
        "mojibake": _MOJIBAKE.search(text),
        "replaced": "\ufffd" in text,
        "controls": _CONTROLS.search(text),
        "marks": "\ufeff" in text,
    }
    return [kind for kind, is_there in found.items() if is_there]
