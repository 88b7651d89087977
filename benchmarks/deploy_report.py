"""What an export costs: one table of every kind, by size, latency, memory and accuracy.

`make deploy-report` exports saved_models/sotu_era in every way there is, fine-tunes it where a way
asks for that, and writes docs/deployment.md. What is done is kept in build/deploy-report: a run
that was cut off goes on where it stopped, and what was fine-tuned or exported by the same code is
not done again. Times are measured anew in every run.
"""

import argparse
import datetime
import hashlib
import importlib.util
import json
import re
import shutil
import time
from pathlib import Path

from benchmarks import deploy_length, deploy_page, deploy_rows, report
from benchmarks.deploy_rows import FINE_TUNED, ROWS, WHOLE
from keras_combiner.whole_files import written_whole

ROOT = Path(__file__).resolve().parent.parent
SHIPPED = ROOT / "saved_models" / "sotu_era"
FOLDER = ROOT / "build" / "deploy-report"
PACKAGES = (
    *("tensorflow", "tensorflow-text", "keras", "ai-edge-litert", "ai-edge-quantizer"),
    *("onnxruntime", "tf2onnx", "tensorflow-model-optimization"),
)
ROUNDS = 5
SERVER_SECONDS = 60
FIGURES = "figures.json"  # of an export, beside it


def kept(path, make):
    """The figures in a JSON file; made by `make()` and written there if there is none."""
    if not path.exists():
        figures = make()
        with written_whole(path) as unfinished:
            unfinished.write_text(json.dumps(figures, indent=1))
    return json.loads(path.read_text())


def digest(*parts):
    """A short name (str) for what is made of these parts (bytes or str) and of nothing else."""
    code = hashlib.sha256()
    for part in parts:
        code.update(part if isinstance(part, bytes) else part.encode())
        code.update(b"\0")
    return code.hexdigest()[:8]


def code_of(*packages):
    """The code (bytes) of some of keras_combiner's packages."""
    files = (x for y in packages for x in sorted((ROOT / "keras_combiner" / y).glob("*.py")))
    return b"".join(file.read_bytes() for file in files)


class Exports:
    """Exports of the shipped classifier, kept on disk.

    Args:
        folder: path, where they are kept.
        shipped: path of the directory of a classifier that was trained on the State of the Union
            eras.
        every: int, one test document in how many is read.
    """

    def __init__(self, folder, shipped=SHIPPED, every=1):
        from keras_combiner import LongDocumentClassifier

        self.folder = folder
        self.every = every
        self.trained = LongDocumentClassifier.load(shipped)
        self.documents = deploy_rows.Documents(self.trained, every)
        self._expected = {}
        # Once, whatever becomes of the files while this is at work. Training runs through more code
        # than that of `optimization`, but takes too long to do it again for every change.
        self._content = (shipped / "model.keras").read_bytes()
        self._training_code = code_of("optimization")
        code = code_of("export", "factorizations", "layers", "models", "text")
        self._exporting = code + json.dumps(report.versions(PACKAGES)).encode()

    def place(self, name):
        """The directory (path) that a row's export and its figures belong to."""
        row = ROWS[name]
        trained = self._digest(row.fine_tuned)
        own = digest(trained, repr(row), str(self.every), self._exporting)
        return self.folder / f"{_slug(name)}-{own}"

    def path(self, name):
        """What was exported (path) for a row."""
        last = {"saved_model": "1", "onnx": "model.onnx"}.get(ROWS[name].kind, "model.tflite")
        return self.place(name) / last

    def figures(self, name):
        """Size and accuracy of a row, as `deploy_rows.figures`; exports first, if need be."""
        return kept(self.place(name) / FIGURES, lambda: self._make(name))

    def _make(self, name):
        row, path = ROWS[name], self.path(name)
        classifier = self.classifier(row.fine_tuned)
        deploy_rows.export(row, classifier, path)
        if row.fine_tuned not in self._expected:
            found = deploy_rows.expected(classifier, self.documents)
            self._expected[row.fine_tuned] = found
        expected = self._expected[row.fine_tuned]
        return deploy_rows.figures(row, classifier, path, self.documents, expected)

    def classifier(self, fine_tuned):
        """The classifier that a row exports; trained, if need be."""
        if fine_tuned is None:
            return self.trained
        from keras_combiner import LongDocumentClassifier
        from keras_combiner.datasets import load_sotu_era

        path = self.folder / f"{_slug(fine_tuned)}-{self._digest(fine_tuned)}.keras"
        if not path.exists():
            import keras

            print(f"Fine-tuning: {fine_tuned}", flush=True)
            documents = load_sotu_era("train")
            keras.utils.set_random_seed(0)
            texts, labels = ([getattr(x, y) for x in documents] for y in ("text", "label"))
            FINE_TUNED[fine_tuned](self.trained, texts, labels).save(path)
        import keras_combiner.optimization  # noqa: F401  what the file is made of

        return LongDocumentClassifier.load(path)

    def _digest(self, fine_tuned):
        return digest(self._content, fine_tuned or "", self._training_code if fine_tuned else b"")

    def time(self, name):
        """Median milliseconds by threads, and peak memory, of a row in processes of its own."""
        from keras_combiner.export import ExportReport, runners, verification

        row, path = ROWS[name], self.path(name)
        texts = self.documents.texts[WHOLE][: runners.RUNS]
        documents = deploy_rows.inputs(row, self.trained, texts)
        nothing_yet = ExportReport(str(path), 0, len(texts), 0.0, 1.0)
        found = verification.measured(nothing_yet, row.kind, path, documents)
        return {
            "1": found.milliseconds_1_thread,
            "2": found.milliseconds_2_threads,
            "memory": found.peak_memory,
        }


def _slug(name):
    return re.sub(r"\W+", "_", name)


class Progress:
    """Says what is done, and how long the rest of its kind will take."""

    def __init__(self, total):
        self.total, self.done, self.started = total, 0, time.monotonic()

    def say(self, what):
        """Prints one more thing that is done."""
        self.done += 1
        elapsed = time.monotonic() - self.started
        left = elapsed / self.done * (self.total - self.done) / 60
        print(f"{self.done}/{self.total} {what}; about {left:.0f} min left of these", flush=True)


def measure(exports, names, rounds):
    """The figures of all rows: dictionary, name -> dictionary.

    Args:
        exports: `Exports`.
        names: list of str, of `ROWS`.
        rounds: int, in how many rounds times are measured; in each of them every row has its turn,
            so that what slows the machine down slows all of them.
    """
    found, progress = {}, Progress(len(names))
    for name in names:
        found[name] = exports.figures(name)
        progress.say(f"{name}: accuracy {found[name][WHOLE]['accuracy']:.3f}")
    progress = Progress(rounds * len(names))
    for row in found.values():
        row.update(milliseconds={"1": [], "2": []}, memory=[])
    for number in range(rounds):
        for name in names:
            path = exports.folder / "rounds" / f"{exports.place(name).name}-{number}.json"
            one = kept(path, lambda name=name: exports.time(name))
            for threads, times in found[name]["milliseconds"].items():
                times.append(one[threads])
            found[name]["memory"].append(one["memory"])
            progress.say(f"round {number + 1}, {name}: {one['1']:.1f} ms with one thread")
    return found


def server(exports):
    """The figures of the server under load, or None if it is not there to be loaded."""
    if importlib.util.find_spec("benchmarks.server_load") is None:
        return None
    from benchmarks import server_load

    return server_load.measure(exports.path(deploy_rows.SAVED_MODEL), seconds=SERVER_SECONDS)


def main():
    """Measures what is missing and writes docs/deployment.json and docs/deployment.md."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", nargs="+", choices=ROWS, help="fewer rows, not into docs/")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="in which times are measured")
    parser.add_argument("--no-server", action="store_true", help="leave the server out")
    arguments = parser.parse_args()
    exports = Exports(FOLDER)
    rounds = FOLDER / "rounds"
    rows = measure(exports, arguments.rows or list(ROWS), arguments.rounds)
    print("At 4,096 tokens: Combiner beside full attention, about a minute", flush=True)
    length = kept(rounds / "length.json", deploy_length.figures)
    load = None
    if not arguments.no_server and deploy_rows.SAVED_MODEL in rows:
        load = kept(rounds / "server.json", lambda: server(exports))
    figures = {
        "date": datetime.date.today().isoformat(),
        "machine": report.machine(),
        "versions": report.versions(PACKAGES),
        "documents": len(exports.documents.class_ids),
        "parameters": exports.trained.count_params(),
        "sequence_length": exports.trained.sequence_length,
        "rounds": arguments.rounds,
        "rows": rows,
        "length": {"settings": deploy_length.SETTINGS, **length},
        "server": load,
    }
    deploy_page.write(FOLDER if arguments.rows else ROOT / "docs", figures)
    shutil.rmtree(rounds)  # the next run measures times of its own


if __name__ == "__main__":
    main()
