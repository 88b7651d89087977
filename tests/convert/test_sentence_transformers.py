"""Directories of sentence-transformers: what they say is done, and what is not known refused."""

import json

import numpy as np
import pytest
from safetensors.numpy import load_file

from keras_combiner import LongDocumentEmbedder
from keras_combiner.convert.sentence_transformers import read_sentence_transformer
from keras_combiner.text import BertTokenizer, ByteTokenizer
from tests.convert import bert_reference
from tests.convert.test_hugging_face import VOCABULARY, bert_tensors, write

TEXTS = [
    "The house stood on unstable ground; it had cost half a million.",
    "",
    "Naïvely, they had built their home on sand. " * 12,
]
NAMES = ["Transformer", "Pooling", "Normalize"]


def write_json(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))


def write_modules(
    folder,
    pooling=None,
    names=NAMES,
    settings=None,
    encoder="",
    bert=None,
    package="sentence_transformers.models",
):
    """A directory as sentence-transformers saves it, of a small BERT."""
    paths = [encoder, *(f"{i}_{name}" for i, name in enumerate(names[1:], start=1))]
    modules = [
        {"idx": i, "name": str(i), "path": path, "type": f"{package}.{name}"}
        for i, (path, name) in enumerate(zip(paths, names, strict=True))
    ]
    write_json(folder / "modules.json", modules)
    write_json(folder / "1_Pooling/config.json", pooling or {"pooling_mode": "mean"})
    if settings is not None:
        write_json(folder / "config_sentence_transformers.json", settings)
    (folder / encoder).mkdir(exist_ok=True)
    write(folder / encoder, bert_tensors())
    if bert is not None:
        write_json(folder / encoder / "sentence_bert_config.json", bert)


def flags(*true, **others):
    names = ("cls_token", "mean_tokens", "max_tokens", "mean_sqrt_len_tokens")
    modes = {f"pooling_mode_{name}": name in true for name in names}
    return {"word_embedding_dimension": 8, **modes, **others}


READ = {
    "flags": ({"pooling": flags("mean_tokens")}, "mean", True),
    "cls": ({"pooling": flags("cls_token"), "names": NAMES[:2]}, "cls", False),
    "last": ({"pooling": flags(pooling_mode_lasttoken=True)}, "last", True),
    "weighted": (
        {"pooling": flags(pooling_mode_weightedmean_tokens=True)},
        "weighted_mean",
        True,
    ),
    "one key": ({"pooling": {"pooling_mode": "lasttoken"}}, "last", True),
    "a list": ({"pooling": {"pooling_mode": ["weightedmean"]}}, "weighted_mean", True),
    "no mode": ({"pooling": {"embedding_dimension": 8}}, "mean", True),
    "an encoder in a folder": ({"encoder": "0_Transformer"}, "mean", True),
    "settings": (
        {"settings": {"prompts": {"query": "query: "}, "default_prompt_name": None}},
        "mean",
        True,
    ),
    "what sentence-transformers 6 writes": (
        {
            "package": "sentence_transformers.base.modules",
            "settings": {"model_type": "SentenceTransformer"},
            "bert": {
                "transformer_task": "feature-extraction",
                "modality_config": {
                    "text": {"method": "forward", "method_output_name": "last_hidden_state"}
                },
                "module_output_name": "token_embeddings",
            },
        },
        "mean",
        True,
    ),
}


@pytest.mark.parametrize(("options", "pooling", "normalize"), READ.values(), ids=list(READ))
def test_what_the_files_say(options, pooling, normalize, tmp_path):
    write_modules(tmp_path, **options)
    found = read_sentence_transformer(tmp_path)
    assert (found.pooling, found.normalize) == (pooling, normalize)
    assert (found.encoder / "config.json").exists()


def test_arguments_take_precedence_over_the_files(tmp_path):
    write_modules(tmp_path, flags("mean_tokens"), encoder="0_Transformer")
    embedder = LongDocumentEmbedder.from_pretrained(tmp_path, sequence_length=32)
    assert (embedder.pooling, embedder.task.normalize) == ("mean", True)
    other = LongDocumentEmbedder.from_pretrained(
        tmp_path,
        sequence_length=32,
        pooling="cls",
        normalize=False,
        truncate_dim=3,
        similarity_function="dot",
    )
    assert other.similarity_function == "dot"
    assert (other.pooling, other.task.normalize, other.output_shape) == ("cls", False, (None, 3))


@pytest.mark.parametrize("name", ["sentence_bert_config.json", "sentence_xlnet_config.json"])
def test_lower_case_is_what_the_tokenizer_makes(name, tmp_path):
    write_modules(tmp_path, bert={})
    write_json(tmp_path / name, {"do_lower_case": True})
    found = read_sentence_transformer(tmp_path)
    lower, cased = (BertTokenizer(VOCABULARY, lowercase=x) for x in (True, False))
    found.check_tokenizer(lower)
    for tokenizer in (cased, ByteTokenizer()):
        with pytest.raises(
            ValueError,
            match=rf"that makes texts lower-case.* Received: a {type(tokenizer).__name__}",
        ):
            found.check_tokenizer(tokenizer)


def test_an_encoder_with_capitals_is_refused(tmp_path):
    write_modules(tmp_path, bert={"do_lower_case": True})
    assert LongDocumentEmbedder.from_pretrained(tmp_path, sequence_length=32).tokenizer is not None
    write_json(tmp_path / "tokenizer_config.json", {"do_lower_case": False})
    with pytest.raises(ValueError, match="Received: a BertTokenizer that keeps capitals"):
        LongDocumentEmbedder.from_pretrained(tmp_path, sequence_length=32)


def test_files_come_before_a_model_beside_them(tmp_path):
    (tmp_path / "model.keras").write_text("of something else")
    settings = {"similarity_fn_name": "dot"}
    write_modules(tmp_path, flags("cls_token"), names=NAMES[:2], settings=settings)
    embedder = LongDocumentEmbedder.from_pretrained(tmp_path, sequence_length=32)
    assert (embedder.pooling, embedder.similarity_function) == ("cls", "dot")


def test_settings_and_a_directory_without_modules(tmp_path):
    settings = {"truncate_dim": 5, "similarity_fn_name": "dot"}
    write_modules(tmp_path, settings=settings, names=NAMES[:2])
    found = read_sentence_transformer(tmp_path)
    assert (found.truncate_dim, found.similarity_function) == (5, "dot")
    embedder = LongDocumentEmbedder.from_pretrained(tmp_path, sequence_length=32)
    assert embedder.truncate_dim == 5 and embedder.similarity_function == "dot"
    (tmp_path / "modules.json").unlink()
    embedder = LongDocumentEmbedder.from_pretrained(tmp_path, sequence_length=32)
    assert (embedder.pooling, embedder.task.normalize) == ("mean", False)


REFUSED = {
    "a module": (
        {"names": [*NAMES[:2], "Dense"]},
        r"modules.json to be Transformer, Pooling.*Received at \[2\]: Dense",
    ),
    "a module too many": ({"names": [*NAMES, "Dense"]}, r"Received at \[3\]: Dense"),
    "no pooling": ({"names": NAMES[:1]}, r"Received at \[1\]: the end of the list"),
    "max": (
        {"pooling": flags("max_tokens")},
        r"pooling_mode_max_tokens in .*1_Pooling.config.json to be false: this pooling is not",
    ),
    "an unknown flag": (
        {"pooling": flags("mean_tokens", pooling_mode_x=True)},
        "pooling_mode_x in",
    ),
    "two": (
        {"pooling": flags("mean_tokens", "cls_token")},
        "to be true. Received: pooling_mode_cls_token, pooling_mode_mean_tokens",
    ),
    "none": ({"pooling": flags()}, "to be true. Received: none"),
    "an unknown mode": ({"pooling": {"pooling_mode": "max"}}, 'one of mean, .*Received: "max"'),
    "several modes": (
        {"pooling": {"pooling_mode": ["mean", "cls"]}},
        "Expected pooling_mode in .* to be one of mean, cls",
    ),
    "without prompts": (
        {"pooling": {"pooling_mode": "mean", "include_prompt": False}},
        "Expected include_prompt in .* to be true",
    ),
    "a dimension": (
        {"pooling": flags("mean_tokens", word_embedding_dimension=9)},
        "word_embedding_dimension in .* to be 8, the hidden_size of the encoder. Received: 9",
    ),
    "a prompt": (
        {"settings": {"prompts": {"q": "query: "}, "default_prompt_name": "q"}},
        'default_prompt_name in .*config_sentence_transformers.json to be null.*Received: "q"',
    ),
    "a similarity": (
        {"settings": {"similarity_fn_name": "euclidean"}},
        'similarity_fn_name in .* to be one of cosine, dot. Received: "euclidean"',
    ),
    "a size": ({"settings": {"truncate_dim": 0}}, "truncate_dim in .* to be an int of at least 1"),
    "a shorter dot product": (
        {"settings": {"truncate_dim": 4, "similarity_fn_name": "dot"}},
        "similarity_fn_name in .* to be cosine, beside a Normalize .*truncate_dim. Received: .dot",
    ),
    "another class": (
        {"settings": {"model_type": "SparseEncoder"}},
        'model_type in .* to be "SentenceTransformer". Received: "SparseEncoder"',
    ),
    "another type": (
        {"package": "modeling_mine"},
        r"modules.json to be Transformer.*Received at \[0\]: modeling_mine.Transformer",
    ),
    "a task": (
        {"bert": {"transformer_task": "fill-mask"}},
        'transformer_task in .*sentence_bert_config.json to be "feature-extraction"',
    ),
    "a modality": ({"bert": {"modality_config": {"image": {}}}}, "modality_config in .* to be {"),
    "an output": ({"bert": {"module_output_name": "x"}}, "module_output_name in .*token_embedd"),
    "lower case of what": ({"bert": {"do_lower_case": "yes"}}, "do_lower_case in .*sentence_bert"),
}


@pytest.mark.parametrize(("options", "words"), REFUSED.values(), ids=list(REFUSED))
def test_what_is_refused(options, words, tmp_path):
    write_modules(tmp_path, **options)
    with pytest.raises(ValueError, match=words):
        LongDocumentEmbedder.from_pretrained(tmp_path)


def test_damaged_files(tmp_path):
    write_modules(tmp_path)
    write_json(tmp_path / "2_Normalize/config.json", {"module_input_name": "token_embeddings"})
    with pytest.raises(ValueError, match=r"module_input_name in .*2_Normalize"):
        read_sentence_transformer(tmp_path)
    (tmp_path / "1_Pooling/config.json").unlink()
    (tmp_path / "2_Normalize/config.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"There is no .*1_Pooling"):
        read_sentence_transformer(tmp_path)
    for content in ("{", '{"idx": 0}', '[{"idx": 0, "path": 1, "type": "a.Transformer"}]'):
        (tmp_path / "modules.json").write_text(content)
        with pytest.raises(ValueError, match=r"modules.json to be a JSON list of modules"):
            read_sentence_transformer(tmp_path)


@pytest.mark.slow
def test_minilm_by_its_definition_in_float64(minilm):
    embedder = LongDocumentEmbedder.from_pretrained(minilm, sequence_length=128, block_size=128)
    assert (embedder.pooling, embedder.task.normalize) == ("mean", True)
    texts = TEXTS[:2]
    received = embedder.embed(texts, verbose=0)
    tensors = load_file(minilm / "model.safetensors")
    for text, vector in zip(texts, received, strict=True):
        token_ids = embedder.tokenizer.encode([text]).numpy()[0]
        mean = bert_reference.hidden_states(tensors, token_ids, 6, 12).mean(axis=0)
        np.testing.assert_allclose(vector, mean / np.linalg.norm(mean), atol=1e-5)


@pytest.mark.slow
def test_minilm_by_sentence_transformers(minilm):
    library = pytest.importorskip("sentence_transformers")
    embedder = LongDocumentEmbedder.from_pretrained(minilm, sequence_length=256, block_size=256)
    theirs = library.SentenceTransformer(str(minilm), device="cpu")
    received = embedder.embed(TEXTS, verbose=0)
    np.testing.assert_allclose(received, theirs.encode(TEXTS), atol=1e-5)
    # Texts that fit into a block are embedded alike by the default.
    default = LongDocumentEmbedder.from_pretrained(minilm, sequence_length=256)
    np.testing.assert_allclose(default.embed(TEXTS[:2], verbose=0), received[:2], atol=1e-5)
    assert np.sum(default.embed(TEXTS[2:], verbose=0) * received[2:]) > 0.98
    shorter = LongDocumentEmbedder.from_pretrained(
        minilm, sequence_length=256, block_size=256, truncate_dim=64
    )
    expected = theirs.encode(TEXTS, truncate_dim=64, normalize_embeddings=True)
    np.testing.assert_allclose(shorter.embed(TEXTS, verbose=0), expected, atol=1e-5)
