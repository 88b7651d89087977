"""Model Garden's own classes, small and with random weights, are what we are judged by."""

import warnings

import numpy as np
import pytest
import tensorflow as tf

from keras_combiner import CombinerBackbone
from keras_combiner.convert import use_combiner

pytestmark = pytest.mark.slow

SMALL = {
    "vocab_size": 30,
    "hidden_size": 8,
    "num_layers": 2,
    "num_attention_heads": 2,
    "max_sequence_length": 40,
    "type_vocab_size": 2,
    "inner_dim": 12,
}
VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *(f"word{i}" for i in range(26))]


@pytest.fixture(scope="module")
def modeling():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what it imports is not ours
        return pytest.importorskip(
            "official.nlp.modeling", reason="needs Model Garden: the extra `models`"
        )


def randomized(layer):
    generator = np.random.default_rng(0)
    for weight in layer.weights:
        weight.assign(generator.normal(size=weight.shape) * 0.5)
    return layer


def inputs_of(token_ids):
    return {
        "input_word_ids": token_ids,
        "input_mask": (token_ids != 0).astype("int32"),
        "input_type_ids": np.zeros_like(token_ids),
    }


def encoder(modeling, name, **options):
    options = {**SMALL, **options}
    if name == "BertEncoder":
        options["dict_outputs"] = True
    made = getattr(modeling.networks, name)(**options)
    made(inputs_of(np.ones((1, 4), "int32")))
    return randomized(made)


@pytest.mark.parametrize("name", ["BertEncoderV2", "BertEncoder"])
def test_hidden_states_are_those_of_the_encoder(name, modeling, token_ids, tmp_path):
    source = encoder(modeling, name)
    prefix = tf.train.Checkpoint(encoder=source).write(str(tmp_path / "bert_model.ckpt"))
    (tmp_path / "vocab.txt").write_text("".join(f"{x}\n" for x in VOCABULARY))
    expected = source(inputs_of(token_ids))["sequence_output"].numpy()
    for path in (prefix, tmp_path):
        backbone, tokenizer = use_combiner(path, block_size=21, sequence_length=100)
        assert type(backbone) is CombinerBackbone
        valid = token_ids != 0
        np.testing.assert_allclose(np.array(backbone(token_ids))[valid], expected[valid], atol=1e-4)
        assert tokenizer.vocabulary == VOCABULARY


def test_an_encoder_within_a_pretrainer_and_another_activation(modeling, token_ids, tmp_path):
    from official.nlp.modeling.models import BertPretrainerV2

    source = encoder(modeling, "BertEncoderV2", inner_activation="relu")
    pretrainer = BertPretrainerV2(source)
    manager = tf.train.CheckpointManager(
        tf.train.Checkpoint(model=pretrainer), str(tmp_path), max_to_keep=2
    )
    manager.save()
    source.weights[0].assign_add(tf.ones_like(source.weights[0]))
    manager.save()  # the latest counts
    backbone, tokenizer = use_combiner(tmp_path, activation="relu", dropout=0.0)
    assert tokenizer is None
    expected = source(inputs_of(token_ids))["sequence_output"].numpy()
    valid = token_ids != 0
    np.testing.assert_allclose(np.array(backbone(token_ids))[valid], expected[valid], atol=1e-4)
    assert backbone.arguments["dropout"] == 0.0


def test_what_it_refuses(modeling, tmp_path):
    narrow = encoder(modeling, "BertEncoderV2", embedding_width=4)
    prefix = tf.train.Checkpoint(encoder=narrow).write(str(tmp_path / "narrow"))
    with pytest.raises(ValueError, match="whose `embedding_width` is its `hidden_size`"):
        use_combiner(prefix)
    with pytest.raises(TypeError, match=r"by way of its checkpoint"):
        use_combiner(narrow)
    one, two = (encoder(modeling, "BertEncoderV2") for _ in range(2))
    prefix = tf.train.Checkpoint(one=one, two=two).write(str(tmp_path / "two"))
    with pytest.raises(ValueError, match="Received 2 in"):
        use_combiner(prefix)
    prefix = tf.train.Checkpoint(x=tf.Variable(1.0)).write(str(tmp_path / "none"))
    with pytest.raises(ValueError, match="Received 0 in"):
        use_combiner(prefix)
