"""What an export may cost at most, and what it costs."""

import statistics

from benchmarks.deploy_report.length import COMBINER, FULL
from benchmarks.deploy_report.rows import (
    DYNAMIC,
    FLOAT32,
    INT4,
    INT8,
    PADDED,
    PRUNED,
    QAT,
    WHOLE,
)


def milliseconds(row, threads):
    """Returns the median time of a document (float) over the rounds."""
    return statistics.median(row["milliseconds"][str(threads)])


def times_float32(figures, name, threads):
    """Returns a row's time over float32's in the same round, the median of all rounds."""
    pairs = zip(
        *(figures["rows"][x]["milliseconds"][str(threads)] for x in (name, FLOAT32)), strict=True
    )
    return statistics.median(one / other for one, other in pairs)


def own_accuracy(figures, documents):
    """Returns the accuracy (float) of the Keras model that all rows begin with."""
    return figures["rows"][FLOAT32][documents]["model_accuracy"]


def lost(figures, name, documents):
    """Returns the points of accuracy (hundredths) that a row is below that Keras model."""
    return 100 * (own_accuracy(figures, documents) - figures["rows"][name][documents]["accuracy"])


def targets(figures):
    """Returns what was asked of the figures, of which all rows are there: a list of tuples.

    `(what, target, found, met)`: str, str, str and bool.
    """
    rows = figures["rows"]
    ratio = rows[DYNAMIC]["size"] / rows[FLOAT32]["size"]
    found = [(f"{DYNAMIC}: size", "at most 0.29x float32", f"{ratio:.3f}x", ratio <= 0.29)]
    for threads in (1, 2):
        ratio = times_float32(figures, DYNAMIC, threads)
        what = f"{DYNAMIC}: latency, threads: {threads}"
        found.append((what, "at most 1.0x float32", f"{ratio:.2f}x", ratio <= 1))
    for name, most in ((DYNAMIC, 0.5), (INT8, 1), (INT4, 2), (PRUNED, 1)):
        for documents in (WHOLE, PADDED):
            points = lost(figures, name, documents)
            # One document in so many is a share that floating point does not quite hold.
            met = points <= most + 1e-9
            what = f"{name}: accuracy, {documents} documents"
            found.append((what, f"at most {most} points lost", f"{points:+.1f} lost", met))
    for documents in (WHOLE, PADDED):
        accuracy, other = (rows[x][documents]["accuracy"] for x in (QAT, INT8))
        what = f"{QAT}: accuracy, {documents} documents"
        asked = f"at least {INT8}'s, {other:.3f}"
        found.append((what, asked, f"{accuracy:.3f}", accuracy >= other))
    ratio = times_combiner(figures, FULL)
    what = f"Combiner at {figures['length']['settings']['length']:,} tokens"
    asked = "at least 6x faster than full attention"
    return [*found, (what, asked, f"{ratio:.1f}x", ratio >= 6)]


def times_combiner(figures, name):
    """Returns an attention's time at the long length as a multiple of Combiner's."""
    seconds = figures["length"]["seconds"]
    return seconds[name] / seconds[COMBINER]
