import asyncio
import gzip
import itertools
import json
import random
import tracemalloc
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_combiner.serving.body_decoder import BodyDecoder, UnreadableBody
from keras_combiner.serving.request_gate import RequestGate
from tests.serving.test_request_gate import Client, echo


def raw_deflate(content):
    compressor = zlib.compressobj(wbits=-15)
    return compressor.compress(content) + compressor.flush()


WRITERS = {
    "gzip": gzip.compress,
    "GZIP": lambda x: gzip.compress(x[:5]) + gzip.compress(x[5:]),  # of two members
    "x-gzip, identity": gzip.compress,
    "deflate": zlib.compress,
    "Deflate ": raw_deflate,
    "identity": bytes,
    "": bytes,
}


def ask(*chunks, encoding, most=1000, held=10_000, headers=()):
    headers = [(b"content-encoding", x.encode()) for x in encoding] + list(headers)
    gate = RequestGate(echo, most, held)

    async def run():
        return await Client(*chunks, headers=headers).ask(gate)

    status, body = asyncio.run(run())
    assert gate._held_bytes == 0
    return status, body if status == 200 else json.loads(body)["error"]


@given(
    st.binary(max_size=400),
    st.sampled_from(sorted(WRITERS)),
    st.lists(st.integers(0, 500)),
    st.data(),
)
@settings(max_examples=150, deadline=None)
def test_what_was_compressed_comes_as_it_was(content, coding, cuts, data):
    sent = WRITERS[coding](content)
    cuts = [0, *sorted(min(x, len(sent)) for x in cuts), len(sent)]
    decoder = BodyDecoder.from_headers([(b"content-encoding", coding.encode())])
    read = b"".join(decoder.decode(sent[a:b], 401) for a, b in itertools.pairwise(cuts))
    decoder.finish()
    assert read == content
    if decoder.coding and "," not in coding and len(sent) > 1:
        cut = sent[: data.draw(st.integers(1, len(sent) - 1))]
        if coding == "GZIP" and cut == gzip.compress(content[:5]):
            return  # the first member is a whole body by itself
        decoder = BodyDecoder(decoder.coding)
        with pytest.raises(UnreadableBody, match="Received another one: it ends early"):
            decoder.decode(cut, 401)
            decoder.finish()


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_a_bomb_is_refused_before_it_goes_off(coding):
    bomb = WRITERS[coding](bytes(50_000_000))
    assert len(bomb) < 60_000
    tracemalloc.start()
    status, error = ask(bomb, encoding=[coding], most=100_000, held=200_000)
    assert tracemalloc.get_traced_memory()[1] < 1_000_000
    tracemalloc.stop()
    assert status == 413 and error.startswith("Expected a body of at most 100,000 bytes.")


def test_the_bound_is_that_of_the_decoded_body_and_of_the_one_sent():
    noise = random.Random(0).randbytes(1000)
    for content, status in ((bytes(1000), 200), (bytes(1001), 413), (noise, 413)):
        assert ask(gzip.compress(content), encoding=["gzip"])[0] == status
    assert ask(*[gzip.compress(b"")] * 200, encoding=["gzip"])[0] in (400, 413)
    assert ask(gzip.compress(bytes(900)), encoding=["gzip"], held=800)[0] == 503


@pytest.mark.parametrize(
    ("sent", "encoding", "status", "words"),
    [
        (b"a", ["br"], 415, "gzip or deflate, or not at all. Received the Content-Encoding: br"),
        (b"a", ["gzip, gzip"], 415, "compressed once"),
        (b"a", ["gzip", "deflate"], 415, "compressed once"),
        (b'{"instances": []}', ["gzip"], 400, "compressed by gzip, as its Content-Encoding says"),
        (b'{"instances": []}', ["deflate"], 400, "compressed by deflate"),
        (gzip.compress(b"a") + b"b", ["gzip"], 400, "Received another one"),
        (zlib.compress(b"a") + b"b", ["deflate"], 400, "bytes follow its end"),
        (gzip.compress(b"a" * 99)[:-1], ["gzip"], 400, "it ends early"),
        (gzip.compress(b"") * 17, ["gzip"], 400, "bytes follow its end"),
        (gzip.compress(b"a")[:-8] + bytes(8), ["gzip"], 400, "incorrect data check"),
    ],
    ids=range(10),  # gzip writes the time, and names of tests are to stay
)
def test_what_cannot_be_decoded(sent, encoding, status, words):
    received, error = ask(sent, encoding=encoding)
    assert received == status and words in error


def test_a_refused_coding_names_those_that_are_offered():
    client = Client(b"a", headers=[(b"content-encoding", b"zstd")])
    asyncio.run(client.ask(RequestGate(echo, 10, 10)))
    assert (b"accept-encoding", b"gzip, deflate") in client.sent[0]["headers"]


def test_the_application_hears_of_the_decoded_body_only():
    scopes = []

    async def note(scope, receive, send):
        scopes.append(dict(scope["headers"]))
        await echo(scope, receive, send)

    sent = gzip.compress(b"a text")
    headers = [(b"content-encoding", b"gzip"), (b"content-length", b"%d" % len(sent)), (b"a", b"b")]
    asyncio.run(Client(sent, headers=headers).ask(RequestGate(note, 100, 100)))
    assert scopes == [{b"a": b"b", b"content-length": b"6"}]


@pytest.mark.parametrize(
    ("content_type", "status"),
    [
        (b"application/json", 200),
        (b"application/json; charset=UTF-8", 200),
        (b'text/plain;a=b; charset="utf-8"', 200),
        (b"application/json; charset=iso-8859-1", 415),
        (b"application/json;charset = utf-16", 415),
    ],
)
def test_text_in_another_charset_is_not_read_as_utf_8(content_type, status):
    received, said = ask(b"{}", encoding=[], headers=[(b"content-type", content_type)])
    assert received == status
    assert status == 200 or "Expected JSON in UTF-8. Received the charset" in said


def test_a_body_of_two_lengths():
    headers = [(b"content-length", b"1"), (b"transfer-encoding", b"chunked")]
    status, error = ask(b"a", encoding=[], headers=headers)
    assert status == 400 and "Received: both" in error
