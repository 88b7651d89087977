"""What checks an HTTP request before KServe sees it: bounds on bodies, clients that are gone."""

import asyncio
import contextlib

from fastapi.responses import JSONResponse

from keras_combiner.serving.body_decoder import CODINGS, BodyDecoder, UnreadableBody


class RequestGate:
    """An ASGI application around another one, which receives whole bodies of bounded size.

    Bodies are decompressed and counted as they arrive, whatever their headers say: the bounds are
    those of both, what is sent and what comes of it. A request whose client has disconnected is
    cancelled, so that nothing is computed for it.

    Args:
        app: the ASGI application.
        max_body_bytes: int, what a body may have: 413 above it.
        max_held_bytes: int, what the bodies of all requests that have no answer yet may have
            together: 503 above it.
        body_seconds: float, how long a body may take to arrive: 408 after it.
    """

    def __init__(self, app, max_body_bytes, max_held_bytes, body_seconds=60.0):
        self._app = app
        self._max_body_bytes = max_body_bytes
        self._max_held_bytes = max_held_bytes
        self._body_seconds = body_seconds
        self._held_bytes = 0

    async def __call__(self, scope, receive, send):
        """Handles what the server hands over, as ASGI has it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        body = bytearray()
        try:
            try:
                decoder = BodyDecoder.from_headers(scope["headers"])
                async with asyncio.timeout(self._body_seconds):
                    refusal = await self._read(scope, receive, body, decoder)
                if decoder.coding:
                    scope = _decoded(scope, len(body))
            except UnreadableBody as error:
                refusal = _refusal(error.status, error.reason)
            except TimeoutError:
                seconds = f"{self._body_seconds:g}"
                refusal = _refusal(408, f"The body took longer than {seconds} seconds to arrive.")
            if refusal is None:
                await self._answer(scope, receive, send, bytes(body))
            else:
                await refusal(scope, receive, send)
        except _HungUp:
            pass
        finally:
            self._held_bytes -= len(body)

    async def _read(self, scope, receive, body, decoder):
        """Reads the body into a bytearray, and returns None or an ASGI application that refuses."""
        too_large = _refusal(
            413,
            f"Expected a body of at most {self._max_body_bytes:,} bytes. Received a larger one, as "
            "it is sent or when it is decompressed. Send fewer texts in a request.",
        )
        declared = dict(scope["headers"]).get(b"content-length", b"")
        if declared.isdigit() and int(declared) > self._max_body_bytes:
            return too_large
        sent = 0
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise _HungUp
            chunk = message.get("body", b"")
            sent += len(chunk)
            room = self._max_body_bytes - len(body)
            chunk = decoder.decode(chunk, room + 1)
            if sent > self._max_body_bytes or len(chunk) > room:
                return too_large
            if self._held_bytes + len(chunk) > self._max_held_bytes:
                return _refusal(503, "Too many requests are waiting. Send it again later.")
            body += chunk
            self._held_bytes += len(chunk)
            more = message.get("more_body", False)
        decoder.finish()
        return None

    async def _answer(self, scope, receive, send, body):
        """Runs the application until it has answered or its client is gone."""
        hung_up = asyncio.ensure_future(_until_hung_up(receive))
        messages = [{"type": "http.request", "body": body, "more_body": False}]
        is_answered = False

        async def replay():
            if messages:
                return messages.pop()
            await asyncio.shield(hung_up)
            return {"type": "http.disconnect"}

        async def watched_send(message):
            nonlocal is_answered
            await send(message)
            is_answered = message["type"] == "http.response.body" and not message.get("more_body")

        answer = asyncio.ensure_future(self._app(scope, replay, watched_send))
        try:
            await asyncio.wait((answer, hung_up), return_when=asyncio.FIRST_COMPLETED)
            if answer.done() or is_answered:
                await answer
        finally:
            for task in (answer, hung_up):
                task.cancel()
            if not answer.done():
                with contextlib.suppress(asyncio.CancelledError):
                    await answer


class _HungUp(Exception):
    """The client closed the connection before its body was whole."""


async def _until_hung_up(receive):
    while (await receive())["type"] != "http.disconnect":
        pass


def _decoded(scope, length):
    """The scope of the body as the application gets it."""
    coded = (b"content-encoding", b"content-length", b"transfer-encoding")
    headers = [x for x in scope["headers"] if x[0] not in coded]
    return {**scope, "headers": [*headers, (b"content-length", b"%d" % length)]}


def _refusal(status, reason):
    headers = {503: {"retry-after": "1"}, 415: {"accept-encoding": ", ".join(CODINGS)}}
    return JSONResponse({"error": reason}, status, headers.get(status))
