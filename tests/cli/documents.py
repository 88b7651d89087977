"""Documents that the tests of the command line train on."""

import json

import numpy as np

SEQUENCE_LENGTH = 64
WORDS = {
    "tale": "once upon a time long ago there was a king and a queen in a dark forest",
    "weather": "tomorrow rain and wind from the coast with some sun and clouds later on",
}


def labelled_texts(count):
    """Texts that are told apart by any of their words, classes in turn."""
    generator = np.random.default_rng(0)
    labels = [list(WORDS)[i % 2] for i in range(count)]
    return [(" ".join(generator.permutation(WORDS[label].split())), label) for label in labels]


def write_jsonl(path, rows):
    path.write_text("".join(json.dumps({"text": t, "label": x}) + "\n" for t, x in rows))
    return path
