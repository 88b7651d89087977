"""Every family of encoders has the hidden states of Transformers' own model of it."""

import json

import keras
import numpy as np
import pytest

from keras_combiner import CombinerBackbone
from keras_combiner.convert import use_combiner
from keras_combiner.factorizations import Fixed, Window
from tests.convert import families

families.skip_without_transformers()

SLOW = ("big_bird", "nomic_bert")  # read by the same functions as longformer and gte
# As the first versions of Transformers with ModernBERT wrote it.
OF_VERSION_4 = {
    "global_attn_every_n_layers": 2,
    "global_rope_theta": 160000.0,
    "local_rope_theta": 10000.0,
    "position_embedding_type": "absolute",
    "torch_dtype": "float32",
    "gradient_checkpointing": False,
}
MODERNBERT = {
    "default": {},
    "biases": {"attention_bias": True, "mlp_bias": True, "norm_bias": True},
    "one bias": {"mlp_bias": True, "hidden_activation": "silu", "norm_eps": 1e-3},
    "layer types": {
        "layer_types": ["sliding_attention", "full_attention", "sliding_attention"],
        "local_attention": 9,
        "rope_parameters": {
            "full_attention": {"rope_type": "default", "rope_theta": 700.0},
            "sliding_attention": {"rope_type": "default", "rope_theta": 30.0},
        },
    },
}


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Function of a family: the directory of a random model, and the model. Do not change it."""
    made = {}

    def get(family):
        if family not in made:
            folder = tmp_path_factory.mktemp(family)
            made[family] = folder, families.save(folder, family)
        return made[family]

    return get


def as_it_is(family):
    """Arguments with which nothing is approximated."""
    return {} if family == "longformer" else {"block_size": 64}


@pytest.mark.parametrize(
    "family",
    [pytest.param(x, marks=pytest.mark.slow if x in SLOW else ()) for x in families.FAMILIES],
)
def test_hidden_states_are_those_of_transformers(family, saved):
    folder, model = saved(family)
    backbone, tokenizer = use_combiner(folder, sequence_length=64, **as_it_is(family))
    assert tokenizer is None  # none was saved
    families.check_equal(backbone, model, families.PADDING[family])


@pytest.mark.parametrize(
    "options",
    [
        pytest.param(y, id=x, marks=() if x == "biases" else pytest.mark.slow)
        for x, y in MODERNBERT.items()
    ],
)
def test_modernbert_with_other_settings(options, tmp_path):
    model = families.save(tmp_path, "modernbert", **options)
    backbone, _ = use_combiner(tmp_path, sequence_length=64, block_size=64)
    families.check_equal(backbone, model, 3)


def test_modernbert_in_the_words_of_transformers_4(tmp_path):
    model = families.save(tmp_path, "modernbert", global_attn_every_n_layers=2)
    kinds = json.loads((tmp_path / "config.json").read_text())["layer_types"]
    assert kinds == ["full_attention", "sliding_attention", "full_attention"]
    families.change_config(tmp_path, remove=["layer_types", "rope_parameters"], **OF_VERSION_4)
    backbone, _ = use_combiner(tmp_path, sequence_length=64, block_size=64)
    assert backbone.arguments["rotary_base"] == [160000.0, 10000.0, 160000.0]
    families.check_equal(backbone, model, 3)
    families.change_config(tmp_path, local_rope_theta=None)  # as the global one
    backbone, _ = use_combiner(tmp_path, sequence_length=64)
    assert backbone.arguments["rotary_base"] == [160000.0] * 3


def test_only_layers_that_see_everything_are_replaced(saved):
    folder, _ = saved("modernbert")

    def plans(**options):
        backbone, _ = use_combiner(folder, sequence_length=64, **options)
        return [backbone.get_layer(f"encoder_{i}").attention.plan for i in range(3)]

    default = plans()
    assert [type(x) for x in default] == [Fixed, Window, Window]
    assert (default[0].block_size, default[0].opened, default[1].size) == (64, 8, 6)
    chosen = plans(factorization="hierarchical", block_size=8)
    assert [type(x).__name__ for x in chosen] == ["Hierarchical", "Window", "Window"]
    assert [x.block_size for x in plans(factorization=["fixed"] * 3, block_size=8)] == [8] * 3


@pytest.mark.slow
def test_windows_stay_when_a_converted_model_is_converted_again(saved):
    folder, model = saved("modernbert")
    source, _ = use_combiner(folder, sequence_length=16)
    for options in ({"block_size": 128}, {"factorization": Fixed(128)}):
        backbone, _ = use_combiner(source, sequence_length=80, locality=0.0, **options)
        families.check_equal(backbone, model, 3)
        assert backbone.get_layer("encoder_1").attention.plan.size == 6


def test_a_longformer_has_windows_unless_told_otherwise(saved):
    folder, model = saved("longformer")
    backbone, _ = use_combiner(folder, sequence_length=64)
    sizes = [backbone.get_layer(f"encoder_{i}").attention.plan.size for i in range(3)]
    assert sizes == [4, 8, 4]
    with pytest.raises(ValueError, match=r"attend within windows, which are kept.*block_size=32"):
        use_combiner(folder, block_size=32)
    full, _ = use_combiner(folder, "fixed", sequence_length=64, block_size=64)
    families.check_equal(full, model, 1, lengths=(3,))  # all of it within the smallest window
    ids = families.as_ours(families.draw_ids(37, 1), 1)
    assert np.abs(np.array(full(ids)) - np.array(backbone(ids)))[0].max() > 1e-2


@pytest.mark.slow
@pytest.mark.parametrize("family", ["longformer", "big_bird"])
def test_4096_positions_of_its_own(family, tmp_path):
    options = {"longformer": {"attention_window": 64}, "big_bird": {}}[family]
    if family == "big_bird":
        options = {"attention_type": "original_full"}
    positions = 4098 if family == "longformer" else 4096
    model = families.save(
        tmp_path, family, max_position_embeddings=positions, num_hidden_layers=2, **options
    )
    plan = {} if family == "longformer" else {"block_size": 4096}
    backbone, _ = use_combiner(tmp_path, sequence_length=4096, **plan)
    families.check_equal(backbone, model, families.PADDING[family], lengths=(4095, 4096))


@pytest.mark.slow
def test_big_birds_embeddings_may_be_rescaled(tmp_path):
    model = families.save(tmp_path, "big_bird", rescale_embeddings=True)
    backbone, _ = use_combiner(tmp_path, sequence_length=64, block_size=64)
    families.check_equal(backbone, model, 0)


@pytest.mark.slow
@pytest.mark.parametrize("family", ["modernbert", "gte", "eurobert"])
def test_a_model_with_a_head_and_files_in_parts(family, saved, tmp_path):
    transformers = families.import_transformers()
    folder, model = saved(family)
    config = transformers.AutoConfig.from_pretrained(folder)
    whole = transformers.AutoModelForSequenceClassification.from_config(config)
    getattr(whole, whole.base_model_prefix).load_state_dict(model.state_dict(), strict=False)
    whole.save_pretrained(tmp_path, max_shard_size="8KB")
    assert (tmp_path / "model.safetensors.index.json").exists()
    backbone, _ = use_combiner(tmp_path, sequence_length=64, block_size=64)
    families.check_equal(backbone, model, families.PADDING[family])


@pytest.mark.slow
@pytest.mark.parametrize("family", ["gte", "nomic_bert"])
def test_names_of_tensors_in_transformers_and_as_published(family, saved, tmp_path):
    from safetensors import safe_open

    folder, model = saved(family)
    model.save_pretrained(tmp_path, save_original_format=False)

    def names(folder):
        with safe_open(folder / "model.safetensors", framework="numpy") as file:
            return set(file.keys())

    assert "layers.0.self_attn.q_proj.weight" in names(tmp_path)
    assert "layers.0.self_attn.q_proj.weight" not in names(folder)
    backbone, _ = use_combiner(tmp_path, sequence_length=64, block_size=64)
    families.check_equal(backbone, model, families.PADDING[family])


@pytest.mark.slow
def test_gte_and_nomic_with_settings_as_published(saved, tmp_path):
    folder, model = saved("gte")
    (tmp_path / "model.safetensors").symlink_to(folder / "model.safetensors")
    config = json.loads((folder / "config.json").read_text())
    del config["rope_parameters"]
    published = {
        "model_type": "new",
        "layer_norm_type": "layer_norm",
        "position_embedding_type": "rope",
        "rope_theta": 500.0,
        "rope_scaling": None,
        "logn_attention_scale": False,
        "logn_attention_clip1": False,
        "pack_qkv": True,
        "unpad_inputs": False,
        "use_memory_efficient_attention": False,
    }
    (tmp_path / "config.json").write_text(json.dumps({**config, **published}))
    backbone, _ = use_combiner(tmp_path, sequence_length=64, block_size=64)
    families.check_equal(backbone, model, 1)


@pytest.mark.slow
@pytest.mark.parametrize("family", ["gte", "modernbert", "eurobert"])
def test_angles_that_are_scaled(family, tmp_path):
    linear = {"rope_type": "linear", "factor": 4.0, "rope_theta": 70.0}
    parameters = linear
    if family == "modernbert":
        plain = {"rope_type": "default", "rope_theta": 20.0}
        parameters = {"full_attention": linear, "sliding_attention": plain}
    model = families.save(tmp_path, family, rope_parameters=parameters)
    backbone, _ = use_combiner(tmp_path, sequence_length=64, block_size=64)
    families.check_equal(backbone, model, families.PADDING[family])


def test_angles_as_gte_was_published_with(tmp_path):
    """What Transformers calls linear, of another base, has the frequencies of "ntk"."""
    same = {"rope_type": "linear", "factor": 8.0 ** (2 / 8), "rope_theta": 8.0 * 300.0}
    model = families.save(tmp_path, "gte", rope_parameters=same)
    ntk = {"rope_theta": 300.0, "rope_scaling": {"type": "ntk", "factor": 8.0}}
    families.change_config(tmp_path, remove=["rope_parameters"], model_type="new", **ntk)
    backbone, _ = use_combiner(tmp_path, sequence_length=64, block_size=64)
    families.check_equal(backbone, model, 1)
    # The formula, by hand: base * factor, and all frequencies divided by factor ** (2 / D).
    attention = backbone.get_layer("encoder_0").attention
    exponents = np.arange(4) / 4
    found = attention.rotary_base**-exponents / attention.rotary_scaling_factor
    np.testing.assert_allclose(found, (300 * 8.0) ** -exponents / 8 ** (2 / 8), rtol=1e-9)


@pytest.mark.slow
def test_nomic_with_settings_as_published(saved, tmp_path):
    folder, model = saved("nomic_bert")
    (tmp_path / "model.safetensors").symlink_to(folder / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps(families.PUBLISHED_NOMIC))
    backbone, _ = use_combiner(tmp_path, sequence_length=64, block_size=64)
    families.check_equal(backbone, model, 0)


@pytest.mark.parametrize(
    "options", [{"eos_token_id": 3}, pytest.param({"pad_token_id": None}, marks=pytest.mark.slow)]
)
def test_without_an_id_for_padding_alone_0_is_a_new_one(options, tmp_path):
    model = families.save(tmp_path, "eurobert", **options)
    backbone, tokenizer = use_combiner(tmp_path, sequence_length=64, block_size=64)
    assert tokenizer is None
    assert backbone.arguments["vocabulary_size"] == 61
    ids = np.random.default_rng(0).integers(0, 60, size=(2, 37))
    ids[0, :2] = 0, 3
    valid = np.arange(37) < np.array([[37], [20]])
    expected = families.hidden_states(model, ids, valid)
    ours = np.where(valid, np.where(ids == 0, 60, ids), 0).astype("int32")
    np.testing.assert_allclose(np.array(backbone(ours))[valid], expected[valid], atol=1e-4)
    with pytest.raises(ValueError, match="no id for padding alone"):
        use_combiner(tmp_path, tokenizer=["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a"])


REFUSED = {
    "modernbert": [
        ({"rope_parameters": {"rope_theta": 1e4}}, "rope_parameters in .* by kind of layer"),
        (
            {"rope_parameters": {"full_attention": {"rope_type": "yarn", "factor": 2.0}}},
            r"rope_parameters\.full_attention\.rope_type in .* one of \"default\".*: \"yarn\"",
        ),
        ({"rope_scaling": {"type": "linear", "factor": 2}}, "rope_scaling in .* to be null"),
        ({"partial_rotary_factor": 0.5}, "partial_rotary_factor in .* to be 1"),
        (
            {"global_rope_theta": 5.0},
            r"full_attention\.rope_theta in .* to be 5, which is also said.* 160000",
        ),
        ({"global_attn_every_n_layers": 2}, "as global_attn_every_n_layers=2 says"),
        ({"layer_types": ["full_attention"]}, "layer_types in .* 3 times 'full_attention'"),
        ({"layer_types": ["chunked_attention"] * 3}, "layer_types in .*chunked"),
        ({"norm_eps": float("nan")}, r"norm_eps in .* a number of at least 0\. Received: NaN"),
        ({"local_attention": 0}, "local_attention in .* an int of at least 1"),
        ({"hidden_activation": "mish"}, "hidden_activation in .* an activation of gelu"),
        ({"norm_bias": None}, "norm_bias in .* true or false. Received: null"),
        ({"norm_bias": True}, r"Expected a tensor layers\.0\.mlp_norm\.bias"),
        ({"num_attention_heads": 3}, "num_attention_heads in .* a divisor of 16"),
        ({"intermediate_size": 21}, r"layers\.0\.mlp\.Wi\.weight .* \[42, 16\].* \[40, 16\]"),
        ({"num_hidden_layers": 2, "layer_types": None}, r"6 tensors .*: layers\.2\.attn\.Wo"),
        ({"num_hidden_layers": 4, "layer_types": None}, r"Expected a tensor layers\.3"),
        ({"vocab_size": 61}, r"embeddings\.tok_embeddings\.weight .* \[61, 16\]"),
        (
            {"pad_token_id": 60},
            r"pad_token_id in .* a token id, from 0 to 59, or null\. Received: 60",
        ),
        ({"is_causal": True}, "is_causal in .* to be false"),
        ({"attention_gate": "sigmoid"}, 'says attention_gate: "sigmoid", and it is not known'),
        ({"quantization_config": {"bits": 4}}, "says quantization_config"),
    ],
    "longformer": [
        ({"attention_window": [6, 8]}, "attention_window in .* one for each of 3 layers"),
        ({"attention_window": 0}, "attention_window in .* an int above 0"),
    ],
    "big_bird": [({"rescale_embeddings": 1}, "rescale_embeddings in .* true or false")],
    "gte": [
        ({"rope_scaling": {"type": "linear", "factor": 8.0}}, "null, since there are rope_par"),
        ({"rope_parameters": {"rope_type": "dynamic", "factor": 2.0}}, "rope_type in .*dynamic"),
        ({"rope_parameters": {"rope_type": "linear", "odd": 2.0}}, 'without "odd", which is not'),
        ({"rope_parameters": {"rope_type": "linear"}}, r"rope_parameters\.factor in .*: null"),
        ({"logn_attention_scale": True}, "logn_attention_scale in .* to be false"),
        ({"layer_norm_type": "rms_norm"}, 'layer_norm_type in .* to be "layer_norm"'),
        ({"rope_theta": 7.0}, r"rope_parameters\.rope_theta in .* to be 7, which.*: 500"),
        ({"odd": 1}, "says odd: 1"),
    ],
    "nomic_bert": [
        ({"num_experts": 8}, "says num_experts: 8"),
    ],
    "eurobert": [
        ({"rope_parameters": {"rope_type": "llama3", "rope_theta": 9.0}}, "rope_type in .*llama3"),
        ({"head_dim": 8}, r"q_proj\.weight .* \[32, 16\]"),
        ({"attention_bias": True}, r"Expected a tensor .*q_proj\.bias"),
        ({"odd": 1}, "says odd: 1"),
    ],
}


@pytest.mark.parametrize(
    ("family", "changes", "words"),
    [(family, *case) for family, cases in REFUSED.items() for case in cases],
)
def test_what_is_not_understood_is_refused(family, changes, words, saved, tmp_path):
    folder, _ = saved(family)
    (tmp_path / "model.safetensors").symlink_to(folder / "model.safetensors")
    (tmp_path / "config.json").write_bytes((folder / "config.json").read_bytes())
    families.change_config(tmp_path, **changes)
    with pytest.raises(ValueError, match=words):
        use_combiner(tmp_path)


def other_values(value):
    """What a setting may be instead: of its own kind, of another one, null."""
    if isinstance(value, bool):
        return [not value, None]
    if isinstance(value, int):
        return [value + 1, 2 * value, None]
    if isinstance(value, float):
        return [value / 2 + 0.25, 10 * value, None]
    if isinstance(value, str):
        return ["silu", "relative_key", None]
    if isinstance(value, list):
        return [value[::-1], value[:-1], None]
    if isinstance(value, dict):
        return [{}, None]
    return [1, True, "gelu"]


# Without these, a random model is not what its tensors are, or it is not known what it is.
HAVE_TO_BE_SAID = {
    *("model_type", "vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers"),
    "num_attention_heads",
}
HAVE_TO_BE_SAID_IN = {
    "modernbert": {"pad_token_id"},
    "eurobert": {"pad_token_id", "num_key_value_heads", "head_dim", "rope_parameters"},
}


@pytest.mark.slow
@pytest.mark.parametrize(
    "family", [x for x in families.FAMILIES if x not in ("longformer", "big_bird")]
)
@pytest.mark.parametrize("change", ["other values", "left out"])
def test_every_other_setting_is_refused_or_understood(family, change, saved, tmp_path):
    """No setting may change the model of Transformers and leave ours as it is."""
    transformers = families.import_transformers()
    folder, _ = saved(family)
    (tmp_path / "model.safetensors").symlink_to(folder / "model.safetensors")
    stored = json.loads((folder / "config.json").read_text())
    configs = [{x: y for x, y in stored.items() if x != name} for name in stored]
    if change == "other values":
        configs = [{**stored, x: other} for x, y in stored.items() for other in other_values(y)]
    understood = 0
    for config in configs:
        (tmp_path / "config.json").write_text(json.dumps(config))
        try:
            backbone, _ = use_combiner(tmp_path, sequence_length=64, block_size=64)
        except ValueError:
            missing = set(stored) - set(config)
            assert missing <= HAVE_TO_BE_SAID | HAVE_TO_BE_SAID_IN.get(family, set()), missing
            continue
        try:
            model = transformers.AutoModel.from_pretrained(tmp_path).eval()
        except Exception:
            continue  # Transformers cannot make anything of it
        padding = model.config.pad_token_id
        padding = families.PADDING[family] if padding is None else padding
        try:
            families.check_equal(backbone, model, padding, lengths=(21,))
        except AssertionError as error:
            different = [x for x in stored if x not in config or config[x] != stored[x]]
            raise AssertionError(f"{different} of {config} is not understood") from error
        understood += 1
        keras.backend.clear_session()
    assert understood > 10


@pytest.mark.slow
@pytest.mark.parametrize("family", ["modernbert", "eurobert"])
def test_config_and_file_round_trip(family, saved, tmp_path):
    backbone, _ = use_combiner(saved(family)[0], sequence_length=64, block_size=8)
    config = json.loads(json.dumps(backbone.get_config()))
    assert CombinerBackbone.from_config(config).get_config() == backbone.get_config()
    backbone.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    ids = families.as_ours(families.draw_ids(37, 3), 3)
    np.testing.assert_array_equal(loaded(ids), backbone(ids))
    names = {x.path.removeprefix(f"{backbone.name}/") for x in backbone.weights}
    assert "embedding/position_embeddings" not in names
    assert not any("bias" in x or "beta" in x for x in names)
    if family == "modernbert":
        assert {x for x in names if "attention_norm" in x} == {
            f"encoder_{i}/attention_norm/gamma" for i in (1, 2)
        }
    else:
        assert "encoder_0/attention_norm/scale" in names and "embedding_norm/scale" not in names
