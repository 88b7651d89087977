import numpy as np
import pytest

from keras_combiner import CombinerMaskedLM, LongDocumentClassifier, LongDocumentEmbedder
from keras_combiner.batches.windows import split_into_windows
from keras_combiner.convert.sentence_transformers import POOLINGS
from keras_combiner.data_warning import DataWarning
from keras_combiner.datasets import read_texts
from keras_combiner.models.not_finite_error import NotFiniteError
from tests.models.weather_embedder import SEQUENCE_LENGTH, TEXTS, make

pytestmark = pytest.mark.usefixtures("eager")
LONG = "rain and wind, " * 5
WINDOWED = [*TEXTS, LONG, "a king " * 20]


def expected(embedder, pooling, token_ids):
    """The definition, in float64: a pooling of the states of one text without padding."""
    states = np.float64(embedder.backbone(token_ids[np.newaxis])[0])
    places = np.arange(1, len(states) + 1)[:, np.newaxis]
    return {
        "mean": states.mean(axis=0),
        "cls": states[0],
        "last": states[-1],
        "weighted_mean": (places * states).sum(axis=0) / places.sum(),
    }[pooling]


@pytest.mark.parametrize(
    ("pooling", "normalize", "truncate_dim"),
    [
        ("mean", True, None),
        ("cls", False, None),
        ("last", True, 5),
        ("weighted_mean", False, 5),
        *(pytest.param(x, False, None, marks=pytest.mark.slow) for x in POOLINGS),
        *(pytest.param(x, True, 5, marks=pytest.mark.slow) for x in POOLINGS),
    ],
)
def test_the_definition(pooling, normalize, truncate_dim):
    embedder = make(pooling=pooling, normalize=normalize, truncate_dim=truncate_dim)
    texts = TEXTS[1:4]
    received = embedder.embed(texts, verbose=0)
    assert received.dtype == "float32" and received.shape == (3, truncate_dim or 16)
    for text, vector in zip(texts, received, strict=True):
        token_ids = embedder.tokenizer.encode([text]).numpy()[0]
        truth = expected(embedder, pooling, token_ids)[:truncate_dim]
        truth = truth / np.linalg.norm(truth) if normalize else truth
        np.testing.assert_allclose(vector, truth, atol=1e-5)


@pytest.mark.parametrize(
    "pooling", ["last", *(pytest.param(x, marks=pytest.mark.slow) for x in POOLINGS if x != "last")]
)
def test_alone_in_a_batch_and_padded_a_text_has_one_embedding(pooling):
    embedder = make(pooling=pooling, normalize=True, long_texts="windows")
    together = embedder.embed(WINDOWED, batch_size=2, verbose=0)
    for place in (0, 1, 4, 5):
        alone = embedder.embed(WINDOWED[place : place + 1], verbose=0)
        np.testing.assert_allclose(together[place : place + 1], alone, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(together, axis=-1), 1, atol=1e-6)
    padded = embedder.tokenizer(TEXTS[:4], SEQUENCE_LENGTH)
    np.testing.assert_allclose(embedder(padded), together[:4], atol=1e-6)
    assert np.abs(together[0] - together[2]).max() > 0.05


@pytest.mark.parametrize("normalize", [pytest.param(False, marks=pytest.mark.slow), True])
def test_windows_are_averaged(normalize):
    embedder = make(normalize=normalize, long_texts="windows")
    windows = split_into_windows(embedder.tokenizer.encode([LONG]).numpy()[0], SEQUENCE_LENGTH)
    assert len(windows) > 3
    truth = np.mean([embedder(window[np.newaxis])[0] for window in windows], axis=0)
    truth = truth / np.linalg.norm(truth) if normalize else truth
    np.testing.assert_allclose(embedder.embed([LONG], verbose=0)[0], truth, atol=1e-5)


def test_truncated_texts_are_counted():
    embedder = make()
    with pytest.warns(DataWarning, match=r"3 of 7 texts are longer than 24 tokens .* truncated"):
        received = embedder.embed(WINDOWED, verbose=0)
    with pytest.warns(DataWarning):
        cut = embedder.embed([LONG[:22] + "other words"], verbose=0)
    np.testing.assert_allclose(received[5], cut[0], atol=1e-6)
    embedder.long_texts = "windows"
    _, summary = embedder.predict_with_summary(WINDOWED, verbose=0)
    assert (summary["documents"], summary["longer_than_sequence_length"]) == (7, 3)
    assert summary["windows"] > 12


def test_what_it_embeds(tmp_path):
    embedder = make()
    truth = embedder.embed(["rain", "wind"], verbose=0)
    path = tmp_path / "texts.jsonl"
    path.write_text('{"text": "rain"}\n{"text": "wind"}\n')
    for texts in (("rain", "wind"), np.array([b"rain", b"wind"]), read_texts(path)):
        np.testing.assert_array_equal(embedder.embed(texts, verbose=0), truth)
    assert embedder.embed([], verbose=0).shape == (0, 16)


def test_similarity():
    embedder = make()
    a, b = embedder.embed(TEXTS[:2], verbose=0), embedder.embed(TEXTS[:3], verbose=0)
    truth = [[np.dot(x, y) / np.linalg.norm(x) / np.linalg.norm(y) for y in b] for x in a]
    np.testing.assert_allclose(embedder.similarity(a, b), truth, atol=1e-6)
    np.testing.assert_allclose(embedder.similarity(TEXTS[:2], b), truth, atol=1e-6)
    dot = make(similarity_function="dot").similarity(TEXTS[:2], TEXTS[:3])
    np.testing.assert_allclose(dot, a @ b.T, rtol=1e-5)


def test_saved_and_loaded(tmp_path):
    embedder = make(pooling="weighted_mean", normalize=True, truncate_dim=7, long_texts="windows")
    embedder.backbone.get_layer("encoder_0").trainable = False
    embedder.save(tmp_path / "model.keras")
    loaded = LongDocumentEmbedder.load(tmp_path)
    assert loaded.get_config() == embedder.get_config()
    assert loaded.task.normalize and loaded.trainable_weights != loaded.weights
    texts = WINDOWED[-3:]
    np.testing.assert_array_equal(loaded.embed(texts, verbose=0), embedder.embed(texts, verbose=0))
    with pytest.raises(ValueError, match="holds a LongDocumentEmbedder, not a LongDocumentClass"):
        LongDocumentClassifier.load(tmp_path)


@pytest.mark.parametrize(
    "dtype",
    [
        "mixed_float16",
        pytest.param("bfloat16", marks=pytest.mark.slow),
        pytest.param("float64", marks=pytest.mark.slow),
    ],
)
def test_other_precisions(dtype):
    embedder, truth = make(normalize=True, backbone={"dtype": dtype}), make(normalize=True)
    received = embedder.embed(TEXTS[:4], verbose=0)
    assert received.dtype == "float32"
    np.testing.assert_allclose(np.linalg.norm(received, axis=-1), 1, atol=1e-6)
    cosines = np.sum(received * truth.embed(TEXTS[:4], verbose=0), axis=-1)
    assert cosines.min() > (0.9999 if dtype == "float64" else 0.97)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Layer .* does not have a `quantize`:UserWarning")
def test_quantized_by_keras(tmp_path):
    embedder = make(normalize=True, num_layers=2)
    truth = embedder.embed(TEXTS[:4], verbose=0)
    embedder.quantize("int8")
    received = embedder.embed(TEXTS[:4], verbose=0)
    assert np.sum(received * truth, axis=-1).min() > 0.98
    embedder.save(tmp_path / "model.keras")
    loaded = LongDocumentEmbedder.load(tmp_path)
    np.testing.assert_allclose(loaded.embed(TEXTS[:4], verbose=0), received, atol=1e-6)


def test_from_other_models_of_this_package():
    language_model = CombinerMaskedLM.from_texts(
        TEXTS, sequence_length=SEQUENCE_LENGTH, num_layers=1, vocabulary_size=60, verbose=False
    )
    embedder = LongDocumentEmbedder.from_pretrained(language_model, sequence_length=48)
    assert (embedder.pooling, embedder.task.normalize) == ("mean", False)
    assert embedder.sequence_length == 48 and embedder.tokenizer is language_model.tokenizer
    token_ids = embedder.tokenizer(["a king"], 12)
    states = np.array(language_model.backbone(token_ids))[0, np.array(token_ids)[0] != 0]
    np.testing.assert_allclose(
        embedder.embed(["a king"], verbose=0)[0], states.mean(axis=0), atol=1e-5
    )


def test_from_an_embedder_and_its_file(tmp_path):
    embedder = make(pooling="cls", normalize=True, truncate_dim=9)
    embedder.save(tmp_path / "model.keras")
    for source in (embedder, tmp_path):
        longer = LongDocumentEmbedder.from_pretrained(source, sequence_length=48)
        assert longer.sequence_length == 48
        np.testing.assert_array_equal(longer.embed(["rain"]), embedder.embed(["rain"]))


WRONG = {
    "pooling": ({"pooling": "max"}, "`pooling` must be one of 'mean', 'cls', 'last', 'weigh"),
    "long texts": ({"long_texts": "cut"}, "`long_texts` must be one of"),
    "similarity": ({"similarity_function": "euclidean"}, "must be one of 'cosine', 'dot'"),
    "too many": ({"truncate_dim": 17}, "must be an int from 1 to 16, the width of the backbone"),
    "none": ({"truncate_dim": 0}, "must be an int from 1 to 16.* Received: 0"),
    "a bool": ({"truncate_dim": True}, "must be an int from 1 to 16.* Received: True"),
}


@pytest.mark.parametrize(("options", "words"), WRONG.values(), ids=list(WRONG))
def test_wrong_arguments(options, words):
    with pytest.raises(ValueError, match=words):
        make(**options)


def test_wrong_inputs():
    embedder = make()
    with pytest.raises(ValueError, match="Received a single one"):
        embedder.embed("rain")
    with pytest.raises(TypeError, match="Received at position 1: None"):
        embedder.embed(["rain", None])
    with pytest.raises(ValueError, match=r"Expected `b` to be texts, or embeddings of shape \[te"):
        embedder.similarity(["rain"], np.zeros((3, 4)))
    with pytest.raises(TypeError, match=r"is called with token ids\. Received: strings"):
        embedder(["rain"])
    embedder.backbone.get_layer("norm").gamma.assign(np.full(16, np.nan))
    with pytest.raises(NotFiniteError):
        embedder.embed(["rain"], verbose=0)
