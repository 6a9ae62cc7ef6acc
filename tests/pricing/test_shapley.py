"""Contributions of the inputs to a proposed price."""

from dataclasses import replace

import numpy as np
import pytest
from repricer.envs import Market
from repricer.evaluation.explanation import view_at
from repricer.pricing import INPUT_GROUPS, Action, MarketView, ordinary_view, price_contributions
from repricer.pricing.shapley import shapley_values
from repricer.scenarios import load_scenario


class Rule:
    """A policy made of a function of the view to prices (E, N)."""

    def __init__(self, price, name="rule"):
        self.price, self.name = price, name

    def act(self, view):
        return Action(self.price(view).astype(np.float32))


def moved(found):
    return [name for name, amount in found.inputs.items() if abs(amount) > 1e-9]


class TestRecovery:
    """Policies of which one knows what they look at."""

    @pytest.mark.parametrize(
        ("name", "price", "inputs"),
        [
            ("stationary-logit", lambda v: 8 + 0.1 * v.period[:, None] + 0 * v.on_hand, ["calendar"]),
            ("stationary-logit", lambda v: 9 + v.last_units, ["recent sales"]),
            ("grocery", lambda v: v.reference_price * 0.98, ["price in force"]),
            ("marketplace", lambda v: v.competitor_price * 0.95, ["competitors"]),
            ("grocery", lambda v: 3 * v.loyalty[:, :1] + 0 * v.on_hand, ["market"]),
            ("regimes", lambda v: 8.0 + v.regime[:, None] + 0 * v.on_hand, ["market"]),
            ("grocery", lambda v: v.list_price[:, 1:2] * 0.9 + 0 * v.on_hand, ["other products"]),
        ],
    )
    def test_all_of_it_is_on_what_the_policy_looks_at(self, name, price, inputs):
        spec, policy = load_scenario(name), Rule(price)
        view = view_at(spec, policy, period=4, market=3)
        if view.regime is not None:
            view = replace(view, regime=np.ones_like(view.regime))
        assert moved(price_contributions(policy, view, 0)) == inputs

    def test_ordinary_stock_depends_on_the_time_left(self):
        """So the calendar counts beside the stock; a policy that looks at stock alone shows no other input."""
        spec, policy = load_scenario("three-stocks"), Rule(lambda v: 9 + v.on_hand * [[0, 1, 0]] + v.on_hand[:, 1:2])
        view = view_at(spec, policy, period=4, market=3)
        assert moved(price_contributions(policy, view, 1)) == ["calendar", "stock"]
        assert moved(price_contributions(policy, view, 0)) == ["calendar", "other products"]

    def test_a_season_is_the_calendar(self):
        spec = load_scenario("fashion")

        def price(view):
            forecast = view.catalogue.forecast_units
            return view.catalogue.regular_price * (forecast[view.period] / forecast.mean(axis=0)) ** 0.2

        assert moved(price_contributions(Rule(price), view_at(spec, Rule(price), period=6), 0)) == ["calendar"]

    def test_a_sum_is_shared_term_by_term(self):
        """By hand: each input by its distance from ordinary, which the calendar moves half-way."""
        spec, policy = load_scenario("stationary-logit"), Rule(lambda v: 10 - 0.15 * v.on_hand + 0.3 * v.last_units)
        view = view_at(spec, policy, period=10)
        found = price_contributions(policy, view, 0)
        first, now = (ordinary_view(view, period) for period in (0, 10))
        calendar = 0.0
        for name, field, slope in (("stock", "on_hand", -0.15), ("recent sales", "last_units", 0.3)):
            seen, early, late = (float(getattr(one, field)[0, 0]) for one in (view, first, now))
            assert found.inputs[name] == pytest.approx(slope * (seen - (early + late) / 2), abs=1e-5)
            calendar += slope * (late - early) / 2
        assert found.inputs["calendar"] == pytest.approx(calendar, abs=1e-5)
        assert found.baseline == pytest.approx(float(policy.price(first)[0, 0]), rel=1e-6)
        assert found.proposed == pytest.approx(float(policy.price(view)[0, 0]), rel=1e-6)

    def test_only_the_first_market_counts_and_many_products_come_in_blocks(self, monkeypatch):
        spec = load_scenario("grocery")
        policy = Rule(lambda v: v.reference_price + 0.01 * v.last_units + 0.1 * v.period[:, None])
        market = Market(spec, num_markets=3, seed=1)
        for _ in range(3):
            market.step(policy.act(market.view))
        whole = price_contributions(policy, market.view, 2)
        monkeypatch.setattr("repricer.pricing.shapley._ROWS_ASKED", 50)
        assert price_contributions(policy, market.view.take(np.array([0])), 2) == whole


class TestOrdinaryView:
    def test_an_ordinary_market_has_no_contributions(self):
        spec = load_scenario("grocery")
        policy = Rule(lambda v: v.reference_price + 0.01 * v.last_units + 0.1 * v.competitor_price)
        view = ordinary_view(Market(spec).view, 0)
        found = price_contributions(policy, view, 0)
        assert not any(found.inputs.values())
        assert found.baseline == pytest.approx(float(policy.price(view)[0, 0]))

    def test_limited_stock_is_the_forecast_of_the_periods_left(self):
        view = Market(load_scenario("stationary-logit")).view
        forecast = view.catalogue.forecast_units
        for period in (0, 12, 29):
            found = ordinary_view(view, period)
            assert found.on_hand[0, 0] == np.ceil(forecast[period:].sum().round(3))
            assert found.period[0] == period

    def test_an_endless_market_looks_ten_periods_ahead(self):
        view = Market(load_scenario("stationary-logit")).view
        forecast = np.arange(1.0, 31.0, dtype=np.float32)[:, None]
        view = replace(view, catalogue=replace(view.catalogue, endless=True, forecast_units=forecast))
        assert ordinary_view(view, 28).on_hand[0, 0] == 29 + 30 + sum(range(1, 9))

    def test_unlimited_stock_and_missing_rivals_stay(self):
        spec = load_scenario("marketplace")
        view = Market(spec).view
        missing = np.full_like(view.competitor_price, np.inf)
        found = ordinary_view(replace(view, competitor_price=missing), 3)
        assert np.isinf(found.on_hand).all()
        assert np.isinf(found.competitor_price).all()

    def test_every_input_that_a_policy_may_look_at_has_a_group(self):
        """Notes of learning rivals and what the law asks to announce are no input of a price."""
        grouped = {field for group in INPUT_GROUPS.values() for field in group.fields}
        assert set(MarketView.__dataclass_fields__) - grouped == {
            "catalogue",
            "memory",
            "lowest_price_30_days",
            "prior_price",
        }


class TestShapleyValues:
    def test_the_glove_game(self):
        """One left glove, two right ones; a pair is worth one."""

        def value(member):
            return (member[:, 0] & (member[:, 1] | member[:, 2])).astype(float)

        shares, empty, full = shapley_values(value, 3)
        np.testing.assert_allclose(shares, [2 / 3, 1 / 6, 1 / 6])
        assert (empty, full) == (0, 1)

    def test_without_players(self):
        shares, empty, full = shapley_values(lambda member: np.full(len(member), 4.0), 0)
        assert (shares.size, empty, full) == (0, 4, 4)
