"""The real thing: pretrained MiniLM, read from its checkpoint."""

import numpy as np
import pytest
from safetensors.numpy import load_file

from keras_combiner import LongDocumentClassifier
from keras_combiner.convert import use_combiner
from keras_combiner.datasets import load_sotu_era
from keras_combiner.text import BertTokenizer
from tests.convert import bert_reference

TEXT = "The house stood — “naïvely”, it seems — on unstable ground… It had cost £½ million. " * 10


def test_hidden_states_are_those_of_bert_in_float64(minilm):
    backbone, tokenizer = use_combiner(minilm, block_size=128, sequence_length=600)
    token_ids = tokenizer([TEXT, "short"], sequence_length=128).numpy()
    assert token_ids[0].all() and token_ids[1].tolist()[:4] == [101, 2460, 102, 0]
    outputs = np.array(backbone(token_ids))
    tensors = load_file(minilm / "model.safetensors")
    for row, length in ((0, 128), (1, 3)):
        expected = bert_reference.hidden_states(tensors, token_ids[row, :length], 6, 12)
        np.testing.assert_allclose(outputs[row, :length], expected, atol=1e-4)


def test_positions_beyond_the_table_are_tiled(minilm):
    backbone, _ = use_combiner(minilm, sequence_length=1100)
    table = np.array(backbone.embedding.position_embeddings)
    assert table.shape == (1100, 384)
    np.testing.assert_array_equal(table[512:1024], table[:512])
    np.testing.assert_array_equal(table[1024:], table[:76])


@pytest.mark.slow
def test_fine_tuned_at_1024_tokens_its_loss_falls(minilm, tmp_path):
    documents = load_sotu_era()["train"][::25][:20]
    texts, labels = [x.text for x in documents], [x.label for x in documents]
    classifier = LongDocumentClassifier.from_pretrained(minilm, labels, sequence_length=1024)
    losses = classifier.fit(texts, labels, batch_size=4, epochs=4, verbose=0).history["loss"]
    assert losses[-1] < 0.9 * losses[0]
    classifier.save(tmp_path / "model.keras")
    loaded = LongDocumentClassifier.load(tmp_path / "model.keras")
    np.testing.assert_allclose(loaded.predict(texts[:2]), classifier.predict(texts[:2]), atol=1e-5)


@pytest.mark.slow
def test_not_yet_trained_it_is_close_to_the_original_at_512_tokens(minilm):
    documents = load_sotu_era()["test"][::20]
    full, tokenizer = use_combiner(minilm, block_size=512, sequence_length=512)
    combiner, _ = use_combiner(minilm, sequence_length=512)
    token_ids = tokenizer([x.text for x in documents], sequence_length=512).numpy()
    assert token_ids.all() and len(token_ids) >= 10
    expected, outputs = (model.predict(token_ids, verbose=0) for model in (full, combiner))
    assert np.mean(cosine(outputs.mean(axis=1), expected.mean(axis=1))) >= 0.96
    assert np.mean(cosine(outputs, expected)) >= 0.95


@pytest.mark.slow
def test_hidden_states_are_those_of_transformers(minilm):
    transformers = pytest.importorskip("transformers")
    torch = pytest.importorskip("torch")
    backbone, tokenizer = use_combiner(minilm, block_size=512, sequence_length=512)
    theirs = transformers.AutoTokenizer.from_pretrained(str(minilm))
    texts = [TEXT * 5, TEXT, ""]
    batch = theirs(
        texts, padding="max_length", max_length=512, truncation=True, return_tensors="pt"
    )
    token_ids = tokenizer(texts, sequence_length=512).numpy()
    np.testing.assert_array_equal(token_ids, batch["input_ids"].numpy())
    with torch.no_grad():
        model = transformers.AutoModel.from_pretrained(str(minilm))
        expected = model(**batch).last_hidden_state.numpy()
    valid = token_ids != 0
    np.testing.assert_allclose(np.array(backbone(token_ids))[valid], expected[valid], atol=1e-4)


def cosine(x, y):
    return np.sum(x * y, -1) / np.linalg.norm(x, axis=-1) / np.linalg.norm(y, axis=-1)


def test_the_tokenizer_is_bert_s_uncased_one(minilm):
    _, tokenizer = use_combiner(minilm)
    assert type(tokenizer) is BertTokenizer
    assert tokenizer.lowercase and tokenizer.vocabulary_size == 30522
    assert tokenizer.start_token_id == 101 and tokenizer.end_token_id == 102
