"""Exports of one classifier, kept on disk with what was measured of them."""

import re

from benchmarks.common import files, machine
from benchmarks.common.runs import Progress, code_of, digest, kept
from benchmarks.deploy_report import rows

SHIPPED = files.ROOT / "saved_models" / "sotu_era"
PACKAGES = (
    *("tensorflow", "tensorflow-text", "keras", "ai-edge-litert", "ai-edge-quantizer"),
    *("onnxruntime", "tf2onnx", "tensorflow-model-optimization"),
)


class Exports:
    """Exports of the shipped classifier, kept on disk.

    Args:
        folder: path, where they are kept.
        shipped: path of the directory of a classifier that was trained on the State of the Union
            eras.
        every: int, one test document in how many is read.
        code_of: callable of names of packages; returns their code (bytes).
    """

    def __init__(self, folder, shipped=SHIPPED, every=1, code_of=code_of):
        from keras_combiner import LongDocumentClassifier

        self.folder = folder
        self.every = every
        self.trained = LongDocumentClassifier.load(shipped)
        self.documents = rows.Documents(self.trained, every)
        self._expected = {}
        # Once, whatever becomes of the files while this is at work. Training runs through more code
        # than that of `optimization`, but takes too long to do it again for every change.
        self._content = (shipped / "model.keras").read_bytes()
        self._training_code = code_of("optimization")
        self._exporting = (code_of(), machine.versions(PACKAGES))

    def place(self, name):
        """Returns the directory (path) that a row's export and its figures belong to."""
        row = rows.ROWS[name]
        trained = self._digest(row.fine_tuned)
        own = digest(trained, repr(row), self.every, *self._exporting)
        return self.folder / f"{slug(name)}-{own}"

    def path(self, name):
        """Returns what was exported (path) for a row."""
        last = {"saved_model": "1", "onnx": "model.onnx"}.get(rows.ROWS[name].kind, "model.tflite")
        return self.place(name) / last

    def figures(self, name):
        """Returns size and accuracy of a row, as `rows.figures`; exports first, if need be."""
        return kept(self.place(name) / "figures.json", lambda: self._make(name))

    def _make(self, name):
        row, path = rows.ROWS[name], self.path(name)
        classifier = self.classifier(row.fine_tuned)
        rows.export(row, classifier, path)
        if row.fine_tuned not in self._expected:
            found = rows.expected(classifier, self.documents)
            self._expected[row.fine_tuned] = found
        expected = self._expected[row.fine_tuned]
        return rows.figures(row, classifier, path, self.documents, expected)

    def classifier(self, fine_tuned):
        """Returns the classifier that a row exports; trains it, if need be."""
        if fine_tuned is None:
            return self.trained
        from keras_combiner import LongDocumentClassifier
        from keras_combiner.datasets import load_sotu_era

        path = self.folder / f"{slug(fine_tuned)}-{self._digest(fine_tuned)}.keras"
        if not path.exists():
            import keras

            print(f"Fine-tuning: {fine_tuned}", flush=True)
            documents = load_sotu_era("train")
            keras.utils.set_random_seed(0)
            texts, labels = ([getattr(x, y) for x in documents] for y in ("text", "label"))
            rows.FINE_TUNED[fine_tuned](self.trained, texts, labels).save(path)
        import keras_combiner.optimization  # noqa: F401  what the file is made of

        return LongDocumentClassifier.load(path)

    def _digest(self, fine_tuned):
        return digest(self._content, fine_tuned, self._training_code if fine_tuned else b"")

    def time(self, name):
        """Returns median milliseconds by threads, and peak memory, of a row in new processes."""
        from keras_combiner.export import ExportReport, runners, verification

        row, path = rows.ROWS[name], self.path(name)
        texts = self.documents.texts[rows.WHOLE][: runners.RUNS]
        documents = rows.inputs(row, self.trained, texts)
        nothing_yet = ExportReport(str(path), 0, len(texts), 0.0, 1.0)
        found = verification.measured(nothing_yet, row.kind, path, documents)
        return {
            "1": found.milliseconds_1_thread,
            "2": found.milliseconds_2_threads,
            "memory": found.peak_memory,
        }


def slug(name):
    """Returns the name of a row as a part of a file's name."""
    return re.sub(r"\W+", "_", name)


def measure(exports, names, rounds):
    """Returns the figures of all rows: dictionary, name -> dictionary.

    Args:
        exports: `Exports`.
        names: list of str, of `rows.ROWS`.
        rounds: int, in how many rounds times are measured; in each of them every row has its turn,
            so that what slows the machine down slows all of them.
    """
    found, progress = {}, Progress(len(names))
    for name in names:
        found[name] = exports.figures(name)
        progress.say(f"{name}: accuracy {found[name][rows.WHOLE]['accuracy']:.3f}")
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
