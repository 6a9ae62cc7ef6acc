"""An effect for each kind of promotion, or a line that says why two are pooled."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from repricer.data import Tables
from repricer.fitting import fit
from repricer.fitting.demand import FittedDemand, Problem, SalesGrids
from repricer.fitting.promotion_kinds import OTHER, PromotionKinds, in_common
from repricer.fitting.split import Split, held_out, regular_price, weeks_to_come
from repricer.fitting.zones import Zone
from repricer.forecasting.models.pooled import PooledRegression
from repricer.tests.fitting.demand.markets import known_demand

START, WEEKS, HELD_OUT = pd.Timestamp("2022-01-03"), 104, 12
PRODUCTS = pd.DataFrame({"product": list("abcdef"), "category": "x"})
TRUTH = {"coupon": 0.2, "feature": 0.8}
COLUMNS = ["promotion", "promotion: coupon", "promotion: feature"]
WEEK_OF, PRODUCT_OF = np.indices((WEEKS, 6))


def drawn(seed: int = 0) -> tuple[pd.DataFrame, dict[str, np.ndarray]]:
    """Sales of two years with two kinds of promotions of known effects, (W, N) where each was; and where prices were reduced."""
    random = np.random.default_rng(seed)
    reduced = random.random((WEEKS, 6)) < 0.2
    price = 2.0 * np.where(reduced, 1 - random.uniform(0.1, 0.3, (WEEKS, 6)), 1.0)
    shown = {kind: random.random((WEEKS, 6)) < 0.15 + 0.3 * reduced for kind in TRUTH}
    demand = known_demand(PRODUCTS, np.full(6, 40.0), np.full(6, 2.0), np.full(6, -2.2), [0.6], effects=TRUTH)
    mean = 40 * demand.lift(price, {kind: cells.astype(float) for kind, cells in shown.items()})
    units = random.poisson(mean * random.gamma(50, 1 / 50, mean.shape)).astype(float)
    sales = pd.DataFrame(
        {
            "date": START + pd.to_timedelta(7 * WEEK_OF.ravel(), unit="D"),
            "product": PRODUCTS["product"].to_numpy()[PRODUCT_OF.ravel()],
            "units": units.ravel(),
            "price_paid": price.round(2).ravel(),
            "regular_price": 2.0,
        }
    )
    return sales, shown | {"reduced": reduced}


def tables_of(sales: pd.DataFrame, **shown: np.ndarray) -> Tables:
    """The sales with promotions where each kind was."""
    rows = []
    for kind, cells in shown.items():
        week, product = np.nonzero(cells)
        days = START + pd.to_timedelta(7 * week, unit="D")
        names = PRODUCTS["product"].to_numpy()[product]
        rows.append(pd.DataFrame({"start_date": days, "product": names, "kind": kind.replace("_", " ")}))
    return Tables(sales, PRODUCTS, promotions=pd.concat(rows, ignore_index=True))


def solved(split: Split) -> FittedDemand:
    grids = SalesGrids.of(split.past, list(PRODUCTS["product"]), split.past_places)
    regular = regular_price(split.past)[PRODUCTS["product"]].to_numpy(float)
    return Problem(grids, PRODUCTS, regular).solve(draws=200)


def effects(split: Split) -> dict[str, np.ndarray]:
    """Draws of the effect of each kind."""
    found = solved(split)
    return {kind: found.effect(kind)[:, 0] for kind in found.kinds}


def wape(split: Split) -> float:
    forecast = PooledRegression().fit(split.past).predict(split.future.drop(columns="units"))
    rows = forecast.merge(split.future[["product", "week", "units"]], on=["product", "week"])
    return float((rows["mean"] - rows["units"]).abs().sum() / rows["units"].sum())


@pytest.fixture(scope="module")
def panel() -> tuple[pd.DataFrame, dict[str, np.ndarray]]:
    return drawn()


@pytest.fixture(scope="module")
def two(panel) -> Split:
    sales, shown = panel
    return held_out(tables_of(sales, **{kind: shown[kind] for kind in TRUTH}), PRODUCTS, HELD_OUT)


def test_two_kinds_of_different_effects_get_both_back(two):
    """Counted as one share, a coupon and a feature were worth the same."""
    found = effects(two)
    assert set(found) == set(TRUTH)
    for kind, true in TRUTH.items():
        low, high = np.quantile(found[kind], [0.025, 0.975])
        assert low < true < high
        assert found[kind].mean() == pytest.approx(true, abs=0.1)


def test_a_usual_display_mixes_the_kinds_as_the_shop_does(two, panel):
    """It stands for one where a market has one number: for promotions that are a decision, and recommendations."""
    found, shown = solved(two), [panel[1][kind][: WEEKS - HELD_OUT] for kind in TRUTH]
    mix = np.array([cells.sum() for cells in shown]) / (shown[0] | shown[1]).sum()
    worth = [found.effect(kind).mean() for kind in TRUTH]
    assert found.usual_display.mean() == pytest.approx(mix @ worth)
    assert worth[0] < found.usual_display.mean() < worth[1]


@pytest.mark.parametrize("zone", [None, Zone("west", {"west": ("s0",), "east": ("s1",)})])
def test_stores_with_one_kind_each_tell_both_apart(panel, zone):
    """One store had coupons, the other features: a zone's own table of promotions knows of one kind alone."""
    sales, shown = panel
    parts, own = [], zip(TRUTH, ("s0", "s1"), strict=True)
    tables = [tables_of(sales, **{kind: shown[kind]}).promotions.assign(store=store) for kind, store in own]
    for kind, store in zip(TRUTH, ("s0", "s1"), strict=True):
        other = next(name for name in TRUTH if name != kind)
        fewer = np.where(shown[other], np.exp(-TRUTH[other]), 1.0).ravel()
        parts.append(sales.assign(store=store, units=(sales["units"] * fewer).round()))
    both = Tables(pd.concat(parts, ignore_index=True), PRODUCTS, promotions=pd.concat(tables, ignore_index=True))
    found = effects(held_out(both, PRODUCTS, HELD_OUT, zone))
    assert set(found) == set(TRUTH)
    assert found["feature"].mean() - found["coupon"].mean() == pytest.approx(0.6, abs=0.15)


def test_forecasts_weigh_the_kinds_by_what_each_sold(two):
    """With one share for both, the same forecaster was 30% worse."""
    pooled = [rows.drop(columns=COLUMNS[1:]) for rows in (two.past, two.future)]
    assert wape(two) < 0.9 * wape(Split(two.products, *pooled, two.sales))


def test_a_kind_that_marks_the_reductions_is_left_to_the_price_and_said_so(panel, two):
    sales, shown = panel
    own = {kind: shown[kind] for kind in TRUTH}
    marked = held_out(tables_of(sales, **own, shelf_tag=shown["reduced"]), PRODUCTS, HELD_OUT)
    said = [line for line in marked.plan if "cannot be told apart" in line]
    assert len(said) == 1
    assert said[0].startswith(
        "Promotions: shelf tag and the reductions of prices have 100% of their product-weeks in common"
    )
    pd.testing.assert_frame_equal(marked.past[list(two.past)], two.past)
    assert wape(marked) == pytest.approx(wape(two))
    assert set(effects(marked)) == set(TRUTH)


def test_two_kinds_that_always_come_together_have_one_effect_and_the_line_names_both(panel):
    sales, shown = panel
    leaflet = shown["feature"].copy()
    leaflet[np.nonzero(leaflet)[0][:2], np.nonzero(leaflet)[1][:2]] = False
    split = held_out(tables_of(sales, **{kind: shown[kind] for kind in TRUTH}, leaflet=leaflet), PRODUCTS, HELD_OUT)
    assert set(effects(split)) == {"coupon", "feature and leaflet"}
    (said,) = (line for line in split.plan if "they have one effect" in line)
    assert said.startswith("Promotions: leaflet and feature have 9")


def test_kinds_in_a_few_product_weeks_count_as_one(panel):
    sales, shown = panel
    rare = {name: np.zeros((WEEKS, 6), bool) for name in ("raffle", "tasting")}
    rare["raffle"][3:8, 0] = True
    rare["tasting"][20:26, 1] = True
    split = held_out(tables_of(sales, feature=shown["feature"], **rare), PRODUCTS, HELD_OUT)
    assert set(effects(split)) == {"feature", OTHER}
    # A shop may have a kind of that name.
    named = held_out(tables_of(sales, coupon=shown["coupon"], other_kinds=shown["feature"], **rare), PRODUCTS, HELD_OUT)
    assert named.kinds.groups[OTHER] == (OTHER, "tasting", "raffle")
    (said,) = (line for line in split.plan if "too few product-weeks" in line)
    assert "tasting (6), raffle (5) are in too few product-weeks" in said


def test_one_kind_beside_the_price_is_the_promotion(panel):
    """The market and its forecasts are those of a shop that recorded the one kind alone."""
    sales, shown = panel
    alone = held_out(tables_of(sales, feature=shown["feature"]), PRODUCTS, HELD_OUT)
    marked = held_out(tables_of(sales, feature=shown["feature"], tag=shown["reduced"]), PRODUCTS, HELD_OUT)
    pd.testing.assert_frame_equal(marked.past, alone.past)
    none = held_out(tables_of(sales, tag=shown["reduced"], tick=shown["reduced"]), PRODUCTS, HELD_OUT)
    assert not none.past["promotion"].any()


def test_weeks_in_common_count_by_their_share_of_stores():
    assert in_common(np.array([1.0, 0.5]), np.array([0.5, 0.5])) == pytest.approx(2 / 3)
    assert in_common(np.zeros(2), np.zeros(2)) == 0


def test_a_panel_without_kinds_stays_as_it_is(panel):
    sales, shown = panel
    split = held_out(tables_of(sales, feature=shown["feature"]), PRODUCTS, HELD_OUT)
    assert split.kinds == PromotionKinds()
    assert not [name for name in split.past if str(name).startswith("promotion:")]


def test_a_plan_that_names_no_kinds_has_those_of_the_same_weeks(panel):
    sales, shown = panel
    tables = tables_of(sales, **{kind: shown[kind] for kind in TRUTH})
    first = START + pd.Timedelta(weeks=WEEKS)
    plan = pd.DataFrame({"date": [first, first], "product": ["a", "b"], "promotion": [0.5, 0.0]})
    proof = held_out(tables, PRODUCTS, HELD_OUT)
    with_plan = Tables(sales, PRODUCTS, promotions=tables.promotions, plan=plan)
    usual, found = (
        weeks_to_come(known, proof, HELD_OUT).future.set_index(["week", "product"])[COLUMNS].sort_index()
        for known in (tables, with_plan)
    )
    assert not found.loc[(first, "b")].any()
    planned = found.loc[(first, "a")]
    assert planned["promotion"] == 0.5
    assert 0 < planned[COLUMNS[1:]].max() <= 0.5
    pd.testing.assert_frame_equal(found.drop(plan["date"]), usual.drop(plan["date"]))


def test_a_market_and_its_report_tell_what_each_kind_is_worth(panel):
    sales, shown = panel
    tables = tables_of(sales, **{kind: shown[kind] for kind in TRUTH})
    spec, report, _ = fit(tables, PRODUCTS, name="kinds", forecaster=PooledRegression(), draws=60)
    found = {row["kind"]: row for row in report["promotion_effects"]}
    for kind, true in TRUTH.items():
        assert found[kind]["utility"] == pytest.approx(true, abs=0.1)
    plan = spec.plan
    assert plan is not None
    np.testing.assert_allclose(plan.feature_lift, sum(row["utility"] for row in found.values()), rtol=1e-9)
    # Weeks to come have the promotions of a year ago.
    ago = {kind: shown[kind][WEEKS - 52 :][:HELD_OUT] for kind in TRUTH}
    worth = sum(found[kind]["utility"] * ago[kind] for kind in TRUTH)
    np.testing.assert_allclose(plan.feature_lift * plan.promotion, worth, rtol=1e-6)
