import asyncio
import base64
import json

import numpy as np
import pytest
import tensorflow as tf

from keras_combiner.serving import SavedModelPredictor
from keras_combiner.serving.errors import InvalidInput, NotOffered
from keras_combiner.serving.v2_body import read_v2_body
from tests.serving.stand_in import MOST_BYTES, write_stand_in

TEXTS = ["", "a", "a king, a wind", "näher 漢字", "x" * 3000]
SCORES = "serving_scores"


@pytest.fixture(scope="module")
def predictor(model_directory):
    predictor = SavedModelPredictor(model_directory, max_batch_size=2)
    predictor.load()
    yield predictor
    predictor.stop()


def ask(predictor, payload):
    return asyncio.run(predictor.predict(payload))


def v2_request(texts, shape=None, **fields):
    tensor = {"name": "text", "datatype": "BYTES", "shape": shape or [len(texts)], "data": texts}
    body = json.dumps({"inputs": [tensor], **fields}).encode()
    return read_v2_body(body, len(body), "my_model")


def test_v1_equals_the_saved_model(predictor, signatures):
    instances = [TEXTS[0], {"text": TEXTS[1]}, *TEXTS[2:]]
    predictions = ask(predictor, {"instances": instances})["predictions"]
    expected = signatures("serving_default", [x.encode() for x in TEXTS])
    assert [x["label"].encode() for x in predictions] == expected["label"].tolist()
    np.testing.assert_array_equal(
        [x["probabilities"] for x in predictions], expected["probabilities"]
    )


def test_v1_scores_end_with_their_text(predictor, signatures):
    payload = {"instances": TEXTS, "signature_name": SCORES}
    predictions = ask(predictor, payload)["predictions"]
    expected = signatures(SCORES, [x.encode() for x in TEXTS])
    for row, (text, prediction) in enumerate(zip(TEXTS, predictions, strict=True)):
        length = min(len(text.encode()), MOST_BYTES) + 1
        for name in ("token_ids", "token_weights"):
            assert prediction[name] == expected[name][row, :length].tolist()
            assert not expected[name][row, length:].any()


@pytest.mark.parametrize("signature", ["serving_default", SCORES])
@pytest.mark.parametrize("texts", [TEXTS, TEXTS[:1], []])
def test_v2_equals_the_saved_model(predictor, signatures, signature, texts):
    payload = v2_request(texts, id="7", parameters={"signature_name": signature})
    answer = ask(predictor, payload)
    expected = signatures(signature, [x.encode() for x in texts])
    assert answer.id == "7" and answer.model_version == "3"
    assert {x.name for x in answer.outputs} == set(expected)
    for output in answer.outputs:
        value = expected[output.name]
        if not texts and value.ndim == 2 and output.name.startswith("token_"):
            value = value[:, :0]  # the longest of none has no token
        assert output.shape == list(value.shape)
        np.testing.assert_array_equal(output.data, value)
        kinds = {"f": "FP32", "i": "INT32", "O": "BYTES", "b": "BOOL"}
        assert output.datatype == kinds[value.dtype.kind]


def test_v2_of_shape_batch_1_and_chosen_outputs(predictor):
    payload = v2_request([["a"], ["b"]], [2, 1], outputs=[{"name": "label"}])
    (output,) = ask(predictor, payload).outputs
    assert output.name == "label" and output.shape == [2]


def test_bytes_that_are_no_utf_8(predictor, signatures):
    texts = [b"war \xff\xfe peace", b"\xc3", b"\x00\x00"]
    expected = signatures("serving_default", texts)["probabilities"]
    instances = [{"b64": base64.b64encode(x).decode()} for x in texts]
    instances[0] = {"text": instances[0]}
    predictions = ask(predictor, {"instances": instances})["predictions"]
    np.testing.assert_array_equal([x["probabilities"] for x in predictions], expected)

    binary = b"".join(len(x).to_bytes(4, "little") + x for x in texts)
    parameters = {"binary_data_size": len(binary)}
    head = json.dumps({"inputs": [tensor("data", shape=[3], parameters=parameters)]}).encode()
    answer = ask(predictor, read_v2_body(head + binary, len(head), "my_model"))
    np.testing.assert_array_equal(answer.get_output_by_name("probabilities").data, expected)


WRONG_V1 = [
    (None, "Received: null"),
    ([], "Received: a list of 0"),
    (b"text", r"Received: a string \(b'text'\)"),
    ({}, "Received: an empty object"),
    ({"instances": "a"}, r"Received: a string \('a'\) as `instances`"),
    ({"instances": ["a", 3]}, r"at position 1: a number \(3\)"),
    ({"instances": [True]}, r"at position 0: a boolean \(true\)"),
    ({"instances": [["a"]]}, "at position 0: a list of 1"),
    ({"instances": [{"txt": "a"}]}, "an object with the fields 'txt'"),
    ({"instances": [{"b64": "%"}]}, "Expected base64"),
    ({"instances": ["\ud800"]}, "lone surrogate"),
    ({"instances": [], "signature": "a"}, "Received: an object with the fields 'signature'"),
    ({"instances": [], "signature_name": 3}, "Expected a string as `signature_name`"),
    ({"instances": [], "signature_name": "serving_token_ids"}, "serving_default, serving_scores"),
    ({"instances": ["a"] * 257}, "at most 256 texts in a request. Received: 257"),
]


@pytest.mark.parametrize(("payload", "words"), WRONG_V1)
def test_what_is_no_v1_request(predictor, payload, words):
    with pytest.raises(InvalidInput, match=words):
        ask(predictor, payload)


def tensor(*without, **changes):
    """The input of a good V2 request for one text, but for this."""
    good = {"name": "text", "datatype": "BYTES", "shape": [1], "data": ["a"], **changes}
    return {key: value for key, value in good.items() if key not in without}


WRONG_V2 = [
    (b"{", "Received what is not JSON"),
    (b"\xff", "Received what is not JSON"),
    ([], "Received: a list of 0"),
    ({}, "inputs: Field required"),
    ({"inputs": 3}, "inputs: Input should be a valid list"),
    ({"inputs": []}, "Received: none"),
    ({"inputs": ["a"]}, "inputs.0"),
    ({"inputs": [tensor(), tensor()]}, "Expected one input"),
    ({"inputs": [tensor("shape")]}, "inputs.0.shape: Field required"),
    ({"inputs": [tensor("data")]}, "inputs.0.data: Field required"),
    ({"inputs": [tensor()], "id": 3}, "id: Input should be a valid string"),
    ({"inputs": [tensor(data=[1])]}, r"at position 0: a number \(1\)"),
    ({"inputs": [tensor(data=["a", "b"])]}, "Expected 1 texts"),
    ({"inputs": [tensor(data=[["a", "b"]])]}, "Expected 1 texts"),
    ({"inputs": [tensor(shape=[1, 2])]}, "the shape"),
    ({"inputs": [tensor(shape=[-1])]}, "the shape"),
    ({"inputs": [tensor(shape=[])]}, "the shape"),
    ({"inputs": [tensor(datatype="FP32")]}, "'text' of datatype FP32"),
    ({"inputs": [tensor(name="txt")]}, "'txt' of datatype"),
    ({"inputs": [tensor()], "outputs": [{"name": "x"}]}, "outputs among"),
    ({"inputs": [tensor()], "parameters": []}, "parameters: Input"),
    ({"inputs": [{}] * 17}, "at most 16 parts in `inputs`"),
    ({"inputs": [{"shape": [1] * 17}]}, "at most 16 parts in `shape`"),
    (
        {"inputs": [tensor("data", parameters={"binary_data_size": 9})]},
        r"a number \(9\), and 0 bytes",
    ),
]


@pytest.mark.parametrize(("body", "words"), WRONG_V2)
def test_what_is_no_v2_request(predictor, body, words):
    if not isinstance(body, bytes):
        body = json.dumps(body).encode()
    with pytest.raises(InvalidInput, match=words):
        ask(predictor, read_v2_body(body, len(body), "my_model"))


def test_binary_texts_that_end_early():
    head = json.dumps({"inputs": [tensor("data", parameters={"binary_data_size": 6})]}).encode()
    with pytest.raises(InvalidInput, match="6 bytes that end within one"):
        read_v2_body(head + b"\x09\x00\x00\x00ab", len(head), "my_model")


def test_metadata(predictor):
    assert predictor.get_input_types() == [{"name": "text", "datatype": "BYTES", "shape": [-1]}]
    assert predictor.get_output_types() == [
        {"name": "label", "datatype": "BYTES", "shape": [-1]},
        {"name": "probabilities", "datatype": "FP32", "shape": [-1, 2]},
        {"name": "tokens", "datatype": "INT32", "shape": [-1]},
        {"name": "truncated", "datatype": "BOOL", "shape": [-1]},
    ]


def test_explain_says_where_explanations_are(predictor):
    with pytest.raises(NotOffered, match="serving_scores"):
        asyncio.run(predictor.explain({}))


def test_a_request_is_finished_by_the_version_that_it_began_with(tmp_path):
    write_stand_in(tmp_path / "m" / "1", "old", rounds=300)
    predictor = SavedModelPredictor(tmp_path / "m", max_batch_size=1, threads=1)
    predictor.load()
    write_stand_in(tmp_path / "m" / "2", "new", scores=False)

    async def ask_while_it_changes():
        waiting = asyncio.create_task(predictor.predict({"instances": ["a"] * 3}))
        await asyncio.sleep(0)
        predictor.versions.refresh()
        assert predictor.versions.refresh()
        return await waiting, await predictor.predict({"instances": ["a"]})

    before, after = asyncio.run(ask_while_it_changes())
    predictor.stop()
    assert [x["label"] for x in before["predictions"]] == ["old short"] * 3
    assert after["predictions"][0]["label"] == "new short"
    with pytest.raises(InvalidInput, match="one of serving_default, which version 2 has"):
        ask(predictor, {"instances": [], "signature_name": SCORES})


def test_a_saved_model_that_takes_no_text_is_refused(tmp_path):
    module = tf.Module()
    module.f = tf.function(lambda x: {"y": x}, input_signature=[tf.TensorSpec([None], name="x")])
    tf.saved_model.save(module, str(tmp_path / "m" / "1"), signatures=module.f)
    with pytest.raises(FileNotFoundError, match="can be loaded"):
        SavedModelPredictor(tmp_path / "m").load()


def test_names(tmp_path):
    assert SavedModelPredictor("a/b/1").name == "b"
    assert SavedModelPredictor("a/b", "c").name == "c"
    with pytest.raises(ValueError, match="takes letters, digits"):
        SavedModelPredictor("a/my model")
