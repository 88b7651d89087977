"""Language models: tied weights, a loss without padding, and text made token by token."""

import json
import os
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_combiner
from keras_combiner.factorizations import AxialVertical, Fixed, Hierarchical, Logsparse, Window
from keras_combiner.models import CombinerBackbone, CombinerCausalLM, CombinerMaskedLM
from keras_combiner.models.combiner_causal_lm import _draw
from keras_combiner.models.language_model import next_tokens

VOCABULARY = 30
SMALL = {
    "vocabulary_size": VOCABULARY,
    "sequence_length": 24,
    "num_layers": 1,
    "num_heads": 2,
    "hidden_dim": 8,
    "intermediate_dim": 12,
    "block_size": 4,
}
IDS = np.random.default_rng(0).integers(1, VOCABULARY, size=(3, 21))
# Every token is followed by its successor, modulo the vocabulary without padding.
COUNTING = (np.arange(16) + np.arange(64)[:, np.newaxis]) % (VOCABULARY - 1) + 1


def language_model(cls=CombinerCausalLM, spread=0.4, **options):
    """A model whose weights are large enough for tokens to hear each other."""
    causal = cls is CombinerCausalLM
    model = cls(CombinerBackbone(**{**SMALL, "use_causal_mask": causal, **options}))
    generator = np.random.default_rng(0)
    for weight in model.trainable_weights:
        weight.assign(generator.normal(size=weight.shape) * spread)
    return model


def likeliest(model, text, start):
    """The tokens that the model, given all before them, finds likeliest from `start` on.

    A text is what `generate` is to give at temperature 0 if its tokens are these.
    """
    logits = np.array(model(np.array([text])))[0, start - 1 : -1]
    return (1 + logits[:, 1:].argmax(-1)).tolist()


@pytest.mark.parametrize("cls", [CombinerCausalLM, CombinerMaskedLM])
def test_logits_are_products_with_the_token_embedding(cls):
    model = language_model(cls)
    table = np.array(model.backbone.embedding.token_embedding.embeddings)
    expected = np.array(model.backbone(IDS)) @ table.T
    np.testing.assert_allclose(model(IDS), expected, atol=1e-5)
    assert len(model.weights) == len(model.backbone.weights)
    assert model.output_shape == (None, None, VOCABULARY)


@pytest.mark.parametrize(
    "policy", ["mixed_bfloat16", pytest.param("mixed_float16", marks=pytest.mark.slow)]
)
def test_logits_are_float32(policy):
    model = language_model(dtype=policy)
    assert model(IDS).dtype == "float32"
    cache = model.initial_cache(3)
    assert model.decode(IDS[:, 0], cache, 0)[0].dtype == "float32"
    assert [len(row) for row in model.generate([[1, 2], [3]], 4, seed=0)] == [6, 5]


def test_next_tokens():
    ids = np.array([[5, 6, 7], [5, 6, 0], [0, 5, 6], [0, 0, 0]])
    expected = [[6, 7, 0], [6, 0, 0], [0, 6, 0], [0, 0, 0]]
    np.testing.assert_array_equal(next_tokens(ids), expected)


def test_causal_loss_is_the_mean_over_targets_that_are_tokens(eager):
    model = language_model()
    ids = IDS.copy()
    ids[1, 9:] = 0
    ids[2, 1:] = 0
    model.compile("sgd")
    logits = np.array(model(ids), "float64")
    logarithms = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    terms = [
        -logarithms[row, i, ids[row, i + 1]] for row, n in ((0, 21), (1, 9)) for i in range(n - 1)
    ]
    assert model.evaluate(ids, verbose=0) == pytest.approx(np.mean(terms), rel=1e-5)
    padded = np.pad(ids, [(0, 0), (0, 3)])
    assert model.evaluate(padded, verbose=0) == pytest.approx(np.mean(terms), rel=1e-5)


def test_masked_loss_is_the_mean_over_hidden_tokens(eager):
    model = language_model(CombinerMaskedLM)
    hidden = np.random.default_rng(0).random(IDS.shape) < 0.2
    masked = np.where(hidden, 4, IDS)
    model.compile("sgd")
    logits = np.array(model(masked), "float64")[hidden]
    logarithms = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    expected = -np.mean(logarithms[np.arange(hidden.sum()), IDS[hidden]])
    loss = model.evaluate(masked, np.where(hidden, IDS, 0), verbose=0)
    assert loss == pytest.approx(expected, rel=1e-5)


@pytest.mark.slow
def test_a_causal_model_learns_to_count():
    keras.utils.set_random_seed(0)
    model = CombinerCausalLM(CombinerBackbone(**{**SMALL, "use_causal_mask": True, "dropout": 0}))
    metric = keras.metrics.SparseCategoricalAccuracy(name="accuracy")
    model.compile(keras.optimizers.Adam(0.02), weighted_metrics=[metric])
    history = model.fit(COUNTING, batch_size=16, epochs=30, verbose=0).history
    assert history["loss"][-1] < 0.1 * history["loss"][0]
    assert history["accuracy"][-1] > 0.9
    (text,) = model.generate([[3, 4, 5]], max_new_tokens=6, temperature=0)
    assert text.tolist() == list(range(3, 12))


@pytest.mark.slow  # a masked model of texts learns in the quick ones
def test_a_masked_model_learns():
    keras.utils.set_random_seed(0)
    model = CombinerMaskedLM(CombinerBackbone(**{**SMALL, "dropout": 0}))
    hidden = np.random.default_rng(0).random(COUNTING.shape) < 0.15
    masked = np.where(hidden, VOCABULARY - 1, COUNTING)
    model.compile(keras.optimizers.Adam(0.02))
    data = (masked, np.where(hidden, COUNTING, 0))
    losses = model.fit(*data, batch_size=16, epochs=40, verbose=0).history["loss"]
    assert losses[-1] < 0.5 * losses[0]


@pytest.mark.parametrize("cls", [CombinerCausalLM, CombinerMaskedLM])
def test_save_and_load(cls, tmp_path):
    model = language_model(cls, factorization=Fixed(4, part_size=2), summary="deepset")
    model.compile("adam", run_eagerly=True)  # a step is sooner taken than traced
    model.fit(IDS, None if cls is CombinerCausalLM else IDS, verbose=0)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert type(again) is cls
    np.testing.assert_allclose(again(IDS), model(IDS), atol=1e-6)
    json.dumps(model.get_config())
    assert int(again.optimizer.iterations) == 1
    again.fit(IDS, None if cls is CombinerCausalLM else IDS, verbose=0)


DECODING = {
    "two layers": {"num_layers": 2},
    "post-norm": {"normalize_first": False},
    "neighbors": {"factorization": Fixed(4, part_size=2, neighbors=1)},
    "logsparse": {"factorization": Logsparse(), "summary": "max"},
    "hierarchical": {"factorization": Hierarchical(2), "summary": "deepset"},
    "window": {"factorization": Window(3), "num_layers": 2},
    "plans by layer": {
        "factorization": [Window(3), Fixed(4, part_size=2, opened=1, choice_size=1), "fixed"],
        "num_layers": 3,
    },
    "grouped and rotary": {"num_key_value_heads": 1, "rotary": True},
}


def every_decoding(quick):
    """All of them; the tests that are not slow have those of `quick`, as layers have theirs."""
    return pytest.mark.parametrize(
        "options",
        [
            pytest.param(x, id=name, marks=() if name in quick else pytest.mark.slow)
            for name, x in DECODING.items()
        ],
    )


@every_decoding(quick=["two layers", "post-norm", "hierarchical", "plans by layer"])
def test_decoding_gives_the_logits_of_the_whole_sequence(options):
    model = language_model(**options)
    expected = np.array(model(IDS))
    step = tf.function(model.decode, autograph=False)
    cache = model.initial_cache(3)
    for position in range(21):
        logits, cache = step(IDS[:, position], cache, tf.constant(position))
        np.testing.assert_allclose(logits, expected[:, position], atol=1e-4)


@every_decoding(quick=["logsparse", "grouped and rotary"])
def test_greedy_text_is_that_of_the_whole_sequence(options):
    model = language_model(**options)
    prompts = [IDS[0, :5], IDS[1, :1], IDS[2, :9]]
    texts = model.generate(prompts, max_new_tokens=10, temperature=0)
    for prompt, text in zip(prompts, texts, strict=True):
        assert text[: len(prompt)].tolist() == prompt.tolist()
        assert len(text) == len(prompt) + 10
        assert text[len(prompt) :].tolist() == likeliest(model, text, len(prompt))


def test_text_under_xla():
    model = language_model()
    expected = model.generate([[1, 2, 3]], 8, seed=1)
    model.compile("adam", jit_compile=True)
    np.testing.assert_array_equal(model.generate([[1, 2, 3]], 8, seed=1), expected)


def test_generate_is_compiled_once():
    model = language_model()
    for prompts in ([[1, 2, 3], [4]], [[5], [6, 7]], [[8] * 15, [9]]):
        for count in (1, 5):
            model.generate(prompts, count, temperature=count, end_id=count)
    (function,) = model._compiled_generate.functions.values()
    assert function.experimental_get_tracing_count() == 1


def test_generate_reads_the_weights_of_the_day():
    model = language_model()
    before = model.generate([[1, 2, 3]], 10, temperature=0)[0].tolist()
    for weight in model.trainable_weights:
        weight.assign(np.random.default_rng(7).normal(size=weight.shape) * 0.4)
    after = model.generate([[1, 2, 3]], 10, temperature=0)[0].tolist()
    assert after[:3] == [1, 2, 3] and len(after) == 13
    assert after[3:] == likeliest(model, after, 3)
    assert after != before


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Layer .* does not have a `quantize` method")
def test_generate_after_quantization():
    model = language_model()
    before = model.generate([[1, 2, 3]], 10, temperature=0)[0].tolist()
    logits = np.array(model(IDS))
    model.quantize("int8")
    model.backbone.embedding.position_embeddings.assign_add(  # what it reads now, is read
        np.random.default_rng(7).normal(size=(24, 8)) * 2
    )
    assert np.abs(np.array(model(IDS)) - logits).max() > 0.1
    text = model.generate([[1, 2, 3]], 10, temperature=0)[0].tolist()
    assert text[:3] == [1, 2, 3] and len(text) == 13
    assert text[3:] == likeliest(model, text, 3)
    assert text != before


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Layer .* does not have a `quantize` method")
@pytest.mark.parametrize("mode", ["int8", "int4"])
def test_quantized_models_compute_the_same_after_loading(mode, tmp_path):
    model = language_model(CombinerMaskedLM)
    before = np.array(model(IDS))
    model.quantize(mode)
    expected = np.array(model(IDS))
    assert np.abs(expected - before).max() > 1e-3
    model.save(tmp_path / "model.keras")
    np.testing.assert_array_equal(keras.saving.load_model(tmp_path / "model.keras")(IDS), expected)


@pytest.mark.slow
def test_exports_after_having_generated(tmp_path):
    model = language_model()
    model.generate([[1, 2, 3]], 2)
    model.export(tmp_path / "exported", verbose=False)
    exported = tf.saved_model.load(tmp_path / "exported")
    np.testing.assert_allclose(exported.serve(IDS), model(IDS), atol=1e-5)


@pytest.mark.parametrize("cls", [CombinerCausalLM, CombinerMaskedLM])
def test_what_models_are_made_of_is_checked(cls):
    with pytest.raises(TypeError, match=r"`backbone` must be a CombinerBackbone.*'tiny'"):
        cls("tiny")
    backbone = language_model(cls).backbone
    with pytest.raises(TypeError, match="does not have: foo"):
        cls(backbone, foo=1)


def test_masked_models_need_targets(eager):
    model = language_model(CombinerMaskedLM)
    model.compile("adam")
    with pytest.raises(ValueError, match="needs targets"):
        model.fit(IDS, verbose=0)


def test_seeds():
    model = language_model(spread=0.1)
    first, second, other = (
        model.generate([[1], [1]], 20, seed=seed)[0].tolist() for seed in (1, 1, 2)
    )
    assert first == second != other
    row, neighbor = model.generate([[1], [1]], 20, seed=1)
    assert row.tolist() != neighbor.tolist()


def test_the_end_ends_a_text():
    model = language_model()
    (whole,) = model.generate([[1, 2, 3]], 12, temperature=0)
    end = int(whole[7])
    first = 3 + whole[3:].tolist().index(end)
    prompts = [[1, 2, 3], [int(end), 2, 3]]  # in a prompt it ends nothing
    text, other = model.generate(prompts, 12, temperature=0, end_id=end)
    assert text.tolist() == whole[: first + 1].tolist()
    assert len(other) > 3


def test_draws_follow_the_softmax():
    probabilities = np.array([0.5, 0.1, 0.05, 0.35])  # padding's share falls away
    draws = (np.arange(1000, dtype="float32") + 0.5) / 1000
    logits = np.tile(np.log(probabilities), (1000, 1)).astype("float32")

    def shares(temperature, top_k=None):
        drawn = np.array(_draw(logits, draws, np.float32(temperature), top_k))
        return np.bincount(drawn, minlength=4) / 1000

    np.testing.assert_allclose(shares(1.0), [0, 0.2, 0.1, 0.7], atol=0.002)
    np.testing.assert_allclose(shares(1.0, top_k=2), [0, 2 / 9, 0, 7 / 9], atol=0.002)
    np.testing.assert_allclose(shares(1.0, top_k=9), [0, 0.2, 0.1, 0.7], atol=0.002)
    squares = np.array([0, 0.04, 0.01, 0.49]) / 0.54
    np.testing.assert_allclose(shares(0.5), squares, atol=0.002)
    np.testing.assert_array_equal(shares(0.0), [0, 0, 0, 1])
    np.testing.assert_array_equal(shares(1.0, top_k=1), [0, 0, 0, 1])


@pytest.mark.parametrize(
    ("prompts", "options", "message"),
    [
        ([], {}, "There is no prompt"),
        ([[1], []], {}, r"at least one int. Received: \[\] as prompt 1"),
        ([1, 2], {}, "list of prompts.*Received: 1 as prompt 0"),
        ([[1.5]], {}, r"at least one int. Received: \[1.5\]"),
        ([[1, 0]], {}, r"between 1 and 29; 0 is padding. Received: \[1, 0\]"),
        ([[30]], {}, "between 1 and 29"),
        ([[1] * 20], {}, r"fit into 24 tokens.*prompt of 20 and max_new_tokens=5"),
        ([[1]], {"max_new_tokens": 0}, "`max_new_tokens` must be an int of at least 1"),
        ([[1]], {"temperature": -1.0}, "`temperature` must be a number of at least 0"),
        ([[1]], {"temperature": float("nan")}, "`temperature`"),
        ([[1]], {"temperature": "a"}, "`temperature` must be a number.*'a'"),
        ([[1]], {"seed": -1}, "`seed` must be an int of at least 0"),
        ([[1]], {"seed": 1.5}, "`seed` must be an int of at least 0"),
        ([[1]], {"end_id": 30}, "`end_id` must be an int between 1 and 29"),
        ([[1]], {"end_id": 0}, "`end_id` must be an int between 1 and 29"),
        (None, {}, "`prompt_ids` must be a list of prompts.*None"),
        ("text", {}, "`prompt_ids` must be a list of prompts.*'text'"),
        ([[1]], {"top_k": 0}, "`top_k` must be an int of at least 1"),
    ],
)
def test_what_generate_refuses(prompts, options, message):
    with pytest.raises(ValueError, match=message):
        language_model().generate(prompts, **{"max_new_tokens": 5, **options})


def test_what_models_refuse():
    with pytest.raises(ValueError, match="use_causal_mask=True, or take CombinerMaskedLM"):
        CombinerCausalLM(CombinerBackbone(**SMALL))
    with pytest.raises(ValueError, match="use_causal_mask=False, or take CombinerCausalLM"):
        CombinerMaskedLM(CombinerBackbone(**SMALL, use_causal_mask=True))
    with pytest.raises(ValueError, match=r"at most 24 \(sequence_length\).*Received: 25"):
        language_model().initial_cache(1, max_length=25)
    with pytest.raises(ValueError, match="Only causal blocks decode"):
        CombinerBackbone(**SMALL).initial_cache(1)
    with pytest.raises(NotImplementedError, match="Fixed, Hierarchical, Logsparse or Window"):
        language_model(factorization=AxialVertical(4)).generate([[1]], 2)


def test_models_are_public():
    assert keras_combiner.CombinerCausalLM is CombinerCausalLM
    assert keras_combiner.CombinerMaskedLM is CombinerMaskedLM


PROGRAM = """
import sys
import keras
import numpy as np
from tests.models.test_language_models import IDS, language_model
model = language_model()
texts = model.generate([IDS[0, :5], IDS[1, :2]], 10, temperature=0)
np.savez(sys.argv[1], *texts, logits=keras.ops.convert_to_numpy(model(IDS)))
"""


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_the_same_text_on_other_backends(backend, tmp_path):
    pytest.importorskip(backend)
    file = tmp_path / "texts.npz"
    subprocess.run(
        [sys.executable, "-c", PROGRAM, file],
        env={**os.environ, "KERAS_BACKEND": backend, "PYTHONPATH": os.pathsep.join(sys.path)},
        check=True,
    )
    received = np.load(file)
    model = language_model()
    np.testing.assert_allclose(received["logits"], model(IDS), atol=1e-4)
    expected = model.generate([IDS[0, :5], IDS[1, :2]], 10, temperature=0)
    for i, text in enumerate(expected):
        np.testing.assert_array_equal(received[f"arr_{i}"], text)
