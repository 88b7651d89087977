"""What all tokenizers promise, on each of them."""

import json
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_combiner.text import BytePairTokenizer, ByteTokenizer, Tokenizer, WordPieceTokenizer
from keras_combiner.text.byte_pair_merges import byte_alphabet

VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "long", "##er", "text", "!", "a", "##a"]
TOKENIZERS = {
    "wordpiece": lambda: WordPieceTokenizer(VOCABULARY),
    "byte": ByteTokenizer,
    "byte pair": lambda: BytePairTokenizer(
        ["<pad>", "<s>", "</s>", *byte_alphabet(), "er", "Lo", "ng", "Long", "Longer", "Ġt"],
        ["e r", "L o", "n g", "Lo ng", "Long er", "Ġ t"],
        *("<s>", "</s>"),
    ),
}
TEXTS = ["Longer text!", "", "a"]
IDS = {
    "wordpiece": [[2, 4, 5, 6, 7, 3], [2, 3, 0, 0, 0, 0], [2, 8, 3, 0, 0, 0]],
    "byte pair": [[1, 263, 264, 104, 123, 2], [1, 2, 0, 0, 0, 0], [1, 100, 2, 0, 0, 0]],
    "byte": [[1, 79, 114, 113, 106, 2], [1, 2, 0, 0, 0, 0], [1, 100, 2, 0, 0, 0]],
}


@pytest.fixture(params=TOKENIZERS)
def case(request):
    return TOKENIZERS[request.param](), IDS[request.param]


@pytest.mark.parametrize(
    "texts",
    [
        TEXTS,
        tuple(TEXTS),
        [text.encode() for text in TEXTS],
        np.array(TEXTS),
        np.array(TEXTS, dtype=object),
        np.array([text.encode() for text in TEXTS]),
        tf.constant(TEXTS),
    ],
    ids=["list", "tuple", "bytes", "numpy str", "numpy object", "numpy bytes", "tensor"],
)
def test_takes_every_kind_of_texts(case, texts):
    tokenizer, expected = case
    ids = tokenizer(texts, sequence_length=6)
    assert ids.dtype == tf.int32
    assert ids.shape == (3, 6)
    assert ids.numpy().tolist() == expected


def test_takes_pandas(case):
    pandas = pytest.importorskip("pandas")
    tokenizer, expected = case
    assert tokenizer(pandas.Series(TEXTS), 6).numpy().tolist() == expected


def test_encode_is_ragged_and_unpadded(case):
    tokenizer, expected = case
    ids = tokenizer.encode(TEXTS, 6)
    assert isinstance(ids, tf.RaggedTensor)
    assert ids.dtype == tf.int32
    assert ids.to_list() == [[each for each in row if each] for row in expected]


@pytest.mark.parametrize("empty", [[], np.array([], dtype=str), tf.constant([], tf.string)])
def test_no_texts_give_no_rows(case, empty):
    tokenizer, _ = case
    assert tokenizer(empty, 5).shape == (0, 5)


def test_cut_keeps_the_end_token(case):
    tokenizer, _ = case
    long = tokenizer(["a " * 50], 120).numpy()[0]
    cut = tokenizer(["a " * 50], 5).numpy()[0]
    assert cut.tolist() == [*long[:4], tokenizer.end_token_id]
    # The length at which everything just fits, and one less.
    fits = int((long != tokenizer.pad_token_id).sum())
    assert tokenizer(["a " * 50], fits).numpy()[0].tolist() == long[:fits].tolist()
    assert tokenizer(["a " * 50], fits - 1).numpy()[0][-2:].tolist() == [
        long[fits - 3],
        tokenizer.end_token_id,
    ]


@pytest.mark.parametrize(
    ("texts", "error", "words"),
    [
        ("a text", ValueError, r"single str: 'a text'.*\[text\]"),
        (b"a text", ValueError, r"single bytes.*\[text\]"),
        (tf.constant("a text"), ValueError, r"shape \(\).*\[text\]"),
        (np.array("a text"), ValueError, r"shape \(\)"),
        (tf.constant([["a"]]), ValueError, r"shape \(1, 1\).*Reshape"),
        (np.array([["a"]]), ValueError, r"shape \(1, 1\).*Reshape"),
        ([["a"]], TypeError, r"position 0: \['a'\] \(of type list\)"),
        (["a", None], TypeError, "position 1: None"),
        (["a", 3.5], TypeError, r"position 1: 3.5 \(of type float\)"),
        (np.array([1, 2]), TypeError, "position 0: 1 "),
        (tf.constant([1, 2]), TypeError, r"dtype int32 and shape \(2,\)"),
        (tf.ragged.constant([["a"], []]), TypeError, "RaggedTensor"),
        (None, TypeError, "Received: None"),
        (7, TypeError, "Received: 7"),
        ({"a": 1}, TypeError, "of type dict"),
        ((text for text in TEXTS), TypeError, "of type generator"),
    ],
)
def test_refuses_other_texts(case, texts, error, words):
    tokenizer, _ = case
    with pytest.raises(error, match=words):
        tokenizer(texts, 8)
    with pytest.raises(error, match=words):
        tokenizer.encode(texts, 8)


@pytest.mark.parametrize(
    ("length", "error"),
    [
        (2, ValueError),
        (0, ValueError),
        (-1, ValueError),
        (8.0, TypeError),
        (True, TypeError),
        (None, TypeError),
        ("8", TypeError),
    ],
)
def test_refuses_other_lengths(case, length, error):
    tokenizer, _ = case
    with pytest.raises(error, match="sequence_length"):
        tokenizer(["a"], length)


def test_takes_numpy_integers_as_length(case):
    tokenizer, expected = case
    assert tokenizer(TEXTS, np.int64(6)).numpy().tolist() == expected


@pytest.mark.parametrize("shape", [[None], pytest.param([3], marks=pytest.mark.slow), None])
def test_in_a_function(case, shape):
    tokenizer, expected = case
    static_shapes = []

    @tf.function(input_signature=[tf.TensorSpec(shape, tf.string)])
    def encode(texts):
        ids = tokenizer(texts, 6)
        static_shapes.append(ids.shape.as_list())
        return ids

    assert encode(tf.constant(TEXTS)).numpy().tolist() == expected
    assert static_shapes[0][1] == 6
    assert static_shapes[0][0] in (None, 3)


def test_built_inside_a_function_outlives_it():
    built = []

    @tf.function
    def encode(texts):
        built.append(WordPieceTokenizer(VOCABULARY))
        return built[0](texts, 6)

    assert encode(tf.constant(TEXTS)).numpy().tolist() == IDS["wordpiece"]
    assert built[0](TEXTS, 6).numpy().tolist() == IDS["wordpiece"]


@pytest.mark.slow
def test_in_a_dataset(case):
    tokenizer, expected = case
    dataset = tf.data.Dataset.from_tensor_slices(TEXTS).repeat(4).batch(3)
    dataset = dataset.map(lambda texts: tokenizer(texts, 6), num_parallel_calls=2)
    assert dataset.element_spec.shape.as_list() == [None, 6]
    rows = [ids.numpy().tolist() for ids in dataset]
    assert rows == [expected] * 4


def test_config_round_trip(case):
    tokenizer, expected = case
    config = json.loads(json.dumps(keras.saving.serialize_keras_object(tokenizer)))
    again = keras.saving.deserialize_keras_object(config)
    assert type(again) is type(tokenizer)
    assert again is not tokenizer
    assert again.get_config() == tokenizer.get_config()
    assert again(TEXTS, 6).numpy().tolist() == expected


def test_the_ids_suit_an_embedding(case):
    tokenizer, _ = case
    embedding = keras.layers.Embedding(tokenizer.vocabulary_size, 2, mask_zero=True)
    ids = tokenizer(["~ long text \xff a!", "a"], 30)
    mask = embedding.compute_mask(ids)
    assert np.array_equal(mask, ids.numpy() != 0)
    assert ids.numpy().max() < tokenizer.vocabulary_size
    assert {0, tokenizer.start_token_id, tokenizer.end_token_id} <= set(ids.numpy().ravel())


def test_decodes_what_it_encoded(case):
    tokenizer, _ = case
    texts = ["long text a", "", "longer"]
    for ids in (tokenizer(texts, 20), tokenizer.encode(texts, 20).to_list()):
        assert tokenizer.decode(ids) == texts
    assert tokenizer.decode([]) == []


def test_bytes_that_are_no_text_are_replaced():
    assert ByteTokenizer().decode([[1, 258, 75]]) == ["\ufffdH"]


@pytest.mark.parametrize(
    ("token_ids", "words"),
    [
        ([1, 2], "Expected rows of token ids.*the row 1: wrap"),
        ([[1.5]], "Expected rows of token ids"),
        ([[1], [-1]], "between 0 and .*Received: -1 as that of text 1"),
        ([[1000]], "between 0 and .*Received: 1000 as that of text 0"),
    ],
)
def test_what_cannot_be_decoded(case, token_ids, words):
    with pytest.raises(ValueError, match=words):
        case[0].decode(token_ids)


def test_the_base_class_is_abstract():
    with pytest.raises(TypeError, match="abstract"):
        Tokenizer()


@pytest.mark.slow  # a classifier's export is served so on every change
def test_saved_model_needs_tensorflow_text_only(tmp_path):
    class Server(tf.Module):
        def __init__(self, tokenizer):
            super().__init__()
            self.tokenizer = tokenizer

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string)], autograph=False)
        def serve(self, texts):
            return self.tokenizer(texts, 6)

    for name, make in TOKENIZERS.items():
        server = Server(make())
        tf.saved_model.save(server, str(tmp_path / name), signatures=server.serve)
    program = """
import json, sys
import tensorflow as tf
import tensorflow_text
texts = tf.constant(json.loads(sys.argv[1]))
loaded = [tf.saved_model.load(name).signatures["serving_default"] for name in sys.argv[2:]]
rows = [list(serve(texts).values())[0].numpy().tolist() for serve in loaded]
print(json.dumps([rows, "keras_combiner" in sys.modules]))
"""
    command = [sys.executable, "-c", program, json.dumps(TEXTS), *TOKENIZERS]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr[-2000:]
    rows, imported = json.loads(result.stdout.splitlines()[-1])
    assert rows == [IDS[name] for name in TOKENIZERS]
    assert not imported
