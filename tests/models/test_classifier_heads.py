"""Pooling by label and the bag of tokens: by their definitions, and wherever models go."""

import copy
import json
import zipfile

import keras
import numpy as np
import pytest

from keras_combiner import LongDocumentClassifier, tasks
from keras_combiner.batches.documents import Documents
from keras_combiner.export.document_windows import pooled_evidence, windows_of_ids
from keras_combiner.models import TokenEvidence, calibration
from keras_combiner.models.calibration import features_of
from tests.models.ten_texts import LABELS, SMALL, TEXTS

HEADS = [
    {"pooling": "label", "lexical": True},
    {"pooling": "label"},
    {"lexical": True},
]
BOTH = HEADS[0]
# Of unlike lengths, and one without any token.
IDS = np.array([[1, 80, 90, 2, 0, 0, 0], [1, 70, 71, 70, 73, 74, 2], [0] * 7], "int32")
TARGETS = {
    "single_label": ["a", "b", "c", "a", "b"] * 2,
    "multi_label": [["a"], ["b", "c"], [], ["c"], ["a"]] * 2,
    "regression": [1.0, 2.0, 3.0, 40.0, 5.0] * 2,
}


def make(task="single_label", **options):
    keras.utils.set_random_seed(0)
    model = LongDocumentClassifier.from_texts(
        TEXTS, TARGETS[task], task=task, **{**SMALL, **options}
    )
    for weight in model.trainable_weights:
        if weight.path.split("/")[-1] in ("kernel", "bias", "queries", "embeddings"):
            weight.assign(keras.random.normal(weight.shape, stddev=0.5))
    return model


def logits_by_definition(model, ids):
    """What the head makes of token states, in float64."""
    x = np.asarray(model.backbone(ids, training=False)).astype("float64")
    last = model.get_layer(model.task.output)
    kernel, logits = np.asarray(last.kernel).astype("float64"), []
    for states, row in zip(x, ids, strict=True):
        states, count = states[row != 0], max(1, (row != 0).sum())
        shares = np.full((len(states), kernel.shape[1]), 1 / count)
        if model.pooling == "label":
            shares = np.exp(states @ np.asarray(model.get_layer("pooling").queries))
            shares /= shares.sum(0)
        found = np.einsum("tc,tf,fc->c", shares, states, kernel) + np.asarray(last.bias)
        if model.lexical:
            table = np.asarray(model.get_layer("lexical").embeddings).astype("float64")
            found += table[row[row != 0]].sum(0) / np.sqrt(count)
        logits.append(found)
    return np.array(logits)


def activated(task, logits):
    return task.mean + task.scale * logits if task.name == "regression" else task.activated(logits)


@pytest.mark.parametrize(
    ("head", "task"),
    [*((x, "single_label") for x in HEADS), *((BOTH, x) for x in list(tasks.TASKS)[1:])],
)
def test_equals_the_definition_and_tokens_add_up(head, task):
    model = make(task, **head)
    outputs, weights = map(np.asarray, TokenEvidence(model)(IDS))
    np.testing.assert_allclose(outputs, model(IDS, training=False), atol=1e-6)
    expected = activated(model.task, logits_by_definition(model, IDS))
    np.testing.assert_allclose(outputs, expected, rtol=1e-5, atol=1e-5)
    padded = np.pad(IDS, [(0, 0), (0, 6)])
    np.testing.assert_allclose(model(padded, training=False), expected, rtol=1e-5, atol=1e-5)
    # A document without tokens has the bias alone.
    linear, winner = model.task.linear(outputs), outputs.argmax(-1)
    sums = (linear - linear[2])[np.arange(3), winner]
    np.testing.assert_allclose(weights.sum(-1), sums, rtol=1e-4, atol=1e-4)
    assert not weights[IDS == 0].any() and weights[IDS != 0].all()


def test_the_weight_of_a_token_by_hand():
    model = make(**BOTH)
    outputs, weights = map(np.asarray, TokenEvidence(model)(IDS))
    states = np.asarray(model.backbone(IDS, training=False))[1]
    shares = np.exp(states @ np.asarray(model.get_layer("pooling").queries))
    kernel = np.asarray(model.get_layer("probabilities").kernel)
    terms = (shares / shares.sum(0))[3] * (states[3] @ kernel)
    terms += np.asarray(model.get_layer("lexical").embeddings)[70] / np.sqrt(7)
    expected = (terms - terms.mean())[outputs[1].argmax()]
    np.testing.assert_allclose(weights[1, 3], expected, atol=1e-5)


def test_tokens_add_up_over_windows():
    model = make(long_texts="windows", **BOTH)
    texts = ["", "rain", "king " * 12, "rain and wind, " * 3 + "king " * 5]
    windows = windows_of_ids(model.tokenizer.encode(texts).to_tensor(), model)
    assert max(windows.counts) > 3
    outputs, weights = map(np.asarray, pooled_evidence(model, TokenEvidence(model), windows))
    np.testing.assert_allclose(outputs, model.predict(texts, verbose=0), atol=1e-5)
    linear, bias = (model.task.linear(np.asarray(x)) for x in (outputs, model(0 * IDS)))
    sums = (linear - bias[:1])[np.arange(4), outputs.argmax(-1)]
    np.testing.assert_allclose(weights.sum(-1), sums, atol=1e-4)


def test_without_the_transformer_it_is_a_bag_of_words():
    model = make(lexical=True)
    last = model.get_layer("probabilities")
    for weight in (last.kernel, last.bias):
        weight.assign(0 * weight)
    counts = np.stack([np.bincount(row[row > 0], minlength=264) for row in IDS])
    features = counts / np.sqrt(np.maximum(counts.sum(-1, keepdims=True), 1))
    table = np.asarray(model.get_layer("lexical").embeddings).astype("float64")
    expected = model.task.activated(features[:, : len(table)] @ table)
    np.testing.assert_allclose(model(IDS, training=False), expected, atol=1e-6)
    shuffled = IDS[:, [3, 1, 0, 2, 6, 5, 4]]
    np.testing.assert_allclose(model(shuffled, training=False), expected, atol=1e-6)


def test_new_ones_start_as_the_mean_does():
    """Zeros in the new weights leave the model what it was, so that only training changes it."""
    plain = make(lexical=False)
    for head in HEADS:
        model = LongDocumentClassifier.from_config({**plain.get_config(), **head})
        new = {"pooling/queries", "lexical/embeddings"}
        assert {x.path for x in model.weights} - {x.path for x in plain.weights} <= new
        source = {x.path: x for x in plain.weights}
        for weight in model.weights:
            if weight.path in new:
                assert not np.asarray(weight).any()
            else:
                weight.assign(source[weight.path])
        np.testing.assert_allclose(model(IDS), plain(IDS), atol=1e-6)


def test_random_weights_have_a_bag_of_tokens_unless_asked_not_to():
    model = make()
    assert model.lexical is True
    assert model.get_layer("logits").rate == 0.5
    for plain in (
        make(lexical=False),
        LongDocumentClassifier(model.backbone, model.tokenizer, model.labels),
    ):
        assert plain.lexical is False
        assert "lexical" not in [layer.name for layer in plain.layers]


def test_are_saved_copied_and_trained(eager, tmp_path):
    model = make(**BOTH)
    before = [np.array(x) for x in model.trainable_weights]
    model.fit(TEXTS, TARGETS["single_label"], class_weight="balanced", verbose=0)
    for weight, x in zip(model.trainable_weights, before, strict=True):
        assert np.any(np.asarray(weight) != x), weight.path
    model.save(tmp_path / "model.keras")
    loaded = LongDocumentClassifier.load(tmp_path / "model.keras")
    made = LongDocumentClassifier.from_config(model.get_config())
    made.set_weights(model.get_weights())
    for other in (loaded, made, copy.deepcopy(model)):
        assert (other.pooling, other.lexical) == ("label", True)
        assert json.dumps(other.get_config()) == json.dumps(model.get_config())
        np.testing.assert_allclose(other(IDS), model(IDS), atol=1e-6)


def test_files_of_earlier_versions_have_the_mean(tmp_path):
    model = make(lexical=False)
    model.save(tmp_path / "now.keras")
    with zipfile.ZipFile(tmp_path / "now.keras") as saved:
        content = {name: saved.read(name) for name in saved.namelist()}
    config = json.loads(content["config.json"])
    assert config["config"].pop("pooling") == "mean"
    assert config["config"].pop("lexical") is False
    content["config.json"] = json.dumps(config)
    with zipfile.ZipFile(tmp_path / "earlier.keras", "w") as saved:
        for name, data in content.items():
            saved.writestr(name, data)
    loaded = LongDocumentClassifier.load(tmp_path / "earlier.keras")
    assert (loaded.pooling, loaded.lexical) == ("mean", False)
    np.testing.assert_array_equal(loaded(IDS), model(IDS))


@pytest.mark.parametrize("head", [BOTH, pytest.param({"lexical": True}, marks=pytest.mark.slow)])
def test_calibration_scales_all_logits(eager, head):
    model = make(long_texts="windows", **head)
    texts = [x * 3 for x in TEXTS]  # of two windows each
    features, windows, _ = features_of(model, Documents(texts, TARGETS["single_label"]))
    assert windows.tolist() == [2] * 10
    logits = calibration.logits_of(model, features, windows)
    before = model.predict(texts, verbose=0)
    np.testing.assert_allclose(model.task.activated(logits), before, atol=1e-5)
    report = model.calibrate(texts, TARGETS["single_label"])
    assert abs(report.temperature - 1) > 0.05
    after = model.predict(texts, verbose=0)
    np.testing.assert_allclose(after, model.task.activated(logits / report.temperature), atol=1e-5)
    metrics = model.evaluate(texts, TARGETS["single_label"], verbose=0, return_dict=True)
    assert metrics["loss"] == pytest.approx(report.after["nll"], rel=1e-3)


@pytest.mark.filterwarnings("ignore:Layer .* does not have a `quantize` method:UserWarning")
@pytest.mark.parametrize("head", [BOTH, pytest.param({"lexical": True}, marks=pytest.mark.slow)])
def test_keras_quantizes_what_it_can(head, tmp_path):
    model = make(**head)
    expected = np.asarray(model(IDS))
    model.quantize("int8")
    np.testing.assert_allclose(model(IDS), expected, atol=0.05)
    outputs, weights = map(np.asarray, TokenEvidence(model)(IDS))
    linear = model.task.linear(outputs)
    sums = (linear - linear[2])[np.arange(3), outputs.argmax(-1)]
    np.testing.assert_allclose(weights.sum(-1), sums, atol=0.05)
    model.save(tmp_path / "model.keras")
    loaded = LongDocumentClassifier.load(tmp_path / "model.keras")
    np.testing.assert_allclose(loaded(IDS), model(IDS), atol=1e-6)


@pytest.mark.parametrize("dtype", ["mixed_bfloat16", "float64"])
def test_other_dtypes(dtype):
    model = make(dtype=dtype, **BOTH)
    assert model.output.dtype == ("float64" if dtype == "float64" else "float32")
    assert model.get_layer("lexical").compute_dtype == model.output.dtype
    expected = model.task.activated(logits_by_definition(model, IDS))
    atol = 1e-6 if dtype == "float64" else 0.02
    np.testing.assert_allclose(np.asarray(model(IDS)), expected, atol=atol)


def test_the_table_has_a_regularizer_of_its_own(tmp_path):
    model = make(lexical=keras.regularizers.L2(0.5))
    table = np.asarray(model.get_layer("lexical").embeddings)
    np.testing.assert_allclose(model.losses, [0.5 * (table**2).sum()], rtol=1e-5)
    model.save(tmp_path / "model.keras")
    loaded = LongDocumentClassifier.load(tmp_path / "model.keras")
    np.testing.assert_allclose(loaded.losses, model.losses)
    assert json.dumps(loaded.get_config()) == json.dumps(model.get_config())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"pooling": "max"}, "`pooling` must be one of 'mean', 'label'. Received: 'max'"),
        ({"lexical": "no"}, "`lexical` must be True, False, or a regularizer.* Received: 'no'"),
    ],
)
def test_refuses(options, words):
    with pytest.raises(ValueError, match=words):
        LongDocumentClassifier.from_texts(TEXTS, LABELS, **SMALL, **options)
    with pytest.raises(ValueError, match=words):
        LongDocumentClassifier.from_pretrained("nowhere", LABELS, **options)
