"""docs/plans.md says what is so. Write it anew: python -m tests.factorizations.plans_page."""

import pytest

from tests.factorizations import plans_page

STALE = "docs/plans.md is out of date: run `python -m tests.factorizations.plans_page`"


def test_the_page_has_every_plan():
    written = plans_page.read()
    facts = {name: {**written.get(name, {}), **x} for name, x in plans_page.quick_facts().items()}
    assert facts == written, STALE
    assert plans_page.render(facts) == plans_page.PAGE.read_text(encoding="utf-8"), STALE


@pytest.mark.slow
def test_what_is_tried_is_up_to_date():
    written = plans_page.read()
    for name, facts in plans_page.slow_facts().items():
        # What a compiler sets aside may differ a little from machine to machine.
        growth = float(facts.pop("memory"))
        assert float(written[name]["memory"]) == pytest.approx(growth, rel=0.05), STALE
        assert facts == {column: written[name][column] for column in facts}, STALE
