"""eagerly: a few steps are sooner taken than traced."""

import contextlib

import tensorflow as tf


@contextlib.contextmanager
def eagerly():
    """Runs what is called in it operation by operation; tests take the fixture `eager`."""
    before = tf.config.functions_run_eagerly()
    tf.config.run_functions_eagerly(True)
    try:
        yield
    finally:
        tf.config.run_functions_eagerly(before)
