"""A SavedModel in the C++ runtime that TF Serving is built on, without Python."""

import importlib.util
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import named_tensor_pb2
from tensorflow_serving.apis import prediction_log_pb2

from keras_combiner.export import export_for_tf_serving
from tests.export import serving_requests

pytestmark = pytest.mark.slow

THREADS = 3
SOURCE = Path(__file__).parent / "native" / "serve.cc"


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    if shutil.which("g++") is None:
        pytest.skip("g++ is missing: the C++ runtime was not run")
    path = tmp_path_factory.mktemp("native") / "serve"
    libraries = Path(tf.sysconfig.get_lib())
    subprocess.run(
        [
            # Without -O1 the headers want what the libraries do not have; -w is for their warnings.
            *("g++", "-O1", "-w", str(SOURCE), "-o", path, *tf.sysconfig.get_compile_flags()),
            *(f"-L{libraries}", f"-Wl,-rpath,{libraries}", "-pthread"),
            *("-l:libtensorflow_cc.so.2", "-l:libtensorflow_framework.so.2"),
        ],
        check=True,
    )
    return path


@pytest.fixture(scope="module")
def classifier():
    return serving_requests.load_classifier()


@pytest.fixture(scope="module")
def exported(classifier, tmp_path_factory):
    directory = tmp_path_factory.mktemp("serving") / "sotu_era"
    export_for_tf_serving(classifier, directory, documents=["a"], verbose=False)
    return directory / "1"


def run(program, path, asked, folder):
    """Answers of each thread of the program: `answers[thread][request]`, a dict of arrays."""
    with tf.io.TFRecordWriter(str(folder / "requests")) as writer:
        for signature, name, value in asked:
            tensor = tf.make_tensor_proto(value, tf.string if value.dtype == object else None)
            named = named_tensor_pb2.NamedTensorProto(name=f"{signature}/{name}", tensor=tensor)
            writer.write(named.SerializeToString())
    text_ops = importlib.util.find_spec("tensorflow_text").submodule_search_locations[0]
    done = subprocess.run(
        [
            *(program, path, folder / "requests", folder / "answers", str(THREADS)),
            *sorted(Path(text_ops).glob("python/ops/*.so")),
        ],
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    answers = [[{} for _ in asked] for _ in range(THREADS)]
    for record in tf.data.TFRecordDataset(str(folder / "answers")).as_numpy_iterator():
        named = named_tensor_pb2.NamedTensorProto.FromString(record)
        thread, request, name = named.name.split("/")
        answers[int(thread)][int(request)][name] = tf.make_ndarray(named.tensor)
    return answers


def test_every_signature_from_several_threads(program, exported, classifier, tmp_path):
    asked = serving_requests.requests(classifier)
    expected = serving_requests.answers_in_python(exported, asked)
    answers = run(program, exported, asked, tmp_path)
    for of_thread in answers:
        for received, wanted in zip(of_thread, expected, strict=True):
            serving_requests.assert_same(received, wanted)
    # The Keras model itself, too.
    texts = list(asked[1][2])
    np.testing.assert_allclose(
        answers[0][1]["probabilities"], classifier.predict(texts, verbose=0), atol=1e-5
    )


def test_the_warm_up_requests(program, exported, tmp_path):
    file = exported / "assets.extra" / "tf_serving_warmup_requests"
    asked = []
    for record in tf.data.TFRecordDataset(str(file)).as_numpy_iterator():
        request = prediction_log_pb2.PredictionLog.FromString(record).predict_log.request
        ((name, tensor),) = request.inputs.items()
        asked.append((request.model_spec.signature_name, name, tf.make_ndarray(tensor)))
    expected = serving_requests.answers_in_python(exported, asked)
    for of_thread in run(program, exported, asked, tmp_path):
        for received, wanted in zip(of_thread, expected, strict=True):
            serving_requests.assert_same(received, wanted)
