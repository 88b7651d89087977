"""What conversion keeps and what it costs, as a table."""

from benchmarks.common import pages
from benchmarks.common.tables import table
from keras_combiner.convert.use_combiner import default_plan


def tables(figures):
    """Returns the tables of docs/conversion.md by name, every figure out of `figures`."""
    settings = figures["settings"]
    lengths = [*settings["documents"]]
    columns = ["attention", "block", "part", "neighbors", "summary"]
    for length in lengths:
        columns += [f"terms a query, {int(length):,}", "document", "tokens"]
    columns.append(f"ms, {settings['timed_length']:,} tokens")
    default = default_name(figures)
    rows = []
    for name, row in figures["rows"].items():
        line = [str(x) for x in figures["fixed"].get(name, ("", "", "", ""))]
        for length in lengths:
            line.append(f"{row['terms'][length]:.0f}")
            line += [f"{row[what][length]:.3f}" for what in ("document", "token")]
        line.append(f"{row['milliseconds']:,.0f}")
        rows.append([f"**{name}** (default)" if name == default else name, *line])
    return {
        "source": pages.source("make conversion", "conversion", figures),
        "settings": table(columns, rows),
    }


def default_name(figures):
    """Returns the row that `use_combiner` has by default, or None."""
    plan = default_plan()
    wanted = [plan.block_size, plan.part_size, plan.neighbors, "variational"]
    return next((name for name, x in figures["fixed"].items() if list(x) == wanted), None)


PAGE = pages.Page("conversion", "conversion.md", tables)
