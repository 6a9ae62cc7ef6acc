"""The demand of each half of a shop's sales: what the other half sold moves nothing."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from repricer.data import Tables
from repricer.fitting.demand import Problem
from repricer.fitting.demand.sales_grids import SalesGrids
from repricer.fitting.halves import halved_demand
from repricer.fitting.split import Split, held_out, regular_price
from repricer.fitting.zones import Zone, price_zones
from repricer.tests.data.shop_shapes import chain

DRAWS = 40


def split_of(tables: Tables, zone: Zone | None = None) -> Split:
    return held_out(tables, tables.products, 4, zone)


def problem_of(split: Split) -> Problem:
    products = split.products
    grids = SalesGrids.of(split.past, list(products["product"]), split.past_places)
    regular = regular_price(split.past)[products["product"]].to_numpy(dtype=np.float64)
    return Problem(grids, products, regular, stores=split.past_stores)


def halves_of(split: Split, like=None):
    problem = problem_of(split)
    return halved_demand(problem, split, like or problem.solve(draws=DRAWS), DRAWS, seed=0)


def changed(tables: Tables, rows: pd.Series) -> Tables:
    """The tables with three times the units on deal in some rows, customers there answer to deals far more, and as many units
    of a store as before.
    """
    sales = tables.sales
    deal = sales["price_paid"] < 0.95 * sales["regular_price"]
    before = sales["units"].groupby(sales["store"]).transform("sum")
    units = sales["units"].mask(rows & deal, 3 * sales["units"])
    level = before / units.groupby(sales["store"]).transform("sum")
    return replace(tables, sales=sales.assign(units=(level * units).round().clip(lower=1)))


def unequal(stores: int, **shape) -> Tables:
    """A chain whose stores are the smaller the later they are named."""
    tables = chain(stores=stores, zones=0.0, closed=0.0, **shape)
    size = 5 * 0.9 ** tables.sales["store"].str[1:].astype(int)
    return replace(tables, sales=tables.sales.assign(units=(size * tables.sales["units"]).round().clip(lower=1)))


def answers(demand):
    """(M, N) what a price 20% lower for two weeks sells more, in logs."""
    price = np.tile(demand.regular_price, (6, 1))
    price[3:5] *= 0.8
    reference = None if demand.remembered is None else demand.remembered.price(price)
    return np.log(demand.lift(price, reference=reference, draws=True)[:, 3])


# Enough stores to be told apart, and so many that they are added up.
@pytest.mark.parametrize("stores", [8, 24])
def test_stores_that_answer_otherwise_move_their_own_half_alone(stores):
    tables = unequal(stores, weeks=40, seed=3)
    split = split_of(tables)
    whole = problem_of(split).solve(draws=DRAWS)
    found = halves_of(split, whole)
    assert found.of == "stores"
    assert f"by the demand of {stores // 2} of the {stores} stores" in found.note
    second = tables.sales["store"].isin([f"s{n}" for n in range(1, stores, 2)])
    moved = halves_of(split_of(changed(tables, second)), whole)
    by_search, by_score = (
        answers(new).mean() - answers(old).mean() for new, old in zip(moved.demands, found.demands, strict=True)
    )
    assert abs(by_search) < 0.05
    assert by_score > 0.3


def test_stores_of_zones_are_halved_within_their_zones():
    tables = chain(stores=12, weeks=40, zones=0.1, alike=3, seed=5)
    zone = Zone("zone-2", price_zones(tables.sales))
    split = split_of(tables, zone)
    assert split.zone is zone
    found = halves_of(split)
    assert found.of == "stores"
    assert all(demand.posteriors[0].model.data.sizes[0] == 3 for demand in found.demands), (
        "every zone is in both halves"
    )
    # Half of a zone's stores are at the price level of all of them.
    whole = problem_of(split).solve(draws=DRAWS)
    for demand in found.demands:
        assert answers(demand).mean() == pytest.approx(answers(whole).mean(), abs=0.25)


def test_of_few_stores_blocks_of_eight_weeks_alternate():
    tables = chain(stores=3, weeks=72, zones=0.0, seed=4)
    split = split_of(tables)
    whole = problem_of(split).solve(draws=DRAWS)
    found = halves_of(split, whole)
    assert found.of == "weeks"
    assert "every other block of 8 weeks" in found.note
    weeks = split.past["week"].drop_duplicates().sort_values().to_numpy()
    block = np.arange(len(weeks))[::-1] // 8
    later = tables.sales["date"].isin(weeks[block % 2 == 1])
    moved = halves_of(split_of(changed(tables, later)), whole)
    by_search, by_score = (
        answers(new).mean() - answers(old).mean() for new, old in zip(moved.demands, found.demands, strict=True)
    )
    # Only the level of the others changed, by rounding.
    assert abs(by_search) < 0.1
    assert by_score > 0.3


def test_of_few_stores_and_less_than_a_year_nothing_is_halved_but_the_draws_and_a_line_says_so():
    found = halves_of(split_of(chain(stores=7, weeks=50, zones=0.0)))
    assert (found.of, found.demands) == ("draws", ())
    assert found.note.startswith("The sales cover 46 weeks of fewer than 8 stores, too little to be halved")


def test_sales_that_name_no_stores_are_halved_by_weeks():
    tables = chain(stores=1, weeks=60, zones=0.0)
    tables = replace(tables, sales=tables.sales.drop(columns="store"))
    assert halves_of(split_of(tables)).of == "weeks"


def test_the_same_seed_gives_the_same_halves():
    split = split_of(chain(stores=8, weeks=40, zones=0.0))
    one, again = halves_of(split), halves_of(split)
    for first, second in zip(one.demands, again.demands, strict=True):
        np.testing.assert_array_equal(first.elasticity, second.elasticity)
        np.testing.assert_array_equal(first.deals, second.deals)
    assert [demand.num_draws for demand in one.demands] == [DRAWS // 2] * 2


def test_the_candidate_models_are_those_of_all_sales():
    split = split_of(chain(stores=8, weeks=40, zones=0.0))
    whole = problem_of(split).solve(draws=DRAWS)
    for demand in halves_of(split, whole).demands:
        assert demand.candidates == whole.candidates
        assert demand.curvature == whole.curvature
        assert demand.remembered == whole.remembered
