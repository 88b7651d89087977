"""flash_attention: the backend's fused kernel where all attention is direct, and only there."""

import json
import os
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_combiner.factorizations import Fixed, Hierarchical
from keras_combiner.layers import CombinerAttention, fused_attention
from tests import reference

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

PROGRAM = """
import json
import sys

import keras
import numpy as np

from keras_combiner.factorizations import Fixed
from keras_combiner.layers import CombinerAttention

if keras.config.backend() == "jax":
    import jax
else:
    import torch

data = dict(np.load(sys.argv[1]))
cases = json.loads(str(data["cases"]))
x, upstream = data["x"], data["upstream"]
calls = []
kernel = keras.ops.dot_product_attention


def counted(*arguments, **keywords):
    calls.append(keywords)
    return kernel(*arguments, **keywords)


keras.ops.dot_product_attention = counted


def built(weights=None, **options):
    options = {"block_size": x.shape[1], "kernel_initializer": "zeros", **options}
    layer = CombinerAttention(2, 4, **options)
    layer.build(x.shape, x.shape)
    if weights is not None:
        layer.set_weights(weights)
    return layer


def output_and_gradient(layer, **call):
    if keras.config.backend() == "jax":

        def loss(x):
            outputs = layer(x, x, **call)
            return (outputs * upstream).sum(), outputs

        gradient, outputs = jax.jit(jax.grad(loss, has_aux=True))(x)
        return outputs, gradient
    tokens = torch.tensor(x, requires_grad=True)
    outputs = layer(tokens, tokens, **call)
    (outputs * torch.tensor(upstream)).sum().backward()
    return outputs.detach(), tokens.grad


def count(layer, tokens=x, **call):
    calls.clear()
    if keras.config.backend() == "jax":
        with keras.StatelessScope():
            jax.eval_shape(lambda x: layer(x, x, **call), tokens)
    else:
        layer(tokens, tokens, **call)
    return len(calls)


def error(**options):
    call = options.pop("call", {})
    try:
        if options.pop("symbolic", False):
            tokens = keras.Input(x.shape[1:])
            built(flash_attention=True, **options)(tokens, tokens, **call)
        else:
            built(flash_attention=True, **options)(x, x, **call)
    except ValueError as caught:
        return str(caught)


results = {}
counts = {}
for name, (options, kind, causal) in cases.items():
    weights = [data[f"{name}/{i}"] for i in range(len(data)) if f"{name}/{i}" in data]
    layer = built(weights, **options)
    mask = data.get(kind)
    call = {"attention_mask": mask, "use_causal_mask": causal}
    counts[name] = count(layer, **call)
    results[f"{name}/outputs"], results[f"{name}/gradient"] = map(
        np.asarray, output_and_gradient(layer, **call)
    )
np.savez(sys.argv[2], **results)

keras.config.disable_flash_attention()
disabled = count(built())
keras.config.enable_flash_attention()
facts = {
    "cases": counts,
    "counts": {
        "False": count(built(flash_attention=False)),
        "disabled": disabled,
        "parts": count(built(block_size=4)),
        "neighbors": count(built(factorization=Fixed(5, neighbors=1))),
        "scores": count(built(), return_attention_scores=True),
        "dropout": count(built(dropout=0.5), training=True),
        "other plan": count(built(factorization="hierarchical")),
        "value_dim": count(built(value_dim=3)),
        "empty": count(built(), tokens=x[:0]),
    },
    "errors": {
        "parts": error(block_size=4),
        "parts, symbolic": error(block_size=4, symbolic=True),
        "other plan": error(factorization="logsparse"),
        "scores": error(call={"return_attention_scores": True}),
        "scores, symbolic": error(call={"return_attention_scores": True}, symbolic=True),
        "dropout": error(dropout=0.5),
        "value_dim": error(value_dim=3),
        "machine": error(call={"attention_mask": data["left"]}),
    },
}
with open(sys.argv[3], "w") as file:
    json.dump(facts, file)
"""


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
def results(request, tmp_path_factory):
    pytest.importorskip(request.param)
    folder = tmp_path_factory.mktemp(request.param)
    problem = {"x": tokens(), "upstream": tokens(1), "cases": json.dumps(CASES), **MASKS}
    for name, (options, _, _) in CASES.items():
        for i, weight in enumerate(built(**options).get_weights()):
            problem[f"{name}/{i}"] = weight
    np.savez(folder / "problem.npz", **problem)
    files = [folder / name for name in ("problem.npz", "results.npz", "facts.json")]
    subprocess.run(
        [sys.executable, "-c", PROGRAM, *files],
        env={
            **os.environ,
            "KERAS_BACKEND": request.param,
            "JAX_PLATFORMS": "cpu",
            "PYTHONPATH": os.pathsep.join(sys.path),
        },
        check=True,
    )
    return dict(np.load(files[1])), json.loads(files[2].read_text())


def test_the_fused_kernel_computes_the_same(results):
    arrays, facts = results
    assert facts["cases"] == dict.fromkeys(CASES, 1)
    for name, (options, kind, causal) in CASES.items():
        layer = built(**options)
        x = tf.Variable(tokens())
        with tf.GradientTape() as tape:
            outputs = layer(x, x, attention_mask=MASKS.get(kind), use_causal_mask=causal)
            loss = tf.reduce_sum(outputs * tokens(1))
        gradient = tape.gradient(loss, x)
        np.testing.assert_allclose(arrays[f"{name}/outputs"], outputs, atol=1e-5, err_msg=name)
        np.testing.assert_allclose(arrays[f"{name}/gradient"], gradient, atol=1e-5, err_msg=name)


def test_it_is_used_only_where_it_can_be(results):
    expected = dict.fromkeys(
        ("False", "disabled", "parts", "scores", "dropout", "other plan", "value_dim", "empty"), 0
    )
    assert results[1]["counts"] == {**expected, "neighbors": 1}


def test_true_says_why_it_cannot_be_honoured(results):
    words = {
        "parts": "not all attention between 9 tokens is direct under the plan Fixed",
        "parts, symbolic": "not all attention between 9 tokens is direct under the plan Fixed",
        "other plan": "not all attention between 9 tokens is direct under the plan Logsparse",
        "scores": "the fused kernel does not give the attention scores",
        "scores, symbolic": "the fused kernel does not give the attention scores",
        "dropout": "Dropout is not supported",  # by Keras
        "value_dim": "the fused kernel wants a `value_dim` that equals `key_dim`",
        "machine": "cannot be honoured: ",  # there is no accelerator here
    }
    errors = results[1]["errors"]
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
