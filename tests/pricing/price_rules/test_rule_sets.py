"""Whatever set of price rules is loaded and whatever is asked, no hard rule is broken.

Here in 2,000 sets and more; `make acceptance ONLY=market` tries 10,000.
"""

from collections import Counter
from dataclasses import replace

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from repricer.pricing import DIRECTIONS, RULES, Action, Catalogue, Guardrails, MarketView, PriceEndings, PriceLadder
from repricer.pricing.price_rules.rule_formulas import BITS, HARD_RULES

PRODUCTS, SEGMENTS, MARKETS = 4, 2, 6
SETS_AN_EXAMPLE, EXAMPLES = 30, 90
WINDOW = 4
SWITCHES = (
    "frozen",
    "max_changes",
    "max_change",
    "direction",
    "minimum_margin",
    "minimum_advertised_price",
    "line_order",
    "gaps",
    "rival",
    "planned_price",
)
CATALOGUE = Catalogue(
    products=tuple("abcd"),
    segments=("s", "t"),
    category=np.zeros(PRODUCTS, int),
    regular_price=np.ones(PRODUCTS, np.float32),
    unit_cost=np.ones(PRODUCTS, np.float32),
    segment_elasticity=np.full((SEGMENTS, PRODUCTS), -2.0, np.float32),
    segment_units=np.ones((SEGMENTS, PRODUCTS), np.float32),
    forecast_units=np.ones((3, PRODUCTS), np.float32),
    change_window_periods=WINDOW,
)


def rule_set(rng: np.random.Generator, grid: str, on: set[str]) -> dict:
    """Rules that fit together more often than not."""
    floor = rng.uniform(0.6, 8, PRODUCTS)
    rules = {"floor": floor, "ceiling": floor * rng.uniform(1.0, 4, PRODUCTS) + 0.7, "unit_cost": floor * rng.random()}
    if grid == "ladder":
        rules["ladder"] = PriceLadder(np.unique(rng.uniform(0.5, 30, rng.integers(8, 60))))
    elif grid == "tick":
        rules["tick"] = rng.choice([0.01, 0.05, 0.25, 0.3])
    elif grid == "endings":
        rules["endings"] = PriceEndings(np.sort(rng.choice(100, rng.integers(1, 4), replace=False)) / 100)
    if "line_order" in on:
        order = rng.permutation(PRODUCTS)
        rules["lines"] = (
            (tuple(order[:3].tolist()),) if rng.random() < 0.5 else tuple(map(tuple, order.reshape(2, 2).tolist()))
        )
        for line in map(list, rules["lines"]):
            for bound in ("floor", "ceiling"):
                if rng.random() < 0.8:
                    rules[bound][line] = np.sort(rules[bound][line])
    if "gaps" in on:
        # Shares that leave room for most bounds, some of them in a circle.
        pairs = rng.permutation([(a, b) for a in range(PRODUCTS) for b in range(PRODUCTS) if a != b])
        rules["gaps"] = tuple((int(a), int(b), float(rng.uniform(0.8, 6))) for a, b in pairs[: rng.integers(1, 4)])
    if "rival" in on:
        rules |= {"rival_at_least": rng.uniform(0.2, 0.8, PRODUCTS), "rival_at_most": rng.uniform(0.8, 1.3, PRODUCTS)}
    choices = {
        "minimum_margin": rng.uniform(0, 0.5),
        "max_change": rng.choice([0.0, 0.02, 0.2, 1.5], rng.choice([1, PRODUCTS])),
        "direction": str(rng.choice(["falling", "rising"])),
        "minimum_advertised_price": rng.uniform(0, 1.3, PRODUCTS) * floor,
        "frozen": rng.random(PRODUCTS) < 0.4,
        "max_changes": int(rng.integers(1, WINDOW)),
        "max_discount": rng.uniform(0, 0.8),
        "max_segment_spread": rng.uniform(0, 0.5),
        "planned_price": rng.uniform(0.3, 40, (1, PRODUCTS)),
    }
    rules |= {rule: value for rule, value in choices.items() if rule in on}
    if "max_changes" in on:
        rules["change_window_periods"] = WINDOW
    return rules


def state(rng: np.random.Generator, rules: Guardrails) -> tuple[MarketView, np.ndarray]:
    """Prices in force, and (E,) whether these rules allow them: half of them are what the rules made of others."""
    rows = (MARKETS, PRODUCTS)
    price = rng.uniform(0.3, 40, rows).astype(np.float32)
    rival = np.where(rng.random(rows) < 0.2, np.inf, rng.uniform(0.3, 40, rows)).astype(np.float32)
    changes = rng.integers(0, WINDOW, rows)
    view = MarketView(CATALOGUE, np.zeros(MARKETS, int), *[price] * 5, competitor_price=rival, changes=changes)
    free = replace(rules, frozen=None, max_changes=None, change_window_periods=None, max_change=None, direction="any")
    allowed = np.arange(MARKETS) % 2 == 0
    price = np.where(allowed[:, None], free.apply(Action(price), view).price, price)
    return replace(view, list_price=price, lowest_price_30_days=price * np.float32(0.9)), allowed


def anything(rng: np.random.Generator, shape: tuple[int, ...], scale: float) -> np.ndarray:
    """Sensible numbers, and some that are none."""
    wild = rng.choice([np.nan, np.inf, -np.inf, 0.0, -1.0, 1e-30, 1e38], shape)
    return np.where(rng.random(shape) < 0.3, wild, rng.uniform(0, scale, shape)).astype(np.float32)


def check_hard_rules(rules: Guardrails, price: np.ndarray, discount: np.ndarray) -> None:
    least = np.maximum(
        rules.floor, rules.unit_cost / (1 - (rules.minimum_margin or 0.0)) * (rules.minimum_margin is not None)
    )
    advertised = 0 * least if rules.minimum_advertised_price is None else rules.minimum_advertised_price
    assert np.all(price >= np.maximum(least, advertised) * (1 - 1e-6))
    assert np.all(price <= rules.ceiling * (1 + 1e-6))
    paid = price[..., None] * (1 - discount.astype(np.float64))
    assert np.all(paid >= least[:, None] * (1 - 1e-6))
    assert np.all((discount >= 0) & (discount <= rules.max_discount + 1e-6))
    assert np.all(np.ptp(discount, axis=-1) <= rules.max_segment_spread + 1e-6)
    for line in rules.lines:
        assert np.all(np.diff(price[:, list(line)], axis=1) >= 0)
    for a, b, share in rules.gaps:
        assert np.all(price[:, a] <= share * price[:, b] * (1 + 3e-6))
    if rules.ladder is not None:
        assert np.isin(price, rules.ladder.steps.astype(np.float32)).all()
    if rules.tick is not None:
        steps = price / rules.tick
        assert np.abs(steps - np.round(steps)).max() < 1e-3
    if rules.endings is not None:
        gap = np.abs(price[..., None] % 1 - rules.endings.fractions)
        assert np.minimum(gap, 1 - gap).min(axis=-1).max() < 1e-5


def check_soft_rules(
    rules: Guardrails, view: MarketView, allowed: np.ndarray, price: np.ndarray, trail: np.ndarray
) -> None:
    in_force, hard = view.list_price, sum(BITS[rule] for rule in HARD_RULES)
    held = np.zeros(price.shape, bool) if rules.frozen is None else np.broadcast_to(rules.frozen, price.shape)
    if rules.max_changes is not None:
        held = held | (view.changes >= rules.max_changes)
    assert not (trail[~held] & (BITS["frozen"] | BITS["max_changes"])).any()
    moved, planned = held & (price != in_force), rules.planned_rows
    if rules.max_changes is not None and len(planned):
        # To the planned price, where changes are used up.
        moved &= np.zeros_like(moved) if rules.frozen is None else rules.frozen
    # A held price moves only where a hard rule says so, and never where it was allowed.
    assert np.all(trail[moved] & hard)
    assert not moved[allowed].any()
    # Prices that may follow one another stay in order along a line and in their gaps, up to rounding: no link turns one back.
    rounding = 2e-6 * in_force if rules.gaps else 0.0
    assert np.all(((price - in_force) * DIRECTIONS[rules.direction] >= -rounding)[allowed])
    # A gap is rounded to the grid, for which the largest change gives way, as it does where the product that raises
    # another one may change more.
    linked = rules.lines or rules.gaps
    further = rules.max_change is not None and (np.ptp(rules.max_change) or len(planned))
    if rules.max_change is not None and not ((rules.gaps and rules.grid.kind) or (linked and further)):
        least, most = in_force * (1 - rules.max_change), in_force * (1 + rules.max_change)
        if len(planned):
            least, most = np.minimum(least, planned), np.maximum(most, planned)
        rounding = 1e-5 * rules.max_change * in_force + 1e-5
        assert np.all(((price >= least - rounding) & (price <= most + rounding))[allowed])


def check_rule_sets(examples: int) -> Counter[str]:
    """How many sets were loaded and refused, and how often each rule changed something."""
    counts = Counter()

    @settings(
        max_examples=examples, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
    )
    @given(
        grid=st.sampled_from(["none", "ladder", "tick", "endings"]),
        on=st.sets(st.sampled_from([*SWITCHES, "max_discount", "max_segment_spread"])),
        seed=st.integers(0, 2**32 - 1),
    )
    def every_example(grid, on, seed):
        rng = np.random.default_rng(seed)
        for _ in range(SETS_AN_EXAMPLE):
            try:
                rules = Guardrails(**rule_set(rng, grid, on))
            except ValueError:
                counts["refused"] += 1
                continue
            counts["loaded"] += 1
            view, allowed = state(rng, rules)
            asked = Action(
                anything(rng, view.list_price.shape, 30), anything(rng, (*view.list_price.shape, SEGMENTS), 1)
            )
            done = rules.apply(asked, view)
            check_hard_rules(rules, done.price, done.discount)
            check_soft_rules(rules, view, allowed, done.price, done.trail)
            # Nothing changes without a trail, and what is allowed stays.
            assert np.all(done.trail[done.price != asked.price] > 0)
            again = rules.apply(Action(done.price, done.discount), view)
            # Without a grid, a gap is kept up to rounding.
            rounding = 2e-6 if rules.gaps else 0.0
            stays = allowed
            if len(rules.planned_rows) and rules.max_changes is not None and (rules.lines or rules.gaps):
                # What a link made of a price may be nearer to another of the two that it can be.
                stays = stays & (view.changes < rules.max_changes).all(axis=1)
            if rules.rival_at_most is not None:
                # The current price stands in for what is no number, whatever the rival charges.
                stays = stays & ((asked.price > 0) & (asked.price < 1e30)).all(axis=1)
            np.testing.assert_allclose(again.price[stays], done.price[stays], rtol=rounding)
            reduced = done.price < view.lowest_price_30_days * np.float32(1 - 1e-6)
            np.testing.assert_array_equal(np.isfinite(done.prior_price), reduced)
            counts.update(rule for rule in RULES if (done.trail & BITS[rule]).any())

    every_example()
    return counts


def test_no_order_of_rules_breaks_a_hard_one():
    counts = check_rule_sets(EXAMPLES)
    assert counts["loaded"] >= 2_000
    assert counts["refused"] >= 100
    # Every rule had something to do, often.
    assert min(counts[rule] for rule in RULES) >= 100
