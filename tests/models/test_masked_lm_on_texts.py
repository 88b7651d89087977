"""Pretraining on texts: a masked language model that hides words by itself."""

import io

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_combiner import CombinerBackbone, CombinerMaskedLM, LongDocumentClassifier
from keras_combiner.batches.documents import Documents
from keras_combiner.datasets import read_texts
from keras_combiner.models.at_mask_positions import at_mask_positions
from keras_combiner.models.masked_accuracy import MaskedAccuracy
from keras_combiner.text import ByteTokenizer, WordPieceTokenizer
from keras_combiner.training import Checkpoints, FiniteLoss, Progress
from tests.eagerly import eagerly

TOPICS = [["rain", "wind", "cloud"], ["king", "queen", "castle"], ["bond", "share", "rate"]] + [
    [f"{letter}{i}" for i in "xyz"] for letter in "abcdefg"
]
SMALL = {
    "num_layers": 1,
    "num_heads": 2,
    "hidden_dim": 32,
    "intermediate_dim": 32,
    "block_size": 8,
    "sequence_length": 24,
}


def topical_texts(count, words=12):
    """Texts of the words of one topic each: any of them gives the others away."""
    generator = np.random.default_rng(0)
    return [
        " ".join(generator.choice(TOPICS[i % len(TOPICS)], size=int(generator.integers(3, words))))
        for i in range(count)
    ]


TEXTS = topical_texts(60)


def small(texts=TEXTS, **options):
    return CombinerMaskedLM.from_texts(
        texts, vocabulary_size=120, verbose=False, **{**SMALL, **options}
    )


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A model that was trained for two epochs, its history, and its file."""
    keras.utils.set_random_seed(0)
    model = small()
    options = {"batch_size": 24, "epochs": 2, "seed": 1, "verbose": 0}
    with eagerly():
        history = model.fit(TEXTS, validation_split=0.2, **options).history
    path = tmp_path_factory.mktemp("model") / "model.keras"
    model.save(path)
    return model, history, path


def test_fit_says_how_it_goes_and_what_was_trained_is_saved(eager, trained):
    model, history, path = trained
    assert set(history) == {"loss", "accuracy", "val_loss", "val_accuracy"}
    assert history["val_loss"][1] < history["val_loss"][0]
    assert model.tokenizer.vocabulary[4] == "[MASK]"
    loaded = CombinerMaskedLM.load(path.parent)
    assert loaded.get_config() == model.get_config()
    # The same words are hidden in every evaluation.
    figures, again, of_loaded = (
        x.evaluate(TEXTS[:30], verbose=0, return_dict=True) for x in (model, model, loaded)
    )
    assert figures == pytest.approx(again, rel=1e-6)
    assert figures == pytest.approx(of_loaded, rel=1e-4)
    with pytest.raises(ValueError, match="holds a CombinerMaskedLM, not a LongDocumentClassifier"):
        LongDocumentClassifier.load(path)


def test_logits_at_positions_are_those_of_all_positions(trained):
    model, _, _ = trained
    inputs, targets = next(iter(model._batches(Documents(TEXTS), 8).dataset()))
    some, everywhere = model(inputs).numpy(), model(inputs["token_ids"]).numpy()
    places = inputs["mask_positions"].numpy()[..., np.newaxis]
    np.testing.assert_allclose(some, np.take_along_axis(everywhere, places, 1), atol=1e-6)
    assert targets.shape == places.shape[:2] and targets.shape[1] < inputs["token_ids"].shape[1]


def test_positions_are_all_that_have_a_target():
    generator = np.random.default_rng(0)
    for length in (3, 17, 200):
        targets = np.where(generator.random((6, length)) < 0.2, 9, 0).astype("int32")
        targets[0] = 0
        inputs, wanted = at_mask_positions(np.ones_like(targets), targets)
        places, wanted = inputs["mask_positions"].numpy(), wanted.numpy()
        again = np.zeros_like(targets)
        np.put_along_axis(again, places, wanted, axis=1)
        np.testing.assert_array_equal(again, targets)
        most = (targets != 0).sum(1).max()
        assert most <= places.shape[1] <= max(1, most + length // 16)
    _, nothing = at_mask_positions([[1, 2]], [[0, 0]])
    assert nothing.numpy().tolist() == [[0]]  # and not of width 0, whose mean is not a number


def test_epochs_hide_other_words_and_a_position_gives_them_again(tmp_path):
    model = small()
    batches = model._batches(Documents(TEXTS), 8, order="shuffled", seed=3)
    count = 2 * len(batches)

    def hidden(batches, position):
        some = batches.dataset(position=position, count=count - position)
        return [(x["token_ids"].numpy(), y.numpy()) for x, y in some]

    whole = hidden(batches, 0)
    for position in (5, len(batches), count - 1):
        for one, other in zip(hidden(batches, position), whole[position:], strict=True):
            assert all((x == y).all() for x, y in zip(one, other, strict=True))
    by_epoch = [
        sorted(np.trim_zeros(row).tolist() for ids, _ in epoch for row in ids)
        for epoch in (whole[: len(batches)], whole[len(batches) :])
    ]
    assert by_epoch[0] != by_epoch[1]
    # A reader's are those of the list.
    (tmp_path / "texts").mkdir()
    for i, text in enumerate(TEXTS):
        (tmp_path / "texts" / f"{i:03}.txt").write_text(text)
    reader = read_texts(tmp_path / "texts")
    streamed = hidden(model._batches(Documents(reader), 8, order="shuffled", seed=3), 0)
    for one, other in zip(streamed, whole, strict=True):
        assert all((x == y).all() for x, y in zip(one, other, strict=True))


@pytest.mark.parametrize(("long_texts", "count"), [("windows", 10), ("truncate", 1)])
def test_all_of_a_long_text_is_read_unless_cut(long_texts, count):
    text = " ".join(str(i % 10) for i in range(213))
    model = small([text], long_texts=long_texts)
    assert len(model._batches(Documents([text]), 4).documents.lengths) == count
    kept = [ids[1:-1] for (ids,) in model._batches(Documents([text]), 4).documents.examples()]
    read = model.tokenizer.decode([np.concatenate(kept)])[0]
    assert read == (text if long_texts == "windows" else text[:43])


@pytest.mark.slow
def test_masks_and_targets_under_other_recipes(eager):
    model = small(tokenizer=ByteTokenizer(mask_token=True), dtype="mixed_bfloat16")
    assert model.backbone.arguments["vocabulary_size"] == 260
    model.compile("sgd")
    history = model.fit(TEXTS[:8], validation_data=TEXTS[8:12], batch_size=4, verbose=0).history
    assert set(history) == {"loss", "val_loss"} and np.isfinite(history["loss"]).all()
    with pytest.raises(ValueError, match="Give it to the optimizer that you compile with"):
        model.fit(TEXTS, gradient_accumulation_steps=2)


@pytest.mark.slow
def test_token_ids_are_trained_on_by_the_recipe_too(eager):
    model = small()
    ids = np.random.default_rng(0).integers(5, 60, size=(9, 20))
    hidden = np.arange(20) % 5 == 1
    masked, targets = np.where(hidden, 4, ids), np.where(hidden, ids, 0)
    model.fit(masked, targets, batch_size=5, epochs=2, gradient_accumulation_steps=2, verbose=0)
    assert isinstance(model.optimizer, keras.optimizers.AdamW)
    assert model.optimizer.gradient_accumulation_steps == 2
    assert int(model.optimizer._iterations) == 4
    batches = tf.data.Dataset.from_tensor_slices((masked, targets)).batch(5)
    model.fit(batches, shuffle=False, verbose=0)
    assert int(model.optimizer._iterations) == 2
    measured = model.evaluate(batches, verbose=0)
    np.testing.assert_allclose(measured, model.evaluate(masked, targets, 5, verbose=0), rtol=1e-5)
    at_positions = {
        "token_ids": masked,
        "mask_positions": np.flatnonzero(hidden)[None].repeat(9, 0),
    }
    model.fit(at_positions, ids[:, hidden], batch_size=3, verbose=0)
    assert int(model.optimizer._iterations) == 3, "three batches of three"
    model.compile("sgd")
    with pytest.raises(ValueError, match="Give it to the optimizer that you compile with"):
        model.fit(masked, targets, gradient_accumulation_steps=2)


def test_accuracy_is_that_of_the_targets_alone():
    generator = np.random.default_rng(0)
    targets = generator.integers(0, 3, size=(5, 7))
    logits = generator.normal(size=(5, 7, 3)).astype("float32")
    metric = MaskedAccuracy()
    metric.update_state(targets, logits)
    expected = (logits.argmax(-1) == targets)[targets != 0].mean()
    assert float(metric.result()) == pytest.approx(expected)


@pytest.mark.slow
def test_a_stopped_training_goes_on_to_the_same_weights(tmp_path):
    class Stop(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            if self.model.optimizer.iterations == 12:  # in the second epoch of 8 steps each
                raise KeyboardInterrupt

    start = tmp_path / "start.keras"
    small().save(start)

    def fit(name, *more, resume=False):
        keras.utils.set_random_seed(0)  # of the dropout, which files do not hold
        model = CombinerMaskedLM.load(start)
        checkpoints = Checkpoints(tmp_path / f"{name}.npz", every=1, resume=resume)
        callbacks = [FiniteLoss(), Progress(io.StringIO()), *more, checkpoints]
        history = model.fit(TEXTS, batch_size=8, epochs=2, seed=5, callbacks=callbacks, verbose=0)
        return model, history.history

    whole, expected = fit("whole")
    with pytest.raises(KeyboardInterrupt):
        fit("stopped", Stop())
    resumed, history = fit("stopped", resume=True)
    assert history == expected
    for one, other in zip(whole.weights, resumed.weights, strict=True):
        np.testing.assert_array_equal(one, other, err_msg=one.path)


@pytest.mark.slow
def test_it_learns_more_than_how_frequent_words_are():
    texts = topical_texts(400)
    model = small(hidden_dim=64, dropout=0.0)
    history = model.fit(texts, epochs=30, batch_size=32, validation_split=0.1, seed=0, verbose=0)
    counts = np.unique(" ".join(texts).split(), return_counts=True)[1]
    unigram = -np.sum(counts / counts.sum() * np.log(counts / counts.sum()))
    assert unigram > 3.3
    # Which of three words it is cannot be known: log 3 is 1.1.
    assert min(history.history["val_loss"]) < 2.0


@pytest.mark.slow
def test_a_classifier_starts_from_it(trained):
    model, _, path = trained
    labels = ["weather" if "rain" in x or "wind" in x else "other" for x in TEXTS]
    for source in (model, path, path.parent):
        classifier = LongDocumentClassifier.from_pretrained(source, labels, sequence_length=50)
        assert classifier.sequence_length == 50
        assert classifier.tokenizer.vocabulary == model.tokenizer.vocabulary
        np.testing.assert_array_equal(
            classifier.backbone.embedding.token_embedding.embeddings,
            model.backbone.embedding.token_embedding.embeddings,
        )
    classifier.fit(TEXTS, labels, verbose=0)
    again = CombinerMaskedLM.from_pretrained(path, sequence_length=24, masked_share=0.3)
    assert (again.masked_share, again.learning_rate) == (0.3, 1e-4)
    ids = model.tokenizer(TEXTS[:3], sequence_length=20)
    np.testing.assert_allclose(again(ids), model(ids), atol=1e-6)


def without_mask():
    return WordPieceTokenizer(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a"])


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: small(tokenizer=without_mask()), "has no mask token"),
        (lambda: small(tokenizer="words"), "`tokenizer` must be 'wordpiece', 'bytes' or a"),
        (lambda: small(masked_share=1.5), "`masked_share` must be a number above 0 and below 1"),
        (lambda: small(long_texts="overlap"), "`long_texts` must be one of 'truncate', 'windows'"),
        (lambda: small(size="huge"), "`size` must be one of"),
        (lambda: small(sequence_length=2), "`sequence_length` must be at least 3"),
        (lambda: small(["", " "]), "texts with words to learn from"),
        (
            lambda: CombinerMaskedLM(
                CombinerBackbone.from_size("tiny", 200, 32), ByteTokenizer(mask_token=True)
            ),
            "The tokenizer has 260 token ids, the backbone only 200",
        ),
        (
            lambda: CombinerMaskedLM(CombinerBackbone.from_size("tiny", 200, 32)).fit(["a"]),
            "The model has no tokenizer",
        ),
        (lambda: small().fit(["a", "b"], ["x", "y"]), "Texts are their own targets"),
        (lambda: small().fit(["", " "]), "no word to be hidden in 2 document"),
        (lambda: small().fit([]), "There is no document to train on"),
    ],
)
def test_what_it_refuses(make, words):
    with pytest.raises(ValueError, match=words):
        make()
