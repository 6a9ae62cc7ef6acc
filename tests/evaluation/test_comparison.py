from dataclasses import replace

import numpy as np
import pytest
from repricer.envs import rollout, seed_for
from repricer.evaluation import Estimate, Without, evaluate, exact_value, fidelity, named_policy, solve
from repricer.evaluation.sales import SalesRecorder
from repricer.pricing import Action, FixedPrice, PriceLadder
from repricer.scenarios import load_scenario


@pytest.mark.parametrize(("name", "value"), [("gallego-van-ryzin", 15.4464), ("stationary-logit", 435.668)])
def test_the_solver_gives_the_reference_and_simulation_agrees(name, value):
    spec = load_scenario(name)
    optimum = solve(spec)
    assert optimum.value == pytest.approx(value, rel=3e-6)
    assert exact_value(spec, optimum.policy) == pytest.approx(optimum.value, rel=1e-7)
    run = rollout(spec, optimum.policy, episodes=20_000, seed=seed_for("test"))
    error = run.objective.std() / np.sqrt(20_000)
    assert abs(run.objective.mean() - optimum.value) < 3 * error


@pytest.mark.parametrize(
    ("periods", "step", "value"), [(25, 0.1, 15.4250), (200, 0.05, 15.4661), (1000, 0.05, 15.4707)]
)
def test_discretised_gallego_van_ryzin(periods, step, value):
    finer = load_scenario("gallego-van-ryzin").with_changes(
        market={"horizon_periods": periods},
        arrivals={"rate": np.array([[20 * np.e / periods]])},
        demand={"season": 0.0, "quality_path": 0.0, "sensitivity_path": 1.0},
        prices={"price_ladder": PriceLadder.from_range(0.5, 6.0, step)},
    )
    assert solve(finer).value == pytest.approx(value, abs=6e-5)


def test_exact_value_agrees_with_simulation_for_a_policy_that_looks_at_everything():
    """Its price hangs on the units left, the units sold last and the price in force."""
    spec = load_scenario("stationary-logit")

    class Restless:
        name = "restless"

        def act(self, view):
            price = 6 + 0.2 * view.on_hand * 0.4 + view.last_units + 0.3 * (view.list_price - 8)
            return Action(price.astype(np.float32))

    run = rollout(spec, Restless(), episodes=20_000, seed=3)
    error = run.objective.std() / np.sqrt(20_000)
    assert abs(exact_value(spec, Restless()) - run.objective.mean()) < 4 * error


def test_markets_without_a_solver_say_so(shop):
    assert solve(shop) is None
    assert exact_value(shop, FixedPrice(shop.products.regular_price)) is None
    with pytest.raises(
        ValueError, match="policy optimum needs a market with an exact solver, whose prices hold no VAT; got small-shop"
    ):
        named_policy("optimum", shop)


def test_the_document_holds_the_contract():
    document = evaluate("stationary-logit", ["optimum", "fixed:9"], episodes=200).to_dict()
    assert {"scenario", "episodes", "optimum", "policies"} <= set(document)
    assert document["optimum"]["method"] == "backward induction"
    row = document["policies"][0]
    wanted = "policy revenue profit units average_transaction_price share_of_optimum vs_best_fixed price_changes"
    assert set(wanted.split()) | {"at_bound_share", "stockout_rate", "method"} <= set(row)
    assert row["policy"] == "optimum"
    assert row["share_of_optimum"] == pytest.approx(1.0, abs=1e-6)
    assert len(row["revenue"]["ci95"]) == 2
    (fixed,) = (r for r in document["policies"] if r["policy"] == "fixed:9")
    assert fixed["constant"]
    assert fixed["average_transaction_price"] == pytest.approx(9.0)


def test_pairing_removes_the_noise_of_the_customers():
    ample = load_scenario("stationary-logit").with_changes(stock={"initial_units": np.array([400.0])})
    comparison = evaluate(ample, ["fixed:10"], episodes=500)
    row = comparison.row("fixed:10")
    paired = row.vs_best_fixed.high - row.vs_best_fixed.low
    apart = row.objective.high - row.objective.low
    assert paired < 0.7 * apart
    assert comparison.row("best-fixed").vs_best_fixed.mean == 0


def test_paired_intervals_cover_the_exact_difference():
    """200 judgements of 60 episodes each: the 95% interval covers the exact difference in 92 to 98%."""
    spec = load_scenario("stationary-logit")
    one, two = FixedPrice(9.5), FixedPrice(11.0)
    exact = exact_value(spec, one) - exact_value(spec, two)
    gaps = np.stack([rollout(spec, p, episodes=12_000, seed=5).objective for p in (one, two)])
    covered = 0
    for part in np.split(gaps[0] - gaps[1], 200):
        estimate = Estimate.of(part)
        covered += estimate.low <= exact <= estimate.high
    assert 0.92 <= covered / 200 <= 0.98


@pytest.mark.parametrize("rate", [0.0, 2.0])
def test_no_share_is_stated_of_an_optimum_that_is_not_above_zero(rate):
    """Nobody comes, or every sale is at a loss: a share of nothing, and more than all of a loss, would mislead."""
    spec = load_scenario("scarce").with_changes(
        market={"objective": "profit"}, products={"unit_cost": 9.0}, arrivals={"rate": rate}
    )
    assert solve(spec).value <= 0
    found = evaluate(spec, ["optimum"], episodes=20)
    assert found.row("optimum").share_of_optimum is None
    assert not found.row("optimum").share_of_bound
    assert "share" not in str(found)


def test_one_episode_has_no_interval():
    assert Estimate.of(np.array([3.0])).to_dict() == {"mean": 3.0, "ci95": [None, None]}


@pytest.mark.parametrize("text", ["fixd:3", "fixed:", "fixed:-1", "cost-plus:much", "historical", "learned"])
def test_unknown_policies_get_one_line(text):
    with pytest.raises(ValueError, match="policy") as caught:
        named_policy(text, load_scenario("stationary-logit"))
    assert "\n" not in str(caught.value)


def test_every_rule_runs_on_a_shop(shop):
    names = ["fixed:3", "regular", "best-fixed", "cost-plus:0.4", "myopic", "random"]
    rows = evaluate(shop, names, episodes=40).rows
    assert {row.policy for row in rows} == set(names)
    assert all(np.isfinite(row.value) for row in rows)
    with pytest.raises(ValueError, match="different names; got 'regular' 2 times"):
        evaluate(shop, ["regular", "regular"], episodes=2)


def test_history_is_replayed_and_the_fit_held_against_it(make_shop):
    price = np.array([[3.0, 4.0, 2.0]] * 4 + [[4.0, 5.0, 3.0]] * 4)
    spec = make_shop(plan={"price": price, "units": 1.0})
    # What a shop sold, it sold without the market's slots.
    truth = replace(spec, recommendation=None)
    run = rollout(truth, named_policy("historical", truth), episodes=300, seed=1)
    np.testing.assert_allclose(run.price_path, price, atol=1e-5)
    perfect = spec.with_changes(plan={"units": run.units_path})
    assert fidelity(perfect, episodes=300)["wape"] < 0.05
    twice = spec.with_changes(plan={"units": run.units_path * 2})
    assert fidelity(twice, episodes=300)["bias"] == pytest.approx(-0.5, abs=0.03)


def test_taking_a_part_away_leaves_the_prices(shop):
    class Everything:
        name = "all"

        def act(self, view):
            shape = (view.num_markets, 3)
            ones = np.ones((*shape, 2), np.float32)
            return Action(np.full(shape, 3.0, np.float32), 0.1 * ones, ones)

    from repricer.envs import Market

    view = Market(shop).view
    assert Without(Everything(), "discount").act(view).discount is None
    assert Without(Everything(), "discount").act(view).recommendation is not None
    assert Without(Everything(), "recommendation").act(view).recommendation is None
    assert Without(Everything(), "recommendation").name == "all without recommendation"


def test_simulated_sales_are_a_sales_table(shop):
    recorder = SalesRecorder(shop)
    run = rollout(shop, FixedPrice(shop.products.regular_price), episodes=5, seed=2, watch=recorder)
    sales = recorder.sales()
    assert list(sales.columns) == ["date", "product", "units", "price_paid", "regular_price", "store"]
    assert sales["units"].sum() == pytest.approx(run.units.sum())
    assert (sales["units"] * sales["price_paid"]).sum() == pytest.approx(run.revenue.sum(), rel=1e-5)
    assert sales["store"].nunique() == 5
    assert sales["date"].nunique() == 8


def test_simulated_sales_carry_the_dates_of_the_market(make_shop):
    spec = make_shop(plan={"price": 3.0}).with_changes(market={"period": "week", "first_day": "2017-10-02"})
    recorder = SalesRecorder(spec)
    rollout(spec, named_policy("historical", spec), episodes=1, seed=2, watch=recorder)
    days = recorder.sales()["date"]
    assert str(days.min().date()) == "2017-10-02"
    assert str(days.max().date()) == "2017-11-20"


def test_simulated_prices_are_written_as_they_were_charged(make_shop):
    spec = make_shop(prices={"tick": 0.01})
    recorder = SalesRecorder(spec)
    rollout(spec, FixedPrice(np.array([2.11, 3.57, 4.49])), episodes=2, seed=2, watch=recorder)
    sales = recorder.sales()
    assert set(sales["price_paid"]) == {2.11, 3.57, 4.49}
    assert set(sales["regular_price"]) <= set(spec.products.regular_price)
