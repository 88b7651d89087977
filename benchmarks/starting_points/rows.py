"""The rows of the table: what a classifier starts from, and the options of its commands."""

SCRATCH = "from random weights"
PRETRAINED = "from pretraining on the same texts"
CONVERTED = "from MiniLM, converted, whole documents"
TRUNCATED = "from MiniLM as it is, first 512 tokens"
MINILM = {
    "pretrained": "minilm",
    "epochs": 8,
    # Small batches where a document is long: what one takes is bounded by memory.
    "batch-size": 4,
    "learning-rate": 1e-4,
    "token-dropout": 0.3,  # as from random weights: few documents
}
# Row -> seeds, and the options of `keras-combiner train`; of the one before it, if there is one.
SETTINGS = {
    SCRATCH: {"seeds": [0, 1, 2], "train": {"sequence-length": 2560, "epochs": 8}},
    PRETRAINED: {
        "seeds": [0],
        # Short windows: many steps, which a model needs before it looks at more than how common
        # words are.
        "pretrain": {
            "sequence-length": 512,
            "long-texts": "windows",
            "epochs": 10,
            "batch-size": 8,
            "learning-rate": 2e-3,
        },
        # Few documents: tokens are left out as from random weights.
        "train": {
            "sequence-length": 2560,
            "epochs": 8,
            "learning-rate": 1e-3,
            "token-dropout": 0.3,
        },
    },
    TRUNCATED: {
        "seeds": [0],
        "train": {**MINILM, "sequence-length": 512, "block-size": 512},  # full attention
    },
    CONVERTED: {"seeds": [0], "train": {**MINILM, "sequence-length": 2560}},
}
