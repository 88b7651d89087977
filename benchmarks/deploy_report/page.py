"""The figures of the deployment report as tables, and the targets they met."""

import statistics

from benchmarks.common import pages
from benchmarks.common.tables import table
from benchmarks.deploy_report.length import COMBINER, FULL, FULL_WITHOUT_MASK
from benchmarks.deploy_report.rows import (
    DYNAMIC,
    FLOAT32,
    INT4,
    INT8,
    ONNX,
    PADDED,
    PRUNED,
    QAT,
    SAVED_MODEL,
    WHOLE,
)
from benchmarks.deploy_report.targets import milliseconds, targets, times_combiner, times_float32

README_ROWS = (SAVED_MODEL, ONNX, FLOAT32, DYNAMIC, INT8, INT4)
README_COLUMNS = ("MB", "ms", "accuracy", "accuracy, padded")


def readme_rows(figures):
    """Returns what README quotes: a dictionary, name of a row -> list of cells (str)."""
    rows = {name: figures["rows"][name] for name in README_ROWS}
    return {
        name: [
            f"{row['size'] / 1e6:.2f}",
            f"{milliseconds(row, 1):.0f}",
            *(f"{row[x]['accuracy']:.3f}" for x in (WHOLE, PADDED)),
        ]
        for name, row in rows.items()
    }


def tables(figures):
    """Returns the tables of docs/deployment.md by name, every figure out of `figures`."""
    found = {
        "source": pages.source("make deploy-report", "deployment", figures),
        "exports": _exports(figures),
    }
    if set(figures["rows"]) >= {DYNAMIC, INT8, INT4, PRUNED, QAT}:
        met = {True: "met", False: "**missed**"}
        rows = [[*words, met[is_met]] for *words, is_met in targets(figures)]
        found["targets"] = table(["", "target", "found", ""], rows)
    found["length"] = _length(figures)
    if figures["server"] is not None:
        found["server"] = _server(figures["server"])
    return found


def _exports(figures):
    rows = []
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
        rows.append([name, *cells])
    titles = [
        *("export", "MB", "x float32", "MB, compressed"),
        *("ms, 1 thread", "ms, 2 threads", "x float32, 1 thread", "x float32, 2 threads"),
        *("memory, MB", "accuracy, whole", "accuracy, padded", "largest difference"),
    ]
    return table(titles, rows)


def _length(figures):
    seconds, sizes = figures["length"]["seconds"], figures["length"]["size"]
    rows = [
        [
            name,
            f"{1e3 * seconds[name]:.0f}",
            f"{times_combiner(figures, name):.1f}",
            f"{sizes[name] / 1e6:.1f}",
        ]
        for name in (COMBINER, FULL, FULL_WITHOUT_MASK)
    ]
    return table(["attention", "ms", "x Combiner", "MB"], rows)


def _server(load):
    rows = [
        ["answers a second", f"{load['answers_per_second']:.1f}"],
        ["p50, ms", f"{load['p50_ms']:.0f}"],
        ["p99, ms", f"{load['p99_ms']:.0f}"],
        ["memory, idle, MB", f"{load['idle_mb']:.0f}"],
        ["memory, at most, MB", f"{load['peak_mb']:.0f}"],
        ["refused for being busy", f"{load['refused']:,}"],
        ["wrong", f"{len(load['wrong']):,}"],
    ]
    return table(["", "figure"], rows)


PAGE = pages.Page("deployment", "deployment.md", tables)
