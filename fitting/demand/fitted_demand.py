"""The demand of all categories: estimation, and the market that it implies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from ...pricing import choice_shares, felt_price
from ...pricing.choice_formulas import gap_effect, stocking_price
from .candidate_models import RememberedPrice, as_felt
from .category_model import AtRegular
from .category_rows import CONTROL, week_features
from .estimation import CategoryPosterior
from .lasting_response import LastingResponse

Array = NDArray[np.float64]
_LEAST_SHOWN = 1e-9


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
        weeks: The W weeks of the sales.
        posteriors: C posteriors by the first candidate model, with the draws of all of them.
        likeliest: C posteriors by the likeliest candidate model.
        candidates: Prior and posterior probability of each candidate model.
        lasting: (C,) what the stores tell of the response to regular prices.
        remembered: The reference price that deals are measured from; None where no price was reduced.
        deals: (M, 3, N) per log point: utility of a price below the reference, units bought more there, and units
            bought less above it; 0 in draws in which customers answer to all prices alike.
        suspects: Names of the D effects that prices which follow demand show in sales, and that other
            prices would not have.
        suspected: (M, C, D) their coefficients; 0 in draws in which prices do not follow demand.
        first_stage_f: (C,) strength of the costs as an instrument; NaN without. Weak costs are not used.
        curvature: Posterior probability that utility is linear in the logarithm of the price, not in the price; the
            curvature of the market, see `pricing.felt_price`.

    Example:
        >>> demand = Problem(grids, products, regular).solve()  # doctest: +SKIP
        >>> demand.elasticity.mean(axis=0)  # doctest: +SKIP
    """

    products: tuple[str, ...]
    category: NDArray[np.intp]
    names: tuple[str, ...]
    regular_price: Array
    segment_share: Array
    effects: tuple[str, ...]
    weeks: pd.DatetimeIndex
    posteriors: tuple[CategoryPosterior, ...]
    likeliest: tuple[CategoryPosterior, ...]
    candidates: dict[str, tuple[float, float]]
    lasting: tuple[LastingResponse, ...]
    remembered: RememberedPrice | None
    deals: Array
    suspects: tuple[str, ...]
    suspected: Array
    first_stage_f: Array
    curvature: float = 0.0

    def chance(self, words: str) -> tuple[float, float]:
        """Prior and posterior probability of the candidate models whose names begin with some words."""
        pairs = [pair for name, pair in self.candidates.items() if name.startswith(words)]
        before, after = np.sum(pairs or [(0, 0)], axis=0)
        return float(min(before, 1.0)), float(min(after, 1.0))

    def chance_of(self, name: str) -> float:
        """Posterior probability of a candidate model; 0 for one that was not among them."""
        return self.candidates.get(name, (0.0, 0.0))[1]

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

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of displays and mailers that have an effect; `PROMOTION` where no kinds are told apart."""
        return tuple(name for name in self.effects if name != CONTROL)

    @property
    def usual_display(self) -> Array | None:
        """(M, C) utility of a display or mailer in all stores of the kinds that the shop usually combines; None without any."""
        if not self.kinds:
            return None
        drawn = [each for kind in self.kinds if (each := self.effect(kind)) is not None]
        return np.einsum("k,kmc->mc", self._mix(), np.stack(drawn))

    def _mix(self) -> Array:
        """The share of each kind in a usual display: where several come together, it is as wide as the widest."""
        count = len(self.kinds)
        if count == 1:
            return np.ones(1)
        shares = [posterior.model.data.effects[:count].reshape(count, -1) for posterior in self.posteriors]
        own = np.concatenate(shares, axis=1)
        return own.sum(axis=1) / max(float(own.max(axis=0).sum()), _LEAST_SHOWN)

    def at_regular(
        self,
        units: Array,
        weeks: pd.DatetimeIndex,
        *,
        draws: bool = False,
        market: FittedDemand | None = None,
    ) -> DemandAtRegular:
        """The choice model whose mean market sells these units at regular prices.

        Args:
            units: (N,) forecast of the mean weekly units at regular prices, which anchors the level
                of the mean market; draws keep their distance from it.
            weeks: The T weeks of the market.
            draws: Whether to return the M draws, or the mean market alone.
            market: The demand whose mean market the customers are relative to, by default this one: a posterior of half
                of the sales finds more or fewer customers than that of all, who buy the same units.
        """
        segments = self.segment_share.shape[1]
        count = self.num_draws if draws else 1
        utility, sensitivity = np.empty((2, count, segments, len(self.products)))
        outside = np.empty((count, len(self.names)))
        arrivals = np.empty((count, len(weeks), len(self.names)))
        for c, found in enumerate(self.posteriors):
            here = self.members(c)
            layout = found.model.layout
            mean = found.draws.mean(axis=0)
            theta = found.draws if draws else mean[None]
            anchored = theta.copy()
            anchored[:, layout.level] += np.log(units[here]) - mean[layout.level]
            now = found.model.at_regular(torch.as_tensor(anchored))
            centre = found.model.at_regular(torch.as_tensor(anchored.mean(axis=0) if draws else anchored[0]))
            if market is not None:
                centre = market._anchored(c, units)
            utility[:, :, here] = now.utility.numpy()
            steep = now.steepness.numpy()[:, None, :] * found.model.data.segment_response[:, None]
            sensitivity[:, :, here] = steep / self.regular_price[here]
            outside[:, c] = 1 / (1 + np.exp(-theta[:, layout.outside][:, 0]))
            calendar = week_features(self.weeks, weeks)
            moved = (theta - mean)[:, layout.features][:, : calendar.shape[1]] @ calendar.T
            level = (now.log_arrivals - centre.log_arrivals).numpy()
            arrivals[:, :, c] = np.exp(level[:, None] + moved)
        return DemandAtRegular(utility, sensitivity, outside, arrivals)

    def _anchored(self, c: int, units: Array) -> AtRegular:
        """A category of the mean market that sells these units at regular prices."""
        found = self.posteriors[c]
        here = self.members(c)
        theta = found.draws.mean(axis=0)
        theta[found.model.layout.level] = np.log(units[here])
        return found.model.at_regular(torch.as_tensor(theta))

    def lift(
        self,
        price: Array,
        promotion: Mapping[str, Array] | None = None,
        *,
        reference: Array | None = None,
        control: Array | None = None,
        suspects: Array | None = None,
        draws: bool = False,
    ) -> Array:
        """(T, N) units at these prices relative to those at regular prices; (M, T, N) under the draws.

        Args:
            price: (T, N) currency per unit.
            promotion: (T, N) share of stores with a display or mailer, by its kind.
            reference: (T, N) what customers remember as the price, currency per unit; by default the price itself.
            control: (T, N) what costs do not explain of the shop's own log prices; None for prices that follow costs.
            suspects: (D, T, N) what goes with the shop's own prices if they follow demand; None for
                prices that do not.
            draws: Whether to return the M draws, or the mean market alone.
        """
        moved = np.empty((self.num_draws if draws else 1, *price.shape))
        for c, found in enumerate(self.posteriors):
            here = self.members(c)
            layout = found.model.layout
            theta = found.draws if draws else found.draws.mean(axis=0)[None]
            now = found.model.at_regular(torch.as_tensor(theta))
            response = found.model.data.segment_response[:, None]
            share = found.model.data.segment_share[:, None]
            utility = now.utility.numpy()
            change = felt_price(price[:, None, here] / self.regular_price[here], 1.0, self.curvature) - 1
            added = -response * now.steepness.numpy()[:, None, None, :] * change
            bought = np.zeros(1)
            if reference is not None:
                deals = (self.deals if draws else self.deals.mean(axis=0)[None])[:, :, None, here]
                (drawn, more, fewer), asked, usual = np.moveaxis(deals, 1, 0), price[:, here], reference[:, here]
                assert self.remembered is not None, "deals are measured from what is remembered"
                added = added + gap_effect(self.remembered.gap(asked, usual), drawn, 0.0)[:, :, None]
                met = stocking_price(asked, usual, self.regular_price[here])
                bought = gap_effect(self.remembered.gap(met, usual), more, fewer)
            for name, shown in {**(promotion or {}), CONTROL: control}.items():
                if shown is not None and name in self.effects:
                    effect = theta[:, layout.effects][:, self.effects.index(name)]
                    added = added + effect[:, None, None, None] * shown[:, None, here]
            if suspects is not None:
                known = self.suspected[:, c] if draws else self.suspected[:, c].mean(axis=0)[None]
                named = zip(self.suspects, suspects, strict=True)
                felt = [as_felt(name, own[:, here], self.curvature) for name, own in named]
                added = added + np.einsum("md,dtn->mtn", known, np.array(felt))[:, :, None]
            plain = choice_shares(utility).product
            lifted = choice_shares(utility[:, None] + added).product
            moved[:, :, here] = np.exp(bought) * (share * lifted).sum(axis=2) / (share * plain).sum(axis=1)[:, None]
        return moved if draws else moved[0]

    def report(self) -> pd.DataFrame:
        """One row per product: elasticity and outside share with standard deviation and 90% interval."""
        table = pd.DataFrame({"product": self.products, "category": np.array(self.names)[self.category]})
        for name, draws in (("elasticity", self.elasticity), ("outside_share", self.outside[:, self.category])):
            interval = np.quantile(draws, [0.05, 0.95], axis=0).T.tolist()
            figures = {name: draws.mean(axis=0), f"{name}_se": draws.std(axis=0), f"{name}_interval90": interval}
            table = table.assign(**figures)
        return table
