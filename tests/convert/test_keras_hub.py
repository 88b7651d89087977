"""KerasHub's own classes, small and with random weights, are what converted ones are judged by."""

import warnings

import keras
import numpy as np
import pytest

from keras_combiner import CombinerBackbone
from keras_combiner.convert import use_combiner
from keras_combiner.text import BertTokenizer

SMALL = {
    "vocabulary_size": 30,
    "num_layers": 2,
    "num_heads": 2,
    "hidden_dim": 8,
    "intermediate_dim": 12,
    "max_sequence_length": 40,
}
BACKBONES = ("BertBackbone", "RobertaBackbone", "DistilBertBackbone", "XLMRobertaBackbone")


@pytest.fixture(scope="module")
def keras_hub():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what it imports is not ours
        return pytest.importorskip("keras_hub", reason="needs KerasHub: pip install keras-hub")


def randomized(model):
    generator = np.random.default_rng(0)
    for weight in model.weights:
        weight.assign(generator.normal(size=weight.shape) * 0.5)
    return model


def states(model, token_ids, pad_token_id=0):
    valid = token_ids != 0
    inputs = {
        "token_ids": np.where(valid, token_ids, pad_token_id),
        "padding_mask": valid.astype("int32"),
        "segment_ids": np.zeros_like(token_ids),
    }
    names = {x.name for x in model.inputs}
    outputs = model({name: x for name, x in inputs.items() if name in names})
    return np.array(outputs["sequence_output"] if isinstance(outputs, dict) else outputs)


@pytest.mark.parametrize("name", BACKBONES)
def test_hidden_states_are_those_of_the_backbone(name, keras_hub, token_ids, tmp_path):
    source = randomized(getattr(keras_hub.models, name)(**SMALL))
    backbone, tokenizer = use_combiner(source, block_size=21, sequence_length=100)
    assert tokenizer is None
    assert type(backbone) is CombinerBackbone
    expected = states(source, token_ids, pad_token_id=1 if "Roberta" in name else 0)
    outputs = np.array(backbone(token_ids))
    valid = token_ids != 0
    np.testing.assert_allclose(outputs[valid], expected[valid], atol=1e-4)
    backbone.save(tmp_path / "backbone.keras")
    loaded = keras.saving.load_model(tmp_path / "backbone.keras")
    np.testing.assert_allclose(loaded(token_ids), outputs, atol=1e-6)
    assert backbone(np.ones((1, 100))).shape == (1, 100, 8)


def test_what_lora_adds_is_kept(keras_hub, token_ids):
    source = randomized(keras_hub.models.BertBackbone(**SMALL))
    plain = states(source, token_ids)
    source.enable_lora(2)
    expected = states(randomized(source), token_ids)
    valid = token_ids != 0
    assert np.abs(expected - plain)[valid].max() > 0.1
    backbone, _ = use_combiner(source, block_size=21)
    np.testing.assert_allclose(np.array(backbone(token_ids))[valid], expected[valid], atol=1e-4)


def test_robertas_start_token_is_ours_at_1(keras_hub):
    source = randomized(keras_hub.models.RobertaBackbone(**SMALL))
    backbone, _ = use_combiner(source)
    ours, theirs = np.array([[1, 7, 9, 2]]), np.array([[0, 7, 9, 2]])
    expected = source({"token_ids": theirs, "padding_mask": np.ones((1, 4))})
    np.testing.assert_allclose(backbone(ours), expected, atol=1e-4)


@pytest.mark.filterwarnings("ignore:`build.*was called on layer:UserWarning")  # KerasHub's own
def test_a_task_brings_its_tokenizer(keras_hub):
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "cafe", "é", "x"]
    tokenizer = keras_hub.tokenizers.BertTokenizer(vocabulary, lowercase=True, strip_accents=True)
    preprocessor = keras_hub.models.BertTextClassifierPreprocessor(tokenizer, sequence_length=8)
    task = keras_hub.models.BertTextClassifier(
        randomized(keras_hub.models.BertBackbone(**SMALL)), num_classes=2, preprocessor=preprocessor
    )
    backbone, ours = use_combiner(task, block_size=16)
    assert type(backbone) is CombinerBackbone and type(ours) is BertTokenizer
    text = ["Café x é?"]
    expected = preprocessor(text)["token_ids"]
    np.testing.assert_array_equal(ours(text, 8), expected)


@pytest.mark.parametrize("normalize_first", [True, False])
def test_models_made_of_transformer_encoders(normalize_first, keras_hub, token_ids, tmp_path):
    layers = keras_hub.layers
    ids = keras.Input((None,), dtype="int32", name="token_ids")
    mask = keras.Input((None,), dtype="int32", name="padding_mask")
    x = layers.TokenAndPositionEmbedding(30, 40, 8)(ids)
    x = layers.TransformerEncoder(12, 2, normalize_first=normalize_first)(x, padding_mask=mask)
    x = layers.TransformerEncoder(12, 2, activation="gelu", layer_norm_epsilon=1e-3)(
        x, padding_mask=mask
    )
    pooled = keras.layers.Dense(3, name="pooled")(x[:, 0, :])
    source = randomized(keras.Model({"token_ids": ids, "padding_mask": mask}, [x, pooled]))
    model, _ = use_combiner(source, block_size=21, sequence_length=100)
    inputs = {"token_ids": token_ids, "padding_mask": (token_ids != 0).astype("int32")}
    valid = token_ids != 0
    for received, expected in zip(model(inputs), source(inputs), strict=True):
        received, expected = np.array(received), np.array(expected)
        if received.ndim == 3:
            received, expected = received[valid], expected[valid]
        np.testing.assert_allclose(received, expected, atol=1e-4)
    longer = {name: np.ones((1, 100), "int32") for name in inputs}
    assert model(longer)[0].shape == (1, 100, 8)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(loaded(inputs)[0], model(inputs)[0], atol=1e-6)


def test_other_backbones_of_keras_hub_keep_their_form(keras_hub, token_ids):
    options = {x: y for x, y in SMALL.items() if x != "vocabulary_size"}
    source = keras_hub.models.ElectraBackbone(vocab_size=30, embedding_dim=4, **options)
    model, _ = use_combiner(randomized(source), block_size=21, sequence_length=60)
    valid = token_ids != 0
    received, expected = (states(x, token_ids)[valid] for x in (model, source))
    np.testing.assert_allclose(received, expected, atol=1e-4)


def test_decoders_are_refused(keras_hub):
    source = keras_hub.models.GPT2Backbone(**SMALL)
    with pytest.raises(ValueError, match="has an attention of its own inside"):
        use_combiner(source)
