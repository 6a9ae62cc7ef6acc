"""A certificate that widens with evidence: the policy's prices against a holdout of stores, look by look.

Stores are assigned to the holdout by a hash, and leave it as evidence comes; none enters. `rollout` replays the whole
procedure from the money by store and day, so that who runs it again gets the same looks, and nothing else need be kept.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from .designs import DAYS
from .effects import Analysis

Floats = NDArray[np.float64]
# Least stores in each arm: a comparison with a single store has no error.
_LEAST_STORES = 2
# Least days of a stage that the past must be able to imitate, and stretches of the past on which bounds are calibrated.
_LEAST_DAYS = 28
_STRETCHES = 6
# Share of the error probability that the calibration spends; the rest is for what the past does not show.
_SPENT = 0.75


@dataclass(frozen=True)
class RolloutPlan:
    """The analysis of a rollout, fixed before its first sale; `digest` is its pre-registration.

    Attributes:
        loss: x: the largest relative loss of money that a certificate allows.
        confidence: Of the certificate, and of a stop before one.
        stop_confidence: Of a stop after a certificate; 0.8 are odds of four to one.
        shares: Share of the stores in the holdout in each stage, falling.
        held_stores: Least stores that stay in the holdout, where the numbers of the hash are known.
        baselines: Lengths of the past that stores are compared with, days; the one with the least error on the past counts.
        stage_days: Days of a stage on which there are looks; a stage without evidence by then gets none any more.
        washout_days: First days of a stage, which are not read.
        windows: Last days that are watched after a certificate.
        redraws: Random assignments of the stores by which bounds are calibrated on the past.
        seed: Of these.

    Example:
        >>> RolloutPlan(loss=0.02).digest[:8] == RolloutPlan().digest[:8]
        True
        >>> RolloutPlan(loss=2.0)
        Traceback (most recent call last):
        ValueError: loss must be a share from 0 to below 1; got 2.0; 0.02 is 2%
    """

    loss: float = 0.02
    confidence: float = 0.95
    stop_confidence: float = 0.8
    shares: tuple[float, ...] = (0.5, 0.25, 0.1)
    held_stores: int = 4
    baselines: tuple[int, ...] = (28, 56, 84, 182)
    stage_days: int = 63
    washout_days: int = 7
    windows: tuple[int, ...] = (14, 28)
    redraws: int = 400
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.loss < 1:
            raise ValueError(f"loss must be a share from 0 to below 1; got {self.loss}; 0.02 is 2%")
        for name in ("confidence", "stop_confidence"):
            if not 0.5 < getattr(self, name) < 1:
                raise ValueError(f"{name} must be above 0.5 and below 1; got {getattr(self, name)}; 0.95 is usual")

    @property
    def digest(self) -> str:
        """SHA-256 of all that the analysis depends on beside the sales."""
        return hashlib.sha256(json.dumps({"analysis": 1, **asdict(self)}, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class Look:
    """What the sales up to a day show.

    Attributes:
        day: Number of the last day that was read, a row of the money.
        state: `waiting`, `certified`, or `stopped`.
        stage: From 1; each time that stores leave the holdout, another begins.
        estimate: Of the relative gain in money in this stage, a share; None where it cannot be computed.
        lower: Its one-sided lower bound, valid over all looks of the stage.
        upper: Its one-sided upper bound, likewise.
        holdout: Share of the stores to be held out from now on.
        stop: Whether the kill switch is to be thrown.
        reason: Why, one line.
    """

    day: int
    state: Literal["waiting", "certified", "stopped"]
    stage: int
    estimate: float | None
    lower: float | None
    upper: float | None
    holdout: float
    stop: bool
    reason: str


def rollout(money: Floats, held: Floats, plan: RolloutPlan | None = None, draws: Floats | None = None) -> list[Look]:
    """All looks of a rollout, one a day from the end of its second week on, until it is stopped or the sales end.

    The guarantee: the chance of ever certifying prices that truly lose more than `plan.loss` is at most 1 - confidence,
    however often one looks. It is that of stage 1, the only one that certifies, and holds where

    - the service's hash draws the holdout as at random, and stores leave it only as these looks say;
    - nothing else differs between the arms, and prices in one store do not move the sales of another;
    - stores move apart as they did in the past, up to the size of the movements, and none closes because of its prices;
    - the loss of these weeks is that of the weeks to come. Where it becomes larger, the watch after the certificate stops
      the policy; that watch, and the later stages, are no part of the guarantee.

    In a stage, both arms' money since its washout is divided by their money in a baseline before the rollout, each day
    as a share of the chain's; the gain is the ratio of the two ratios (Cochran 1977, Sampling Techniques, chapter 6),
    with one variance for both arms, as few stores are held out in the end. Its bounds have the shape of a normal mixture
    (`effects.Analysis.shape`); their height is the largest, over stretches of the past, of the quantile of the largest
    studentised difference over all looks where the assignment is drawn anew (a quarter of the 5% is kept for what the past
    does not show).

    The first look whose lower bound is above -x certifies, and the next share of the plan follows; so it does in each later
    stage, by the sales of that stage alone. Before a certificate, the policy is stopped where the upper bound lies below
    -x; after it, where that of the last weeks does, with `stop_confidence`, which holds on all looks of four weeks.

    Args:
        money: (D, S) money by day and store, currency; NaN where a store was closed or not there.
        held: (D, S) 1 where a store was in the holdout, 0 where it had the policy's prices, NaN before the rollout.
        plan: The analysis; by default, a loss of 2%.
        draws: (S,) what the service's hash gives the stores, in [0, 1): those below a share are held out.

    Raises:
        ValueError: There is no day with both arms, too short a past, or a store that entered the holdout.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> money, held = rng.gamma(100.0, 1.0, (280, 24)), np.full((280, 24), np.nan)
        >>> held[224:] = np.arange(24) % 2
        >>> money[224:][held[224:] == 0] *= 1.1
        >>> look = next(look for look in rollout(money, held) if look.state == "certified")
        >>> look.day < 252, look.holdout, look.stop
        (True, 0.25, False)
    """
    plan = plan or RolloutPlan()
    launch, arms = _arms(held)
    least = 0.0 if draws is None else float(np.nextafter(np.sort(draws)[: plan.held_stores][-1], 1))
    sales = _Sales(money, launch, plan)
    looks = list[Look]()
    certified = None
    changes = [0, *(np.flatnonzero((np.diff(arms, axis=0) < 0).any(axis=1)) + 1).tolist()]
    # Stores may be priced on different days of the week: what changes within a washout is one change.
    starts = [
        now for now, before in zip(changes, [-len(arms), *changes], strict=False) if now - before > plan.washout_days
    ]
    for stage, (start, end) in enumerate(itertools.pairwise([*starts, len(arms)]), start=1):
        own = arms[min(start + plan.washout_days, end - 1)]
        first = launch + start + plan.washout_days
        days = np.arange(first + DAYS - 1, launch + end)
        estimate, lower, upper = sales.bounds(own, first, days, [plan.stage_days], plan.stage_days, plan.confidence)[0]
        timely = days < first + sales.stage_days
        passed = timely & (lower > -plan.loss)
        losing = timely & (upper < -plan.loss)
        if stage == 1 and (passed & ~np.logical_or.accumulate(losing)).any():
            certified = int(days[np.argmax(passed)])
        if certified is not None:
            begin = max(launch + start, certified + 1)
            watched = sales.bounds(own, begin, days, plan.windows, max(plan.windows), plan.stop_confidence)
            losing = np.any(watched[:, 2] < -plan.loss, axis=0)
        enough = np.logical_or.accumulate(passed) & (certified is not None)
        for place, day in enumerate(days.tolist()):
            stop = bool(losing[place])
            sure = certified is not None and day >= certified
            gain, low, high = (
                None if np.isnan(part[place]) else float(part[place]) for part in (estimate, lower, upper)
            )
            share = max(least, plan.shares[min(stage - 1 + bool(enough[place]), len(plan.shares) - 1)])
            state = "certified" if sure else "waiting"
            if stop:
                state = "stopped"
            reason = _reason(plan, state, stage, sure, np.isnan(estimate[place]))
            looks.append(Look(day, state, stage, gain, low, high, share, stop, reason))
            if stop:
                return looks
    return looks


def _reason(plan: RolloutPlan, state: str, stage: int, sure: bool, unknown: bool) -> str:
    """Why a look has its state."""
    if state == "stopped":
        confidence = plan.stop_confidence if sure else plan.confidence
        return f"these prices lose more than {plan.loss:.3g} of the money, with {confidence:.0%} confidence"
    if unknown:
        return "an arm has fewer than two stores with sales, so that there is no comparison"
    if sure:
        return f"these prices lose at most {plan.loss:.3g} of the money, with {plan.confidence:.0%} confidence"
    late = "stores left the holdout before a certificate; start another rollout"
    return f"the lower bound is not above {-plan.loss:.3g} yet" if stage == 1 else late


def _arms(held: Floats) -> tuple[int, Floats]:
    """The first day with both arms, and the (days, S) arms from then on, to before the first day without the policy."""
    both = np.flatnonzero((held == 0).any(axis=1) & (held == 1).any(axis=1))
    if not len(both):
        raise ValueError("a rollout needs days with stores in the holdout and others; got none; set the holdout share")
    known = pd.DataFrame(held[both[0] :]).ffill().to_numpy()
    gone = np.flatnonzero(~(known == 0).any(axis=1))
    known = known[: gone[0]] if len(gone) else known
    day, store = np.nonzero(np.diff(known, axis=0) > 0)
    if len(day):
        got = f"store number {store[0]}, which entered it on day {both[0] + day[0] + 1}"
        raise ValueError(f"stores may leave the holdout and never enter it; got {got}; start another rollout")
    return int(both[0]), known


class _Sales:
    """The money as shares of the chain's, and how far such shares move apart by themselves.

    Raises:
        ValueError: The past is too short.
    """

    def __init__(self, money: Floats, launch: int, plan: RolloutPlan) -> None:
        there = np.isfinite(money)
        parts = np.where(there, money, 0.0), there * np.nansum(money, axis=1, keepdims=True)
        self._sums = [np.cumsum(np.pad(part, ((1, 0), (0, 0))), axis=0) for part in parts]
        self._launch = launch
        self._plan = plan
        usable = [days for days in plan.baselines if launch >= days + _LEAST_DAYS]
        if not usable:
            need = min(plan.baselines) + _LEAST_DAYS
            raise ValueError(f"a rollout needs {need} days of sales before it; got {launch}; import older sales")
        half = np.arange(money.shape[1]) % 2.0

        def spread(baseline: int) -> float:
            found = self._imitated(half, 0, [_LEAST_DAYS], _LEAST_DAYS, baseline)
            return float(np.mean([estimate.std() for estimate, _ in found]))

        self._baseline = min(usable, key=spread)
        self.stage_days = min(plan.stage_days, launch - self._baseline)

    def bounds(
        self, own: Floats, first: int, days: NDArray[np.int64], windows: Sequence[int], looks: int, confidence: float
    ) -> Floats:
        """(windows, 3, L) the relative gain of the last days up to some days, and its one-sided lower and upper bounds.

        Args:
            own: (S,) arms of the stores.
            first: First day that may be read; with fewer than a week of such days, all is NaN.
            days: (L,) last days that are read.
            windows: How many days are read.
            looks: Days since the first over which a bound holds, on all looks and in all windows together.
            confidence: With which it holds.
        """
        if min((own == arm).sum() for arm in (0, 1)) < _LEAST_STORES:
            return np.full((len(windows), 3, len(days)), np.nan)
        looks = min(looks, self._launch - self._baseline)
        heights = list[Floats]()
        shape = Analysis(1.0, 0.0, 0.0, DAYS, looks).shape()
        for estimate, error in self._imitated(own, first - self._launch, windows, looks, self._baseline):
            ratio = estimate / error / shape[DAYS - 1 :, None]
            sides = [(side * ratio).max(axis=(0, 1)) for side in (1, -1)]
            heights.append(np.nanquantile(sides, 1 - _SPENT * (1 - confidence), axis=1))
        low, high = np.max(heights, axis=0)
        x = self._before(self._launch, self._baseline)
        found = []
        for window in windows:
            starts = np.minimum(np.maximum(first, days + 1 - window), days + 1)
            estimate, error = (part[:, 0] for part in _difference(x, self._share(starts, days + 1), own[:, None]))
            error = np.where(days + 1 - starts >= DAYS, error, np.nan) * shape[np.clip(days - first, 0, looks - 1)]
            found.append(np.expm1([estimate, estimate - low * error, estimate + high * error]))
        return np.array(found)

    def _share(self, start: NDArray[np.int64] | int, end: NDArray[np.int64] | int) -> Floats:
        """(..., S) money of stretches of days over the chain's on the same days; NaN for a store that was not there."""
        with np.errstate(invalid="ignore"):
            return np.divide(*(part[end] - part[start] for part in self._sums))

    def _before(self, day: int, baseline: int) -> Floats:
        """(S,) shares in the baseline before a day; NaN for a store that was there for less than half of it."""
        there = self._sums[1][day] - self._sums[1][day - baseline]
        return np.where(there > there.max() / 2, self._share(day - baseline, day), np.nan)

    def _imitated(
        self, own: Floats, gap: int, windows: Sequence[int], looks: int, baseline: int
    ) -> Iterator[tuple[Floats, Floats]]:
        """For stretches of the past, (windows, L, R) differences and their errors where the assignment is drawn again."""
        rng = np.random.default_rng(self._plan.seed)
        drawn = np.stack([rng.permutation(own) for _ in range(self._plan.redraws)], axis=1)
        gap = max(0, min(gap, self._launch - looks - baseline))
        ends = np.arange(DAYS, looks + 1)
        for day in np.unique(np.linspace(baseline, self._launch - looks - gap, _STRETCHES).astype(int)).tolist():
            x = self._before(day, baseline)
            start = day + gap
            pairs = [_difference(x, self._share(start + np.maximum(0, ends - w), start + ends), drawn) for w in windows]
            yield tuple(np.stack(part) for part in zip(*pairs, strict=True))  # type: ignore[misc]


def _difference(x: Floats, y: Floats, held: Floats) -> tuple[Floats, Floats]:
    """(L, R) logarithms of the ratio of two ratio estimates, policy over holdout, and their errors.

    Args:
        x: (S,) shares of money in the baseline.
        y: (L, S) shares of money since.
        held: (S, R) assignments.
    """
    there = np.isfinite(y) & (x > 0)
    x = np.where(there, x, 0.0)
    y = np.where(there, y, 0.0)
    squares = np.divide(y**2, x, out=np.zeros_like(y), where=there)
    found = []
    with np.errstate(divide="ignore", invalid="ignore"):
        for arm in (0, 1):
            inside = (held == arm).astype(np.float64)
            before = x @ inside
            after = y @ inside
            ratio = after / before
            weight = x**2 @ inside / before**2
            spread = (squares @ inside - ratio * after) / ratio**2
            found.append((np.log(ratio), spread, before, weight, there.astype(np.float64) @ inside))
        (policy, *own), (holdout, *others) = found
        spread, money, weight, count = (a + b for a, b in zip(own, others, strict=True))
        return policy - holdout, np.sqrt(spread / money * count / (count - 2) * weight)
