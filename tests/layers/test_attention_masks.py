"""Masks of CombinerAttention: however they are passed, together, and passed on."""

import keras
import numpy as np
import pytest

from keras_combiner.layers import CombinerAttention
from tests import reference
from tests.layers.attention_layer import BATCH, FEATURES, LENGTH, built, tokens


def embedded(mask, seed=0):
    """Vectors that carry `mask` as their implicit Keras mask."""
    ids = np.where(mask, 1 + np.arange(mask.shape[1]), 0)
    layer = keras.layers.Embedding(mask.shape[1] + 1, FEATURES, mask_zero=True)
    layer.build()
    layer.set_weights([tokens(seed, mask.shape[1] + 1, batch=1)[0]])
    return layer(ids)


def test_every_way_to_pass_a_mask_is_the_same():
    layer = built()
    mask = reference.padding_mask("all", BATCH, LENGTH)
    x = embedded(mask)
    bare = np.array(x)
    expected = layer(bare, bare, attention_mask=mask)
    np.testing.assert_allclose(layer(x, x), expected, atol=1e-6)
    for passed in (
        {"attention_mask": mask[:, np.newaxis]},
        {"attention_mask": mask.astype("int32")},
        {"attention_mask": mask.astype("float32")},
        {"query_mask": mask},
        {"value_mask": mask},
        {"key_mask": mask},
        {"query_mask": mask, "value_mask": mask, "key_mask": mask},
    ):
        outputs = layer(bare, bare, bare, **passed)
        np.testing.assert_allclose(outputs, expected, atol=1e-6, err_msg=str(passed.keys()))
    assert np.abs(np.array(layer(bare, bare)) - expected).max() > 1e-2


def test_masks_combine_by_and():
    layer = built()
    generator = np.random.default_rng(0)
    masks = [generator.random((BATCH, LENGTH)) < 0.8 for _ in range(4)]
    names = ("query_mask", "value_mask", "key_mask", "attention_mask")
    x = tokens()
    expected = layer(x, x, attention_mask=np.logical_and.reduce(masks))
    outputs = layer(x, x, x, **dict(zip(names, masks, strict=True)))
    np.testing.assert_allclose(outputs, expected, atol=1e-6)
    # Implicit and explicit together.
    implicit = embedded(masks[0])
    outputs = layer(implicit, implicit, attention_mask=masks[1])
    bare = np.array(implicit)
    expected = layer(bare, bare, attention_mask=masks[0] & masks[1])
    np.testing.assert_allclose(outputs, expected, atol=1e-6)


@pytest.mark.parametrize("scores", [False, True])
def test_implicit_mask_is_passed_on(scores):
    mask = reference.padding_mask("right", BATCH, LENGTH)
    x = embedded(mask)
    outputs = built()(x, x, return_attention_scores=scores)
    outputs = outputs[0] if scores else outputs
    np.testing.assert_array_equal(outputs._keras_mask, mask)
    np.testing.assert_array_equal(x._keras_mask, mask)  # the input keeps its own
    plain = built()(tokens(), tokens())
    assert getattr(plain, "_keras_mask", None) is None


def test_implicit_mask_is_passed_on_in_a_functional_model():
    ids = keras.Input((None,), dtype="int32")
    x = keras.layers.Embedding(30, FEATURES, mask_zero=True)(ids)
    y = CombinerAttention(2, 4, block_size=4)(x, x)
    assert y._keras_mask is not None
    model = keras.Model(ids, keras.layers.GlobalAveragePooling1D()(y))
    row = np.arange(1, 12)[np.newaxis]
    padded = np.pad(row, [(0, 0), (0, 9)])
    np.testing.assert_allclose(model(padded), model(row), atol=1e-6)
