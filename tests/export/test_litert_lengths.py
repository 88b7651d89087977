"""Files of several lengths: signatures over one set of weights."""

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter

from keras_combiner.export import export_litert, run_litert
from keras_combiner.export.quantization import CALIBRATED
from tests.export.litert_graph import Graph

pytestmark = pytest.mark.slow

LENGTHS = (16, 40, 24)
TOLERANCES = {"float32": 1e-4, "dynamic_int8": 0.05, "int8": 0.1, "int4": 0.5}


@pytest.fixture(scope="module", params=TOLERANCES)
def files(request, classifier, documents, litert_file, tmp_path_factory):
    """Quantization, and the paths of two files: of one length, and of several."""
    folder = tmp_path_factory.mktemp(request.param)
    options = {"quantization": request.param, "documents": documents}
    if request.param in CALIBRATED:
        options["calibration_data"] = documents
    report = export_litert(classifier, folder / "all.tflite", sequence_lengths=LENGTHS, **options)
    assert report.documents == len(LENGTHS) * len(documents)
    assert report.largest_difference < TOLERANCES[request.param]
    return request.param, litert_file(request.param)[0], folder / "all.tflite"


def test_signatures(files):
    interpreter = Interpreter(model_path=str(files[2]))
    lengths = {
        name: interpreter.get_signature_runner(name).get_input_details()["token_ids"]["shape"][1]
        for name in interpreter.get_signature_list()
    }
    assert lengths == {
        "serving_default": 40,
        "serving_40": 40,
        "serving_24": 24,
        "serving_16": 16,
    }
    # What a runtime without signatures runs.
    assert interpreter.get_input_details()[0]["shape"].tolist() == [1, 40]


def test_every_length_gives_the_models_probabilities(files, classifier, documents):
    quantization, one, several = files
    for length in LENGTHS:
        token_ids = classifier.tokenizer(documents, length).numpy()
        received, seconds = run_litert(several, token_ids)
        assert seconds.shape == (len(documents),)
        expected = classifier.predict(token_ids, verbose=0)
        np.testing.assert_allclose(received, expected, atol=TOLERANCES[quantization])
    token_ids = classifier.tokenizer(documents, 40).numpy()
    alone, _ = run_litert(one, token_ids)
    together, _ = run_litert(several, token_ids)
    np.testing.assert_allclose(together, alone, atol=1e-5)


def test_weights_are_there_once(files):
    _, one, several = files
    # Besides: the numbers of the rows, shapes, and masks of blocks.
    assert Graph(several).constants < 1.1 * Graph(one).constants + 4 * sum(LENGTHS)


def test_other_lengths_are_refused(files):
    with pytest.raises(ValueError, match=r"of (\d+ or )+\d+ token ids.*Received: 17"):
        run_litert(files[2], np.ones((1, 17), "int32"))


def test_one_length_may_be_shorter_than_the_models(byte_classifier, tmp_path):
    path = tmp_path / "model.tflite"
    report = export_litert(byte_classifier, path, sequence_lengths=[20], documents=["a king"])
    assert report.largest_difference < 1e-4
    assert list(Interpreter(model_path=str(path)).get_signature_list()) == ["serving_default"]


@pytest.fixture
def model_of_one_length(make_classifier):
    options = {"num_layers": 1, "factorization": "logsparse", "static_length": True}
    return make_classifier("bytes", **options)


def test_other_lengths_of_a_model_of_one_are_refused(model_of_one_length, tmp_path):
    path = tmp_path / "model.tflite"
    with pytest.raises(ValueError, match=r"one length only, 40 tokens \(static_length=True\)"):
        export_litert(model_of_one_length, path, sequence_lengths=[20, 40])
    assert not list(tmp_path.iterdir())


def test_a_model_of_one_length_has_one(model_of_one_length, tmp_path):
    path = tmp_path / "model.tflite"
    report = export_litert(model_of_one_length, path, sequence_lengths=[40], documents=["a king"])
    assert report.largest_difference < 1e-4
