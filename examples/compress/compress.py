"""Compress a trained classifier in every way there is, and see what each of them costs.

    python examples/compress/compress.py --model saved_models/sotu_era/model.keras \\
        --train train.jsonl --test test.jsonl

Each way trains a copy of the model a little more on the documents that it was trained on: with 80 %
of its weights zero, with two of four zero, with 16 different values a weight, or with the errors of
8 bits. The table has the accuracy of each one's .tflite file on the other documents, its size, and
its size once it is compressed, as downloads are: zeros and repeated values show only there.
"""

import argparse
import gzip
import re
import tempfile
from pathlib import Path

from keras_combiner import LongDocumentClassifier
from keras_combiner.datasets import read_documents
from keras_combiner.optimization import (
    MagnitudePruning,
    WeightClustering,
    fine_tuned,
    quantization_aware,
)


def parse(arguments=None):
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", required=True, help="a .keras file, or its directory")
    parser.add_argument("--train", required=True, help="documents that the model was trained on")
    parser.add_argument("--test", required=True, help="documents to measure on")
    parser.add_argument("--output", help="directory for the .tflite files; none if absent")
    parser.add_argument("--text-field", default="text")
    parser.add_argument("--label-field", default="label")
    parser.add_argument("--epochs", type=int, help="of each training; what `fine_tuned` has")
    return parser.parse_args(arguments)


def compressed(classifier, documents, **options):
    """Makes the models, one after the other.

    Args:
        classifier: `keras_combiner.LongDocumentClassifier`, trained.
        documents: reader of the documents that it was trained on.
        **options: what `fine_tuned` takes besides.

    Yields:
        `(name, classifier, quantization)`: str, the model, and the kind of its .tflite file.
    """
    yield "float32", classifier, "float32"
    yield "dynamic_int8", classifier, "dynamic_int8"
    for name, callback in (
        ("80 % pruned", MagnitudePruning(target_sparsity=0.8)),
        ("2:4 pruned", MagnitudePruning(pattern="2:4")),
        ("16 clusters", WeightClustering(number_of_clusters=16)),
    ):
        yield name, fine_tuned(classifier, documents, callbacks=[callback], **options), "float32"
    aware = fine_tuned(quantization_aware(classifier), documents, **options)
    yield "quantization-aware int8", aware, "int8"


def main(arguments=None):
    """Compresses, measures and prints."""
    options = parse(arguments)
    fields = {"text_field": options.text_field, "label_field": options.label_field}
    train, test = (read_documents(x, **fields) for x in (options.train, options.test))
    texts, labels = zip(*((x.text, x.label) for x in test), strict=True)
    classifier = LongDocumentClassifier.load(options.model)
    training = {} if options.epochs is None else {"epochs": options.epochs}
    rows = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(options.output or temporary)
        folder.mkdir(parents=True, exist_ok=True)
        for name, model, quantization in compressed(classifier, train, **training):
            path = folder / f"{re.sub(r'[^a-z0-9]+', '_', name)}.tflite"
            report = model.export_litert(
                path,
                quantization=quantization,
                documents=list(texts),
                labels=list(labels),
                overwrite=True,
                verbose=False,
            )
            zipped = len(gzip.compress(path.read_bytes()))
            rows.append((name, report.accuracy, report.size / 1e6, zipped / 1e6))
    print(f"\n{'':<26}{'accuracy':>10}{'MB':>10}{'MB, gzip':>10}")
    for name, accuracy, size, zipped in rows:
        print(f"{name:<26}{accuracy:>10.3f}{size:>10.2f}{zipped:>10.2f}")


if __name__ == "__main__":
    main()
