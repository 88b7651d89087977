"""Small settings of the recall benchmark."""

from benchmarks.recall.rows import ALL, ONE
from benchmarks.recall.rows import SETTINGS as PUBLISHED

SHORT, LONG = (
    {"length": 64, "num_pairs": 4, "gap": 0, "steps": 3, "batch_size": 4},
    {"length": 192, "num_pairs": 4, "gap": 160, "steps": 2, "batch_size": 2},
)
SETTINGS = {
    **PUBLISHED,
    "num_keys": 6,
    "num_values": 5,
    "num_layers": 1,
    "hidden_dim": 8,
    "intermediate_dim": 8,
    "stages": [SHORT, LONG],
    "tested_lengths": [192],
    "test_sequences": {ONE: 6, ALL: 4},
}
