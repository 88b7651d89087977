"""What clients of TF Serving and KServe send, to stand-ins of which two versions are loaded."""

import base64
import gzip
import json
import struct
import zlib

import grpc
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kserve.protocol.grpc import grpc_predict_v2_pb2 as messages

from keras_combiner.scoring.saved_model_scorer import SavedModelScorer
from keras_combiner.serving import SavedModelPredictor
from tests.serving.in_process import running_service
from tests.serving.stand_in import MOST_BYTES, NOT_A_NUMBER

SCORES = "serving_scores"
LONG = "漢" * MOST_BYTES


@pytest.fixture(scope="module")
def service(model_directory):
    labels = {"stable": 1, "new": 3}
    with running_service(SavedModelPredictor(model_directory, version_labels=labels)) as service:
        yield service


@pytest.fixture(scope="module")
def scorer(model_directory):
    return SavedModelScorer(model_directory / "3")


def tensor(texts=("a",), **changes):
    given = {"name": "text", "datatype": "BYTES", "shape": [len(texts)], "data": list(texts)}
    return {**given, **changes}


def columns(outputs):
    """The columns of a V2 answer in JSON."""
    return {x["name"]: np.reshape(x["data"], x["shape"]).tolist() for x in outputs}


def rows(columns):
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def over_grpc(answer):
    found = {}
    for output, raw in zip(answer.outputs, answer.raw_output_contents, strict=True):
        if output.datatype == "BYTES":
            found[output.name] = []
            while raw:
                end = 4 + struct.unpack("<I", raw[:4])[0]
                found[output.name].append(raw[4:end].decode())
                raw = raw[end:]
        else:
            kind = {"FP32": np.float32, "INT32": np.int32, "BOOL": bool}[output.datatype]
            found[output.name] = np.frombuffer(raw, kind).reshape(output.shape).tolist()
    return rows(found)


@given(st.lists(st.text(max_size=12) | st.just(LONG), min_size=1, max_size=4), st.data())
def test_a_text_has_one_answer_by_every_road(service, scorer, texts, data):
    contents = [x.encode() for x in texts]
    expected = scorer.score(texts)
    for text, content, row in zip(texts, contents, expected, strict=True):
        assert row["tokens"] == min(len(content), MOST_BYTES) + 1
        assert row["truncated"] is (len(content) > MOST_BYTES)
        assert scorer.score([text]) == [row]
        assert service.predict({"instances": [text]}) == (200, {"predictions": [row]})
    b64 = [{"b64": base64.b64encode(x).decode()} for x in contents]
    forms = [texts, [{"text": x} for x in texts], b64, [{"text": x} for x in b64]]
    for form in forms:
        assert service.predict({"instances": form}) == (200, {"predictions": expected})
    outputs = {name: [row[name] for row in expected] for name in expected[0]}
    for inputs in (texts, b64, {"text": texts}, {"text": b64}):
        assert service.predict({"inputs": inputs}) == (200, {"outputs": outputs})
    compress, coding = data.draw(
        st.sampled_from([(gzip.compress, "gzip"), (zlib.compress, "deflate")])
    )
    body = compress(json.dumps({"instances": texts}).encode())
    assert service.predict(body, content_encoding=coding) == (200, {"predictions": expected})

    status, answer = service.infer({"inputs": [tensor(texts)]})
    assert status == 200 and rows(columns(answer["outputs"])) == expected
    packed = b"".join(struct.pack("<I", len(x)) + x for x in contents)
    head = {"inputs": [tensor(texts, parameters={"binary_data_size": len(packed)})]}
    del head["inputs"][0]["data"]
    head = json.dumps(head).encode()
    status, answer = service.infer(
        compress(head + packed),
        content_encoding=coding,
        inference_header_content_length=str(len(head)),
    )
    assert status == 200 and rows(columns(answer["outputs"])) == expected
    assert over_grpc(service.infer_grpc(contents)) == expected


def test_counts_have_their_datatypes(service):
    datatypes = {"label": "BYTES", "probabilities": "FP32", "tokens": "INT32", "truncated": "BOOL"}
    _, answer = service.infer({"inputs": [tensor()]})
    assert {x["name"]: x["datatype"] for x in answer["outputs"]} == datatypes
    assert {x.name: x.datatype for x in service.infer_grpc([b"a"]).outputs} == datatypes
    _, metadata = service.ask("/v2/models/my_model")
    assert {x["name"]: x["datatype"] for x in metadata["outputs"]} == datatypes


def test_scores_in_columns_end_with_their_text(service):
    body = {"signature_name": SCORES, "inputs": ["abc", "a"]}
    _, answer = service.predict(body)
    assert answer["outputs"]["token_ids"] == [[1, 100, 101, 102], [1, 100]]
    assert answer["outputs"]["tokens"] == [4, 2]
    _, alone = service.predict({**body, "inputs": {"text": ["a"]}})
    assert alone["outputs"]["token_ids"] == [[1, 100]]


def test_no_texts_in_columns(service):
    empty = {"label": [], "probabilities": [], "tokens": [], "truncated": []}
    for inputs in ([], {"text": []}):
        assert service.predict({"inputs": inputs}) == (200, {"outputs": empty})


def test_versions_and_labels(service):
    def labels(where):
        status, answer = service.predict({"instances": ["a"]}, where)
        return answer["predictions"][0]["label"] if status == 200 else (status, answer["error"])

    assert labels("") == labels("/versions/3") == labels("/labels/new") == "first short"
    assert labels("/versions/1") == labels("/labels/stable") == "oldest short"
    on_disk = "Version 2 of my_model is on disk and not loaded. Loaded are the newest"
    assert labels("/versions/2")[0] == 404 and labels("/versions/2")[1].startswith(on_disk)
    missing = "Expected a version of my_model that is loaded: 1, 3. Received: 7."
    assert labels("/versions/7") == (404, missing)
    assert labels("/versions/" + "9" * 5000)[0] == 404
    status, words = labels("/labels/nix")
    assert status == 404 and "Received: 'nix'. There are: stable, new." in words

    for version, name in (("1", "oldest short"), ("3", "first short"), ("", "first short")):
        answer = service.infer_grpc([b"a"], model_version=version)
        assert over_grpc(answer)[0]["label"] == name
        assert answer.model_version == (version or "3")
        where = f"/versions/{version}" if version else ""
        status, answer = service.infer({"inputs": [tensor()]}, where)
        assert columns(answer["outputs"])["label"] == [name]
        assert answer["model_version"] == (version or "3")
        assert service.ask(f"/v2/models/my_model{where}/ready")[0] == 200
    assert service.infer({"inputs": [tensor()]}, "/versions/2")[1]["error"].startswith(on_disk)
    for path in ("", "/ready"):
        assert service.ask(f"/v2/models/my_model/versions/7{path}") == (404, {"error": missing})
    _, metadata = service.ask("/v2/models/my_model/versions/1")
    assert metadata["versions"] == ["1", "3"]
    assert [x["name"] for x in metadata["outputs"]] == ["label", "probabilities"]
    for ask, request in (
        (service.stub.ModelReady, messages.ModelReadyRequest(name="my_model", version="7")),
        (service.stub.ModelMetadata, messages.ModelMetadataRequest(name="my_model", version="7")),
    ):
        with pytest.raises(grpc.RpcError) as raised:
            ask(request, timeout=60)
        assert raised.value.code().name == "NOT_FOUND" and raised.value.details() == missing


def test_without_labels_the_option_is_named(model_directory):
    predictor = SavedModelPredictor(model_directory)
    with pytest.raises(Exception, match="There are: none: --version-label LABEL=N names a version"):
        predictor.find(label="stable")


def test_status_and_metadata_are_those_of_tf_serving(service):
    status, answer = service.ask("/v1/models/my_model")
    assert status == 200 and answer["ready"] is True
    ok = {"error_code": "OK", "error_message": ""}
    versions = [{"version": x, "state": "AVAILABLE", "status": ok} for x in ("1", "3")]
    assert answer["model_version_status"] == versions
    for where in ("/versions/1", "/labels/stable"):
        answer = service.ask(f"/v1/models/my_model{where}")
        assert answer == (200, {"model_version_status": versions[:1]})
    assert service.ask("/v1/models/my_model/versions/2")[0] == 404

    status, answer = service.ask("/v1/models/my_model/metadata")
    spec = {"name": "my_model", "signature_name": "", "version": "3"}
    assert status == 200 and answer["model_spec"] == spec
    signatures = answer["metadata"]["signature_def"]["signature_def"]
    assert set(signatures) == {"serving_default", SCORES}
    text = signatures["serving_default"]["inputs"]["text"]
    assert text["dtype"] == "DT_STRING"
    shape = {"dim": [{"size": "-1", "name": ""}], "unknown_rank": False}
    assert text["tensor_shape"] == shape
    assert signatures["serving_default"]["outputs"]["truncated"]["dtype"] == "DT_BOOL"
    assert signatures["serving_default"]["method_name"] == "tensorflow/serving/predict"
    _, answer = service.ask("/v1/models/my_model/versions/1/metadata")
    assert answer["model_spec"]["version"] == "1"


@pytest.mark.parametrize(
    ("method", "path", "status", "words"),
    [
        ("GET", "/v1/models/nix", 404, "nix does not exist"),
        ("GET", "/v1/models/nix/metadata", 404, "nix does not exist"),
        ("GET", "/v1/models/my_model/version/3", 404, "such as /v1/models/my_model:predict"),
        ("GET", "/v1/models/my_model/versions/three", 404, "Expected another path"),
        ("POST", "/v1/models/my_model/versions/3/labels/new:predict", 404, "Expected another"),
        ("POST", "/v1/models/my_model:guess", 404, "POST /v1/models/my_model:guess."),
        ("POST", "/v1/models/my_model:classify", 501, "Received: :classify"),
        ("POST", "/v1/models/my_model:explain", 501, "serving_scores"),
        ("POST", "/v1/models/", 404, "Expected another path"),
        ("GET", "/nix", 404, "Received: GET /nix."),
        ("GET", "/v1/models/my_model:predict", 405, "Expected the method POST. Received: GET"),
        ("PUT", "/v1/models/my_model:predict", 405, "Expected the method POST"),
        ("POST", "/v1/models/my_model", 405, "Expected the method GET"),
        ("POST", "/v1/models/my_model/metadata", 405, "Expected the method GET"),
        ("GET", "/v2/models/my_model/infer", 405, "Expected the method POST"),
        ("POST", "/v2/models/my_model", 405, "Expected the method GET"),
    ],
)
def test_a_path_that_does_not_exist_says_so(service, method, path, status, words):
    response = service.send(path, b"{}" if method == "POST" else None, method)
    assert response.status_code == status
    assert words in response.json()["error"]
    assert status != 405 or response.headers["allow"] in ("GET", "POST")


TEXTS = {"text": ["a"]}
WRONG_V1 = [
    (b'{"instances": ["a"], "instances": ["b"]}', "Received twice: 'instances'"),
    (b'{"instances": [{"text": "a", "text": "b"}]}', "Received twice: 'text'"),
    (b'{"instances": [NaN]}', "not JSON"),
    (b'{"instances": ["\\ud800"]}', "surrogate"),
    ({"instances": ["a"], "inputs": ["a"]}, "Received: both"),
    ({"instances": None}, "Received: null as `instances`"),
    ({"instances": [None]}, "at position 0: null"),
    ({"instances": ["a", {"text": 3}]}, "at position 1: an object with the fields 'text'"),
    ({"instances": [{"text": "a", "id": 1}]}, "the fields 'text', 'id'"),
    ({"inputs": "a"}, r"""Received: a string ('a') as `inputs`"""),
    ({"inputs": {"b64": "YQ=="}}, "as `inputs`"),
    ({"inputs": {}}, "Received: an empty object"),
    ({"inputs": {"txt": ["a"]}}, "Expected the input `text` only"),
    ({"inputs": {**TEXTS, "mask": [1]}}, "Received: an object with the fields 'text', 'mask'"),
    ({"inputs": {"text": "a"}}, "Received: a string ('a') as `inputs`"),
    ({"inputs": [["a"]]}, "each text of `inputs` to be a text as"),
    ({"inputs": [{"text": "a"}]}, "at position 0: an object with the fields 'text'"),
    ({"inputs": ["a", 3]}, "at position 1: a number (3)"),
    ({"inputs": [{"b64": "%"}]}, "Expected base64"),
    ({"inputs": TEXTS, "signature_name": "nix"}, "to be one of serving_default, serving_scores"),
    ({"inputs": TEXTS, "output": 1}, "the fields instances, inputs, signature_name only"),
]


@pytest.mark.parametrize(("body", "words"), WRONG_V1)
def test_what_is_no_v1_request(service, body, words):
    status, answer = service.predict(body)
    assert status == 400 and words in answer["error"]


WRONG_V2 = [
    (b'{"inputs": [], "inputs": []}', "Received twice: 'inputs'"),
    (b'{"id": "\\ud800", "inputs": []}', "surrogate"),
    (b'{"inputs": [{"name": "text", "name": "text"}]}', "Received twice: 'name'"),
    ({"inputs": [tensor()], "output": []}, "Received: an object with the fields 'output'"),
    ({"inputs": [tensor(dtype="a")]}, "Expected in `inputs` the fields name, shape"),
    ({"inputs": [tensor()], "outputs": [{"name": "label", "kind": 1}]}, "Expected in `outputs`"),
    ({"inputs": [tensor()], "outputs": [{"name": "label"}] * 2}, "Expected every output once"),
    ({"inputs": [tensor()], "model_name": "nix"}, "Expected the model of the address, my_model"),
    ({"inputs": [tensor()], "parameters": {"signature": SCORES}}, "Received: 'signature'"),
    ({"inputs": [tensor()], "parameters": {"binary_data_output": "no"}}, "true or false"),
    ({"inputs": [tensor()], "parameters": {"signature_name": "nix"}}, "to be one of"),
    ({"inputs": [tensor(parameters={"headers": "a"})]}, "parameters of an input"),
    ({"inputs": [tensor()], "outputs": [{"name": "label", "parameters": {"classification": 3}}]},
     "parameters of an output"),
    ({"inputs": [tensor(shape=["1"])]}, "Expected integers as `shape`"),
    ({"inputs": [tensor(shape=[True])]}, "Expected integers as `shape`"),
    ({"inputs": [tensor(parameters={"binary_data_size": 5})]}, "Received both for a string"),
    ({"inputs": [tensor([None])]}, "at position 0: null"),
]  # fmt: skip


@pytest.mark.parametrize(("body", "words"), WRONG_V2)
def test_what_is_no_v2_request(service, body, words):
    status, answer = service.infer(body)
    assert status == 400 and words in answer["error"]


def test_cloud_events_are_read_as_strictly(service):
    event = {"specversion": "1.0", "id": "1", "source": "a", "type": "b"}
    event["time"] = "2020-01-01T00:00:00Z"
    expected = service.predict({"inputs": ["a"]})[1]
    status, answer = service.predict({**event, "data": {"inputs": ["a"]}})
    assert status == 200 and answer == expected
    headers = {f"ce_{name}": value for name, value in event.items()}
    status, answer = service.predict({"inputs": ["a"]}, **headers)
    assert status == 200 and answer == expected
    status, answer = service.predict(b'{"inputs": ["a"], "inputs": ["b"]}', **headers)
    assert status == 400 and "Received twice: 'inputs'" in answer["error"]


WORDS = st.sampled_from(
    [
        "a",
        "YQ==",
        "text",
        "b64",
        "name",
        "datatype",
        "BYTES",
        "shape",
        "data",
        "parameters",
        "id",
        "signature_name",
        SCORES,
        "label",
        "binary_data_size",
        "binary_data",
        "model_name",
    ]
)
PARTS = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 3) | st.floats(allow_nan=False) | WORDS,
    lambda x: st.lists(x, max_size=3) | st.dictionaries(WORDS, x, max_size=5),
    max_leaves=12,
)
NAMES = st.sampled_from(["instances", "inputs", "outputs", "parameters", "signature_name", "id"])


@given(st.dictionaries(NAMES, PARTS | st.lists(st.just(tensor()) | PARTS, max_size=2), max_size=3))
@settings(max_examples=150, deadline=None)
def test_whatever_comes_has_an_answer_or_a_reason(service, fields):
    for ask in (service.predict, service.infer):
        status, answer = ask(fields)
        assert status in (200, 400), answer
        assert status == 200 or answer["error"].startswith("Expected")
    status, answer = service.predict(fields)
    if status == 200:
        texts = fields.get("instances", fields.get("inputs"))
        count = len(texts["text"] if isinstance(texts, dict) else texts)
        found = answer.get("predictions") or answer.get("outputs", {"label": []})["label"]
        assert len(found) == count


def test_bytes_behind_the_json_are_all_read(service):
    head = json.dumps({"inputs": [tensor()]}).encode()
    status, answer = service.infer(head + b"abc", inference_header_content_length=str(len(head)))
    assert status == 400 and "Received 3 more" in answer["error"]
    status, answer = service.infer(head, inference_header_content_length=str(len(head) + 1))
    assert status == 400 and f"Received {len(head)} bytes" in answer["error"]
    for length in ("x", "-1", "9" * 5000):
        status, answer = service.infer(head, inference_header_content_length=length)
        assert status == 400 and "Expected a number as" in answer["error"]


def test_an_answer_that_is_not_a_number_is_an_error_by_every_road(service, scorer):
    words = "`probabilities` of the text at position 1 is not a finite number"
    texts = ["a", NOT_A_NUMBER]
    for status, answer in (
        service.predict({"instances": texts}),
        service.predict({"inputs": texts}),
        service.infer({"inputs": [tensor(texts)]}),
    ):
        assert status == 500 and words in answer["error"]
    with pytest.raises(grpc.RpcError) as raised:
        service.infer_grpc([x.encode() for x in texts])
    assert raised.value.code().name == "INTERNAL" and words in raised.value.details()
    with pytest.raises(ValueError, match="Expected finite numbers as the model's `probabilities`"):
        scorer.score(texts)


def test_what_kserves_and_tritons_clients_send_is_taken(service):
    body = {
        "id": "7",
        "model_name": "my_model",
        "inputs": [tensor()],
        "outputs": [{"name": "tokens", "parameters": {"binary_data": False}}],
        "parameters": {"binary_data_output": False, "signature_name": SCORES},
    }
    status, answer = service.infer(body)
    assert status == 200 and answer["id"] == "7" and columns(answer["outputs"]) == {"tokens": [2]}
    response = service.send(
        "/v2/models/my_model/infer",
        {"inputs": [tensor()], "parameters": {"binary_data_output": True}},
    )
    length = int(response.headers["inference-header-content-length"])
    outputs = json.loads(response.content[:length])["outputs"]
    sizes = [x["parameters"]["binary_data_size"] for x in outputs]
    assert len(sizes) == 4 and sum(sizes) == len(response.content) - length


def test_refusals_over_grpc(service):
    def refused(change):
        request = messages.ModelInferRequest(model_name="my_model")
        contents = request.inputs.add(name="text", datatype="BYTES", shape=[1]).contents
        contents.bytes_contents.append(b"a")
        change(request)
        with pytest.raises(grpc.RpcError) as raised:
            service.stub.ModelInfer(request, timeout=60)
        return raised.value.code().name, raised.value.details()

    code, words = refused(lambda x: x.parameters["nix"].MergeFrom(messages.InferParameter()))
    assert code == "INVALID_ARGUMENT" and "'nix'" in words
    code, words = refused(lambda x: setattr(x.parameters["signature_name"], "int64_param", 3))
    assert code == "INVALID_ARGUMENT" and "Expected a string as the parameter" in words
    code, words = refused(lambda x: x.inputs[0].contents.int_contents.append(3))
    assert code == "INVALID_ARGUMENT" and "Received: `int_contents`" in words
    code, words = refused(lambda x: setattr(x, "model_version", "2"))
    assert code == "NOT_FOUND" and "on disk and not loaded" in words


def test_a_bomb_over_grpc(service):
    request = messages.ModelInferRequest(model_name="my_model")
    tensor = request.inputs.add(name="text", datatype="BYTES", shape=[1])
    tensor.contents.bytes_contents.append(bytes(20_000_000))
    with pytest.raises(grpc.RpcError) as raised:
        service.stub.ModelInfer(request, timeout=60, compression=grpc.Compression.Gzip)
    assert raised.value.code().name == "RESOURCE_EXHAUSTED"
