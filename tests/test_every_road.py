"""The same document gets the same answer by every road: alone, in a batch, from every export."""

import asyncio
import dataclasses
import functools

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_text  # noqa: F401  registers the tokenizer's ops
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from keras_combiner.export import runners
from keras_combiner.scoring.saved_model_scorer import SavedModelScorer
from keras_combiner.serving import SavedModelPredictor
from tests.export.conftest import TEXTS, make
from tests.export.embedders import make_embedder

LABELS = {
    "single_label": ["weather", "tale", "weather", "näher"],
    "multi_label": [["weather"], ["tale", "näher"], [], ["tale"]],
    "regression": [1.0, 2.0, 3.0, 4.0],
}
HEADS = {"average": {}, "labels and tokens": {"pooling": "label", "lexical": True}}
# What tokenizers stumble over: signs that become several letters, letters made of several signs,
# words without blanks between them, blanks of other kinds, and what is not a letter at all.
HARD = [
    "㍿",
    "ﷺ",
    "ﬃ",
    "e\u0301",
    "né",
    "漢字",
    "ไทย",
    "\u200d",
    "👩\u200d🚀",
    "\u00a0",
    "\x07",
    "\u2028",
]
WORDS = ["rain", "king", "the", "wind", "unknown", "x" * 120, "3.14", "[CLS]", "[PAD]", "##s"]
PIECES = st.lists(st.sampled_from(HARD + WORDS), max_size=60)
TEXT = st.builds(lambda pieces, gap: gap.join(pieces), PIECES, st.sampled_from([" ", "", "\n"]))


@dataclasses.dataclass
class Roads:
    """One classifier, and everything that answers in its place; texts in, rows of numbers out."""

    classifier: object
    saved_model: object
    predictor: object
    scorer: object
    onnx: object
    litert: object

    @classmethod
    def of(cls, classifier, name, exports):
        options = {"documents": TEXTS, "verbose": False}

        def path(kind, file, export):
            return exports.get(f"{name}-{kind}", file, functools.partial(export, **options))[0]

        saved_model = path("saved_model", "model/1", classifier.export_saved_model)
        predictor = SavedModelPredictor(saved_model.parent, max_batch_size=3)
        predictor.load()
        return cls(
            classifier,
            tf.saved_model.load(saved_model),
            predictor,
            SavedModelScorer(saved_model),
            runners.load_onnx(path("onnx", "model.onnx", classifier.export_onnx)),
            runners.load_litert(path("float32", "model.tflite", classifier.export_litert)),
        )

    def from_embed(self, texts):
        return self.classifier.embed(texts, batch_size=2, verbose=0)

    def from_padded(self, texts):
        return self.classifier(self.classifier.tokenizer(texts, self.classifier.sequence_length))

    @property
    def output(self):
        return self.classifier.task.output

    def rows(self, answers):
        return np.array([np.ravel(x[self.output]) for x in answers])

    def from_keras(self, texts):
        return self.classifier.predict(texts, verbose=0)

    def from_keras_alone(self, texts):
        return np.concatenate([self.from_keras([text]) for text in texts])

    def from_classify(self, texts):
        results = self.classifier.classify(texts)
        names = self.classifier.labels
        if not names:
            return np.array([[x["value"]] for x in results])
        return np.array([[x["probabilities"][name] for name in names] for x in results])

    def from_saved_model(self, texts, signature="serving_default"):
        outputs = self.saved_model.signatures[signature](text=tf.constant(texts))
        return outputs[self.output].numpy().reshape(len(texts), -1)

    def from_serving_scores(self, texts):
        return self.from_saved_model(texts, "serving_scores")

    def from_server(self, texts):
        answer = asyncio.run(self.predictor.predict({"instances": list(texts)}))
        return self.rows(answer["predictions"])

    def from_score(self, texts):
        return self.rows(self.scorer.score(texts))

    def from_onnx(self, texts):
        length = self.classifier.sequence_length
        return self.by_ids(self.onnx, texts, None if self.takes_windows else length)

    def from_litert(self, texts):
        return self.by_ids(self.litert, texts, self.classifier.sequence_length)

    @property
    def takes_windows(self):
        return self.classifier.long_texts == "windows"

    def by_ids(self, run, texts, length):
        rows = []
        for text in texts:
            size = length or max(3, 40 * len(text.encode()) + 2)
            ids = self.classifier.tokenizer.encode([text], size).numpy()[0]
            if length:
                ids = np.pad(ids, (0, length - len(ids)))
            rows.append(np.ravel(run(ids.astype("int32"))[self.output]))
        return np.array(rows)


@functools.cache
def roads_of(exports, task, long_texts, head):
    options = {"task": task, "long_texts": long_texts, **HEADS[head]}
    classifier = make("wordpiece", num_layers=1, labels=LABELS[task], **options)
    # The fixture `classifier` of the tests of exports is the first of them.
    is_shared = (task, long_texts, head) == ("single_label", "truncate", "average")
    name = "classifier" if is_shared else f"{task}-{long_texts}-{head}".replace(" ", "_")
    return Roads.of(classifier, name, exports)


ROADS = ["keras_alone", "classify", "saved_model", "serving_scores", "server", "score", "onnx"]


@pytest.mark.parametrize(
    ("task", "long_texts", "head"),
    [
        ("single_label", "truncate", "average"),
        pytest.param("single_label", "truncate", "labels and tokens", marks=pytest.mark.slow),
        pytest.param("multi_label", "windows", "average", marks=pytest.mark.slow),
        pytest.param("regression", "windows", "labels and tokens", marks=pytest.mark.slow),
        pytest.param("single_label", "windows", "labels and tokens", marks=pytest.mark.slow),
    ],
)
@given(texts=st.lists(TEXT, min_size=1, max_size=5))
@example(texts=["㍿" * 300 + " the king was old", "rain"])
@example(texts=["", " ", "\n"])
# Every example runs eight programs: fewer of them than elsewhere.
@settings(
    max_examples=settings.default.max_examples // 3,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_every_road_gives_the_same_answer(shared_exports, task, long_texts, head, texts):
    roads = roads_of(shared_exports, task, long_texts, head)
    expected = roads.from_keras(texts)
    assert np.isfinite(expected).all()
    names = ROADS if roads.takes_windows else [*ROADS, "litert"]
    for name in names:
        received = getattr(roads, f"from_{name}")(texts)
        np.testing.assert_allclose(received, expected, rtol=1e-5, atol=1e-5, err_msg=name)


@functools.cache
def roads_of_embedder(exports, pooling, long_texts):
    embedder = make_embedder(pooling, long_texts)
    return Roads.of(embedder, f"embedder-{pooling}-{long_texts}", exports)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("pooling", "long_texts"),
    [
        ("mean", "windows"),
        ("mean", "truncate"),
        ("weighted_mean", "truncate"),
        ("cls", "truncate"),
        ("last", "windows"),
    ],
)
@given(texts=st.lists(TEXT, min_size=1, max_size=5))
@example(texts=["㍿" * 300 + " the king was old", "rain"])
@example(texts=["", " ", "\n"])
@settings(
    max_examples=settings.default.max_examples // 3,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@pytest.mark.filterwarnings("ignore:.* are longer than .*:UserWarning")
def test_every_road_gives_the_same_embedding(shared_exports, pooling, long_texts, texts):
    roads = roads_of_embedder(shared_exports, pooling, long_texts)
    expected = roads.from_keras(texts)
    np.testing.assert_allclose(np.linalg.norm(expected, axis=-1), 1, atol=1e-6)
    names = ["keras_alone", "embed", "saved_model", "server", "score", "onnx"]
    for name in names if roads.takes_windows else [*names, "padded", "litert"]:
        received = getattr(roads, f"from_{name}")(texts)
        np.testing.assert_allclose(received, expected, rtol=1e-5, atol=1e-5, err_msg=name)
