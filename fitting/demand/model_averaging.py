"""How likely prices that follow demand are, and draws of all models in that proportion."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import NDArray
from scipy.special import softmax

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
    """The posteriors of C categories over all models; see `FittedDemand` for the parts. `forms`: (C, F) probabilities."""

    posteriors: tuple[CategoryPosterior, ...]
    endogenous: tuple[CategoryPosterior, ...]
    follow_demand: float
    suspected: Array
    forms: Array


def averaged(
    data: list[list[CategoryData]],
    suspicious: list[list[list[CategoryData]]],
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
        data: The sales of each category, by the model that takes prices at their word, in each of its F forms.
        suspicious: The same by each of the models in which prices follow demand, form by form; empty lists for none.
        effects: D, number of effects that only these have.
        exogenous: Prior probability that prices do not follow demand.
        draws: M, number of posterior draws.
        n_jobs: Processes (joblib), where there are many categories.
    """
    plain, others, odds, forms = _side_by_side(data, suspicious, priors, draws, seed, n_jobs)
    if not others:
        return Averaged(tuple(plain), (), np.nan, np.zeros((draws, len(data), effects)), forms)
    chances = _probabilities(odds, exogenous)
    mixed, suspected = _mixed(plain, others, chances, effects, seed)
    return Averaged(tuple(mixed), others[int(odds.argmax())], float(1 - chances[0]), suspected, forms)


def _side_by_side(
    found: list[list[CategoryData]],
    suspicious: list[list[list[CategoryData]]],
    priors: Priors,
    draws: int,
    seed: int,
    n_jobs: int | None,
) -> tuple[list[CategoryPosterior], list[tuple[CategoryPosterior, ...]], Array, Array]:
    """The posteriors of all categories by the model that takes prices at their word, and by each of the
    others, with the (A,) log odds that the sales give to these; and the (C, F) probabilities of the forms.
    """
    # For a few categories, processes would take longer to start than to work.
    parts: Any = Parallel(n_jobs=n_jobs if len(found) > _FEW else 1)(
        delayed(_estimated)(*data, priors, draws, seed + c)
        for c, data in enumerate(zip(found, suspicious, strict=True))
    )
    plain, others, odds, forms = zip(*parts, strict=True)
    return list(plain), list(zip(*others, strict=True)), np.sum(odds, axis=0), np.array(forms)


def _estimated(
    data: list[CategoryData], suspicious: list[list[CategoryData]], priors: Priors, draws: int, seed: int
) -> tuple[CategoryPosterior, list[CategoryPosterior], list[float], Array]:
    """The posterior, those of the models in which prices follow demand, in the likeliest form and at the
    shocks that the first one found likely, the log odds that the sales give to each of them, and the
    (F,) probabilities of the forms.
    """
    with reproducible_torch():
        plain, chances = _in_all_forms(data, priors, draws, seed)
        shocks, form = plain.likely_shocks, int(chances.argmax())
        others = [estimate(other, priors, draws=draws, seed=seed, shocks=shocks) for other in suspicious[form]]
        if not others:
            return plain, [], [], chances
        unlike = Residuals(plain).unmoved(-plain.elasticities.mean(axis=0))
        trusted = _evidence(plain, unlike, shocks, priors)
        odds = [_evidence(other, unlike, shocks, priors) - trusted for other in others]
        return plain, others, odds, chances


def _in_all_forms(data: list[CategoryData], priors: Priors, draws: int, seed: int) -> tuple[CategoryPosterior, Array]:
    """The posterior of the likeliest form with the draws of all, in proportion to their (F,) probabilities."""
    found = [estimate(data[0], priors, draws=draws, seed=seed)]
    shocks = found[0].likely_shocks
    found += [estimate(other, priors, draws=draws, seed=seed, shocks=shocks) for other in data[1:]]
    chances = softmax([each.log_evidence for each in found])
    form = np.random.default_rng(seed).choice(len(found), size=draws, p=chances)
    mixed = np.stack([each.draws for each in found])[form, np.arange(draws)]
    return replace(found[int(chances.argmax())], draws=mixed, likely_shocks=shocks), chances


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
