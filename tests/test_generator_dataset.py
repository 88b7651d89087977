"""Data sets of generators: read again and again, kept as long as anything reads, then let go."""

import gc
import itertools
import weakref

import pytest
import tensorflow as tf

from keras_combiner.generator_dataset import generator_dataset

SCALAR = tf.TensorSpec([], "int32")


class Numbers:
    def __call__(self):
        return iter(range(3))


def test_it_is_read_again_and_again():
    dataset = generator_dataset(Numbers(), SCALAR)
    assert dataset.element_spec == SCALAR
    assert list(dataset.as_numpy_iterator()) == list(dataset.as_numpy_iterator()) == [0, 1, 2]


def test_what_is_made_of_it_keeps_it():
    numbers = Numbers()
    held = weakref.ref(numbers)
    dataset = generator_dataset(numbers, SCALAR).map(lambda x: x + 1).batch(2).prefetch(1)
    del numbers
    gc.collect()
    assert [x.tolist() for x in dataset.as_numpy_iterator()] == [[1, 2], [3]]
    iterator = iter(dataset.repeat())
    del dataset
    gc.collect()
    assert [x.numpy().tolist() for x in itertools.islice(iterator, 3)] == [[1, 2], [3], [1, 2]]
    del iterator
    gc.collect()
    assert held() is None


def made():
    return generator_dataset(Numbers(), SCALAR)


COMBINED = {
    "concatenate": (lambda x: x.concatenate(made()), [0, 1, 2, 0, 1, 2]),
    "zip": (lambda x: tf.data.Dataset.zip(x, made()).map(lambda a, b: a + b), [0, 2, 4]),
    "cache, shuffle": (lambda x: x.cache().shuffle(1), [0, 1, 2]),
    "choose": (
        lambda x: tf.data.Dataset.choose_from_datasets(
            [x, made()], tf.data.Dataset.from_tensor_slices(tf.constant([0, 1, 0], "int64"))
        ),
        [0, 0, 1],
    ),
    "made in a map": (lambda x: tf.data.Dataset.range(2).flat_map(lambda _: made()), [0, 1, 2] * 2),
    "read in a map": (lambda x: tf.data.Dataset.range(2).flat_map(lambda _: x), [0, 1, 2] * 2),
}


@pytest.mark.parametrize(("combine", "expected"), COMBINED.values(), ids=COMBINED)
def test_every_way_to_combine_data_sets_keeps_it(combine, expected):
    dataset = combine(made())
    for _ in range(2):
        gc.collect()
        assert list(dataset.as_numpy_iterator()) == expected


def test_a_function_that_reads_it_keeps_it():
    @tf.function
    def total(dataset):
        return dataset.reduce(0, lambda x, y: x + y)

    @tf.function
    def total_of_its_own():
        return made().reduce(0, lambda x, y: x + y)

    for _ in range(2):
        assert total_of_its_own() == 3
        gc.collect()
    strategy = tf.distribute.MirroredStrategy(["CPU:0"])
    distributed = strategy.experimental_distribute_dataset(generator_dataset(Numbers(), SCALAR))
    gc.collect()
    assert [int(x) for x in distributed] == [int(x) for x in distributed] == [0, 1, 2]
    assert total(generator_dataset(Numbers(), SCALAR)) == 3
