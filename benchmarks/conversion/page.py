"""What conversion keeps and what it costs, as a table."""

from benchmarks.common import pages
from benchmarks.common.tables import table
from benchmarks.conversion.measure import COLUMNS
from keras_combiner.convert.defaults import DEFAULT_LOCALITY, DEFAULT_SUMMARY, default_plan


def tables(figures):
    """Returns the tables of docs/conversion.md by name, every figure out of `figures`."""
    settings = figures["settings"]
    lengths = [*settings["documents"]]
    columns = ["attention", "block", "part", "neighbors", "opened", "by", "first blocks"]
    columns += ["summary", "locality"]
    for length in lengths:
        columns += [f"terms a query, {int(length):,}", "document", "tokens"]
    columns.append(f"ms, {settings['timed_length']:,} tokens")
    default = default_name(figures)
    rows = []
    for name, row in figures["rows"].items():
        line = _cells(figures["plans"].get(name))
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
    wanted = {
        **default_plan().get_config(),
        "summary": DEFAULT_SUMMARY,
        "locality": DEFAULT_LOCALITY,
    }
    wanted = {name: x for name, x in wanted.items() if name in COLUMNS}
    return next((name for name, x in figures["plans"].items() if x == wanted), None)


def _cells(plan):
    """The cells of a plan as `measure.fixed` states it; empty ones for None, another plan."""
    if plan is None:
        return [""] * len(COLUMNS)
    group = (plan["choice_size"] or plan["block_size"]) if plan["opened"] else ""
    return [str(x) for x in ({**plan, "choice_size": group}[column] for column in COLUMNS)]


PAGE = pages.Page("conversion", "conversion.md", tables)
