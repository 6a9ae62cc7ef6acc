"""The gain over a holdout arm: right on average, its interval covers, and what cannot be compared is said."""

import numpy as np
import pandas as pd
import pytest
from repricer.planning.account import against_holdout, holdout_line, holdout_stores
from repricer.scenarios import spec_from_table

FIRST = pd.Timestamp("2018-01-01")
HELD, OTHERS = {f"s{n}" for n in range(6)}, {f"s{n}" for n in range(6, 20)}


def spec(objective="revenue"):
    market = {"horizon_periods": 4, "period": "week", "first_day": "2018-01-01", "objective": objective}
    return spec_from_table(
        {
            "name": "chain",
            "version": 1,
            "market": market,
            "products": {"names": ["tea", "jam"], "regular_price": 4.0, "unit_cost": 3.0},
            "arrivals": {"rate": 60.0},
            "demand": {"quality": 3.0, "price_sensitivity": 1.0},
            "prices": {"floor": 2.0, "ceiling": 6.0},
        }
    )


def sales(rng, gain=0.1, season=1.5, price=4.0):
    """Twenty stores of other sizes; from `FIRST` on a season for all, and a gain for those with recommended prices."""
    week, store = (axis.ravel() for axis in np.meshgrid(range(-14, 4), range(20), indexing="ij"))
    size = rng.lognormal(4, 0.7, 20)[store]
    own = rng.normal(1, 0.05, (2, 20))[(week >= 0).astype(int), store]
    factor = np.where(week >= 0, season, 1.0) * np.where((week >= 0) & (store >= 6), 1 + gain, 1.0)
    rows = {
        "date": FIRST + pd.to_timedelta(7 * week + 3, unit="D"),
        "store": np.char.add("s", store.astype(str)),
        "product": "tea",
        "units": size * own * factor,
        "price_paid": price,
    }
    other = pd.DataFrame(rows | {"product": "not priced", "units": 1e6 * (week >= 0)})
    return pd.concat([pd.DataFrame(rows), other], ignore_index=True)


def test_the_gain_is_right_and_its_interval_covers():
    rng = np.random.default_rng(0)
    found = [against_holdout(spec(), sales(rng), HELD, OTHERS, weeks=4) for _ in range(200)]
    assert np.mean([one["gain"] for one in found]) == pytest.approx(0.1, abs=0.01)
    inside = np.mean([one["interval90"][0] <= 0.1 <= one["interval90"][1] for one in found])
    assert 0.8 <= inside <= 0.98
    assert {(one["held_out"], one["others"], one["money"]) for one in found} == {(6, 14, "revenue")}


def test_profit_and_the_weeks_before_any_recommended_price():
    rng = np.random.default_rng(1)
    lines = sales(rng, gain=0.0)
    dear = lines["store"].isin(OTHERS) & (lines["date"] >= FIRST - pd.Timedelta(weeks=2))
    lines.loc[dear, "price_paid"] = 4.5  # half as much profit again, from two weeks before this market on
    late = against_holdout(spec("profit"), lines, HELD, OTHERS, weeks=4)
    right = against_holdout(spec("profit"), lines, HELD, OTHERS, weeks=4, since=FIRST - pd.Timedelta(weeks=2))
    assert right["gain"] == pytest.approx(0.5, abs=0.08)
    assert late["gain"] < right["gain"] - 0.05


def test_what_cannot_be_compared():
    lines = sales(np.random.default_rng(2))
    one = against_holdout(spec(), lines, {"s1"}, OTHERS, weeks=4)
    assert one["interval90"] is None
    assert "no interval: an arm has a single store" in holdout_line(one)
    none = against_holdout(spec(), lines[lines["date"] < FIRST], HELD, OTHERS, weeks=4)
    assert none is None
    assert holdout_line(none).startswith("no comparison with the holdout arm")


def test_a_store_of_both_arms_belongs_to_neither():
    arms = pd.DataFrame(
        {"store": ["a", "a", "b", "c", None], "arm": ["fallback", "policy", "fallback", "policy", "policy"]}
    )
    assert holdout_stores(arms) == ({"b"}, {"c"})
