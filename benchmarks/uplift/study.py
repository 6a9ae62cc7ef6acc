"""Many shops: each a job, whose result is a file, so that a killed run continues."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from ...agents import train
from ...envs import rollout, seed_for
from ...evaluation import evaluate
from ...evaluation.report.plots import ACCENT, GREY, LOSS, WIDTH, plot
from ...evaluation.uncertainty import Assessment, Gain
from ...jobs import Failure, Job, Place, code_fingerprint, run_jobs
from ...scenarios import MarketSpec
from .deals import DealTruth
from .parameters import Array
from .settings import StudySettings
from .shop import FIRST_DAY, draw_shop, fitted_files, names, write_files
from .truth import Truth

OnShop = Callable[[dict[str, Any], int, int], None]
_CODE = ("agents", "benchmarks/uplift", "data", "envs", "evaluation", "fitting", "forecasting", "pricing", "profiles")
_CODE = (*_CODE, "planning/experiments")
_REGULAR = "regular"
_PATH_EPISODES = 100
_SHARES = {"share_of_optimum": "recommended", "regular_share": "regular", "own_share": "own"}
_NOTHING = 1e-12
REGULAR_LOSS = -0.01
"""A recommendation loses against regular prices below this realised gain."""
OWN_LOSS = -0.005
"""A recommendation is a loss below this realised gain."""


def run_study(
    settings: StudySettings,
    seeds: Iterable[int],
    out: Path,
    *,
    place: Place = Place(),  # noqa: B008  it is frozen
    on_shop: OnShop = lambda row, done, total: None,
) -> list[dict[str, Any]]:
    """Assess shops, except those whose results lie in a folder already.

    Args:
        settings: How the shops are drawn, fitted and evaluated.
        seeds: One per shop.
        out: Folder of the results; a file belongs to one shop under one set of settings.
        place: Where the shops are assessed; by default one after the other.
        on_shop: Called with each result, the number of shops done and of all shops.

    Returns:
        One row per shop, in the order of the seeds.

    Raises:
        ValueError: There are no shops.
        RuntimeError: A shop ended with an error.

    Example:
        >>> rows = run_study(StudySettings("clean"), range(40), Path("runs/uplift"), place=Place(workers=2))  # doctest: +SKIP
    """
    return run_shops(f"{__name__}:assessed", settings, seeds, out, place=place, on_shop=on_shop)


def run_shops(
    function: str,
    settings: StudySettings,
    seeds: Iterable[int],
    out: Path,
    *,
    place: Place,
    on_shop: OnShop = lambda row, done, total: None,
    **more: Any,
) -> list[dict[str, Any]]:
    """The results of a job for each shop, as of `run_study`.

    Args:
        function: The job, as `jobs.Job` names it; it gets `settings`, `seed` and what `more` holds.
        settings: How the shops are drawn and fitted.
        seeds: One per shop.
        out: Folder of the results.
        place: Where the jobs run.
        on_shop: As for `run_study`.
    """
    code = code_fingerprint(*_CODE)
    done = 0
    jobs = [Job(function, {"settings": settings.to_dict(), "seed": seed, **more}, code) for seed in seeds]
    if not jobs:
        raise ValueError("shops must be 1 or more; got 0; ask for one")

    def ended(job: Job, row: Any) -> None:
        nonlocal done
        if isinstance(row, Failure):
            raise RuntimeError(f"shop {job.inputs['seed']} of {settings.truth}: {row.reason}")
        done += 1
        on_shop(row, done, len(jobs))

    return run_jobs(jobs, out, place=place, on_end=ended)


def assessed(inputs: dict[str, Any], _: Path) -> dict[str, Any]:
    """The result of one shop, as a job; it keeps nothing for a second start."""
    # The shops run side by side; the models of one shop do not.
    with joblib.parallel_config(backend="sequential"):
        return assess_shop(StudySettings(**inputs["settings"]), inputs["seed"])


# One shop, from its drawn customers to what the recommended prices really earn there.


def assess_shop(settings: StudySettings, seed: int) -> dict[str, Any]:
    """Draw a shop, follow the public path, and charge the recommended prices in the truth.

    Args:
        settings: How the shop is drawn, fitted and evaluated.
        seed: Selects the shop, and seeds fit, training and evaluation.

    Returns:
        The figures of one shop, as plain data for JSON. Gains are shares of what regular prices
        earn in the same weeks, or, for shops with deals, current prices.

    Raises:
        ValueError: There is no market to fit on the shop's tables.
    """
    started = time.process_time()
    shop = draw_shop(settings.truth, seed, settings.products, settings.weeks)
    row = {"seed": seed, **settings.to_dict(), "model": shop.model, **_described(shop)}
    with tempfile.TemporaryDirectory() as folder:
        try:
            spec = fitted_files(write_files(shop, Path(folder)), settings, seed).spec
        except ValueError as error:
            raise ValueError(f"{settings.truth} shop {seed}: {error}") from error
    row |= realised(shop, spec, recommend(spec, settings, seed))
    row["may_follow_demand"] = spec.evidence.may_follow_demand
    return row | {"cpu_seconds": time.process_time() - started}


def realised(shop: Truth, spec: MarketSpec, recommended: PredictedGain) -> dict[str, Any]:
    """What the recommended prices really earn in the weeks of the fitted market, which
    follow the tables.

    Args:
        shop: The shop whose customers are known.
        spec: The fitted market: its weeks, objective, regular prices and price bounds.
    """
    weeks = weeks_of(spec)
    objective = spec.market.objective
    given = {"first": weeks[0], "horizon": len(weeks), "objective": objective}
    order = [spec.products.names.index(name) for name in displayed(shop)]
    rules = spec.guardrails
    bounds = (spec.products.regular_price, rules.low, rules.high)
    regular, low, high = (np.asarray(prices, dtype=np.float64)[..., order] for prices in bounds)
    own = shop.own_prices(weeks[0], len(weeks))
    path = own if recommended.prices is None else recommended.prices[:, order]
    earned = {
        "regular": shop.realised(regular, **given),
        "own": shop.realised(own, **given),
        "recommended": shop.realised(path, **given),
    }
    base = earned["regular"]
    if isinstance(shop, DealTruth) and rules.max_step is not None and rules.near_plan.size:
        best = shop.best_step(float(np.max(rules.max_step)), **given)
    else:
        best = shop.optimum(low, high, **given)
    earned["optimum"] = shop.realised(best, **given)
    if isinstance(shop, DealTruth):
        earned["calendar"] = shop.realised(shop.optimum(low, high, **given, calendar=False), **given)
        # No search of paths is certain to find the best.
        earned["optimum"], base = max(earned["optimum"], earned["recommended"]), earned["own"]
    gain = earned["recommended"] / base - 1
    names = ("policy", "refused", "loss_probability", "predicted", "own_half", "other_half")
    shares = {name: earned[key] / earned["optimum"] for name, key in _SHARES.items()}
    return {"objective": objective, **{name: getattr(recommended, name) for name in names}} | {
        "interval90": [recommended.low, recommended.high],
        "realised": gain,
        "optimal": earned["optimum"] / base - 1,
        "covered": bool(recommended.low <= gain <= recommended.high),
        **shares,
        "earned": earned,
    }


def weeks_of(spec: MarketSpec) -> range:
    """Numbers of the weeks that a fitted market simulates, since the start of the tables."""
    first = (pd.Timestamp(spec.market.first_day) - FIRST_DAY).days // 7
    return range(first, first + spec.market.horizon_periods)


def displayed(shop: Truth) -> list[str]:
    """The products' names in the fitted market, in the order of the shop."""
    return [name.replace("-", " ") for name in names(shop)]


def _described(shop: Truth) -> dict[str, Any]:
    parameters = shop.parameters
    shares = {"elasticity": float(parameters.elasticity.mean()), "outside_share": float(parameters.outside.mean())}
    if isinstance(shop, DealTruth):
        return shares | {"stores": shop.history.level.size, "funding": shop.deals.funding, "plan": shop.deals.planned}
    return shares


# What the tool recommends, and the gain that it predicts.


@dataclass(frozen=True)
class PredictedGain:
    """A recommended policy and the gain that is predicted for it, over regular or over current prices.

    Attributes:
        policy: Its name.
        prices: (T, N) mean prices by week in the fitted market; None for the shop's current prices.
        predicted: Mean gain as a share of the objective at the prices that it is over.
        low: Lower end of the 90% interval of the expected gain over the posterior draws.
        high: Upper end.
        loss_probability: Share of the draws in which it earns less than the current prices.
        own_half: Gain over the current prices of what half of the sales alone would recommend, by that half.
        other_half: The same prices' gain by the other half.
    """

    policy: str
    prices: Array | None
    predicted: float
    low: float
    high: float
    loss_probability: float = 0.0
    own_half: float = 0.0
    other_half: float = 0.0

    @property
    def refused(self) -> bool:
        """Whether no change of the current prices is recommended."""
        return self.prices is None


def recommend(spec: MarketSpec, settings: StudySettings, seed: int) -> PredictedGain:
    """Train a policy in the fitted market, evaluate it over the posterior draws, and take
    what is recommended.

    Args:
        spec: The fitted market.
        settings: Training steps and test episodes.
        seed: Seed of training and evaluation.
    """
    run = train(spec, steps=settings.steps, seed=seed)
    found = evaluate(spec, [run.policy, _REGULAR], episodes=settings.episodes, seed=seed).uncertainty
    assert found is not None, "a fitted market has a posterior"
    chosen = found.recommendation
    objective = spec.market.objective
    reference = chosen.current if settings.over_current else _REGULAR
    prices = None
    if chosen.change:
        prices = rollout(spec, found.policy, episodes=_PATH_EPISODES, seed=seed_for("test", seed)).price_path
    predicted, (low, high) = _relative(found.gain(chosen.policy, reference, objective))
    loss = found.gain(chosen.policy, objective=objective).loss_probability
    return PredictedGain(chosen.policy, prices, predicted, low, high, loss, *_halves(found))


def _halves(found: Assessment) -> tuple[float, float]:
    """What the half of the sales that found prices expects of its own choice, and what the other half does; over all shops,
    those for which the other half refuses it among them.
    """
    first = found.recommendation.first_choice
    current = found.recommendation.current
    if first is None:
        return 0.0, 0.0
    own, other = (found.compared.gain(first.policy, current, part=part).share for part in ("choose", "report"))
    return own, other


def _relative(gain: Gain) -> tuple[float, tuple[float, float]]:
    """Mean and 90% interval as shares of what the reference earns."""
    if gain.relative is not None:
        return float(gain.relative["mean"]), tuple(gain.relative["interval90"])
    # The reference may lose money in some draw, where a share says nothing.
    low, high = gain.interval90
    return gain.mean / gain.base, (low / gain.base, high / gain.base)


# Figures over many shops: predicted against realised gain, coverage, share of the optimum.


def summarise(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The figures over some shops.

    Args:
        rows: Results of `assess_shop`.

    Returns:
        `shops`; means of `predicted`, `realised` and `optimal` gain, the latter within the same price rules; `over_prediction`,
        the mean of predicted less realised, with its standard error `over_prediction_se`, and `absolute_error`; number of shops
        `covered` by their 90% interval, with a realised gain `below` or `above` it; `interval_factor`, how many times as wide
        the intervals of shops with a change would have to be for 90% of them; `worst_realised`, and `losses`, shops whose
        realised gain is below −0.5%; `share_of_optimum` and `worst_share`, `regular_share`, `own_share`; `share_of_best_gain`,
        the mean realised over the mean optimal gain; `own_half` and `other_half`, the mean gains of what half of the sales
        would recommend by that half and by the other, and `half_kept`, the latter over the former; shops that
        `lose_to_regular` by more than 1%, that `lose_to_own` prices, and that
        are `far_below_own`, by more than 1%; `refused`; `named`, verdicts that say that prices follow demand
        or may; `cpu_seconds` per shop.
    """
    columns = {name: np.array([row[name] for row in rows], dtype=float) for name in _MEANS}
    low, high = np.array([row["interval90"] for row in rows], dtype=float).T
    gain = columns["realised"]
    error = columns["predicted"] - columns["realised"]
    earned = {name: np.array([row["earned"][name] for row in rows]) for name in ("own", "recommended")}
    refused = np.array([row["refused"] for row in rows])
    wide = np.where(error > 0, columns["predicted"] - low, high - columns["predicted"])
    times = np.abs(error[~refused]) / np.maximum(wide[~refused], _NOTHING)
    return {
        "shops": len(rows),
        **{name: float(values.mean()) for name, values in columns.items()},
        "share_of_best_gain": float(gain.mean() / columns["optimal"].mean()),
        "half_kept": float(columns["other_half"].mean() / max(columns["own_half"].mean(), _NOTHING)),
        "over_prediction": float(error.mean()),
        "over_prediction_se": float(error.std(ddof=1) / np.sqrt(len(rows))) if len(rows) > 1 else 0.0,
        "absolute_error": float(np.abs(error).mean()),
        "interval_factor": float(np.quantile(times, 0.9)) if times.size else 1.0,
        "losses": int((gain < OWN_LOSS).sum()),
        "covered": int(((low <= gain) & (gain <= high)).sum()),
        "below": int((gain < low).sum()),
        "above": int((gain > high).sum()),
        "worst_realised": float(gain.min()),
        "worst_share": float(columns["share_of_optimum"].min()),
        "lose_to_regular": int(((gain < REGULAR_LOSS) & ~refused).sum()),
        "lose_to_own": int(((earned["recommended"] < earned["own"]) & ~refused).sum()),
        "far_below_own": int((earned["recommended"] < (1 + REGULAR_LOSS) * earned["own"]).sum()),
        "refused": int(refused.sum()),
        "named": sum(row["may_follow_demand"] for row in rows),
    }


_MEANS = (
    "predicted",
    "realised",
    "optimal",
    "own_half",
    "other_half",
    "share_of_optimum",
    "regular_share",
    "own_share",
    "cpu_seconds",
)


@plot
def plot_gains(figure: Figure, rows: Sequence[dict[str, Any]], title: str) -> str:
    """Draw each shop's realised gain over its predicted one, with the 90% interval.

    Args:
        rows: Results of `assess_shop`.
    """
    predicted, gain = (np.array([row[name] for row in rows]) for name in ("predicted", "realised"))
    low, high = np.array([row["interval90"] for row in rows]).T
    covered = (low <= gain) & (gain <= high)
    figure.set_size_inches(WIDTH, 3.8)
    axis = figure.add_subplot()
    ends = np.array([min(low.min(), gain.min(), 0.0), max(high.max(), gain.max())])
    axis.plot(ends, ends, color=GREY, linewidth=0.8, label="realised as predicted")
    for shown, colour, label in ((covered, ACCENT, "within the 90% interval"), (~covered, LOSS, "outside")):
        if shown.any():
            axis.hlines(gain[shown], low[shown], high[shown], color=colour, linewidth=1, alpha=0.35)
            axis.plot(predicted[shown], gain[shown], "o", color=colour, markersize=4, label=label)
    axis.axhline(0, color=GREY, linewidth=0.5, linestyle=":")
    axis.set(xlabel="predicted gain over regular prices, with its 90% interval", ylabel="realised gain", title=title)
    for side in (axis.xaxis, axis.yaxis):
        side.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axis.legend(frameon=False, loc="upper left")
    return f"{title}: realised against predicted gain, {covered.sum()} of {len(rows)} within the 90% interval."
