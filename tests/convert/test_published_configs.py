"""Settings as a family was published with, which Transformers spells or presumes otherwise."""

import json
from pathlib import Path

import pytest

from keras_combiner.convert import use_combiner
from keras_combiner.convert.checkpoint_config import CheckpointConfig
from tests.convert import families

families.skip_without_transformers()

REQUIRED = {
    "new": ("rope_theta", "pad_token_id"),
    "eurobert": ("rope_theta",),
    "nomic_bert": ("rotary_emb_base", "rotary_emb_fraction", "layer_norm_epsilon"),
}


PUBLISHED = {
    "new": {**families.SIZES, "rope_theta": 500.0, "pad_token_id": 1, "type_vocab_size": 1},
    "eurobert": {**families.SIZES, **families.FAMILIES["eurobert"], "rope_theta": 10000.0},
    "nomic_bert": families.PUBLISHED_NOMIC,
}


def write_published(folder, model_type):
    """Writes a config.json as published; tensors beside it are those of `families.save`."""
    (folder / "config.json").write_text(
        json.dumps({"model_type": model_type, **PUBLISHED[model_type]})
    )


@pytest.fixture(scope="module")
def nomic(tmp_path_factory):
    """The directory of a random model, and the model. Do not change it."""
    folder = tmp_path_factory.mktemp("nomic")
    return folder, families.save(folder, "nomic_bert", type_vocab_size=2)


@pytest.mark.parametrize(("model_type", "name"), [(x, y) for x in REQUIRED for y in REQUIRED[x]])
def test_what_published_code_presumes_otherwise_has_to_be_said(model_type, name, tmp_path):
    write_published(tmp_path, model_type)
    families.change_config(tmp_path, remove=[name])
    with pytest.raises(ValueError, match=rf"Expected {name} in .*config\.json\. It is missing"):
        use_combiner(tmp_path)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"moe_every_n_layers": 2}, "moe_every_n_layers in .* to be 0"),
        ({"prenorm": True}, "prenorm in .* to be false"),
        ({"activation_function": "gelu"}, "activation_function in .* swiglu"),
        ({"rotary_scaling_factor": 2}, "rotary_scaling_factor in .* null"),
        ({"odd": 2}, "says odd: 2"),
    ],
)
def test_what_nomic_does_not_have_is_refused(changes, words, tmp_path):
    write_published(tmp_path, "nomic_bert")
    families.change_config(tmp_path, **changes)
    with pytest.raises(ValueError, match=words):
        use_combiner(tmp_path)


def test_a_bias_that_is_said_has_to_be_there(nomic, tmp_path):
    (tmp_path / "model.safetensors").symlink_to(nomic[0] / "model.safetensors")
    write_published(tmp_path, "nomic_bert")
    families.change_config(tmp_path, qkv_proj_bias=True)
    with pytest.raises(ValueError, match=r"Expected a tensor .*Wqkv\.bias"):
        use_combiner(tmp_path)


def test_nomic_in_both_spellings(nomic, tmp_path):
    folder, model = nomic
    (tmp_path / "model.safetensors").symlink_to(folder / "model.safetensors")
    stored = json.loads((folder / "config.json").read_text())
    both = {**families.PUBLISHED_NOMIC, **stored}
    del both["type_vocab_size"]  # two in both
    (tmp_path / "config.json").write_text(json.dumps(both))
    backbone, _ = use_combiner(tmp_path, sequence_length=64, block_size=64)
    families.check_equal(backbone, model, 0, lengths=(21,))
    for changes, what in (({"rotary_emb_base": 70}, "rotation"), ({"n_head": 4}, "sizes")):
        (tmp_path / "config.json").write_text(json.dumps({**both, **changes}))
        with pytest.raises(ValueError, match=rf"config\.json spells .* {what}: "):
            use_combiner(tmp_path)


def test_types_of_tokens(nomic, tmp_path):
    (tmp_path / "model.safetensors").symlink_to(nomic[0] / "model.safetensors")
    write_published(tmp_path, "nomic_bert")
    families.change_config(tmp_path, type_vocab_size=3)
    with pytest.raises(ValueError, match=r"token_type_embeddings\.weight .* \[3, 16\].* \[2, 16\]"):
        use_combiner(tmp_path)


def test_a_base_beside_the_scaling(tmp_path):
    linear = {"rope_type": "linear", "factor": 4.0, "rope_theta": 70.0}
    model = families.save(tmp_path, "gte", rope_parameters=linear)
    for changes in ({"model_type": "gte"}, {"model_type": "new"}):
        families.change_config(tmp_path, remove=["rope_parameters"], rope_scaling=linear, **changes)
        backbone, _ = use_combiner(tmp_path, sequence_length=64, block_size=64)
        families.check_equal(backbone, model, 1, lengths=(21,))
    families.change_config(tmp_path, rope_theta=80.0)
    with pytest.raises(ValueError, match="to be 80, which is also said elsewhere"):
        use_combiner(tmp_path)


@pytest.mark.parametrize("value", [0, "6", 8.0, False])
@pytest.mark.parametrize("name", ["head_dim", "num_key_value_heads"])
def test_a_size_that_is_not_null_is_a_size(name, value, tmp_path):
    write_published(tmp_path, "eurobert")
    families.change_config(tmp_path, **{name: value})
    with pytest.raises(ValueError, match=rf"{name} in .* an int of at least 1\. Received: "):
        use_combiner(tmp_path)


def test_ntk_is_of_gte_alone(tmp_path):
    ntk = {"type": "ntk", "factor": 4.0}
    write_published(tmp_path, "eurobert")
    families.change_config(tmp_path, rope_scaling=ntk)
    words = 'rope_type in .* to be one of "default", "linear". Received: "ntk"'
    with pytest.raises(ValueError, match=words):
        use_combiner(tmp_path)
    write_published(tmp_path, "new")
    families.change_config(tmp_path, model_type="gte", rope_parameters=ntk)
    with pytest.raises(ValueError, match=words):
        use_combiner(tmp_path)


def test_an_end_of_text_that_is_left_out_may_be_the_padding():
    def padding(**content):
        config = CheckpointConfig(Path("config.json"), {"vocab_size": 128256, **content})
        return config.padding(128001, {"eos_token_id": 128001})

    assert padding() is padding(pad_token_id=128001) is None
    assert padding(pad_token_id=7) == 7
    assert padding(eos_token_id=7) == 128001
    assert padding(eos_token_id=[5, 128001]) is None


def test_words_for_tokens_do_not_matter(tmp_path):
    write_published(tmp_path, "eurobert")
    words = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>", "mask_token": "<mask>"}
    families.change_config(tmp_path, **words, matryoshka_dimensions=[8], is_matryoshka=True)
    with pytest.raises(FileNotFoundError, match=r"no .*model\.safetensors"):  # and no ValueError
        use_combiner(tmp_path)
