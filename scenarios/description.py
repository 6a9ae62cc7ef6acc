"""The parts of a market description, and what follows from them: sizes, indices, price bounds."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from .fields import value
from .price_section import LawSection, Prices
from .sections import (
    Array,
    Arrivals,
    Capacity,
    Competitors,
    DemandSection,
    Express,
    Fairness,
    Halves,
    Loyalty,
    MarketSection,
    Observed,
    Posterior,
    Products,
    PromotionSection,
    RecommendationSection,
    ReferencePrice,
    Regimes,
    Returns,
    Shocks,
    Stock,
    Strategic,
)
from .shop_sections import EvidenceSection, PastSection, PlanSection

_PERIOD_DAYS = {"day": 1, "week": 7}
# A share of this makes a group of no customers one like all.
_NONE = 1e-200


@dataclass(frozen=True, eq=False, repr=False)
class MarketDescription:
    """Everything that a scenario file says, not checked yet; see `MarketSpec`.

    Optional sections are None where the file leaves them out.
    """

    name: str = value("registered name, lower-case words joined by dashes")
    version: int = value("a whole number that rises with every change of behaviour")
    market: MarketSection = value("section")
    products: Products = value("section")
    arrivals: Arrivals = value("section")
    demand: DemandSection = value("section")
    prices: Prices = value("section")
    stock: Stock = value("section", default_factory=Stock)
    express: Express | None = value("section", default=None)
    competitors: Competitors | None = value("section", default=None)
    promotion: PromotionSection | None = value("section", default=None)
    reference_price: ReferencePrice | None = value("section", default=None)
    recommendation: RecommendationSection | None = value("section", default=None)
    loyalty: Loyalty | None = value("section", default=None)
    strategic: Strategic | None = value("section", default=None)
    regimes: Regimes | None = value("section", default=None)
    shocks: Shocks | None = value("section", default=None)
    returns: Returns | None = value("section", default=None)
    capacity: Capacity | None = value("section", default=None)
    observed: Observed | None = value("section", default=None)
    law: LawSection | None = value("section", default=None)
    plan: PlanSection | None = value("section", default=None)
    past: PastSection = value("section", default_factory=PastSection)
    evidence: EvidenceSection = value("section", default_factory=EvidenceSection)
    posterior: Posterior | None = value("section", default=None)
    halves: Halves | None = value("section", default=None)
    fairness: Fairness | None = value("section", default=None)
    summary: str = value("one or two sentences", default="")
    sources: tuple[str, ...] = value("where it was published", default=())
    traps: tuple[str, ...] = value("mistakes that are easily made with it", default=())
    assumptions: tuple[str, ...] = value("what was assumed rather than fitted", default=())

    @cached_property
    def sizes(self) -> dict[str, int]:
        """The number behind each letter of a shape: T, C, J, N, K, G, P, I, F, R, Z, H, B, Y, M."""
        past = self.past.price
        sold = self.past.units
        return {
            "T": int(self.market.horizon_periods),
            "C": len(self.category_names),
            "J": int(self.nest_index.max(initial=-1)) + 1,
            "N": len(self.products.names),
            "K": len(self.arrivals.segments),
            "G": len(self.prices.price_gaps),
            "P": len(self.prices.packs),
            "I": len(self.prices.index_names),
            "F": 0 if self.fairness is None else len(self.fairness.groups),
            "R": 0 if self.competitors is None else len(self.competitors.names),
            "Z": 0 if self.regimes is None else len(self.regimes.names),
            "H": 0 if self.capacity is None else len(self.capacity.names),
            "B": 0 if past is None else len(np.atleast_2d(past)),
            "Y": 0 if sold is None else len(np.atleast_2d(sold)),
            "M": 0 if self.posterior is None else int(self.posterior.draws),
        }

    @property
    def period_days(self) -> int | None:
        """Length of a period in days; None where the market does not say."""
        return self.market.period_days or _PERIOD_DAYS.get(self.market.period)

    @cached_property
    def category_names(self) -> tuple[str, ...]:
        """The C categories in order of appearance."""
        return tuple(dict.fromkeys(self.products.category or ("all",)))

    @cached_property
    def category_index(self) -> NDArray[np.intp]:
        """(N,) index of each product's category."""
        if self.products.category is None:
            return np.zeros(len(self.products.names), dtype=np.intp)
        return np.array([self.category_names.index(c) for c in self.products.category], dtype=np.intp)

    @cached_property
    def nest_index(self) -> NDArray[np.intp]:
        """(N,) index of each product's nest, in order of appearance; by default its category."""
        if self.demand.nest is None:
            return self.category_index
        nests = list(zip(self.category_index, self.demand.nest, strict=True))
        number = {nest: j for j, nest in enumerate(dict.fromkeys(nests))}
        return np.array([number[nest] for nest in nests], dtype=np.intp)

    @cached_property
    def competitor_product(self) -> NDArray[np.intp]:
        """(R,) index of the product that each competitor's offer competes with."""
        if self.competitors is None or self.competitors.product is None:
            return np.arange(self.sizes["R"], dtype=np.intp)
        return np.array([self.products.names.index(name) for name in self.competitors.product], dtype=np.intp)

    @property
    def initial_rival_price(self) -> Array:
        """(R,) prices of the competitors' offers before the first period: their regular prices within floor and ceiling."""
        rivals = self.competitors
        return np.empty(0) if rivals is None else np.clip(rivals.regular_price, rivals.floor, rivals.ceiling)

    @property
    def initial_reference(self) -> Array:
        """(N,) prices that customers remember before the first period, currency per unit."""
        reference = self.reference_price
        given = None if reference is None else reference.start
        return self.products.regular_price if given is None else given

    @property
    def stocks_up(self) -> bool:
        """Whether a price below or above the reference changes how many units those who buy take."""
        reference = self.reference_price
        return reference is not None and bool(np.any(reference.units_gain) or np.any(reference.units_loss))

    @cached_property
    def segment_of_customers(self) -> Array:
        """(K,) share of each segment among the customers who arrive, over all categories and periods."""
        customers = self.arrivals.rate.sum(axis=0) @ self.arrivals.segment_share + _NONE
        return customers / customers.sum()

    @property
    def segment_of_group(self) -> Array:
        """(F, K) share of each segment among a protected group's customers; (0, K) without groups."""
        share = np.empty((self.sizes["K"], 0)) if self.fairness is None else self.fairness.share
        customers = self.segment_of_customers[:, None] * (share + _NONE)
        return (customers / customers.sum(axis=0)).T

    @property
    def group_contrasts(self) -> Array | None:
        """(P, K) difference of those shares between each two groups of one attribute; None without groups."""
        if self.fairness is None:
            return None
        of = self.fairness.attribute
        rows = self.segment_of_group
        pairs = [rows[a] - rows[b] for a, b in combinations(range(len(of)), 2) if of[a] == of[b]]
        return np.array(pairs).reshape(-1, rows.shape[1])

    @property
    def shown_by_recommender(self) -> NDArray[np.intp]:
        """(K,) product that the recommender by itself shows to a segment while all are in stock, -1 for none."""
        slots = self.recommendation
        if slots is None:
            return np.full(self.sizes["K"], -1)
        may = slots.candidates > 0
        return np.where(may.any(axis=1), np.where(may, slots.affinity, -np.inf).argmax(axis=1), -1)

    @cached_property
    def price_bounds(self) -> tuple[Array, Array]:
        """Lowest and highest allowed prices, (N,) each, in currency per unit.

        Where the scenario gives no bound, it is the end of the ladder; without a ladder, a quarter
        of the regular price or four times as much.
        """
        prices = self.prices
        regular = self.products.regular_price
        if prices.price_ladder is None:
            low = regular / 4
            high = regular * 4
        else:
            steps = prices.price_ladder.steps
            low = np.full_like(regular, steps[0])
            high = np.full_like(regular, steps[-1])
        return low if prices.floor is None else prices.floor, high if prices.ceiling is None else prices.ceiling
