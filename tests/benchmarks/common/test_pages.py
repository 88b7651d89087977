"""A program writes its tables into a page, and leaves the words around them alone."""

from benchmarks.common.pages import NOT_MEASURED, Page, marked, source

WORDS = "# Title\n\n{0}\n\nWords.\n\n{1}\n\nMore words.\n"


def made(*names):
    """A page whose tables have one line each, the figure of their name."""
    return Page("some", "some.md", lambda figures: {name: [figures[name]] for name in names})


def test_words_stay_and_tables_are_replaced(tmp_path):
    before = WORDS.format(marked("some", "a", ["old"]), marked("others", "a", ["theirs"]))
    (tmp_path / "some.md").write_text(before)
    made("a").write(tmp_path, {"a": "new"})
    expected = WORDS.format(marked("some", "a", ["new"]), marked("others", "a", ["theirs"]))
    assert (tmp_path / "some.md").read_text() == expected
    assert sorted(x.name for x in tmp_path.iterdir()) == ["some.json", "some.md"]


def test_tables_without_a_place_come_at_the_end(tmp_path, capsys):
    made("a", "b").write(tmp_path, {"a": "first", "b": "second"})
    tables = [marked("some", "a", ["first"]), marked("some", "b", ["second"])]
    assert (tmp_path / "some.md").read_text() == "\n\n".join(tables) + "\n"
    assert capsys.readouterr().out == "first\n\nsecond\n\n"
    text = WORDS.format(tables[1], "Words.")
    assert made("a", "b").updated(text, {"a": "first", "b": "second"}) == text + f"\n{tables[0]}\n"


def test_a_table_that_was_not_measured_says_so():
    text = WORDS.format(marked("some", "a", ["old"]), marked("some", "b, c", ["old"]))
    expected = WORDS.format(marked("some", "a", ["1"]), marked("some", "b, c", [NOT_MEASURED]))
    assert made("a").updated(text, {"a": "1"}) == expected


def test_the_source_says_what_is_known():
    assert source("make x", "some", {}) == [
        "Written by `make x`; the figures are in [some.json](some.json)."
    ]
    figures = {"date": "2001-02-03", "machine": "a machine", "versions": {"keras": "3", "jax": "1"}}
    assert source("make x", "some", figures) == [
        "Written by `make x` on 2001-02-03; the figures are in [some.json](some.json). "
        "a machine; keras 3, jax 1."
    ]
