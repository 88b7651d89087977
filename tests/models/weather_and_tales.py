"""Four texts about the weather or of old, their labels, and a small classifier of them."""

from keras_combiner import LongDocumentClassifier

SMALL = {
    "sequence_length": 24,
    "num_layers": 1,
    "num_heads": 2,
    "hidden_dim": 16,
    "intermediate_dim": 16,
    "block_size": 4,
    "verbose": False,
}
TEXTS = ["it will rain tomorrow", "once upon a time a king", "rain and wind", "the king was old"]
LABELS = ["weather", "tale", "weather", "tale"]
MANY_TEXTS, MANY_LABELS = TEXTS * 8, LABELS * 8


def make(texts=TEXTS, labels=LABELS, **options):
    return LongDocumentClassifier.from_texts(texts, labels, **{**SMALL, **options})


def token_ids(model, texts):
    return model.tokenizer(texts, model.sequence_length).numpy()
