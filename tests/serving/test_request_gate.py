import asyncio
import json

import pytest

from keras_combiner.serving.request_gate import RequestGate


class Client:
    """Speaks ASGI to a gate: sends `messages`, then hangs up when `hang_up` is set."""

    def __init__(self, *chunks, headers=(), last=True):
        self.messages = [
            {"type": "http.request", "body": x, "more_body": not last or i < len(chunks) - 1}
            for i, x in enumerate(chunks)
        ]
        self.headers = list(headers)
        self.hang_up = asyncio.Event()
        self.sent = []

    async def receive(self):
        if self.messages:
            return self.messages.pop(0)
        await self.hang_up.wait()
        return {"type": "http.disconnect"}

    async def send(self, message):
        self.sent.append(message)

    async def ask(self, gate):
        await gate({"type": "http", "headers": self.headers}, self.receive, self.send)
        return self.sent and (self.sent[0]["status"], self.sent[1]["body"])


async def echo(scope, receive, send):
    message = await receive()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": message["body"]})


def test_a_body_in_chunks_comes_whole():
    async def run():
        gate = RequestGate(echo, 6, 6)
        answers = [await Client(b"ab", b"cd", b"ef").ask(gate) for _ in range(3)]
        return [*answers, await Client(b"").ask(gate)]

    assert asyncio.run(run()) == [(200, b"abcdef")] * 3 + [(200, b"")]


@pytest.mark.parametrize(
    ("chunks", "headers"),
    [
        ([b"abcd", b"efg"], []),
        ([b"abcdefg"], []),
        ([b""], [(b"content-length", b"7")]),
        ([b"abcd", b"efg"], [(b"content-length", b"2")]),
        ([b"abcd", b"efg"], [(b"content-length", b"-1")]),
    ],
)
def test_a_larger_body_is_refused_whatever_its_headers_say(chunks, headers):
    async def run():
        return await Client(*chunks, headers=headers).ask(RequestGate(echo, 6, 100))

    status, body = asyncio.run(run())
    assert status == 413
    assert json.loads(body)["error"].startswith("Expected a body of at most 6 bytes.")


def test_bodies_of_all_requests_together_are_bounded():
    async def run():
        finish = asyncio.Event()

        async def slow(scope, receive, send):
            await finish.wait()
            await echo(scope, receive, send)

        gate = RequestGate(slow, 6, 10)
        first = asyncio.create_task(Client(b"abcdef").ask(gate))
        await asyncio.sleep(0)
        second = await Client(b"abcdef").ask(gate)
        finish.set()
        return await first, second, await Client(b"abcdef").ask(gate)

    first, second, third = asyncio.run(run())
    assert first == third == (200, b"abcdef")
    assert second[0] == 503 and b"waiting" in second[1]


def test_a_body_that_does_not_come_is_not_waited_for():
    async def run():
        return await Client(b"a", last=False).ask(RequestGate(echo, 6, 10, body_seconds=0.01))

    assert asyncio.run(run())[0] == 408


def test_who_hangs_up_is_not_worked_for():
    cancelled = []

    async def slow(scope, receive, send):
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.append(scope)
            raise

    async def run():
        gate = RequestGate(slow, 6, 6)
        for client in (Client(b"abcdef"), Client(b"a", last=False)):
            asking = asyncio.create_task(client.ask(gate))
            await asyncio.sleep(0.01)
            client.hang_up.set()
            assert await asking == []
        # Nothing of theirs is held.
        return await Client(b"abcdef").ask(RequestGate(echo, 6, 6)), gate._held_bytes

    assert asyncio.run(run()) == ((200, b"abcdef"), 0)
    assert len(cancelled) == 1


def test_an_error_of_the_application_is_the_servers_to_report():
    async def fail(scope, receive, send):
        raise TimeoutError("of the application")

    async def run():
        await Client(b"").ask(RequestGate(fail, 6, 6))

    with pytest.raises(TimeoutError, match="of the application"):
        asyncio.run(run())
