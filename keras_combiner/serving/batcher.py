"""Batches of similar length out of the texts that wait, which are bounded in number."""

import asyncio
import collections
import concurrent.futures
import itertools

from keras_combiner.serving.errors import InvalidInput, Overloaded


class Batcher:
    """Runs texts of all requests through a model, several at a time.

    A free thread takes the text that has waited longest, and with it others of the same signature
    and of about its length: padding to the longest costs as much as text. No text waits for a batch
    to fill. All methods are called from one event loop.

    Args:
        max_batch_size: int, how many texts go through the model together.
        max_waiting: int, how many texts may wait or be at work, those of all requests together.
        threads: int, how many batches are at work at a time.

    Example:

    >>> def run(texts):
    ...     return [text.upper() for text in texts]
    >>> async def ask():
    ...     return await Batcher(max_batch_size=2).answers(run, [b"a", b"bb", b"c"])
    >>> asyncio.run(ask())
    [b'A', b'BB', b'C']
    """

    def __init__(self, max_batch_size=8, max_waiting=256, threads=2):
        self.max_batch_size = max_batch_size
        self.max_waiting = max_waiting
        self._threads = threads
        self._pool = concurrent.futures.ThreadPoolExecutor(threads, thread_name_prefix="batch")
        # Of (how it is run, length class, text, future), those of one key in one batch.
        self._waiting = collections.deque()
        self._at_work = 0  # texts
        self._batches = 0

    async def answers(self, run, texts):
        """Answers texts.

        Args:
            run: function of a list of bytes that returns a list of answers; those that are equal
                may get each other's texts. It is called from other threads.
            texts: list of bytes.

        Returns:
            list of answers, one a text.

        Raises:
            InvalidInput: if there are more texts than may ever wait.
            Overloaded: if there is no room for them now.
            Exception: what `run` raised.
        """
        if len(texts) > self.max_waiting:
            raise InvalidInput(
                f"Expected at most {self.max_waiting} texts in a request. Received: {len(texts)}. "
                "Send them in several requests."
            )
        if len(self._waiting) + self._at_work + len(texts) > self.max_waiting:
            raise Overloaded(
                f"{len(self._waiting) + self._at_work} texts are waiting, and at most "
                f"{self.max_waiting} may. Send the request again later."
            )
        loop = asyncio.get_running_loop()
        items = [((run, len(x).bit_length()), x, loop.create_future()) for x in texts]
        self._waiting.extend(items)
        self._start_batches(loop)
        try:
            return await asyncio.gather(*(future for _, _, future in items))
        finally:
            # If the client went away, or one text failed, the other answers are not needed.
            for _, _, future in items:
                future.cancel()

    def close(self):
        """Starts no more batches; those at work end by themselves."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _start_batches(self, loop):
        while self._batches < self._threads and (batch := self._next_batch()):
            self._batches += 1
            self._at_work += len(batch)
            (run, _), _, _ = batch[0]
            done = loop.run_in_executor(self._pool, run, [text for _, text, _ in batch])
            done.add_done_callback(lambda done, batch=batch: self._finish(loop, batch, done))

    def _next_batch(self):
        """Takes the first that waits, and those that go with it, out of the queue."""
        wanted = (x for x in self._waiting if not x[2].done())
        self._waiting = collections.deque(wanted)
        if not self._waiting:
            return []
        key = self._waiting[0][0]
        alike = (x for x in self._waiting if x[0] == key)
        batch = list(itertools.islice(alike, self.max_batch_size))
        taken = {id(x) for x in batch}
        self._waiting = collections.deque(x for x in self._waiting if id(x) not in taken)
        return batch

    def _finish(self, loop, batch, done):
        self._batches -= 1
        self._at_work -= len(batch)
        error = asyncio.CancelledError() if done.cancelled() else done.exception()
        answers = [None] * len(batch) if error else done.result()
        for (_, _, future), answer in zip(batch, answers, strict=True):
            if future.done():
                continue
            if done.cancelled():
                future.cancel()
            elif error:
                future.set_exception(error)
            else:
                future.set_result(answer)
        self._start_batches(loop)
