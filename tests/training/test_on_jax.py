"""Training under JAX on four devices is that on one, and the page about TPUs runs on CPUs."""

import json
import re
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_combiner import LongDocumentClassifier
from keras_combiner.training import layout_map
from tests.on_backend import call
from tests.training import jax_program

PAGE = Path(__file__).parents[2] / "docs" / "tpu.md"


def mesh(*shape, names=("batch", "model")):
    devices = [f"cpu:{i}" for i in range(int(np.prod(shape)))]
    return keras.distribution.DeviceMesh(shape, list(names), devices)


def test_every_large_weight_is_sharded_and_no_small_one():
    """The rules are found by the paths of variables: a layer that is renamed shows here."""
    layouts = layout_map(mesh(2, 2))
    model = jax_program.classifier()
    found = {x.path: layouts[x.path] for x in model.weights}
    sharded = {path: x.axes for path, x in found.items() if x is not None}
    attention, heads = "encoder_0/attention", (None, "model", None)
    assert sharded == {
        "embedding/token_embedding/embeddings": (None, "model"),
        "embedding/position_embeddings": (None, "model"),
        **{f"{attention}/{x}/kernel": heads for x in ("query", "key", "value")},
        **{f"{attention}/{x}/bias": ("model", None) for x in ("query", "key", "value")},
        f"{attention}/attention_output/kernel": ("model", None, None),
        "encoder_0/feedforward_intermediate/kernel": (None, "model"),
        "encoder_0/feedforward_intermediate/bias": ("model",),
        "encoder_0/feedforward_output/kernel": ("model", None),
    }


def test_gates_are_sharded_as_what_they_multiply():
    layouts = layout_map(mesh(2, 2))
    assert layouts["encoder_0/feedforward_gate/kernel"].axes == (None, "model")
    assert layouts["encoder_0/feedforward_gate/bias"].axes == ("model",)


def test_the_axis_has_the_name_that_the_mesh_gives_it():
    layouts = layout_map(mesh(2, names=["heads"]), axis="heads")
    assert layouts["query/kernel"].axes == (None, "heads", None)
    with pytest.raises(ValueError, match="`axis` must be one of the mesh's, 'heads'"):
        layout_map(mesh(2, names=["heads"]))


@pytest.fixture(scope="module")
def in_three_ways(tmp_path_factory):
    path = tmp_path_factory.mktemp("jax") / "model.keras"
    return *call("jax", jax_program.in_three_ways, path), path


@pytest.mark.slow
@pytest.mark.parametrize("how", ["data", "model"])
def test_four_devices_train_as_one(in_three_ways, how):
    results, _, _ = in_three_ways
    expected = results["single"]
    assert expected["losses"][-1] < expected["losses"][0]
    for name, tolerance in (("outputs", 1e-5), ("losses", 1e-5), ("outputs after training", 1e-4)):
        found = results[how][name]
        np.testing.assert_allclose(found, expected[name], atol=tolerance, err_msg=name)


@pytest.mark.slow
def test_weights_lie_where_they_should(in_three_ways):
    _, shards, _ = in_three_ways
    assert {devices for *_, devices in shards["data"].values()} == {4}
    assert all(found == {whole} for whole, found, _ in shards["data"].values())
    divided = {path: (whole, found) for path, (whole, found, _) in shards["model"].items()}
    for ending, whole, part in (
        ("attention/query/kernel", (16, 4, 4), (16, 2, 4)),
        ("attention/value/bias", (4, 4), (2, 4)),
        ("attention_output/kernel", (4, 4, 16), (2, 4, 16)),
        ("feedforward_intermediate/kernel", (16, 24), (16, 12)),
        ("feedforward_output/kernel", (24, 16), (12, 16)),
        ("embedding/position_embeddings", (32, 16), (32, 8)),
        ("attention_norm/gamma", (16,), (16,)),
        ("probabilities/kernel", (16, 2), (16, 2)),
    ):
        (found,) = [x for path, x in divided.items() if path.endswith(ending)]
        assert found == (whole, {part}), ending
    # The optimizer's moments lie with their weights.
    moments = [x for path, x in divided.items() if "query_kernel" in path]
    assert moments == [((16, 4, 4), {(16, 2, 4)})] * 2


@pytest.mark.slow
def test_a_sharded_model_is_saved_whole(in_three_ways):
    results, _, path = in_three_ways
    outputs = LongDocumentClassifier.load(path).predict(jax_program.TOKEN_IDS, verbose=0)
    np.testing.assert_allclose(outputs, results["model"]["outputs after training"], atol=1e-5)


@pytest.mark.slow
def test_every_plan_trains_on_four_devices():
    losses = call("jax", jax_program.with_every_plan)
    assert losses.keys() == jax_program.PLANS.keys()
    for name, (one, four) in losses.items():
        assert np.isfinite(four).all(), name
        np.testing.assert_allclose(four, one, atol=1e-4, err_msg=name)


@pytest.mark.slow
def test_the_page_runs(tmp_path, monkeypatch):
    on_jax, on_tensorflow = PAGE.read_text(encoding="utf-8").split("\n## Export")
    pattern = re.compile(r"^```python\n(.*?)^```", flags=re.MULTILINE | re.DOTALL)
    texts = [f"{('bright and warm', 'dull and cold')[i % 2]} {i} " * 60 for i in range(70)]
    with open(tmp_path / "reviews.jsonl", "w") as file:
        for i, text in enumerate(texts):
            file.write(json.dumps({"text": text, "label": ("good", "bad")[i % 2]}) + "\n")
    blocks = pattern.findall(on_jax)
    assert len(blocks) == 4
    call("jax", jax_program.run_page, blocks, tmp_path)
    monkeypatch.chdir(tmp_path)
    for block in pattern.findall(on_tensorflow):
        exec(compile(block, "tpu.md", "exec"), {})
    served = tf.saved_model.load("saved_models/my_model/1").signatures["serving_default"]
    assert served(text=tf.constant(texts[:2]))["label"].shape == (2,)
