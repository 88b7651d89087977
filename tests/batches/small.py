"""Sizes of a small classifier of bytes."""

SMALL = {
    "sequence_length": 24,
    "num_layers": 1,
    "num_heads": 2,
    "hidden_dim": 8,
    "intermediate_dim": 8,
    "block_size": 8,
    "tokenizer": "bytes",
    "verbose": False,
}
