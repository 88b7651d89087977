"""Load and faults for `keras-combiner serve`, on loopback: how fast, how much memory, what breaks.

    python -m benchmarks.server_load --model saved_models/sotu_era --seconds 60

Every answer is compared with what the SavedModel itself says of each text alone. Figures depend on
the machine, which the clients share with the server.
"""

import argparse
import collections
import contextlib
import http.client
import json
import random
import socket
import statistics
import struct
import threading
import time
from pathlib import Path

import numpy as np

from benchmarks.server_process import running_server

MOST_SECONDS = 600
MOST_CLIENTS = 64
TOLERANCE = 1e-5
WORDS = ("the", "union", "peace", "war", "congress", "of", "treaty", "gold", "漢字", "naïve")
# What one text in the pool has in words; a word of it is a token or more.
LENGTHS = (1, 3, 10, 30, 100, 300, 1_000, 2_000, 5_000, 20_000, 100_000)
SHARE_OF_FAULTS = 0.1
LARGE_BODY = 50_000_000


def measure(model, clients=16, seconds=60, max_requests=100_000, faults=True, options=()):
    """Starts a server on a model, loads it and measures.

    Args:
        model: str or path of a directory of numbered versions, or of a SavedModel.
        clients: int, how many send requests at once, each the next when it has its answer.
        seconds: float, for how long.
        max_requests: int, after how many requests to stop before that.
        faults: bool, whether one request in ten is none: malformed, of a wrong type, of 50 MB, or
            from a client that hangs up.
        options: list of str, more options of `keras-combiner serve`.

    Returns:
        dict of figures: `answers`, `answers_per_second`, `p50_ms`, `p99_ms`, `idle_mb`, `peak_mb`
        and `growth_mb` (the most memory of the second half of the time, less that of the first),
        `refused` (503), `wrong` (list of str, what should not have been), `faults` (dict of counts
        by kind), `seconds`, `clients`.

    Raises:
        ValueError: for more load than a shared machine should bear.
    """
    texts = sample_texts()
    expected = own_answers(model, texts)
    with running_server(model, *options) as server:
        return load(server, texts, [expected], clients, seconds, max_requests, faults)


def sample_texts(seed=0):
    """Makes texts of 1 to 100,000 words, some empty and some not in Latin letters.

    Args:
        seed: int.

    Returns:
        list of str.
    """
    generator = random.Random(seed)
    texts = ["", "\x00", "\U0001f327"]
    for length in LENGTHS:
        for _ in range(1 if length > 10_000 else 3):
            texts.append(" ".join(generator.choices(WORDS, k=length)))
    return texts


def own_answers(model, texts):
    """What the newest SavedModel of a model says of each text alone, in this process.

    Args:
        model: str or path.
        texts: list of str.

    Returns:
        list of (str, float array): label and probabilities.
    """
    import tensorflow as tf
    import tensorflow_text  # noqa: F401  registers the tokenizer's operations

    from keras_combiner.version_folders import saved_models

    loaded = tf.saved_model.load(str(saved_models(model)[0][1]))
    signature = loaded.signatures["serving_default"]
    answers = []
    for text in texts:
        outputs = signature(text=tf.constant([text.encode()]))
        probabilities = outputs["probabilities"].numpy()[0]
        answers.append((outputs["label"].numpy()[0].decode(), probabilities))
    return answers


def load(server, texts, expected, clients=16, seconds=60, max_requests=100_000, faults=True):
    """Loads a server that runs.

    Args:
        server: `benchmarks.server_process.ServerProcess`.
        texts: list of str, to send.
        expected: list of what `own_answers` returns, one a version that may answer. It may grow
            meanwhile.
        clients, seconds, max_requests, faults: as in `measure`.

    Returns:
        dict, as `measure`.
    """
    if not 0 < seconds <= MOST_SECONDS or not 0 < clients <= MOST_CLIENTS:
        raise ValueError(
            f"Expected at most {MOST_SECONDS} seconds and {MOST_CLIENTS} clients. Received: "
            f"{seconds} and {clients}."
        )
    tally = _Tally(max_requests)
    idle = server.megabytes("VmRSS")
    start = time.monotonic()
    threads = [
        threading.Thread(
            target=_client, args=(server, texts, expected, start + seconds, faults, tally, seed)
        )
        for seed in range(clients)
    ]
    for thread in threads:
        thread.start()
    memory = []
    while any(thread.is_alive() for thread in threads):
        with contextlib.suppress(OSError, TypeError):  # it has ended, which `wrong` tells
            memory.append(server.megabytes("VmRSS"))
        time.sleep(0.25)
    elapsed = time.monotonic() - start
    if server.process.poll() is not None:
        tally.wrong.append(f"the server ended with {server.process.returncode}: {server.log()}")
    half = len(memory) // 2
    milliseconds = sorted(1e3 * x for x in tally.seconds) or [float("nan")]
    return {
        "clients": clients,
        "seconds": round(elapsed, 1),
        "answers": len(tally.seconds),
        "texts": tally.texts,
        "answers_per_second": round(len(tally.seconds) / elapsed, 1),
        "p50_ms": round(statistics.median(milliseconds), 1),
        "p99_ms": round(milliseconds[int(0.99 * (len(milliseconds) - 1))], 1),
        "idle_mb": round(idle),
        "peak_mb": round(max(memory, default=idle)),
        "growth_mb": round(max(memory[half:], default=0) - max(memory[:half], default=0)),
        "refused": tally.refused,
        "faults": dict(sorted(tally.faults.items())),
        "wrong": tally.wrong,
    }


class _Tally:
    """What all clients have seen; lists and counters that threads may add to."""

    def __init__(self, max_requests):
        self.left = max_requests
        self.seconds = []
        self.texts = 0
        self.refused = 0
        self.faults = collections.Counter()
        self.wrong = []
        self.lock = threading.Lock()

    def next(self):
        """Whether one more request may be sent."""
        with self.lock:
            self.left -= 1
            return self.left >= 0 and len(self.wrong) < 20


def _client(server, texts, expected, end, faults, tally, seed):
    generator = random.Random(seed)
    with _Connection(server) as connection:
        while time.monotonic() < end and tally.next():
            try:
                if faults and generator.random() < SHARE_OF_FAULTS:
                    kind = generator.choice(FAULTS)
                    kind(connection, generator, texts)
                    with tally.lock:
                        tally.faults[kind.__name__.strip("_")] += 1
                else:
                    _ask(connection, generator, texts, expected, tally)
            except Exception as error:
                with tally.lock:
                    tally.wrong.append(f"{type(error).__name__}: {error}"[:500])
                connection.close()


def _ask(connection, generator, texts, expected, tally):
    """Sends a few texts by one of the three protocols, and compares the answers."""
    chosen = [generator.randrange(len(texts)) for _ in range(generator.choice((1, 1, 1, 2, 4)))]
    protocol = generator.choice((_by_v1, _by_v1, _by_v2, _by_grpc))
    candidates = list(expected)
    start = time.perf_counter()
    answers = protocol(connection, [texts[i] for i in chosen])
    seconds = time.perf_counter() - start
    candidates += expected[len(candidates) :]
    with tally.lock:
        if answers is None:
            tally.refused += 1
            return
        tally.seconds.append(seconds)
        tally.texts += len(chosen)
    if not any(_agree([x[i] for i in chosen], answers) for x in candidates):
        raise AssertionError(f"{protocol.__name__} answered {answers} to the texts {chosen}")


def _agree(expected, received):
    """Whether answers are the expected ones; labels may differ where two are equally likely."""
    if len(expected) != len(received):
        return False
    for (label, wanted), (given, probabilities) in zip(expected, received, strict=True):
        if not np.allclose(wanted, probabilities, rtol=0, atol=TOLERANCE):
            return False
        best = np.sort(wanted)[::-1]
        if label != given and best[0] - best[1] > 2 * TOLERANCE:
            return False
    return True


def _by_v1(connection, texts):
    path = f"/v1/models/{connection.server.name}:predict"
    status, answer = connection.post(path, {"instances": texts})
    if status == 503:
        return None
    _expect(status, answer, 200)
    return [(x["label"], x["probabilities"]) for x in answer["predictions"]]


def _by_v2(connection, texts):
    path = f"/v2/models/{connection.server.name}/infer"
    tensor = {"name": "text", "datatype": "BYTES", "shape": [len(texts)], "data": texts}
    status, answer = connection.post(path, {"inputs": [tensor]})
    if status == 503:
        return None
    _expect(status, answer, 200)
    outputs = {x["name"]: x for x in answer["outputs"]}
    probabilities = outputs["probabilities"]
    rows = np.reshape(probabilities["data"], probabilities["shape"])
    return list(zip(outputs["label"]["data"], rows, strict=True))


def _by_grpc(connection, texts):
    import grpc

    try:
        return connection.infer(texts)
    except grpc.RpcError as error:
        if error.code() == grpc.StatusCode.UNAVAILABLE and "waiting" in error.details():
            return None
        raise


def _malformed_json(connection, generator, texts):
    body = json.dumps({"instances": [generator.choice(texts)[:1000]]})[: -generator.randint(1, 9)]
    path = generator.choice((":predict", "/infer"))
    _expect(*connection.post(_path(connection, path), body.encode()), 400)


def _wrong_types(connection, generator, texts):
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
    _expect(*connection.post(_path(connection, path), body), 400)


def _large_body(connection, generator, texts):
    """50 MB, sometimes in chunks without a length. The server may answer before all is sent."""
    chunk = b"a" * 1_000_000
    chunks = (chunk for _ in range(LARGE_BODY // len(chunk)))
    headers = {} if generator.random() < 0.5 else {"Content-Length": str(LARGE_BODY)}
    path = _path(connection, ":predict")
    _expect(*connection.post(path, chunks, headers, encode_chunked=not headers), 413)


def _hang_up(connection, generator, texts):
    """Says what it will send, sends a part or all of it, and goes."""
    body = json.dumps({"instances": [generator.choice(texts)]}).encode()
    server = connection.server
    with socket.create_connection((server.host, server.http_port), 60) as sock:
        head = f"POST {_path(connection, ':predict')} HTTP/1.1\r\nHost: a\r\n"
        sock.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode())
        sock.sendall(body[: generator.choice((0, len(body) // 2, len(body)))])
        if generator.random() < 0.5:  # without a farewell
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


# A body of 50 MB takes a client a while: one kind in nine, but for the load to be on the server.
FAULTS = (*[_malformed_json, _wrong_types] * 3, *[_hang_up] * 2, _large_body)


def _path(connection, end):
    version = "v1" if end.startswith(":") else "v2"
    return f"/{version}/models/{connection.server.name}{end}"


def _expect(status, answer, wanted):
    if status != wanted:
        raise AssertionError(f"expected status {wanted}, received {status}: {str(answer)[:300]}")


class _Connection:
    """A client's connections to the server, which are opened again after they broke."""

    def __init__(self, server):
        self.server = server
        self._http = http.client.HTTPConnection(server.host, server.http_port, timeout=120)
        self._channel = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
        if self._channel is not None:
            self._channel.close()

    def close(self):
        self._http.close()

    def post(self, path, body, headers=(), encode_chunked=False):
        """Sends what JSON can hold, bytes or an iterator of bytes; returns status and answer."""
        if not isinstance(body, bytes) and not hasattr(body, "__next__"):
            body = json.dumps(body).encode()
        headers = {"Content-Type": "application/json", **dict(headers)}
        if encode_chunked:
            headers["Transfer-Encoding"] = "chunked"
        self._http.request("POST", path, body, headers, encode_chunked=encode_chunked)
        with self._http.getresponse() as response:
            return response.status, json.loads(response.read())

    def infer(self, texts):
        """Asks by gRPC; returns a list of label and probabilities."""
        import grpc
        from kserve.protocol.grpc import grpc_predict_v2_pb2 as messages
        from kserve.protocol.grpc.grpc_predict_v2_pb2_grpc import GRPCInferenceServiceStub

        if self._channel is None:
            self._channel = grpc.insecure_channel(f"{self.server.host}:{self.server.grpc_port}")
        request = messages.ModelInferRequest(model_name=self.server.name)
        tensor = request.inputs.add(name="text", datatype="BYTES", shape=[len(texts)])
        tensor.contents.bytes_contents.extend(x.encode() for x in texts)
        answer = GRPCInferenceServiceStub(self._channel).ModelInfer(request, timeout=120)
        raw = {x.name: y for x, y in zip(answer.outputs, answer.raw_output_contents, strict=True)}
        labels, rest = [], raw["label"]
        while rest:
            length = struct.unpack("<I", rest[:4])[0]
            labels.append(rest[4 : 4 + length].decode())
            rest = rest[4 + length :]
        probabilities = np.frombuffer(raw["probabilities"], np.float32).reshape(len(texts), -1)
        return list(zip(labels, probabilities, strict=True))


def main():
    """Prints the figures as one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default=Path("saved_models/sotu_era"), metavar="DIR")
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--no-faults", action="store_true")
    arguments = parser.parse_args()
    figures = measure(
        arguments.model, arguments.clients, arguments.seconds, faults=not arguments.no_faults
    )
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
