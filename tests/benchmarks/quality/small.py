"""Small settings of the quality benchmark."""

from benchmarks.quality.settings import SETTINGS as PUBLISHED

LISTOPS = {
    "length": 64,
    "min_length": 40,
    "documents": {"train": 8, "validation": 0, "test": 6},
    "batch_size": 4,
    "steps": 3,
    "token_dropout": 0.0,
}
SETTINGS = {
    **PUBLISHED,
    "short_length": 16,
    "num_layers": 1,
    "num_heads": 2,
    "hidden_dim": 8,
    "intermediate_dim": 8,
    "block_size": 8,
    "hierarchical_block_size": 4,
    "datasets": {"listops": LISTOPS},
}
