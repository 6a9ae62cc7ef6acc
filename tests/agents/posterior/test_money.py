"""The closed-form money over posterior draws is what the simulated market pays on average."""

from dataclasses import replace

import numpy as np
import pytest
from repricer.agents.posterior.money import PosteriorMoney, draws_of
from repricer.envs import expected_units, rollout
from repricer.planning.markdown_search import SeasonDemand
from repricer.pricing import FixedPrice
from repricer.scenarios import choice_model, load_scenario, sample_catalogue
from repricer.scenarios.planned_deals import Remembered
from repricer.scenarios.sections import Posterior, RecommendationSection
from repricer.scenarios.shop_sections import PastSection, PlanSection

RIVAL = {"names": ["r"], "regular_price": 4.0, "quality": 3.0, "price_sensitivity": 0.6}
CHAIN = {
    "names": ["low", "high"],
    "transition": [[0.9, 0.1], [0.2, 0.8]],
    "initial": [0.5, 0.5],
    "utility": [-0.3, 0.3],
    "sensitivity": [1.2, 0.8],
    "arrivals": [0.8, 1.3],
}


def uncertain(spec, draws=3, seed=0, spread=0.2, **parts):
    """The market with random draws of what it has."""
    generator, sizes = np.random.default_rng(seed), spec.sizes

    def factor(*shape):
        return np.exp(generator.normal(0, spread, shape))

    parts = {
        "arrivals": factor(draws, sizes["T"], sizes["C"]),
        "utility": generator.normal(0, spread, (draws, sizes["N"])),
        "sensitivity": factor(draws, sizes["N"]),
        "unit_cost": factor(draws, sizes["N"]),
        "recommendation": 1.0 if spec.recommendation is None else factor(draws, sizes["K"]),
        "reference": 1.0 if spec.reference_price is None else factor(draws, sizes["N"]),
        "reference_units": 1.0 if spec.reference_price is None else factor(draws, sizes["N"]),
    } | parts
    return replace(spec, posterior=Posterior(draws=draws, **parts))


@pytest.mark.parametrize(
    "changes",
    [
        {"stock": {"initial_units": 1e4, "replenishment": "none", "holding_cost": 0.0, "lost_sale_cost": 0.0}},
        {"stock": {"initial_units": 1e4, "order_up_to_units": 1e4, "lost_sale_cost": 0.0}},
        {"prices": {"max_change": 0.03, "tick": None}, "reference_price": {"scale": "linear"}},
        {"reference_price": {"units_gain": 1.2, "units_loss": [0.5, 0.8, 1.6]}},
        {"reference_price": {"units_gain": 0.4, "units_loss": 0.2, "scale": "linear"}, "prices": {"max_change": 0.03}},
        {"regimes": CHAIN, "competitors": RIVAL, "returns": {"probability": 0.1, "handling_cost": 0.2}},
        {"market": {"objective": "revenue", "discount_factor": 0.9}, "demand": {"sensitivity_path": [[1.1, 0.8]] * 8}},
        {"demand": {"price_curvature": [1.0, 0.4, 0.0], "sensitivity_path": [[1.1, 0.8]] * 8}},
    ],
)
def test_it_is_the_mean_of_simulations_of_the_draws(make_shop, changes):
    stock = {"initial_units": 1e4, "replenishment": "order-up-to", "order_up_to_units": 1e4, "lost_sale_cost": 0.0}
    spec = uncertain(make_shop(**{"stock": stock} | changes))
    held = 0.0
    if spec.stock.replenishment == "order-up-to" and spec.market.objective == "profit":
        held = 1e4 * spec.stock.holding_cost.sum() * spec.sizes["T"]
    price = np.array([3.6, 5.9, 2.4], np.float32)
    money = PosteriorMoney(spec, draws_of(spec)).value(price.astype(np.float64)).sum()
    episodes = 4000 if spec.regimes else 400
    simulated = [
        rollout(spec.draw(m), FixedPrice(price), episodes=episodes, seed=1, expected=True, assumed=spec).objective
        for m in range(3)
    ]
    mean, error = np.mean(simulated), np.std(simulated, axis=1).max() / np.sqrt(episodes * 3)
    assert money - held == pytest.approx(mean, abs=max(4 * error, 2e-4 * (abs(mean) + held / 1e2)))


def test_prices_rise_and_fall_as_far_as_is_planned(make_shop):
    stock = {"initial_units": 1e4, "replenishment": "none", "holding_cost": 0.0, "lost_sale_cost": 0.0}
    spec = uncertain(make_shop(prices={"max_change": 0.03, "tick": None}, stock=stock))
    plan = np.tile([4.0, 5.0, 3.0], (spec.market.horizon_periods, 1))
    plan[2] = [3.0, 6.0, 2.0]
    spec = replace(spec, plan=PlanSection(price=plan), past=PastSection(price=[4.2, 5.0, 2.9]))
    price = np.array([3.6, 5.9, 2.4], np.float32)
    money = PosteriorMoney(spec, draws_of(spec)).by_draw(price.astype(np.float64))
    path = rollout(spec, FixedPrice(price), episodes=2, seed=1).price_path
    np.testing.assert_allclose(path[:4, 0], [4.0, 3.88, 3.6, 3.6], rtol=1e-5)
    simulated = [
        rollout(spec.draw(m), FixedPrice(price), episodes=2, seed=1, expected=True, assumed=spec) for m in range(3)
    ]
    assert np.diff(money) == pytest.approx(np.diff([run.objective.mean() for run in simulated]), rel=1e-4)


@pytest.mark.parametrize("effect", [{}, {"units_gain": [1.2, 0.3, 0.0], "units_loss": 0.7}])
@pytest.mark.parametrize("scale", ["log", "linear"])
@pytest.mark.parametrize("curvature", [0.0, [1.0, 0.4, 0.0]])
def test_the_gradient_and_a_line_along_one_price(make_shop, curvature, scale, effect):
    stock, demand = {"initial_units": 1e4, "order_up_to_units": 1e4}, {"price_curvature": curvature}
    parts = {"demand": demand, "reference_price": {"scale": scale} | effect}
    spec = uncertain(make_shop(prices={"max_change": 0.1}, stock=stock, **parts))
    money, price = PosteriorMoney(spec, draws_of(spec)), np.array([3.9, 5.45, 2.8])
    value, gradient = money.value_and_gradient(price)
    step = 1e-5
    for n, c in enumerate(spec.category_index):
        up, down = price + step * np.eye(3)[n], price - step * np.eye(3)[n]
        slope = (money.value(up) - money.value(down))[c] / (2 * step)
        assert gradient[n] == pytest.approx(slope, rel=1e-5)
        np.testing.assert_allclose(money.along(n, np.array([price[n], up[n]]), price), [value[c], money.value(up)[c]])


def test_one_period_is_the_choice_of_its_customers():
    spec = uncertain(sample_catalogue(6, 1, parts=()), draws=2)
    price, t = 0.9 * spec.products.regular_price, 3
    before = Remembered(spec.products.regular_price, np.ones(6))
    money = PosteriorMoney(spec, draws_of(spec), period=t, before=before)
    expected = [
        ((price - truth.products.unit_cost) * expected_units(truth, t, price).sum(axis=1)[0]).sum()
        for truth in (spec.draw(0), spec.draw(1))
    ]
    assert money.value(price).sum() == pytest.approx(np.mean(expected), rel=1e-9)


def test_one_period_of_customers_who_stock_up_is_that_of_the_choice_model(make_shop):
    spec = uncertain(make_shop(reference_price={"units_gain": 1.2, "units_loss": 0.7}, stock=None), draws=2)
    price, reference = np.array([3.6, 5.9, 2.4]), np.array([4.2, 5.1, 2.5])
    money = PosteriorMoney(spec, draws_of(spec), period=3, before=Remembered(reference, np.ones(3)))
    shown = spec.shown_by_recommender
    earned = []
    for truth in (spec.draw(0), spec.draw(1)):
        units = choice_model(truth).units(3, price, reference=reference, shown=shown)[0].sum(axis=0)
        earned.append(((price - truth.products.unit_cost) * units).sum())
    np.testing.assert_allclose(money.by_draw(price), earned, rtol=1e-6)
    assert earned[0] != pytest.approx(earned[1], rel=1e-3)


def test_thinned_draws_and_a_market_without_any():
    spec = uncertain(load_scenario("three-stocks"), draws=9)
    money, price = PosteriorMoney(spec, draws_of(spec)), spec.products.regular_price
    assert money.thinned(100).value(price).sum() == money.value(price).sum()
    few = [PosteriorMoney(one, draws_of(one)).value(price).sum() for one in (spec.draw(0), spec.draw(4), spec.draw(8))]
    assert money.thinned(3).value(price).sum() == pytest.approx(np.mean(few), rel=1e-6)


def test_a_recommender_shows_the_highest_score_whatever_its_sign(make_shop):
    spec, price = make_shop(), np.array([3.6, 5.9, 2.4])
    segments = spec.sizes["K"]

    def shop(affinity, candidates):
        slots = RecommendationSection(lift=1.5, candidates=candidates, affinity=affinity)
        return replace(spec, recommendation=slots)

    def money(affinity, candidates=1.0):
        market = shop(affinity, candidates)
        return PosteriorMoney(market, draws_of(market)).value(price).sum()

    score = np.tile([1.0, 3.0, 2.0], (segments, 1))
    assert money(score) == money(score - 9)
    assert money(score, [[1.0, 0, 1]] * segments) == money(score - 9, [[1.0, 0, 1]] * segments)
    assert money(0.0) == money(score, [[1.0, 0, 0]] * segments)  # of equal scores the first
    assert money(score, 0.0) < money(score)
    assert SeasonDemand(uncertain(shop(score - 9, 1.0)), seed=0)._shown.tolist() == [1] * segments
