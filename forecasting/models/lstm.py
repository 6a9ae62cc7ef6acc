"""One LSTM for all products, on top of the statistical forecasts."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self, cast

import numpy as np
import pandas as pd
from scipy import stats
from scipy.interpolate import interp1d
from sklearn.base import clone

from .base import Forecaster
from .mean_of_models import MeanOfModels
from .pooled import STEPS
from .weekly_design import WeeklyDesign, covariate_matrix

_FIRST_ORIGIN = 8
_EMBEDDING = 2
# Last weeks, of those in which the shop was open, that the first training does not see.
_JUDGED_WEEKS = 8
_PRIVATE_STEPS = 30
_MIXES = np.linspace(0.0, 1.0, 11)


class Lstm(Forecaster):
    """One LSTM for all products, which gives quantiles of the statistical models' errors.

    A hybrid like the winner of the M4 competition (Smyl 2020). The mean of `PooledRegression` and
    `Sarimax` (`MeanOfModels`) forecasts from every past week with the knowledge of that week. A
    network with shared weights learns the errors of those forecasts from earlier errors, prices,
    promotions and the category (an embedding). Its output is quantiles (pinball loss), decoded for
    each week ahead separately (MQ-RNN: Wen et al. 2017), for any horizon.

    The last 8 weeks in which the shop was open decide how much weight the networks get (0: the base
    forecast, 1: theirs) and how far their quantiles must move to have their coverage (split
    conformal: Romano, Patterson and Candès 2019); then the networks are trained further, on all weeks.
    If the history is too short for that, the base forecast is returned.

    Args:
        hidden: size of the LSTM's state.
        dropout: share of units dropped in training.
        steps: training steps of each network.
        seeds: number of networks, whose quantiles are averaged.
        seed: seed of the first network; the forecast does not depend on the number of cores.
        epsilon: what the network's weights may tell of any one product's history (DP-SGD, see `lstm_private`); then
            it is one network, trained once on all weeks, whose quantiles are taken as they are.
        delta: the probability with which epsilon may fail to hold.
        kept: `kept_networks` of an earlier fit, which are then taken as they are; only if the panel
            has other covariates or categories, new ones are trained, but none under
            `epsilon`, which paid for one training.
        arma: as for `Sarimax`.

    Example:
        >>> from repricer.forecasting import example_panel
        >>> panel = example_panel(n_products=2)
        >>> history, future = panel[panel["week"] < "2024-09-01"], panel[panel["week"] >= "2024-09-01"]
        >>> model = Lstm(steps=2, seeds=1).fit(history)
        >>> list(model.predict(future.drop(columns="units"), quantiles=[0.5]))
        ['product', 'week', 'mean', 'q0.5']
    """

    def __init__(
        self,
        *,
        hidden: int = 8,
        dropout: float = 0.3,
        steps: int = 300,
        seeds: int = 4,
        seed: int = 0,
        epsilon: float | None = None,
        delta: float = 1e-9,
        kept: str | None = None,
        arma: Mapping[str, Sequence[float]] | None = None,
    ) -> None:
        self.hidden = hidden
        self.dropout = dropout
        self.steps = steps
        self.seeds = seeds
        self.seed = seed
        self.epsilon = epsilon
        self.delta = delta
        self.kept = kept
        self.arma = arma

    def _fit(self, history: pd.DataFrame) -> None:
        from . import lstm_network

        self.base_ = MeanOfModels(arma=self.arma)
        self.base_._fit(history)
        weekly = WeeklyDesign.of(history)
        past = self.base_.past_forecasts(weekly)
        self.scaling_ = _InputScaling.of(weekly, self.covariates_.category)
        self.privacy_: dict[str, Any] | None = None
        self.weight_ = 0.0
        self.shift_ = np.zeros(len(lstm_network.LEVELS))
        self.networks_ = []
        open_ = np.flatnonzero(weekly.open)
        enough = len(open_) >= (_FIRST_ORIGIN + 2 * _JUDGED_WEEKS) * weekly.per_week
        taken = bool(self.kept) and self._take(self.kept, weekly)
        paid_before = self.epsilon is not None and self.kept is not None
        if enough and not taken and not paid_before:
            with lstm_network.reproducible_torch():
                self._train(self._data(weekly, *past), open_[-_JUDGED_WEEKS * weekly.per_week])
        self._encode(weekly, *past)

    def refitted(self, history: pd.DataFrame) -> Self:
        """Return these networks on a base forecast of another history: training would take longer than all else."""
        later = cast(Self, clone(self))
        later.kept = self.kept_networks()
        later.fit(history)
        later.privacy_ = later.privacy_ or self.privacy_
        return later

    def _update(self, history: pd.DataFrame) -> None:
        self.base_ = copy.copy(self.base_)
        self.base_._update(history)
        weekly = WeeklyDesign.of(history)
        self._encode(weekly, *self.base_.past_forecasts(weekly))

    def kept_networks(self) -> str | None:
        """The trained networks as text, for `kept` of a later model; None where there are none."""
        import torch

        from . import lstm_network

        if not self.networks_:
            return None
        mixed = np.append(self.shift_, self.weight_)
        return lstm_network.to_text(self.networks_, mixed=torch.as_tensor(mixed))

    def _take(self, kept: str, weekly: WeeklyDesign) -> bool:
        """Take networks of an earlier fit, if they read what this panel has."""
        from . import lstm_network

        networks, others = lstm_network.from_text(kept)
        sizes = networks[0].encoder.input_size, networks[0].embedding.num_embeddings
        if sizes != (weekly.x.shape[2] + 2, self.scaling_.categories.max() + 1):
            return False
        mixed = others["mixed"].numpy()
        self.networks_ = networks
        self.shift_ = mixed[:-1]
        self.weight_ = float(mixed[-1])
        return True

    def _train(self, data: Any, judged_from: int) -> None:
        import torch

        if self.epsilon is not None:
            self._train_privately(data, self.epsilon)
            return
        ahead = data.weeks_ahead()
        late = ahead >= judged_from
        judge = (data.valid * late).numpy() > 0
        if not judge.any():
            return  # All products were sold out in these weeks: nothing can judge the networks.
        tried = self._networks(data, data.valid * ~late)
        with torch.no_grad():
            given = [net.all_ahead(data) for net in tried]
            quantiles = torch.stack(given).mean(0).numpy()[judge]
        error = ((data.target[:, ahead] - data.centre) / data.spread).numpy()[judge]
        importance = (data.weight[:, None, None] * data.spread).numpy()[judge]
        week = ahead.expand(judge.shape).numpy()[judge]
        self.weight_ = _least_sufficient_weight(error, quantiles, importance, week)
        self.shift_ = _conformal(error, _mix(quantiles, self.weight_))
        # They have seen all but the last weeks, so few steps more are enough; without weight, none.
        self.networks_ = self._networks(data, data.valid, tried) if self.weight_ > 0 else tried

    def _train_privately(self, data: Any, epsilon: float) -> None:
        from .lstm_private import train_private

        size = {"hidden": self.hidden, "embedding": _EMBEDDING, "dropout": 0.0}
        spent = {"epsilon": epsilon, "delta": self.delta}
        trained = train_private(data, data.valid, **spent, steps=_PRIVATE_STEPS, seed=self.seed, size=size)
        self.networks_ = [trained.network]
        self.weight_ = 1.0
        self.privacy_ = {
            "epsilon": trained.epsilon,
            "delta": self.delta,
            "unit": "one product's whole history",
            "protects": "the weights of the forecaster's network, given its inputs",
            "noise_multiplier": trained.noise_multiplier,
            "steps": _PRIVATE_STEPS,
        }

    def _networks(self, data: Any, valid: Any, tried: Sequence[Any] = ()) -> list[Any]:
        """Train all networks, or train those that were tried further."""
        from . import lstm_network

        size = {"hidden": self.hidden, "embedding": _EMBEDDING, "dropout": self.dropout}
        steps, starts = (self.steps // 4, tried) if tried else (self.steps, [None] * self.seeds)
        return [
            lstm_network.train(data, valid, steps=steps, seed=self.seed + n, size=size, start=start)
            for n, start in enumerate(starts)
        ]

    def _data(self, weekly: WeeklyDesign, centre: np.ndarray, spread: np.ndarray) -> Any:
        from . import lstm_network

        weeks = weekly.target.shape[1]
        ahead = np.minimum(np.arange(weeks)[:, None] + np.arange(1, STEPS + 1), weeks - 1)
        valid = np.isfinite(centre) & (weekly.seen[:, ahead] > 0)
        valid[:, : _FIRST_ORIGIN * weekly.per_week] = False
        units = np.expm1(weekly.target).sum(axis=1) / np.maximum(weekly.seen.sum(axis=1), 1.0)
        return lstm_network.Data(
            past=lstm_network.to_tensor(self.scaling_.past(weekly, centre, spread)),
            x=lstm_network.to_tensor(self.scaling_.x(weekly.products, weekly.x)),
            centre=lstm_network.to_tensor(centre),
            spread=lstm_network.to_tensor(np.where(np.isfinite(spread), spread, 1.0)),
            target=lstm_network.to_tensor(weekly.target),
            valid=lstm_network.to_tensor(valid),
            category=lstm_network.to_tensor(self.scaling_.number(weekly.products)).long(),
            # A compromise between equal weights of products and weights by units.
            weight=lstm_network.to_tensor(np.sqrt(units / max(units.mean(), 1e-9))),
        )

    def _encode(self, weekly: WeeklyDesign, centre: np.ndarray, spread: np.ndarray) -> None:
        """Keep the state of each network at the end of the history, (N, hidden)."""
        import torch

        from . import lstm_network

        self.names_ = weekly.products
        self.states_ = []
        if self.networks_:
            past = lstm_network.to_tensor(self.scaling_.past(weekly, centre, spread))
            with lstm_network.reproducible_torch(), torch.no_grad():
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
        with lstm_network.reproducible_torch(), torch.no_grad():
            given = [
                net.decode(state[product], x, category, step, lstm_network.to_tensor(centre))
                for net, state in zip(self.networks_, self.states_, strict=True)
            ]
            return torch.stack(given).mean(0).numpy()


@dataclass(frozen=True)
class _InputScaling:
    """Covariates around each product's mean, in standard deviations over all; categories as numbers."""

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
        # Networks do not extrapolate: values far outside the history are clipped.
        return np.clip((values - middle) / self.deviation, -4.0, 4.0)

    def past(self, weekly: WeeklyDesign, centre: np.ndarray, spread: np.ndarray) -> np.ndarray:
        """Return last week's error, whether it is known, and the covariates, (N, T, 2 + K)."""
        error = np.zeros_like(weekly.target)
        error[:, 1:] = (weekly.target[:, 1:] - centre[:, :-1, 0]) / spread[:, :-1, 0]
        known = (weekly.seen > 0) & np.isfinite(error)
        known[:, 0] = False
        error = np.clip(np.where(known, error, 0.0), -4.0, 4.0)
        return np.concatenate([error[..., None], known[..., None], self.x(weekly.products, weekly.x)], axis=2)

    def number(self, products: pd.Index) -> np.ndarray:
        return self.categories.loc[products].to_numpy()


def _mix(quantiles: np.ndarray, weight: float) -> np.ndarray:
    """Mix the base forecast's normal quantiles (weight 0) with the networks' (weight 1)."""
    from .lstm_network import NORMAL

    return (1 - weight) * np.array(NORMAL) + weight * quantiles


def _least_sufficient_weight(
    error: np.ndarray, quantiles: np.ndarray, importance: np.ndarray, week: np.ndarray
) -> float:
    """Smallest weight of the networks with a loss within one standard error of the least.

    The one-standard-error rule of Breiman et al. (1984): on few weeks, the least loss alone
    overfits.
    """
    losses = np.array([_weekly_loss(error, _mix(quantiles, weight), importance, week) for weight in _MIXES])
    best = losses[losses.sum(axis=1).argmin()]
    excess = losses - best
    allowed = excess.std(axis=1, ddof=1) / np.sqrt(losses.shape[1])
    return float(_MIXES[(excess.mean(axis=1) <= allowed).argmax()])


def _weekly_loss(error: np.ndarray, quantiles: np.ndarray, importance: np.ndarray, week: np.ndarray) -> np.ndarray:
    """Pinball loss of each week (W,)."""
    from .lstm_network import LEVELS

    short = error[:, None] - quantiles
    level = np.array(LEVELS)
    loss = np.maximum(level * short, (level - 1) * short).sum(axis=1) * importance
    return pd.Series(loss).groupby(week).mean().to_numpy()


def _conformal(error: np.ndarray, quantiles: np.ndarray) -> np.ndarray:
    """Shift (Q,) of the quantiles, relative to the median, that gives them their coverage."""
    from .lstm_network import LEVELS

    left = error[:, None] - quantiles
    shift = np.array([np.quantile(left[:, k], level) for k, level in enumerate(LEVELS)])
    # A few weeks cannot show a common bias, so the median stays.
    return shift - shift[len(shift) // 2]


def _at(levels: np.ndarray, quantiles: np.ndarray) -> np.ndarray:
    """Quantiles at other levels: linear in the normal score, also beyond the outermost."""
    from .lstm_network import LEVELS

    line = interp1d(stats.norm.ppf(LEVELS), quantiles, axis=1, bounds_error=False, fill_value="extrapolate")  # pyright: ignore[reportArgumentType]
    return np.asarray(line(stats.norm.ppf(levels)))
