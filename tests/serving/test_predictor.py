from __future__ import annotations

import json
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from repricer.envs import Market
from repricer.pricing import GAVE_WAY, RULES, Action, ActionParts, ChargedRange, Guardrails, MarketView, PriceEndings
from repricer.pricing.law import Law
from repricer.scenarios import MarketSpec
from repricer.serving import Bundle, Predictor, StateError, example_state
from repricer.serving.bundle.codec import guardrails_document, guardrails_from
from repricer.serving.market_state import market_view
from repricer.serving.predictor import _plain
from repricer.serving.product_prices import rules_in
from repricer.serving.sample_states import random_states

PRICES = st.floats(0.01, 100)
ITEM = st.fixed_dictionaries(
    {"list_price": PRICES, "on_hand": st.none() | st.integers(0, 500)},
    optional={"on_order": st.integers(0, 99), "reference_price": PRICES, "last_units": st.integers(0, 99)},
)
# Whatever a network could say, up to where a price in single precision overflows.
NUMBERS = st.floats(-1e30, 1e30) | st.sampled_from([np.nan, np.inf, -np.inf])
STATES = st.tuples(st.integers(0, 7), st.lists(ITEM, min_size=3, max_size=3))


def named(bundle: Bundle, drawn: tuple[int, list[dict[str, Any]]]) -> dict[str, Any]:
    period, items = drawn
    products = [{"product": name, **item} for name, item in zip(bundle.catalogue.products, items, strict=True)]
    return {"period": period, "products": products}


def with_forward(bundle: Bundle, multiplier: float, discount: float = 0.0, score: Any = 0.0) -> Predictor:
    """The bundle with a network that always says the same; score: one number, or (N, K)."""

    def forward(rows: NDArray[np.float32]) -> ActionParts:
        size = (len(rows), 2)
        parts = np.full(len(rows), multiplier), np.full(size, discount), np.broadcast_to(score, size)
        return ActionParts(*(part.astype(np.float32) for part in parts))

    return Predictor(replace(bundle, policy=replace(bundle.policy, forward=forward, product_wise=True)))


@settings(max_examples=150, deadline=None)
@given(drawn=STATES, multiplier=NUMBERS, discount=NUMBERS | st.none())
def test_no_answer_breaks_a_price_rule(one: Bundle, drawn: Any, multiplier: float, discount: float | None) -> None:
    state, rules = named(one, drawn), one.guardrails
    # The policy of the bundle, or whatever a network that went wrong could say.
    predictor = Predictor(one) if discount is None else with_forward(one, multiplier, discount)
    answer = predictor.price(state)
    for n, (item, given_state) in enumerate(zip(answer.prices, state["products"], strict=True)):
        slack = 1e-5 * item.price
        assert rules.low[n] - slack <= item.price <= rules.high[n] + slack
        assert item.price - one.catalogue.unit_cost[n] >= 0.2 * item.price - slack
        steps = item.price / 0.05
        assert abs(steps - round(steps)) < 1e-3
        before = float(np.clip(given_state["list_price"], rules.low[n], rules.high[n]))
        assert abs(item.price - before) <= max(0.15 * given_state["list_price"], 0.05) + slack
        paid = [item.price * (1 - fraction) for fraction in item.discounts.values()]
        assert min(paid) >= rules.low[n] - slack
        fractions = list(item.discounts.values())
        assert min(fractions) >= 0
        assert max(fractions) <= 0.3 + 1e-6
        assert max(fractions) - min(fractions) <= 0.1 + 1e-6
    json.dumps(answer.to_dict(), allow_nan=False)


@settings(max_examples=60, deadline=None)
@given(drawn=STATES)
def test_the_trail_leads_from_the_proposal_to_the_price(one: Bundle, drawn: Any) -> None:
    for item in Predictor(one).price(named(one, drawn)).prices:
        price, discounts = item.proposed, None
        for change in item.trail:
            if change.rule == GAVE_WAY:
                assert change.before == change.after == pytest.approx(item.price, rel=1e-5)
                continue
            assert change.why == RULES[change.rule]
            assert change.before != change.after
            if isinstance(change.after, list):
                assert discounts is None or change.before == pytest.approx(discounts, rel=1e-5)
                discounts = change.after
            else:
                assert change.before == pytest.approx(price, rel=1e-5)
                price = change.after
        assert price == pytest.approx(item.price, rel=1e-5)
        assert discounts is None or discounts == pytest.approx(list(item.discounts.values()), rel=1e-5)


def test_a_price_that_stays_has_no_trail(one: Bundle) -> None:
    state = example_state(one.catalogue)
    # 0.05 times 31 is not quite 1.55 in single precision; that is no change.
    for price in (1.55, 1.7, 2.55):
        state["products"][0]["list_price"] = price
        answer = with_forward(one, price / float(one.policy.base_price[0])).price(state)
        assert answer.prices[0].price == price
        assert answer.prices[0].trail == []


def test_it_prices_and_recommends_as_the_simulated_market_does(bundle: Bundle, spec: MarketSpec) -> None:
    market = Market(spec.with_changes(stock={"initial_units": [60, 25, 40]}), num_markets=4, seed=2)
    predictor = Predictor(bundle)
    shown = set()
    for period in range(8):
        view = market.view
        action = bundle.policy.act(view)
        outcome = market.step(action)
        for e in range(4):
            products = [
                {
                    "product": name,
                    "list_price": float(view.list_price[e, n]),
                    "on_hand": float(view.on_hand[e, n]),
                    "on_order": float(view.on_order[e, n]),
                    "reference_price": float(view.reference_price[e, n]),
                    "last_units": float(view.last_units[e, n]),
                }
                for n, name in enumerate(bundle.catalogue.products)
            ]
            answer = predictor.price({"period": period, "products": products})
            got = [item.price for item in answer.prices]
            # One tick of slack: rows of a batch may differ in the last bit, and so fall to either side of a middle.
            np.testing.assert_allclose(got, outcome.list_price[e], atol=0.0501)
            for k, segment in enumerate(bundle.catalogue.segments):
                number = int(outcome.shown[e, k])
                wanted = None if number < 0 else bundle.catalogue.products[number]
                assert answer.recommendations[segment] == wanted
                shown.add(wanted)
    assert len(shown) > 1


@pytest.mark.parametrize("multiplier", [np.nan, np.inf, -np.inf, 0.0, -1.0])
def test_a_network_that_gives_no_price_keeps_the_price_in_force(one: Bundle, multiplier: float) -> None:
    answer = with_forward(one, multiplier, np.nan, np.nan).price(example_state(one.catalogue))
    assert [item.price for item in answer.prices] == [2.0, 3.0, 5.0]
    for item in answer.prices:
        assert item.trail[0].rule == "not_a_number"
        assert item.proposed is None or item.proposed <= 0
        assert set(item.discounts.values()) == {0.0}
    assert answer.recommendations == {"thrifty": None, "loyal": None}
    json.dumps(answer.to_dict(), allow_nan=False)


A, B, C = 0, 1, 2


@pytest.mark.parametrize(
    ("scores", "empty", "wanted"),
    [
        # (N, K); thrifty may see anchovy and biscuit, loyal biscuit and cider
        ([[0.2, 0.9], [0.5, 0.3], [0.9, 0.4]], (), ("biscuit", "cider")),
        ([[0.2, 0.9], [0.5, 0.3], [0.9, 0.4]], (B,), ("anchovy", "cider")),
        ([[0.2, 0.9], [0.5, 0.3], [0.9, 0.4]], (A, B, C), (None, None)),
        ([[0.2, 0.9], [0.2, 0.3], [0.9, 0.3]], (), ("anchovy", "biscuit")),
        ([[-0.2, 0.9], [0.0, -0.3], [0.9, -0.1]], (), (None, None)),
    ],
)
def test_the_slot_shows_the_best_candidate_in_stock(
    one: Bundle, scores: list[list[float]], empty: tuple[int, ...], wanted: tuple[str | None, ...]
) -> None:
    state = example_state(one.catalogue)
    for n in empty:
        state["products"][n]["on_hand"] = 0
    answer = with_forward(one, 1.0, score=scores).price(state)
    assert tuple(answer.recommendations.values()) == wanted


class _Orders:
    name = "orders"

    def act(self, view: MarketView) -> Action:
        score = np.ones((*view.list_price.shape, 2), np.float32)
        return Action(view.list_price, recommendation=score, order=np.full_like(view.list_price, 5))


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({}, (None, None)),
        ({"at_once": np.array([[0, 1, 0], [0, 0, 0]], np.float32)}, ("biscuit", "biscuit")),
        ({"backlog": True}, ("anchovy", "biscuit")),
    ],
    ids=["sold out", "ordered goods arrive at once", "customers wait"],
)
def test_the_slot_shows_what_can_be_sold_as_in_the_market(
    one: Bundle, changes: dict[str, Any], wanted: tuple[str | None, ...]
) -> None:
    state = example_state(one.catalogue)
    for item in state["products"]:
        item["on_hand"] = 0
    catalogue = replace(one.catalogue, max_order_units=np.full(3, 9, np.float32), **changes)
    answer = Predictor(replace(one, catalogue=catalogue), _Orders()).price(state)
    assert tuple(answer.recommendations.values()) == wanted


def test_an_answer_says_who_gave_it(bundle: Bundle) -> None:
    answer = Predictor(bundle).price(example_state(bundle.catalogue)).to_dict()
    head = ["policy", "bundle", "scenario", "period", "date", "last_day", "prices", "recommendations", "memory"]
    assert list(answer) == [*head, "milliseconds"]
    assert (answer["policy"], answer["scenario"], answer["period"]) == ("ppo:3", "test-market:2", 0)
    assert answer["bundle"] == bundle.digest
    assert answer["milliseconds"] > 0
    assert list(answer["prices"][0]) == [
        "product",
        "proposed",
        "price",
        "discounts",
        "promotion",
        "order_units",
        "express_units",
        "trail",
        "prior_lowest_price",
        "reduction",
        "notices",
    ]
    # What this policy does not decide.
    assert answer["memory"] is None
    assert {(item["promotion"], item["order_units"], item["express_units"]) for item in answer["prices"]} == {
        (None,) * 3
    }
    assert list(answer["prices"][0]["discounts"]) == ["thrifty", "loyal"]


def test_prices_read_as_they_are_written(one: Bundle) -> None:
    for state in random_states(one.catalogue, one.guardrails, 20, seed=8):
        for item in Predictor(one).price(state).prices:
            assert item.price == round(item.price, 2)


def test_the_order_of_products_does_not_matter(one: Bundle) -> None:
    state = random_states(one.catalogue, one.guardrails, 1, seed=3)[0]
    turned = state | {"products": state["products"][::-1]}
    assert Predictor(one).price(turned).prices == Predictor(one).price(state).prices


def test_a_wrong_state_is_one_line(one: Bundle) -> None:
    with pytest.raises(StateError):
        Predictor(one).price({})


def test_the_view_is_what_the_policy_was_asked(one: Bundle) -> None:
    state = random_states(one.catalogue, one.guardrails, 1, seed=5)[0]
    view = market_view(one.catalogue, state)
    action = one.policy.act(view)
    allowed = one.guardrails.apply(action, view)
    answer = Predictor(one).price(state)
    np.testing.assert_allclose([item.price for item in answer.prices], allowed.price[0], rtol=1e-6)
    np.testing.assert_allclose([item.proposed for item in answer.prices], action.price[0], rtol=1e-6)


EVERY_RULE: dict[str, Any] = {
    "tick": None,
    "endings": PriceEndings(np.array([0.45, 0.95])),
    "minimum_advertised_price": np.array([1.6, 0.0, 0.0]),
    "frozen": np.array([False, True, False]),
    "max_changes": 1,
    "change_window_periods": 7,
    "lines": ((0, 1),),
    "prior_price_periods": 4,
    "rival_at_least": np.array([0.5, 0.5, 0.5]),
    "rival_at_most": np.array([2.0, 2.0, 2.0]),
    "direction": "falling",
    "bounds_from_sales": np.array([True, False, True]),
    "past_price": np.array([[2.0, 3.0, 5.0]]),
    "planned_price": np.array([[2.0, 3.0, 5.0], [1.8, 3.0, 5.0]]),
    "planned_regular": np.array([[2.0, 3.0, 5.0], [2.0, 3.0, 5.0]]),
    "max_step": np.array([0.5, 0.5, 0.5]),
    "packs": ((2, 1, 2.5),),
    "priority": {"pack_price": 9, "floor": "law"},
    "index_names": ("rival",),
    "index_weights": np.full((1, 3), 0.1),
    "index_at_most": np.array([1.2]),
    "max_group_spread": 0.02,
    "group_contrasts": np.array([[0.4, -0.4]]),
    "law": Law(("EU", "NY"), food_store=False, progressive=True, perishable=np.array([True, False, False])),
}


def test_every_rule_goes_through_the_file_of_a_bundle(one: Bundle) -> None:
    rules = replace(one.guardrails, **EVERY_RULE)
    assert {item.name for item in fields(Guardrails) if item.init and getattr(rules, item.name) is None} == {
        "ladder",
        "tick",
    }
    text = json.dumps(guardrails_document(rules), allow_nan=False)
    again = guardrails_from(json.loads(text), 3, 2)
    assert guardrails_document(again) == guardrails_document(rules)
    for name in ("low", "high", "own_low", "own_high", "paid_low", "contrasts", "near_plan"):
        np.testing.assert_array_equal(getattr(again, name), getattr(rules, name))


LAW: dict[str, Any] = {"jurisdictions": ["EU"], "food_store": True, "progressive": False, "perishable": None}


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("law", {"jurisdictions": ["EU"]}, "law must be as repricer writes it"),
        ("law", {**LAW, "jurisdictions": ["FR"]}, "law must be as repricer writes it"),
        ("law", {**LAW, "perishable": [True]}, "law: perishable must have 3 products; got 1"),
        ("lines", [[0, 1.0]], "lines must hold indices of products"),
        ("lines", [[0, 3]], "must hold numbers below 3; got 3"),
        ("lines", [[1, 0]], "product lines, packs and price gaps must leave at least one allowed price"),
        ("frozen", [True], "frozen must have shape"),
        ("max_changes", 7, "max_changes must be below change_window_periods"),
        ("max_changes", 1.0, "max_changes must be a whole number"),
        ("tick", 0.05, "got tick and price_endings"),
        ("minimum_advertised_price", [9.0, 0, 0], "minimum advertised price 9"),
        ("group_contrasts", [[0.5, -0.2, -0.3]], "group_contrasts must have shape"),
    ],
)
def test_contradictory_rules_in_a_bundle_are_refused(one: Bundle, key: str, value: Any, words: str) -> None:
    document = guardrails_document(replace(one.guardrails, **EVERY_RULE, floor=np.array([1.0, 5.0, 3.0])))
    if key == "lines" and value == [[1, 0]]:
        document["ceiling"][0] = 4.0
    with pytest.raises(ValueError, match=words):
        guardrails_from(document | {key: value}, 3, 2)


def test_a_product_that_follows_the_plan_has_its_price_in_every_period_and_no_discount(one: Bundle) -> None:
    plan = np.tile(one.catalogue.regular_price.astype(np.float64), (one.catalogue.horizon, 1))
    plan[0, 1] *= 0.4  # below any bound
    held = {"frozen": np.array([False, True, False]), "frozen_as_planned": True, "planned_price": plan}
    reasons = ("", "its price hardly moves", "")
    rules = replace(one.guardrails, **held, frozen_because=reasons)
    document = json.loads(json.dumps(guardrails_document(rules)))
    again = guardrails_from(document, 3, one.catalogue.num_segments)
    assert (again.frozen_because, again.follows_plan.tolist()) == (reasons, [False, True, False])
    planned = replace(one, guardrails=again)
    for period in (0, 1):
        answer = Predictor(planned).price(example_state(one.catalogue) | {"period": period})
        assert answer.prices[1].price == pytest.approx(plan[period, 1])
        assert not any(answer.prices[1].discounts.values())
    for key, wrong in (("frozen_because", ["one"]), ("frozen_because", [1, 2, 3]), ("frozen_as_planned", "yes")):
        with pytest.raises(ValueError, match=r"frozen_because must|lines must"):
            guardrails_from(document | {key: wrong}, 3, one.catalogue.num_segments)


def test_a_service_with_every_rule_says_what_it_did(one: Bundle) -> None:
    catalogue = replace(one.catalogue, change_window_periods=7)
    ruled = replace(one, guardrails=replace(one.guardrails, **EVERY_RULE), catalogue=catalogue)
    state = example_state(catalogue)
    for item, price, changes in zip(state["products"], (2.45, 2.95, 5.45), (0, 0, 1), strict=True):
        item |= {"list_price": price, "changes": changes, "lowest_price_30_days": price - 0.25}
    # The policy wants 90% of the regular price times 0.9: 1.62, 2.43, 4.05.
    anchovy, biscuit, cider = with_forward(ruled, 0.9).price(state).prices
    assert (anchovy.price, biscuit.price, cider.price) == (2.45, 2.95, 5.45)
    assert [change.rule for change in biscuit.trail if isinstance(change.after, float)] == ["frozen"]
    assert [change.rule for change in cider.trail if isinstance(change.after, float)] == ["max_changes"]
    # A change of 15% reaches no lower ending, and the price stays.
    assert [change.rule for change in anchovy.trail if isinstance(change.after, float)] == [
        "minimum_advertised_price",
        "max_change",
    ]
    assert anchovy.prior_lowest_price is None
    state["products"][2]["changes"] = 0
    cider = with_forward(ruled, 0.9).price(state).prices[2]
    assert (cider.price, cider.prior_lowest_price, cider.reduction) == (4.95, 5.2, 0.048)
    with pytest.raises(StateError, match="got no changes"):
        with_forward(ruled, 0.9).price(example_state(one.catalogue))


def test_a_price_outside_what_was_charged_is_marked(one: Bundle) -> None:
    """The mark ends the trail and changes nothing."""
    usual = Predictor(one).price(example_state(one.catalogue))
    prices = np.array([item.price for item in usual.prices])
    charged = ChargedRange(prices * [1.1, 0.9, 1.0], prices * [1.2, 1.1, 1.0])
    marked = Predictor(replace(one, charged=charged)).price(example_state(one.catalogue))
    first, *others = marked.prices
    words = f"outside what was mostly charged: {1.1 * prices[0]:.2f} to {1.2 * prices[0]:.2f}"
    assert vars(first.trail[-1]) == {"rule": "outside_charged", "before": prices[0], "after": prices[0], "why": words}
    assert [item.price for item in marked.prices] == prices.tolist()
    assert first.trail[:-1] == usual.prices[0].trail
    assert [item.trail for item in others] == [item.trail for item in usual.prices[1:]]
    assert rules_in(marked.prices) == rules_in(usual.prices)


def test_numbers_are_plain() -> None:
    assert _plain(np.float32([1.55, -19.99])) == [1.55, -19.99]
    assert _plain(np.float32([[0.1, np.nan], [np.inf, 2.0]])) == [[0.1, None], [None, 2.0]]


def test_a_bundle_of_an_earlier_version_knows_of_no_protected_groups(one: Bundle) -> None:
    document = guardrails_document(one.guardrails)
    old = {key: value for key, value in document.items() if key not in ("max_group_spread", "group_contrasts")}
    assert guardrails_from(old, 3, 2).group_contrasts is None
