"""Three planted cheats, and honest policies that must not be taken for one."""

import numpy as np
import pytest
from repricer.envs import Market, rollout, seed_for
from repricer.evaluation import evaluate, named_policy
from repricer.evaluation.comparison import CONSTANT, FRESH, NOT_FRESH, shrinks
from repricer.pricing import Action, FixedPrice, MarketView, PricePath
from repricer.scenarios import load_scenario

MARKET = "stationary-logit"


class Peeks:
    """Reads the future of the test set: it runs a copy of their market, and charges the best of all prices.

    Nothing in a view would tell; this one was handed the seed.
    """

    name = "peeks"

    def __init__(self, spec, seed, episodes):
        self.spec, self.seed, self.episodes = spec, seed, episodes
        self.steps = spec.prices.price_ladder.steps.astype(np.float32)

    def act(self, view):
        if view.num_markets != self.episodes:
            return Action(np.full(view.on_hand.shape, 11.0, np.float32))
        if view.period[0] == 0:
            self.twin = Market(self.spec, num_markets=self.episodes, seed=self.seed)
        before, money = self.twin.state, []
        for price in self.steps:
            self.twin.restore(before)
            outcome = self.twin.step(Action(np.full(view.on_hand.shape, price)))
            # What is sold today is worth what it would bring later.
            money.append((outcome.list_price - 9.0) * outcome.units)
        price = self.steps[np.argmax(money, axis=0)]
        self.twin.restore(before)
        self.twin.step(Action(price))
        return Action(price)


def tuned_on(spec, seed, episodes):
    """The path that earns most from these very customers, each period's price chosen in turn."""
    steps, path = spec.prices.price_ladder.steps, np.full(spec.market.horizon_periods, 11.0)
    numbers = np.tile(np.arange(episodes), steps.size)
    for t in range(path.size):
        market = Market(spec, num_markets=numbers.size, seed=seed, numbers=numbers)
        money = np.zeros(numbers.size)
        for now in range(path.size):
            price = np.repeat(steps, episodes) if now == t else np.full(numbers.size, path[now])
            money += market.money(market.step(Action(price[:, None].astype(np.float32))))[:, 0]
        path[t] = steps[money.reshape(steps.size, -1).mean(axis=1).argmax()]
    return PricePath(path[:, None].astype(np.float32), name="tuned")


def test_a_policy_tuned_on_the_test_seeds_is_caught():
    """Its prices fit the sampling noise of its twenty test episodes, and no others."""
    spec, episodes = load_scenario(MARKET), 20
    tuned = tuned_on(spec, seed_for("test"), episodes)
    row = evaluate(spec, [tuned], episodes=episodes).row("tuned")
    assert row.vs_best_fixed.low > 0
    assert NOT_FRESH in row.flags
    honest = tuned_on(spec, seed_for("tuning"), episodes)
    assert NOT_FRESH not in evaluate(spec, [honest], episodes=episodes).row("tuned").flags


def test_a_constant_at_the_ceiling_is_caught():
    comparison = evaluate(MARKET, ["fixed:20", "optimum"], episodes=50)
    assert CONSTANT in comparison.row("fixed:20").flags
    assert comparison.row("fixed:20").constant

    class Wobbles:
        """Above the ceiling, never twice the same: the guardrails make a constant of it."""

        name = "wobbles"

        def act(self, view):
            return Action(np.full(view.on_hand.shape, 25.0 + view.period[0], np.float32))

    assert CONSTANT in evaluate(MARKET, [Wobbles()], episodes=50).row("wobbles").flags
    assert CONSTANT not in comparison.row("optimum").flags


def test_a_policy_that_reads_the_future_is_caught():
    """Its gain is there on the customers whose seed it was handed, and gone with others."""
    spec, episodes = load_scenario(MARKET), 200
    peeks = Peeks(spec, seed_for("test"), episodes)
    row = evaluate(spec, [peeks], episodes=episodes).row("peeks")
    assert row.vs_best_fixed.low > 0
    assert row.vs_best_fixed_fresh.high < row.vs_best_fixed.low
    assert NOT_FRESH in row.flags


def test_a_view_tells_nothing_of_the_customers_to_come():
    """Two markets that share a past and part in the future look the same until they part."""
    fields = set(MarketView.__dataclass_fields__)
    assert not {"seed", "market", "episode", "clock"} & fields
    one, two = (Market(MARKET, num_markets=50, seed=seed) for seed in (3, 4))
    for name in fields - {"catalogue"}:
        np.testing.assert_equal(getattr(one.view, name), getattr(two.view, name))
    action = Action(np.full((50, 1), 8.0, np.float32))
    assert (one.step(action).units != two.step(action).units).any()


@pytest.mark.parametrize("name", ["optimum", "certainty-equivalent", "thompson", "myopic", "random", "fixed:9"])
def test_honest_policies_are_not_flagged(name):
    assert NOT_FRESH not in evaluate(MARKET, [name], episodes=300, seed=1).row(name).flags


def test_how_often_an_honest_policy_is_flagged():
    """Once in two hundred; here at most 4 of 200 pairs of test sets."""
    spec = load_scenario(MARKET)
    one, two = (
        rollout(spec, named_policy(p, spec), episodes=24_000, seed=7).objective for p in ("optimum", "fixed:11")
    )
    parts = np.split(one - two, 400)
    flagged = sum(shrinks(first, second) for first, second in zip(parts[::2], parts[1::2], strict=True))
    assert flagged <= 4


def test_both_test_sets_are_named_and_differ():
    comparison = evaluate(MARKET, [FixedPrice(11.0)], episodes=20, seed=5)
    seeds = comparison.to_dict()["seeds"]
    assert seeds["judging"]["seed"] == seed_for("test", 5)
    assert seeds["second judging"]["seed"] == seed_for("test", 5 + FRESH)
    assert seeds["tuning"]["seed"] == seed_for("tuning", 5)
    assert not shrinks(np.array([1.0]), np.array([0.0]))
