"""The default of `use_combiner` is what the page says of it."""

from benchmarks.common import files
from benchmarks.conversion import page


def test_the_default_is_close_to_full_attention():
    figures = files.read_json(files.DOCS / "conversion.json")
    row = figures["rows"][page.default_name(figures)]
    assert row["document"]["512"] >= 0.985 and row["token"]["512"] >= 0.985
    assert row["document"]["2048"] >= 0.955 and row["token"]["2048"] >= 0.955
    assert row["milliseconds"] < 0.6 * figures["rows"]["full attention"]["milliseconds"]
