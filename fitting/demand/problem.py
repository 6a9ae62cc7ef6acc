"""The demand problem of a shop: its sales, the candidate models, and the posterior over all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
import xarray as xr
from joblib import Parallel, delayed
from numpy.typing import NDArray
from scipy.special import log_softmax, logsumexp, softmax

from ...data.weeks import periods_in_a_week
from ...forecasting.models.lstm_network import reproducible_torch
from ...forecasting.price_response import WEAK_F
from .candidate_models import CandidateModel, candidate_models, deal_draws, suspect_effects
from .category_model import CategoryModel, Layout
from .category_rows import CONTROL, SegmentUnits, costs_hold_deals, effect_names, instrument_strength
from .estimation import CategoryPosterior, estimate
from .fitted_demand import FittedDemand
from .lasting_response import LastingResponse, lasting_response
from .priors import Priors
from .residuals import Residuals
from .sales_grids import SalesGrids

Array = NDArray[np.float64]
_FEW = 8


@dataclass(frozen=True)
class Problem:
    """What is known of N products in C categories.

    Args:
        grids: Past sales, of the shop as a whole, of its price zones or of a few stores.
        products: One row per product: `product`, `category`.
        regular_price: (N,) today's regular price, currency per unit.
        priors: The priors.
        segments: Who bought what; None for one segment.
        stores: The sales of every store, as `data.with_prices` returns them, which tell how customers answer to
            regular prices; None if they are not known by store.
        counts: (W,) whether the sales of a week count: prices of all weeks are known, as customers remember them; None for
            all weeks. Those of the stores hold the weeks that count alone.

    Example:
        >>> import numpy as np
        >>> from repricer.forecasting import example_panel
        >>> panel = example_panel(elasticity=-2.0)
        >>> products = panel[["product", "category"]].drop_duplicates().sort_values("product")
        >>> grids = SalesGrids.of(panel, list(products["product"]))
        >>> demand = Problem(grids, products, np.nanmedian(grids.price[0], axis=0)).solve(draws=20)
        >>> bool(demand.elasticity.mean() < -1)
        True
    """

    grids: SalesGrids
    products: pd.DataFrame
    regular_price: Array
    priors: Priors = Priors()
    segments: SegmentUnits | None = None
    stores: xr.Dataset | None = None
    counts: NDArray[np.bool_] | None = None

    def solve(
        self, *, draws: int = 200, seed: int = 0, n_jobs: int | None = None, like: FittedDemand | None = None
    ) -> FittedDemand:
        """Estimate every candidate model of every category, and draw from all of them in proportion.

        A draw is of one model in all categories: of how customers answer, one category alone tells little. How likely
        models are, see `model_chances`.

        Args:
            draws: M, number of posterior draws.
            seed: Seed of the draws.
            n_jobs: Processes (joblib), where there are many categories.
            like: The posterior of more sales of the same products, whose candidate models are taken over with their
                probabilities: those in use are estimated anew, at the shocks that it found likely. None to weigh all.
        """
        category, names = pd.factorize(self.products["category"])
        parts = [np.flatnonzero(category == c) for c in range(len(names))]
        strength = np.array([instrument_strength(self.grids, here) for here in parts])
        grids = self.grids
        weak = grids.unit_cost is not None and (strength.mean() < WEAK_F or costs_hold_deals(grids))
        if weak if like is None else CONTROL not in like.effects:
            grids = replace(grids, unit_cost=None)
        segments = self.segments or SegmentUnits(np.ones((1, len(self.products))), np.ones(1))
        lasting = [self._lasting(here) for here in parts]
        candidates = [
            candidate_models(grids, here, self.regular_price, segments, known, own, draws=draws, seed=seed + c)
            for c, (here, known, own) in enumerate(zip(parts, self._priors, lasting, strict=True))
        ]
        if self.counts is not None:
            candidates = [[model.in_weeks(self.counts) for model in models] for models in candidates]
        if like is not None:
            return self._as_weighed(like, grids, candidates, lasting, strength, draws, seed)
        # For a few categories, processes would take longer to start than to work.
        estimates: Any = Parallel(n_jobs=n_jobs if len(parts) > _FEW else 1)(
            delayed(_estimated)(models, own, known, draws, seed + c)
            for c, (models, own, known) in enumerate(zip(candidates, lasting, self._priors, strict=True))
        )
        every, weekly, of_regular = zip(*estimates, strict=True)
        chances = model_chances(
            candidates[0],
            np.sum(weekly, axis=0),
            np.sum(of_regular, axis=0),
            known=any(own.is_known for own in lasting),
        )
        posteriors = [dict(enumerate(own)) for own in every]
        mixture = _Mixture.of(candidates[0], chances, draws, seed)
        found = self._mixed(grids, candidates, posteriors, lasting, mixture)
        models = candidates[0]
        return replace(
            found,
            candidates={model.name: (model.prior, float(p)) for model, p in zip(models, chances, strict=True)},
            first_stage_f=strength,
            curvature=float(np.clip(chances @ [model.curvature for model in models], 0.0, 1.0)),
        )

    def _as_weighed(
        self,
        like: FittedDemand,
        grids: SalesGrids,
        candidates: list[list[CandidateModel]],
        lasting: list[LastingResponse],
        strength: Array,
        draws: int,
        seed: int,
    ) -> FittedDemand:
        """The posterior over the candidate models that another one has weighed; of a model that these sales do not allow, the
        others have its weight.
        """
        chances = np.array([like.chance_of(model.name) for model in candidates[0]])
        if not chances.any():
            chances = np.array([model.prior for model in candidates[0]])
        mixture = _Mixture.of(candidates[0], chances / chances.sum(), draws, seed)
        used = np.unique([*mixture.chosen, mixture.likeliest])
        with reproducible_torch():
            posteriors = [
                {
                    i: estimate(models[i].data, known, draws=draws, seed=seed + c, shocks=found.likely_shocks)
                    for i in used.tolist()
                }
                for c, (models, found, known) in enumerate(zip(candidates, like.posteriors, self._priors, strict=True))
            ]
        found = self._mixed(grids, candidates, posteriors, lasting, mixture)
        return replace(found, candidates=like.candidates, first_stage_f=strength, curvature=like.curvature)

    @property
    def _priors(self) -> list[Priors]:
        """Those of each category, in the order of the posteriors."""
        return [self.priors.of(name) for name in pd.unique(self.products["category"])]

    def _lasting(self, here: NDArray[np.intp]) -> LastingResponse:
        if self.stores is None:
            return LastingResponse()
        products = list(self.products["product"].iloc[here])
        return lasting_response(self.stores, products, periods_in_a_week(self.grids.weeks))

    def _mixed(
        self,
        grids: SalesGrids,
        candidates: list[list[CandidateModel]],
        posteriors: Sequence[Mapping[int, CategoryPosterior]],
        lasting: list[LastingResponse],
        mixture: _Mixture,
    ) -> FittedDemand:
        """The posterior over all candidate models; those that no draw is of need not be estimated."""
        category, names = pd.factorize(self.products["category"])
        models = candidates[0]
        suspects = suspect_effects(grids)
        chosen = mixture.chosen
        firsts = [CategoryModel(own[0].data, known) for own, known in zip(candidates, self._priors, strict=True)]
        drawn = [
            _drawn(own, each, first.layout, chosen, len(suspects))
            for own, each, first in zip(candidates, posteriors, firsts, strict=True)
        ]
        deals = np.zeros((len(chosen), 3, len(self.products)))
        for c, own in enumerate(drawn):
            deals[:, :, category == c] = own.deals
        likeliest = [each[mixture.likeliest] for each in posteriors]
        known = [each.get(0, best) for each, best in zip(posteriors, likeliest, strict=True)]
        return FittedDemand(
            products=tuple(self.products["product"]),
            category=category.astype(np.intp),
            names=tuple(names),
            regular_price=self.regular_price,
            segment_share=np.array([models[0].data.segment_share for models in candidates]),
            effects=effect_names(grids),
            weeks=grids.weeks,
            posteriors=tuple(
                replace(each, model=first, draws=own.common)
                for each, first, own in zip(known, firsts, drawn, strict=True)
            ),
            likeliest=tuple(likeliest),
            candidates={},
            lasting=tuple(lasting),
            remembered=None if mixture.memory is None else models[mixture.memory].remembered,
            deals=deals,
            suspects=tuple(suspects),
            suspected=np.stack([own.suspected for own in drawn], axis=1),
            first_stage_f=np.full(len(names), np.nan),
        )


class _Mixture(NamedTuple):
    """Which of the candidate models each draw is of.

    Attributes:
        chosen: (M,) number of the model.
        likeliest: Number of the likeliest one.
        memory: Number of the model with two responses whose memory the market has; None where none has any weight.
    """

    chosen: NDArray[np.intp]
    likeliest: int
    memory: int | None

    @classmethod
    def of(cls, models: Sequence[CandidateModel], chances: Array, draws: int, seed: int) -> _Mixture:
        """Draw M models with these probabilities."""
        with_deals = np.array([model.remembered is not None for model in models])
        best = int(np.argmax(np.where(with_deals, chances, -1.0)))
        # A market has one memory: the likeliest stands for all.
        weight = np.where(with_deals, 0.0, chances)
        weight[best] += chances[with_deals].sum()
        chosen = np.random.default_rng(seed).choice(len(models), size=draws, p=weight)
        return cls(chosen, int(weight.argmax()), best if chances[with_deals].sum() > 0 else None)


def _estimated(
    models: list[CandidateModel], lasting: LastingResponse, priors: Priors, draws: int, seed: int
) -> tuple[list[CategoryPosterior], list[float], list[float]]:
    """A category's posterior under each model, all at the shocks that the first one found likely, the log evidence of
    each by its weekly sales, and by what its stores tell of regular prices.

    That of the weekly sales is also the evidence if some products answer unlike the others: else, one product whose units
    do not fall with its price would speak for a shop whose prices follow demand.
    """
    posteriors = list[CategoryPosterior]()
    evidence = list[float]()
    of_regular = list[float]()
    unlike = np.zeros(0, dtype=bool)
    shocks = ()
    with reproducible_torch():
        for model in models:
            posterior = estimate(model.data, priors, draws=draws, seed=seed, shocks=shocks)
            if not posteriors:
                shocks = posterior.likely_shocks
                unlike = Residuals(posterior).unmoved(-posterior.elasticities.mean(axis=0))
            weekly = posterior.log_evidence
            if unlike.any() and not model.deals:
                apart = estimate(replace(model.data, unlike=unlike), priors, draws=1, shocks=shocks).log_evidence
                weekly = max(weekly, apart + float(unlike.sum()) * np.log(priors.unlike))
            if model.deals:
                relative, category = lasting.prior_draws(priors)
            else:
                relative = posterior.steepness
                category = relative * (1 / (1 + np.exp(-posterior.draws[:, posterior.model.layout.outside][:, 0])))
            posteriors.append(posterior)
            evidence.append(weekly)
            of_regular.append(lasting.log_likelihood(relative, category))
    return posteriors, evidence, of_regular


def model_chances(models: Sequence[CandidateModel], weekly: Array, of_regular: Array, *, known: bool) -> Array:
    """How likely the models are: as their evidence times their prior probability (Kass and Raftery 1995, JASA 90).

    Whether customers answer to deals and to regular prices in one way or in two is judged by what is known of regular prices
    alone, where anything is. Models with two responses take their answer to regular prices from there; one with a single
    response fits it to all weeks, and these are mostly moved by deals. By the weekly sales, the former would lose wherever
    the two answers differ, which is where they are needed.

    Args:
        models: The candidates.
        weekly: Log evidence of each by the weekly sales.
        of_regular: Log evidence of each by what is known of regular prices.
        known: Whether anything is.

    Example:
        >>> one, two = CandidateModel("one", 0.2, None), CandidateModel("two", 0.8, None, deals=4)
        >>> model_chances([one, two], np.array([90.0, 0.0]), np.array([-9.0, -1.0]), known=True).round(2).tolist()
        [0.0, 1.0]
    """
    prior = np.log([model.prior for model in models])
    two = np.array([model.deals > 0 for model in models])
    if not known or two.all() or not two.any():
        return softmax(prior + weekly + of_regular)
    chances = np.zeros(len(models))
    score = np.zeros(2)
    for number, own in enumerate((~two, two)):
        by_sales = log_softmax(prior[own] + weekly[own])
        chances[own] = softmax(by_sales + of_regular[own])
        score[number] = logsumexp(prior[own]) + logsumexp(by_sales + of_regular[own])
    return chances * softmax(score)[two.astype(int)]


class _Drawn(NamedTuple):
    """A category's M draws: (M, P) the parameters that all models have, (M, D) of suspects and (M, 3, J) of deals."""

    common: Array
    suspected: Array
    deals: Array


def _drawn(
    models: list[CandidateModel],
    found: Mapping[int, CategoryPosterior],
    layout: Layout,
    chosen: NDArray[np.intp],
    suspects: int,
) -> _Drawn:
    """A category's draws, each of the model chosen for it, in the layout of the first."""
    draws = len(chosen)
    common = np.zeros((draws, layout.size))
    suspected = np.zeros((draws, suspects))
    deals = np.zeros((draws, 3, layout.product.stop - layout.product.start))
    for number, each in found.items():
        model = models[number]
        own = chosen == number
        at = each.model.layout
        common[own] = _in_common(each, layout)[own]
        effects = each.draws[own, at.effects]
        effects, of_deals = np.split(effects, [effects.shape[1] - model.deals], axis=1)
        if model.shown:
            # A market has one effect of a kind of display, on utility: to the units of a small product it is the same.
            effects, of_units = np.split(effects, [effects.shape[1] - model.shown], axis=1)
            common[own, layout.effects.start : layout.effects.start + model.shown] += of_units
        suspected[own, : model.suspects] = effects[:, effects.shape[1] - model.suspects :]
        if model.deals:
            steepness = each.model.at_regular(torch.as_tensor(each.draws[own])).steepness.numpy()
            deals[own] = deal_draws(of_deals, model.depth, steepness)
    return _Drawn(common, suspected, deals)


def _in_common(found: CategoryPosterior, layout: Layout) -> Array:
    """(M, P) draws in the layout of the first model, whose parameters the others all have, but for a drift."""
    own = found.model.layout
    common = np.zeros((len(found.draws), layout.size))
    for name in ("level", "category", "product", "outside", "effects", "features", "stores", "substitution", "drift"):
        to = getattr(layout, name)
        source = getattr(own, name)
        count = min(to.stop - to.start, source.stop - source.start)
        common[:, to.start : to.start + count] = found.draws[:, source.start : source.start + count]
    return common
