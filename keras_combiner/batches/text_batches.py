"""TextBatches: texts as the batches of token ids that a Keras model reads."""

import itertools

import keras
import numpy as np
import tensorflow as tf

from keras_combiner.batches.batch_plan import BatchPlan
from keras_combiner.generator_dataset import generator_dataset

# Size of the pool that batches of a reader are drawn from: what is held in memory.
POOL_EXAMPLES = 4096
POOL_TOKENS = 2**25
_BATCHES = "batches_of_texts"  # an attribute of data sets


class TextBatches:
    """The batches of documents, epoch after epoch.

    They are a pure function of the documents, the seed and a position, which counts the batches
    from the first of the first epoch on. Starting at a position is cheap: the pools of batches
    before it are skipped, and the texts of a reader are read there but not tokenized.

    Args:
        documents: `EncodedDocuments`.
        batch_size: int, examples a batch.
        order: "shuffled", "grouped" or "given"; see `keras_combiner.batches.batch_plan.BatchPlan`.
        seed: int, of the shuffling.
        padded_lengths: list of int, the lengths to pad to; chosen for little padding if None.
        target: `tf.TensorSpec` of an example's target; None if there are none.
        augment: callable of TensorFlow ops, for documents without targets. It makes the elements of
            the data set out of token ids, int32 `[batch, length]`, and keys, int64 `[batch, 2]`,
            the epoch and the place of every example, as seeds of random numbers. `target` then
            describes the targets that it makes.
        facts: dict that JSON can hold: what else a training on the batches depends on, such as
            class weights, under names that tell users what it is.
        group_size: int, how many examples, one after the other in `documents`, are in the same
            batch, next to each other. `batch_size` then counts groups, and the targets of a group
            are a row, which `target` describes.
        fewest: int, groups that a batch must have; see `keras_combiner.batches.batch_plan`.

    Attributes:
        seed: int, as above.
        target: as above.
        group_size: int, as above.
    """

    def __init__(
        self,
        documents,
        batch_size,
        order="shuffled",
        seed=0,
        padded_lengths=None,
        target=None,
        augment=None,
        facts=None,
        group_size=1,
        fewest=1,
    ):
        # Of a group, the longest example.
        lengths = documents.lengths.reshape(-1, group_size).max(axis=1)
        check_divisible(len(lengths), batch_size)
        pool_size = None
        if documents.is_stream:
            pool_size = min(POOL_EXAMPLES, POOL_TOKENS // documents.sequence_length)
        self.documents = documents
        self.plan = BatchPlan(
            lengths,
            documents.sequence_length,
            batch_size,
            pool_size=pool_size,
            order=order,
            seed=seed,
            padded_lengths=padded_lengths,
            fewest=fewest,
        )
        self.seed = seed
        self.target = target
        self.group_size = group_size
        self._order = order
        self._augment = augment
        self._facts = facts or {}
        self._pool = (None, None)
        padded_lengths = self.plan.lengths
        self._length = int(padded_lengths[0]) if len(padded_lengths) == 1 else None

    def __len__(self):
        """How many batches an epoch has."""
        return len(self.plan)

    def __str__(self):
        """One line: documents, tokens, how many are truncated, how much is padding."""
        documents, num_long = self.documents, int(self.documents.is_long.sum())
        long = f"{num_long:,} longer than {documents.sequence_length:,}"
        if len(documents.lengths) > len(documents.windows):
            long += f", in {len(documents.lengths):,} windows with the others"
        elif num_long:
            long += " and truncated"
        unknown = f" ({documents.unknown_share:.1%} unknown)" if documents.unknown.any() else ""
        return (
            f"{_counted(len(documents.windows), 'document')}, "
            f"{_counted(int(documents.tokens.sum(dtype='int64')), 'token')}{unknown}; {long}; "
            f"{self._padding():.1%} padding in batches of "
            f"{_counted(len(self.plan.lengths), 'length')}"
        )

    def summary(self):
        """Returns what `str` says as figures: a dict that JSON can hold."""
        documents = self.documents
        return {
            "documents": len(documents.windows),
            "windows": len(documents.lengths),
            "tokens": int(documents.tokens.sum(dtype="int64")),
            "unknown_share": documents.unknown_share,
            "longer_than_sequence_length": int(documents.is_long.sum()),
            "padding": self._padding(),
        }

    def _padding(self):
        """The share of padding in all batches, of which the plan knows the longest of a group."""
        if self.group_size == 1:
            return self.plan.padding()
        lengths = self.documents.lengths.reshape(-1, self.group_size)
        longest = self.group_size * lengths.max(axis=1).sum(dtype="int64")
        filled = lengths.sum(dtype="int64") / longest if len(lengths) else 1.0
        return 1 - (1 - self.plan.padding()) * filled

    def fingerprint(self, role="training"):
        """Returns all that the batches depend on.

        Args:
            role: str, what the documents are for.

        Returns:
            dict that JSON can hold, whose names tell users what has changed.
        """
        documents = self.documents.fingerprint().items()
        return {
            "seed": self.seed,
            "batch_size": self.plan.batch_size,
            "order": self._order,
            **self._facts,
            **{f"{name} of the {role} documents": x for name, x in documents},
        }

    def rows(self, position):
        """Returns the examples of a batch.

        Args:
            position: int, as in `batches`.

        Returns:
            int array `[batch]` of places in `documents`.
        """
        epoch, start = divmod(position, len(self))
        number, skip = divmod(start, self.plan.pool_batches)
        key = epoch, number
        if self._pool[0] != key:
            self._pool = key, self.plan.pool(epoch, number)
        return self._in_group(number * self.plan.pool_size + self._pool[1][skip][0])

    def size(self, position):
        """Returns how many examples and tokens a batch has, without padding: pair of int."""
        rows = self.rows(position)
        return len(rows), int(self.documents.lengths[rows].sum())

    def places(self, position):
        """Returns where the documents of a batch come from: list of str, each document once."""
        return self.documents.places(self.rows(position))

    def batches(self, position=0):
        """Yields the batches from a position on, without end.

        Args:
            position: int, how many batches to skip.

        Returns:
            iterator of tuples of numpy arrays: int32 `[batch, length]`, 0 for padding; and the
            targets, `[batch, ...]`, if there are any, or the keys, if there is `augment`; and
            float32 `[batch]`, if there are weights.
        """
        first_epoch, start = divmod(position, len(self))
        for epoch in itertools.count(first_epoch):
            yield from self._epoch(epoch, start)
            start = 0

    def dataset(self, position=0, count=None):
        """Returns the batches from a position on as a data set.

        Args:
            position: int, how many batches to skip; or a callable that returns it once reading
                starts.
            count: int, how many batches; None for no end.

        Returns:
            `tf.data.Dataset` of tuples as in `batches`, or of what `augment` returns for them.
        """
        signature = (tf.TensorSpec([None, self._length], tf.int32),)
        if self._augment is not None:
            signature += (tf.TensorSpec([None, 2], tf.int64),)
        elif self.target is not None:
            signature += (tf.TensorSpec([None, *self.target.shape], self.target.dtype),)
        if self.documents.weights is not None:
            signature += (tf.TensorSpec([None], tf.float32),)
        dataset = generator_dataset(
            lambda: itertools.islice(
                self.batches(position() if callable(position) else position), count
            ),
            signature,
        )
        if count is not None:
            # Keras shows the time left where it knows the number of steps.
            dataset = dataset.apply(tf.data.experimental.assert_cardinality(count))
        if self._augment is not None:
            # It has no control flow that AutoGraph would rewrite, which takes longer than tracing.
            augment = tf.autograph.experimental.do_not_convert(self._augment)
            dataset = dataset.map(augment)
        return dataset.prefetch(tf.data.AUTOTUNE)

    def whole_dataset(self):
        """Returns the batches of the first epoch as a data set, for `batches_of`.

        Keras passes on only the data set to `evaluate`, and `batches_of` finds the batches of it
        again.
        """
        dataset = self.dataset(count=len(self))
        setattr(dataset, _BATCHES, self)
        return dataset

    def finite(self):
        """Yields the batches of the first epoch, as `batches` does."""
        return itertools.islice(self.batches(), len(self))

    def in_order(self, outputs):
        """Undoes the order of the first epoch.

        Args:
            outputs: array `[examples, ...]`, one row an example, as the batches came.

        Returns:
            array of the same shape, in the order of the documents.
        """
        rows = np.empty_like(outputs)
        rows[self._in_group(self.plan.order())] = outputs
        return rows

    def _epoch(self, epoch, start):
        number, skip = divmod(start, self.plan.pool_batches)
        examples = self.documents.examples(number * self.plan.pool_size * self.group_size)
        while number < self.plan.num_pools:
            pool = list(itertools.islice(examples, self.plan.pool_size * self.group_size))
            if len(pool) != self.plan.examples_in(number) * self.group_size:
                raise ValueError(
                    "There are fewer documents than at the start of training. Leave the files as "
                    "they are while they are read."
                )
            for rows, length in itertools.islice(self.plan.pool(epoch, number), skip, None):
                batch = _padded([pool[i] for i in self._in_group(rows)], length)
                if self.group_size > 1 and self.target is not None:
                    batch = (batch[0], batch[1].reshape(len(rows), -1), *batch[2:])
                if self._augment is not None:
                    places = number * self.plan.pool_size + rows
                    batch += (np.stack([np.full_like(places, epoch), places], axis=1),)
                yield batch
            number, skip = number + 1, 0

    def _in_group(self, places):
        """The places of the examples of groups, group by group."""
        if self.group_size == 1:
            return places
        offsets = np.arange(self.group_size)
        return np.ravel(places[:, np.newaxis] * self.group_size + offsets)


def _padded(examples, length):
    token_ids, *targets = zip(*examples, strict=True)
    batch = np.zeros((len(token_ids), length), "int32")
    for row, ids in zip(batch, token_ids, strict=True):
        row[: len(ids)] = ids
    return batch, *map(np.stack, targets)


def _counted(number, noun):
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def check_divisible(num_examples, batch_size):
    """Raises a ValueError if a `keras.distribution` could not divide every batch, as JAX must.

    Args:
        num_examples: int.
        batch_size: int, examples a batch; the last batch has what is left over.
    """
    distribution = keras.distribution.distribution()
    if distribution is None or not isinstance(batch_size, int) or batch_size < 1:
        return
    mesh = distribution.device_mesh
    shares = mesh.shape[mesh.axis_names.index(distribution.batch_dim_name)]
    if batch_size % shares or num_examples % batch_size % shares:
        raise ValueError(
            f"keras.distribution divides every batch {shares} ways, so that the batch size and the "
            f"number of texts (or of their windows) must be multiples of {shares}. Received: "
            f"batch_size={batch_size} and {num_examples} texts. Leave some out, or give token ids "
            "in whole batches: docs/tpu.md shows how."
        )


def batches_of(dataset):
    """Returns the `TextBatches` whose `whole_dataset` a data set is; None for anything else."""
    return getattr(dataset, _BATCHES, None)
