import json
from dataclasses import replace

import numpy as np
import pytest
from repricer.agents import best_fixed
from repricer.envs import catalogue_of, rollout, seed_for
from repricer.evaluation import Estimate, exact_value, named_policy, solve, stress_table
from repricer.evaluation.stress import relative_loss
from repricer.pricing import Action, FixedPrice
from repricer.scenarios import STRESSES, ScenarioError, load_scenario, spec_from_table
from repricer.scenarios.sections import Posterior
from repricer.scenarios.stress import stressed

MARKET = "stationary-logit"
DUOPOLY = {
    "name": "duopoly",
    "version": 1,
    "market": {"horizon_periods": 8},
    "products": {"names": ["a"], "regular_price": 4.0},
    "arrivals": {"rate": 30.0},
    "demand": {"quality": 3.0, "price_sensitivity": 0.8},
    "competitors": {"names": ["b"], "regular_price": 4.0, "quality": 3.0, "price_sensitivity": 0.8},
    "prices": {"floor": 0.1, "ceiling": 8.0},
}


class Notes:
    """Charges a fixed price and notes the forecasts that it is shown."""

    name = "notes"

    def __init__(self):
        self.told = []

    def act(self, view):
        self.told.append(view.catalogue.forecast_units.sum())
        return Action(np.full(view.on_hand.shape, 11.0, np.float32))


class Fragile:
    """Charges by the rival's opening price, and gives the product away once somebody is cheaper."""

    name = "fragile"

    def act(self, view):
        regular = view.catalogue.regular_price
        return Action(np.where(view.competitor_price < 0.97 * regular, 0.1, regular).astype(np.float32))


@pytest.fixture(scope="module")
def table():
    return stress_table(MARKET, ["optimum", "best-fixed", "fixed:8"], episodes=300)


def test_every_stress_is_evaluated_or_skipped_with_its_reason(table):
    assert {row.stress for row in table.rows} | set(table.skipped) == set(STRESSES)
    assert set(table.skipped) == {"posterior", "supplier-delay", "price-war"}
    assert table.skipped["supplier-delay"].startswith("it has no orders; got stock.replenishment 'none'")
    assert len(table.rows) == 3 * 6
    assert all(row.meaning == STRESSES[row.stress].meaning for row in table.rows)


def test_the_worst_stands_first(table):
    losses = [row.loss.mean for row in table.rows]
    assert losses == sorted(losses, reverse=True)
    assert table.rows[0].stress == "demand-halved"


def test_figures_by_hand(table):
    """The same customers by another way: plain rollouts in the market under stress."""
    spec = load_scenario(MARKET)
    market, policy = stressed(spec, "demand-halved"), named_policy("optimum", spec)
    (row,) = (r for r in table.rows if (r.stress, r.policy) == ("demand-halved", "optimum"))
    given = {"episodes": 300, "seed": seed_for("test")}
    now, before = (rollout(m, policy, **given).objective for m in (market, spec))
    fixed, tuned = (rollout(market, best_fixed(m), **given).objective for m in (spec, market))
    assert row.objective == Estimate.of(now)
    assert row.loss.mean == pytest.approx(1 - now.mean() / before.mean())
    assert row.vs_fixed == Estimate.of(now - fixed)
    assert row.vs_hindsight == Estimate.of(now - tuned)
    assert row.share_of_optimum == pytest.approx(exact_value(market, policy) / solve(market).value)


def test_the_shops_own_fixed_prices_are_the_yardstick(table):
    rows = [row for row in table.rows if row.policy == "best-fixed"]
    assert all(row.vs_fixed == Estimate(0.0, 0.0, 0.0) for row in rows)
    assert max(row.vs_hindsight.mean for row in rows) <= 0.5
    assert min(row.vs_hindsight.high for row in rows) < 0


def test_the_nominal_market_loses_nothing(table):
    assert [row.policy for row in table.nominal] == ["optimum", "best-fixed", "fixed:8"]
    assert all(row.loss.mean == 0 for row in table.nominal)
    assert table.nominal[0].share_of_optimum == pytest.approx(1)


def test_a_policy_does_not_know_that_the_market_changed():
    spec, policy = load_scenario(MARKET), Notes()
    stress_table(spec, [policy], stresses=["demand-halved", "drifting-taste"], episodes=5)
    nominal = catalogue_of(spec).forecast_units.sum()
    assert len(policy.told) >= 3 * spec.market.horizon_periods
    assert set(policy.told) == {nominal}
    assert catalogue_of(stressed(spec, "demand-halved")).forecast_units.sum() == pytest.approx(nominal / 2)


def test_the_share_of_the_optimum_is_of_a_policy_that_does_not_know():
    """It charges by the forecast, which a policy that knew of the stress would see halved."""

    class ByForecast:
        name = "by-forecast"

        def act(self, view):
            total = view.catalogue.forecast_units.sum()
            return Action(np.full(view.on_hand.shape, 6 + total / 10, np.float32))

    spec = load_scenario(MARKET)
    market = stressed(spec, "demand-halved")
    (row,) = stress_table(spec, [ByForecast()], stresses=["demand-halved"], episodes=20).rows
    blind = FixedPrice(6 + catalogue_of(spec).forecast_units.sum() / 10)
    assert row.share_of_optimum == pytest.approx(exact_value(market, blind) / solve(market).value)
    assert row.share_of_optimum != pytest.approx(exact_value(market, ByForecast()) / solve(market).value, rel=1e-3)


def test_a_fragile_policy_stands_first():
    """It is as good as any until a rival opens, which is what ruins it."""
    table = stress_table(spec_from_table(DUOPOLY), [Fragile(), "regular"], episodes=30)
    first = table.rows[0]
    assert first.policy == "fragile"
    assert first.stress == "new-competitor"
    assert first.loss.low > 0.9
    assert first.vs_fixed.high < 0
    assert first.vs_hindsight is not None


def test_a_loss_of_nothing_says_nothing_and_stands_last():
    """Whoever sells at cost has no profit to lose."""
    spec = spec_from_table(DUOPOLY).with_changes(market={"objective": "profit"}, products={"unit_cost": 4.0})
    table = stress_table(spec, ["fixed:4", "fixed:6"], stresses=["demand-halved", "price-war"], episodes=10)
    assert [row.policy for row in table.rows] == ["fixed:6", "fixed:6", "fixed:4", "fixed:4"]
    assert np.isnan(table.rows[-1].loss.mean)
    assert json.loads(json.dumps(table.to_dict(), allow_nan=False))["rows"][-1]["loss"] is None


def test_several_products_have_no_hindsight(shop):
    table = stress_table(shop, ["regular"], stresses=["demand-halved", "price-war"], episodes=20)
    (row,) = table.rows
    assert row.vs_hindsight is None
    assert row.share_of_optimum is None
    assert row.loss.low > 0.2
    assert list(table.skipped) == ["price-war"]


def test_unknown_stresses_and_policies_get_one_line():
    with pytest.raises(ScenarioError, match="stress must be a known one; got 'demand-halve'"):
        stress_table(MARKET, ["regular"], stresses=["demand-halve"], episodes=2)
    with pytest.raises(ValueError, match="different names; got 'regular' 2 times"):
        stress_table(MARKET, ["regular", "regular"], episodes=2)


def test_the_document_is_plain(table):
    document = json.loads(json.dumps(table.to_dict(), allow_nan=False))
    assert set(document) == {"episodes", "customers", "rows", "nominal", "skipped"}
    assert document["rows"][0]["loss"]["mean"] == table.rows[0].loss.mean
    assert len(document["rows"][0]["vs_fixed"]["ci95"]) == 2


class TestRelativeLoss:
    def test_by_hand(self):
        loss = relative_loss(np.array([2.0, 4.0, 6.0]), np.array([1.0, 2.0, 3.0]))
        assert loss.mean == loss.low == loss.high == 0.5
        assert relative_loss(np.array([-1.0, -3.0]), np.array([-2.0, -6.0])).mean == pytest.approx(1.0)

    def test_nothing_to_lose(self):
        loss = relative_loss(np.zeros(3), np.ones(3))
        assert np.isnan(loss.mean)

    def test_coverage(self):
        """The truth is a loss of 30%; 95% intervals of 60 pairs each."""
        generator = np.random.default_rng(0)
        before = generator.normal(10, 3, (400, 60))
        now = 0.7 * before + generator.normal(0, 2, before.shape)
        inside = [e.low <= 0.3 <= e.high for e in map(relative_loss, before, now)]
        assert 0.92 < np.mean(inside) < 0.98


def test_a_posterior_is_a_stress_over_its_draws():
    spec = load_scenario(MARKET)
    level = np.linspace(0.4, 1.6, 5)[:, None, None]
    spec = replace(spec, posterior=Posterior(draws=5, arrivals=level))
    table = stress_table(spec, ["fixed:11"], stresses=["posterior"], episodes=100)
    (row,) = table.rows
    assert row.meaning.endswith("each episode follows a posterior draw")
    prices = named_policy("fixed:11", spec)
    each = [
        rollout(spec.draw(m), prices, episodes=100, seed=seed_for("test"), assumed=spec).objective.mean()
        for m in range(5)
    ]
    assert row.objective.mean == pytest.approx(np.mean(each), rel=0.06)
    assert row.objective.high - row.objective.low > 2 * (
        table.nominal[0].objective.high - table.nominal[0].objective.low
    )
    assert row.share_of_optimum is None
    with pytest.raises(ScenarioError, match="stress posterior does not apply to stationary-logit: it has no posterior"):
        load_scenario(f"{MARKET}@posterior")
