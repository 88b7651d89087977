"""`evaluate` and `predict` agree, whatever the batches, steps and windows."""

import copy
import json

import hypothesis
import keras
import numpy as np
import pytest
from hypothesis import strategies as st

from keras_combiner.datasets import read_documents, write_jsonl
from tests.models.ten_texts import (
    LABELS,
    TEXTS,
)

callbacks = keras.callbacks

EAGERLY = {
    "suppress_health_check": [hypothesis.HealthCheck.function_scoped_fixture],
    "phases": [hypothesis.Phase.generate],
}


class Count(callbacks.Callback):
    """Counts what it is told."""

    def __init__(self):
        super().__init__()
        self.calls = []

    def on_train_begin(self, logs=None):
        self.calls.append("train")

    def on_test_batch_end(self, batch, logs=None):
        self.calls.append("test batch")

    def on_test_end(self, logs=None):
        self.calls.append(("test", sorted(logs)))

    def on_predict_batch_end(self, batch, logs=None):
        self.calls.append("predict batch")


@pytest.mark.slow
def test_steps_are_as_many_batches_of_the_first_documents(eager, shared, windowed, tmp_path):
    texts = [f"{'word ' * (7 - i % 5)}{i}" for i in range(10)]
    write_jsonl(tmp_path / "documents.jsonl", zip(texts, LABELS, strict=True))
    reader = read_documents(tmp_path / "documents.jsonl")
    for model in (shared, windowed):
        everything = model.predict(texts, verbose=0)
        expected = model.evaluate(texts[:6], LABELS[:6], verbose=0, return_dict=True)
        for arguments in ((texts, LABELS), (reader,)):
            options = {"batch_size": 3, "steps": 2, "verbose": 0}
            received = model.predict(arguments[0], **options)
            np.testing.assert_allclose(received, everything[:6], atol=1e-6)
            received = model.evaluate(*arguments, **options, return_dict=True)
            assert received == pytest.approx(expected, rel=1e-5)
    with pytest.warns(UserWarning, match=r"`steps` is 5, but there are only 10 documents: 4"):
        assert len(shared.predict(texts, batch_size=3, steps=5, verbose=0)) == 10
    with pytest.raises(ValueError, match="`steps` must be an int of at least 1"):
        shared.predict(texts, steps=0)
    first = reader.take(4)
    assert len(list(first.places())) == len(list(first)) == 4
    assert not first.has_weights
    weighted = [{"text": x, "label": y, "w": 2.0} for x, y in zip(texts, LABELS, strict=True)]
    (tmp_path / "weighted.jsonl").write_text("\n".join(map(json.dumps, weighted)))
    first = read_documents(tmp_path / "weighted.jsonl", weight_field="w").take(4)
    assert first.has_weights
    assert [x.weight for x in first] == [2.0] * 4


@hypothesis.given(
    n=st.integers(1, 10), batch_size=st.integers(1, 7), data=st.data(), windows=st.booleans()
)
@hypothesis.settings(max_examples=5, **EAGERLY)
def test_evaluate_is_what_predict_says(eager, shared, windowed, n, batch_size, data, windows):
    model = windowed if windows else shared
    texts = data.draw(
        st.lists(st.sampled_from(["", "a", "rain", "k" * 40]), min_size=n, max_size=n)
    )
    labels = LABELS[:n]
    results = model.evaluate(texts, labels, batch_size=batch_size, verbose=0, return_dict=True)
    probabilities = model.predict(texts, batch_size=batch_size, verbose=0).astype("float64")
    of_truth = probabilities[np.arange(n), [model.labels.index(x) for x in labels]]
    assert results["loss"] == pytest.approx(-np.log(of_truth).mean(), rel=1e-4)
    assert results["accuracy"] == pytest.approx((of_truth > 0.5).mean(), abs=1e-6)


def test_windows_are_evaluated_as_keras_evaluates(eager, windowed, capsys):
    model = copy.copy(windowed)
    count = Count()
    model.evaluate(TEXTS, LABELS, batch_size=4, callbacks=count, verbose=0)
    assert count.calls == [*["test batch"] * 3, ("test", ["accuracy", "loss"])]
    model.predict(TEXTS, batch_size=4, callbacks=count, verbose=0)
    assert count.calls[4:] == ["predict batch"] * 3
    model.evaluate(TEXTS, LABELS, verbose=2)
    assert "loss" in capsys.readouterr().out
    for name in ("evaluate", "fit"):
        with pytest.raises(ValueError, match="There is no document to"):
            getattr(model, name)([], [])
    # With a loss alone, Keras returns a number and not a list.
    model = copy.copy(windowed)
    model.compile("sgd", "sparse_categorical_crossentropy")
    assert isinstance(model.evaluate(TEXTS, LABELS, verbose=0), float)
