"""Runs an export as its users do: one document at a time, without this package.

This file is also a program that imports nothing from the package: `verification.measured` starts it
to measure an export in a process of its own.
"""

import contextlib
import functools
import json
import os
import statistics
import sys
import time
from pathlib import Path

import numpy as np

# What exports call their answers.
OUTPUTS = ("probabilities", "value", "embedding")
# Enough for a median that a pause of the machine does not move.
RUNS = 20


def load_litert(path, input_type="token_ids", num_threads=1):
    """Loads a .tflite file.

    Args:
        path: str or path of the file.
        input_type: "token_ids" or "text", what its signatures take.
        num_threads: int, threads of the interpreter.

    Returns:
        Function of one document (int32 array `[length]`, or bytes) that returns a dict of arrays,
        the outputs, and raises a ValueError if the file has no signature of that length.

    Raises:
        ImportError: as `import_litert`.
    """
    make_interpreter = import_litert(input_type)
    interpreter = make_interpreter(model_path=str(path), num_threads=num_threads)
    by_signature = {
        x: interpreter.get_signature_runner(x) for x in interpreter.get_signature_list()
    }
    if input_type == "text":
        # As objects: numpy's own strings lose the NUL bytes at their end.
        runner = by_signature["serving_default"]
        return lambda document: runner(text=np.array([document], dtype=object))
    by_length = {
        int(runner.get_input_details()["token_ids"]["shape"][1]): runner
        for runner in by_signature.values()
    }

    def run(token_ids):
        if len(token_ids) not in by_length:
            raise ValueError(
                f"The file takes documents of {' or '.join(map(str, by_length))} token ids, "
                f"padding included. Received: {len(token_ids)}."
            )
        return by_length[len(token_ids)](token_ids=token_ids[np.newaxis])

    return run


def load_saved_model(path, num_threads=None):
    """Loads a SavedModel.

    Args:
        path: str or path of the directory.
        num_threads: int, threads of an operation, for the whole process, which has run none of
            TensorFlow yet; None to leave them as they are.

    Returns:
        Function of one document (bytes) that returns a dict of arrays, the outputs.
    """
    tf = import_tensorflow()
    if num_threads is not None:
        tf.config.threading.set_intra_op_parallelism_threads(num_threads)
        tf.config.threading.set_inter_op_parallelism_threads(1)
    model = tf.saved_model.load(str(path))

    def run(document):
        outputs = model.signatures["serving_default"](text=tf.constant([document]))
        return {name: value.numpy() for name, value in outputs.items()}

    return run


def load_onnx(path, num_threads=1):
    """Loads an .onnx file.

    Args:
        path: str or path of the file.
        num_threads: int, threads of an operation.

    Returns:
        Function of one document (int32 array `[length]`) that returns a dict of arrays, the
        outputs.

    Raises:
        ImportError: as `import_onnxruntime`.
    """
    onnxruntime = import_onnxruntime()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = num_threads
    options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]

    def run(token_ids):
        outputs = session.run(names, {"token_ids": token_ids[np.newaxis]})
        return dict(zip(names, outputs, strict=True))

    return run


def run_each(run, documents):
    """Runs documents one after the other.

    Args:
        run: function, what one of the loaders of this file returned.
        documents: iterable of what it takes.

    Returns:
        `(results, seconds)`: float32 `[documents, units]`, probabilities or embeddings, or the
        values of a regression in the export's shape, and float `[documents]`, the time that each
        took.

    Raises:
        ValueError: if the export has none of these outputs.
    """
    results, seconds = [], []
    for document in documents:
        start = time.perf_counter()
        outputs = run(document)
        seconds.append(time.perf_counter() - start)
        name = next((x for x in OUTPUTS if x in outputs), None)
        if name is None:
            raise ValueError(
                f"Expected an export with an output {', '.join(OUTPUTS[:-1])} or {OUTPUTS[-1]}. "
                f"Received one with {', '.join(outputs) or 'none'}. Run what this package exported."
            )
        results.append(outputs[name])
    return np.concatenate(results), np.array(seconds)


@contextlib.contextmanager
def quiet():
    """Keeps progress notes of C++ libraries, which users cannot act on, off the terminal."""
    with open(os.devnull, "w") as devnull:
        saved = os.dup(2)
        os.dup2(devnull.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(saved, 2)
            os.close(saved)


def import_litert(input_type="token_ids"):
    """Imports what runs a .tflite file.

    Args:
        input_type: "token_ids" or "text", what the file takes.

    Returns:
        Function that makes an interpreter.

    Raises:
        ImportError: if ai-edge-litert is missing (extra "litert"), or tensorflow-text (extra
            "text") for a file that takes text.
    """
    try:
        from ai_edge_litert import interpreter
    except ImportError as error:
        raise ImportError(
            "A LiteRT export is checked with ai-edge-litert: pip install 'keras_combiner[litert]'."
        ) from error
    if input_type != "text":
        return interpreter.Interpreter
    try:
        from tensorflow_text import tflite_registrar
    except ImportError as error:
        raise ImportError(
            "A .tflite file that takes text needs the operations of tensorflow-text: "
            "pip install 'keras_combiner[text]'."
        ) from error
    return functools.partial(
        interpreter.InterpreterWithCustomOps,
        custom_op_registerers=tflite_registrar.SELECT_TFTEXT_OPS,
    )


def import_onnxruntime():
    """Returns the module `onnxruntime`, or raises an ImportError."""
    try:
        import onnxruntime
    except ImportError as error:
        raise ImportError(
            "An ONNX export is checked with onnxruntime: pip install 'keras_combiner[onnx]'."
        ) from error
    return onnxruntime


def import_tensorflow():
    """Imports what runs a SavedModel, and the operations of its tokenizer if they are installed.

    Returns:
        The module `tensorflow`.
    """
    import tensorflow

    with contextlib.suppress(ImportError):  # a byte tokenizer does not need them
        import tensorflow_text  # noqa: F401
    return tensorflow


# By kind of export: what imports the libraries that run it, and what loads it.
PROGRAMS = {
    "token_ids": (functools.partial(import_litert, "token_ids"), load_litert),
    "text": (
        functools.partial(import_litert, "text"),
        functools.partial(load_litert, input_type="text"),
    ),
    "onnx": (import_onnxruntime, load_onnx),
    "saved_model": (import_tensorflow, load_saved_model),
}


def _main():
    job = json.load(sys.stdin)
    kind, path, num_threads = job["kind"], job["path"], job["num_threads"]
    prepare, load = PROGRAMS[kind]
    if kind in ("token_ids", "onnx"):
        documents = [np.array(x, np.int32) for x in job["documents"]]
    else:
        documents = [x.encode("latin-1") for x in job["documents"]]
    prepare()  # the libraries are not the export's memory
    before = _restart_peak()
    run = load(path, num_threads=num_threads)
    run(documents[0])  # the first run is slower, once
    seconds = []
    for i in range(RUNS):
        start = time.perf_counter()
        run(documents[i % len(documents)])
        seconds.append(time.perf_counter() - start)
    memory = None if before is None else _peak() - before
    print(json.dumps({"milliseconds": 1e3 * statistics.median(seconds), "peak_memory": memory}))


def _restart_peak():
    """Resets this process's peak of memory and returns the new one."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    return _peak()


def _peak():
    """Returns this process's peak of memory in bytes, or None where the system does not say.

    With resource.getrusage a process on Linux would start with the peak of its parent.
    """
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return None


if __name__ == "__main__":
    _main()
