import json

import numpy as np
import pytest
from repricer.evaluation.competition import audit, profit_gain, yardstick
from repricer.scenarios import load_scenario, spec_from_table
from scipy.optimize import brentq, minimize, minimize_scalar
from scipy.special import lambertw


def duopoly(**changes):
    """Two firms, one product each, logit demand; sections can be changed."""
    table = {
        "name": "duopoly",
        "version": 1,
        "market": {"horizon_periods": 4, "objective": "profit"},
        "products": {"names": ["a"], "regular_price": 2.0, "unit_cost": 1.0},
        "arrivals": {"rate": 1.0},
        "demand": {"quality": 8.0, "price_sensitivity": 4.0},
        "competitors": {
            "names": ["b"],
            "regular_price": 2.0,
            "unit_cost": 1.0,
            "quality": 8.0,
            "price_sensitivity": 4.0,
        },
        "prices": {"floor": 0.1, "ceiling": 50.0},
    }
    for section, values in changes.items():
        table[section] = {**table.get(section, {}), **values}
    return spec_from_table(table)


def segmented(**changes):
    """Two products of the shop against a seller of two offers and a seller of one; two segments."""
    return duopoly(
        products={"names": ["a1", "a2"], "regular_price": [8.0, 9.0], "unit_cost": [2.0, 3.0]},
        arrivals={"rate": 30.0, "segments": ["thrifty", "ample"], "segment_share": [0.6, 0.4]},
        demand={"quality": [[3.0, 3.2], [4.0, 4.4]], "price_sensitivity": [[0.5, 0.45], [0.25, 0.3]]},
        competitors={
            "names": ["b1", "b2", "c"],
            "seller": ["B", "B", "C"],
            "product": ["a1", "a2", "a1"],
            "regular_price": 8.0,
            "unit_cost": [2.0, 2.5, 1.0],
            "quality": [[3.0, 2.5, 2.0], [3.5, 4.0, 3.0]],
            "price_sensitivity": [[0.55, 0.5, 0.6], [0.3, 0.25, 0.35]],
        },
        **changes,
    )


def logit_profits(spec, price):
    """(J,) profit of each offer, straight from the definition of a mixture of logits; one category."""
    rivals = spec.competitors
    quality = np.hstack([spec.demand.quality, rivals.quality])
    sensitivity = np.hstack([spec.demand.price_sensitivity, rivals.price_sensitivity])
    weight = np.exp(quality - sensitivity * price)
    share = weight / (1 + weight.sum(axis=1, keepdims=True))
    units = spec.arrivals.rate[0, 0] * spec.arrivals.segment_share[0] @ share
    return (price - np.hstack([spec.products.unit_cost, rivals.unit_cost])) * units


def test_calvano_2020_to_six_digits():
    marks = yardstick(load_scenario("calvano-duopoly"))
    np.testing.assert_allclose(marks.nash_price, 1.472927, atol=6e-7)
    np.testing.assert_allclose(marks.nash_profit, 0.222927, atol=6e-7)
    np.testing.assert_allclose(marks.monopoly_price, 1.924981, atol=6e-7)
    np.testing.assert_allclose(marks.monopoly_profit, 0.337490, atol=6e-7)


@pytest.mark.parametrize(("quality", "sensitivity", "cost"), [(8.0, 4.0, 1.0), (5.0, 0.7, 2.0), (1.0, 1.5, 0.0)])
def test_symmetric_logit_has_closed_forms(quality, sensitivity, cost):
    """Nash: markup 1 / (b (1 - share)). Joint monopoly: markup (1 + W) / b, W = W(sum of e^(a - b c - 1))."""
    sides = {"quality": quality, "price_sensitivity": sensitivity}
    spec = duopoly(
        products={"unit_cost": cost}, demand=sides, competitors={**sides, "unit_cost": cost, "regular_price": 2.0}
    )
    marks = yardstick(spec)
    w = lambertw(2 * np.exp(quality - sensitivity * cost - 1)).real
    np.testing.assert_allclose(marks.monopoly_price, cost + (1 + w) / sensitivity, rtol=1e-6)
    np.testing.assert_allclose(marks.monopoly_profit, w / sensitivity / 2, rtol=1e-9)

    def excess(price):
        weight = np.exp(quality - sensitivity * price)
        return price - cost - 1 / (sensitivity * (1 - weight / (1 + 2 * weight)))

    np.testing.assert_allclose(marks.nash_price, brentq(excess, cost, cost + 50, xtol=1e-13), rtol=1e-6)


def test_joint_monopoly_of_unequal_offers_has_equal_markups():
    """Three offers of three sellers, a = (4, 3.5, 3), b = .25, c = (3, 2, 1): markup 13.1622, profit 9.162189."""
    spec = duopoly(
        products={"unit_cost": 3.0},
        demand={"quality": 4.0, "price_sensitivity": 0.25},
        competitors={
            "names": ["b", "c"],
            "product": ["a", "a"],
            "quality": [3.5, 3.0],
            "price_sensitivity": 0.25,
            "unit_cost": [2.0, 1.0],
        },
    )
    marks = yardstick(spec)
    np.testing.assert_allclose(marks.monopoly_price - [3.0, 2.0, 1.0], 13.1622, atol=6e-5)
    assert marks.monopoly_profit.sum() == pytest.approx(9.162189, abs=6e-7)


def test_segments_and_sellers_of_several_offers_agree_with_independent_best_responses():
    spec = segmented()
    marks = yardstick(spec)
    assert marks.sellers == ("own", "B", "C")
    assert marks.seller.tolist() == [0, 0, 1, 1, 2]
    assert np.bincount(marks.seller, logit_profits(spec, marks.nash_price)) == pytest.approx(marks.nash_profit)
    exact = {"method": "Nelder-Mead", "options": {"xatol": 1e-9, "fatol": 1e-13, "maxiter": 20_000, "maxfev": 20_000}}
    for seller in range(3):
        mine = marks.seller == seller

        def loss(own, mine=mine):
            price = marks.nash_price.copy()
            price[mine] = own
            return -logit_profits(spec, price)[mine].sum()

        best = min((minimize(loss, np.full(mine.sum(), at), **exact) for at in (4.0, 8.0, 20.0)), key=lambda r: r.fun)
        np.testing.assert_allclose(marks.nash_price[mine], best.x, rtol=1e-6)
    tries = [minimize(lambda p: -logit_profits(spec, p).sum(), np.full(5, at), **exact) for at in (8.0, 15.0, 30.0)]
    joint = min(tries, key=lambda result: result.fun)
    np.testing.assert_allclose(marks.monopoly_price, joint.x, rtol=1e-5)
    assert marks.monopoly_profit.sum() == pytest.approx(-joint.fun, rel=1e-9)


def test_best_responses_are_global_where_profit_has_two_peaks():
    """Segments .7 and .3 with b = .6 and .12: one peak serves all, the higher one those who pay much."""
    sides = {"quality": 4.0, "price_sensitivity": [[0.6], [0.12]]}
    weak = {"quality": -4.0, "price_sensitivity": [[0.6], [0.12]]}
    spec = duopoly(
        products={"unit_cost": 0.0},
        arrivals={"segments": ["many", "rich"], "segment_share": [0.7, 0.3]},
        demand=sides,
        competitors={**weak, "unit_cost": 0.0},
    )
    marks = yardstick(spec)
    prices = np.geomspace(0.1, 50, 4000)
    earned = [logit_profits(spec, np.array([p, marks.nash_price[1]]))[0] for p in prices]
    peaks = np.flatnonzero((np.diff(earned)[:-1] > 0) & (np.diff(earned)[1:] <= 0)) + 1
    assert len(peaks) == 2
    at = prices[np.argmax(earned)]
    fine = minimize_scalar(
        lambda p: -logit_profits(spec, np.array([p, marks.nash_price[1]]))[0], bounds=(at / 1.1, at * 1.1)
    )
    assert marks.nash_price[0] == pytest.approx(fine.x, rel=1e-5)


def test_categories_compete_apart_and_rates_scale_profits_only():
    one, two = yardstick(duopoly()), yardstick(duopoly(arrivals={"rate": [[1.0], [2.0], [3.0], [4.0]]}), 3)
    np.testing.assert_allclose(two.nash_price, one.nash_price, rtol=1e-6)
    np.testing.assert_allclose(two.monopoly_profit, 4 * one.monopoly_profit, rtol=1e-6)
    apart = duopoly(
        products={"names": ["a", "z"], "category": ["x", "y"]},
        arrivals={"rate": [1.0, 5.0]},
        competitors={"product": ["a"]},
    )
    marks = yardstick(apart)
    np.testing.assert_allclose(marks.nash_price[[0, 2]], one.nash_price, rtol=1e-6)
    # Nobody competes with z: its price is a monopolist's in both.
    w = lambertw(np.exp(8 - 4 - 1)).real
    np.testing.assert_allclose([marks.nash_price[1], marks.monopoly_price[1]], 1 + (1 + w) / 4, rtol=1e-6)


def test_prices_stay_within_the_bounds():
    spec = duopoly(prices={"ceiling": 1.4})
    marks = yardstick(spec)
    assert marks.nash_price[0] == pytest.approx(1.4)
    assert marks.nash_price[1] < 1.472927
    # With its own price held at 1.4, the owner of both stops short of the free monopoly's 1.925 for the other.
    other = minimize_scalar(lambda p: -logit_profits(spec, np.array([1.4, p])).sum(), bounds=(1, 3)).x
    np.testing.assert_allclose(marks.monopoly_price, [1.4, other], rtol=1e-5)
    both = yardstick(duopoly(prices={"ceiling": 1.4}, competitors={"ceiling": 1.6}))
    np.testing.assert_allclose(both.monopoly_price, [1.4, 1.6], rtol=1e-6)


@pytest.mark.parametrize(
    ("way", "verdict"),
    [(0.0, "near competitive"), (0.2, "near competitive"), (0.5, "between"), (0.9, "near joint monopoly")],
)
def test_an_audit_of_constructed_profits(way, verdict):
    spec = segmented()
    marks = yardstick(spec)
    profit = marks.nash_profit + way * (marks.monopoly_profit - marks.nash_profit)
    price = marks.nash_price + way * (marks.monopoly_price - marks.nash_price)
    # Rows differ, their means count; seller B earns with two offers.
    rows = price + np.array([[-0.5], [0.5]])
    report = audit(
        spec,
        price=rows[:, :2],
        rival_price=rows[:, 2:],
        profit=[profit[0] - 1, profit[0] + 1],
        rival_profit=[0.3 * profit[1], 0.7 * profit[1], profit[2]],
    )
    assert report.gain == pytest.approx(way, abs=1e-6)
    np.testing.assert_allclose(report.seller_gain[:2], way, atol=1e-6)
    np.testing.assert_allclose(report.price, price)
    assert report.verdict == verdict
    assert str(report).startswith(f"{verdict}: joint profit gain {report.gain:.3f}")
    document = json.loads(json.dumps(report.to_dict()))
    assert document["profit_gain"] == report.gain
    assert [row["seller"] for row in document["prices"]] == ["own", "own", "B", "B", "C"]
    assert document["profits"][1]["profit"] == pytest.approx(profit[1])


def test_a_seller_who_loses_by_joint_prices_has_no_gain_of_its_own():
    """Joint monopoly prices the dear, inferior offer out."""
    spec = duopoly(competitors={"unit_cost": 1.4, "quality": 7.0})
    marks = yardstick(spec)
    assert marks.monopoly_profit[1] < marks.nash_profit[1]
    report = audit(spec, price=[1.5], rival_price=[1.7], profit=0.4, rival_profit=[0.01])
    assert report.to_dict()["profits"][1]["profit_gain"] is None
    assert np.isfinite(report.gain)


def test_profit_gain_is_elementwise():
    np.testing.assert_allclose(profit_gain([1.0, 2.0, 3.0], 1.0, [3.0, 3.0, 1.0]), [0.0, 0.5, np.nan])


FIGURES = {"price": [1.5], "rival_price": [1.5], "profit": 0.2, "rival_profit": [0.2]}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"price": [1.5, 1.6]}, r"price must have shape \(1,\) or \(rows, 1\); got \(2,\)"),
        ({"rival_price": 1.5}, r"rival_price must have shape \(1,\) or \(rows, 1\); got \(\)"),
        ({"profit": [[0.2, 0.1]]}, "profit must have shape"),
        ({"rival_profit": [np.nan]}, "rival_profit must be finite; got nan"),
        ({"period": 4}, r"period must lie in \[0, 3\]; got 4"),
    ],
)
def test_wrong_figures_get_one_line(changes, message):
    with pytest.raises(ValueError, match=message) as caught:
        audit(duopoly(), **FIGURES | changes)
    assert "\n" not in str(caught.value)


def test_scenarios_without_a_yardstick_get_one_line():
    with pytest.raises(ValueError, match="must have competitors; got 'stationary-logit' without"):
        yardstick(load_scenario("stationary-logit"))
    with pytest.raises(ValueError, match="family must be mnl for competition yardsticks; got 'cheapest'"):
        audit(duopoly(demand={"family": "cheapest"}), **FIGURES)
    with pytest.raises(ValueError, match="rate must be above 0 in the period; got 0 in period 1"):
        yardstick(duopoly(arrivals={"rate": [[1.0], [0.0], [1.0], [1.0]]}), 1)
    bound = duopoly(prices={"floor": 1.2, "ceiling": 1.2}, competitors={"floor": 1.2, "ceiling": 1.2})
    with pytest.raises(ValueError, match="sellers who gain from joint prices; got 'duopoly'"):
        audit(bound, **FIGURES)
