"""Loads a server from many clients at once, and compares every answer."""

import collections
import contextlib
import random
import statistics
import threading
import time

import numpy as np

from benchmarks.server_load.faults import FAULTS
from benchmarks.server_load.process import running_server
from benchmarks.server_load.protocols import Connection, by_grpc, by_v1, by_v2

MOST_SECONDS = 600
MOST_CLIENTS = 64
TOLERANCE = 1e-5
WORDS = ("the", "union", "peace", "war", "congress", "of", "treaty", "gold", "漢字", "naïve")
# What one text in the pool has in words; a word of it is a token or more.
LENGTHS = (1, 3, 10, 30, 100, 300, 1_000, 2_000, 5_000, 20_000, 100_000)
SHARE_OF_FAULTS = 0.1


def measure(model, clients=16, seconds=60, max_requests=100_000, faults=True, options=()):
    """Starts a server on a model, loads it and returns its figures.

    Args:
        model: str or path of a directory of numbered versions, or of a SavedModel.
        clients: int, how many send requests at once, each the next when it has its answer.
        seconds: float, for how long.
        max_requests: int, after how many requests to stop before that.
        faults: bool, whether one request in ten is invalid: malformed, of a wrong type, of 50 MB,
            or from a client that hangs up.
        options: list of str, more options of `keras-combiner serve`.

    Returns:
        dict of figures: `answers`, `answers_per_second`, `p50_ms`, `p99_ms`, `idle_mb`, `peak_mb`
        and `growth_mb` (the most memory of the second half of the time, less that of the first),
        `refused` (503), `wrong` (list of str, what should not have been), `faults` (dict of counts
        by kind), `seconds`, `clients`.

    Raises:
        ValueError: for more load than a shared machine should get.
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
    """Returns what the newest SavedModel of a model says of each text alone, in this process.

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
        server: `server_load.process.ServerProcess`.
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
    with Connection(server) as connection:
        while time.monotonic() < end and tally.next():
            try:
                if faults and generator.random() < SHARE_OF_FAULTS:
                    kind = generator.choice(FAULTS)
                    kind(connection, generator, texts)
                    with tally.lock:
                        tally.faults[kind.__name__] += 1
                else:
                    _ask(connection, generator, texts, expected, tally)
            except Exception as error:
                with tally.lock:
                    tally.wrong.append(f"{type(error).__name__}: {error}"[:500])
                connection.close()


def _ask(connection, generator, texts, expected, tally):
    """Sends a few texts by one of the three protocols, and compares the answers."""
    chosen = [generator.randrange(len(texts)) for _ in range(generator.choice((1, 1, 1, 2, 4)))]
    protocol = generator.choice((by_v1, by_v1, by_v2, by_grpc))
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
