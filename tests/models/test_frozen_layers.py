"""Which layers are frozen, of every model of the package: kept in files and in copies."""

import copy
import json

import keras
import numpy as np
import pytest

from keras_combiner import LongDocumentClassifier
from keras_combiner.models import CombinerBackbone, CombinerCausalLM, CombinerMaskedLM
from keras_combiner.text import ByteTokenizer


def backbone(**options):
    size = {"num_layers": 1, "num_heads": 2, "hidden_dim": 8, "intermediate_dim": 8}
    return CombinerBackbone(261, 16, block_size=4, **{**size, **options})


MODELS = {
    "backbone": backbone,
    "routing": lambda: backbone(factorization="routing", static_length=True),
    "classifier": lambda: LongDocumentClassifier(backbone(), ByteTokenizer(), ["a", "b"]),
    "masked": lambda: CombinerMaskedLM(backbone()),
    "causal": lambda: CombinerCausalLM(backbone(use_causal_mask=True)),
}


def layers_of(layer):
    """All layers of a model, itself included, in the order in which they were made."""
    found = [layer]
    for inner in layer._flatten_layers(include_self=False, recursive=False):
        found += layers_of(inner)
    return found


def flags(model):
    return [(x.name, x.trainable) for x in layers_of(model)]


# The classifier has a backbone, as language models have; those are kept in files below.
SLOW = ("masked", "backbone", "routing", "causal")


@pytest.mark.parametrize(
    "kind", [pytest.param(x, marks=pytest.mark.slow) if x in SLOW else x for x in MODELS]
)
def test_every_layer_stays_as_it_was(kind):
    model = MODELS[kind]()
    for i in range(len(layers_of(model))):
        for frozen_around in (False, True):
            model.trainable = not frozen_around
            layer = layers_of(model)[i]
            layer.trainable = frozen_around
            config = json.loads(json.dumps(keras.saving.serialize_keras_object(model)))
            same = keras.saving.deserialize_keras_object(config)
            assert flags(same) == flags(model), layer.path
            paths, expected = (
                [x.path.split("/", 1)[1] for x in y.trainable_weights] for y in (same, model)
            )
            assert paths == expected


@pytest.mark.parametrize("kind", MODELS)
def test_files_and_copies_keep_them(kind, tmp_path):
    model = MODELS[kind]()
    inner = getattr(model, "backbone", model)
    for layer in inner.layers:
        layer.trainable = False
    inner.get_layer("encoder_0").feedforward_output.trainable = True
    model.save(tmp_path / "model.keras")
    for same in (keras.models.load_model(tmp_path / "model.keras"), copy.deepcopy(model)):
        assert flags(same) == flags(model)
        assert len(same.trainable_weights) == len(model.trainable_weights) > 0


def test_a_frozen_backbone_is_still_frozen_in_training(eager, tmp_path):
    model = MODELS["classifier"]()
    model.backbone.trainable = False
    model.save(tmp_path / "model.keras")
    loaded = LongDocumentClassifier.load(tmp_path / "model.keras")
    before = loaded.backbone.get_weights()
    head = loaded.get_layer("probabilities").get_weights()
    loaded.fit(["rain", "king"] * 4, ["a", "b"] * 4, batch_size=4, verbose=0)
    for one, other in zip(before, loaded.backbone.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    assert np.any(head[0] != loaded.get_layer("probabilities").get_weights()[0])
