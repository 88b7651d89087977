"""Invalid requests, which the server has to survive."""

import json
import socket
import struct

from benchmarks.server_load.protocols import expect, path_of

LARGE_BODY = 50_000_000


def malformed_json(connection, generator, texts):
    """Sends JSON whose end is missing."""
    body = json.dumps({"instances": [generator.choice(texts)[:1000]]})[: -generator.randint(1, 9)]
    path = generator.choice((":predict", "/infer"))
    expect(*connection.post(path_of(connection, path), body.encode()), 400)


def wrong_types(connection, generator, texts):
    """Sends JSON that is not a request."""
    body = generator.choice(
        (
            {"instances": [3]},
            {"instances": "a"},
            {"instances": [["a"]]},
            {"inputs": [{"name": "text", "datatype": "INT32", "shape": [1], "data": [1]}]},
            {"inputs": [{"name": "text", "datatype": "BYTES", "shape": [2], "data": ["a"]}]},
            {"inputs": 7},
            [],
            None,
        )
    )
    path = generator.choice((":predict", "/infer"))
    expect(*connection.post(path_of(connection, path), body), 400)


def large_body(connection, generator, texts):
    """50 MB, sometimes in chunks without a length. The server may answer before all is sent."""
    chunk = b"a" * 1_000_000
    chunks = (chunk for _ in range(LARGE_BODY // len(chunk)))
    headers = {} if generator.random() < 0.5 else {"Content-Length": str(LARGE_BODY)}
    path = path_of(connection, ":predict")
    expect(*connection.post(path, chunks, headers, encode_chunked=not headers), 413)


def hang_up(connection, generator, texts):
    """Announces a body, sends a part or all of it, and disconnects."""
    body = json.dumps({"instances": [generator.choice(texts)]}).encode()
    server = connection.server
    with socket.create_connection((server.host, server.http_port), 60) as sock:
        head = f"POST {path_of(connection, ':predict')} HTTP/1.1\r\nHost: a\r\n"
        sock.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode())
        sock.sendall(body[: generator.choice((0, len(body) // 2, len(body)))])
        if generator.random() < 0.5:  # by a reset, not in order
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


# A body of 50 MB takes a client a while: only one kind in nine, so that the load is on the server.
FAULTS = (*[malformed_json, wrong_types] * 3, *[hang_up] * 2, large_body)
