"""Backbones of this package as a source: the same weights, for longer documents."""

import warnings

import keras
import numpy as np
import pytest

from keras_combiner import CombinerBackbone, CombinerMaskedLM
from keras_combiner.convert import use_combiner
from keras_combiner.factorizations import Fixed, Mixture, Window
from keras_combiner.text import ByteTokenizer

SMALL = {
    "vocabulary_size": 260,
    "sequence_length": 16,
    "num_layers": 2,
    "num_heads": 2,
    "hidden_dim": 8,
    "intermediate_dim": 12,
    "block_size": 4,
}
IDS = np.random.default_rng(0).integers(1, 250, size=(2, 14)).astype("int32")


def backbone(**options):
    model = CombinerBackbone(**{**SMALL, **options})
    generator = np.random.default_rng(1)
    for weight in model.weights:
        if weight.dtype == "float32":  # and no state of a random generator
            weight.assign(generator.normal(size=weight.shape) * 0.3)
    return model


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"summary": "deepset", "normalize_first": False, "activation": "relu"},
        {"rotary": True, "num_key_value_heads": 1, "factorization": Fixed(4, part_size=2)},
        {"factorization": [Window(3), "fixed"], "summary": "deepset", "locality": 2.0},
    ],
    ids=["default", "deepset", "grouped", "by layer"],
)
def test_all_is_kept_and_positions_go_on(options):
    source = backbone(**options)
    model, tokenizer = use_combiner(source, sequence_length=40)
    assert tokenizer is None
    np.testing.assert_allclose(model(IDS), source(IDS), atol=1e-6)
    table = np.array(source.embedding.position_embeddings)
    np.testing.assert_array_equal(model.embedding.position_embeddings[16:32], table)
    assert {**model.arguments, "sequence_length": 16} == source.arguments
    shorter, _ = use_combiner(source, sequence_length=8, positions="interpolate")
    np.testing.assert_allclose(shorter(IDS[:, :8]), source(IDS[:, :8]), atol=1e-6)


@pytest.mark.slow
def test_another_plan_takes_the_same_weights():
    source = backbone(factorization=Fixed(4, part_size=2))
    changes = ({"block_size": 16}, {"factorization": "hierarchical"}, {"summary": "max"})
    for options in (*changes, {"locality": 3.0}):
        model, _ = use_combiner(source, sequence_length=16, **options)
        for one, other in zip(source.trainable_weights, model.trainable_weights, strict=True):
            np.testing.assert_array_equal(one, other)
        assert np.abs(np.array(model(IDS)) - np.array(source(IDS))).max() > 1e-4
    # What only the new summary has, is its own.
    model, _ = use_combiner(source, summary="deepset")
    assert len(model.weights) > len(source.weights)


def test_a_plan_of_its_own_takes_blocks_of_another_size():
    plan = Fixed(4, part_size=2, opened=1, first_blocks=1)
    expected = {**plan.get_config(), "block_size": 16}
    found = use_combiner(backbone(factorization=plan), block_size=16)[0].arguments
    assert found["factorization"].get_config() == expected
    source = backbone(factorization=[plan, "fixed"])
    model, _ = use_combiner(source, block_size=16)
    first, second = (model.get_layer(f"encoder_{i}").attention.plan for i in range(2))
    assert first.get_config() == expected
    assert second.get_config() == Fixed(16).get_config()
    with pytest.raises(ValueError, match="has the plan Mixture, which `block_"):
        use_combiner(backbone(factorization=[Mixture([Fixed(4)]), "fixed"]), block_size=16)
    with pytest.raises(ValueError, match="has the plan Window, which `block_"):
        use_combiner(backbone(factorization=Window(4)), block_size=16)


def test_plans_by_layer():
    source, plans = backbone(), [Window(5), Fixed(8, opened=1)]
    model, _ = use_combiner(source, plans, sequence_length=16)
    expected = backbone(factorization=plans)
    expected.set_weights(source.get_weights())
    np.testing.assert_array_equal(model(IDS), expected(IDS))
    with pytest.raises(ValueError, match=r"one plan for each layer, 2 in all\. Received: 3"):
        use_combiner(source, ["fixed"] * 3)


def test_files_bring_their_tokenizer(tmp_path):
    tokenizer = ByteTokenizer(mask_token=True)
    model = CombinerMaskedLM(backbone(), tokenizer)
    model.save(tmp_path / "model.keras")
    for source in (tmp_path, tmp_path / "model.keras", model):
        found, its_tokenizer = use_combiner(source, sequence_length=16, dropout=0.3)
        np.testing.assert_allclose(found(IDS), model.backbone(IDS), atol=1e-6)
        assert its_tokenizer.mask_token_id == 259
        assert found.arguments["dropout"] == 0.3


def test_what_lora_adds_is_kept():
    source = backbone()
    plain = np.array(source(IDS))
    for layer in source._flatten_layers():
        if isinstance(layer, (keras.layers.EinsumDense, keras.layers.Embedding)):
            layer.enable_lora(2)
    for weight in source.trainable_weights:
        weight.assign(weight + 0.3)
    expected = np.array(source(IDS))
    assert np.abs(expected - plain).max() > 0.1
    model, _ = use_combiner(source, sequence_length=40)
    np.testing.assert_allclose(model(IDS), expected, atol=1e-5)
    assert len(model.trainable_weights) == len(model.weights)
    np.testing.assert_allclose(source(IDS), expected, atol=1e-6)


def test_what_it_refuses(tmp_path):
    inputs = keras.Input((3,))
    keras.Model(inputs, keras.layers.Dense(2)(inputs)).save(tmp_path / "model.keras")
    with pytest.raises(ValueError, match="to hold a CombinerBackbone, or a model of"):
        use_combiner(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"or with the model\.keras of a pretraining"):
        use_combiner(tmp_path / "nix")
    quantized = backbone()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Keras: an InputLayer cannot be quantized
        quantized.quantize("int8")
    with pytest.raises(ValueError, match="The model is quantized"):
        use_combiner(quantized)


def test_windows_among_plans_by_layer_stay_unless_there_is_a_list():
    source = backbone(factorization=[Window(5), "fixed"])

    def plans(**options):
        model, _ = use_combiner(source, **options)
        return [model.get_layer(f"encoder_{i}").attention.plan.get_config() for i in range(2)]

    window, fixed = Window(5).get_config(), Fixed(16).get_config()
    assert plans(block_size=16) == plans(factorization=Fixed(16)) == [window, fixed]
    assert plans(factorization=[Fixed(16)] * 2) == [fixed, fixed]
    # Where there are windows alone, a plan takes the place of all.
    source = backbone(factorization=[Window(5), Window(5)])
    assert plans() == [window, window]
    with pytest.raises(ValueError, match=r"none has blocks.*block_size=16"):
        plans(block_size=16)
    assert plans(factorization=Fixed(16)) == [fixed, fixed]


def test_windows_by_name_keep_their_width():
    source = backbone(factorization=["window", "fixed"])
    for options in ({"block_size": 8}, {"block_size": 8, "factorization": "fixed"}):
        model, _ = use_combiner(source, **options)
        plans = [model.get_layer(f"encoder_{i}").attention.plan.get_config() for i in range(2)]
        assert plans == [Window(4).get_config(), Fixed(8).get_config()]
    with pytest.raises(ValueError, match=r"none has blocks.*block_size=8"):
        use_combiner(backbone(factorization=["window", "window"]), block_size=8)


def test_whether_embeddings_are_normalized_goes_with_the_blocks():
    """`normalize_embeddings` is None here, and still is where `normalize_first` changes."""
    source = backbone()
    assert source.get_config()["normalize_embeddings"] is None
    assert CombinerBackbone(**{**source.arguments, "normalize_first": False}).get_layer("norm")
