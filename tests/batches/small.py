"""A small classifier of bytes: its sizes, and what it would be fitted on."""

from keras_combiner import LongDocumentClassifier

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


def fitted_on(monkeypatch, model, *arguments, **options):
    """What `fit` would train on: `TextBatches`, and what else is handed on."""
    caught = {}

    def catch(self, batches, settings):
        caught.update(batches=batches, **settings.others)

    monkeypatch.setattr(LongDocumentClassifier, "_fit_batches", catch)
    model.fit(*arguments, **options)
    return caught
