"""BatchPlan: which examples share a batch, in what order, padded to what length."""

import math

import numpy as np

from keras_combiner.batches.length_buckets import choose_lengths

ORDERS = ("shuffled", "grouped", "given")


class BatchPlan:
    """The batches of every epoch, as a pure function of the lengths, the seed and the epoch.

    Examples come in pools: a pool is a run of them in the order in which they are read, small
    enough to be held in memory. Within a pool, examples of about the same length go together and
    are padded to one of a few lengths. No pool depends on another, so an epoch can be resumed in
    its middle by skipping pools.

    Every batch has `batch_size` examples, except one of the last pool, which has what is left over;
    if that is fewer than `fewest`, they are in the batch before.

    Args:
        lengths: int array `[examples]`, token ids of each, in the order in which they are read.
        longest: int, the most token ids that there may be.
        batch_size: int, examples a batch.
        pool_size: int, examples a pool, rounded up to whole batches; None for one pool of all.
        order: "shuffled" (another order in every epoch), "grouped" (by length, the same in every
            epoch), or "given" (as they are read; only the padding is the plan's).
        seed: int, of the shuffling.
        padded_lengths: list of int, the lengths to pad to, the last of which is `longest`; chosen
            for little padding if None.
        fewest: int, examples that a batch must have, at most `batch_size`; where there are fewer in
            all, a batch has all of them. Above 1 it needs a single pool.

    Raises:
        ValueError: for an unknown order, a `batch_size` that is not a positive int, or `fewest`
            beside a `pool_size`.

    Example:

    >>> plan = BatchPlan(np.array([9, 100, 12, 90]), longest=128, batch_size=2, order="grouped")
    >>> [(rows.tolist(), length) for rows, length in plan.pool(epoch=0, number=0)]
    [([0, 2], 16), ([1, 3], 104)]
    >>> round(plan.padding(), 2)
    0.12
    """

    def __init__(
        self,
        lengths,
        longest,
        batch_size,
        pool_size=None,
        order="shuffled",
        seed=0,
        padded_lengths=None,
        fewest=1,
    ):
        if order not in ORDERS:
            raise ValueError(
                f"`order` must be one of {', '.join(map(repr, ORDERS))}. Received: {order!r}."
            )
        if not isinstance(batch_size, int) or batch_size < 1:
            raise ValueError(
                f"`batch_size` must be an int of at least 1. Received: {batch_size!r}."
            )
        if fewest > 1 and pool_size is not None:
            raise ValueError(f"`fewest` needs a single pool. Received: pool_size={pool_size}.")
        lengths = np.asarray(lengths)
        self.batch_size = batch_size
        self.pool_batches = max(1, math.ceil((pool_size or len(lengths)) / batch_size))
        self.pool_size = self.pool_batches * batch_size
        if padded_lengths is None:
            padded_lengths = choose_lengths(lengths, longest, batch_size=batch_size)
        self.lengths = np.array(padded_lengths)
        self._bucket_of = np.searchsorted(self.lengths, lengths).astype("uint8")
        self._num_tokens = int(lengths.sum())
        self._order = order
        self._fewest = fewest
        self._seed = seed

    def __len__(self):
        """How many batches an epoch has."""
        return self._num_batches(len(self._bucket_of))

    @property
    def num_pools(self):
        """How many pools an epoch has."""
        return math.ceil(len(self._bucket_of) / self.pool_size)

    def examples_in(self, number):
        """How many examples a pool has."""
        return min(self.pool_size, len(self._bucket_of) - number * self.pool_size)

    def pool(self, epoch, number):
        """Returns the batches of one pool.

        Args:
            epoch: int, from 0.
            number: int, of the pool in the epoch, from 0.

        Returns:
            list of pairs, one a batch: int array of places in the pool, and int, the length that
            the batch is padded to.
        """
        start = number * self.pool_size
        bucket_of = self._bucket_of[start : start + self.pool_size]
        rows = np.arange(len(bucket_of))
        sizes = np.full(self._num_batches(len(rows)), self.batch_size)
        if len(rows) == 0:
            return []
        # What is left over in the very last pool: there, the lengths are made for whole batches.
        sizes[-1] -= sizes.sum() - len(rows)
        order = np.arange(len(sizes))
        if self._order == "shuffled":
            generator = np.random.default_rng([self._seed, epoch, number])
            rows = generator.permutation(rows)
            order = generator.permutation(order)
        if self._order != "given":
            rows = rows[np.argsort(bucket_of[rows], kind="stable")]
        batches = np.split(rows, np.cumsum(sizes)[:-1])
        return [(batches[i], int(self.lengths[bucket_of[batches[i]].max()])) for i in order]

    def _num_batches(self, num_examples):
        """How many batches some examples make, in the last of which is what is left over."""
        whole, left_over = divmod(num_examples, self.batch_size)
        return whole + (left_over >= self._fewest if whole else left_over > 0)

    def order(self):
        """Returns the place of every example of the first epoch's batches, as they come.

        Returns:
            int array `[examples]`.
        """
        places = [
            number * self.pool_size + rows
            for number in range(self.num_pools)
            for rows, _ in self.pool(0, number)
        ]
        return np.concatenate([np.zeros(0, int), *places])

    def padding(self):
        """Returns the share of padding in all that the first epoch's batches hold.

        Returns:
            float, from 0 to below 1.
        """
        total = sum(
            len(rows) * length
            for number in range(self.num_pools)
            for rows, length in self.pool(0, number)
        )
        return 1 - self._num_tokens / total if total else 0.0
