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
    and `bends`, (B,).
    """

    posteriors: tuple[CategoryPosterior, ...]
    endogenous: tuple[CategoryPosterior, ...]
    follow_demand: float
    suspected: Array
    forms: Array
    bends: Array


class _Bend(NamedTuple):
    """A category with utility bent one way: posterior and (F,) probabilities of the forms, and the log evidence."""

    posterior: CategoryPosterior
    forms: Array
    log_evidence: float


def averaged(
    data: list[list[list[CategoryData]]],
    suspicious: list[list[list[list[CategoryData]]]],
    effects: int,
    exogenous: float,
    priors: Priors,
    *,
    draws: int,
    seed: int,
    n_jobs: int | None,
) -> Averaged:
    """Estimate every model, and mix their draws in proportion to their evidence.

    Args:
        data: The sales of each category, by the model that takes prices at their word, with utility linear in the
            price and in its logarithm (B = 2), in each of F forms.
        suspicious: The same by each of the models in which prices follow demand; empty lists for none.
        effects: D, number of effects that only these have.
        exogenous: Prior probability that prices do not follow demand.
        draws: M, number of posterior draws.
        n_jobs: Processes (joblib), where there are many categories.
    """
    # For a few categories, processes would take longer to start than to work.
    run: Any = Parallel(n_jobs=n_jobs if len(data) > _FEW else 1)
    found: list[list[_Bend]] = run(delayed(_bent)(each, priors, draws, seed + c) for c, each in enumerate(data))
    believed = np.log([1 - priors.logarithmic, priors.logarithmic])
    bends = softmax(believed + np.array([[each.log_evidence for each in ways] for ways in found]).sum(axis=0))
    likely = int(bends.argmax())
    plain = _over_bends(found, bends, seed)
    forms = np.array([each[likely].forms for each in found])
    doubted = [each[likely][int(form.argmax())] for each, form in zip(suspicious, forms, strict=True)]
    parts = run(delayed(_doubted)(*each, priors, seed + c) for c, each in enumerate(zip(plain, doubted, strict=True)))
    others, odds = list(zip(*(each[0] for each in parts), strict=True)), np.sum([each[1] for each in parts], axis=0)
    if not others:
        return Averaged(tuple(plain), (), np.nan, np.zeros((draws, len(data), effects)), forms, bends)
    chances = _probabilities(odds, exogenous)
    mixed, suspected = _mixed(plain, others, chances, effects, seed)
    return Averaged(tuple(mixed), others[int(odds.argmax())], float(1 - chances[0]), suspected, forms, bends)


def _bent(data: list[list[CategoryData]], priors: Priors, draws: int, seed: int) -> list[_Bend]:
    """A category with utility bent in each way, at the shocks that the first one found likely."""
    found: list[_Bend] = []
    with reproducible_torch():
        for forms in data:
            shocks = found[0].posterior.likely_shocks if found else ()
            found.append(_in_all_forms(forms, priors, draws, seed, shocks))
    return found


def _over_bends(found: list[list[_Bend]], bends: Array, seed: int) -> list[CategoryPosterior]:
    """The posteriors of the likeliest way with draws of all in proportion to their (B,) probabilities.

    A draw is of one way in all categories: of how people feel a price, one category alone tells little.
    """
    likely, draws = int(bends.argmax()), len(found[0][0].posterior.draws)
    way = np.random.default_rng(seed).choice(len(bends), size=draws, p=bends)
    return [
        replace(each[likely].posterior, draws=np.stack([one.posterior.draws for one in each])[way, np.arange(draws)])
        for each in found
    ]


def _doubted(
    plain: CategoryPosterior, suspicious: list[CategoryData], priors: Priors, seed: int
) -> tuple[list[CategoryPosterior], list[float]]:
    """The posteriors of the models in which prices follow demand, at the shocks that the first one found
    likely, and the log odds that the sales give to each of them.
    """
    shocks, draws = plain.likely_shocks, len(plain.draws)
    with reproducible_torch():
        others = [estimate(other, priors, draws=draws, seed=seed, shocks=shocks) for other in suspicious]
        if not others:
            return [], []
        unlike = Residuals(plain).unmoved(-plain.elasticities.mean(axis=0))
        trusted = _evidence(plain, unlike, shocks, priors)
        return others, [_evidence(other, unlike, shocks, priors) - trusted for other in others]


def _in_all_forms(
    data: list[CategoryData], priors: Priors, draws: int, seed: int, shocks: tuple[tuple[float, float], ...]
) -> _Bend:
    """The posterior of the likeliest form with the draws of all, in proportion to their (F,) probabilities.

    Args:
        shocks: Sizes and persistences of the shocks to try, by default those of a grid for the first form.
    """
    found = [estimate(data[0], priors, draws=draws, seed=seed, shocks=shocks)]
    likely = shocks or found[0].likely_shocks
    found += [estimate(other, priors, draws=draws, seed=seed, shocks=likely) for other in data[1:]]
    evidence = np.array([each.log_evidence for each in found])
    chances = softmax(evidence)
    form = np.random.default_rng(seed).choice(len(found), size=draws, p=chances)
    mixed = np.stack([each.draws for each in found])[form, np.arange(draws)]
    best = replace(found[int(chances.argmax())], draws=mixed, likely_shocks=likely)
    return _Bend(best, chances, float(logsumexp(evidence)))


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


def _probabilities(odds: Array, exogenous: float) -> Array:
    """(1 + A,) posterior probabilities of the models (Kass and Raftery 1995); those in which prices
    follow demand are as likely as one another before the sales are seen.

    Sales cannot exclude them: what speaks against one rests on how wide its priors are.
    """
    prior = np.array([exogenous, *np.full(len(odds), (1 - exogenous) / len(odds))])
    return softmax(np.log(prior) + np.append(0.0, np.maximum(odds, -_STRONG)))


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
