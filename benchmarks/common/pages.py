"""Pages of docs/: a program writes the tables between its marks, a person the words around them.

A table of the page stands between two comments, which a reader does not see:

    <!-- remat: table -->

    | backbone | GB | ...

    <!-- end -->

The first names the benchmark and the table. All else on the page is written by hand, and
tests/benchmarks/test_words.py holds the figures that it quotes against the JSON.
"""

import dataclasses
import re
from collections.abc import Callable

from benchmarks.common import files
from keras_combiner.atomic_files import atomic_write

NOT_MEASURED = "Not measured."
MARKED = re.compile(r"<!-- (\w+): ([^\n]+?) -->\n.*?<!-- end -->", re.DOTALL)


@dataclasses.dataclass(frozen=True)
class Page:
    """Where a benchmark's figures are published.

    Attributes:
        name: str, of the benchmark, of its JSON and of its plot.
        file: str, the page's name.
        tables: callable of the figures as JSON has them; returns a dict, name -> lines (list of
            str) of what stands between the marks of that name.
        plot: callable of figures and a path to write a PNG to, or None.
    """

    name: str
    file: str
    tables: Callable
    plot: Callable | None = None

    def write(self, folder, figures):
        """Writes figures, plot and tables into `folder`, and prints the tables.

        The page keeps its words; where there is no page, it has the tables alone.
        """
        figures = files.write_json(folder / f"{self.name}.json", figures)
        if self.plot is not None:
            with atomic_write(folder / f"{self.name}.png", overwrite=True) as path:
                self.plot(figures, path)
        page = folder / self.file
        text = page.read_text(encoding="utf-8") if page.exists() else ""
        files.write_text(page, self.updated(text, figures))
        for lines in self.tables(figures).values():
            print("\n".join(lines), end="\n\n")

    def updated(self, text, figures):
        """Returns the page's `text` with the tables of `figures` in place of what it had.

        Tables that the page has no marks for are added at its end. Where figures lack a table that
        the page has, it says so.
        """
        missing = self.tables(figures)
        tables = dict(missing)

        def replacement(match):
            name, title = match.groups()
            if name != self.name:
                return match[0]
            missing.pop(title, None)
            return marked(name, title, tables.get(title, [NOT_MEASURED]))

        text = MARKED.sub(replacement, text)
        added = [marked(self.name, title, lines) for title, lines in missing.items()]
        return "\n\n".join([*([text.rstrip("\n")] if text else []), *added]) + "\n"


def marked(name, title, lines):
    """Returns lines of a table between its marks (str)."""
    return "\n".join([f"<!-- {name}: {title} -->", "", *lines, "", "<!-- end -->"])


def source(command, name, figures):
    """Returns the lines that say what wrote the figures, when, where and of what.

    Args:
        command: str, such as "make bench".
        name: str, of the benchmark.
        figures: dict; `machine.provenance` is a part of it, except for older figures.
    """
    written, where = f"Written by `{command}`", ""
    if "date" in figures:
        written += f" on {figures['date']}"
        where = f" {figures['machine']}"
    if versions := figures.get("versions"):
        where += "; " + ", ".join(f"{x} {version}" for x, version in versions.items())
    end = "." if where else ""
    return [f"{written}; the figures are in [{name}.json]({name}.json).{where}{end}"]
