"""Choose plan, block size and width for your documents, with KerasTuner.

    python examples/tuning/tune.py --data reviews.jsonl --sequence-length 2048 --trials 12

Each trial trains a small classifier for a few epochs and is judged by its loss on documents that
were held out. The table has all trials, the best first; the --output holds the best model, as it
was after its best epoch. Without --data, the documents are nested list operations (ListOps), and a
few minutes are enough: that shows how it goes, not which plan is good. Run again with the same
--output, it goes on where it was stopped.

Needs the extra `tuner`.
"""

import argparse
import time
from pathlib import Path

import keras_tuner

from keras_combiner import LongDocumentClassifier, factorizations
from keras_combiner.datasets import generate_listops, listops, read_documents, write_jsonl
from keras_combiner.text import ByteTokenizer, WordPieceTokenizer, learn_wordpiece_vocabulary

PLANS = ("fixed", "logsparse", "axial_vertical", "hierarchical")
BLOCK_SIZES = (16, 32, 64, 128)
WIDTHS = (64, 96, 128)


def parse(arguments=None):
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", help="documents in any format of `keras-combiner train`")
    parser.add_argument("--text-field", default="text")
    parser.add_argument("--label-field", default="label")
    parser.add_argument("--output", default="runs/tuning", help="directory of trials and model")
    parser.add_argument("--trials", type=int, default=6, help="how many to try")
    parser.add_argument("--epochs", type=int, default=2, help="of each trial")
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--sequence-length", type=int, default=512, help="tokens of a document")
    parser.add_argument("--tokenizer", choices=("wordpiece", "bytes"), default="wordpiece")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args(arguments)


class Classifiers(keras_tuner.HyperModel):
    """What is tried.

    Args:
        labels: list of str, the classes.
        tokenizer: `keras_combiner.text.Tokenizer`, the same for all.
        sequence_length: int, the longest document, in tokens.
        trials: int, how many there will be.
    """

    def __init__(self, labels, tokenizer, sequence_length, trials):
        super().__init__()
        self._done, self._trials = 0, trials
        self._labels, self._tokenizer = labels, tokenizer
        self._sequence_length = sequence_length

    def build(self, hp):
        """Makes an untrained classifier of what the tuner chose."""
        plan = hp.Choice("plan", list(PLANS))
        width = hp.Choice("width", list(WIDTHS))
        return LongDocumentClassifier.from_texts(
            [],
            self._labels,
            sequence_length=self._sequence_length,
            tokenizer=self._tokenizer,
            factorization=plan,
            block_size=hp.Choice("block_size", list(BLOCK_SIZES)),
            static_length=not factorizations.get(plan).any_length,
            hidden_dim=width,
            intermediate_dim=2 * width,
            num_heads=4,
            verbose=False,
        )

    def fit(self, hp, model, *args, **kwargs):
        """Trains it, and tells the tuner the figures of its best epoch, and how long it took."""
        start = time.perf_counter()
        history = model.fit(*args, **kwargs).history
        best = min(range(len(history["val_loss"])), key=history["val_loss"].__getitem__)
        figures = {name: values[best] for name, values in history.items()}
        seconds = time.perf_counter() - start
        self._done += 1
        chosen = ", ".join(f"{name} {value}" for name, value in hp.values.items())
        print(
            f"{self._done}/{self._trials}  {chosen}: loss {figures['val_loss']:.3f}, "
            f"{seconds:.0f} s",
            flush=True,
        )
        return {**figures, "seconds": seconds, "parameters": model.count_params()}


def documents(options):
    """Gives a reader of the documents, those of ListOps if there are no others."""
    if options.data:
        fields = {"text_field": options.text_field, "label_field": options.label_field}
        return read_documents(options.data, **fields)
    path = Path(options.output) / "listops.jsonl"
    token_ids, values = generate_listops(600, min_length=50, max_length=200, seed=options.seed)
    texts = (" ".join(listops.VOCABULARY[i] for i in row if i) for row in token_ids)
    write_jsonl(path, zip(texts, map(str, values), strict=True))
    return read_documents(path)


def search(options):
    """Tries. Returns the tuner."""
    training, validation = documents(options).split(0.2)
    tokenizer = ByteTokenizer()
    if options.tokenizer == "wordpiece":
        tokenizer = WordPieceTokenizer(learn_wordpiece_vocabulary(training.texts(), verbose=False))
    labels = sorted({str(x) for x in training.labels()})
    tuner = keras_tuner.RandomSearch(
        Classifiers(labels, tokenizer, options.sequence_length, options.trials),
        objective="val_loss",
        max_trials=options.trials,
        seed=options.seed,
        directory=options.output,
        project_name="trials",
    )
    tuner.search(
        training,
        validation_data=validation,
        epochs=options.epochs,
        batch_size=options.batch_size,
        seed=options.seed,
        verbose=0,
    )
    return tuner


def table(tuner):
    """Words the trials, the best first: list of str."""
    lines = [
        f"{'plan':<16}{'block':>6}{'width':>6}{'parameters':>12}{'loss':>8}{'accuracy':>10}{'s':>6}"
    ]
    for trial in tuner.oracle.get_best_trials(len(tuner.oracle.trials)):
        chosen = trial.hyperparameters.values
        figures = {name: trial.metrics.get_last_value(name) for name in trial.metrics.metrics}
        lines.append(
            f"{chosen['plan']:<16}{chosen['block_size']:>6}{chosen['width']:>6}"
            f"{figures['parameters']:>12,.0f}{figures['val_loss']:>8.3f}"
            f"{figures['val_accuracy']:>10.3f}{figures['seconds']:>6.0f}"
        )
    return lines


def main(arguments=None):
    """Tries, prints and saves."""
    options = parse(arguments)
    Path(options.output).mkdir(parents=True, exist_ok=True)
    try:
        tuner = search(options)
    except (OSError, ValueError) as error:  # the documents: what they lack
        raise SystemExit(f"tune.py: error: {error}") from None
    print("\n" + "\n".join(table(tuner)))
    path = Path(options.output) / "model.keras"
    tuner.get_best_models(1)[0].save(path)
    print(f"The best of them is in {path}.")


if __name__ == "__main__":
    main()
