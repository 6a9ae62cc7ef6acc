"""A plan's deals in a market: the simulator's step and the formula over whole courses of prices say the same."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from repricer.agents.posterior.deals import PlanValue
from repricer.envs import Market, expected_units
from repricer.pricing import Action
from repricer.scenarios import MarketSpec, spec_from_table
from repricer.scenarios.planned_deals import course_of, planned_deals
from repricer.scenarios.shop_sections import PlanSection

PERIODS = 8


@pytest.fixture
def spec() -> MarketSpec:
    """Three substitutes over eight weeks: one without deals, one on deal in two weeks, one in one."""
    regular = np.array([2.0, 3.0, 4.0])
    table = {
        "name": "shop",
        "version": 1,
        "market": {"horizon_periods": PERIODS, "period": "week", "objective": "profit"},
        "products": {"names": list("abc"), "regular_price": regular, "unit_cost": 0.5 * regular},
        "arrivals": {"rate": 2000.0},
        "demand": {"quality": [[1.5, 1.5, 1.5]], "price_sensitivity": [2.5 / regular]},
        "prices": {"floor": 0.4 * regular, "ceiling": 1.5 * regular},
        "reference_price": {"memory": 0.6, "gain": 2.0, "loss": 0.0, "units_gain": 0.8, "units_loss": 0.5},
    }
    price = np.tile(regular, (PERIODS, 1))
    price[2:4, 1] *= 0.75
    price[5, 2] *= 0.8
    shown = np.where(price < regular, 0.6, 0.1)
    plan = PlanSection(
        price=price, promotion=shown, feature_lift=np.array([0.3, 0.8, 0.5]), funding=np.where(shown > 0.5, 0.2, 0.0)
    )
    return replace(spec_from_table(table), plan=plan)


def simulated(spec: MarketSpec, price: np.ndarray, deal: np.ndarray | None = None):
    """(T, N) expected units and profit of the simulated market at a course of prices, and what customers remember."""
    market, rows = Market(spec), []
    for t, row in enumerate(price.astype(np.float32)):
        announced = None if deal is None else deal[t][None]
        before = market.state
        outcome = market.step(Action(row[None], deal=announced, as_charged=True))
        rows.append((outcome.results.wanted[:, 0], outcome.expected_profit[0], before.reference_price[0]))
    return [np.array(part, np.float64) for part in zip(*rows, strict=True)]


def paths(spec: MarketSpec, count: int = 30) -> np.ndarray:
    """Courses of prices: the plan, all of it dearer and cheaper, and random ones."""
    plan = planned_deals(spec).price
    drawn = plan * np.exp(np.random.default_rng(1).normal(0, 0.15, (count, *plan.shape)))
    return np.concatenate([[plan, 1.1 * plan, 0.9 * plan, np.tile(plan.max(axis=0), (PERIODS, 1))], drawn])


def test_the_simulated_market_is_that_of_the_formula_over_courses(spec):
    deal = np.random.default_rng(2).random((PERIODS, 3)) < 0.4
    for announced in (None, deal):
        courses = paths(spec)
        course = course_of(spec, courses, None if announced is None else np.broadcast_to(announced, courses.shape))
        for i, price in enumerate(courses):
            units, profit, _ = simulated(spec, price, announced)
            given = {"reference": course.reference[i], "promoted": course.shown[i]}
            expected = expected_units(spec, np.arange(PERIODS), price, **given).sum(axis=1)
            np.testing.assert_allclose(units, expected, rtol=2e-4)
            margin = price - spec.products.unit_cost + course.funding[i]
            np.testing.assert_allclose(profit, margin * expected, rtol=2e-3, atol=0.1)


def test_at_the_plan_the_market_is_the_planned_one(spec):
    plan = planned_deals(spec)
    course = course_of(spec, plan.price)
    remembered = [spec.initial_reference]
    for row in plan.price[:-1]:
        remembered.append(0.6 * remembered[-1] + 0.4 * row)
    np.testing.assert_allclose(course.reference, remembered)
    np.testing.assert_allclose(course.shown, 0.0, atol=1e-12)
    np.testing.assert_allclose(course.funding, np.where(plan.on_deal, 0.2, 0.0))
    np.testing.assert_allclose(course.after.level, 1.0)


def test_a_lower_regular_price_is_one_that_customers_are_used_to(spec):
    plan = planned_deals(spec).price
    usual, lower = course_of(spec, plan).reference, course_of(spec, 0.9 * plan).reference
    np.testing.assert_allclose(lower, 0.9 * usual)


def test_what_is_remembered_never_looks_ahead(spec):
    plan = planned_deals(spec).price
    for t in range(PERIODS):
        other = plan.copy()
        other[t:] *= 0.8
        changed, usual = course_of(spec, other), course_of(spec, plan)
        for part in ("reference", "shown", "funding"):
            np.testing.assert_array_equal(getattr(changed, part)[:t], getattr(usual, part)[:t])


def test_a_display_fades_with_its_deal_and_goes_with_it(spec):
    plan = planned_deals(spec)
    prices = np.array([0.75, 0.85, 0.9, 0.98, 1.0]) * 3.0
    shown = []
    for price in prices:
        course = plan.price.copy()
        course[2, 1] = price
        shown.append(0.6 + course_of(spec, course).shown[2, 1])
    half = np.log(1 / 0.75) / 2
    np.testing.assert_allclose(shown, 0.6 * np.minimum(np.log(3.0 / prices) / half, 1.0), atol=1e-12)


def test_what_was_agreed_for_a_week_stays_in_it(spec):
    """A deal that moves to another week takes neither its display nor the supplier's money along."""
    plan = planned_deals(spec)
    price, deal = plan.price.copy(), plan.on_deal.copy()
    price[2:5, 1], deal[2:5, 1] = (3.0, 2.25, 2.25), (False, True, True)
    course = course_of(spec, price, deal)
    np.testing.assert_allclose(plan.feature[2:5, 1] + course.shown[2:5, 1], [0.0, 0.6, 0.1])
    np.testing.assert_allclose(course.funding[2:5, 1], [0.0, 0.2, 0.0])


def test_a_dearer_regular_price_with_the_same_deals_sells_no_more_in_any_week(spec):
    plan = planned_deals(spec)
    for step in (0.02, 0.05, 0.08, 0.2):
        dearer = np.where(plan.on_deal, plan.price, (1 + step) * plan.price)
        course, usual = course_of(spec, dearer), course_of(spec, plan.price)
        weeks = np.arange(PERIODS)
        more = expected_units(spec, weeks, dearer, reference=course.reference, promoted=course.shown).sum(axis=(1, 2))
        at_plan = expected_units(spec, weeks, plan.price, reference=usual.reference, promoted=usual.shown)
        assert (more <= at_plan.sum(axis=(1, 2)) * (1 + 1e-9)).all()


def drawn_market(seed: int) -> MarketSpec:
    """A market as fits make them: two categories, segments, weeks with deals and displays, customers who remember prices."""
    random = np.random.default_rng(seed)
    products, segments = int(random.integers(3, 7)), int(random.integers(1, 3))
    regular = random.uniform(1, 9, products).round(2)
    names = [f"product {n}" for n in range(products)]
    table = {
        "name": "drawn",
        "version": 1,
        "market": {"horizon_periods": PERIODS, "period": "week", "objective": "profit"},
        "products": {
            "names": names,
            "category": ["x", "y", *random.choice(["x", "y"], products - 2).tolist()],
            "regular_price": regular,
            "unit_cost": 0.6 * regular,
        },
        "arrivals": {
            "rate": random.uniform(200, 2000, 2),
            "segments": names[:segments],
            "segment_share": [random.dirichlet(np.ones(segments)).tolist() for _ in range(2)],
        },
        "demand": {
            "quality": random.normal(1.5, 1, (segments, products)),
            "price_sensitivity": random.uniform(0.3, 4, (segments, products)) / regular,
        },
        "prices": {"floor": 0.3 * regular, "ceiling": 2 * regular},
        "reference_price": {
            "memory": random.uniform(0.1, 0.95),
            "gain": random.uniform(0, 6, products),
            "loss": random.uniform(0, 1, products) * (random.random() < 0.5),
            "units_gain": random.uniform(0, 5, products),
            "units_loss": random.uniform(0, 1, products),
            "scale": random.choice(["log", "saturating"]).item(),
        },
    }
    deal = random.random((PERIODS, products)) < 0.25
    price = np.where(deal, random.uniform(0.6, 0.95, deal.shape), 1.0) * regular
    shown = np.where(deal, random.random(deal.shape), 0.1)
    plan = PlanSection(price=price, promotion=shown, feature_lift=random.uniform(0, 1, products))
    return replace(spec_from_table(table), plan=plan)


def test_dearer_regular_prices_with_the_same_deals_sell_no_more_in_200_drawn_markets():
    """Neither a category whose regular prices all rise, over the plan, nor a product whose own one does, in any week."""
    for seed in range(200):
        spec = drawn_market(seed)
        value = PlanValue(spec)
        plan = value.planned
        before = value.units(plan)
        for step in (0.01, 0.05, 0.3):
            dearer = np.where(plan.deal, plan.price, (1 + step) * plan.price)
            for category in range(2):
                own = spec.category_index == category
                after = value.units(plan._replace(price=np.where(own, dearer, plan.price)))
                assert after[:, own].sum() <= before[:, own].sum() * (1 + 1e-9), (seed, step, category)
            for n in range(len(own)):
                own = np.arange(len(own)) == n
                after = value.units(plan._replace(price=np.where(own, dearer, plan.price)))
                # The plan's prices, to which a deal is compared, are of single precision.
                assert (after[:, n] <= before[:, n] * (1 + 5e-6)).all(), (seed, step, n)


def test_a_deal_that_keeps_its_depth_under_a_dearer_regular_price_is_no_weaker(spec):
    """All prices a share dearer: customers compare as at the plan, and only the regular prices count."""
    plan = planned_deals(spec)
    usual = course_of(spec, plan.price)
    for step in (0.02, 0.05, 0.2):
        deal = course_of(spec, (1 + step) * plan.price)
        gap, planned = (plan.price / course.reference for course in (deal, usual))
        np.testing.assert_allclose((1 + step) * gap[plan.on_deal], planned[plan.on_deal])
        halfway = np.where(plan.on_deal, (1 + step / 2) * plan.price, (1 + step) * plan.price)
        np.testing.assert_allclose(
            course_of(spec, halfway).reference[plan.on_deal], (1 + step / 2) * usual.reference[plan.on_deal]
        )


def test_a_course_of_tensors_has_the_derivative_of_its_finite_differences(spec):
    price = 0.97 * planned_deals(spec).price + 0.01
    given = torch.tensor(price, requires_grad=True)
    sum(part.sum() for part in course_of(spec, given)[:2]).backward()
    step = 1e-6
    for t, n in ((0, 0), (2, 1), (3, 1), (5, 2)):
        near = []
        for sign in (1, -1):
            moved = price.copy()
            moved[t, n] += sign * step
            near.append(sum(part.sum() for part in course_of(spec, moved)[:2]))
        assert given.grad[t, n].item() == pytest.approx((near[0] - near[1]) / (2 * step), rel=1e-5, abs=1e-6)


def test_a_course_may_go_on_from_what_is_remembered(spec):
    price = paths(spec)[5]
    whole = course_of(spec, price)
    first = course_of(spec, price[:3])
    rest = course_of(spec, price[3:], first=3, before=first.after)
    np.testing.assert_allclose(np.concatenate([first.reference, rest.reference]), whole.reference)
    np.testing.assert_allclose(np.concatenate([first.shown, rest.shown]), whole.shown)
