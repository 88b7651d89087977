"""`keras-combiner serve` on the shipped model: one process for the whole file."""

import http.client
import json
import socket
import struct
import time
from pathlib import Path

import grpc
import numpy as np
import pytest
from kserve.protocol.grpc import grpc_predict_v2_pb2 as messages
from kserve.protocol.grpc.grpc_predict_v2_pb2_grpc import GRPCInferenceServiceStub

from benchmarks.server_load.load import own_answers
from benchmarks.server_load.process import running_server

MODEL = Path(__file__).parents[2] / "saved_models" / "sotu_era"
TEXTS = ["", "war and peace " * 900, "漢字 \U0001f327 naïve", "\x00", "railroads " * 20]
MEGABYTE = 1024**2


@pytest.fixture(scope="module")
def server():
    with running_server(MODEL, "--max-body-mb", "1", "--max-waiting", "16") as server:
        yield server
    assert server.process.returncode == 0


@pytest.fixture(scope="module")
def expected():
    return own_answers(MODEL, TEXTS)


@pytest.fixture
def connection(server):
    connection = http.client.HTTPConnection(server.host, server.http_port, timeout=60)
    yield connection
    connection.close()


@pytest.fixture(scope="module")
def stub(server):
    with grpc.insecure_channel(f"{server.host}:{server.grpc_port}") as channel:
        yield GRPCInferenceServiceStub(channel)


def ask(connection, path, body=None, **headers):
    if body is not None and not isinstance(body, bytes):
        body = json.dumps(body).encode()
    connection.request("GET" if body is None else "POST", path, body, headers)
    with connection.getresponse() as response:
        return response.status, json.loads(response.read())


def predict(connection, body, **headers):
    return ask(connection, "/v1/models/sotu_era:predict", body, **headers)


def infer(connection, body, **headers):
    return ask(connection, "/v2/models/sotu_era/infer", body, **headers)


def tensor(texts):
    return {"name": "text", "datatype": "BYTES", "shape": [len(texts)], "data": texts}


def grpc_request(texts, raw=False, name="text", datatype="BYTES"):
    request = messages.ModelInferRequest(model_name="sotu_era")
    added = request.inputs.add(name=name, datatype=datatype, shape=[len(texts)])
    if raw:
        packed = [struct.pack("<I", len(x)) + x for x in texts]
        request.raw_input_contents.append(b"".join(packed))
    else:
        added.contents.bytes_contents.extend(texts)
    return request


def assert_answers(labels, probabilities, expected):
    assert list(labels) == [label for label, _ in expected]
    wanted = np.array([x for _, x in expected])
    np.testing.assert_allclose(np.reshape(probabilities, wanted.shape), wanted, rtol=0, atol=1e-5)


@pytest.mark.parametrize("content_type", ["application/json", "application/x-www-form-urlencoded"])
def test_v1(connection, expected, content_type):
    status, answer = predict(connection, {"instances": TEXTS}, **{"Content-Type": content_type})
    assert status == 200
    predictions = answer["predictions"]
    assert_answers(
        [x["label"] for x in predictions], [x["probabilities"] for x in predictions], expected
    )


@pytest.mark.parametrize("content_type", ["application/json", "text/plain"])
def test_v2(connection, expected, content_type):
    body = {"id": "7", "inputs": [tensor(TEXTS)]}
    status, answer = infer(connection, body, **{"Content-Type": content_type})
    assert status == 200
    assert (answer["id"], answer["model_name"], answer["model_version"]) == ("7", "sotu_era", "1")
    outputs = {x["name"]: x for x in answer["outputs"]}
    assert outputs["probabilities"]["shape"] == [len(TEXTS), 10]
    assert_answers(outputs["label"]["data"], outputs["probabilities"]["data"], expected)


def test_v2_in_binary(connection, expected):
    texts = [x.encode() for x in TEXTS]
    binary = b"".join(struct.pack("<I", len(x)) + x for x in texts)
    given = {**tensor(TEXTS), "parameters": {"binary_data_size": len(binary)}}
    del given["data"]
    asked = [{"name": "probabilities", "parameters": {"binary_data": True}}]
    head = json.dumps({"inputs": [given], "outputs": asked}).encode()
    connection.request(
        "POST",
        "/v2/models/sotu_era/infer",
        head + binary,
        {"Inference-Header-Content-Length": str(len(head))},
    )
    with connection.getresponse() as response:
        body = response.read()
        length = int(response.headers["Inference-Header-Content-Length"])
    (output,) = json.loads(body[:length])["outputs"]
    assert output["name"] == "probabilities"
    probabilities = np.frombuffer(body[length:], np.float32)
    assert_answers([x for x, _ in expected], probabilities, expected)


@pytest.mark.parametrize("raw", [False, True])
def test_v2_over_grpc(stub, expected, raw):
    answer = stub.ModelInfer(grpc_request([x.encode() for x in TEXTS], raw), timeout=60)
    values = {x.name: y for x, y in zip(answer.outputs, answer.raw_output_contents, strict=True)}
    probabilities = np.frombuffer(values["probabilities"], np.float32)
    labels, rest = [], values["label"]
    while rest:
        length = 4 + struct.unpack("<I", rest[:4])[0]
        labels.append(rest[4:length].decode())
        rest = rest[length:]
    assert_answers(labels, probabilities, expected)


def test_a_batch_of_none(connection, stub):
    assert predict(connection, {"instances": []}) == (200, {"predictions": []})
    status, answer = infer(connection, {"inputs": [tensor([])]})
    assert status == 200
    assert {x["name"]: x["shape"] for x in answer["outputs"]} == {
        "label": [0],
        "probabilities": [0, 10],
        "tokens": [0],
        "truncated": [0],
    }
    shapes = [list(x.shape) for x in stub.ModelInfer(grpc_request([]), timeout=60).outputs]
    assert shapes == [[0], [0, 10], [0], [0]]


def test_bytes_that_are_no_utf_8_have_an_answer(connection, stub):
    status, answer = predict(connection, {"instances": [{"b64": "d2FyIP/+IHBlYWNl"}]})
    assert status == 200
    raw = stub.ModelInfer(grpc_request([b"war \xff\xfe peace"]), timeout=60)
    over_grpc = np.frombuffer(raw.raw_output_contents[1], np.float32)
    np.testing.assert_allclose(answer["predictions"][0]["probabilities"], over_grpc, atol=1e-5)


@pytest.mark.parametrize(
    ("path", "body", "status", "words"),
    [
        ("/v1/models/sotu_era:predict", b"", 400, 'Expected {"instances"'),
        ("/v1/models/sotu_era:predict", b'{"instances": ["a"', 400, 'Expected {"instances"'),
        ("/v1/models/sotu_era:predict", b'{"instances": ["\xff"]}', 400, "not valid UTF-8"),
        ("/v1/models/sotu_era:predict", b"[" * 100_000, 400, "Expected"),
        ("/v1/models/sotu_era:predict", {"instances": [3]}, 400, "at position 0: a number (3)"),
        ("/v1/models/sotu_era:predict", {"instances": ["a"] * 17}, 400, "at most 16 texts"),
        ("/v1/models/sotu_era:predict", {"instances": ["\ud800"]}, 400, "surrogate"),
        (
            "/v1/models/sotu_era:predict",
            {"instances": ["a"], "signature_name": "serving_token_ids"},
            400,
            "Expected `signature_name` to be one of serving_default",
        ),
        ("/v1/models/sotu_era:explain", {"instances": []}, 501, "serving_scores"),
        ("/v1/models/nix:predict", {"instances": ["a"]}, 404, "nix does not exist"),
        ("/v2/models/sotu_era/infer", b"", 400, 'Expected {"inputs"'),
        ("/v2/models/sotu_era/infer", b'{"inputs": [', 400, "not JSON"),
        ("/v2/models/sotu_era/infer", {"inputs": [{}]}, 400, "inputs.0.name: Field required"),
        ("/v2/models/sotu_era/infer", {"inputs": [tensor([3])]}, 400, "a number (3)"),
        ("/v2/models/nix/infer", {"inputs": [tensor(["a"])]}, 404, "nix does not exist"),
        ("/v2/models/sotu_era/versions/2/infer", {"inputs": []}, 404, "is loaded: 1. Received: 2"),
        ("/v2/repository/models/sotu_era/unload", b"", 501, "The server's model stays"),
        ("/v2/repository/models/sotu_era/load", b"", 501, "takes up new versions by itself"),
        ("/nix", b"", 404, "such as /v1/models/sotu_era:predict and /v2/models/sotu_era/infer"),
        ("/v1/models", b"", 405, "Expected the method GET. Received: POST /v1/models."),
    ],
)
def test_refusals_say_what_was_expected(connection, path, body, status, words):
    received, answer = ask(connection, path, body)
    assert received == status
    assert words in answer["error"]


def test_a_header_that_is_no_number(connection):
    status, answer = infer(connection, b"{}", **{"Inference-Header-Content-Length": "x"})
    assert status == 400 and "Expected a number" in answer["error"]


@pytest.mark.parametrize("chunked", [False, True])
def test_large_bodies_are_refused_and_the_connection_goes_on(connection, chunked):
    body = (b"a" * 65536 for _ in range(50 * MEGABYTE // 65536))
    headers = {"Transfer-Encoding": "chunked"} if chunked else {"Content-Length": 50 * MEGABYTE}
    connection.request("POST", "/v1/models/sotu_era:predict", body, headers, encode_chunked=chunked)
    with connection.getresponse() as response:
        assert response.status == 413
        assert "at most 1,048,576 bytes" in json.loads(response.read())["error"]
    assert predict(connection, {"instances": ["a"]})[0] == 200


def test_a_body_of_millions_of_mistakes_takes_little(connection, server):
    before = server.megabytes("VmHWM")
    for body in (b"{}", b'""'):
        many = b",".join([body] * (900_000 // (len(body) + 1)))
        assert predict(connection, b'{"instances": [%b]}' % many)[0] == 400
        assert infer(connection, b'{"inputs": [%b]}' % many)[0] == 400
        assert infer(connection, b'{"parameters": [%b]}' % many)[0] == 400
    assert server.megabytes("VmHWM") < before + 300


@pytest.mark.parametrize(
    ("request_", "code", "words"),
    [
        (grpc_request([b"a"], name="txt"), "INVALID_ARGUMENT", "'txt' of datatype BYTES"),
        (grpc_request([b"a"], datatype="TEXT"), "INVALID_ARGUMENT", "Expected a datatype"),
        (grpc_request([b"a"] * 17), "INVALID_ARGUMENT", "at most 16 texts"),
        (grpc_request([b"a" * MEGABYTE]), "RESOURCE_EXHAUSTED", "larger than max"),
        (messages.ModelInferRequest(model_name="nix"), "NOT_FOUND", "nix does not exist"),
        (messages.ModelInferRequest(model_name="sotu_era"), "INVALID_ARGUMENT", "one input"),
    ],
)
def test_refusals_over_grpc(stub, request_, code, words):
    with pytest.raises(grpc.RpcError) as raised:
        stub.ModelInfer(request_, timeout=60)
    assert raised.value.code().name == code
    assert words in raised.value.details()


def test_the_model_cannot_be_taken_away_over_grpc(stub):
    with pytest.raises(grpc.RpcError) as raised:
        stub.RepositoryModelUnload(messages.RepositoryModelUnloadRequest(model_name="sotu_era"))
    assert raised.value.code() == grpc.StatusCode.UNIMPLEMENTED


def test_too_many_at_once_are_refused_and_the_others_answered(server):
    body = json.dumps({"instances": ["war and peace " * 900] * 8}).encode()
    connections = [
        http.client.HTTPConnection(server.host, server.http_port, timeout=60) for _ in range(12)
    ]
    for connection in connections:
        connection.request("POST", "/v1/models/sotu_era:predict", body)
    statuses = []
    for connection in connections:
        with connection.getresponse() as response:
            statuses.append(response.status)
            if response.status == 503:
                assert response.headers["Retry-After"] == "1"
                assert "may. Send the request again later" in json.loads(response.read())["error"]
        connection.close()
    assert set(statuses) == {200, 503}


def test_who_hangs_up_does_no_harm(server, connection):
    body = json.dumps({"instances": ["war and peace " * 900] * 8}).encode()
    head = b"POST /v1/models/sotu_era:predict HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n"
    for sent in (head[:20], head % len(body), head % len(body) + body[:500]):
        with socket.create_connection((server.host, server.http_port)) as sock:
            sock.sendall(sent)
    for _ in range(8):
        with socket.create_connection((server.host, server.http_port)) as sock:
            sock.sendall(head % len(body) + body)
            time.sleep(0.02)
    start = time.monotonic()
    while predict(connection, {"instances": TEXTS[:1]})[0] == 503:
        assert time.monotonic() < start + 10  # what they asked for is not computed
        time.sleep(0.05)


def test_what_is_no_http(server):
    for sent in (b"\x16\x03\x01\x02\x00", b"GET / HTTP/1.1\r\nA: " + b"a" * 10 * MEGABYTE):
        with socket.create_connection((server.host, server.http_port), timeout=30) as sock:
            try:
                sock.sendall(sent)
                assert sock.recv(100).startswith(b"HTTP/1.1 400")
            except ConnectionError:
                pass  # it no longer listens to who sends headers without end


def test_health_and_metadata(connection, stub):
    for path in ("/", "/v1/models/sotu_era", "/v2", "/v2/health/live", "/v2/health/ready"):
        assert ask(connection, path)[0] == 200
    assert ask(connection, "/v2/models/sotu_era/ready")[1] == {"name": "sotu_era", "ready": True}
    assert ask(connection, "/v2/models/nix/ready")[0] == 404
    metadata = ask(connection, "/v2/models/sotu_era")[1]
    assert metadata["inputs"] == [{"name": "text", "datatype": "BYTES", "shape": [-1]}]
    assert metadata["outputs"][1]["shape"] == [-1, 10]
    assert stub.ServerLive(messages.ServerLiveRequest()).live
    assert stub.ServerReady(messages.ServerReadyRequest()).ready
    assert stub.ModelReady(messages.ModelReadyRequest(name="sotu_era")).ready
    over_grpc = stub.ModelMetadata(messages.ModelMetadataRequest(name="sotu_era"))
    names = ["label", "probabilities", "tokens", "truncated"]
    assert [x.name for x in over_grpc.outputs] == names


def test_it_listens_to_this_machine_only(server):
    with socket.socket() as sock:
        sock.settimeout(5)
        with pytest.raises(OSError):
            sock.connect((socket.gethostbyname(socket.gethostname()), server.http_port))
            if sock.getpeername()[0].startswith("127."):
                raise OSError("the machine's name is that of loopback")


def test_mistakes_of_clients_leave_no_traceback_in_the_log(server):
    assert "Traceback" not in server.log(), server.log()
