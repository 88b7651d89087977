import asyncio
import threading
import time

import pytest

from keras_combiner.serving.batcher import Batcher
from keras_combiner.serving.errors import InvalidInput, Overloaded


class Recorder:
    """Answers a text with itself, and remembers the batches. It waits while `gate` is closed."""

    def __init__(self):
        self.batches = []
        self.gate = threading.Event()
        self.gate.set()

    def __call__(self, texts):
        assert self.gate.wait(10)
        self.batches.append(texts)
        return list(texts)


async def closed_then(run, batcher, requests):
    """Starts the first request, then the others while it is at work, and gives all answers."""
    run.gate.clear()
    tasks = [asyncio.create_task(batcher.answers(run, requests[0]))]
    await asyncio.sleep(0.05)
    tasks += [asyncio.create_task(batcher.answers(run, x)) for x in requests[1:]]
    await asyncio.sleep(0.05)
    run.gate.set()
    return await asyncio.gather(*tasks)


def test_waiting_texts_of_like_length_share_batches():
    run = Recorder()
    requests = [[b"first"], [b"aa", b"x" * 900], [b"bb", b"cc"], [b"dd"], [b"y" * 800]]
    answers = asyncio.run(closed_then(run, Batcher(max_batch_size=3, threads=1), requests))
    assert answers == requests
    assert run.batches == [[b"first"], [b"aa", b"bb", b"cc"], [b"x" * 900, b"y" * 800], [b"dd"]]


def test_what_runs_differently_shares_no_batch():
    runs = [Recorder(), Recorder()]

    async def ask():
        batcher = Batcher(threads=1)
        return await asyncio.gather(*(batcher.answers(run, [b"a"]) for run in runs))

    assert asyncio.run(ask()) == [[b"a"], [b"a"]]
    assert [run.batches for run in runs] == [[[b"a"]], [[b"a"]]]


def test_no_texts():
    assert asyncio.run(Batcher().answers(Recorder(), [])) == []


def test_more_than_may_wait_is_refused_and_less_is_taken_in_again():
    run = Recorder()

    async def ask():
        batcher = Batcher(max_waiting=3, threads=1)
        run.gate.clear()
        waiting = asyncio.create_task(batcher.answers(run, [b"a", b"b"]))
        await asyncio.sleep(0.05)
        with pytest.raises(Overloaded, match="2 texts are waiting, and at most 3 may"):
            await batcher.answers(run, [b"c", b"d"])
        run.gate.set()
        await waiting
        return await batcher.answers(run, [b"c", b"d", b"e"])

    assert asyncio.run(ask()) == [b"c", b"d", b"e"]
    with pytest.raises(InvalidInput, match=r"at most 3 texts in a request\. Received: 4"):
        asyncio.run(Batcher(max_waiting=3).answers(run, [b"a"] * 4))


def test_nothing_is_computed_for_who_went_away():
    run = Recorder()

    async def ask():
        batcher = Batcher(max_waiting=3, threads=1)
        run.gate.clear()
        first = asyncio.create_task(batcher.answers(run, [b"a"]))
        gone = asyncio.create_task(batcher.answers(run, [b"b", b"c"]))
        await asyncio.sleep(0.05)
        gone.cancel()
        run.gate.set()
        await first
        return await batcher.answers(run, [b"d", b"e", b"f"])

    assert asyncio.run(ask()) == [b"d", b"e", b"f"]
    assert [b"b"] not in run.batches and [b"b", b"c"] not in run.batches


def test_a_failure_reaches_those_of_its_batch_and_no_others():
    def fail(texts):
        raise RuntimeError("no memory")

    async def ask():
        batcher = Batcher(threads=1)
        with pytest.raises(RuntimeError, match="no memory"):
            await batcher.answers(fail, [b"a", b"b"])
        return await batcher.answers(Recorder(), [b"c"])

    assert asyncio.run(ask()) == [b"c"]


def test_no_more_batches_at_a_time_than_threads():
    at_work, most = 0, 0
    lock = threading.Lock()

    def run(texts):
        nonlocal at_work, most
        with lock:
            at_work += 1
            most = max(most, at_work)
        time.sleep(0.01)
        with lock:
            at_work -= 1
        return texts

    async def ask():
        batcher = Batcher(max_batch_size=1, threads=2)
        await asyncio.gather(*(batcher.answers(run, [b"a"]) for _ in range(8)))

    asyncio.run(ask())
    assert most == 2
