"""docs/deployment.md: the figures of the deployment report as tables, and the targets they met."""

import json
import statistics

from benchmarks.deploy_length import COMBINER, FULL, FULL_WITHOUT_MASK
from benchmarks.deploy_rows import (
    CALIBRATION_DOCUMENTS,
    DYNAMIC,
    FLOAT32,
    INT4,
    INT8,
    ONNX,
    PADDED,
    PADDED_WORDS,
    PRUNED,
    QAT,
    SAVED_MODEL,
    WHOLE,
)
from benchmarks.speed_report import table
from keras_combiner.whole_files import written_whole

README_ROWS = (SAVED_MODEL, ONNX, FLOAT32, DYNAMIC, INT8, INT4)
README_COLUMNS = ("MB", "ms", "accuracy", "accuracy, padded")


def write(folder, figures):
    """Writes deployment.json and deployment.md into `folder`, and prints the page."""
    with written_whole(folder / "deployment.json", overwrite=True) as path:
        path.write_text(json.dumps(figures, indent=1) + "\n")
    text = page(json.loads((folder / "deployment.json").read_text()))
    with written_whole(folder / "deployment.md", overwrite=True) as path:
        path.write_text(text)
    print(text)


def milliseconds(row, threads):
    """Median time of a document (float) over the rounds."""
    return statistics.median(row["milliseconds"][str(threads)])


def times_float32(figures, name, threads):
    """Median over the rounds of a row's time as a multiple of float32's in the same round."""
    pairs = zip(
        *(figures["rows"][x]["milliseconds"][str(threads)] for x in (name, FLOAT32)), strict=True
    )
    return statistics.median(one / other for one, other in pairs)


def own_accuracy(figures, documents):
    """Accuracy (float) of the Keras model that all rows begin with."""
    return figures["rows"][FLOAT32][documents]["model_accuracy"]


def lost(figures, name, documents):
    """Points of accuracy (hundredths) that a row is below that Keras model."""
    return 100 * (own_accuracy(figures, documents) - figures["rows"][name][documents]["accuracy"])


def targets(figures):
    """What was asked of the figures, of which all rows are there: a list of tuples.

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
    """Time of an attention at the long length as a multiple of Combiner's."""
    seconds = figures["length"]["seconds"]
    return seconds[name] / seconds[COMBINER]


def readme_rows(figures):
    """What README quotes: a dictionary, name of a row -> list of cells (str)."""
    rows = {name: figures["rows"][name] for name in README_ROWS}
    return {
        name: [
            f"{row['size'] / 1e6:.2f}",
            f"{milliseconds(row, 1):.0f}",
            *(f"{row[x]['accuracy']:.3f}" for x in (WHOLE, PADDED)),
        ]
        for name, row in rows.items()
    }


def page(figures):
    """The page (str), every figure out of `figures`."""
    versions = ", ".join(f"{name} {version}" for name, version in figures["versions"].items())
    lines = [
        "# What an export costs",
        "",
        f"Written by `make deploy-report` on {figures['date']}; the figures are in "
        f"[deployment.json](deployment.json). {figures['machine']}; {versions}.",
        "",
        "The classifier of `saved_models/sotu_era` "
        f"({figures['parameters']:,} parameters, up to {figures['sequence_length']:,} tokens) in "
        f"every kind of export, on the {figures['documents']} test segments.",
        "",
        *_exports(figures),
        *(_targets(figures) if set(figures["rows"]) >= {DYNAMIC, INT8, INT4, PRUNED, QAT} else []),
        *_length(figures),
        *_server(figures),
    ]
    return "\n".join(lines).rstrip("\n") + "\n"


def _exports(figures):
    rows = {}
    for name, row in figures["rows"].items():
        memory = [x for x in row["memory"] if x is not None]
        cells = [
            f"{row['size'] / 1e6:.2f}",
            f"{row['size'] / figures['rows'][FLOAT32]['size']:.2f}",
            f"{row['compressed'] / 1e6:.2f}",
            *(f"{milliseconds(row, x):.1f}" for x in (1, 2)),
            *(f"{times_float32(figures, name, x):.2f}" for x in (1, 2)),
            f"{statistics.median(memory) / 1e6:.0f}" if memory else "",
        ]
        for x in (WHOLE, PADDED):
            cells.append(f"{row[x]['accuracy']:.3f} ({row[x]['model_accuracy']:.3f})")
        cells.append(f"{row[WHOLE]['largest_difference']:.0e}")
        rows[name] = cells
    columns = [
        *("MB", "x float32", "MB, compressed"),
        *("ms, 1 thread", "ms, 2 threads", "x float32, 1 thread", "x float32, 2 threads"),
        *("memory, MB", "accuracy, whole", "accuracy, padded", "largest difference"),
    ]
    return [
        "## Every kind",
        "",
        *table("export", columns, rows),
        "",
        f"- `{SAVED_MODEL}` and `{ONNX}` are those of `export_saved_model` and `export_onnx`; all "
        "others are `.tflite` files. `takes text`: the tokenizer is in the file.",
        f"- `{INT8}` and `int16x8` are calibrated on {CALIBRATION_DOCUMENTS} training documents; "
        f"`{QAT}` learned its ranges while it was fine-tuned on the training documents. So were "
        "the rows below it, to bear their zeros, or their 16 values a weight, which make a file "
        "smaller once it is compressed (zlib), not by themselves.",
        f"- Accuracy on whole documents, and on their first {PADDED_WORDS} words, after which all "
        "is padding; in brackets that of the same row's Keras model.",
        "- Latency: medians of 20 documents, and of "
        f"{figures['rounds']} rounds in which every row has its turn, in processes of their own "
        "that load neither Keras nor this package; multiples of float32's time are of the same "
        f"round. A `.tflite` file computes {figures['sequence_length']:,} tokens whatever the "
        f"document; `{SAVED_MODEL}` and `{ONNX}` as many as it has. `{SAVED_MODEL}` and "
        "`takes text` make token ids out of the text too.",
        "- Memory: what loading and running added to the most that the process held, one thread. "
        f"`{INT8}` and `int16x8` are for accelerators of integers: CPUs have no fast kernels for "
        "all they need.",
        "- Largest difference of a probability from the row's Keras model, whole documents.",
        "",
    ]


def _targets(figures):
    rows = {
        what: [asked, found, "met" if met else "**missed**"]
        for what, asked, found, met in targets(figures)
    }
    return [
        "## Targets",
        "",
        *table("", ["target", "found", ""], rows),
        "",
        f"Lost: against the model that all rows begin with. `{PRUNED}` and `{QAT}` were trained "
        "further, which may gain what the rest of it loses.",
        "",
    ]


def _length(figures):
    settings, seconds = figures["length"]["settings"], figures["length"]["seconds"]
    rows = {
        name: [
            f"{1e3 * seconds[name]:.0f}",
            f"{times_combiner(figures, name):.1f}",
            f"{figures['length']['size'][name] / 1e6:.1f}",
        ]
        for name in (COMBINER, FULL, FULL_WITHOUT_MASK)
    }
    return [
        f"## Combiner and full attention at {settings['length']:,} tokens",
        "",
        f"One transformer (layers: {settings['num_layers']}, width {settings['hidden_dim']}, "
        f"heads: {settings['num_heads']}, feed-forward {settings['intermediate_dim']}), from token "
        f"ids to logits, in {settings['quantization']}, {settings['threads']} threads; a document "
        f"of {settings['tokens']:,} tokens and padding. Medians of {settings['repeats']} turns of "
        "one run.",
        "",
        *table("attention", ["ms", "x Combiner", "MB"], rows),
        "",
        f"`{FULL}` is `keras.layers.MultiHeadAttention`, which masks padding as Keras does; its "
        f"converted mask takes most of the file. `{FULL_WITHOUT_MASK}` attends to padding too, "
        "which no classifier should: it shows what the mask costs.",
        "",
    ]


def _server(figures):
    load = figures["server"]
    if load is None:
        return []
    rows = {
        "answers a second": f"{load['answers_per_second']:.1f}",
        "p50, ms": f"{load['p50_ms']:.0f}",
        "p99, ms": f"{load['p99_ms']:.0f}",
        "memory, idle, MB": f"{load['idle_mb']:.0f}",
        "memory, at most, MB": f"{load['peak_mb']:.0f}",
        "refused for being busy": f"{load['refused']:,}",
        "wrong": f"{len(load['wrong']):,}",
    }
    return [
        "## The server under load",
        "",
        f"`keras-combiner serve`: {load['clients']} clients for {load['seconds']:.0f} s on the "
        "same machine, texts of 1 to 100,000 words, and one request in ten that is none.",
        "",
        *table("", ["figure"], {name: [x] for name, x in rows.items()}),
        "",
    ]
