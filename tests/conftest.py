import gc
import os
import unittest.mock
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
# What is compiled here runs a few times: XLA need not spend its time on fast machine code.
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")
# Tensors here are small, and tests run side by side: threads would only wait for one another.
os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")

import keras
import pytest
import tensorflow as tf
from hypothesis import settings
from tensorflow.python import pywrap_tfe
from tensorflow.python.framework import ops

from tests.eagerly import eagerly
from tests.export.shared_exports import SharedExports

# The same examples in every run: a red test stays red until the code changes. More of them where
# there is time, by `--hypothesis-profile=thorough`.
ALWAYS = {"deadline": None, "derandomize": True, "database": None}
settings.register_profile("suite", max_examples=15, **ALWAYS)
settings.register_profile("thorough", max_examples=60, **ALWAYS)
settings.load_profile("suite")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    """Weights, dropout and shuffles are the same in every run; before fixtures draw them.

    With a new seed, TensorFlow drops every op and function that it has prepared, because eager
    random ops keep the old one. Keras draws from seeds of its own, so that dropping them once a
    file is enough; preparing them again for every test took much of the time.
    """
    with unittest.mock.patch.object(pywrap_tfe, "TFE_ContextClearCaches"):
        keras.utils.set_random_seed(0)


def pytest_collection_modifyitems(items):
    """Processes end together if the last files are short ones; those of training are not."""
    training = Path(__file__).parent / "training"
    items.sort(key=lambda item: item.path.parent != training)


def pytest_collection_finish(session):
    """Collections of garbage come less often."""
    look_only_at_what_is_new()
    gc.set_threshold(10_000, 10, 10)


def look_only_at_what_is_new():
    """Collections of garbage skip what is imported by now, and what ended tests have left.

    Among all of that a collection takes seconds, and Keras collects for every layer that it
    quantizes.
    """
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def graphs_as_they_were_traced():
    """Graphs run as they were traced: to optimize one takes longer than a test runs it."""
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})


@pytest.fixture(scope="session")
def shared_exports(tmp_path_factory):
    """Exports of models that files of several folders read."""
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent  # of all processes
    return SharedExports(folder / "shared_exports")


@pytest.fixture(scope="module", autouse=True)
def graphs_end_with_their_tests():
    """TensorFlow registers a function for every graph that Keras trains, and never lets go of it.

    Without this, a process of the tests keeps every model that was ever trained in it.
    """
    yield
    gradients = ops._gradient_registry._registry
    for name in [x for x in gradients if x.startswith("CustomGradient-")]:
        del gradients[name]
    tf.random.set_seed(0)  # drops what TensorFlow has prepared, see `pytest_runtest_setup`
    look_only_at_what_is_new()


@pytest.fixture
def counted_steps(eager, monkeypatch):
    """Steps of classifiers are counted, and train nothing, where only their number matters."""
    from keras_combiner import LongDocumentClassifier

    def step(self, data):
        if not self.optimizer.built:
            self.optimizer.build(self.trainable_variables)
        self.optimizer.iterations.assign_add(1)
        if not all(getattr(x, "built", True) for x in self.metrics):
            return self.test_step(data)  # the first step makes the metrics, which Keras reads
        return {"loss": tf.constant(0.0)}

    monkeypatch.setattr(LongDocumentClassifier, "train_step", step)


@pytest.fixture
def eager():
    """A few steps are sooner taken than traced."""
    with eagerly():
        yield
