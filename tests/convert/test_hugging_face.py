import json

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from keras_combiner.convert import use_combiner
from keras_combiner.convert.bert_checkpoint import BERT_TYPES
from tests.convert import bert_reference

NUM_LAYERS, NUM_HEADS = 2, 2
CONFIG = {
    "model_type": "bert",
    "vocab_size": 30,
    "hidden_size": 8,
    "num_hidden_layers": NUM_LAYERS,
    "num_attention_heads": NUM_HEADS,
    "intermediate_size": 12,
    "hidden_act": "gelu",
    "max_position_embeddings": 40,
    "type_vocab_size": 2,
    "layer_norm_eps": 1e-12,
}
LONG_TYPES = ("longformer", "big_bird")  # see test_families.py
VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *(f"word{i}" for i in range(26))]


def bert_tensors():
    generator = np.random.default_rng(0)

    def draw(*shape):
        return generator.normal(size=shape).astype("float32") * 0.5

    tensors = {
        "embeddings.word_embeddings.weight": draw(30, 8),
        "embeddings.position_embeddings.weight": draw(40, 8),
        "embeddings.token_type_embeddings.weight": draw(2, 8),
        "embeddings.position_ids": np.arange(40)[np.newaxis],
        "pooler.dense.weight": draw(8, 8),
    }
    shapes = {
        "attention.self.query": (8, 8),
        "attention.self.key": (8, 8),
        "attention.self.value": (8, 8),
        "attention.output.dense": (8, 8),
        "intermediate.dense": (12, 8),
        "output.dense": (8, 12),
        "attention.output.LayerNorm": (8,),
        "output.LayerNorm": (8,),
    }
    for i in range(NUM_LAYERS):
        for name, shape in shapes.items():
            tensors[f"encoder.layer.{i}.{name}.weight"] = draw(*shape)
            tensors[f"encoder.layer.{i}.{name}.bias"] = draw(shape[0])
    for name in ("weight", "bias"):
        tensors[f"embeddings.LayerNorm.{name}"] = draw(8)
    return tensors


def write(folder, tensors, config=None, vocabulary=VOCABULARY):
    (folder / "config.json").write_text(json.dumps({**CONFIG, **(config or {})}))
    if vocabulary:
        (folder / "vocab.txt").write_text("".join(f"{x}\n" for x in vocabulary))
    save_file(tensors, folder / "model.safetensors")


def check(backbone, tensors, token_ids):
    outputs = np.array(backbone(token_ids))
    for row, ids in zip(outputs, token_ids, strict=True):
        length = np.count_nonzero(ids)
        expected = bert_reference.hidden_states(tensors, ids[:length], NUM_LAYERS, NUM_HEADS)
        np.testing.assert_allclose(row[:length], expected, atol=1e-4)


@pytest.mark.parametrize("block_size", [21, 64])
def test_hidden_states_are_those_of_bert(block_size, tmp_path, token_ids):
    tensors = bert_tensors()
    write(tmp_path, tensors)
    backbone, tokenizer = use_combiner(tmp_path, block_size=block_size)
    check(backbone, tensors, token_ids)
    assert tokenizer(["Word3 word0"], 5).numpy().tolist() == [[2, 7, 4, 3, 0]]
    assert backbone.arguments["sequence_length"] == 4096


def test_a_plan_whose_parts_stand_for_the_text_comes_close(tmp_path, token_ids):
    write(tmp_path, bert_tensors())
    full, _ = use_combiner(tmp_path)
    valid = token_ids != 0
    errors = {}
    for summary in ("none", "variational"):
        backbone, _ = use_combiner(tmp_path, "fixed", block_size=4, summary=summary)
        difference = np.array(backbone(token_ids)) - np.array(full(token_ids))
        errors[summary] = np.mean(difference[valid] ** 2)
    assert 0 < errors["variational"] < errors["none"]


@pytest.mark.parametrize("form", ["prefix", "gamma", "half", "shards"])
def test_other_forms_of_the_same_checkpoint(form, tmp_path, token_ids):
    tensors = bert_tensors()
    stored = dict(tensors)
    if form == "prefix":  # of a model with a head
        stored = {f"bert.{name}": x for name, x in stored.items()}
        stored["cls.predictions.bias"] = np.zeros(30, "float32")
    if form == "gamma":  # as the first checkpoints have it
        endings = {"LayerNorm.weight": "LayerNorm.gamma", "LayerNorm.bias": "LayerNorm.beta"}
        for old, new in endings.items():
            stored = {name.replace(old, new): x for name, x in stored.items()}
    if form == "half":
        stored = {
            name: x.astype("float16") if x.dtype == "float32" else x for name, x in stored.items()
        }
        tensors = stored
    write(tmp_path, stored)
    if form == "shards":
        names = sorted(stored)
        files = {name: f"model-{i % 2}.safetensors" for i, name in enumerate(names)}
        for file in set(files.values()):
            save_file({x: stored[x] for x in names if files[x] == file}, tmp_path / file)
        index = {"weight_map": files}
        (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
        (tmp_path / "model.safetensors").unlink()
    backbone, _ = use_combiner(tmp_path)
    check(backbone, tensors, token_ids)


def test_quantized_checkpoints_are_refused(tmp_path):
    name, tensors = "encoder.layer.1.output.dense.weight", bert_tensors()
    write(tmp_path, {**tensors, name: np.ones((8, 12), "int8")})
    with pytest.raises(ValueError, match=rf"Expected the tensor {name} in .* F32.*Received: I8"):
        use_combiner(tmp_path)
    write(tmp_path, tensors, {"quantization_config": {"load_in_8bit": True}})
    with pytest.raises(ValueError, match=r"quantization_config in .* to be null"):
        use_combiner(tmp_path)


@pytest.mark.slow
def test_bfloat16_is_read(tmp_path):
    torch = pytest.importorskip("torch")
    from safetensors.torch import save_file as save_torch

    tensors = bert_tensors()
    write(tmp_path, tensors)
    save_torch(
        {x: torch.tensor(y).to(torch.bfloat16) for x, y in tensors.items()},
        tmp_path / "model.safetensors",
    )
    backbone, _ = use_combiner(tmp_path)
    received = backbone.embedding.token_embedding.embeddings
    expected = tensors["embeddings.word_embeddings.weight"]
    np.testing.assert_allclose(received, expected, rtol=1e-2)


def test_a_cased_vocabulary(tmp_path):
    write(tmp_path, bert_tensors(), vocabulary=[*VOCABULARY[:-1], "É"])
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"do_lower_case": False}))
    _, tokenizer = use_combiner(tmp_path)
    assert tokenizer(["É é"], 5).numpy().tolist() == [[2, 29, 1, 3, 0]]


@pytest.mark.parametrize("lowercase", [True, False])
def test_the_vocabulary_of_a_tokenizer_json(lowercase, tmp_path):
    tokenizers = pytest.importorskip("tokenizers")
    write(tmp_path, bert_tensors(), vocabulary=None)
    vocabulary = {token: i for i, token in enumerate([*VOCABULARY[:-1], "É"])}
    saved = tokenizers.BertWordPieceTokenizer(vocabulary, lowercase=lowercase)
    saved.save(str(tmp_path / "tokenizer.json"))
    _, tokenizer = use_combiner(tmp_path)
    text = "É word0 WORD1"
    assert tokenizer([text], 5).numpy().tolist() == [saved.encode(text).ids]
    stored = json.loads((tmp_path / "tokenizer.json").read_text())
    stored["normalizer"] = {"type": "NFC"}
    (tmp_path / "tokenizer.json").write_text(json.dumps(stored))
    with pytest.raises(ValueError, match=r"Expected normalizer\.type in .*BertNormalizer"):
        use_combiner(tmp_path)
    assert use_combiner(tmp_path, tokenizer=list(vocabulary))[1].vocabulary_size == 30
    stored["model"]["type"] = "Unigram"
    (tmp_path / "tokenizer.json").write_text(json.dumps(stored))
    assert use_combiner(tmp_path)[1] is None


def test_padding_that_is_not_0_changes_places_with_what_is(tmp_path, token_ids):
    tensors = bert_tensors()
    vocabulary = [VOCABULARY[4], *VOCABULARY[1:4], VOCABULARY[0], *VOCABULARY[5:]]
    write(tmp_path, tensors, {"pad_token_id": 4}, vocabulary)
    backbone, tokenizer = use_combiner(tmp_path)
    assert tokenizer.vocabulary == VOCABULARY
    assert tokenizer(["word0 word1"], 5).numpy().tolist() == [[2, 4, 5, 3, 0]]
    theirs = np.where(token_ids == 4, 0, np.where(token_ids == 0, 4, token_ids))
    outputs = np.array(backbone(token_ids))[0]
    expected = bert_reference.hidden_states(tensors, theirs[0], NUM_LAYERS, NUM_HEADS)
    np.testing.assert_allclose(outputs, expected, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("model_type", [x for x in BERT_TYPES if x not in LONG_TYPES])
def test_random_models_of_transformers(model_type, tmp_path, token_ids):
    transformers = pytest.importorskip("transformers")
    torch = pytest.importorskip("torch")
    options = {x: y for x, y in CONFIG.items() if x != "model_type"}
    if model_type == "distilbert":
        options = {"vocab_size": 30, "dim": 8, "n_layers": 2, "n_heads": 2, "hidden_dim": 12}
        options["max_position_embeddings"] = 40
    if model_type not in ("bert", "distilbert"):
        options.update(layer_norm_eps=1e-5, pad_token_id=1)
    torch.manual_seed(0)
    config = transformers.AutoConfig.for_model(model_type, **options)
    model = transformers.AutoModel.from_config(config).eval()
    for weight in model.parameters():
        torch.nn.init.normal_(weight, std=0.5)
    model.save_pretrained(tmp_path)
    backbone, tokenizer = use_combiner(tmp_path)
    assert tokenizer is None  # no vocabulary was saved
    # In RoBERTa 1 is padding: the two ids change places.
    theirs = np.where(token_ids == 0, config.pad_token_id, token_ids)
    valid = token_ids != 0
    with torch.no_grad():
        expected = model(torch.tensor(theirs), torch.tensor(valid)).last_hidden_state.numpy()
    outputs = np.array(backbone(token_ids))
    np.testing.assert_allclose(outputs[valid], expected[valid], atol=1e-4)
    longest = backbone.embedding.position_embeddings.shape[0]
    assert longest == 4096


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"model_type": "gpt2"}, "Expected a checkpoint of one of bert, distilbert"),
        (
            {"position_embedding_type": "relative_key"},
            r'position_embedding_type in .*config\.json to be "absolute"',
        ),
        ({"is_decoder": True}, r"is_decoder in .*config\.json to be false"),
        ({"hidden_act": "mish"}, r"hidden_act in .*config\.json to be an activation of gelu"),
        ({"num_hidden_layers": 3}, "Expected a tensor encoder.layer.2"),
    ],
)
def test_configs_it_refuses(config, words, tmp_path):
    write(tmp_path, bert_tensors(), config)
    with pytest.raises(ValueError, match=words):
        use_combiner(tmp_path)


def test_tokenizers_it_refuses(tmp_path):
    write(tmp_path, bert_tensors())
    (tmp_path / "tokenizer_config.json").write_text('{"tokenize_chinese_chars": false}')
    with pytest.raises(ValueError, match="every Chinese character a word"):
        use_combiner(tmp_path)
    (tmp_path / "tokenizer_config.json").unlink()
    with pytest.raises(ValueError, match=r"has 31 token ids, and the model embeddings of 30 only"):
        use_combiner(tmp_path, tokenizer=[*VOCABULARY, "one more"])


def test_missing_and_foreign_files(tmp_path):
    for content, words in (("{", "is not JSON"), ("[]", "is not a JSON object")):
        (tmp_path / "config.json").write_text(content)
        with pytest.raises(ValueError, match=rf"config\.json {words}"):
            use_combiner(tmp_path)
    with pytest.raises(FileNotFoundError, match="There is none at"):
        use_combiner(tmp_path / "nothing")
    write(tmp_path, bert_tensors())
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match=r"There is no .*model\.safetensors"):
        use_combiner(tmp_path)
    save_file({"weight": np.zeros(3)}, tmp_path / "model.safetensors")
    with pytest.raises(ValueError, match="Received 0"):
        use_combiner(tmp_path)
    assert load_file(tmp_path / "model.safetensors")["weight"].shape == (3,)


def test_safetensors_missing_names_the_extra(tmp_path, monkeypatch):
    write(tmp_path, bert_tensors())
    monkeypatch.setitem(__import__("sys").modules, "safetensors", None)
    with pytest.raises(ImportError, match=r"keras_combiner\[pretrained\]"):
        use_combiner(tmp_path)
