"""Classify a document with a .tflite model: ai-edge-litert and numpy, no TensorFlow.

    python examples/on_device/classify.py --model model.tflite --vocabulary vocab.txt \
        --labels labels.txt document.txt

The document is text in UTF-8, or as its byte order mark says; `-` is standard input. labels.txt has
one label a line, in the order of the model's outputs. Of a model of several lengths, the shortest
that holds the document is run. A document that none holds is cut, or read in overlapping windows,
as the file says that its model does it. vocab.txt and labels.txt must be those that the file names,
if it does; whether case is folded stands there too.
"""

import argparse
import pathlib
import sys
import time

import numpy as np

# So that the file also runs from another folder, and when loaded by its path.
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from document_windows import pool, read_metadata, split_tokens
from sidecar_files import read_labels, read_wordpiece
from text_file import read_document
from thresholds import given_labels

MIN_SEQUENCE_LENGTH = 3


class Classifier:
    """A .tflite model that takes int32 token ids [1, length] and gives one score a label.

    A file may hold several lengths, each as a signature of its own.

    Args:
        path: str, the .tflite file.
        num_threads: int or None, for the interpreter.

    Attributes:
        num_labels: int.
        metadata: dict, what the file says of its model; empty if it says nothing.
        task: dict, the model's task, as the file says it; empty if it does not.

    Raises:
        ValueError: If the file is not a model, or the model has other inputs or outputs.
    """

    def __init__(self, path, num_threads=None):
        from ai_edge_litert.interpreter import Interpreter

        # A missing or unreadable file gets the operating system's own words.
        content = pathlib.Path(path).read_bytes()
        try:
            self._interpreter = Interpreter(model_content=content, num_threads=num_threads)
            self._interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            raise ValueError(f"{path} cannot be run as a .tflite model: {error}") from error
        signatures = [_Signature(self._interpreter, name, path) for name in self._names(path)]
        self._signatures = {each.sequence_length: each for each in signatures}
        self.num_labels = signatures[0].num_labels
        self.metadata = read_metadata(content)
        self.task = self.metadata.get("task", {})

    def _names(self, path):
        names = list(self._interpreter.get_signature_list())
        if not names:
            raise ValueError(f"{path} has no signature. Export it with one, as serving_default.")
        return names

    def sequence_length_for(self, num_tokens):
        """Returns the shortest length that holds so many tokens, or the longest that there is."""
        fitting = [length for length in self._signatures if length >= num_tokens]
        return min(fitting) if fitting else max(self._signatures)

    def windows(self, tokens):
        """Splits a document that is too long, if the model reads windows.

        Args:
            tokens: list of int, all of the document, without start and end token.

        Returns:
            list of lists of int, each of which is to be framed, run and handed to `pool`.
        """
        # Files of earlier versions name it "long".
        if self.metadata.get("long_texts", self.metadata.get("long")) != "windows":
            return [tokens]
        room = max(self._signatures) - 2
        return split_tokens(tokens, room, self.metadata["overlap"])

    def pool(self, probabilities):
        """Makes one answer of those of the windows.

        Args:
            probabilities: list of np.ndarray float32 [num_labels].

        Returns:
            np.ndarray float32 [num_labels].
        """
        if len(probabilities) == 1:
            return probabilities[0]
        return pool(probabilities, self.metadata["task"]["name"])

    def __call__(self, token_ids):
        """Runs the model.

        Args:
            token_ids: np.ndarray int32 [length], of a length that `sequence_length_for` gave.

        Returns:
            np.ndarray float32 [num_labels]: probabilities. A model that does not name its output
            so may lack a softmax at its end and give logits; they are told by not being positive
            numbers that sum to one.
        """
        signature = self._signatures[len(token_ids)]
        scores = signature(token_ids)
        # Those of a model with several labels a document do not sum to one.
        if signature.output == "probabilities":
            return scores
        if scores.min() >= 0 and abs(scores.sum() - 1) < 0.02:
            return scores
        scores = np.exp(scores - scores.max())
        return scores / scores.sum()


class _Signature:
    """One way to run a file: documents of one length."""

    def __init__(self, interpreter, name, path):
        self._runner = interpreter.get_signature_runner(name)
        self._input, details = self._only(self._runner.get_input_details(), "input", path)
        shape = details["shape_signature"].tolist()
        is_ids = details["dtype"] == np.int32 and len(shape) == 2 and shape[0] == 1
        if not is_ids or shape[1] < MIN_SEQUENCE_LENGTH:
            raise ValueError(
                f"{path} must take int32 token ids of shape [1, length] with a fixed length of at "
                f"least {MIN_SEQUENCE_LENGTH}, but takes {np.dtype(details['dtype'])} of shape "
                f"{shape}. Export it with a batch of 1 and a fixed length."
            )
        self.sequence_length = shape[1]
        self.output, details = self._only(self._runner.get_output_details(), "output", path)
        if self.output in ("value", "embedding"):
            kind = "a number" if self.output == "value" else "a vector"
            raise ValueError(f"{path} gives {kind}, not the probabilities of labels.")
        shape = details["shape"].tolist()
        if len(shape) != 2 or shape[0] != 1:
            raise ValueError(f"{path} must give scores of shape [1, labels], but gives {shape}.")
        self.num_labels = shape[1]
        self._quantization = details["quantization"]

    @staticmethod
    def _only(details, what, path):
        if len(details) != 1:
            names = ", ".join(details)
            raise ValueError(f"{path} must have one {what}, but has {len(details)}: {names}.")
        return next(iter(details.items()))

    def __call__(self, token_ids):
        scores = self._runner(**{self._input: token_ids[np.newaxis]})[self.output][0]
        scale, zero_point = self._quantization
        scores = scores.astype(np.float32)
        if scale:  # An integer output: the real value is (q - zero_point) * scale.
            scores = (scores - zero_point) * scale
        return scores


def _classify(arguments):
    classifier = Classifier(arguments.model, arguments.threads)
    labels = read_labels(arguments.labels, classifier.num_labels, classifier.metadata)
    wordpiece = read_wordpiece(arguments.vocabulary, classifier.metadata, arguments.cased)
    text = read_document(arguments.document)

    start = time.perf_counter()
    tokens = wordpiece.tokenize(text)
    length = classifier.sequence_length_for(len(tokens) + 2)
    windows = [wordpiece.frame(x, length) for x in classifier.windows(tokens)]
    encoded = time.perf_counter()
    probabilities = classifier.pool([classifier(ids) for ids in windows])
    ran = time.perf_counter()

    width = max(map(len, labels))
    for index in np.argsort(-probabilities, kind="stable"):
        print(f"{labels[index]:{width}}  {probabilities[index]:.4f}")
    if classifier.task:
        given = [labels[index] for index in given_labels(probabilities, classifier.task)]
        print(f"labels: {', '.join(given) or 'none is probable enough'}")
    room = length - 2
    cut = "not cut"
    if len(windows) > 1:
        cut = f"in {len(windows):,} windows"
    elif len(tokens) > room:
        cut = f"cut to the first {room:,}"
    print(f"tokens: {len(tokens):,} ({cut}; the model reads {room:,} and 2 special ones)")
    print(f"latency: tokenizer {1000 * (encoded - start):.1f} ms, ", end="")
    print(f"model {1000 * (ran - encoded):.1f} ms")


def main(argv=None):
    """Runs the command line.

    Args:
        argv: list of str, the arguments; None for those of the process.

    Returns:
        int, the exit status: 0, or 1 after a message on standard error.
    """
    parser = argparse.ArgumentParser(description="Classify a document with a .tflite model.")
    parser.add_argument("--model", required=True, help=".tflite: int32 ids [1, length] -> scores")
    parser.add_argument("--vocabulary", required=True, help="vocab.txt, one token a line")
    parser.add_argument("--labels", required=True, help="labels.txt, one label a line")
    parser.add_argument(
        "--cased", action="store_true", help="case is not folded, for a file that does not say it"
    )
    parser.add_argument("--threads", type=int, help="threads of the interpreter")
    parser.add_argument("document", help="a text file, or - for standard input")
    try:
        _classify(parser.parse_args(argv))
    except (OSError, ValueError, ImportError) as error:
        print(f"classify: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
