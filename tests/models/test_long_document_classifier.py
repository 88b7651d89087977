import inspect
import math
import os
import pathlib

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_combiner import LongDocumentClassifier
from keras_combiner.datasets import read_documents, write_jsonl
from keras_combiner.models import CombinerBackbone
from keras_combiner.text import ByteTokenizer, WordPieceTokenizer

SMALL = {
    "sequence_length": 24,
    "num_layers": 1,
    "num_heads": 2,
    "hidden_dim": 16,
    "intermediate_dim": 16,
    "block_size": 4,
    "verbose": False,
}
TEXTS = ["it will rain tomorrow", "once upon a time a king", "rain and wind", "the king was old"]
LABELS = ["weather", "tale", "weather", "tale"]
MANY_TEXTS, MANY_LABELS = TEXTS * 8, LABELS * 8


def make(texts=TEXTS, labels=LABELS, **options):
    return LongDocumentClassifier.from_texts(texts, labels, **{**SMALL, **options})


@pytest.fixture(scope="module")
def classifier():
    """Untrained, of bytes. Tests must not change it."""
    keras.utils.set_random_seed(1)
    return make(tokenizer="bytes")


@pytest.fixture(scope="module")
def trained():
    """Has learnt the texts. Tests must not change it."""
    keras.utils.set_random_seed(1)
    model = make(vocabulary_size=60)
    model.history_of_the_test = model.fit(
        MANY_TEXTS, MANY_LABELS, epochs=30, batch_size=8, verbose=0
    )
    return model


@pytest.fixture
def reader(tmp_path):
    path = tmp_path / "documents.jsonl"
    write_jsonl(path, zip(MANY_TEXTS, MANY_LABELS, strict=True))
    return read_documents(path)


def token_ids(model, texts):
    return model.tokenizer(texts, model.sequence_length).numpy()


# Building


def test_from_texts_learns_a_vocabulary_and_the_labels(trained):
    assert isinstance(trained.tokenizer, WordPieceTokenizer)
    assert trained.labels == ["tale", "weather"]
    assert trained.tokenizer.vocabulary_size <= 60
    assert trained.backbone.arguments["vocabulary_size"] == trained.tokenizer.vocabulary_size
    assert trained.sequence_length == 24
    assert trained.backbone.arguments["block_size"] == 4
    assert trained.output_shape == (None, 2)


def test_from_texts_with_bytes(classifier):
    assert isinstance(classifier.tokenizer, ByteTokenizer)
    assert classifier.backbone.arguments["vocabulary_size"] == 259


def test_from_texts_with_a_tokenizer_object():
    tokenizer = ByteTokenizer()
    assert make(tokenizer=tokenizer).tokenizer is tokenizer


def test_from_texts_reads_a_reader(reader):
    model = make(reader.texts(), reader.labels(), vocabulary_size=60)
    assert model.labels == ["tale", "weather"]


def test_labels_may_be_numbers():
    model = make(labels=[3, 10, 3, 10], tokenizer="bytes")
    assert model.labels == ["10", "3"]
    model.fit(TEXTS, [3, 10, 3, 10], verbose=0)
    assert model.classify(TEXTS[:1])[0]["label"] in ("10", "3")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"labels": ["a"] * 4}, "at least two different names.*'a'"),
        ({"labels": []}, "Received: 4 texts, 0 labels"),
        ({"tokenizer": "characters"}, "must be 'wordpiece', 'bytes' or.*'characters'"),
        ({"size": "huge"}, "`size` must be one of"),
        ({"block_size": 0}, "`block_size` must be an int"),
        ({"summary": "median"}, "`summary` must be one of"),
    ],
)
def test_from_texts_refuses(options, words):
    with pytest.raises(ValueError, match=words):
        make(**{"tokenizer": "bytes", **options})


def test_constructor_refuses():
    backbone = CombinerBackbone(100, 24, 1, 2, 16, 16)
    with pytest.raises(ValueError, match=r"259 token ids.*only 100.*vocabulary_size=259"):
        LongDocumentClassifier(backbone, ByteTokenizer(), ["a", "b"])
    backbone = CombinerBackbone(259, 24, 1, 2, 16, 16)
    for labels in (["a"], ["a", "b", "a"], ["1", 1]):
        with pytest.raises(ValueError, match="`labels` must be at least two different names"):
            LongDocumentClassifier(backbone, ByteTokenizer(), labels)


# Training


def test_unknown_arguments():
    with pytest.raises(TypeError, match=r"CombinerBackbone got arguments.*have: block_sise"):
        make(tokenizer="bytes", block_sise=8)
    backbone = CombinerBackbone(259, 24, 1, 2, 8, 8)
    with pytest.raises(TypeError, match=r"LongDocumentClassifier got arguments.*have: foo"):
        LongDocumentClassifier(backbone, ByteTokenizer(), LABELS[:2], foo=1)
    with pytest.raises(TypeError, match="`backbone` must be a CombinerBackbone"):
        LongDocumentClassifier("tiny", ByteTokenizer(), LABELS[:2])


def test_learns(trained):
    history = trained.history_of_the_test.history
    assert len(history["loss"]) == 30
    assert history["loss"][-1] < 0.5 * history["loss"][0]
    results = trained.evaluate(TEXTS, LABELS, verbose=0, return_dict=True)
    assert set(results) == {"loss", "accuracy"}
    assert results["accuracy"] == 1.0
    assert [x["label"] for x in trained.classify(TEXTS)] == LABELS


def test_fits_and_evaluates_readers(reader):
    model = make(tokenizer="bytes")
    steps = []
    count = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: steps.append(1))
    history = model.fit(
        reader, epochs=2, batch_size=5, validation_data=reader, verbose=0, callbacks=[count]
    )
    assert set(history.history) == {"loss", "accuracy", "val_loss", "val_accuracy"}
    assert len(steps) == 2 * math.ceil(32 / 5)
    from_reader = model.evaluate(reader, verbose=0, return_dict=True)
    from_lists = model.evaluate(MANY_TEXTS, MANY_LABELS, verbose=0, return_dict=True)
    assert from_reader == pytest.approx(from_lists, rel=1e-5)
    np.testing.assert_allclose(
        model.predict(reader, verbose=0), model.predict(MANY_TEXTS, verbose=0), atol=1e-6
    )


def test_reader_part_trains_as_the_list_of_its_documents(reader):
    # The same batches in the same order: the same weights.
    results = []
    for arguments in ((reader, None), (MANY_TEXTS, MANY_LABELS)):
        keras.utils.set_random_seed(3)
        model = make(tokenizer="bytes", dropout=0.0)
        model.compile(keras.optimizers.SGD(0.1), "sparse_categorical_crossentropy")
        model.fit(*arguments, shuffle=False, verbose=0)
        results.append(model.get_weights())
    for first, second in zip(*results, strict=True):
        np.testing.assert_allclose(first, second, atol=1e-6)


@pytest.mark.parametrize("source", ["lists", "reader", "token ids"])
def test_validation_split_holds_documents_out(source, reader):
    model = make(tokenizer="bytes")
    arguments = {
        "lists": (MANY_TEXTS, MANY_LABELS),
        "reader": (reader,),
        "token ids": (token_ids(model, MANY_TEXTS), np.array([1, 0] * 16)),
    }[source]
    steps = []
    count = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: steps.append(1))
    history = model.fit(
        *arguments, validation_split=0.25, batch_size=4, verbose=0, callbacks=[count]
    )
    assert "val_accuracy" in history.history
    assert len(steps) == 6  # 24 documents are left


def test_validation_split_is_disjoint_and_fixed(monkeypatch):
    monkeypatch.setattr(keras.Model, "fit", lambda *args, **kwargs: None)
    texts = [f"text {i}" for i in range(20)]
    seen = []
    model = make(texts, ["a", "b"] * 10, tokenizer="bytes")
    batches = model._batches

    def spy(documents, *args, **kwargs):
        seen.append(sorted(zip(documents.texts, documents.labels, strict=True)))
        return batches(documents, *args, **kwargs)

    model._batches = spy
    for _ in range(2):
        model.fit(texts, ["a", "b"] * 10, validation_split=0.2, verbose=0)
    training, validation = seen[:2]
    assert seen[2:] == [training, validation]
    assert len(validation) == 4
    assert sorted(training + validation) == sorted(zip(texts, ["a", "b"] * 10, strict=True))


@pytest.mark.parametrize("validation_split", [1.0, 1.5, -0.1])
def test_wrong_validation_split(validation_split):
    model = make(tokenizer="bytes")
    with pytest.raises(ValueError, match="`validation_split` must lie between 0 and 1"):
        model.fit(TEXTS, LABELS, validation_split=validation_split, verbose=0)


def learning_rates(model, *arguments, **options):
    """The learning rate of every step of a fit."""
    rates = []

    def note(batch, logs):
        rates.append(float(model.optimizer.learning_rate))

    callback = keras.callbacks.LambdaCallback(on_train_batch_begin=note)
    model.fit(*arguments, verbose=0, callbacks=[callback], **options)
    return rates


@pytest.mark.parametrize("source", ["lists", "token ids"])
def test_own_recipe_warms_up_and_decays_in_every_fit(source):
    model = make(tokenizer="bytes")
    arguments = (MANY_TEXTS, MANY_LABELS)
    if source == "token ids":
        arguments = (token_ids(model, MANY_TEXTS), np.array([1, 0] * 16))
    for _ in range(2):  # a second fit is not stuck at the end of the first one's schedule
        rates = learning_rates(model, *arguments, epochs=5, batch_size=8)
        assert len(rates) == 20
        assert max(rates) == pytest.approx(2e-3, rel=0.02)
        assert rates.index(max(rates)) <= 3
        assert 0 <= rates[-1] < 1e-4
    assert isinstance(model.optimizer, keras.optimizers.AdamW)
    assert model.optimizer.clipnorm == 1.0


@pytest.mark.parametrize("source", ["lists", "token ids"])
def test_a_fit_traces_its_step_once(source, monkeypatch):
    traces = []
    step = LongDocumentClassifier.train_step
    monkeypatch.setattr(
        LongDocumentClassifier, "train_step", lambda *data: (traces.append(data), step(*data))[1]
    )
    model = make(tokenizer="bytes")
    texts = ["the same length"] * 8
    x = texts if source == "lists" else token_ids(model, texts)
    model.fit(x, LABELS * 2 if source == "lists" else np.array([1, 0] * 4), epochs=2, verbose=0)
    assert len(traces) == 1


def test_schedule_of_token_ids_ends_with_the_steps_that_are_trained():
    model = make(tokenizer="bytes")
    arguments = (token_ids(model, MANY_TEXTS), np.array([1, 0] * 16))
    rates = learning_rates(model, *arguments, epochs=5, batch_size=8, validation_split=0.5)
    assert len(rates) == 10
    assert rates[-1] < 2e-4


@pytest.mark.parametrize("source", ["lists", "token ids"])
def test_evaluating_first_does_not_spoil_training(source):
    model = make(tokenizer="bytes")
    model.evaluate(TEXTS, LABELS, verbose=0)
    arguments = (MANY_TEXTS, MANY_LABELS)
    if source == "token ids":
        arguments = (token_ids(model, MANY_TEXTS), np.array([1, 0] * 16))
    rates = learning_rates(model, *arguments, epochs=5, batch_size=8)
    assert max(rates) == pytest.approx(2e-3, rel=0.02)


@pytest.mark.filterwarnings("ignore:Your input ran out of data:UserWarning")  # not counted
@pytest.mark.filterwarnings("ignore:The data set does not say how many batches:UserWarning")
@pytest.mark.parametrize("counted", [False, True])
def test_fits_tf_data_of_token_ids(counted):
    model = make(tokenizer="bytes")
    ids = token_ids(model, MANY_TEXTS)
    labels = np.array([1, 0] * 16)
    if counted:
        data = tf.data.Dataset.from_tensor_slices((ids, labels)).batch(8)
    else:
        data = tf.data.Dataset.from_generator(
            lambda: ((ids[i : i + 8], labels[i : i + 8]) for i in range(0, 32, 8)),
            output_signature=(tf.TensorSpec([None, 24], "int32"), tf.TensorSpec([None], "int32")),
        )
    history = model.fit(data, epochs=1, shuffle=False, verbose=0)
    assert np.isfinite(history.history["loss"][0])


def test_own_compile_is_respected(tmp_path):
    model = make(tokenizer="bytes")
    model.compile(
        keras.optimizers.SGD(0.01, momentum=0.5),
        loss="sparse_categorical_crossentropy",
        metrics=["sparse_top_k_categorical_accuracy"],
    )
    for _ in range(2):
        history = model.fit(TEXTS, LABELS, verbose=0)
        assert set(history.history) == {"loss", "sparse_top_k_categorical_accuracy"}
        assert isinstance(model.optimizer, keras.optimizers.SGD)
    # ... and comes back from a file.
    model.save(tmp_path / "model.keras")
    loaded = LongDocumentClassifier.load(tmp_path / "model.keras")
    loaded.fit(TEXTS, LABELS, verbose=0)
    assert isinstance(loaded.optimizer, keras.optimizers.SGD)
    assert loaded.optimizer.momentum == 0.5


def test_default_recipe_is_taken_up_anew_after_loading(tmp_path):
    model = make(tokenizer="bytes")
    model.fit(TEXTS, LABELS, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = LongDocumentClassifier.load(tmp_path / "model.keras")
    rates = learning_rates(loaded, MANY_TEXTS, MANY_LABELS, epochs=5, batch_size=8)
    assert max(rates) == pytest.approx(2e-3, rel=0.02)


def test_xla_trains_to_the_same_weights():
    results = []
    for jit_compile in (False, True):
        keras.utils.set_random_seed(2)
        model = make(tokenizer="bytes", dropout=0.0, token_dropout=0.0)
        model.compile(
            keras.optimizers.SGD(0.1), "sparse_categorical_crossentropy", jit_compile=jit_compile
        )
        # Two batches whose longest documents differ: padding makes no difference.
        model.fit(TEXTS, LABELS, batch_size=2, shuffle=False, verbose=0)
        results.append((model.predict(TEXTS, verbose=0), model.get_weights()))
    (expected, expected_weights), (received, received_weights) = results
    np.testing.assert_allclose(received, expected, atol=1e-5)
    for first, second in zip(received_weights, expected_weights, strict=True):
        np.testing.assert_allclose(first, second, atol=1e-5)


@pytest.mark.parametrize("dtype", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision_trains(dtype):
    model = make(tokenizer="bytes", dtype=dtype)
    history = model.fit(MANY_TEXTS, MANY_LABELS, epochs=2, verbose=0)
    assert np.isfinite(history.history["loss"]).all()
    probabilities = model.predict([*TEXTS, ""], verbose=0)
    assert probabilities.dtype == "float32"
    np.testing.assert_allclose(probabilities.sum(-1), 1, atol=1e-5)


@pytest.mark.parametrize("how", ["fit", "fit, validation_split", "evaluate"])
@pytest.mark.parametrize("number", [3, 5])
def test_every_text_needs_a_label(number, how):
    model = make(tokenizer="bytes")
    labels = (LABELS * 2)[:number]
    with pytest.raises(ValueError, match=f"Every text needs a label.*4 texts, {number} labels"):
        if how == "evaluate":
            model.evaluate(TEXTS, labels, verbose=0)
        else:
            split = 0.25 if "split" in how else 0.0
            model.fit(TEXTS, labels, validation_split=split, verbose=0)


@pytest.mark.parametrize("validation_split", [0.0, 0.25])
def test_texts_without_labels_are_refused(validation_split):
    with pytest.raises(ValueError, match="label"):
        make(tokenizer="bytes").fit(TEXTS, validation_split=validation_split, verbose=0)


@pytest.mark.parametrize(
    ("label", "words"),
    [("poem", "unknown label 'poem'"), (None, r"The label is missing \(None\)")],
)
def test_what_is_no_label_in_a_reader(label, words, tmp_path):
    write_jsonl(tmp_path / "x.jsonl", [("a", "tale"), ("b", label)])
    reader = read_documents(tmp_path / "x.jsonl", require_labels=False)
    with pytest.raises(ValueError, match=rf"x\.jsonl:2: {words}"):
        make(tokenizer="bytes").fit(reader, verbose=0)


def test_nothing_to_train_on():
    model = make(tokenizer="bytes")
    words = "There is no document to train on"
    with pytest.raises(ValueError, match=words):
        model.fit([], [], verbose=0)
    with pytest.raises(ValueError, match=words):
        model.fit(TEXTS[:1], LABELS[:1], validation_split=0.5, verbose=0)


# Using


def test_predictions_keep_the_order_of_the_texts(classifier):
    texts = [f"{'word ' * (i % 7)}number {i}" for i in range(11)]
    together = classifier.predict(texts, batch_size=4, verbose=0)
    assert together.shape == (11, 2)
    assert len(np.unique(together[:, 0])) > 5
    for text, row in zip(texts, together, strict=True):
        alone = classifier.predict([text], verbose=0)[0]
        np.testing.assert_allclose(alone, row, atol=1e-5)


def test_every_kind_of_input_gives_the_same(classifier, tmp_path):
    expected = classifier.predict(TEXTS, verbose=0)
    np.testing.assert_allclose(expected.sum(-1), 1, atol=1e-6)
    write_jsonl(tmp_path / "x.jsonl", [(text, None) for text in TEXTS])
    reader = read_documents(tmp_path / "x.jsonl", require_labels=False)
    inputs = {
        "tuple": tuple(TEXTS),
        "bytes": [text.encode() for text in TEXTS],
        "numpy str": np.array(TEXTS),
        "numpy object": np.array(TEXTS, object),
        "numpy bytes": np.array([text.encode() for text in TEXTS]),
        "reader": reader,
        "token ids": token_ids(classifier, TEXTS),
        "token ids, more padding": token_ids(classifier, TEXTS)[:, :25],
    }
    for name, x in inputs.items():
        received = classifier.predict(x, verbose=0)
        np.testing.assert_allclose(received, expected, atol=1e-5, err_msg=name)


def test_evaluates_token_ids(trained):
    labels = np.array([trained.labels.index(label) for label in LABELS])
    received = trained.evaluate(token_ids(trained, TEXTS), labels, verbose=0, return_dict=True)
    expected = trained.evaluate(TEXTS, LABELS, verbose=0, return_dict=True)
    assert received == pytest.approx(expected, rel=1e-4)


def test_evaluates_without_having_been_compiled():
    results = make(tokenizer="bytes").evaluate(TEXTS, LABELS, verbose=0, return_dict=True)
    assert results["loss"] == pytest.approx(math.log(2), abs=0.5)


def test_no_texts_no_predictions(classifier):
    assert classifier.predict([], verbose=0).shape == (0, 2)
    assert classifier.classify([]) == []


def test_classify(classifier):
    # 24 ids: a start, 22 bytes, an end.
    texts = ["", "x" * 21, "x" * 22, "x" * 23, "x" * 5000, "\udcff", "naïve"]
    results = classifier.classify(texts)
    assert [x["tokens"] for x in results] == [2, 23, 24, 24, 24, results[5]["tokens"], 8]
    assert [x["truncated"] for x in results] == [False, False, False, True, True, False, False]
    probabilities = classifier.predict(texts, verbose=0)
    for result, row in zip(results, probabilities, strict=True):
        assert set(result) == {"label", "probabilities", "tokens", "truncated"}
        assert result["label"] == classifier.labels[int(row.argmax())]
        shares = list(result["probabilities"].values())
        assert shares == sorted(shares, reverse=True)
        assert next(iter(result["probabilities"])) == result["label"]
        assert all(type(x) is float for x in shares)
        assert result["probabilities"] == pytest.approx(
            dict(zip(classifier.labels, row.tolist(), strict=True)), abs=1e-5
        )
        assert type(result["tokens"]) is int


def test_lone_surrogates_are_read_as_the_tokenizer_reads_them(classifier):
    # UTF-8 cannot hold them. What is counted must be what was read.
    texts = ["\udcff" * 3]
    ids = token_ids(classifier, texts)
    assert classifier.classify(texts)[0]["tokens"] == np.count_nonzero(ids)
    received, expected = (classifier.predict(x, verbose=0) for x in (texts, ids))
    np.testing.assert_allclose(received, expected, atol=1e-6)


def test_texts_that_differ_beyond_the_cut_are_the_same(classifier):
    first, second = classifier.predict(["x" * 22 + "abc", "x" * 22 + "def ghi"], verbose=0)
    np.testing.assert_array_equal(first, second)


def test_a_single_string_is_refused_rather_than_read_letter_by_letter(classifier):
    with pytest.raises((TypeError, ValueError), match=r"list|single"):
        classifier.classify("it will rain")


def test_a_single_string_is_refused_everywhere(classifier):
    for call in (classifier.predict, lambda x: classifier.fit(x, "tale")):
        with pytest.raises(ValueError, match="Wrap it in a list"):
            call("it will rain")


@pytest.mark.parametrize("texts", [[None], [3], [["a", "b"]], ["rain", 3]])
def test_what_is_not_text_is_named_with_its_position(classifier, texts):
    with pytest.raises(TypeError, match="Expected texts to be str or bytes"):
        classifier.classify(texts)


@pytest.mark.parametrize(
    "options, words",
    [
        ({"size": "huge"}, "`size` must be one of"),
        ({"sequence_length": 2}, "`sequence_length` must be at least 3"),
        ({"labels": ["one"] * len(TEXTS)}, "at least two different names"),
    ],
)
def test_what_cannot_work_shows_before_a_vocabulary_is_learned(options, words):
    class NeverRead:
        def __iter__(self):
            raise AssertionError("the texts were read")

    arguments = {"labels": LABELS, **options}
    with pytest.raises(ValueError, match=words):
        LongDocumentClassifier.from_texts(NeverRead(), **arguments)


def test_a_file_that_is_no_model_is_refused(tmp_path):
    (tmp_path / "junk.keras").write_text("hi")
    with pytest.raises(ValueError, match=r"is not a \.keras file"):
        LongDocumentClassifier.load(tmp_path / "junk.keras")


# Files


@pytest.mark.parametrize("folder", [False, True])
def test_save_and_load(trained, folder, tmp_path):
    path = tmp_path / "deep" / "model.keras"
    trained.save(str(path) if folder else path)
    assert [x.name for x in path.parent.iterdir()] == ["model.keras"]
    loaded = LongDocumentClassifier.load(path.parent if folder else path)
    assert loaded.labels == trained.labels
    assert type(loaded.labels[0]) is str
    assert loaded.tokenizer.get_config() == trained.tokenizer.get_config()
    assert loaded.sequence_length == trained.sequence_length
    texts = [*TEXTS, "", "something else entirely"]
    np.testing.assert_array_equal(
        loaded.predict(texts, verbose=0), trained.predict(texts, verbose=0)
    )
    assert loaded.classify(texts) == trained.classify(texts)
    same = keras.saving.load_model(path)
    assert type(same) is LongDocumentClassifier


def test_every_argument_comes_back(tmp_path):
    model = make(
        tokenizer="bytes",
        dropout=0.35,
        summary="mean",
        use_causal_mask=True,
        dtype="mixed_bfloat16",
    )
    model.save(tmp_path / "x.keras")
    loaded = LongDocumentClassifier.load(tmp_path / "x.keras")
    assert loaded.get_config() == model.get_config()
    assert loaded.dropout == 0.35
    names = set(inspect.signature(LongDocumentClassifier.__init__).parameters)
    assert names - {"self", "kwargs"} <= set(model.get_config())


@pytest.mark.filterwarnings("ignore:Layer .* does not have a `quantize` method")
@pytest.mark.parametrize("mode", ["int8", "int4"])
@pytest.mark.slow
def test_quantized_models_are_saved_as_they_are(mode, tmp_path):
    model = make(tokenizer="bytes")
    before = model.predict(TEXTS, verbose=0)
    model.fit(TEXTS, LABELS, verbose=0)
    optimizer = model.optimizer
    model.save(tmp_path / "float32.keras")
    assert model.optimizer is optimizer
    model.quantize(mode)
    expected = model.predict(TEXTS, verbose=0)
    assert np.abs(expected - before).max() > 1e-6
    model.save(tmp_path / "short.keras")
    assert (tmp_path / "short.keras").stat().st_size < (tmp_path / "float32.keras").stat().st_size
    loaded = LongDocumentClassifier.load(tmp_path / "short.keras")
    assert loaded.get_layer("probabilities").quantization_mode == mode
    np.testing.assert_array_equal(loaded.predict(TEXTS, verbose=0), expected)


def test_the_state_of_the_own_recipe_is_not_saved(tmp_path):
    model = make(tokenizer="bytes")
    model.save(tmp_path / "before.keras")
    model.fit(TEXTS, LABELS, verbose=0)
    model.save(tmp_path / "after.keras")
    before, after = ((tmp_path / f"{x}.keras").stat().st_size for x in ("before", "after"))
    assert after < 1.1 * before


def test_save_refuses(classifier, tmp_path):
    with pytest.raises(ValueError, match=r"ends in \.keras.*model\.h5"):
        classifier.save(tmp_path / "model.h5")
    path = tmp_path / "model.keras"
    path.write_text("precious")
    with pytest.raises(FileExistsError, match="overwrite=True"):
        classifier.save(path, overwrite=False)
    assert path.read_text() == "precious"
    classifier.save(path)
    assert LongDocumentClassifier.load(path).labels == classifier.labels


@pytest.mark.parametrize("existing", [False, True])
@pytest.mark.parametrize("where", ["while writing", "while renaming"])
def test_save_is_whole_or_nothing(classifier, where, existing, tmp_path, monkeypatch):
    path = tmp_path / "model.keras"
    if existing:
        path.write_text("precious")

    def fail(*args, **kwargs):
        raise OSError("No space left on device")

    if where == "while writing":
        save = keras.Model.save

        def half(self, filepath, **kwargs):
            save(self, filepath, **kwargs)
            content = pathlib.Path(filepath).read_bytes()
            pathlib.Path(filepath).write_bytes(content[: len(content) // 2])
            fail()

        monkeypatch.setattr(keras.Model, "save", half)
    else:
        monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="No space left"):
        classifier.save(path)
    assert [x.name for x in tmp_path.iterdir()] == (["model.keras"] if existing else [])
    if existing:
        assert path.read_text() == "precious"


def test_load_refuses(classifier, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"Expected a \.keras file.*nowhere\.keras"):
        LongDocumentClassifier.load(tmp_path / "nowhere.keras")
    with pytest.raises(FileNotFoundError, match=r"none at .*model\.keras"):
        LongDocumentClassifier.load(tmp_path)
    keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)]).save(tmp_path / "other.keras")
    with pytest.raises(ValueError, match=r"holds a Sequential, not a LongDocumentClassifier"):
        LongDocumentClassifier.load(tmp_path / "other.keras")
    (tmp_path / "broken.keras").write_text("not a zip")
    with pytest.raises(ValueError, match=r"broken\.keras"):
        LongDocumentClassifier.load(tmp_path / "broken.keras")


def test_checkpoint_callback_saves_models_that_load(tmp_path):
    model = make(tokenizer="bytes")
    path = tmp_path / "best.keras"
    checkpoint = keras.callbacks.ModelCheckpoint(path, monitor="loss", save_best_only=True)
    model.fit(TEXTS, LABELS, epochs=2, verbose=0, callbacks=[checkpoint])
    assert LongDocumentClassifier.load(path).labels == model.labels


def test_a_plan_of_static_length(tmp_path):
    model = make(factorization="axial_vertical", static_length=True)
    assert model.input_shape == (None, 24)
    model.fit(MANY_TEXTS, MANY_LABELS, batch_size=8, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = LongDocumentClassifier.load(tmp_path / "model.keras")
    np.testing.assert_allclose(loaded.predict(TEXTS), model.predict(TEXTS), atol=1e-6)
    assert len(model.classify(TEXTS)) == 4
    report = model.export_saved_model(tmp_path / "export", documents=TEXTS, verbose=False)
    assert report.agreement == 1
