"""What finds second halves, as a table."""

from benchmarks.common import pages
from benchmarks.common.tables import table


def tables(figures):
    """Returns the tables of docs/search.md by name, every figure out of `figures`."""
    settings, rows = figures["settings"], figures["rows"]
    data_sets = list(next(iter(rows.values())))
    columns, lengths = ["MiniLM"], [str(x) for x in settings["lengths"]]
    for data_set in data_sets:
        for length in lengths:
            columns += [f"{data_set}, {int(length):,}: @{x}" for x in settings["ranks"]]
    columns += [f"ms a text, {data_sets[0]}, {int(x):,}" for x in lengths]
    lines = []
    for name, row in rows.items():
        line = [name]
        for data_set in data_sets:
            for length in lengths:
                recalls = row[data_set][length]["recall"]
                line += [f"{recalls[str(rank)]:.3f}" for rank in settings["ranks"]]
        line += [f"{1e3 * row[data_sets[0]][length]['seconds']:,.0f}" for length in lengths]
        lines.append(line)
    return {
        "source": pages.source("make retrieval", "retrieval", figures),
        "recall": table(columns, lines),
    }


PAGE = pages.Page("retrieval", "search.md", tables)
