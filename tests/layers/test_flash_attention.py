"""flash_attention: the backend's fused kernel where all attention is direct, and only there."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_combiner.factorizations import Fixed, Hierarchical
from keras_combiner.layers import CombinerAttention, fused_attention
from tests import on_backend, reference
from tests.layers import fused

BATCH, LENGTH, FEATURES = 3, 9, 8
# Options, padding, and whether attention is causal.
CASES = {
    **{
        f"{kind}{', causal' if causal else ''}": ({}, kind, causal)
        for kind in ("none", "left", "all")
        for causal in (False, True)
    },
    "options": (
        {"num_key_value_heads": 1, "rotary": True, "use_gate": True, "dropout": 0.5},
        "left",
        True,
    ),
}


def tokens(seed=0):
    generator = np.random.default_rng(seed)
    return generator.normal(size=(BATCH, LENGTH, FEATURES)).astype("float32")


def built(**options):
    layer = CombinerAttention(2, 4, **{"block_size": LENGTH, **options})
    layer.build((None, None, FEATURES), (None, None, FEATURES))
    generator = np.random.default_rng(0)
    for weight in layer.trainable_weights:
        weight.assign(generator.normal(size=weight.shape) * 0.5)
    return layer


# Rows whose tokens are all padding, and causal queries before the first token, are in here.
MASKS = {kind: reference.padding_mask(kind, BATCH, LENGTH) for kind in ("left", "all")}


@pytest.fixture(scope="module", params=["jax", pytest.param("torch", marks=pytest.mark.slow)])
def backend(request):
    pytest.importorskip(request.param)
    return request.param


@pytest.mark.slow
def test_the_fused_kernel_computes_the_same(backend):
    weights = {name: built(**options).get_weights() for name, (options, _, _) in CASES.items()}
    results = on_backend.call(backend, fused.of_cases, CASES, weights, tokens(), tokens(1), MASKS)
    for name, (options, kind, causal) in CASES.items():
        calls, received, received_gradient = results[name]
        assert calls == 1
        layer = built(**options)
        x = tf.Variable(tokens())
        with tf.GradientTape() as tape:
            outputs = layer(x, x, attention_mask=MASKS.get(kind), use_causal_mask=causal)
            loss = tf.reduce_sum(outputs * tokens(1))
        gradient = tape.gradient(loss, x)
        np.testing.assert_allclose(received, outputs, atol=1e-5, err_msg=name)
        np.testing.assert_allclose(received_gradient, gradient, atol=1e-5, err_msg=name)


def test_it_is_used_only_where_it_can_be(backend):
    expected = dict.fromkeys(
        ("False", "disabled", "parts", "scores", "dropout", "other plan", "value_dim", "empty"), 0
    )
    counts = on_backend.call(backend, fused.counts, tokens())
    assert counts == {**expected, "neighbors": 1}


def test_true_says_why_it_cannot_be_honoured(backend):
    words = {
        "parts": "not all attention between 9 tokens is direct under the plan Fixed",
        "parts, symbolic": "not all attention between 9 tokens is direct under the plan Fixed",
        "other plan": "not all attention between 9 tokens is direct under the plan Logsparse",
        "scores": "the fused kernel does not return the attention scores",
        "scores, symbolic": "the fused kernel does not return the attention scores",
        "dropout": "Dropout is not supported",  # by Keras
        "value_dim": "the fused kernel needs a `value_dim` that equals `key_dim`",
        "machine": "cannot be honoured: ",  # there is no accelerator here
    }
    errors = on_backend.call(backend, fused.errors, tokens(), MASKS["left"])
    assert errors.keys() == words.keys()
    for name, error in errors.items():
        assert words[name] in (error or ""), name


def test_tensorflow_has_no_fused_kernel(monkeypatch):
    with pytest.raises(ValueError, match="cannot be honoured: Keras's tensorflow backend"):
        CombinerAttention(2, 4, flash_attention=True)
    monkeypatch.setattr(keras.ops, "dot_product_attention", None)  # to be called by nobody
    for choice in (None, False):
        x = tokens()
        assert built(flash_attention=choice)(x, x).shape == x.shape


def test_the_kernel_is_a_matter_of_the_machine():
    assert "flash_attention" not in built(flash_attention=False).get_config()


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("kind", reference.PADDINGS)
def test_fused_attention_is_the_plan_without_parts(kind, causal):
    query, key, value = reference.heads((BATCH, 2, LENGTH, 4), value_dim=3)
    mask = reference.padding_mask(kind, BATCH, LENGTH)
    if mask is not None:
        # What padding holds does not matter.
        key, value = (np.where(mask[:, None, :, None], x, np.inf) for x in (key, value))
    received = fused_attention.attend(query, key, value, mask, causal)
    expected = Fixed(LENGTH).attend(query, key, value, mask, causal)
    np.testing.assert_allclose(received, expected, atol=1e-5)


@pytest.mark.parametrize("neighbors", [0, 1, 2])
@pytest.mark.parametrize("length", [3, 4, 5, 8, 9, 12, 13])
@pytest.mark.parametrize("causal", [False, True])
def test_a_plan_knows_where_it_has_no_parts(length, neighbors, causal):
    plan = Fixed(4, neighbors=neighbors)
    parts = any(support.parts for support in plan.support(length, causal))
    assert plan.is_full_attention(length) is (not parts)
    assert not plan.is_full_attention(None)
    assert not Hierarchical(4).is_full_attention(length)
