"""The models of a category's demand that its sales choose between.

They differ in why sales and prices move together: customers answer to every price alike, they answer to deals and to
regular prices in two ways, or the shop's prices follow what customers want.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import logit

from ...pricing import felt_price
from ...pricing.choice_formulas import reference_gap
from .category_model import CategoryData
from .category_rows import SegmentUnits, category_data, demeaned
from .lasting_response import LastingResponse
from .priors import Priors
from .sales_grids import SalesGrids

Array = NDArray[np.float64]


@dataclass(frozen=True)
class RememberedPrice:
    """The shape of a reference price.

    Attributes:
        memory: Weight of the past after a period, in [0, 1).

    Example:
        >>> RememberedPrice(0.5).gap(np.array([[4.0], [2.0], [4.0]])).ravel().round(2).tolist()
        [0.0, 0.38, -0.39]
    """

    memory: float

    def price(self, charged: Array) -> Array:
        """(..., W, N) what customers remember of the prices charged (..., W, N) before each week."""
        remembered = np.empty_like(charged)
        remembered[..., 0, :] = charged[..., 0, :]
        for t in range(1, charged.shape[-2]):
            remembered[..., t, :] = self.memory * remembered[..., t - 1, :] + (1 - self.memory) * charged[..., t - 1, :]
        return remembered

    def gap(self, charged: Array, remembered: Array | None = None) -> Array:
        """(..., W, N) how far prices lie below the reference, which follows from the prices if not given, on the saturating scale
        of `pricing.choice_formulas.reference_gap`: the deeper a deal, the less another per cent adds.
        """
        reference = self.price(charged) if remembered is None else remembered
        return reference_gap(charged, reference, False, True)


MEMORIES = (0.4, 0.7, 0.9)
"""Weights of the old reference price after a week that are tried for deals."""
SUSPECT = "regular price"
REDUCED = "reduced weeks"
# A regular price that moves by less, in proportion, stands still.
_STILL = 0.01
_REDUCED = 0.02
# A price this far below the remembered one, in logs, is a deal; effects of deals that all products share.
_ON_DEAL = 0.02
_DEAL_EFFECTS = 4


@dataclass(frozen=True)
class CandidateModel:
    """One model of a category's demand.

    Attributes:
        name: What it is called in `fit.json`.
        prior: Its probability before the sales are seen.
        data: What the customers met, as this model takes it.
        curvature: As of `CategoryData`.
        suspects: D, number of its last effects that prices which follow demand show in the sales.
        deals: Number of its last effects that deals have, see `_with_deals`.
        remembered: The reference price that deals are measured from.
        depth: Mean logarithm of that price over the price paid on deals.
        shown: Number of its first effects that are those of displays and mailers, by kind; as many, the last but those of
            deals, are what they add to the units of those who buy.
    """

    name: str
    prior: float
    data: CategoryData
    curvature: float = 0.0
    suspects: int = 0
    deals: int = 0
    remembered: RememberedPrice | None = None
    depth: float = 1.0
    shown: int = 0

    def in_weeks(self, counts: NDArray[np.bool_]) -> CandidateModel:
        """The same model of the sales of some weeks, (W,): the others count like weeks without the product on sale."""
        price = np.where(counts[:, None], self.data.price, np.nan)
        return replace(self, data=replace(self.data, price=price))


def candidate_models(
    grids: SalesGrids,
    here: NDArray[np.intp],
    regular: Array,
    segments: SegmentUnits,
    priors: Priors,
    lasting: LastingResponse,
    *,
    draws: int,
    seed: int,
) -> list[CandidateModel]:
    """The models of a category, the same for all categories of a shop but for their data.

    Args:
        here: (J,) indices of the category's products.
        regular: (N,) today's regular price, currency per unit.
        segments: Who bought what.
        lasting: What the sales tell of the response to regular prices.
        draws: M, number of draws of that.
        seed: Their seed.
    """
    suspects = suspect_effects(grids)
    reduced = bool((grids.price < (1 - _REDUCED) * grids.regular).any())
    costs = grids.unit_cost is not None
    deals = priors.regular_and_deal if reduced else 0.0
    follow = priors.follow_demand if suspects else 0.0
    by_costs = priors.beyond_costs if costs else 0.0

    def data(curvature: float, *, by_cost: bool = False) -> CategoryData:
        return category_data(grids, here, regular, segments, priors, curvature=curvature, costs=by_cost)

    found: list[CandidateModel] = []
    for curvature, likely in ((0.0, 1 - priors.logarithmic), (1.0, priors.logarithmic)):
        bend = ", logarithmic" if curvature else ""
        chance = (1 - deals) * (1 - by_costs) * likely
        own = data(curvature)
        found.append(CandidateModel(f"one response{bend}", chance * (1 - follow), own, curvature))
        for levels in (False, True) if follow else ():
            whose = "the category's customers" if levels else "the demand for each product"
            suspect = with_suspects(own, suspects, here, priors, levels=levels)
            name = f"prices follow {whose}{bend}"
            found.append(CandidateModel(name, chance * follow / 2, suspect, curvature, suspects=len(suspects)))
    if costs:
        name = "prices follow what costs do not explain"
        chance = (1 - deals) * by_costs
        found.append(CandidateModel(name, chance, data(0.0, by_cost=True)))
    if deals:
        given = _given(grids, here, lasting, priors, draws, seed)
        own = replace(data(1.0), years=np.empty(0), given=given)
        moves = int(SUSPECT in suspects)
        if moves:
            # What goes with moves of regular prices beyond the response that stores tell of has an effect of its own,
            # which the market does not have: why the shop moved them is not known.
            moved = suspects[SUSPECT][..., here]
            own = own.with_week_features([_level(moved, own.on_sale)], priors.level_spread)
            own = own.with_effects(moved[None], 0.0, priors.suspect_spread, 0.0)
        shown = len(grids.promotions)
        met = grids.met(regular)[..., here]
        found += [_deal_model(own, met, memory, moves, priors, shown=shown) for memory in MEMORIES]
    return found


def _deal_model(
    data: CategoryData, met: Array, memory: float, moves: int, priors: Priors, *, shown: int
) -> CandidateModel:
    """The model in which customers answer to deals and to regular prices in two ways, with one memory.

    Args:
        data: The category's sales, with the response to regular prices given.
        met: (G, W, J) prices that customers met.
        memory: A week's weight of the old reference price.
        moves: Number of the effects of moves of regular prices.
        priors: The priors.
        shown: Number of the kinds of displays and mailers; they are the first effects.
    """
    remembered = RememberedPrice(memory ** (1 / data.per_week))
    gap = remembered.gap(met)
    on_deal = gap[gap > _ON_DEAL]
    return CandidateModel(
        name=f"regular prices and deals, memory {memory:g}",
        prior=priors.regular_and_deal / len(MEMORIES),
        data=_with_deals(data, gap, priors, shown=shown),
        # Regular prices move little: over such moves elasticities are taken to stay the same.
        curvature=1.0,
        suspects=moves,
        deals=_DEAL_EFFECTS + gap.shape[-1],
        shown=shown,
        remembered=remembered,
        # Mean gap of the prices paid on deals.
        depth=float(on_deal.mean()) if on_deal.size else 1.0,
    )


def _given(
    grids: SalesGrids, here: NDArray[np.intp], lasting: LastingResponse, priors: Priors, draws: int, seed: int
) -> dict[str, Array]:
    """Draws of the response to regular prices, in the parameters of the choice model.

    In a multinomial logit, the elasticity of a product's share of its category in its own price is its price
    sensitivity at the regular price, and the outside share is the category's elasticity over it.
    """
    relative, category = lasting.draws(priors, draws, seed)
    outside = category / relative
    share = grids.units[..., here].sum(axis=(0, 1))
    bought = (1 - outside)[:, None] * share / max(share.sum(), 1e-12)
    apart = np.random.default_rng(seed + 1).normal(0.0, priors.product_spread, bought.shape)
    return {
        "category": np.log(relative)[:, None],
        "product": np.log1p(-bought) + apart,
        "outside": logit(outside)[:, None],
    }


def _with_deals(data: CategoryData, gap: Array, priors: Priors, *, shown: int = 0) -> CategoryData:
    """A category's sales with the effects of deals.

    A price below what customers remember draws buyers from other products, of each product in its own way, and makes
    those who buy buy more, by its depth and by being a deal at all; above it, they buy less.

    Args:
        gap: (G, W, J) as of `RememberedPrice.gap`.
        shown: Number of the first effects that are displays and mailers, which may make those who buy buy more too.
    """
    if shown:
        data = data.with_effects(data.effects[:shown], 0.0, priors.promotion_spread, 1.0)
    below = np.maximum(gap, 0.0)
    above = np.minimum(gap, 0.0)
    # A price below the reference already draws buyers as a lasting one would.
    lasting = float(np.exp(data.given["category"]).mean())
    mean = [priors.deal - lasting, priors.deal_units, priors.dip, 0.0]
    spread = [priors.deal_spread, priors.deal_units_spread, priors.dip_spread, priors.on_deal_spread]
    common = np.stack([below, below, above, (gap > _ON_DEAL).astype(np.float64)])
    data = data.with_effects(common, mean, spread, [0.0, 1.0, 1.0, 1.0])
    by_product = np.eye(below.shape[-1])[:, None, None] * below
    return data.with_effects(by_product, 0.0, priors.deal_product_spread, 0.0)


def deal_draws(drawn: Array, depth: float, lasting: Array) -> Array:
    """(M, 3, J) utility below the remembered price beyond that of a lasting one, units bought more below it, and less
    above it. No deal makes a product less attractive, or makes its buyers take fewer.

    Args:
        drawn: (M, 4 + J) coefficients of the effects of `_with_deals`.
        depth: Of a usual deal, over which what being a deal adds is spread.
        lasting: (M, J) utility lost per log point of a lasting price.
    """
    common = drawn[:, :_DEAL_EFFECTS, None]
    single = drawn[:, _DEAL_EFFECTS:]
    found = np.repeat(common[:, :3], single.shape[1], axis=2)
    found[:, 0] += single
    found[:, 1] += common[:, 3] / depth
    found[:, 1:] = np.maximum(found[:, 1:], 0.0)
    found[:, 0] = np.maximum(found[:, 0], -lasting)
    return found


def suspect_effects(grids: SalesGrids) -> dict[str, Array]:
    """What prices that follow demand would show, (G, W, N) each by name.

    A regular price that moves without a known reason, and weeks with a reduction that differ from
    the others by more than the price. What remains are the depths of the reductions, and costs. The
    move is in proportion, see `as_felt`.
    """
    regular = np.ma.masked_invalid(grids.regular)
    moved = (regular / regular.mean(axis=1, keepdims=True) - 1).filled(0.0)
    reduced = np.nan_to_num(grids.price < (1 - _REDUCED) * grids.regular)
    found = {}
    if moved.std() > _STILL:
        found[SUSPECT] = moved
    if 0 < reduced.mean() < 1:
        found[REDUCED] = reduced.astype(np.float64)
    return found


def as_felt(name: str, suspect: Array, curvature: float) -> Array:
    """A suspect of `suspect_effects` as utility bends in the price: else the curvature alone would tell the move of a
    regular price from the response.
    """
    return felt_price(1 + suspect, 1.0, curvature) - 1 if name == SUSPECT else suspect


def with_suspects(
    data: CategoryData, suspects: dict[str, Array], here: NDArray[np.intp], priors: Priors, *, levels: bool
) -> CategoryData:
    """A category's sales with the effects that prices which follow demand would have.

    With levels, the last of the week features are the category's price levels, of the prices paid and
    of the regular ones: where a shop raises all prices of a category in weeks with many customers,
    these would else seem not to leave at any price. Given the level, what a product's price tells of
    the customers that all products share is used up (Mundlak 1978, Econometrica 46(1)).

    Args:
        suspects: As `suspect_effects` gives them.
        here: (J,) indices of the category's products.
        levels: Whether prices may follow the customers of the whole category too.
    """
    known = {SUSPECT: (priors.suspect, priors.suspect_spread), REDUCED: (priors.reduced, priors.reduced_spread)}
    mean, spread = zip(*(known[name] for name in suspects), strict=True)
    more = np.array([as_felt(name, values[..., here], data.curvature) for name, values in suspects.items()])
    price = np.log(data.price, where=data.on_sale, out=np.zeros(data.price.shape))
    moves = [price, *(suspects[name][..., here] for name in suspects if name == SUSPECT)]
    level = [_level(move, data.on_sale) for move in moves] if levels else []
    return data.with_week_features(level, priors.level_spread).with_effects(more, mean, spread, 0.0)


def _level(moved: Array, on_sale: NDArray[np.bool_]) -> Array:
    """(W,) mean of (G, W, J) moves of prices, each around its own mean."""
    return demeaned(moved, on_sale).sum(axis=(0, 2)) / np.maximum(on_sale.sum(axis=(0, 2)), 1)
