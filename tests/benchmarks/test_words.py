"""The figures of docs/ are those that were measured, in its tables and in its words."""

import itertools
import re

import pytest

from benchmarks.ablation.page import PAGE as ABLATION
from benchmarks.common import files
from benchmarks.conversion.page import PAGE as CONVERSION
from benchmarks.deploy_report.page import PAGE as DEPLOYMENT
from benchmarks.quality.page import PAGE as QUALITY
from benchmarks.remat.page import PAGE as REMAT
from benchmarks.speed.page import PAGE as SPEED
from benchmarks.starting_points.page import PAGE as STARTING_POINTS
from benchmarks.training.page import PAGE as TRAINING
from tests.benchmarks import phrases
from tests.benchmarks.quoted import NUMBER, unaccounted, words_of

# Page -> what it tells of, and the phrases that quote its figures.
BENCHMARKS = {
    ABLATION: phrases.ablation,
    CONVERSION: phrases.conversion,
    DEPLOYMENT: phrases.deployment,
    SPEED: phrases.speed,
    TRAINING: phrases.training,
    REMAT: phrases.remat,
    QUALITY: phrases.quality,
    STARTING_POINTS: phrases.starting_points,
}
PAGES = sorted({page.file for page in BENCHMARKS})


def figures_of(page):
    return files.read_json(files.DOCS / f"{page.name}.json")


def phrases_of(file):
    quoted = [quote(figures_of(page)) for page, quote in BENCHMARKS.items() if page.file == file]
    return [*phrases.FIXED[file], *itertools.chain(*quoted)]


def text_of(file):
    return (files.DOCS / file).read_text(encoding="utf-8")


def test_every_page_with_figures_is_held():
    names = {path.stem for path in files.DOCS.glob("*.json")}
    assert names == {page.name for page in BENCHMARKS}
    linked = {
        path.name: found
        for path in files.DOCS.glob("*.md")
        if (found := set(re.findall(r"\]\((\w+)\.json\)", path.read_text(encoding="utf-8"))))
    }
    assert linked == {
        file: {page.name for page in BENCHMARKS if page.file == file} for file in PAGES
    }


@pytest.mark.parametrize("page", BENCHMARKS, ids=lambda page: page.name)
def test_the_tables_are_made_of_the_figures(page):
    text = text_of(page.file)
    assert page.updated(text, figures_of(page)) == text


@pytest.mark.parametrize("file", PAGES)
def test_the_words_quote_the_figures(file):
    assert unaccounted(words_of(text_of(file)), phrases_of(file)) == ([], [])


@pytest.mark.parametrize("file", PAGES)
def test_no_quoted_figure_can_be_changed_by_hand(file):
    words, held = words_of(text_of(file)), phrases_of(file)
    numbers = [*NUMBER.finditer(words)]
    assert len(numbers) > 10
    for number in numbers:
        digits = number[0].translate(str.maketrans("0123456789", "1234567890"))
        changed = words[: number.start()] + digits + words[number.end() :]
        assert unaccounted(changed, held) != ([], []), number


def test_what_counts_as_a_number():
    words = words_of("`int8`, x86-64, [a link](4.md): -0.5, 4,096, 30% and 0.1.0; 2,\n1e5 or 7.")
    assert [x[0] for x in NUMBER.finditer(words)] == ["-0.5", "4,096", "30%", "0.1.0", "2", "7"]
    assert unaccounted("5 of 6", ["5 of"]) == (["5 of 6"], [])
    assert unaccounted("5 of 6", ["5 of 6", "6 of"]) == ([], ["6 of"])
