"""What is trained: the plans, their summaries and the settings that all rows share."""

SEEDS = (0, 1, 2)
SETTINGS = {
    "min_length": 512,
    "max_length": 1024,
    "max_depth": 10,
    "max_args": 10,
    "train_steps": 600,
    "batch_size": 16,
    "validation_examples": 500,
    "test_examples": 2000,
    "learning_rate": 2e-3,
    "num_layers": 1,
    "num_heads": 4,
    "hidden_dim": 64,
    "intermediate_dim": 128,
    "block_size": 32,
    "divergence_examples": 4,
}
# All of the layer's default plan; of the others, those that are candidates for its default summary.
SUMMARIES = {
    "fixed": ("none", "max", "mean", "deepset", "variational"),
    "logsparse": ("none", "max", "variational"),
    "axial_vertical": ("none", "max", "variational"),
}
ROWS = tuple((plan, summary) for plan, some in SUMMARIES.items() for summary in some)


def is_learned(summary):
    """Whether a summary has weights, and so belongs to the model that learned them."""
    return summary == "deepset"


def comparable(plan):
    """Returns the summaries of a plan that can be measured on all of its models."""
    return [summary for summary in SUMMARIES[plan] if not is_learned(summary)]


def plan_of(name, settings):
    """Returns the plan of a row, a `Factorization`."""
    from keras_combiner import factorizations

    return factorizations.get(name, settings["block_size"])
