"""Stress tests: markets like `grocery@demand-halved`, in which a policy should hold up."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from .checks import excluded_parts
from .fields import ScenarioError, nearest
from .sections import Array, Competitors
from .spec import MarketSpec, price_term, scaled_rate, scaled_sensitivity

# Families in which utility is a purchase probability rather than its logarithm.
_LINEAR = ("linear", "cheapest")


@dataclass(frozen=True)
class Stress:
    """A stress test.

    Args:
        meaning: What happens, in one line.
        apply: Changes the market accordingly.

    Example:
        >>> STRESSES["demand-halved"].meaning
        'half as many customers arrive'
    """

    meaning: str
    apply: Callable[[MarketSpec], MarketSpec]


def stressed(spec: MarketSpec, name: str) -> MarketSpec:
    """The market under a stress of `STRESSES`, named `NAME@STRESS`.

    Raises:
        ScenarioError: There is no such stress, or it does not apply to this market.
    """
    if name not in STRESSES:
        raise ScenarioError(f"stress must be a known one; got '{name}'; {nearest(name, list(STRESSES))}")
    stress = STRESSES[name]
    try:
        changed = stress.apply(spec)
    except ScenarioError as error:
        raise ScenarioError(f"stress {name} does not apply to {spec.name}: {error}") from error
    summary = f"{spec.summary} Under stress: {stress.meaning}."
    return replace(changed, name=f"{spec.name}@{name}", summary=summary.strip())


def scaled_elasticity(factor: float) -> Callable[[MarketSpec], MarketSpec]:
    """Scale every price sensitivity, keeping the utilities at regular prices."""

    def apply(spec: MarketSpec) -> MarketSpec:
        sections = {"demand": scaled_sensitivity(spec, spec.demand, spec.products.regular_price, factor)}
        if spec.competitors is not None:
            regular = spec.competitors.regular_price
            sections["competitors"] = scaled_sensitivity(spec, spec.competitors, regular, factor)
        return spec.with_changes(**sections)

    return apply


def with_demand(spec: MarketSpec, factor: Array | float) -> MarketSpec:
    """Multiply arrivals by a factor, one or (C,); `single` arrivals stay at most one per period."""
    return spec.with_changes(arrivals={"rate": scaled_rate(spec, factor)})


def _utility_at_regular(spec: MarketSpec) -> Array:
    """(C, N) mean utility at regular prices over the segments of a category, without the season."""
    utility = spec.demand.quality - spec.demand.price_sensitivity * price_term(spec, spec.products.regular_price)
    return spec.arrivals.segment_share @ utility


def with_newcomers(spec: MarketSpec) -> MarketSpec:
    """Add one offer per category: its most popular product, at a lower price."""
    if "competitors" in excluded_parts(spec.demand.family, spec.arrivals.process):
        raise ScenarioError(
            f"its demand family allows no competitors; got demand.family '{spec.demand.family}'; use another stress"
        )
    utility = _utility_at_regular(spec)
    products = spec.products
    own = [np.flatnonzero(spec.category_index == c) for c in range(len(spec.category_names))]
    best = np.array([members[utility[c, members].argmax()] for c, members in enumerate(own)])
    regular = products.regular_price[best]
    names = tuple(f"newcomer in {category}" for category in spec.category_names)
    taken = () if spec.competitors is None else spec.competitors.names
    number = 2
    while set(names) & set(taken):
        names = tuple(f"newcomer {number} in {category}" for category in spec.category_names)
        number += 1
    newcomers = Competitors(
        names=names,
        seller=names,
        product=tuple(products.names[n] for n in best),
        regular_price=0.95 * regular,
        unit_cost=products.shelf_cost[best],
        quality=spec.demand.quality[:, best],
        price_sensitivity=spec.demand.price_sensitivity[:, best],
        rule=("undercut:5%",) * len(best),
        floor=0.6 * regular,
        ceiling=1.5 * regular,
    )
    return replace(spec, competitors=_joined(spec, newcomers))


def _joined(spec: MarketSpec, more: Competitors) -> Competitors:
    """The market's competing offers, followed by these."""
    rivals = spec.competitors
    if rivals is None:
        return more
    count = len(rivals.names)
    opponents = tuple(spec.products.names[n] for n in spec.competitor_product)
    before = replace(rivals, seller=rivals.seller or rivals.names, product=opponents, rule=_each(rivals.rule, count))
    together = {}
    for key in Competitors.__dataclass_fields__:
        one = getattr(before, key)
        two = getattr(more, key)
        if isinstance(one, tuple):
            together[key] = one + two
        elif isinstance(one, np.ndarray):
            together[key] = np.concatenate([one, two], axis=-1)
    return replace(before, **together)


def _each(rule: tuple[str, ...], count: int) -> tuple[str, ...]:
    return rule * count if len(rule) == 1 else rule


def _supplier_delay(spec: MarketSpec) -> MarketSpec:
    if spec.stock.replenishment == "none":
        raise ScenarioError("it has no orders; got stock.replenishment 'none'; use another stress")
    return spec.with_changes(stock={"lead_time_periods": spec.stock.lead_time_periods + 2})


def _drifting_taste(spec: MarketSpec) -> MarketSpec:
    """Utility falls by 0.5 over the horizon in the first category, rises in the second, falls in the third, and so on.

    In a logit, this reduces demand by some 40%; where utility is a probability, by half.
    """
    periods, categories = spec.demand.season.shape
    strength = np.full(categories, 0.5)
    if spec.demand.family in _LINEAR:
        strength *= [_utility_at_regular(spec)[c, spec.category_index == c].mean() for c in range(categories)]
    direction = np.where(np.arange(categories) % 2 == 0, -1.0, 1.0)
    drift = np.linspace(0, 1, periods)[:, None] * strength * direction
    return spec.with_changes(demand={"season": spec.demand.season + drift})


def _cold_start(spec: MarketSpec) -> MarketSpec:
    """Arrivals and product demand differ by up to 50% from the market of the training.

    One fixed draw: for the policy the assortment is like a new one, whose sales had to be guessed.
    """
    generator = np.random.default_rng(0)
    spec = with_demand(spec, generator.uniform(0.5, 1.5, len(spec.category_names)))
    factor = generator.uniform(0.5, 1.5, len(spec.products.names))
    # In a nested logit a step of utility counts 1 / (1 - nesting) times in its nest.
    nesting = spec.demand.nesting[spec.nest_index]
    demand = {"quality": spec.demand.quality + (1 - nesting) * np.log(factor)}
    if spec.demand.family in _LINEAR:
        # Where utility is a probability, all of it is scaled.
        demand = {key: getattr(spec.demand, key) * factor for key in ("quality", "price_sensitivity")}
    return spec.with_changes(demand=demand)


def _price_war(spec: MarketSpec) -> MarketSpec:
    rivals = spec.competitors
    if rivals is None:
        raise ScenarioError("it has no competitors; got no section [competitors]; use new-competitor")
    lowest = np.maximum(rivals.unit_cost, 0.5 * rivals.regular_price)
    return spec.with_changes(
        competitors={"rule": ("undercut:5%",) * len(rivals.names), "floor": np.minimum(rivals.floor, lowest)}
    )


def _posterior(spec: MarketSpec) -> MarketSpec:
    if spec.posterior is None:
        raise ScenarioError("it has no posterior; got no section [posterior]; fit the market to sales")
    halves = {} if spec.halves is None else {"halves": {"simulated": True}}
    return spec.with_changes(posterior={"simulated": True}, **halves)


STRESSES: dict[str, Stress] = {
    "elasticity-up": Stress(
        "price elasticities are 30% larger; at regular prices customers buy as before where no sensitivity_path or regime "
        "changes sensitivity, so prices below those sell more, and can earn more, than without the stress",
        scaled_elasticity(1.3),
    ),
    "elasticity-down": Stress(
        "price elasticities are 30% smaller; at regular prices customers buy as before where no sensitivity_path or regime "
        "changes sensitivity, so prices below those sell less",
        scaled_elasticity(0.7),
    ),
    "demand-halved": Stress("half as many customers arrive", lambda spec: with_demand(spec, 0.5)),
    "new-competitor": Stress(
        "a new competitor in every category stays 5% below the price of its most popular product", with_newcomers
    ),
    "supplier-delay": Stress("orders take two periods longer", _supplier_delay),
    "drifting-taste": Stress("demand drifts from the first, third, … category to the others", _drifting_taste),
    "cold-start": Stress(
        "arrivals and product demand differ by up to 50% from what the policy was trained on", _cold_start
    ),
    "price-war": Stress(
        "every competitor undercuts by 5%, down to its unit cost or half its regular price", _price_war
    ),
    "posterior": Stress(
        "market parameters are as uncertain as the fit leaves them: each episode follows a posterior draw", _posterior
    ),
}


def sample_variants(
    spec: MarketSpec, count: int, *, seed: int, elasticity: float, demand: float, rival: float
) -> list[MarketSpec]:
    """Sample variants of a market, for policies that hold up if the true market differs.

    Domain randomisation after Tobin et al. (2017), Domain Randomization for Transferring Deep
    Neural Networks. Draws are uniform and stratified over the variants.

    Args:
        spec: The market to vary.
        count: Number of variants.
        seed: Seed of the draws.
        elasticity: Largest relative change of the price sensitivities, up or down.
        demand: Largest relative change of a category's arrivals, up or down.
        rival: Probability that a new competitor enters, if the demand family allows competitors.

    Returns:
        The variants, in random order.

    Example:
        >>> from repricer import load_scenario
        >>> variants = sample_variants(
        ...     load_scenario("stationary-logit"), 3, seed=0, elasticity=0.3, demand=0.3, rival=0.0
        ... )
        >>> len(variants)
        3
    """
    generator = np.random.default_rng(seed)
    # Stratified, so that even a dozen variants contain the extremes for any seed.
    strata = np.stack([generator.permutation(count) for _ in range(3)])
    place = (strata + generator.random((3, count))) / max(count, 1)
    rivals = "competitors" not in excluded_parts(spec.demand.family, spec.arrivals.process)
    variants = []
    for i in range(count):
        changed = scaled_elasticity(1 + elasticity * (2 * place[0, i] - 1))(spec)
        own = generator.uniform(-0.25, 0.25, len(spec.category_names))
        changed = with_demand(changed, 1 + demand * np.clip(2 * place[1, i] - 1 + own, -1, 1))
        if rivals and place[2, i] < rival:
            changed = with_newcomers(changed)
        variants.append(changed)
    return variants
