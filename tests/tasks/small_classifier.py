"""Texts with several labels and with a number, and a small classifier of them."""

from keras_combiner import LongDocumentClassifier

SMALL = {
    "sequence_length": 24,
    "num_layers": 1,
    "num_heads": 2,
    "hidden_dim": 16,
    "intermediate_dim": 16,
    "block_size": 8,
    "tokenizer": "bytes",
    "verbose": False,
    "dropout": 0.0,
    "token_dropout": 0.0,
    "lexical": False,
}
TEXTS = ["aaaa aaaa", "bbbb bbbb", "aaaa bbbb", "cccc cccc"] * 8
SEVERAL = [["a"], ["b"], ["a", "b"], []] * 8
NUMBERS = [1000.0, 3000.0, 2000.0, 5000.0] * 8


def make(labels, **options):
    return LongDocumentClassifier.from_texts(TEXTS, labels, **{**SMALL, **options})
