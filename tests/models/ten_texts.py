"""Ten short texts, and the smallest models of them."""

import keras
import numpy as np

from keras_combiner import LongDocumentClassifier
from keras_combiner.datasets import read_documents, write_jsonl
from keras_combiner.models import CombinerMaskedLM

SMALL = {
    "sequence_length": 16,
    "tokenizer": "bytes",
    "num_layers": 1,
    "num_heads": 2,
    "hidden_dim": 8,
    "intermediate_dim": 8,
    "block_size": 4,
    "verbose": False,
}
# Of one length, so that there is one graph.
TEXTS = [f"{('rain', 'king')[i % 2]} {i:02}" for i in range(10)]
LABELS = [("weather", "tale")[i % 2] for i in range(10)]
TARGETS = np.array([1, 0] * 5)


def make(**options):
    return LongDocumentClassifier.from_texts(TEXTS, LABELS, **{**SMALL, **options})


def make_several():
    labels = [[x] for x in LABELS]
    return LongDocumentClassifier.from_texts(TEXTS, labels, task="multi_label", **SMALL)


def make_masked_lm(**options):
    return CombinerMaskedLM.from_texts(TEXTS, **{**SMALL, **options})


def token_ids(model, texts=TEXTS):
    return model.tokenizer(texts, model.sequence_length).numpy()


def write(tmp_path):
    write_jsonl(tmp_path / "documents.jsonl", zip(TEXTS, LABELS, strict=True))
    return read_documents(tmp_path / "documents.jsonl")


def rates(model, *arguments, **options):
    """The learning rate of every step of a fit, and that after the last."""
    noted = []
    note = keras.callbacks.LambdaCallback(
        on_train_batch_begin=lambda batch, logs: noted.append(float(model.optimizer.learning_rate))
    )
    options["callbacks"] = [*options.get("callbacks", ()), note]
    model.fit(*arguments, verbose=0, **options)
    return [*noted, float(model.optimizer.learning_rate)]
