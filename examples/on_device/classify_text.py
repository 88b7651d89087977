"""Classify a document with a .tflite model that takes text: the tokenizer is in the file.

    python examples/on_device/classify_text.py --model text.tflite --labels labels.txt document.txt

The document is text in UTF-8, or as its byte order mark says; `-` is standard input. labels.txt has
one label a line, in the order of the model's outputs. Needs ai-edge-litert, and tensorflow-text for
the operations of the tokenizer; an app links those operations alone.
"""

import argparse
import pathlib
import sys
import time

import numpy as np

# So that the file also runs from another folder, and when loaded by its path.
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from document_windows import read_metadata
from sidecar_files import read_labels
from text_file import read_document


class TextClassifier:
    """A .tflite model from a text to one probability a label.

    Args:
        path: str, the .tflite file.
        num_threads: int or None, for the interpreter.

    Attributes:
        num_labels: int.
        metadata: dict, what the file says of its model; empty if it says nothing.

    Raises:
        ValueError: If the file is not a model, or the model takes something else than text.
    """

    def __init__(self, path, num_threads=None):
        from ai_edge_litert.interpreter import InterpreterWithCustomOps
        from tensorflow_text import tflite_registrar

        content = pathlib.Path(path).read_bytes()
        try:
            interpreter = InterpreterWithCustomOps(
                custom_op_registerers=tflite_registrar.SELECT_TFTEXT_OPS,
                model_content=content,
                num_threads=num_threads,
            )
        except (ValueError, RuntimeError) as error:
            raise ValueError(f"{path} cannot be run as a .tflite model: {error}") from error
        signature = interpreter.get_signature_list().get("serving_default", {})
        if signature.get("inputs") != ["text"]:
            raise ValueError(f"{path} does not take text. Export it with input_type='text'.")
        self._run = interpreter.get_signature_runner("serving_default")
        outputs = self._run.get_output_details()
        if "probabilities" not in outputs:
            raise ValueError(f"{path} gives a number, not the probabilities of labels.")
        self.num_labels = int(outputs["probabilities"]["shape"][-1])
        self.metadata = read_metadata(content)

    def __call__(self, text):
        """Runs the model.

        Args:
            text: bytes, of any length.

        Returns:
            `(probabilities, num_tokens, num_read)`: np.ndarray float32 [labels], int, how many
            tokens the text has, and int, how many of them the model read.
        """
        # An array of objects: numpy's own strings would lose NUL bytes at their end.
        outputs = self._run(text=np.array([text], dtype=object))
        num_tokens = int(outputs["num_tokens"][0])
        return outputs["probabilities"][0], num_tokens, min(num_tokens, outputs["token_ids"].size)


def _classify(arguments):
    classifier = TextClassifier(arguments.model, arguments.threads)
    labels = read_labels(arguments.labels, classifier.num_labels, classifier.metadata)
    text = read_document(arguments.document).encode()

    start = time.perf_counter()
    probabilities, num_tokens, num_read = classifier(text)
    seconds = time.perf_counter() - start

    width = max(map(len, labels))
    for index in np.argsort(-probabilities, kind="stable"):
        print(f"{labels[index]:{width}}  {probabilities[index]:.4f}")
    cut = f"cut to {num_read:,}" if num_read < num_tokens else "not cut"
    print(f"tokens: {num_tokens:,} ({cut})")
    print(f"latency: {1000 * seconds:.1f} ms, tokenizer and model")


def main(argv=None):
    """Runs the command line.

    Args:
        argv: list of str, the arguments; None for those of the process.

    Returns:
        int, the exit status: 0, or 1 after a message on standard error.
    """
    parser = argparse.ArgumentParser(description="Classify a document with a text-in .tflite file.")
    parser.add_argument("--model", required=True, help=".tflite: string [1] -> probabilities")
    parser.add_argument("--labels", required=True, help="labels.txt, one label a line")
    parser.add_argument("--threads", type=int, help="threads of the interpreter")
    parser.add_argument("document", help="a text file, or - for standard input")
    try:
        _classify(parser.parse_args(argv))
    except (OSError, ValueError, ImportError) as error:
        print(f"classify_text: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
