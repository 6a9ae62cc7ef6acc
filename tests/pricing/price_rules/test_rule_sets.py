"""Whatever set of price rules is loaded and whatever is asked, the stronger rule is kept, and the weaker one missed by no
more than it must be.

Here in some dozen sets; `make acceptance ONLY=rules` tries ten million prices.
"""

from collections import Counter

import numpy as np
import pytest
from repricer.envs.kernels.price_rules import PriceRules, guard_prices
from repricer.pricing import RULES, Action, Guardrails
from repricer.pricing.price_rules.rule_formulas import BITS, PRICE_RULES, PRIORITIES, in_order, is_firm
from repricer.scenarios import load_scenario

from .drawn_rules import (
    PRODUCTS,
    SEGMENTS,
    SWITCHES,
    all_rules,
    anything,
    can_be_kept,
    drawn_set,
    drawn_state,
    grid_prices,
    milp_least,
    missed,
)

GRIDS = ("none", "ladder", "tick", "endings")


def test_every_rule_is_drawn():
    assert PRIORITIES.keys() - {"floor", "ceiling"} <= {*SWITCHES}


def drawn(rng: np.random.Generator, markets: int):
    """Rules, a state, what is asked; None where the rules are refused."""
    on = {name for name in (*SWITCHES, "max_discount", "max_segment_spread") if rng.random() < 0.35}
    try:
        rules = Guardrails(**drawn_set(rng, str(rng.choice(GRIDS)), on))
    except ValueError:
        return None
    view = drawn_state(rng, markets)
    asked = Action(anything(rng, view.list_price.shape, 30), anything(rng, (*view.list_price.shape, SEGMENTS), 1))
    return rules, view, asked


def compiled_prices(rules, view, asked):
    """The prices and the trail of the simulator's loops."""
    spec = load_scenario("stationary-logit")
    arrays = PriceRules.of(spec, rules)._replace(rival_product=np.arange(PRODUCTS))
    price, past = np.empty_like(asked.price.T), np.tile(view.list_price.T, (8, 1))
    # Past prices that were changed as often as the view says.
    past = past.reshape(8, PRODUCTS, -1).copy()
    for i in range(len(past)):
        past[i] += np.where(i < view.changes.T, np.float32(i + 1), view.changes.T.astype(np.float32))
    trail, period = np.zeros(price.shape, np.uint32), np.zeros(price.shape[1], np.int64)
    nothing = np.empty((0, price.shape[1]), np.float32)
    args = (
        asked.price.T.copy(),
        # Rows one after the other as without deals: else the loops are compiled a second time.
        nothing if asked.deal is None else asked.deal.T.astype(np.float32, order="C"),
        view.list_price.T.copy(),
        past.reshape(-1, price.shape[1]),
        view.competitor_price.T.copy(),
    )
    guard_prices(*args, period, arrays, price, trail)
    return price.T, trail.T


def check_kept(rules, view, price) -> None:
    """A rule that can be kept together with all stronger ones is kept, and so are they; the grid always is."""
    kept: list[str] = []
    for rule in all_rules(rules):
        kept.append(rule)
        fits = can_be_kept(rules, kept, view)
        if rule == "max_changes" and len(rules.planned_rows):
            return
        for one in kept:
            over = missed(rules, one, view, price).max(axis=1)
            assert (over[fits] <= 1e-5 * price[fits].max(axis=1, initial=1)).all(), (one, kept, over[fits].max())
    if (grid := grid_prices(rules)) is not None:
        place = np.abs(grid[:, None, None] - price).min(axis=0)
        assert (place <= 1e-6 * price).all()


def check_least(rules, view, price, rng) -> int:
    """In one market, a rule that is missed is missed by the least amount that the stronger ones leave; how many were."""
    if len(rules.planned_rows) and rules.max_changes is not None:
        return 0
    amounts = {rule: missed(rules, rule, view, price) for rule in all_rules(rules)}
    worst = sum(amount.max(axis=1) for amount in amounts.values())
    e = int(rng.choice(np.argsort(worst)[-5:]))
    found = {(rule, i): float(own[e, i]) for rule, own in amounts.items() for i in range(own.shape[1])}
    count = 0
    for item, amount in found.items():
        if amount > 1e-4:
            least = milp_least(rules, view, e, found, item)
            assert amount <= 1.01 * least + 1e-4, (item, amount, least, rules.priority)
            count += 1
    return count


def check_rule_sets(sets: int, markets: int, seed: int, solved: int = 0) -> Counter:
    """Draw rule sets; what was loaded, refused, solved, and how often each rule changed something."""
    rng, counts = np.random.default_rng(seed), Counter()
    while counts["loaded"] < sets or counts["solved"] < solved:
        if (case := drawn(rng, markets)) is None:
            counts["refused"] += 1
            continue
        rules, view, asked = case
        price, trail = compiled_prices(rules, view, asked)
        counts["prices"] += price.size
        counts["loaded"] += 1
        check_kept(rules, view, price)
        some = slice(0, 40)
        own = rules.apply(Action(asked.price[some], asked.discount[some]), view_of(view, some))
        np.testing.assert_array_equal(own.price, price[some])
        np.testing.assert_array_equal(own.trail & sum(BITS[rule] for rule in PRICE_RULES), trail[some])
        if counts["solved"] < solved:
            counts["solved"] += check_least(rules, view, price, rng)
        counts.update(rule for rule in RULES if (own.trail & BITS[rule]).any())
        counts.update(f"gave way: {one.rule}" for one in own.gave_way)
    return counts


def view_of(view, some):
    """Some of a view's markets."""
    own = {name: part[some] for name, part in vars(view).items() if isinstance(part, np.ndarray)}
    return type(view)(**{**vars(view), **own})


def test_the_stronger_rule_is_kept_and_the_weaker_missed_by_the_least():
    counts = check_rule_sets(sets=100, markets=40, seed=0, solved=50)
    assert counts["refused"] >= 10
    # Every rule had something to do.
    assert min(counts[rule] for rule in PRICE_RULES) >= 3
    assert sum(count for name, count in counts.items() if name.startswith("gave way")) > 100


def test_what_is_announced_says_which_range_a_step_leaves():
    plan = {"planned_price": [[10.0, 8.0, 10.0, 8.0]], "planned_regular": [[10.0] * 4], "max_step": 0.05}
    rules = Guardrails(floor=[0.5] * 4, ceiling=[60.0] * 4, unit_cost=[0.1] * 4, **plan)
    view = drawn_state(np.random.default_rng(1), 2)
    deal = np.array([[False, True, True, False], [False, False, False, False]])
    for asked, allowed in ((1.0, [[9.5, 7.6, 1.0, 9.5], [9.5] * 4]), (50.0, [[10.5, 8.4, 9.8, 10.5], [10.5] * 4])):
        action = Action(np.full((2, 4), np.float32(asked)), deal=deal)
        np.testing.assert_allclose(rules.apply(action, view).price, allowed, rtol=1e-6)
        np.testing.assert_array_equal(compiled_prices(rules, view, action)[0], rules.apply(action, view).price)
    # Where the policy says nothing, the plan says what a deal is; what the shop plans itself is charged.
    usual = rules.apply(Action(np.full((2, 4), np.float32(50.0))), view)
    np.testing.assert_allclose(usual.price[0], [10.5, 8.4, 10.5, 8.4], rtol=1e-6)
    assert usual.rules(0, 1) == ["max_step"]
    charged = Action(np.full((2, 4), np.float32(50.0)), as_charged=True)
    assert (rules.apply(charged, view).price == 50).all()


def test_rules_come_by_priority_and_then_in_their_order():
    order = in_order({"rival_price": "law", "ceiling": 2, "max_change": 2})
    assert order[0] == "rival_price"
    assert order.index("max_changes") < order.index("max_change") < order.index("direction")
    assert order.index("ceiling") < order.index("max_change")
    assert not is_firm(1)


@pytest.mark.parametrize(
    ("priority", "words"),
    [
        ({"price_ladder": 1}, "always kept"),
        ({"floors": 1}, "did you mean floor"),
        ({"floor": 0}, "whole number from 1 on; got 0"),
        ({"floor": "soft"}, "got 'soft'"),
        ({"floor": True}, "got True"),
    ],
)
def test_wrong_priorities_are_refused(priority, words):
    with pytest.raises(ValueError, match=words):
        in_order(priority)
