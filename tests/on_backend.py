"""Calls a function under another backend of Keras, which a process chooses once for all."""

import concurrent.futures
import functools
import multiprocessing
import os
from unittest import mock

# Numbers are judged, not speed: XLA need not spend its time on fast machine code. What wants
# several devices has four.
XLA_FLAGS = (
    "--xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false "
    "--xla_force_host_platform_device_count=4"
)


def call(backend, function, *arguments, xla_flags=XLA_FLAGS):
    """`function(*arguments)` in another process, where Keras runs on `backend`.

    Calls with the same backend and flags follow one another in one process.

    Args:
        backend: str, "tensorflow", "jax" or "torch".
        function: a function of a module that the other process can import.
        *arguments: whatever can be pickled, like what the function returns.
        xla_flags: str, "" for programs as XLA makes them for users.
    """
    return _process(backend, xla_flags).submit(_in_a_clean_state, function, *arguments).result()


@functools.cache
def _process(backend, xla_flags):
    process = concurrent.futures.ProcessPoolExecutor(
        max_workers=1, mp_context=multiprocessing.get_context("spawn")
    )
    environment = {"KERAS_BACKEND": backend, "JAX_PLATFORMS": "cpu", "XLA_FLAGS": xla_flags}
    with mock.patch.dict(os.environ, environment):
        found = process.submit(_backend).result()
    if found != backend:
        raise RuntimeError(f"Keras runs on {found}, not on {backend}.")
    return process


def _backend():
    import keras

    return keras.backend.backend()


def _in_a_clean_state(function, *arguments):
    import keras

    keras.utils.clear_session()
    folder = os.getcwd()
    try:
        return function(*arguments)
    finally:
        os.chdir(folder)
