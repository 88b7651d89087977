"""Processes of their own: what runs in one starts from nothing, and gives its memory back."""

import concurrent.futures
import multiprocessing
import os


def prepare_process(backend, threads):
    """Says what Keras runs on and how many cores there are, before either is looked at."""
    os.environ["KERAS_BACKEND"] = backend
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "TF_NUM_INTRAOP_THREADS"):
        os.environ[name] = str(threads)
    os.environ["TF_NUM_INTEROP_THREADS"] = "1"
    # TensorFlow Model Garden is made of Keras 2 layers; it looks for them under this name.
    os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])


def use_one_core():
    """Lets TensorFlow use one core, so that models trained side by side do not share theirs."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)


def worker(prepare=None, arguments=()):
    """Returns an executor of one new process, in which `prepare(*arguments)` has run."""
    context = multiprocessing.get_context("spawn")
    return concurrent.futures.ProcessPoolExecutor(1, context, prepare, arguments)


def one_core_workers(count):
    """Returns an executor of `count` processes with a core each, a new one for every call."""
    return concurrent.futures.ProcessPoolExecutor(
        count, multiprocessing.get_context("spawn"), use_one_core, max_tasks_per_child=1
    )
