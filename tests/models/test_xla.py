"""What a TPU asks of a program, checked on the compiler of the CPU: static shapes, no gather."""

import re

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_combiner import LongDocumentClassifier, factorizations
from keras_combiner.factorizations import Mixture, Routing

LENGTH, BATCH = 32, 2
TEXTS, LABELS = ["a b c d", "e f g h"], ["x", "y"]
PLANS = {
    **{name: name for name in factorizations.names()},
    "mixture": Mixture(["fixed", "axial_rowmajor"], block_size=4),
}
DTYPES = ["float32", "mixed_bfloat16", "bfloat16"]
every_plan = pytest.mark.parametrize("plan", PLANS)

# On every change a classifier trains compiled to the weights of one that is not.
pytestmark = pytest.mark.slow


def make_classifier(plan, dtype="float32"):
    keras.utils.set_random_seed(0)
    factorization = PLANS[plan]
    if plan == "routing" and dtype == "bfloat16":
        # With more clusters than one, a difference in the third digit sends tokens to another.
        factorization = Routing(group_size=4, num_clusters=1)
    classifier = LongDocumentClassifier.from_texts(
        TEXTS,
        LABELS,
        sequence_length=LENGTH,
        tokenizer="bytes",
        num_layers=1,
        num_heads=2,
        hidden_dim=16,
        intermediate_dim=32,
        block_size=4,
        factorization=factorization,
        static_length=True,
        dtype=dtype,
    )
    classifier.compile(
        keras.optimizers.AdamW(1e-2, clipnorm=1.0),
        "sparse_categorical_crossentropy",
        jit_compile=True,
    )
    classifier.optimizer.build(classifier.trainable_variables)
    return classifier


def inputs():
    generator = np.random.default_rng(0)
    token_ids = generator.integers(1, 200, (BATCH, LENGTH)).astype("int32")
    token_ids[1, 20:] = 0
    return tf.constant(token_ids), tf.constant([0, 1])


def programs(classifier):
    """What is compiled: `(function, its arguments)` by name."""
    token_ids, labels = inputs()
    return {
        "forward": (lambda x: classifier(x, training=False), (token_ids,)),
        "train step": (lambda x, y: classifier.train_step((x, y)), (token_ids, labels)),
    }


def optimized_hlo(function, arguments):
    compiled = tf.function(function, jit_compile=True, autograph=False)
    return compiled.experimental_get_compiler_ir(*arguments)(stage="optimized_hlo")


def lines_with(operation, hlo):
    return [line for line in hlo.splitlines() if re.search(rf"[ =)]{operation}\(", line)]


@every_plan
@pytest.mark.parametrize("name", ["forward", "train step"])
def test_the_compiled_program_has_static_shapes_and_gathers_embeddings_only(plan, name):
    hlo = optimized_hlo(*programs(make_classifier(plan))[name])
    assert "ENTRY" in hlo
    assert "<=" not in hlo, "a dynamic shape"
    gathers = lines_with("gather", hlo)
    assert any("token_embedding" in line for line in gathers)
    if (
        factorizations.get(PLANS[plan]).chooses is None
    ):  # which sends tokens to groups that it learns
        others = [line for line in gathers if "token_embedding" not in line]
        assert not others


def test_the_pattern_finds_a_gather():
    table = tf.reshape(tf.range(12.0), (4, 3))
    hlo = optimized_hlo(lambda x: tf.gather(table, x), (tf.constant([1, 3]),))
    assert lines_with("gather", hlo)


@every_plan
@pytest.mark.parametrize("dtype", DTYPES)
def test_forward_and_training_run_compiled(plan, dtype):
    classifier = make_classifier(plan, dtype)
    token_ids, labels = inputs()
    forward = tf.function(
        lambda x: classifier(x, training=False), jit_compile=True, autograph=False
    )
    before = forward(token_ids)
    # In bfloat16 a number has three digits.
    tolerance = 1e-5 if dtype == "float32" else 2e-2
    expected = classifier(token_ids, training=False)
    np.testing.assert_allclose(np.array(before), np.array(expected), atol=tolerance)
    # Without dropout, which makes single losses differ by as much as they fall.
    loss = float(classifier.test_on_batch(token_ids, labels))
    for _ in range(20):
        assert np.isfinite(classifier.train_on_batch(token_ids, labels))
    assert float(classifier.test_on_batch(token_ids, labels)) < loss
