import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter

from keras_combiner.export.tflite_editors.embedding_lookup import use_embedding_lookup
from tests.export.litert_graph import Graph

GENERATOR = np.random.default_rng(0)
TOKENS = GENERATOR.normal(size=(50, 8)).astype("float32")
POSITIONS = GENERATOR.normal(size=(30, 8)).astype("float32")
IDS = GENERATOR.integers(0, 50, size=(1, 20)).astype("int32")


def convert(function):
    spec = tf.TensorSpec([1, 20], tf.int32, name="ids")
    concrete = tf.function(function, input_signature=[spec]).get_concrete_function()
    return tf.lite.TFLiteConverter.from_concrete_functions([concrete], tf.Module()).convert()


def run(content):
    interpreter = Interpreter(model_content=content)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], IDS)
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])


CASES = {
    "tokens": (lambda ids: tf.gather(TOKENS, ids), 1),
    "positions": (lambda ids: POSITIONS[:20] * tf.cast(ids, "float32")[..., None], 1),
    "both": (lambda ids: tf.gather(TOKENS, ids) + POSITIONS[:20][None], 2),
    "positions that are read twice": (
        lambda ids: (tf.gather(TOKENS, ids) + POSITIONS[:20]) * POSITIONS[:20],
        2,
    ),
    # Not rows of a table: left as they are.
    "columns": (lambda ids: tf.gather(TOKENS, ids % 8, axis=1), 0),
    "other rows": (lambda ids: tf.cast(ids, "float32")[..., None] * POSITIONS[1:21], 0),
    "integers": (lambda ids: tf.gather(np.arange(50, dtype="int32"), ids), 0),
}


@pytest.mark.parametrize("name", CASES)
def test_computes_the_same_with_lookups(name, tmp_path):
    function, lookups = CASES[name]
    content = convert(function)
    rewritten = use_embedding_lookup(content, POSITIONS)
    np.testing.assert_array_equal(run(rewritten), run(content))
    path = tmp_path / "model.tflite"
    path.write_bytes(rewritten)
    (operators,) = Graph(path).operators
    assert operators.count("EMBEDDING_LOOKUP") == lookups
    assert operators.count("GATHER") == (1 if name in ("columns", "integers") else 0)
