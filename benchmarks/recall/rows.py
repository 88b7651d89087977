"""What is trained to recall: kinds of attention, in both directions, and what all share."""

FULL = "full attention"
WINDOW = "window"
BIGBIRD = "BigBird"
# Combiner's rows whose parts stay closed: the plan and the summary.
CLOSED = {
    "fixed, variational": ("fixed", "variational"),
    "fixed, gaussian": ("fixed", "gaussian"),
    "hierarchical": ("hierarchical", "variational"),
}
# Those that open parts: how many, and how many queries choose them together. One curve over those
# who choose, and one over the parts.
OPENED = {
    f"fixed, {count} opened by {group}": (count, group)
    for count, group in ((8, 1), (8, 16), (8, 64), (4, 1), (1, 1))
}
OPENED_SUMMARY = "gaussian"
ROWS = (FULL, WINDOW, BIGBIRD, *CLOSED, *OPENED)

BIDIRECTIONAL, CAUSAL = "bidirectional", "causal"
DIRECTIONS = (BIDIRECTIONAL, CAUSAL)
# What is asked in a test: one key, or all of them.
ONE, ALL = "one query", "all queries"
QUESTIONS = (ONE, ALL)

SETTINGS = {
    "num_pairs": 32,
    "num_keys": 64,
    "num_values": 64,
    "num_layers": 2,
    "num_heads": 2,
    "hidden_dim": 64,
    "intermediate_dim": 128,
    "learning_rate": 3e-3,
    "block_size": 64,
    "part_size": 8,
    "window_size": 128,
    "hierarchical_block_size": 16,
    # Longer and longer: what was learned of short sequences is there for the next ones. A gap is
    # the least distance from the last pair to a query.
    "stages": [
        {"length": 16, "num_pairs": 4, "gap": 0, "steps": 350, "batch_size": 128},
        {"length": 64, "num_pairs": 16, "gap": 0, "steps": 100, "batch_size": 32},
        {"length": 128, "gap": 0, "steps": 100, "batch_size": 16},
        {"length": 512, "gap": 256, "steps": 100, "batch_size": 4},
        {"length": 1024, "gap": 512, "steps": 100, "batch_size": 2},
        {"length": 2048, "gap": 1024, "steps": 80, "batch_size": 1},
    ],
    # The stages after which a model is tested, and the sequences of each test.
    "tested_lengths": [512, 1024, 2048],
    "test_sequences": {ONE: 200, ALL: 40},
}


def rows_of(direction):
    """Returns the rows of a direction, a tuple of str: BigBird has no causal form."""
    return tuple(row for row in ROWS if direction == BIDIRECTIONAL or row != BIGBIRD)


def quick(settings):
    """Returns `settings` with fewer steps and sequences, and without the longest ones."""
    stages = [{**stage, "steps": 5} for stage in settings["stages"] if stage["length"] <= 512]
    return {
        **settings,
        "stages": stages,
        "tested_lengths": [512],
        "test_sequences": {ONE: 8, ALL: 4},
    }
