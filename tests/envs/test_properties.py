"""What must hold in any market: all properties are tried on the same 600 sampled ones, 400 of them in `make acceptance`.

They are drawn independently, so that each family meets any three parts of a market about 15 times; Hypothesis, which
varies what it has drawn, repeats two of three and misses some pairs in 2,000.
"""

from dataclasses import replace

import numpy as np
import pytest
from repricer.envs import Market, expected_units
from repricer.envs.kernels.expected_demand import choice_at
from repricer.pricing import Action, PriceEndings, PriceLadder, product_features
from repricer.scenarios import MarketSpec
from repricer.scenarios.sampler import PARTS, sample_catalogue
from repricer.scenarios.shop_sections import PlanSection

FAMILIES = ["mnl", "cheapest", "exponential", "linear", "constant-elasticity", "nested-logit"]
PERIODS = 6


WILD = (np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-45, -1e-45, 1e-7, 3.4e38, -3.4e38)


def a_shop(rng: np.random.Generator) -> dict:
    """What `sample_catalogue` makes a shop of."""
    return {
        "products": int(rng.integers(1, 5)),
        "seed": int(rng.integers(10**6)),
        "segments": int(rng.integers(1, 4)),
        "parts": [part for part in PARTS if rng.random() < 0.5],
        "family": str(rng.choice(FAMILIES)),
        "process": str(rng.choice(["poisson", "single"])),
        "periods": PERIODS,
    }


@pytest.mark.parametrize("block", [0, 1, *(pytest.param(block, marks=pytest.mark.long) for block in range(2, 6))])
def test_what_holds_in_any_market(block):
    """One test for all, as most time goes into making markets; what fails is named by the function that it fails in."""
    for number in range(100):
        rng = np.random.default_rng([block, number])
        shop, seed, rise = a_shop(rng), int(rng.integers(10**6)), rng.random()
        wild = np.where(rng.random(5) < 0.5, rng.choice(WILD, 5), rng.normal(size=5) * 10.0 ** rng.integers(-3, 8, 5))
        shop["nests"] = shop["family"] == "nested-logit" and bool(rng.random() < 0.5)
        print(f"block {block}, number {number}: {shop}, {seed=}, {rise=}, {wild=}")
        what_holds(shop, seed, rise, wild)


def what_holds(shop, seed, rise, wild):
    spec = sample_catalogue(**shop)
    if spec.reference_price is not None and spec.arrivals.process == "poisson" and seed % 2:
        unit = 1.0 if spec.reference_price.scale == "log" else spec.products.regular_price
        spec = spec.with_changes(reference_price={"units_gain": 2 * rise / unit, "units_loss": rise / unit})
    market = Market(spec, num_markets=3, seed=seed)
    units_are_conserved(market, seed)
    no_action_breaks_a_market_or_its_price_rules(market, wild)
    the_compiled_formulas_are_those_of_pricing(market, seed)
    shares_and_leaving_sum_to_one(spec, seed)
    demand_never_rises_in_its_own_price(spec, seed, rise)
    twice_the_customers_is_twice_the_demand(spec, seed)
    a_sold_out_product_sells_nothing(spec, seed)
    if spec.demand.family == "constant-elasticity":
        # Its quality, too, would have to be put into the other currency.
        spec = sample_catalogue(**{**shop, "family": "exponential"})
    another_currency_changes_nothing_else(spec, seed)


def sensible_action(spec: MarketSpec, markets: int, seed: int) -> Action:
    """Prices all over the allowed range, and every other part at random."""
    generator = np.random.default_rng(seed)
    products, segments = spec.sizes["N"], spec.sizes["K"]
    rules = spec.guardrails
    return Action(
        price=(rules.low + generator.random((markets, products)) * (rules.high - rules.low)).astype(np.float32),
        discount=generator.uniform(-0.1, 0.3, (markets, products, segments)),
        recommendation=generator.uniform(-1, 1, (markets, products, segments)),
        promotion=generator.uniform(-1, 1, (markets, products)),
        order=generator.uniform(0, 40, (markets, products)),
    )


def units_are_conserved(market, seed):
    spec = market.spec
    market.reset()
    if np.isinf(spec.stock.initial_units).any():
        spec = spec.with_changes(stock={"initial_units": np.round(spec.products.regular_price * 5)})
        market = Market(spec, num_markets=3, seed=seed)
    balance = market.state.on_hand.copy()
    for t in range(PERIODS):
        outcome = market.step(sensible_action(spec, 3, seed + t))
        balance += outcome.received + outcome.returned - outcome.units - outcome.perished
        np.testing.assert_allclose(market.state.on_hand, balance, atol=1e-3)
        assert (outcome.returned <= outcome.units).all()
        assert (outcome.units % 1 == 0).all()
        if spec.stock.shortage == "lost":
            assert (market.state.on_hand >= 0).all()


def shares_and_leaving_sum_to_one(spec, seed):
    if spec.reference_price is not None:
        # Who buys may take more than a unit.
        spec = spec.with_changes(reference_price={"units_gain": 0.0, "units_loss": 0.0})
    price = sensible_action(spec, 1, seed).price
    choice = choice_at(spec, seed % PERIODS, price)
    share = spec.arrivals.segment_share
    for c in range(spec.sizes["C"]):
        own = choice.mean[:, spec.category_index == c, 0].sum()
        rivals = choice.rival_units[spec.category_index[spec.competitor_product] == c, 0].sum()
        came = choice.arrivals[c, 0]
        if spec.demand.family == "mnl" and spec.strategic is None:
            leaving = (came * share[c] / choice.total[:, c, 0]).sum()
            np.testing.assert_allclose(own + rivals + leaving, came, rtol=1e-9)
        elif spec.demand.family == "mnl":
            segments = slice(c * spec.sizes["K"], (c + 1) * spec.sizes["K"])
            assert own + rivals + choice.waiting[segments, 0].sum() <= came * (1 + 1e-9)
        assert -1e-12 <= own + rivals <= came * (1 + 1e-9)


def demand_never_rises_in_its_own_price(spec, seed, rise):
    price = sensible_action(spec, 1, seed).price[0].astype(np.float64)
    product = seed % spec.sizes["N"]
    dearer = price.copy()
    dearer[product] *= 1 + rise
    before, after = (expected_units(spec, 0, p)[0][:, product] for p in (price, dearer))
    assert np.all(after <= before * (1 + 1e-12))


def a_sold_out_product_sells_nothing(spec, seed):
    empty = seed % spec.sizes["N"]
    units = np.where(np.arange(spec.sizes["N"]) == empty, 0.0, 50.0)
    # The first season starts with nothing of it, and no order brings any in time.
    stock = {"initial_units": units, "shortage": "lost", "lead_time_periods": 2, "season_periods": None}
    spec = spec.with_changes(stock=stock)
    market = Market(spec, num_markets=4, seed=seed)
    outcome = market.step(sensible_action(spec, 4, seed))
    assert (outcome.units[:, empty] == 0).all()
    assert (outcome.expected_revenue[:, empty] == 0).all()
    assert (outcome.shown != empty).all()


def another_currency_changes_nothing_else(spec, seed):
    """Prices, costs and bounds four times as high, sensitivities a quarter: powers of two leave every bit of units alone."""
    if spec.competitors is not None:
        # Rules whose steps are money would have to be put into the other currency, too.
        spec = spec.with_changes(competitors={"rule": ("undercut:2%",)})
    dear = recoin(spec, 4.0)
    cheap_market, dear_market = (Market(s, num_markets=3, seed=seed) for s in (spec, dear))
    for t in range(PERIODS):
        action = sensible_action(spec, 3, seed + t)
        one, two = cheap_market.step(action), dear_market.step(action_in(action, 4.0))
        np.testing.assert_allclose(two.list_price, 4 * one.list_price, rtol=1e-6)
        np.testing.assert_allclose(two.expected_revenue, 4 * one.expected_revenue, rtol=2e-3, atol=1e-3)
    np.testing.assert_allclose(dear_market.features(), cheap_market.features(), atol=0.05)


def action_in(action: Action, rate: float) -> Action:
    return Action(
        action.price * np.float32(rate), action.discount, action.recommendation, action.promotion, action.order
    )


def recoin(spec: MarketSpec, rate: float) -> MarketSpec:
    """The market in a currency of which `rate` units are worth one."""
    money = {
        "products": ("regular_price", "unit_cost"),
        "prices": ("floor", "ceiling", "tick"),
        "stock": ("order_cost", "holding_cost", "lost_sale_cost", "backlog_cost", "salvage_value"),
        "promotion": ("cost",),
        "returns": ("handling_cost",),
        "competitors": ("regular_price", "unit_cost", "floor", "ceiling"),
        "plan": ("price",),
        "past": ("price", "charged_low", "charged_high"),
    }
    per_money: dict[str, tuple[str, ...]] = {"demand": ("price_sensitivity",), "competitors": ("price_sensitivity",)}
    if spec.reference_price is not None and spec.reference_price.scale == "linear":
        per_money["reference_price"] = ("gain", "loss", "units_gain", "units_loss")
    changes: dict[str, dict] = {}
    for factor, fields in ((rate, money), (1 / rate, per_money)):
        for section, names in fields.items():
            part = getattr(spec, section)
            for name in names:
                if part is not None and getattr(part, name) is not None:
                    changes.setdefault(section, {})[name] = getattr(part, name) * factor
    if spec.prices.price_ladder is not None:
        changes["prices"]["price_ladder"] = PriceLadder(spec.prices.price_ladder.steps * rate)
    return spec.with_changes(**changes)


def twice_the_customers_is_twice_the_demand(spec, seed):
    price = sensible_action(spec, 1, seed).price
    twice = spec.with_changes(arrivals={"rate": spec.arrivals.rate * 2, "process": "poisson"})
    once = expected_units(spec, 1, price)
    np.testing.assert_allclose(expected_units(twice, 1, price), 2 * once, rtol=1e-12)


def no_action_breaks_a_market_or_its_price_rules(market, wild):
    spec = market.spec
    market.reset()
    products, segments = spec.sizes["N"], spec.sizes["K"]
    price, discount, score, promotion, order = wild
    action = Action(
        price=np.full((3, products), price, np.float32),
        discount=np.full((3, products, segments), discount, np.float32),
        recommendation=np.full((3, products, segments), score, np.float32),
        promotion=np.full((3, products), promotion, np.float32),
        order=np.full((3, products), order, np.float32),
    )
    rules = spec.guardrails
    for _ in range(3):
        in_force = np.clip(market.state.list_price, rules.low, rules.high)
        outcome = market.step(action)
        for name in (
            "paid",
            "units",
            "lost",
            "revenue",
            "profit",
            "expected_revenue",
            "expected_profit",
            "rival_profit",
        ):
            assert np.isfinite(getattr(outcome, name)).all(), name
        assert np.isfinite(market.features()).all()
        assert np.all((outcome.list_price >= rules.low) & (outcome.list_price <= rules.high))
        assert np.all(outcome.paid >= rules.low * (1 - 1e-5))
        if rules.max_change is not None and rules.ladder is None:
            allowed = rules.max_change * in_force + 0.011
            moved = np.abs(outcome.list_price - in_force)
            assert np.all((moved <= allowed) | (outcome.list_price == rules.low) | (outcome.list_price == rules.high))
        if rules.ladder is not None:
            assert np.isin(outcome.list_price, rules.ladder.steps.astype(np.float32)).all()


def the_compiled_formulas_are_those_of_pricing(market, seed):
    """Features and guardrails run compiled in the market and on numpy in the service: the same numbers."""
    spec = market.spec
    market.reset()
    for t in range(2):
        action, view = sensible_action(spec, 3, seed + t), market.view
        np.testing.assert_allclose(market.features(), product_features(view), atol=2e-5)
        np.testing.assert_allclose(market.features(fixed=False), product_features(view, fixed=False), atol=2e-5)
        allowed = spec.guardrails.apply(action, view)
        outcome = market.step(action)
        np.testing.assert_array_equal(outcome.list_price, allowed.price)
        np.testing.assert_array_equal(outcome.trail, allowed.trail)


def with_more_rules(spec: MarketSpec, rng: np.random.Generator) -> MarketSpec:
    """Every rule that looks back, or at other products, some of them off; bounds that leave room for any line."""
    names, regular = spec.products.names, spec.products.regular_price
    prices: dict = {"floor": 0.5 * regular, "ceiling": np.full_like(regular, 1.6 * regular.max()), "price_ladder": None}
    if rng.random() < 0.5:
        prices |= {"tick": None, "price_endings": PriceEndings([0.2, 0.49, 0.95])}
    if rng.random() < 0.7:
        prices["minimum_advertised_price"] = regular * rng.uniform(0, 0.9, regular.size)
    if rng.random() < 0.7:
        prices |= {"max_changes": int(rng.integers(1, 3)), "change_window_periods": int(rng.integers(3, 6))}
    if rng.random() < 0.5:
        prices["frozen"] = tuple(name for name in names if rng.random() < 0.4)
    if len(names) > 1 and rng.random() < 0.8:
        order = rng.permutation(names).tolist()
        prices["line_order"] = (tuple(order),) if len(order) < 4 else (tuple(order[:2]), tuple(order[2:]))
    if len(names) > 1 and rng.random() < 0.5:
        pairs = [tuple(rng.permutation(names)[:2].tolist()) for _ in range(2)]
        prices |= {"price_gaps": tuple(pairs), "gap_shares": rng.uniform(1.01, 3, 2)}
    if spec.competitors is not None and rng.random() < 0.5:
        prices |= {
            "rival_at_least": rng.uniform(0, 0.9, regular.size),
            "rival_at_most": rng.uniform(0.9, 1.3, regular.size),
        }
    if rng.random() < 0.5:
        prices["max_change"] = rng.choice([0.0, 0.1, 0.6], regular.size)
    if rng.random() < 0.3:
        prices["direction"] = str(rng.choice(["falling", "rising"]))
    if rng.random() < 0.5:
        prices["prior_price_periods"] = int(rng.integers(1, 5))
    if prices.get("frozen") and rng.random() < 0.5:
        planned = regular * rng.uniform(0.4, 1.7, (spec.sizes["T"], regular.size))
        spec, prices["frozen_as_planned"] = replace(spec, plan=PlanSection(price=planned)), True
    return spec.with_changes(prices=prices)


def test_the_compiled_price_rules_are_those_of_pricing():
    for number in range(200):
        rng = np.random.default_rng(number)
        shop, seed = a_shop(rng), int(rng.integers(10**6))
        print(f"number {number}: {shop}, {seed=}")
        price_rules_are_those_of_pricing(with_more_rules(sample_catalogue(**shop), rng), seed, rng)


def price_rules_are_those_of_pricing(spec, seed, rng):
    market = Market(spec, num_markets=3, seed=seed)
    for t in range(PERIODS):
        action, view = sensible_action(spec, 3, seed + t), market.view
        action.price[rng.random(action.price.shape) < 0.2] = rng.choice([np.nan, np.inf, -1.0, 1e6])
        np.testing.assert_allclose(market.features(), product_features(view), atol=2e-5)
        allowed, outcome = spec.guardrails.apply(action, view), market.step(action)
        np.testing.assert_array_equal(outcome.list_price, allowed.price)
        np.testing.assert_array_equal(outcome.trail, allowed.trail)
        rules = spec.guardrails
        if rules.follows_plan.any():
            # The plan's price, whatever the other rules say of it, and no discount from it.
            planned = np.broadcast_to(rules.frozen_rows[t], outcome.paid.shape)[:, rules.follows_plan]
            np.testing.assert_array_equal(outcome.list_price[:, rules.follows_plan], planned)
            np.testing.assert_allclose(outcome.paid[:, rules.follows_plan], planned, rtol=1e-6)
        least = np.where(rules.follows_plan, 0.0, rules.paid_low)[None, :]
        assert np.all(outcome.paid >= least * (1 - 1e-5))
