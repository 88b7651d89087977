"""Calls a function under another backend of Keras, which a process chooses once for all."""

import os
import pathlib
import pickle
import subprocess
import sys
import tempfile


def call(backend, function, *arguments, **environment):
    """`function(*arguments)` in a process of its own, where Keras runs on `backend`.

    Args:
        backend: str, "tensorflow", "jax" or "torch".
        function: a function of a module that the other process can import.
        *arguments: whatever can be pickled, like what the function returns.
        **environment: str, further environment variables of the process.
    """
    with tempfile.TemporaryDirectory() as folder:
        task, result = pathlib.Path(folder, "task"), pathlib.Path(folder, "result")
        task.write_bytes(pickle.dumps((function, arguments)))
        subprocess.run(
            [sys.executable, "-m", "tests.on_backend", backend, task, result],
            env={
                **os.environ,
                "KERAS_BACKEND": backend,
                "PYTHONPATH": os.pathsep.join(sys.path),
                **environment,
            },
            check=True,
        )
        return pickle.loads(result.read_bytes())


def main(backend, task, result):
    import keras

    if keras.backend.backend() != backend:
        raise RuntimeError(f"Keras runs on {keras.backend.backend()}, not on {backend}.")
    function, arguments = pickle.loads(pathlib.Path(task).read_bytes())
    pathlib.Path(result).write_bytes(pickle.dumps(function(*arguments)))


if __name__ == "__main__":
    main(*sys.argv[1:])
