import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from repricer.pricing import Action, Catalogue, Guardrails, MarketView, PriceEndings, PriceLadder


def catalogue(products: int = 1, segments: int = 2, periods: int = 4, cost: float = 2.0) -> Catalogue:
    return Catalogue(
        products=tuple(f"p{i}" for i in range(products)),
        segments=tuple(f"s{k}" for k in range(segments)),
        category=np.zeros(products, dtype=int),
        regular_price=np.full(products, 4.0, np.float32),
        unit_cost=np.full(products, cost, np.float32),
        segment_elasticity=np.full((segments, products), -2.0, np.float32),
        segment_units=np.ones((segments, products), np.float32),
        forecast_units=np.full((periods, products), 2.0, np.float32),
    )


def view(current: list[float], **kwargs) -> MarketView:
    price = np.array([current], dtype=np.float32)
    return MarketView(
        catalogue=catalogue(len(current), **kwargs),
        period=np.zeros(1, dtype=int),
        list_price=price,
        reference_price=price,
        on_hand=np.full_like(price, 10),
        on_order=np.zeros_like(price),
        last_units=np.zeros_like(price),
    )


def rails(**kwargs) -> Guardrails:
    defaults = {"floor": np.array([1.0]), "ceiling": np.array([10.0]), "unit_cost": np.array([2.0])}
    return Guardrails(**defaults | kwargs)


def act(price: float, discount: list[float] | None = None) -> Action:
    found = None if discount is None else np.array([[discount]], dtype=np.float32)
    return Action(np.array([[price]], dtype=np.float32), found)


@pytest.mark.parametrize(
    ("kwargs", "current", "asked", "given_price", "rules"),
    [
        ({}, 4.0, 5.0, 5.0, []),
        ({}, 4.0, 12.0, 10.0, ["ceiling"]),
        ({}, 4.0, 0.2, 1.0, ["floor"]),
        ({}, 4.0, float("nan"), 4.0, ["not_a_number"]),
        ({}, 4.0, -3.0, 4.0, ["not_a_number"]),
        ({"max_change": 0.25}, 4.0, 9.0, 5.0, ["max_change"]),
        ({"max_change": 0.25}, 20.0, 5.0, 10.0, ["max_change"]),
        ({"minimum_margin": 0.5}, 4.0, 3.0, 4.0, ["minimum_margin"]),
        ({"tick": 0.05}, 4.0, 5.02, 5.0, ["price_ladder"]),
        ({"tick": 0.5, "max_change": 0.1}, 4.0, 5.0, 4.0, ["max_change"]),
        ({"ladder": PriceLadder(np.array([2.0, 3.0, 5.0]))}, 4.0, 3.9, 3.0, ["price_ladder"]),
    ],
)
def test_each_rule_changes_the_price_and_says_so(kwargs, current, asked, given_price, rules):
    guardrails, seen = rails(**kwargs), view([current])
    done = guardrails.apply(act(asked), seen)
    assert done.price[0, 0] == pytest.approx(given_price)
    assert done.rules(0, 0) == rules
    assert [step.rule for step in guardrails.apply(act(asked), seen).trails[0]] == rules


def test_prices_that_the_shop_charges_anyway_stand_and_discounts_keep_their_rules():
    rules = rails(floor=np.array([3.0]), max_change=0.1, tick=0.5, frozen=np.array([True]), max_discount=0.2)
    plan = replace(act(1.23, [0.1, 0.5]), as_charged=True)
    guarded = rules.apply(plan, view([4.0]))
    assert guarded.price.tolist() == plan.price.tolist()
    np.testing.assert_allclose(guarded.discount, [[[0.1, 0.2]]])
    assert [step.rule for step in guarded.trails[0]] == ["max_discount"]


@pytest.mark.parametrize("grid", [{"tick": 1.0}, {"endings": PriceEndings([0.99])}, {}])
def test_a_rival_below_every_grid_price_pulls_the_price_down_as_far_as_the_other_rules_allow(grid):
    rules = rails(rival_at_most=np.array([1.0]), floor=np.array([1.5]), minimum_margin=0.0, **grid)
    seen = replace(view([7.99]), competitor_price=np.array([[0.4]], dtype=np.float32))
    found = rules.apply(act(7.99), seen)
    assert found.price == rules.low
    assert "not_a_number" not in found.rules(market=0, product=0)


def test_traces_tell_before_and_after():
    (step,) = rails().apply(act(12.0), view([4.0])).trails[0]
    assert (step.before, step.after) == (12.0, 10.0)
    assert "ceiling" in step.why


def test_discounts_are_capped_spread_and_never_undercut_the_floor():
    guardrails = rails(max_discount=0.3, max_segment_spread=0.1)
    done = guardrails.apply(act(4.0, [0.5, 0.05]), view([4.0]))
    np.testing.assert_allclose(done.discount[0, 0], [0.15, 0.05], rtol=1e-5)
    assert done.rules(0, 0) == ["max_discount", "segment_spread"]
    close = rails(floor=np.array([3.9]), max_discount=0.3).apply(act(4.0, [0.3, 0.0]), view([4.0]))
    assert 4.0 * (1 - close.discount[0, 0, 0]) == pytest.approx(3.9)
    assert close.rules(0, 0) == ["paid_floor"]


@pytest.mark.parametrize(
    ("kwargs", "words"),
    [
        ({"floor": np.array([11.0])}, "floor 11"),
        ({"minimum_margin": 0.9}, "minimum margin price 20"),
        ({"minimum_margin": 1.0}, "minimum_margin must lie in"),
        ({"max_discount": 1.0}, "max_discount must lie in"),
        ({"ladder": PriceLadder(np.array([11.0, 12.0]))}, "on the price ladder; product 1"),
        ({"ladder": PriceLadder(np.array([2.0])), "tick": 0.1}, "got price_ladder and tick"),
    ],
)
def test_contradictory_rules_are_refused_when_loaded(kwargs, words):
    with pytest.raises(ValueError, match=words):
        rails(**kwargs)


@pytest.mark.parametrize(
    ("kwargs", "words"),
    [
        ({"gaps": ((0, 1, 0.5), (1, 0, 0.5))}, "allowed price; product 'milk' got at least"),
        ({"gaps": ((1, 1, 0.5),)}, "two different products; got product 'tea (7)' twice; fix it"),
        ({"gaps": ((0, 2, 0.5),)}, "product numbers below 2; got 0 and 2"),
        ({"rival_at_least": [0.5, 0.9], "rival_at_most": [0.8, 0.8]}, "got more for product 'tea (7)'; fix"),
    ],
)
def test_errors_call_products_by_their_names(kwargs, words):
    two = {"floor": [1.0, 1.0], "ceiling": [3.0, 3.0], "unit_cost": [0.0, 0.0]}
    with pytest.raises(ValueError, match=re.escape(words)):
        Guardrails(**two, **kwargs, names=["milk", "tea (7)"])


prices = st.floats(allow_nan=True, allow_infinity=True, width=32)
positive = st.floats(0.5, 50, width=32)


@settings(max_examples=500, deadline=None)
@given(
    floor=positive,
    width=st.floats(0, 30),
    cost=st.floats(0, 20),
    margin=st.none() | st.floats(0, 0.9),
    change=st.none() | st.floats(0, 2),
    step=st.none() | st.sampled_from([0.01, 0.05, 0.5]),
    ladder=st.none() | st.lists(positive, min_size=1, max_size=8, unique=True),
    cap=st.floats(0, 0.9),
    spread=st.floats(0, 1),
    current=positive,
    asked=prices,
    discount=st.lists(prices, min_size=2, max_size=2),
)
def test_hard_rules_hold_whatever_is_asked(
    floor, width, cost, margin, change, step, ladder, cap, spread, current, asked, discount
):
    try:
        guardrails = Guardrails(
            floor=np.array([floor]),
            ceiling=np.array([floor + width]),
            unit_cost=np.array([cost]),
            minimum_margin=margin,
            max_change=change,
            tick=None if ladder else step,
            ladder=PriceLadder(np.sort(ladder)) if ladder else None,
            max_discount=cap,
            max_segment_spread=spread,
        )
    except ValueError:
        return  # contradictory rules are refused, which another test checks
    done = guardrails.apply(act(asked, discount), view([current], cost=cost))
    price, least = float(done.price[0, 0]), floor
    if margin is not None:
        least = max(floor, cost / (1 - margin))
    assert least * (1 - 1e-5) <= price <= (floor + width) * (1 + 1e-5)
    assert np.all(done.discount >= 0)
    assert np.all(done.discount <= cap + 1e-6)
    assert np.ptp(done.discount) <= spread + 1e-6
    assert np.all(price * (1 - done.discount) >= least * (1 - 1e-5))
    if ladder:
        assert np.min(np.abs(np.array(ladder) - price)) < 1e-5 * price


def test_the_same_result_in_a_batch_and_alone():
    guardrails = Guardrails(
        floor=np.array([1.0, 2.0]), ceiling=np.array([5.0, 8.0]), unit_cost=np.array([0.5, 1.0]), max_change=0.2
    )
    generator = np.random.default_rng(0)
    asked = generator.uniform(0, 10, (64, 2)).astype(np.float32)
    one = view([3.0, 4.0])
    many = MarketView(
        **{
            name: value if name == "catalogue" or value is None else np.repeat(value, 64, axis=0)
            for name, value in vars(one).items()
        }
    )
    together = guardrails.apply(Action(asked), many)
    for row in range(64):
        alone = guardrails.apply(Action(asked[row : row + 1]), one)
        np.testing.assert_array_equal(together.price[row], alone.price[0])
        np.testing.assert_array_equal(together.trail[row], alone.trail[0])


def test_allowed_prices_hold_the_bounds_themselves():
    """Bounds are single precision: .99 is then above the step of that price, and 4.99 below it."""
    steps = np.array([0.99, 1.99, 2.99, 3.99, 4.99])
    rails = Guardrails(np.array([0.99]), np.array([4.99]), np.array([0.5]), ladder=PriceLadder(steps))
    assert rails.low[0] > steps[0]
    assert rails.high[0] < steps[-1]
    np.testing.assert_array_equal(rails.allowed_prices(), steps)
    np.testing.assert_array_equal(rails.allowed_prices(low=1.5, high=3.5), steps[1:3])
    assert Guardrails(np.array([1.0]), np.array([2.0]), np.array([0.5])).allowed_prices() is None


def test_a_line_that_bounds_contradict_is_refused_if_hard_and_gives_way_if_soft():
    rails = {"floor": [5.0, 1.0], "ceiling": [9.0, 4.0], "unit_cost": [0.0, 0.0], "lines": ((0, 1),)}
    with pytest.raises(ValueError, match="product lines, packs and price gaps must leave at least one allowed price"):
        Guardrails(**rails)
    assert len(Guardrails(**rails, priority={"line_order": 1}).kept_links) == 0
