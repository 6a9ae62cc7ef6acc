from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from repricer.envs import rollout
from repricer.evaluation import (
    LogRecorder,
    PriceLog,
    SalesRecorder,
    estimate_from_log,
    exact_value,
    named_policy,
    read_log,
    solve,
)
from repricer.evaluation.off_policy import episode_estimates, links_between_periods, matched_weights, weighted_estimates
from repricer.pricing import Action, EpsilonGreedy, FixedPrice, PricePath, RandomPrice
from repricer.pricing.policies import EmptySlots
from repricer.scenarios import load_scenario, spec_from_table

SEGMENTS = "seen-segments"


def logged(spec, policy, episodes=2000, seed=3) -> PriceLog:
    recorder = LogRecorder(spec)
    rollout(spec, policy, episodes=episodes, seed=seed, watch=recorder)
    return recorder.log()


def short(periods: int, **arrivals):
    """The scarce market, cut."""
    calendar = {"season": 0.0, "quality_path": 0.0, "sensitivity_path": 1.0}
    return load_scenario("scarce").with_changes(
        market={"horizon_periods": periods}, arrivals={"rate": 2.0, **arrivals}, demand=calendar
    )


def exploring(spec, epsilon=1.0, seed=0) -> EpsilonGreedy:
    return EpsilonGreedy(FixedPrice(6.0), spec.prices.price_ladder.steps[:, None], epsilon, seed=seed)


@pytest.fixture(scope="module")
def segments():
    return load_scenario(SEGMENTS)


@pytest.fixture(scope="module")
def log(segments) -> PriceLog:
    return logged(segments, exploring(segments))


def test_the_reference_market(segments):
    assert solve(segments).value == pytest.approx(4.85751, abs=5e-6)
    assert solve(segments).policy.products[0].price[0, :, 0, 1, 0].tolist() == [4, 8, 16, 4]
    single = max(exact_value(segments, FixedPrice(p)) for p in segments.prices.price_ladder.steps)
    assert single / solve(segments).value == pytest.approx(0.721, abs=5e-4)


@pytest.mark.parametrize("name", ["optimum", "fixed:6", "fixed:12"])
def test_every_estimate_finds_the_value_within_its_interval(log, segments, name):
    policy = named_policy(name, segments)
    truth, found = exact_value(segments, policy), estimate_from_log(log, policy)
    assert found.decisions == found.markets == 2000
    assert found.matched_share == pytest.approx(0.1, abs=0.02)
    assert found.effective_sample_size == pytest.approx(2000 * found.matched_share)
    for estimate in found.estimates.values():
        # Twice the half-width is nearly four standard errors.
        assert abs(estimate.mean - truth) < 2 * (estimate.high - estimate.mean)
        assert 0 < estimate.high - estimate.low < truth


def test_errors_of_the_reference_table(segments):
    """n = 5000, uniform logging: root mean squared errors of 6.1, 4.5 and 3.6%; twenty logs know them to a sixth."""
    policy, truth = solve(segments).policy, solve(segments).value
    target = policy.products[0].price[0, :, 0, 1, 0]
    errors = []
    for seed in range(20):
        log = logged(segments, exploring(segments, seed=seed), episodes=5000, seed=seed)
        estimates = weighted_estimates(log, target[log.view.regime][:, None])
        errors.append([estimate.mean / truth - 1 for estimate in estimates.values()])
    rmse = 100 * np.sqrt(np.mean(np.square(errors), axis=0))
    np.testing.assert_allclose(rmse, [6.1, 4.5, 3.6], rtol=0.5)
    assert rmse[2] < rmse[0]


def test_by_hand(segments):
    """Four decisions at two prices, one of which the target charges: weights of 2 and 4 where they agree."""
    log = logged(segments, exploring(segments), episodes=4)
    log.price[:, 0], log.propensity[:, 0] = [6, 6, 8, 8], [0.5, 0.25, 0.5, 0.25]
    log.money[:, 0], log.units[:, 0] = [6, 0, 8, 0], [1, 0, 1, 0]
    estimates = weighted_estimates(log, np.full((4, 1), 6.0))
    assert estimates["ips"].mean == pytest.approx((2 * 6 + 4 * 0) / 4)
    assert estimates["snips"].mean == pytest.approx((2 * 6 + 4 * 0) / (2 + 4))


def test_a_log_survives_its_file(log, segments, tmp_path):
    for name in ("log.csv", "log.parquet"):
        path = tmp_path / name
        table = log.to_table()
        table.to_csv(path, index=False) if name.endswith("csv") else table.to_parquet(path, index=False)
        again = read_log(segments, path)
        np.testing.assert_allclose(again.price, log.price)
        np.testing.assert_allclose(again.propensity, log.propensity)
        np.testing.assert_array_equal(again.view.regime, log.view.regime)
        policy = solve(segments).policy
        np.testing.assert_array_equal(policy.act(again.view).price, policy.act(log.view).price)


def test_a_log_keeps_when_orders_arrive(shop):
    spec = shop.with_changes(
        prices={"max_discount": 0.0},
        stock={"replenishment": "action", "max_order_units": 30, "lead_time_periods": 4},
    )
    log = logged(spec, FixedPrice(4.0, base_stock=np.full(3, 60, np.float32)), episodes=5)
    due = log.view.due
    assert due.shape == (len(log), 3, 2)
    assert (due.sum(axis=(0, 1)) > 0).all()
    np.testing.assert_array_equal(PriceLog.from_table(spec, log.to_table()).view.due, due)


def test_a_whole_shop_is_logged(shop, monkeypatch):
    """Three products in two categories: a decision is the prices of a category, and what was seen is kept."""
    monkeypatch.setattr("repricer.evaluation.off_policy._TREES", 10)
    free = shop.with_changes(prices={"max_discount": 0.0})
    ladder = np.array([[3.0, 4.0, 2.0], [4.0, 5.0, 3.0]])
    log = logged(free, EpsilonGreedy(FixedPrice(ladder[1].astype(np.float32)), ladder, 0.6, seed=1), episodes=150)
    assert len(log) == 150 * 8
    again = PriceLog.from_table(free, log.to_table().sample(frac=1, random_state=0))
    np.testing.assert_allclose(again.view.on_hand, log.view.on_hand)
    assert links_between_periods(free) == ("replenished stock", "reference_price")
    low = FixedPrice(ladder[0].astype(np.float32))
    truth = rollout(free, low, episodes=2000, seed=9).objective.mean()
    target = np.broadcast_to(ladder[0], log.price.shape)
    assert episode_estimates(log, target)["fitted_q"].mean == pytest.approx(truth, rel=0.15)
    # Both products of the first category must agree by chance, each in three of ten.
    assert weighted_estimates(log, target)["doubly_robust"].mean == pytest.approx(truth, rel=0.2)


def test_where_stock_runs_out_only_fitted_q_is_given(monkeypatch):
    """Inverse propensities would praise the low price for every period, though it sells out in ten."""
    monkeypatch.setattr("repricer.evaluation.off_policy._TREES", 10)
    spec = short(6, rate=6.0)
    ladder = np.array([[0.5], [1.0], [1.5], [2.0]])
    log, cheap = logged(spec, EpsilonGreedy(FixedPrice(1.0), ladder, 1.0), episodes=1500), FixedPrice(0.5, name="cheap")
    truth, target = exact_value(spec, cheap), np.full((len(log), 1), 0.5)
    assert weighted_estimates(log, target)["ips"].mean > 1.02 * truth
    assert episode_estimates(log, target)["fitted_q"].mean == pytest.approx(truth, rel=0.04)
    found = estimate_from_log(logged(spec, EpsilonGreedy(cheap, ladder, 1.0), episodes=60), cheap)
    assert found.ignored == ("stock",)
    assert [name for name, value in found.to_dict()["estimates"].items() if value] == ["fitted_q"]


def test_shared_resources_are_stock_that_a_log_keeps():
    spec = load_scenario("network")
    assert links_between_periods(spec) == ("stock",)
    log = logged(spec, FixedPrice(spec.products.regular_price.astype(np.float32)), episodes=20)
    again = PriceLog.from_table(spec, log.to_table().sample(frac=1, random_state=0))
    np.testing.assert_allclose(again.view.capacity, log.view.capacity)
    assert log.view.capacity.min() < log.view.capacity.max()
    seen = solve(spec).policy.act(again.view).price
    assert np.ptp(seen, axis=0).min() > 0


def test_periods_count_once_and_are_discounted(make_shop):
    """Without anything that links the periods, all estimators agree with simulation over an episode."""
    spec = make_shop(
        market={"objective": "profit", "discount_factor": 0.9},
        stock={
            "replenishment": "none",
            "initial_units": 1e9,
            "order_up_to_units": 0,
            "lost_sale_cost": 0,
            "holding_cost": 0,
        },
        reference_price={"gain": 0.0, "loss": 0.0},
        prices={"max_discount": 0.0},
    )
    path = np.linspace(0.8, 1.1, 8)[:, None] * [4.0, 5.0, 3.0]
    policy = PricePath(np.where(path > [4, 5, 3], [4.4, 5.5, 3.3], [3.2, 4.0, 2.4]).astype(np.float32))
    ladder = np.array([[3.2, 4.0, 2.4], [4.4, 5.5, 3.3]])
    log = logged(spec, EpsilonGreedy(policy, ladder, 1.0), episodes=400)
    truth = rollout(spec, policy, episodes=4000, seed=9).objective.mean()
    for name, estimate in weighted_estimates(log, policy.path[log.view.period].astype(float)).items():
        assert estimate.mean == pytest.approx(truth, rel=0.05), name


class TestRefusals:
    @pytest.mark.parametrize(
        ("policy", "words"),
        [
            (FixedPrice(6.0), "log must state the propensity of every price; got 200 of 200 decisions without"),
            (RandomPrice(2.0, 20.0), "log must state the propensity of every price"),
        ],
    )
    def test_without_propensities(self, segments, policy, words):
        """The ladder rounds continuous prices: the density stated is not that of the price charged."""
        with pytest.raises(ValueError, match=words) as caught:
            estimate_from_log(logged(segments, policy, episodes=200), FixedPrice(8.0))
        assert "\n" not in str(caught.value)

    def test_prices_that_hardly_vary(self, segments):
        log = logged(segments, exploring(segments, epsilon=0.001), episodes=500)
        with pytest.raises(ValueError, match=r"prices that vary at random; got ones that hardly vary \(0.\d% of"):
            estimate_from_log(log, FixedPrice(6.0))

    def test_prices_that_never_come_again(self):
        spec = short(2)
        with pytest.raises(ValueError, match="log must hold prices that recur; got 400 different ones in 400"):
            estimate_from_log(logged(spec, RandomPrice(0.5, 5.0), episodes=200), FixedPrice(2.0))

    def test_prices_that_were_not_tried(self, segments):
        with pytest.raises(ValueError, match="policy fixed must charge prices that the log often charged; got an eff"):
            estimate_from_log(logged(segments, exploring(segments), episodes=50), FixedPrice(8.0))

    def test_policies_that_the_log_cannot_judge(self, log, segments, shop):
        with pytest.raises(ValueError, match="policy thompson must set prices by what it sees alone"):
            estimate_from_log(log, named_policy("thompson", segments))

        class Personal:
            name = "personal"

            def act(self, view):
                price = np.full((view.num_markets, 1), 8.0, np.float32)
                return Action(price, discount=np.zeros((view.num_markets, 1, 1), np.float32))

        with pytest.raises(ValueError, match=r"policy personal must set list prices alone, .* got discount too"):
            estimate_from_log(log, Personal())

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            (lambda t: t.drop(columns="seen_regime"), "log must have a column seen_regime"),
            (lambda t: t.iloc[:0], "log must have one row for every product of seen-segments"),
            (lambda t: t.assign(product="other"), "log must have one row for every product"),
            (
                lambda t: t.assign(seen_regime="rainy"),
                "seen_regime must be one of thrifty, middle, easy, sharp; got 'rainy'",
            ),
        ],
    )
    def test_tables_that_are_no_log(self, log, segments, change, words):
        with pytest.raises(ValueError, match=words):
            PriceLog.from_table(segments, change(log.to_table()))

    def test_files_that_are_no_log(self, segments):
        with pytest.raises(ValueError, match=r"log must be a file that ends in .csv or .parquet; got 'nowhere.txt'"):
            read_log(segments, Path("nowhere.txt"))


def test_sales_keep_the_propensities(segments):
    recorder, plain = SalesRecorder(segments), SalesRecorder(segments)
    rollout(segments, exploring(segments, 0.5), episodes=200, seed=1, watch=recorder)
    rollout(segments, FixedPrice(6.0), episodes=200, seed=1, watch=plain)
    sales = recorder.sales()
    usual = sales["price_paid"] == 6
    assert sales["propensity"].to_numpy() == pytest.approx(np.where(usual, 0.55, 0.05))
    assert "propensity" not in plain.sales()
    assert isinstance(sales, pd.DataFrame)


def test_a_draw_that_products_share_counts_once(make_shop, monkeypatch):
    """Half of the decisions charge all high: each is one in two, whatever the number of products."""
    monkeypatch.setattr("repricer.evaluation.off_policy._TREES", 3)
    spec = make_shop(
        stock={"initial_units": float("inf"), "replenishment": "none", "holding_cost": 0.0, "lost_sale_cost": 0.0},
    )
    low, high = np.array([3.0, 4.0, 2.0]), np.array([4.0, 5.0, 2.0])
    parts = [logged(spec, FixedPrice(p.astype(np.float32)), episodes=60, seed=s) for s, p in enumerate((low, high))]
    tables = [part.to_table().assign(market=part.to_table()["market"] + 60 * i) for i, part in enumerate(parts)]
    chance = np.where(tables[0]["product"] == "c", 1.0, 0.5)
    both = pd.concat([table.assign(propensity=chance, arm_propensity=chance) for table in tables])
    log = PriceLog.from_table(spec, both)
    weights = matched_weights(log, np.tile(high, (len(log), 1)))
    np.testing.assert_allclose(np.unique(weights[:, 0]), [0, 2])
    np.testing.assert_allclose(weights[:, 1], 1)
    np.testing.assert_allclose(weights.mean(axis=0), 1)
    # A product whose price never changes is no reason to refuse the log.
    assert estimate_from_log(log, FixedPrice(high.astype(np.float32))).matched_share == 0.75
    again = PriceLog.from_table(spec, log.to_table())
    np.testing.assert_array_equal(again.arm_propensity, log.arm_propensity)


def test_a_log_of_prices_paid_needs_no_money_where_nothing_else_counts(log, segments, make_shop):
    table = log.to_table()
    paid = table.assign(price_paid=table["price"] - 0.5).drop(columns="money")
    told = PriceLog.from_table(segments, paid.assign(seen_last_units=np.nan))
    np.testing.assert_allclose(told.money, told.units * (told.price - 0.5))
    # Where nobody told what was sold before, the forecast stands in.
    np.testing.assert_allclose(told.view.last_units, told.view.catalogue.forecast_units[[0]].repeat(len(told), axis=0))
    shop = make_shop()
    costly = logged(shop, FixedPrice(np.array([3, 4, 2], np.float32)), episodes=2).to_table()
    with pytest.raises(ValueError, match="got small-shop with holding_cost, lost_sale_cost and no such column"):
        PriceLog.from_table(shop, costly.assign(price_paid=1.0).drop(columns="money"))


def test_a_log_of_prices_paid_needs_money_where_express_orders_cost():
    stock = {"cost_due": "sold", "holding_cost": 0.0, "backlog_cost": 0.0}
    spec = load_scenario("dual-sourcing").with_changes(stock=stock)
    table = logged(spec, FixedPrice(7.0, express_stock=np.full(1, 9, np.float32)), episodes=2).to_table()
    with pytest.raises(ValueError, match="got dual-sourcing with express and no such column"):
        PriceLog.from_table(spec, table.assign(price_paid=7.0).drop(columns="money"))


def test_fitted_q_is_of_markets_with_whole_episodes(make_shop, monkeypatch):
    """The first two periods of an episode earn part of its money only."""
    monkeypatch.setattr("repricer.evaluation.off_policy._TREES", 3)
    ample = {"initial_units": float("inf"), "replenishment": "none", "holding_cost": 0.0, "lost_sale_cost": 0.0}
    spec, ladder = make_shop(stock=ample), np.array([[3.0, 4.0, 2.0], [4.0, 5.0, 3.0]])
    log, target = logged(spec, EpsilonGreedy(FixedPrice(3.0), ladder, 1.0), episodes=60), FixedPrice(ladder[0])
    table = log.to_table()
    early, some = table["period"] < 2, table["market"] < 8

    def found(rows):
        return estimate_from_log(PriceLog.from_table(spec, table[rows]), target).estimates["fitted_q"]

    assert found(early | some) == found(some)
    assert found(early) is None
    scarce = logged(short(3), EpsilonGreedy(FixedPrice(3.0), np.array([[3.0], [4.0]]), 1.0), episodes=60)
    part = scarce.to_table().query("period < 2")
    with pytest.raises(ValueError, match="got no market with all 3 periods"):
        estimate_from_log(PriceLog.from_table(scarce.spec, part), FixedPrice(3.0))


def _plain_shop(periods: int, **sections):
    return spec_from_table(
        {
            "name": "plain-shop",
            "version": 1,
            "market": {"horizon_periods": periods, "objective": "revenue"},
            "products": {"names": ["tea"], "regular_price": 3.0},
            "arrivals": {"rate": 15.0},
            "demand": {"quality": 3.0, "price_sensitivity": 0.8},
            "prices": {"floor": 1.0, "ceiling": 6.0},
            **sections,
        }
    )


def test_a_loyalty_that_a_state_left_out_is_one():
    spec = _plain_shop(4, loyalty={"memory": 0.5, "price_effect": 1.0, "stockout_effect": 1.0})
    table = logged(spec, FixedPrice(4.0), episodes=3).to_table()
    (column,) = [name for name in table if name.startswith("seen_loyalty[")]
    seen = PriceLog.from_table(spec, table.assign(**{column: table[column].where(table["period"] > 1)})).view
    np.testing.assert_array_equal(seen.loyalty[seen.period < 2], 1.0)
    np.testing.assert_allclose(seen.loyalty[:, 0][seen.period > 1], table[column][table["period"] > 1])


def test_a_policy_that_also_fills_slots_is_refused():
    """What it shows sells, and the log holds no more than prices."""
    spec = _plain_shop(2, recommendation={"lift": 1.0, "candidates": [[1]]})
    ladder, usual = np.array([[2.0], [3.0]]), FixedPrice(3.0)
    log = logged(spec, EpsilonGreedy(usual, ladder, 1.0, seed=1), episodes=60)

    class Shown:
        name = "shown"

        def act(self, view):
            return replace(usual.act(view), recommendation=np.ones((view.num_markets, 1, 1), np.float32))

    with pytest.raises(ValueError, match=r"policy shown must set list prices alone, .* got recommendation too"):
        estimate_from_log(log, Shown())
    assert estimate_from_log(log, EmptySlots(usual)).estimates == estimate_from_log(log, usual).estimates


def test_sales_state_no_propensity_of_a_price_that_a_rule_changed():
    """Half a unit of currency was drawn, and the floor was charged."""
    spec = _plain_shop(2)
    recorder, ladder = SalesRecorder(spec), np.array([[0.5], [3.0]])
    rollout(spec, EpsilonGreedy(FixedPrice(3.0), ladder, 1.0, seed=1), episodes=30, seed=0, watch=recorder)
    stated = recorder.sales().groupby("price_paid")["propensity"]
    assert stated.count().to_dict() == {1.0: 0, 3.0: stated.size()[3.0]}
