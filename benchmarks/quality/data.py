"""The data sets of the quality benchmark, the same token ids for every row."""

from typing import NamedTuple

import numpy as np

from benchmarks.common.runs import digest, kept

SPLITS = ("train", "validation", "test")


class Data(NamedTuple):
    """One data set.

    Attributes:
        token_ids: dict of split (str) to int32 array `[documents, length]`, 0 after the end.
        labels: dict of split to int32 array `[documents]`.
        texts: dict of split to list of str, or None if there are no texts.
        vocabulary: list of str, what the token ids stand for.
        num_classes: int.
    """

    token_ids: dict
    labels: dict
    texts: dict | None
    vocabulary: list
    num_classes: int


def load(name, settings, folder):
    """Returns the data set `name`, a `Data`.

    Args:
        name: str, one of `DATASETS`.
        settings: dict, "length" (int) and "documents" (dict of split to int, the most documents
            to take; for "listops", those to generate); for texts "vocabulary_size" too.
        folder: path, where what takes long is kept.
    """
    return DATASETS[name](settings, folder)


def excerpts(data, length):
    """Returns the texts of `data`, a dict of split, as far as their first `length` tokens go."""
    from keras_combiner.text import WordPieceTokenizer

    tokenizer = WordPieceTokenizer(data.vocabulary)
    return {name: tokenizer.decode(x[:, :length]) for name, x in data.token_ids.items()}


def order(num_documents, steps, batch_size, seed):
    """Returns which documents a step sees, int `[steps, batch_size]`.

    Pass after pass, each in a random order, which depends on nothing that rows differ in.
    """
    generator = np.random.default_rng(seed)
    passes = -(-steps * batch_size // num_documents)
    places = np.concatenate([generator.permutation(num_documents) for _ in range(passes)])
    return places[: steps * batch_size].reshape(steps, batch_size)


def _sotu_era(settings, folder):
    from keras_combiner.datasets import load_sotu_era

    def splits():
        return load_sotu_era(segment_words=settings["segment_words"])

    return _texts("sotu_era", splits, settings, folder)


def _brown_genre(settings, folder):
    from benchmarks.quality import brown

    return _texts("brown_genre", lambda: brown.splits(folder), settings, folder)


def _texts(name, splits, settings, folder):
    path = folder / f"{name}-{digest(settings)}.json"
    prepared = kept(path, lambda: _prepare(splits(), settings))
    token_ids = {}
    for split in SPLITS:
        rows = prepared["token_ids"][split]
        token_ids[split] = np.zeros((len(rows), settings["length"]), "int32")
        for target, row in zip(token_ids[split], rows, strict=True):
            target[: len(row)] = row
    labels = {split: np.array(prepared["labels"][split], "int32") for split in SPLITS}
    vocabulary = prepared["vocabulary"]
    return Data(token_ids, labels, prepared["texts"], vocabulary, len(prepared["classes"]))


def _prepare(splits, settings):
    """Learns the vocabulary from the training documents, and reads all of them with it."""
    from keras_combiner.text import WordPieceTokenizer, learn_wordpiece_vocabulary

    most = settings["documents"]
    splits = {name: splits[name][: most.get(name)] for name in SPLITS}
    texts = {name: [text for text, _ in some] for name, some in splits.items()}
    vocabulary = learn_wordpiece_vocabulary(
        texts["train"], settings["vocabulary_size"], verbose=False
    )
    tokenizer = WordPieceTokenizer(vocabulary)
    classes = sorted({label for some in splits.values() for _, label in some})
    return {
        "vocabulary": vocabulary,
        "classes": classes,
        "texts": texts,
        "labels": {x: [classes.index(label) for _, label in some] for x, some in splits.items()},
        "token_ids": {
            x: tokenizer.encode(some, settings["length"]).to_list() for x, some in texts.items()
        },
    }


def _listops(settings, folder):
    from keras_combiner.datasets import generate_listops
    from keras_combiner.datasets.listops import VOCABULARY

    sizes = settings["documents"]
    token_ids, labels = generate_listops(
        sum(sizes.values()), settings["min_length"], settings["length"]
    )
    stops = np.cumsum([sizes[name] for name in SPLITS])[:-1]
    return Data(
        dict(zip(SPLITS, np.split(token_ids, stops), strict=True)),
        dict(zip(SPLITS, np.split(labels, stops), strict=True)),
        None,
        list(VOCABULARY),
        10,
    )


DATASETS = {"sotu_era": _sotu_era, "brown_genre": _brown_genre, "listops": _listops}


def describe(dataset, settings, folder):
    """Returns what there is to know of a data set, a dictionary; makes it, if it is not there."""
    data = load(dataset, settings["datasets"][dataset], folder)
    lengths = np.concatenate([np.sum(x != 0, axis=1) for x in data.token_ids.values()])
    return {
        "documents": {split: len(x) for split, x in data.labels.items()},
        "tokens": round(float(lengths.mean())),
        "filled": float(np.mean(lengths == settings["datasets"][dataset]["length"])),
        "smallest_class": int(np.bincount(data.labels["train"], minlength=data.num_classes).min()),
    }
