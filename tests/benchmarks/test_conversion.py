"""The page about conversion is made of its figures, and the default is what the page says."""

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks import conversion, conversion_report
from keras_combiner import CombinerBackbone

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(scope="module")
def figures():
    return json.loads((DOCS / "conversion.json").read_text())


def test_the_page_is_made_of_the_figures(figures):
    assert (DOCS / "conversion.md").read_text() == conversion_report.page(figures)


def test_the_default_is_close_to_full_attention(figures):
    default = conversion_report.default_name(figures)
    assert default in conversion_report.passing(figures)
    row = figures["rows"][default]
    assert row["document"]["512"] >= 0.96 and row["token"]["512"] >= 0.95
    assert row["milliseconds"] < figures["rows"]["full attention"]["milliseconds"]


def test_every_row_is_a_plan():
    for row in (conversion.FULL, *conversion.FIXED, *conversion.OTHERS):
        backbone = CombinerBackbone(
            *(10, 64, 1, 2, 4, 4), static_length=True, **conversion.options_of(row, 64)
        )
        assert backbone(np.ones((1, 64), "int32")).shape == (1, 64, 4)


def test_terms_are_counted_over_all_queries():
    backbone = CombinerBackbone(10, 64, 1, 2, 4, 4, block_size=4)
    assert conversion.terms(backbone, 10) == (4 * 6 + 4 * 6 + 2 * 4) / 10
    sparse = CombinerBackbone(10, 64, 1, 2, 4, 4, block_size=4, summary="none")
    assert conversion.terms(sparse, 10) == (8 * 4 + 2 * 2) / 10


def test_cosine():
    x = np.array([[1.0, 0.0], [3.0, 3.0]])
    y = np.array([[0.0, 2.0], [1.0, 1.0]])
    np.testing.assert_allclose(conversion.cosine(x, y), [0, 1], atol=1e-12)
