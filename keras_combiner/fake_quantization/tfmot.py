"""TensorFlow Model Optimization (TFMOT): imported where it is used, without side effects."""

import contextlib
import importlib
import os
import warnings

import keras

_VARIABLE = "TF_USE_LEGACY_KERAS"
_CORE = "tensorflow_model_optimization.python.core"


def import_module(name):
    """Imports a module of TFMOT.

    TFMOT is written for tf_keras. Its import sets an environment variable that makes `tf.keras`
    mean tf_keras, in this process and in all that it starts. This function restores the variable,
    so `tf.keras` stays what it was.

    Args:
        name: str, name of the module below `tensorflow_model_optimization.python.core`.

    Returns:
        The module.

    Raises:
        ImportError: if TFMOT is missing (extra "tfmot").
        RuntimeError: if Keras runs on another backend than TensorFlow.
    """
    if keras.backend.backend() != "tensorflow":
        raise RuntimeError(
            "TFMOT works on TensorFlow's variables. Keras's backend here is "
            f"{keras.backend.backend()}. Save the model to a .keras file, and go on in a process "
            "with KERAS_BACKEND=tensorflow."
        )
    with _environment_put_back(), warnings.catch_warnings():
        # About how it compares versions, which does not concern its users.
        warnings.simplefilter("ignore", DeprecationWarning)
        try:
            return importlib.import_module(f"{_CORE}.{name}")
        except ImportError as error:
            raise ImportError(
                "Pruning, clustering and quantization-aware training need "
                "tensorflow-model-optimization: pip install 'keras_combiner[tfmot]'."
            ) from error


@contextlib.contextmanager
def _environment_put_back():
    import tensorflow as tf

    _ = tf.keras.layers  # decides once which Keras it is: before TFMOT's import sets the variable
    before = os.environ.get(_VARIABLE)
    try:
        yield
    finally:
        if before is None:
            os.environ.pop(_VARIABLE, None)
        else:
            os.environ[_VARIABLE] = before
