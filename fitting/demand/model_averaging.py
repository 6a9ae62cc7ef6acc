"""How likely prices that follow demand are, and draws of all models in that proportion."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import NDArray
from scipy.special import logsumexp, softmax

from ...forecasting.models.lstm_network import reproducible_torch
from .category_model import CategoryData
from .estimation import CategoryPosterior, estimate
from .priors import Priors
from .residuals import Residuals

Array = NDArray[np.float64]
_FEW = 8
# Log odds of 20 to 1, the most that sales count against a model in which prices follow demand.
_STRONG = 3.0


class Averaged(NamedTuple):
    """The posteriors of C categories over all models; see `FittedDemand` for the parts. Probabilities: `forms`, (C, F),
    and `ways`, (B,).
    """

    posteriors: tuple[CategoryPosterior, ...]
    endogenous: tuple[CategoryPosterior, ...]
    follow_demand: float
    suspected: Array
    forms: Array
    ways: Array


class _Found(NamedTuple):
    """The models of a category by which utility moves in one way: the one that takes prices at their word with the (F,)
    probabilities of its forms, the others in the likeliest form, and the log evidence of the first and of all others.
    """

    plain: CategoryPosterior
    forms: Array
    others: list[CategoryPosterior]
    evidence: Array


def averaged(
    data: list[list[list[CategoryData]]],
    suspicious: list[list[list[list[CategoryData]]]],
    effects: int,
    exogenous: float,
    believed: Array,
    priors: Priors,
    *,
    draws: int,
    seed: int,
    n_jobs: int | None,
) -> Averaged:
    """Estimate every model, and mix their draws in proportion to their evidence.

    Args:
        data: The sales of each category, by the model that takes prices at their word, in each of B ways in which
            prices may move utility, in each of F forms.
        suspicious: The same by each of the models in which prices follow demand; empty lists for none.
        effects: D, number of effects that only these have.
        exogenous: Prior probability that prices do not follow demand.
        believed: (B,) prior probability of each way.
        draws: M, number of posterior draws.
        n_jobs: Processes (joblib), where there are many categories.
    """
    # For a few categories, processes would take longer to start than to work.
    parts: Any = Parallel(n_jobs=n_jobs if len(data) > _FEW else 1)(
        delayed(_estimated)(*each, priors, draws, seed + c) for c, each in enumerate(zip(data, suspicious, strict=True))
    )
    ways, evidence = zip(
        *(_weighed(list(way), effects, exogenous, seed) for way in zip(*parts, strict=True)), strict=True
    )
    chances = softmax(np.log(believed) + np.array(evidence))
    likely, draw = ways[int(chances.argmax())], np.arange(draws)
    # A draw is of one way in all categories: of how people feel a price, one category alone tells little.
    way = np.random.default_rng(seed).choice(len(chances), size=draws, p=chances)
    return likely._replace(
        posteriors=tuple(
            replace(found[int(chances.argmax())], draws=np.stack([each.draws for each in found])[way, draw])
            for found in zip(*(each.posteriors for each in ways), strict=True)
        ),
        follow_demand=mean_probability(chances, [each.follow_demand for each in ways]),
        suspected=np.stack([each.suspected for each in ways])[way, draw],
        ways=chances,
    )


def mean_probability(weight: Array, probabilities: list[float]) -> float:
    """The weighted mean of probabilities, which rounding does not take beyond 1; NaN where they are."""
    return float(np.clip(weight @ probabilities, 0.0, 1.0))


def _weighed(found: list[_Found], effects: int, exogenous: float, seed: int) -> tuple[Averaged, float]:
    """The posteriors of C categories over the models of one way, and the log evidence of them all."""
    plain, forms = [each.plain for each in found], np.array([each.forms for each in found])
    evidence = np.sum([each.evidence for each in found], axis=0)
    if not found[0].others:
        none = np.zeros((len(plain[0].draws), len(plain), effects))
        return Averaged(tuple(plain), (), np.nan, none, forms, np.empty(0)), float(evidence[0])
    odds, others = evidence[1:] - evidence[0], list(zip(*(each.others for each in found), strict=True))
    weight = _log_weights(odds, exogenous)
    chances = softmax(weight)
    mixed, suspected = _mixed(plain, others, chances, effects, seed)
    made = Averaged(tuple(mixed), others[int(odds.argmax())], float(1 - chances[0]), suspected, forms, np.empty(0))
    return made, float(evidence[0] + logsumexp(weight))


def _estimated(
    data: list[list[CategoryData]], suspicious: list[list[list[CategoryData]]], priors: Priors, draws: int, seed: int
) -> list[_Found]:
    """A category's models of each way, all at the shocks that the first one found likely."""
    made: list[_Found] = []
    with reproducible_torch():
        for forms, doubted in zip(data, suspicious, strict=True):
            plain, chances = _in_all_forms(forms, priors, draws, seed, made[0].plain.likely_shocks if made else ())
            shocks, form = plain.likely_shocks, int(chances.argmax())
            others = [estimate(other, priors, draws=draws, seed=seed, shocks=shocks) for other in doubted[form]]
            unlike = Residuals(plain).unmoved(-plain.elasticities.mean(axis=0))
            evidence = [_evidence(each, unlike, shocks, priors) for each in (plain, *others)]
            made.append(_Found(plain, chances, others, np.array(evidence)))
    return made


def _in_all_forms(
    data: list[CategoryData], priors: Priors, draws: int, seed: int, shocks: tuple[tuple[float, float], ...]
) -> tuple[CategoryPosterior, Array]:
    """The posterior of the likeliest form with the draws of all, in proportion to their (F,) probabilities.

    Args:
        shocks: Sizes and persistences of the shocks to try, by default those of a grid for the first form.
    """
    found = [estimate(data[0], priors, draws=draws, seed=seed, shocks=shocks)]
    likely = shocks or found[0].likely_shocks
    found += [estimate(other, priors, draws=draws, seed=seed, shocks=likely) for other in data[1:]]
    chances = softmax([each.log_evidence for each in found])
    form = np.random.default_rng(seed).choice(len(found), size=draws, p=chances)
    mixed = np.stack([each.draws for each in found])[form, np.arange(draws)]
    return replace(found[int(chances.argmax())], draws=mixed, likely_shocks=likely), chances


def _evidence(
    found: CategoryPosterior, unlike: NDArray[np.bool_], shocks: tuple[tuple[float, float], ...], priors: Priors
) -> float:
    """The log evidence of a model, also if some products answer unlike the others.

    Else, one that ignores its reductions would make a shop that follows demand.
    """
    if not unlike.any():
        return found.log_evidence
    apart = estimate(replace(found.model.data, unlike=unlike), priors, draws=1, shocks=shocks).log_evidence
    return max(found.log_evidence, apart + float(unlike.sum()) * np.log(priors.unlike))


def _log_weights(odds: Array, exogenous: float) -> Array:
    """(1 + A,) logarithms of the posterior weights of the models, relative to the evidence of the first (Kass and
    Raftery 1995); those in which prices follow demand are as likely as one another before the sales are seen.

    Sales cannot exclude them: what speaks against one rests on how wide its priors are.
    """
    prior = np.array([exogenous, *np.full(len(odds), (1 - exogenous) / len(odds))])
    return np.log(prior) + np.append(0.0, np.maximum(odds, -_STRONG))


def _mixed(
    plain: list[CategoryPosterior], others: list[tuple[CategoryPosterior, ...]], chances: Array, effects: int, seed: int
) -> tuple[list[CategoryPosterior], Array]:
    """Draws of all models in proportion to their probabilities; draw m is of one model in all categories.

    Also (M, C, D) the coefficients of the D effects that the first model does not have, 0 in its draws.
    """
    generator, count = np.random.default_rng(seed), len(plain[0].draws)
    model = np.searchsorted(np.cumsum(chances)[:-1], generator.random(count), side="right")[:, None]
    mixed, suspected = [], []
    for c, first in enumerate(plain):
        draws, known = first.draws, np.zeros((count, effects))
        for number, found in enumerate(others, 1):
            at, drawn = found[c].model.layout, found[c].draws
            own = slice(at.effects.stop - effects, at.effects.stop)
            # The last week features are the price levels.
            levels = range(at.features.start + first.model.data.week_features.shape[1], at.features.stop)
            shared = np.delete(drawn, [*range(own.start, own.stop), *levels], axis=1)
            draws, known = (np.where(model == number, *pair) for pair in ((shared, draws), (drawn[:, own], known)))
        mixed.append(replace(first, draws=draws))
        suspected.append(known)
    return mixed, np.stack(suspected, axis=1)
