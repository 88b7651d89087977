"""generator_dataset: a `tf.data.Dataset` of a generator that memory does not keep."""

import weakref


def generator_dataset(generator, output_signature):
    """Returns `tf.data.Dataset.from_generator`, whose generator ends with the data set.

    TensorFlow's default graph keeps what it calls of Python until the process ends: a data set of a
    hundred thousand texts, or of a model that was deleted long ago. Here it keeps a function that
    holds nothing.

    Args:
        generator: callable without arguments that returns an iterator.
        output_signature: nested `tf.TypeSpec` of what it yields.

    Returns:
        `tf.data.Dataset`. Data sets and iterators made from it keep it, and so the generator.
    """
    # Imported here so that reading documents does not wait for TensorFlow to load.
    import tensorflow as tf

    held = [generator]
    dataset = tf.data.Dataset.from_generator(lambda: held[0](), output_signature=output_signature)
    weakref.finalize(dataset, held.clear).atexit = False
    return dataset
