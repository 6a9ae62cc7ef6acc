"""Which prices a bundle holds: learned, best fixed, regular or current ones, or a blend
with the current.

Writing them needs the `train` extra. A price server reads them all as the same thing: a network
whose output multiplies base prices. For prices that were not learned, the output is always 1 and
the base prices are the prices themselves, period by period.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...pricing import NetworkPolicy, PricePath, RecurrentPolicy, StockTable, row_width
from ..bundle.files import BundleError

if TYPE_CHECKING:
    from ...agents import Run
    from ...agents.actor import Actor
    from ...scenarios import MarketSpec


@dataclass(frozen=True)
class Holding:
    """The prices of a bundle.

    Args:
        prices: `learned`, `best-fixed`, `regular`, `current`, `plan` or a name of `plan_policies`.
        toward_current: Share by which they are moved towards the current prices.
        recommended: Whether a comparison recommends them; None where none was at hand.

    Example:
        >>> Holding("best-fixed", 0.25).words
        'the best fixed prices, moved 25% of the way back to your current prices'
    """

    prices: str = "learned"
    toward_current: float = 0.0
    recommended: bool | None = None

    @property
    def learned(self) -> bool:
        """Whether a network sets the prices, alone or in a blend."""
        return self.prices == "learned"

    @property
    def words(self) -> str:
        """What a manager calls these prices."""
        from ...evaluation.uncertainty import words_of

        return words_of(self.prices, self.toward_current)

    def to_dict(self) -> dict[str, Any]:
        """As the manifest states it."""
        return asdict(self) | {"words": self.words}

    @classmethod
    def of(cls, manifest: dict[str, Any]) -> Holding:
        """What the manifest of a bundle states."""
        return cls(**{name: fact for name, fact in manifest["holds"].items() if name != "words"})


def recommended_holding(comparison: dict[str, Any] | None) -> Holding:
    """The prices that a comparison recommends, or the learned ones where it recommends none.

    Args:
        comparison: As `Comparison.to_dict` gives it.

    Example:
        >>> recommended_holding(None)
        Holding(prices='learned', toward_current=0.0, recommended=None)
    """
    found = None if comparison is None else comparison.get("uncertainty")
    return Holding() if found is None else Holding(**found["holding"], recommended=True)


def held(run: Run, holding: Holding, seed: int = 0) -> tuple[Actor, NetworkPolicy | RecurrentPolicy]:
    """The network of a bundle, and the policy around it.

    Args:
        seed: Seed of the search for the best fixed prices.

    Raises:
        BundleError: A bundle cannot hold these prices.
    """
    if holding.learned and not holding.toward_current:
        return run.actor, run.policy
    if not holding.learned:
        check_orders(run.spec, holding)
        return around(run.spec, price_path(run.spec, holding, None, seed))
    from ...agents.actor import scaled

    if run.base is not None and not isinstance(run.base, PricePath):
        must = "a bundle can blend learned prices with current ones where their base price is constant"
        raise BundleError(f"{must}; got {run.facts['settings']['base_price']}; give --policy learned")
    share = np.float32(1 - holding.toward_current)
    layout = run.layout
    # Prices and discounts move towards those of the current prices, which give no discounts.
    moved = 1 + layout.num_segments * int(layout.discounts)
    factors = np.ones(layout.size, np.float32)
    factors[:moved] = share
    path = price_path(run.spec, holding, run.base_price if run.base is None else run.base, seed)
    blended: Any = replace(run, actor=scaled(run.actor, factors), base=path)
    return blended.actor, replace(blended.policy, name=path.name.replace("learned", run.policy.name, 1))


def around(spec: MarketSpec, prices: PricePath | StockTable) -> tuple[Actor, NetworkPolicy]:
    """A network that says nothing, around these prices."""
    from ...agents.actor import constant_actor, network_policy
    from ...envs import catalogue_of

    layout = replace(spec.action_layout(spec.products.regular_price), max_discount=0.0, recommend=False, promote=False)
    actor = constant_actor(row_width(catalogue_of(spec), product_wise=True))
    regular = spec.products.regular_price.astype(np.float32)
    policy: Any = network_policy(actor, layout, regular, product_wise=True, name=prices.name, base=prices)
    return actor, policy


def check_orders(spec: MarketSpec, holding: Holding) -> None:
    """Check that a bundle need not order units where its prices were not learned.

    Raises:
        BundleError: It would have to.
    """
    if not holding.learned and spec.stock.replenishment == "action":
        got = f"got {holding.words} for {spec.name}, where policies order"
        raise BundleError(f"a bundle of prices that were not learned cannot order units; {got}; give --policy learned")


def price_path(
    spec: MarketSpec, holding: Holding, base: PricePath | NDArray[np.float32] | None, seed: int
) -> PricePath:
    """The base prices of a bundle by period, (T, N), and what is promoted and recommended with them.

    Args:
        base: (N,) prices, or the plan, that the learned network is around; None without one.
        seed: Seed of the search for the best fixed prices.
    """
    from ...agents import best_fixed
    from ...agents.posterior import current_prices
    from ...agents.posterior.best_plan import PLAN, best_plan
    from ...agents.posterior.deals import plan_policies

    if holding.prices == PLAN:
        return best_plan(spec)
    if spec.plan is not None and (own := plan_policies(spec).get(holding.prices)) is not None:
        return own
    current = current_prices(spec)
    share = holding.toward_current
    prices = holding.prices
    shape = (spec.market.horizon_periods, len(spec.products.names))
    planned = spec.products.regular_price
    promotion = None
    if isinstance(current, PricePath):
        planned = current.path
        promotion = current.promotion
    learned, shown = (base.path, base.recommendation) if isinstance(base, PricePath) else (base, None)
    own = {"learned": learned, "regular": spec.products.regular_price, "current": planned}.get(prices)
    own = best_fixed(spec, seed=seed).price if own is None else own
    path = np.broadcast_to(np.asarray(own, np.float64) ** (1 - share) * np.asarray(planned, np.float64) ** share, shape)
    if prices != "current" and share <= 0.5:
        # As of `BlendedPrice`: the promotions are those of the prices with the larger weight.
        promotion = None if holding.learned or spec.promotion is None else np.zeros(shape, np.float32)
    name = current.name if prices == "current" else prices
    name += f"+{share:.0%}:{current.name}" if share else ""
    return PricePath(path.astype(np.float32), promotion, name=name, recommendation=shown)


def holds_line(manifest: dict[str, Any]) -> str:
    """Which prices a bundle holds, in one line."""
    holds = manifest["holds"]
    judged = manifest["evaluation"].get("uncertainty")
    if holds["recommended"] and holds["prices"] == "current":
        return "the bundle holds your current prices: no change is recommended"
    if holds["recommended"] is not False:
        return f"the bundle holds {holds['words']}" + ", which are recommended" * bool(holds["recommended"])
    other = judged["words"] if judged["recommended"] else "no change"
    return f"note: the bundle holds {holds['words']}; recommended: {other}"
