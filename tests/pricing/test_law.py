"""The formulas by which the law on prices is kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from repricer.pricing.law import (
    JURISDICTIONS,
    NOTICES,
    SOURCES,
    Law,
    announced_path,
    prior_periods,
    prior_price,
    reduction,
)

NAN = np.nan


@pytest.mark.parametrize(
    ("price", "current", "lowest", "running", "law", "prior"),
    [
        # The lowest price of the 30 days, not the price just before: C-330/23.
        (8.0, 10.0, 9.0, NAN, {}, 9.0),
        # Below the price just before, but not below the lowest: no reduction.
        (9.0, 10.0, 9.0, NAN, {}, NAN),
        (9.5, 10.0, 9.0, NAN, {}, NAN),
        (11.0, 10.0, 9.0, NAN, {}, NAN),
        # Nothing is announced where the 30 days are not known.
        (8.0, 10.0, NAN, NAN, {}, NAN),
        # A reduction that goes on keeps the price before it was applied.
        (8.0, 8.0, 8.0, 10.0, {}, 10.0),
        (8.0, 8.0, 8.0, NAN, {}, NAN),
        # One that is increased starts from the lowest price, except where the first step's is kept: paragraph 5.
        (7.0, 8.0, 8.0, 10.0, {}, 8.0),
        (7.0, 8.0, 8.0, 10.0, {"progressive": True}, 10.0),
        # One that is made smaller is none: 8 was charged in the 30 days.
        (9.0, 8.0, 8.0, 10.0, {"progressive": True}, NAN),
        # Perishables, where the member state has it so: paragraph 3.
        (8.0, 10.0, 7.0, NAN, {"perishable": np.array([True])}, 10.0),
        (8.0, 10.0, 7.0, NAN, {"perishable": np.array([False])}, NAN),
    ],
)
def test_the_prior_price(price: float, current: float, lowest: float, running: float, law: Any, prior: float) -> None:
    found = prior_price([price], [current], [lowest], [running], **law)
    np.testing.assert_allclose(found, [prior])


PRICES = st.lists(st.sampled_from([7.0, 8.0, 9.0, 10.0, 11.0]), min_size=1, max_size=40)


@given(PRICES, st.booleans())
@settings(max_examples=200, deadline=None)
def test_no_announced_price_is_above_one_of_its_thirty_days(path: list[float], progressive: bool) -> None:
    law, periods = Law(("EU",), progressive=progressive), 5
    found = announced_path(law, np.array(path)[:, None], np.full((periods, 1), 10.0), periods)[:, 0]
    charged = [10.0] * periods + path
    first = None
    for t, prior in enumerate(found):
        if np.isnan(prior):
            first = None
            continue
        now, before = charged[t + periods], charged[t + periods - 1]
        if first is None or (now < before and not progressive):
            first = t  # the reduction is applied here
        assert now < prior
        assert prior == min(charged[first : first + periods])


def test_a_reduction_is_rounded_down() -> None:
    np.testing.assert_array_equal(reduction([2.0, 8.0], [3.0, 10.0]), [0.3333, 0.2])
    assert np.isnan(reduction([8.0], [NAN])).all()
    cents = np.arange(1, 1000) / 100
    for prior in (9.99, 10.0, 12.5):
        share = 1 - cents / prior
        found = reduction(cents.astype(np.float32), np.float32(prior))
        assert (found <= share + 1e-9).all()
        assert (found > share - 1.0001e-4).all()


@pytest.mark.parametrize("days", [1, 7, 14, 28, 30, 31, 365])
def test_prior_periods_cover_thirty_days(days: int) -> None:
    assert prior_periods(days) * days >= 30 > (prior_periods(days) - 1) * days


def test_personal_prices_are_off_in_maryland_unless_it_is_known_to_be_no_food_store() -> None:
    assert not Law(("MD",)).personal_prices
    assert not Law(("EU", "MD"), food_store=True).personal_prices
    assert Law(("MD",), food_store=False).personal_prices
    assert Law(("EU", "NY", "CA")).personal_prices


def test_notices() -> None:
    # The words of the statute, written out a second time.
    assert NOTICES["NY"] == "THIS PRICE WAS SET BY AN ALGORITHM USING YOUR PERSONAL DATA"
    assert "personalised on the basis of automated decision-making" in NOTICES["EU"]
    assert Law(JURISDICTIONS).notices() == dict(NOTICES)
    assert Law(("MD", "NY")).notices("MD") == {}
    assert set(Law(("EU", "NY")).notices("NY")) == {"NY"}


def test_an_unknown_jurisdiction_is_one_line() -> None:
    with pytest.raises(ValueError, match="jurisdictions must be of EU, NY, MD, CA; got 'FR'; choose from them"):
        Law(("FR",))


def test_the_page_names_every_statute_with_source_date_and_what_is_not_known() -> None:
    assert SOURCES[-1] == "shared"
    page = (Path(__file__).parents[2] / "docs" / "rules.md").read_text(encoding="utf-8")
    sources = ("Directive 98/6/EC, article 6a", "C-330/23", "Directive 2011/83/EU, article 6(1)(ea)", "§ 349-a")
    dates = ("2022-05-28", "2024-09-26", "2025-11-10", "2026-10-01", "2026-01-01")
    for named in (*sources, *dates, "House Bill 895", "Assembly Bill 325", "no legal advice"):
        assert named in page, named
    assert page.count("*Not known:*") >= 4
