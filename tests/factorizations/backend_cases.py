"""What is computed alike on every backend of Keras: outputs and gradients of plans."""

from typing import NamedTuple
from unittest import mock

import keras
import numpy as np
from keras import ops

from tests import reference
from tests.factorizations.plans import PLANS, LearnedPlan


class Case(NamedTuple):
    """One call of a plan in `PLANS`; `extreme` are logits up to 2e4."""

    plan: str
    causal: bool
    summary: str
    length: int
    masked: bool
    dtype: str = "float32"
    extreme: bool = False
    locality: float = 0.0


def padding_mask(case):
    """[5, T]: no padding, right, left and scattered padding, all padding; or None."""
    if not case.masked:
        return None
    rows = [
        reference.padding_mask(kind, 1, case.length, seed=case.length)
        for kind in ("right", "left", "scattered")
    ]
    full = np.ones((1, case.length), bool)
    return np.concatenate([full, *rows, ~full])


def heads(case):
    """Query, key [B, 2, T, 4] and value [B, 2, T, 3], float32."""
    shape = (5 if case.masked else 2, 2, case.length, 4)
    query, key, value = reference.heads(shape, value_dim=3, seed=case.length)
    if case.extreme:
        # Logits are multiples of 50: exact in float32 and float16.
        generator = np.random.default_rng(0)
        query, key = (10.0 * generator.integers(-10, 11, size=shape) for _ in "qk")
    return query, key, value


def compute(case):
    """Float32 arrays by name: "outputs", and the gradients by what they are gradients of."""
    plan, mask = LearnedPlan(PLANS[case.plan]), padding_mask(case)
    query, key, value = heads(case)
    learned = plan.learned(query.shape, value.shape[3], case.summary)
    tensors = {
        name: ops.cast(x, case.dtype)
        for name, x in {"query": query, "key": key, "value": value, **learned["weights"]}.items()
    }
    tensors["inputs"] = ops.cast(learned["inputs"], case.dtype)
    # A loss looks at positions that count.
    upstream = np.random.default_rng(7).normal(size=value.shape)
    if mask is not None:
        upstream *= mask[:, np.newaxis, :, np.newaxis]

    def attend(tensors):
        return plan.attend(
            *(tensors[name] for name in ("query", "key", "value")),
            padding_mask=mask,
            causal=case.causal,
            summary=case.summary,
            locality=case.locality,
            inputs=tensors["inputs"],
            weights={name: tensors[name] for name in learned["weights"]},
        )

    outputs, gradients = differentiate(attend, tensors, ops.cast(upstream, case.dtype))
    # What nothing depends on has no gradient, or one of zeros: that is up to the backend.
    results = {"outputs": outputs} | {
        name: ops.zeros_like(tensors[name]) if x is None else x for name, x in gradients.items()
    }
    return {name: ops.convert_to_numpy(ops.cast(x, "float32")) for name, x in results.items()}


def compute_in_double_precision(case):
    """What `compute` gives on TensorFlow where all that is cast to float32 becomes float64.

    The judge of gradients: rounding of theirs grows with their size, on every backend alike.
    """
    cast, floatx = ops.cast, keras.config.floatx()
    keras.config.set_floatx("float64")
    try:
        with mock.patch.object(
            ops, "cast", lambda x, dtype: cast(x, "float64" if dtype == "float32" else dtype)
        ):
            return compute(case)
    finally:
        keras.config.set_floatx(floatx)


def compute_all(cases):
    """What `compute` gives, by case."""
    return {case: compute(case) for case in cases}


def differentiate(function, tensors, upstream):
    """`(outputs, gradients)` of a function of tensors by name; compiled, on JAX."""
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        with tf.GradientTape() as tape:
            tape.watch(tensors)
            outputs = function(tensors)
        return outputs, tape.gradient(outputs, tensors, output_gradients=upstream)
    if backend == "jax":
        import jax

        @jax.jit
        def both(tensors):
            outputs, pull_back = jax.vjp(function, tensors)
            return outputs, pull_back(upstream)[0]

        results = both(tensors)
        jax.clear_caches()  # no program runs twice
        return results
    tensors = {name: x.requires_grad_() for name, x in tensors.items()}
    outputs = function(tensors)
    outputs.backward(upstream)
    return outputs.detach(), {name: x.grad for name, x in tensors.items()}
