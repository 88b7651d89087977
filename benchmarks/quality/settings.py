"""What all rows of the quality benchmark share, and less of it for a quick look."""

from benchmarks.quality.rows import FIRST_BLOCK

SETTINGS = {
    "limit_seconds": 700,
    "short_length": 512,
    "num_layers": 2,
    "num_heads": 4,
    "hidden_dim": 64,
    "intermediate_dim": 128,
    "dropout": 0.1,
    "block_size": 64,
    "hierarchical_block_size": 16,
    # What single rows have of their own: the runs of all others do not depend on it.
    "rows": {FIRST_BLOCK: {"first_blocks": 1, "locality": 6.0}},
    "learning_rate": 2e-3,
    "datasets": {
        "sotu_era": {
            "length": 4096,
            "segment_words": 3300,
            "vocabulary_size": 8000,
            "documents": {},
            "batch_size": 4,
            "steps": 700,
            "token_dropout": 0.3,
        },
        "brown_genre": {
            "length": 3072,
            "vocabulary_size": 8000,
            "documents": {},
            "batch_size": 4,
            "steps": 700,
            "token_dropout": 0.3,
        },
        "listops": {
            "length": 2000,
            "min_length": 500,
            "documents": {"train": 6400, "validation": 0, "test": 1000},
            "batch_size": 8,
            "steps": 800,
            "token_dropout": 0.0,
        },
    },
}
# What QUICK=1 changes.
QUICK_SEEDS = 1
QUICK_LIMIT_SECONDS = 20
QUICK_STEPS = 40
QUICK_DOCUMENTS = {"train": 160, "validation": 40, "test": 60}


def quick(settings):
    """Returns `settings` with fewer steps and documents, and less time."""
    datasets = {}
    for name, details in settings["datasets"].items():
        documents = {**QUICK_DOCUMENTS}
        if name == "listops":
            documents["train"] = QUICK_STEPS * details["batch_size"]
        datasets[name] = {**details, "documents": documents, "steps": QUICK_STEPS}
    return {**settings, "limit_seconds": QUICK_LIMIT_SECONDS, "datasets": datasets}
