"""A global LSTM on top of the statistical forecasts."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats
from scipy.interpolate import interp1d

from .base import Forecaster
from .mean_of_models import MeanOfModels
from .pooled import STEPS
from .weekly_design import WeeklyDesign, covariate_matrix

_FIRST_ORIGIN = 8
_WEIGHTS = np.linspace(0.0, 1.0, 11)


class Lstm(Forecaster):
    """One LSTM for all products: quantiles of what the statistical models leave unexplained.

    A hybrid as the winner of the M4 competition was (Smyl 2020): the mean of `PooledRegression` and `Sarimax` (`MeanOfModels`)
    forecasts from every past week with what was known then, and a network with shared weights learns how those forecasts err,
    from the errors, prices and promotions before and in the week, and the category (an embedding). Its output is quantiles
    (pinball loss), decoded for each week ahead alone (MQ-RNN: Wen et al. 2017), so any horizon can be asked for.

    The last `judged_weeks` of the history decide how far to trust the networks (a weight between the base
    forecast, 0, and theirs, 1) and how far their quantiles must move to hold (split conformal: Romano,
    Patterson and Candès 2019); then the networks are trained again on all weeks. With a history too
    short for that, the base forecast is given.

    Args:
        hidden: size of the LSTM's state.
        embedding: size of a category's embedding.
        dropout: share of units dropped in training.
        steps: training steps of each lstm_network.
        seeds: networks whose quantiles are averaged.
        judged_weeks: last weeks kept from the first training.
        seed: the first seed; a seed gives one forecast, on any number of cores.
    """

    def __init__(
        self,
        *,
        hidden: int = 8,
        embedding: int = 2,
        dropout: float = 0.3,
        steps: int = 300,
        seeds: int = 4,
        judged_weeks: int = 8,
        seed: int = 0,
    ) -> None:
        self.hidden = hidden
        self.embedding = embedding
        self.dropout = dropout
        self.steps = steps
        self.seeds = seeds
        self.judged_weeks = judged_weeks
        self.seed = seed

    def _fit(self, history: pd.DataFrame) -> None:
        from . import lstm_network

        self.base_ = MeanOfModels()
        self.base_._fit(history)
        weekly = WeeklyDesign.of(history)
        self.scaling_ = _InputScaling.of(weekly, self.covariates_.category)
        self.weight_, self.shift_, self.networks_ = 0.0, np.zeros(len(lstm_network.LEVELS)), []
        if weekly.target.shape[1] >= _FIRST_ORIGIN + 2 * self.judged_weeks:
            with lstm_network.one_thread():
                self._train(self._data(weekly))
        self._encode(weekly)

    def _update(self, history: pd.DataFrame) -> None:
        self.base_ = copy.copy(self.base_)
        self.base_._update(history)
        self._encode(WeeklyDesign.of(history))

    def _train(self, data: Any) -> None:
        import torch

        ahead = data.weeks_ahead()
        late = ahead >= data.target.shape[1] - self.judged_weeks
        judge = (data.valid * late).numpy() > 0
        tried = self._networks(data, data.valid * ~late)
        with torch.no_grad():
            given = [net.all_ahead(data) for net in tried]
            quantiles = torch.stack(given).mean(0).numpy()[judge]
        error = ((data.target[:, ahead] - data.centre) / data.spread).numpy()[judge]
        importance = (data.weight[:, None, None] * data.spread).numpy()[judge]
        week = ahead.expand(judge.shape).numpy()[judge]
        self.weight_ = _least_worth_it(error, quantiles, importance, week)
        self.shift_ = _conformal(error, _mix(quantiles, self.weight_))
        self.networks_ = self._networks(data, data.valid)

    def _networks(self, data: Any, valid: Any) -> list[Any]:
        from . import lstm_network

        size = {"hidden": self.hidden, "embedding": self.embedding, "dropout": self.dropout}
        seeds = range(self.seed, self.seed + self.seeds)
        return [lstm_network.train(data, valid, steps=self.steps, seed=seed, size=size) for seed in seeds]

    def _data(self, weekly: WeeklyDesign) -> Any:
        from . import lstm_network

        centre, spread = self.base_.past_forecasts(weekly)
        weeks = weekly.target.shape[1]
        ahead = np.minimum(np.arange(weeks)[:, None] + np.arange(1, STEPS + 1), weeks - 1)
        valid = np.isfinite(centre) & (weekly.seen[:, ahead] > 0)
        valid[:, :_FIRST_ORIGIN] = False
        units = np.expm1(weekly.target).sum(axis=1) / np.maximum(weekly.seen.sum(axis=1), 1.0)
        return lstm_network.Data(
            past=lstm_network.to_tensor(self.scaling_.past(weekly, centre, spread)),
            x=lstm_network.to_tensor(self.scaling_.x(weekly.products, weekly.x)),
            centre=lstm_network.to_tensor(centre),
            spread=lstm_network.to_tensor(np.where(np.isfinite(spread), spread, 1.0)),
            target=lstm_network.to_tensor(weekly.target),
            valid=lstm_network.to_tensor(valid),
            category=lstm_network.to_tensor(self.scaling_.number(weekly.products)).long(),
            # Between products' logs counting alike and units counting alike.
            weight=lstm_network.to_tensor(np.sqrt(units / max(units.mean(), 1e-9))),
        )

    def _encode(self, weekly: WeeklyDesign) -> None:
        """Keep each network's state at the end of the history: (N, hidden)."""
        import torch

        from . import lstm_network

        self.names_, self.states_ = weekly.products, []
        if self.networks_:
            centre, spread = self.base_.past_forecasts(weekly)
            past = lstm_network.to_tensor(self.scaling_.past(weekly, centre, spread))
            with lstm_network.one_thread(), torch.no_grad():
                self.states_ = [net.encode(past)[:, -1] for net in self.networks_]

    def _forecast(self, future: pd.DataFrame, levels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        if not self.networks_:
            return self.base_._forecast(future, levels)
        centre, spread = self.base_.central(future)
        known = _mix(self._quantiles(future, centre), self.weight_) + self.shift_
        bands = _at(levels, np.maximum.accumulate(known, axis=1))
        median = centre + spread * known[:, known.shape[1] // 2]
        return np.expm1(median) * self.base_.mean_over_median_, np.expm1(centre[:, None] + spread[:, None] * bands)

    def _quantiles(self, future: pd.DataFrame, centre: np.ndarray) -> np.ndarray:
        import torch

        from . import lstm_network

        product = self.names_.get_indexer(pd.Index(future["product"]))
        x = lstm_network.to_tensor(self.scaling_.x(future["product"], covariate_matrix(future)))
        category = lstm_network.to_tensor(self.scaling_.number(pd.Index(future["product"]))).long()
        step = lstm_network.to_tensor(future["step"].to_numpy()).clamp(max=STEPS)
        with lstm_network.one_thread(), torch.no_grad():
            given = [
                net.decode(state[product], x, category, step, lstm_network.to_tensor(centre))
                for net, state in zip(self.networks_, self.states_, strict=True)
            ]
            return torch.stack(given).mean(0).numpy()


@dataclass(frozen=True)
class _InputScaling:
    """Covariates around each product's mean, in standard deviations of all; categories by number."""

    middle: pd.DataFrame
    deviation: np.ndarray
    categories: pd.Series

    @classmethod
    def of(cls, weekly: WeeklyDesign, category: pd.Series) -> _InputScaling:
        seen = weekly.seen[..., None]
        middle = (weekly.x * seen).sum(axis=1) / np.maximum(seen.sum(axis=1), 1.0)
        deviation = np.sqrt((((weekly.x - middle[:, None]) * seen) ** 2).sum(axis=(0, 1)) / max(seen.sum(), 1.0))
        numbers = pd.Series(pd.factorize(category, sort=True)[0], index=category.index)
        return cls(pd.DataFrame(middle, index=weekly.products), np.where(deviation > 1e-6, deviation, np.inf), numbers)

    def x(self, products: Any, values: np.ndarray) -> np.ndarray:
        middle = self.middle.loc[products].to_numpy()
        if values.ndim > middle.ndim:
            middle = middle[:, None]
        # A week far outside all that was seen is held at its edge: networks do not extrapolate.
        return np.clip((values - middle) / self.deviation, -4.0, 4.0)

    def past(self, weekly: WeeklyDesign, centre: np.ndarray, spread: np.ndarray) -> np.ndarray:
        """Return the error of last week's forecast, whether it is known, and the covariates: (N, T, 2 + K)."""
        error = np.zeros_like(weekly.target)
        error[:, 1:] = (weekly.target[:, 1:] - centre[:, :-1, 0]) / spread[:, :-1, 0]
        known = (weekly.seen > 0) & np.isfinite(error)
        known[:, 0] = False
        error = np.clip(np.where(known, error, 0.0), -4.0, 4.0)
        return np.concatenate([error[..., None], known[..., None], self.x(weekly.products, weekly.x)], axis=2)

    def number(self, products: pd.Index) -> np.ndarray:
        return self.categories.loc[products].to_numpy()


def _mix(quantiles: np.ndarray, weight: float) -> np.ndarray:
    """Between the base forecast's normal quantiles (weight 0) and the networks'."""
    from .lstm_network import NORMAL

    return (1 - weight) * np.array(NORMAL) + weight * quantiles


def _least_worth_it(error: np.ndarray, quantiles: np.ndarray, importance: np.ndarray, week: np.ndarray) -> float:
    """Smallest weight of the networks whose loss is within a standard error, over weeks, of the least.

    The rule of Breiman et al. (1984) for pruning: judged on few weeks, the least loss alone trusts too much.
    """
    losses = np.array([_weekly_loss(error, _mix(quantiles, weight), importance, week) for weight in _WEIGHTS])
    best = losses[losses.sum(axis=1).argmin()]
    excess = losses - best
    allowed = excess.std(axis=1, ddof=1) / np.sqrt(losses.shape[1])
    return float(_WEIGHTS[(excess.mean(axis=1) <= allowed).argmax()])


def _weekly_loss(error: np.ndarray, quantiles: np.ndarray, importance: np.ndarray, week: np.ndarray) -> np.ndarray:
    """Pinball loss of each week (W,)."""
    from .lstm_network import LEVELS

    short, level = error[:, None] - quantiles, np.array(LEVELS)
    loss = np.maximum(level * short, (level - 1) * short).sum(axis=1) * importance
    return pd.Series(loss).groupby(week).mean().to_numpy()


def _conformal(error: np.ndarray, quantiles: np.ndarray) -> np.ndarray:
    """How far each quantile must move, relative to the median, to hold on the judged rows (Q,)."""
    from .lstm_network import LEVELS

    left = error[:, None] - quantiles
    shift = np.array([np.quantile(left[:, k], level) for k, level in enumerate(LEVELS)])
    # Few weeks tell nothing of a common bias: the median stays.
    return shift - shift[len(shift) // 2]


def _at(levels: np.ndarray, quantiles: np.ndarray) -> np.ndarray:
    """Quantiles at other levels: linear in the normal score, also beyond the outermost."""
    from .lstm_network import LEVELS

    line = interp1d(stats.norm.ppf(LEVELS), quantiles, axis=1, bounds_error=False, fill_value="extrapolate")  # pyright: ignore[reportArgumentType]
    return np.asarray(line(stats.norm.ppf(levels)))
