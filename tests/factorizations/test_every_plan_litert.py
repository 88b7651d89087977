"""Every plan converts to LiteRT with built-in operators only, and computes the same there."""

import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter

from keras_combiner.factorizations.summaries import SUMMARIES
from tests import reference
from tests.every_pair import every_pair
from tests.factorizations.plans import LEARNED_PLANS, compiled_plans

LENGTH = 19


def convert(plan, masked, causal, summary):
    class Module(tf.Module):
        @tf.function(
            input_signature=[
                *[tf.TensorSpec([2, 2, LENGTH, 4])] * 3,
                tf.TensorSpec([2, LENGTH], "bool"),
            ],
            autograph=False,
        )
        def attend(self, query, key, value, mask):
            mask = mask if masked else None
            return {
                "outputs": plan.attend(
                    query, key, value, padding_mask=mask, causal=causal, summary=summary
                )
            }

    module = Module()
    converter = tf.lite.TFLiteConverter.from_concrete_functions(
        [module.attend.get_concrete_function()], module
    )
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    return converter.convert()


def check(plan, masked, causal, summary):
    interpreter = Interpreter(model_content=convert(plan, masked, causal, summary), num_threads=1)
    runner = interpreter.get_signature_runner()
    query, key, value = reference.heads((2, 2, LENGTH, 4))
    for kind in ("right", "scattered", "all"):
        mask = reference.padding_mask(kind, 2, LENGTH)
        received = runner(query=query, key=key, value=value, mask=mask)["outputs"]
        expected = plan.attend(
            query, key, value, mask if masked else None, causal=causal, summary=summary
        )
        np.testing.assert_allclose(received, expected, atol=1e-4)


@compiled_plans
def test_converts_with_built_in_operators(plan, causal):
    check(plan, True, causal, "gaussian" if causal else "max")


@pytest.mark.slow
@every_pair(
    plan=LEARNED_PLANS, summary=SUMMARIES, causal=[False, True], masked=[False, True], strength=2
)
def test_converts_in_every_way(plan, masked, causal, summary):
    check(plan, masked, causal, summary)
