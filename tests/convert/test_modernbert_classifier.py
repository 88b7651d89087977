"""From a directory of ModernBERT to a classifier, with its tokenizer, and on to every export."""

import json

import numpy as np
import pytest

from keras_combiner import CombinerMaskedLM, LongDocumentClassifier
from keras_combiner.export import export_litert, export_onnx, export_saved_model
from keras_combiner.text import BytePairTokenizer
from tests.backbones.test_modern_blocks import adapt
from tests.convert import families
from tests.convert.test_byte_pair_files import modern_bert
from tests.export.test_export_litert import TOLERANCES

tokenizers = pytest.importorskip("tokenizers")
families.skip_without_transformers()

TEXTS = ["It will rain tomorrow, and the wind will be strong.", "Once upon a time: a king."] * 8
LABELS = ["weather", "tale"] * 8


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A small ModernBERT with random weights, as Transformers saves it, and its tokenizer."""
    folder = tmp_path_factory.mktemp("modernbert")
    model = tokenizers.Tokenizer(tokenizers.models.BPE())
    model.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=300,
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    model.train_from_iterator(TEXTS, trainer)
    stored = modern_bert(json.loads(model.to_str())["model"])
    (folder / "tokenizer.json").write_text(json.dumps(stored), encoding="utf-8")
    ids = {x["content"]: x["id"] for x in stored["added_tokens"]}
    families.save(
        folder,
        "modernbert",
        vocab_size=max(ids.values()) + 3,  # published tables have rows to spare
        hidden_size=32,
        intermediate_size=48,
        pad_token_id=ids["[PAD]"],
        bos_token_id=ids["[CLS]"],
        cls_token_id=ids["[CLS]"],
        eos_token_id=ids["[SEP]"],
        sep_token_id=ids["[SEP]"],
    )
    return folder


def classifier_of(folder, **options):
    return LongDocumentClassifier.from_pretrained(
        folder, ["weather", "tale"], sequence_length=64, block_size=8, **options
    )


def test_its_tokenizer_comes_with_it(folder):
    classifier = classifier_of(folder)
    assert type(classifier.tokenizer) is BytePairTokenizer
    theirs = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    expected = theirs.encode(TEXTS[0]).ids
    found = classifier.tokenizer([TEXTS[0]], sequence_length=64).numpy()[0]
    pad = theirs.token_to_id("[PAD]")
    assert 0 not in expected and pad not in expected
    assert found.tolist() == [*expected, *[0] * (64 - len(expected))]
    rows = classifier.predict([TEXTS[0], TEXTS[1], ""], verbose=0)
    np.testing.assert_allclose(rows.sum(axis=1), 1, atol=1e-5)
    assert np.abs(rows[0] - rows[1]).max() > 1e-4


@pytest.mark.slow
def test_trained_saved_and_exported(folder, tmp_path):
    classifier = classifier_of(folder, learning_rate=3e-3)
    losses = classifier.fit(TEXTS, LABELS, epochs=4, batch_size=4, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
    expected = classifier.predict(TEXTS[:2], verbose=0)
    classifier.save(tmp_path / "model.keras")
    loaded = LongDocumentClassifier.load(tmp_path / "model.keras")
    np.testing.assert_allclose(loaded.predict(TEXTS[:2], verbose=0), expected, atol=1e-6)
    documents = [*TEXTS[:2], "", "rain " * 200]
    options = {"documents": documents, "verbose": False}
    report = export_saved_model(classifier, tmp_path / "saved/1", **options)
    assert report.largest_difference < 1e-5
    report = export_onnx(classifier, tmp_path / "model.onnx", **options)
    assert report.largest_difference < 1e-5
    for quantization in ("float32", "int8"):
        calibration = {"calibration_data": documents} if quantization == "int8" else {}
        path = tmp_path / f"{quantization}.tflite"
        report = export_litert(
            classifier, path, quantization=quantization, **calibration, **options
        )
        assert report.largest_difference < TOLERANCES[quantization]


@pytest.mark.slow
def test_lora_trains_a_small_part(folder):
    classifier = classifier_of(folder, learning_rate=1e-2)
    adapt(classifier.backbone, rank=4)
    before = {x.path: np.array(x) for x in classifier.backbone.weights}
    losses = classifier.fit(TEXTS, LABELS, epochs=4, batch_size=4, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
    for weight in classifier.backbone.weights:
        is_adapted = "lora" in weight.path
        assert (np.abs(np.array(weight) - before[weight.path]).max() > 0) == is_adapted


@pytest.mark.slow
def test_pretraining_goes_on(folder):
    masked_lm = CombinerMaskedLM.from_pretrained(folder, sequence_length=64)
    masked_lm.fit(TEXTS, epochs=1, batch_size=4, verbose=0)
    assert masked_lm.tokenizer.mask_token_id == masked_lm.tokenizer.vocabulary.index("[MASK]")
    again = LongDocumentClassifier.from_pretrained(masked_lm, LABELS, sequence_length=96)
    plans = again.backbone.arguments["factorization"]
    assert [type(x).__name__ for x in plans] == ["Fixed", "Window", "Window"]
    assert np.isfinite(again.predict(TEXTS[:2], verbose=0)).all()
