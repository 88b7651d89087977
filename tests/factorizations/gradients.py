"""Gradients of attend() beside finite differences of the float64 reference."""

import numpy as np
import tensorflow as tf

from tests import reference


def gradients(plan, arrays, upstream, mask, causal, summary):
    arrays = [tf.constant(x) for x in arrays]
    with tf.GradientTape() as tape:
        tape.watch(arrays)
        outputs = plan.attend(*arrays, padding_mask=mask, causal=causal, summary=summary)
    return [x.numpy() for x in tape.gradient(outputs, arrays, output_gradients=upstream)]


def reference_gradients(plan, arrays, upstream, mask, causal, summary, step=1e-6):
    arrays = [x.astype("float64") for x in arrays]
    results = []
    for array in arrays:
        result = np.zeros_like(array)
        for index in np.ndindex(array.shape):
            at, losses = array[index], []
            for shift in (step, -step):
                array[index] = at + shift
                outputs, _ = reference.attend(plan, *arrays, mask, causal, summary)
                losses.append(np.sum(outputs * upstream))
            array[index] = at
            result[index] = (losses[0] - losses[1]) / (2 * step)
        results.append(result)
    return results


def check_gradients(plan, arrays, mask, causal, summary):
    upstream = np.random.default_rng(7).normal(size=arrays[2].shape).astype("float32")
    if mask is not None:  # a loss looks at positions that count
        upstream *= mask[:, np.newaxis, :, np.newaxis]
    arguments = (plan, arrays, upstream, mask, causal, summary)
    names = ("query", "key", "value")
    pairs = zip(names, gradients(*arguments), reference_gradients(*arguments), strict=True)
    for name, received, expected in pairs:
        np.testing.assert_allclose(received, expected, atol=1e-4, err_msg=name)
        if mask is not None:
            padding = np.broadcast_to(~mask[:, np.newaxis, :, np.newaxis], received.shape)
            assert not received[padding].any(), f"{name}: padding is taught"
