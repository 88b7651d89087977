"""TF Serving itself, over gRPC and REST, where there is one."""

import base64
import concurrent.futures
import json
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

from keras_combiner.export import export_for_tf_serving
from tests.export import serving_requests

NAME = "sotu_era"
SERVER = shutil.which("tensorflow_model_server")

pytestmark = pytest.mark.skipif(
    SERVER is None,
    reason="tensorflow_model_server is not on PATH: TF Serving itself was not run",
)


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """A running server on the layout that the export made: its ports, requests and answers."""
    classifier = serving_requests.load_classifier()
    serving = tmp_path_factory.mktemp("serving")
    export_for_tf_serving(classifier, serving / NAME, documents=["a"], verbose=False)
    config = (serving / "models.config").read_text().replace("/models/", f"{serving}/")
    (serving / "local.config").write_text(config)
    grpc_port, rest_port = free_port(), free_port()
    server = subprocess.Popen(
        [
            *(SERVER, f"--port={grpc_port}", f"--rest_api_port={rest_port}", "--enable_batching"),
            f"--model_config_file={serving}/local.config",
            f"--batching_parameters_file={serving}/batching.config",
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_until_available(server, rest_port)
        # What a request without a document gets is up to the server, not the model.
        asked = [x for x in serving_requests.requests(classifier) if x[2].size]
        expected = serving_requests.answers_in_python(serving / NAME / "1", asked)
        yield grpc_port, rest_port, asked, expected
    finally:
        server.terminate()
        server.wait(30)


def wait_until_available(server, rest_port):
    for _ in range(240):
        assert server.poll() is None, f"the server ended with {server.returncode}"
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{rest_port}/v1/models/{NAME}") as answer:
                if "AVAILABLE" in answer.read().decode():
                    return
        except urllib.error.URLError:
            pass
        time.sleep(0.5)
    raise TimeoutError("The server did not load the model within two minutes.")


def assert_same_but_for_padding(received, expected):
    """A batch that the server made of several requests is as long as the longest of them."""
    received = dict(received)
    for name, value in expected.items():
        if received[name].ndim == 2 and received[name].shape[1] > value.shape[1]:
            assert not received[name][:, value.shape[1] :].any(), name
            received[name] = received[name][:, : value.shape[1]]
    serving_requests.assert_same(received, expected)


def all_at_once(ask, asked, expected):
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        for received, wanted in zip(pool.map(ask, asked * 4), expected * 4, strict=True):
            assert_same_but_for_padding(received, wanted)


def test_grpc(served):
    grpc_port, _, asked, expected = served
    channel = grpc.insecure_channel(f"127.0.0.1:{grpc_port}")
    stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)

    def ask(request):
        signature, name, value = request
        message = predict_pb2.PredictRequest()
        message.model_spec.name = NAME
        message.model_spec.signature_name = signature
        dtype = tf.string if value.dtype == object else None
        message.inputs[name].CopyFrom(tf.make_tensor_proto(value, dtype))
        outputs = stub.Predict(message, timeout=60).outputs
        return {key: tf.make_ndarray(tensor) for key, tensor in outputs.items()}

    all_at_once(ask, asked, expected)


def test_rest(served):
    _, rest_port, asked, expected = served

    def ask(request):
        signature, name, value = request
        if value.dtype == object:
            value = [{"b64": base64.b64encode(text).decode()} for text in value]
        else:
            value = value.tolist()
        body = {"signature_name": signature, "inputs": {name: value}}
        request = urllib.request.Request(
            f"http://127.0.0.1:{rest_port}/v1/models/{NAME}:predict", json.dumps(body).encode()
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            outputs = json.load(answer)["outputs"]
        # A signature of one output gives it without its name.
        outputs = outputs if isinstance(outputs, dict) else {"probabilities": outputs}
        return {key: as_array(value) for key, value in outputs.items()}

    all_at_once(ask, asked, expected)


def as_array(value):
    array = np.array(value)
    if array.dtype.kind == "U":
        return np.array([x.encode() for x in value], object)
    return array.astype("float32" if array.dtype.kind == "f" else "int32")
