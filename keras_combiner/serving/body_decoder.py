"""How a request's body is encoded, by its headers, and its bytes decoded."""

import zlib
from http import HTTPStatus

CODINGS = ("gzip", "deflate")
# A compressed body may be made of several; clients send one, and each costs some memory.
MOST_MEMBERS = 16
_CHARSETS = ("utf-8", "utf8", "us-ascii", "ascii")
_GZIP_WINDOW, _ZLIB_WINDOW, _RAW_WINDOW = 31, 15, -15


class UnreadableBody(Exception):
    """A body that is refused before it is read as JSON.

    Args:
        status: `http.HTTPStatus`.
        reason: str, what was expected and what was received.
    """

    def __init__(self, status, reason):
        super().__init__(reason)
        self.status = status
        self.reason = reason


class BodyDecoder:
    """Decompresses a body as it arrives, into a bounded number of bytes.

    `deflate` is the zlib format, and also the bare stream that some clients send by that name.

    Args:
        coding: str, "gzip" or "deflate", or "" for a body that is sent as it is.

    Example:

    >>> decoder = BodyDecoder("deflate")
    >>> decoder.decode(zlib.compress(b"a text"), 100)
    b'a text'
    >>> decoder.finish()
    """

    def __init__(self, coding=""):
        self.coding = coding
        self._stream = None
        self._start = b""  # of a stream whose format its first byte does not tell
        self._members = 0

    @classmethod
    def from_headers(cls, headers):
        """Makes the decoder that a request asks for.

        Args:
            headers: list of (bytes, bytes), names in lower case, as ASGI has them.

        Returns:
            `BodyDecoder`.

        Raises:
            UnreadableBody: 415 for a coding or a charset that is not offered, and 400 for a body
                of two lengths.
        """
        codings = []
        names = set()
        for name, value in headers:
            if name == b"content-encoding":
                codings += [x.strip().lower() for x in value.decode("latin-1").split(",")]
            elif name == b"content-type":
                _check_charset(value)
            elif name in (b"content-length", b"transfer-encoding"):
                names.add(name)
        if len(names) > 1:
            raise UnreadableBody(
                HTTPStatus.BAD_REQUEST,
                "Expected either Content-Length or Transfer-Encoding. Received: both.",
            )
        codings = [x.removeprefix("x-") for x in codings if x not in ("", "identity")]
        if len(codings) > 1 or not set(codings) <= set(CODINGS):
            raise UnreadableBody(
                HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
                f"Expected a body compressed once, by {' or '.join(CODINGS)}, or not at all. "
                f"Received the Content-Encoding: {', '.join(codings)[:60]}.",
            )
        return cls(*codings)

    def decode(self, chunk, most):
        """Decodes the next bytes.

        Args:
            chunk: bytes.
            most: int, at least 1, how many bytes to return at most. A caller that gets that many
                must stop: there may be more.

        Returns:
            bytes.

        Raises:
            UnreadableBody: 400 if they are not what the coding says.
        """
        if not self.coding:
            return chunk[:most]
        try:
            return self._decompress(chunk, most)
        except zlib.error as error:
            raise self._broken(str(error).split(": ")[-1]) from error

    def finish(self):
        """Ends the body.

        Raises:
            UnreadableBody: 400 if it ends too early.
        """
        if self._stream is not None or self._start:
            raise self._broken("it ends early")

    def _decompress(self, chunk, most):
        decoded = bytearray()
        rest, self._start = self._start + chunk, b""
        while rest and len(decoded) < most:
            if self._stream is None:
                if self._members == (MOST_MEMBERS if self.coding == "gzip" else 1):
                    raise self._broken("bytes follow its end")
                if self.coding == "deflate" and len(rest) < 2:
                    self._start = rest
                    break
                self._stream = self._next_stream(rest)
            decoded += self._stream.decompress(rest, most - len(decoded))
            rest = self._stream.unconsumed_tail
            if self._stream.eof:
                rest, self._stream = self._stream.unused_data, None
        return bytes(decoded)

    def _next_stream(self, start):
        self._members += 1
        if self.coding == "gzip":
            return zlib.decompressobj(_GZIP_WINDOW)
        is_zlib = start[0] & 15 == zlib.DEFLATED and (256 * start[0] + start[1]) % 31 == 0
        return zlib.decompressobj(_ZLIB_WINDOW if is_zlib else _RAW_WINDOW)

    def _broken(self, reason):
        return UnreadableBody(
            HTTPStatus.BAD_REQUEST,
            f"Expected a body that is compressed by {self.coding}, as its Content-Encoding says. "
            f"Received another one: {reason}.",
        )


def _check_charset(content_type):
    """Refuses text that is not in UTF-8, which would be read as something else."""
    for parameter in content_type.decode("latin-1").lower().split(";")[1:]:
        name, _, value = parameter.partition("=")
        if name.strip() == "charset" and value.strip().strip('"') not in _CHARSETS:
            raise UnreadableBody(
                HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
                f"Expected JSON in UTF-8. Received the charset {value.strip()[:40]}.",
            )
