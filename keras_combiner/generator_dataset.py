"""generator_dataset: a `tf.data.Dataset` of a generator, which is freed with the data set."""

import weakref


def generator_dataset(generator, output_signature):
    """Returns `tf.data.Dataset.from_generator`, whose generator ends with the data set.

    TensorFlow's default graph keeps the functions that it calls until the process ends, and so what
    they hold: texts, or a model that was deleted long ago. Here it keeps a function that holds
    nothing. A data set that is made while a graph is traced ends before the graph runs: there the
    generator is kept, as TensorFlow does.

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
    if tf.executing_eagerly():
        weakref.finalize(dataset, held.clear).atexit = False
    return dataset
