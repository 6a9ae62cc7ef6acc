"""The demand of all categories: estimation, and the market that it implies."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from ...forecasting.response.identification import WEAK_F
from ...pricing import choice_shares, felt_price
from .category_model import CategoryData
from .category_rows import (
    CONTROL,
    PROMOTION,
    REFERENCE,
    SUSPECT,
    SegmentUnits,
    as_felt,
    category_data,
    effects_on_utility,
    instrument_strength,
    suspect_effects,
    week_features,
    with_suspects,
)
from .estimation import CategoryPosterior
from .model_averaging import averaged
from .priors import Priors
from .remembered_price import RememberedPrice
from .sales_grids import SalesGrids

Array = NDArray[np.float64]
# Prices may follow the demand for single products, or the customers of whole categories too.
_LEVELS = (False, True)


class _Way(NamedTuple):
    """A way in which prices may move utility: linear in the price (curvature 0) or in its logarithm (1), and whether
    what costs do not explain of the prices moves it too; with its prior probability.
    """

    curvature: float
    costs: bool
    probability: float


@dataclass(frozen=True)
class DemandAtRegular:
    """The choice model at regular prices; M is 1 for the mean market.

    Attributes:
        utility: (M, K, N) utility relative to the outside option.
        sensitivity: (M, K, N) utility lost per currency unit.
        outside: (M, C) outside share.
        arrivals: (M, T, C) customers relative to those of the mean market.

    Example:
        >>> demand.at_regular(units, weeks).outside[0]  # doctest: +SKIP
        array([0.62, 0.48])
    """

    utility: Array
    sensitivity: Array
    outside: Array
    arrivals: Array


@dataclass(frozen=True)
class FittedDemand:
    """The posterior of every category's demand.

    Attributes:
        products: N products.
        category: (N,) index of each product's category.
        names: C names of the categories.
        regular_price: (N,) today's regular price, currency per unit.
        segment_share: (C, K) share of each segment among a category's customers.
        effects: Names of the E further effects on utility.
        remembered: The reference price; None where it has no effect.
        posteriors: C posteriors of the model that takes prices at their word, with the draws of all models.
        endogenous: C posteriors of the likelier model in which prices follow demand; empty where no price moved.
        first_stage_f: (C,) strength of the costs as an instrument; NaN without. Weak costs are not used.
        follow_demand: Posterior probability that prices follow demand; NaN where no price was
            reduced and no regular price moved.
        assumed_to_follow: The same before the sales are seen.
        put_by: (C,) posterior probability that what past prices add to a product's units is put by, and not bought of
            others less; empty where they have no effect.
        curvature: Posterior probability that utility is linear in the logarithm of the price, not in the price; the
            curvature of the market, see `pricing.felt_price`.
        beyond_costs: Posterior probability that what costs do not explain of the prices moves utility; 0 where costs
            are unknown or too weak.
        suspects: Names of the D effects that prices which follow demand show in sales, and that other
            prices would not have.
        suspected: (M, C, D) their coefficients; 0 in draws in which prices do not follow demand.

    Example:
        >>> demand = fit_demand(grids, products, category, regular, Priors())  # doctest: +SKIP
        >>> demand.elasticity.mean(axis=0)  # doctest: +SKIP
    """

    products: tuple[str, ...]
    category: NDArray[np.intp]
    names: tuple[str, ...]
    regular_price: Array
    segment_share: Array
    effects: tuple[str, ...]
    remembered: RememberedPrice | None
    weeks: pd.DatetimeIndex
    posteriors: tuple[CategoryPosterior, ...]
    endogenous: tuple[CategoryPosterior, ...]
    first_stage_f: Array
    follow_demand: float
    suspects: tuple[str, ...]
    suspected: Array
    assumed_to_follow: float = np.nan
    put_by: Array = field(default_factory=lambda: np.empty(0))
    curvature: float = 0.0
    beyond_costs: float = 0.0

    @property
    def num_draws(self) -> int:
        """M."""
        return len(self.posteriors[0].draws)

    def members(self, c: int) -> NDArray[np.intp]:
        """Indices of a category's products."""
        return np.flatnonzero(self.category == c)

    @property
    def elasticity(self) -> Array:
        """(M, N) own-price elasticity at the regular price, negative."""
        table = np.empty((self.num_draws, len(self.products)))
        for c, found in enumerate(self.posteriors):
            table[:, self.members(c)] = -found.elasticities
        return table

    @property
    def outside(self) -> Array:
        """(M, C) share of a category's customers who buy nothing at regular prices."""
        odds = [found.draws[:, found.model.layout.outside][:, 0] for found in self.posteriors]
        return 1 / (1 + np.exp(-np.stack(odds, axis=1)))

    def effect(self, name: str) -> Array | None:
        """(M, C) coefficient of a further effect on utility; None if it was not estimated."""
        if name not in self.effects:
            return None
        i = self.effects.index(name)
        return np.stack([p.draws[:, p.model.layout.effects][:, i] for p in self.posteriors], axis=1)

    def at_regular(self, units: Array, weeks: pd.DatetimeIndex, *, draws: bool = False) -> DemandAtRegular:
        """The choice model whose mean market sells these units at regular prices.

        Args:
            units: (N,) forecast of the mean weekly units at regular prices, which anchors the level
                of the mean market; draws keep their distance from it.
            weeks: The T weeks of the market.
            draws: Whether to return the M draws, or the mean market alone.
        """
        segments = self.segment_share.shape[1]
        count = self.num_draws if draws else 1
        utility, sensitivity = np.empty((2, count, segments, len(self.products)))
        outside, arrivals = np.empty((count, len(self.names))), np.empty((count, len(weeks), len(self.names)))
        for c, found in enumerate(self.posteriors):
            here, layout = self.members(c), found.model.layout
            mean = found.draws.mean(axis=0)
            theta = found.draws if draws else mean[None]
            anchored = theta.copy()
            anchored[:, layout.level] += np.log(units[here]) - mean[layout.level]
            now = found.model.at_regular(torch.as_tensor(anchored))
            centre = found.model.at_regular(torch.as_tensor(anchored.mean(axis=0) if draws else anchored[0]))
            utility[:, :, here] = now.utility.numpy()
            steep = now.steepness.numpy()[:, None, :] * found.model.data.segment_response[:, None]
            sensitivity[:, :, here] = steep / self.regular_price[here]
            outside[:, c] = 1 / (1 + np.exp(-theta[:, layout.outside][:, 0]))
            calendar = week_features(self.weeks, weeks)
            moved = (theta - mean)[:, layout.features][:, : calendar.shape[1]] @ calendar.T
            level = (now.log_arrivals - centre.log_arrivals).numpy()
            arrivals[:, :, c] = np.exp(level[:, None] + moved)
        return DemandAtRegular(utility, sensitivity, outside, arrivals)

    def lift(
        self,
        price: Array,
        promotion: Array | None = None,
        *,
        reference: Array | None = None,
        control: Array | None = None,
        suspects: Array | None = None,
        draws: bool = False,
    ) -> Array:
        """(T, N) units at these prices relative to those at regular prices; (M, T, N) under the draws.

        Args:
            price: (T, N) currency per unit.
            promotion: (T, N) share of stores with a display or mailer.
            reference: (T, N) what customers remember as the price, currency per unit; by default the price itself.
            control: (T, N) what costs do not explain of the shop's own log prices; None for prices that follow costs.
            suspects: (D, T, N) what goes with the shop's own prices if they follow demand; None for
                prices that do not.
            draws: Whether to return the M draws, or the mean market alone.
        """
        moved = np.empty((self.num_draws if draws else 1, *price.shape))
        for c, found in enumerate(self.posteriors):
            here, layout = self.members(c), found.model.layout
            theta = found.draws if draws else found.draws.mean(axis=0)[None]
            now = found.model.at_regular(torch.as_tensor(theta))
            response, share = found.model.data.segment_response[:, None], found.model.data.segment_share[:, None]
            utility = now.utility.numpy()
            change = felt_price(price[:, None, here] / self.regular_price[here], 1.0, self.curvature) - 1
            added = -response * now.steepness.numpy()[:, None, None, :] * change
            remembered = None
            if reference is not None and self.remembered is not None:
                remembered = self.remembered.gap(price, reference)
            for name, shown in ((PROMOTION, promotion), (REFERENCE, remembered), (CONTROL, control)):
                if shown is not None and name in self.effects:
                    effect = theta[:, layout.effects][:, self.effects.index(name)]
                    added = added + effect[:, None, None, None] * shown[:, None, here]
            if suspects is not None:
                known = self.suspected[:, c] if draws else self.suspected[:, c].mean(axis=0)[None]
                bend = found.model.data.curvature
                felt = [as_felt(name, own[:, here], bend) for name, own in zip(self.suspects, suspects, strict=True)]
                added = added + np.einsum("md,dtn->mtn", known, np.array(felt))[:, :, None]
            plain = choice_shares(utility).product
            lifted = choice_shares(utility[:, None] + added).product
            moved[:, :, here] = (share * lifted).sum(axis=2) / (share * plain).sum(axis=1)[:, None]
        return moved if draws else moved[0]

    def report(self) -> list[dict[str, Any]]:
        """One row per product: elasticity and outside share with standard deviation and 90% interval."""
        elasticity, outside = self.elasticity, self.outside
        rows = []
        for n, product in enumerate(self.products):
            c = self.category[n]
            rows.append(
                {
                    "product": product,
                    "category": self.names[c],
                    **_figures("elasticity", elasticity[:, n]),
                    **_figures("outside_share", outside[:, c]),
                }
            )
        return rows


def _figures(name: str, draws: Array) -> dict[str, Any]:
    low, high = np.quantile(draws, [0.05, 0.95])
    return {
        name: float(draws.mean()),
        f"{name}_se": float(draws.std()),
        f"{name}_interval90": [float(low), float(high)],
    }


def fit_demand(
    grids: SalesGrids,
    products: pd.DataFrame,
    regular_price: Array,
    priors: Priors,
    *,
    segments: SegmentUnits | None = None,
    remembered: RememberedPrice | None = None,
    draws: int = 200,
    seed: int = 0,
    n_jobs: int | None = None,
) -> FittedDemand:
    """Estimate the demand of every category by likelihood.

    Args:
        grids: Past sales.
        products: One row per product: `product`, `category`.
        regular_price: (N,) today's regular price, currency per unit.
        priors: The priors.
        segments: Who bought what; None for one segment.
        remembered: The reference price whose effect is to be estimated; None for none.
        draws: M, number of posterior draws.
        seed: Seed of the draws.
        n_jobs: Processes (joblib), where there are many categories.

    Example:
        >>> import numpy as np
        >>> from repricer.forecasting import example_panel
        >>> panel = example_panel(elasticity=-2.0)
        >>> products = panel[["product", "category"]].drop_duplicates().sort_values("product")
        >>> grids = SalesGrids.of(panel, list(products["product"]))
        >>> demand = fit_demand(grids, products, np.nanmedian(grids.price[0], axis=0), Priors(), draws=20)
        >>> bool(demand.elasticity.mean() < -1)
        True
    """
    category, names = pd.factorize(products["category"])
    segments = segments or SegmentUnits(np.ones((1, len(products))), np.ones(1))
    effects = effects_on_utility(grids, regular_price, remembered)
    parts = [np.flatnonzero(category == c) for c in range(len(names))]
    strength = np.array([instrument_strength(grids, here) for here in parts])
    if grids.unit_cost is not None and strength.mean() < WEAK_F:
        grids = replace(grids, unit_cost=None)
    met, suspects = (regular_price, effects, segments, priors), suspect_effects(grids)
    costs = grids.unit_cost is not None
    ways = _ways(priors, costs=costs)
    # What past prices add is bought of other products less, or put by.
    put_by = (False, True) if remembered is not None else (False,)
    found = [_by_forms(grids, here, met, ways, put_by) for here in parts]
    suspicious = [_by_levels(each, suspects, here, priors, ways) for each, here in zip(found, parts, strict=True)]
    # Costs are a reason for a regular price to move.
    trusted = priors.unexplained if SUSPECT in suspects and not costs else priors.exogenous
    believed = np.array([way.probability for way in ways])
    known = averaged(found, suspicious, len(suspects), trusted, believed, priors, draws=draws, seed=seed, n_jobs=n_jobs)
    return FittedDemand(
        products=tuple(products["product"]),
        category=category.astype(np.intp),
        names=tuple(names),
        regular_price=regular_price,
        segment_share=np.array([bent[0][0].segment_share for bent in found]),
        effects=(*effects, CONTROL) if costs else tuple(effects),
        remembered=remembered,
        weeks=grids.weeks,
        posteriors=known.posteriors,
        endogenous=known.endogenous,
        first_stage_f=strength,
        follow_demand=known.follow_demand,
        suspects=tuple(suspects),
        suspected=known.suspected,
        assumed_to_follow=1 - trusted,
        put_by=known.forms[:, 1:].ravel(),
        curvature=float(known.ways @ [way.curvature for way in ways]),
        beyond_costs=float(known.ways @ [way.costs for way in ways]),
    )


def _ways(priors: Priors, *, costs: bool) -> list[_Way]:
    """The ways in which prices may move utility; costs: whether these are an instrument."""
    known = priors.beyond_costs if costs else 0.0
    bends = ((0.0, 1 - priors.logarithmic), (1.0, priors.logarithmic))
    ways = [_Way(bend, False, (1 - known) * likely) for bend, likely in bends]
    # What a shop adds to its costs in busy weeks, and not in reduced ones, would pass for a curvature.
    return [*ways, _Way(0.0, True, known)] if costs else ways


def _by_forms(
    grids: SalesGrids, here: NDArray[np.intp], met: Any, ways: list[_Way], put_by: tuple[bool, ...]
) -> list[list[CategoryData]]:
    """A category's sales by the model that takes prices at their word, by way and by what past prices add."""
    return [
        [category_data(grids, here, *met, put_by=put, curvature=way.curvature, costs=way.costs) for put in put_by]
        for way in ways
    ]


def _by_levels(
    found: list[list[CategoryData]],
    suspects: dict[str, Array],
    here: NDArray[np.intp],
    priors: Priors,
    ways: list[_Way],
) -> list[list[list[CategoryData]]]:
    """A category's sales by each of the models in which prices follow demand; none where nothing is suspect."""
    tried = _LEVELS if suspects else ()

    def doubted(data: CategoryData, costs: bool) -> list[CategoryData]:
        return [with_suspects(data, suspects, here, priors, levels=levels, costs=costs) for levels in tried]

    return [[doubted(data, way.costs) for data in forms] for forms, way in zip(found, ways, strict=True)]
