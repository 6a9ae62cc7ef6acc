"""Alarms in weekly series: spikes, level shifts and trends, without any later week."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import ndtr, ndtri, stdtr, stdtrit

from ..data.weeks import WEEK, WEEKS_A_YEAR

Array = NDArray[np.float64]

FALSE_ALARMS_PER_YEAR = 0.2
"""False alarms of one series without change: one in five years."""

# Level, autocorrelation and spread are estimated from the few weeks that are judged. In the worst of
# the simulated series (tests/forecasting/test_alarms.py) this multiplies the nominal rate of the charts.
_COST_OF_LEARNING = 3.0
_ALLOWANCE = 0.75  # in standard deviations: the CUSUM is fastest for shifts of twice as much
_SMOOTHING = 0.35
LEARNING_WEEKS = 12
_DATABLE_WEEKS = 8
_SAME_MOVE_WEEKS = 8
_VAGUE = 1e6
_KNOWN_WIDTH = 10.0
_LEAST_SPREAD = 0.01
_COUNTS = ("units", "views", "carts")
_RATIOS = ("traffic", "competitor_price")
_PRODUCT_SIGNALS = ("units", "competitor_price", "views", "carts", "rating")


class Alarm(NamedTuple):
    """One alarm.

    Attributes:
        signal: name of the series.
        product: product of the series; empty for the market.
        week: first day of the week whose value raised the alarm.
        kind: `spike` (that week only, so far), `level shift`, or `trend` (a slope, or a second
            shift in the same direction within eight weeks).
        size: signed, in standard deviations of a week's forecast error.
        before: the expected value (spike), or the median before the change, in the unit of the
            series; for units, at the regular price.
        after: the week's value (spike, trend), or the median since the change; for units, at the
            regular price.
        since: first day of the first week after the change, as far as that week could tell.
        sentence: the alarm in words.
    """

    signal: str
    product: str
    week: pd.Timestamp
    kind: str
    size: float
    before: float
    after: float
    since: pd.Timestamp
    sentence: str


@dataclass(frozen=True)
class Limits:
    """Control limits of the two charts, each with half of the allowed false alarms.

    Attributes:
        error: limit of a single standard normal error.
        cusum: limit of a CUSUM of such errors.
    """

    error: float
    cusum: float

    @classmethod
    def of_rate(cls, false_alarms_per_year: float) -> Limits:
        """Limits for a rate; the CUSUM's mean time between false alarms by Siegmund (1985, section 2.6).

        Raises:
            ValueError: the rate is not in (0, 12].
        """
        if not 0 < false_alarms_per_year <= 12:
            raise ValueError(f"false_alarms_per_year must lie in (0, 12]; got {false_alarms_per_year}; try 0.2")
        each_week = false_alarms_per_year / _COST_OF_LEARNING / 2 / WEEKS_A_YEAR

        def excess(limit: float) -> float:
            height = 2 * _ALLOWANCE * (limit + 1.166)
            one_sided = (math.exp(height) - height - 1) / (2 * _ALLOWANCE**2)
            return one_sided / 2 - 1 / each_week

        return cls(error=float(-ndtri(each_week / 2)), cusum=float(brentq(excess, 0.0, 50.0)))


def find_alarms(panel: pd.DataFrame, *, false_alarms_per_year: float = FALSE_ALARMS_PER_YEAR) -> pd.DataFrame:
    """Monitor every series of a weekly panel.

    Each series is forecast one week ahead from its last value and its smoothed level by recursive
    least squares; a product's units also follow its own reduction and promotion. Under normal noise
    the errors, divided by their own spread so far, follow Student's t whatever the level and the
    spread (recursive residuals: Brown, Durbin and Evans 1975; as control charts: Quesenberry 1991),
    so the limits need no long quiet period. Two charts share the allowed false alarms: the single
    error (a spike) and the two-sided CUSUM of the errors (Page 1954; self-starting: Hawkins 1987).
    When the CUSUM signals, `ruptures` dates the change and tells a level shift from a trend, from
    the data up to that week. An error updates the forecast only up to the limit, so that a spike
    does not desensitise the chart; after a change the level is estimated anew. No alarm depends on
    a later week.

    Args:
        panel: `product`, `week`, `units`, `traffic` and the optional columns.
        false_alarms_per_year: long-run rate for each series.

    Returns:
        One row per alarm with the fields of `Alarm`, by week; none in the first 12 weeks of a
        series.

    Raises:
        ValueError: a column is missing, a product has two rows in a week, or the rate is not in (0, 12].

    Example:
        >>> from repricer.forecasting import example_panel
        >>> panel = example_panel(n_products=1, n_weeks=21)
        >>> last = panel["week"] == panel["week"].max()
        >>> find_alarms(panel.assign(traffic=panel["traffic"].mask(last, 2000.0)))["kind"].tolist()
        ['spike']
    """
    return series_alarms(weekly_series(panel), false_alarms_per_year=false_alarms_per_year)


def series_alarms(series: pd.DataFrame, *, false_alarms_per_year: float = FALSE_ALARMS_PER_YEAR) -> pd.DataFrame:
    """What `find_alarms` returns, of the series that `weekly_series` returns."""
    limits = Limits.of_rate(false_alarms_per_year)
    groups = series.sort_values("week").groupby(["name", "product"], sort=True)
    alarms = [alarm for (name, product), rows in groups for alarm in _watch(str(name), str(product), rows, limits)]
    return pd.DataFrame(alarms, columns=Alarm._fields).sort_values(["week", "signal", "product"], ignore_index=True)


def weekly_series(panel: pd.DataFrame) -> pd.DataFrame:
    """Return the series that `find_alarms` monitors.

    Args:
        panel: a weekly panel, see `find_alarms`.

    Returns:
        `name`, `product` (empty: a series of the market), `week`, `value` and `explained`, the shop's own price reduction
        and promotion of the week, which the value may follow (0 where unknown).

    Raises:
        ValueError: see `find_alarms`.
    """
    if missing := [name for name in ("product", "week", "units", "traffic") if name not in panel]:
        raise ValueError(
            f"panel: column {missing[0]!r} is missing; got {', '.join(map(str, panel.columns))}; make it with "
            "repricer.data.product_weeks"
        )
    if panel.duplicated(["product", "week"]).any():
        raise ValueError("panel: one row for each product and week is allowed; got duplicates; drop them")
    # Units measure no demand while the product is sold out, or the shop closed.
    observed = (panel["traffic"] > 0) & ~panel["stockout"] if "stockout" in panel else panel["traffic"] > 0
    rows = panel.assign(units=panel["units"].where(observed))
    if "price" in rows:
        # Before its first sale a product has no price.
        rows = rows[rows["price"].notna()]
    weeks = panel.drop_duplicates("week").assign(product="")
    signals = [name for name in map(str, panel.columns) if name == "traffic" or name.startswith("signal_")]
    watched = [(name, rows) for name in _PRODUCT_SIGNALS if name in panel] + [(name, weeks) for name in signals]
    series = [
        source[["product", "week"]].assign(
            name=name, value=source[name].astype(float), explained=_reduction(rows) if name == "units" else 0.0
        )
        for name, source in watched
    ]
    return pd.concat(series, ignore_index=True)


def _reduction(panel: pd.DataFrame) -> pd.Series:
    """Log price reduction plus the share of stores with a promotion."""
    known = {"price", "regular_price"} <= set(panel)
    ratio = panel["regular_price"] / panel["price"] if known else pd.Series(1.0, panel.index)
    reduction = pd.Series(np.log(ratio), panel.index)
    return reduction.replace([np.inf, -np.inf], np.nan).fillna(0.0) + panel.get("promotion", 0.0)


class _Scale:
    """The scale on which the noise of a series is about constant.

    Roots of counts, logs of traffic and prices, otherwise the values themselves.
    Values are relative to the median of the first weeks, in units of their mean deviation, so that
    no unit matters.
    """

    def __init__(self, name: str, first: Array) -> None:
        self.log = name in _RATIOS
        self.root = name in _COUNTS
        self._even = np.asarray
        if self.log:
            self._even = np.log
        elif self.root:
            self._even = np.sqrt
        raw = self._even(first)
        self.centre = float(np.median(raw))
        deviation = float(np.abs(raw - self.centre).mean())
        self.unit = max(deviation, _LEAST_SPREAD * self._size(float(np.abs(raw).max()))) or 1.0

    def there(self, values: Array) -> Array:
        return (self._even(values) - self.centre) / self.unit

    def back(self, value: float) -> float:
        raw = value * self.unit + self.centre
        if self.root:
            return round(max(raw, 0.0) ** 2, 9)
        return math.exp(raw) if self.log else raw

    def least_spread(self, *values: float) -> float:
        """A hundredth of the series' size, so that rounding in a constant series raises no alarm."""
        return _LEAST_SPREAD * self._size(max(abs(value * self.unit + self.centre) for value in values)) / self.unit

    def _size(self, raw: float) -> float:
        return 1.0 if self.log else raw


@dataclass(frozen=True)
class _Learner:
    """Recursive least squares; the first of its regressors is 1.

    Attributes:
        weights: (4,) coefficients.
        covariance: (4, 4) of the coefficients, in units of the noise variance.
        squares: sum of the squared forecast errors, each over its variance in units of the noise
            variance.
        errors: their number.
    """

    weights: Array = field(default_factory=lambda: np.zeros(4))
    covariance: Array = field(default_factory=lambda: np.eye(4) * _VAGUE)
    squares: float = 0.0
    errors: int = 0

    def width(self, regressors: Array) -> float:
        """Standard deviation of a forecast error over that of the noise."""
        return math.sqrt(1 + regressors @ self.covariance @ regressors)

    def spread(self, least: float) -> float:
        """Standard deviation of the noise."""
        return max(math.sqrt(self.squares / self.errors), least) if self.errors else least

    def learn(self, regressors: Array, value: float) -> _Learner:
        width = self.width(regressors)
        gain = self.covariance @ regressors / width**2
        error = value - self.weights @ regressors
        counts = width < _KNOWN_WIDTH
        return _Learner(
            weights=self.weights + gain * error,
            covariance=self.covariance - gain[:, None] * (regressors @ self.covariance),
            squares=self.squares + float(error / width) ** 2 * counts,
            errors=self.errors + counts,
        )

    def without_level(self) -> _Learner:
        covariance = self.covariance.copy()
        covariance[0] = covariance[:, 0] = 0.0
        covariance[0, 0] = _VAGUE
        return replace(self, covariance=covariance)


class _Raised(NamedTuple):
    """The alarm of a week, on the transformed scale; `since` counts weeks from the first."""

    kind: str
    size: float
    before: float
    after: float
    since: int


class _Watch:
    """Monitors one series week by week."""

    def __init__(self, values: Array, explained: Array, scale: _Scale, limits: Limits) -> None:
        self.values = values
        self.explained = explained
        self.scale = scale
        self.limits = limits
        self.learner = _Learner()
        self.past: list[_Learner] = []
        self.last = self.level = 0.0
        self.first_of_level = 0
        self.cusum = np.zeros(2)  # of errors above and below the forecast
        self.rising_since = np.zeros(2, dtype=int)
        self.last_change: tuple[int, int, _Raised] | None = None

    def step(self, week: int) -> _Raised | None:
        """Judge one week with the estimates before it, then update them."""
        self.past.append(self.learner)
        value = float(self.values[week])
        regressors = self._regressors(week)
        expected = float(self.learner.weights @ regressors)
        spread = self.learner.spread(self.scale.least_spread(expected, value))
        error, learnt = self._judge(value - expected, self.learner.width(regressors), spread)
        self._learn(regressors, expected + learnt)
        if week < LEARNING_WEEKS:
            return None
        self.rising_since[self.cusum == 0] = week
        counted = max(-self.limits.error, min(error, self.limits.error))
        self.cusum = np.maximum(0.0, self.cusum + np.array([counted, -counted]) - _ALLOWANCE)
        if self.cusum.max() > self.limits.cusum:
            return self._changed(week, spread)
        if abs(error) > self.limits.error:
            return _Raised("spike", (value - expected) / spread, expected, value, week)
        return None

    def _judge(self, error: float, width: float, spread: float) -> tuple[float, float]:
        """How unusual a forecast error is, as a score, and the part of it that the estimates learn from.

        Over its scale, an error has Student's t distribution. The score is the number of standard deviations at which a
        normal variable is as unlikely, so that it can be compared with one limit however few errors there were.

        Args:
            error: Value less forecast.
            width: Standard deviation of the error over that of the noise.
            spread: Standard deviation of the noise.
        """
        degrees = self.learner.errors
        if width > _KNOWN_WIDTH or degrees < 2 or not error:
            return 0.0, error
        tail = stdtr(degrees, -abs(error) / (width * spread))
        # A tail of 0 is an error beyond 37 standard deviations.
        score = -float(ndtri(max(tail, sys.float_info.min)))
        # The error whose score is the limit: no more than that is learned from one week.
        limit = float(stdtrit(degrees, ndtr(self.limits.error))) * width * spread
        return math.copysign(score, error), max(-limit, min(error, limit))

    def _regressors(self, week: int) -> Array:
        return np.array([1.0, self.last, self.level, self.explained[week]])

    def _learn(self, regressors: Array, value: float) -> None:
        self.learner = self.learner.learn(regressors, value)
        self.last = value
        self.level += _SMOOTHING * (value - self.level)

    def _changed(self, week: int, spread: float) -> _Raised | None:
        """Date and name the change, and estimate the level anew from that week on.

        Errors can add up although the level is the same after the change as before: that raises no
        alarm.
        """
        side = int(self.cusum.argmax())
        start = self.first_of_level
        history = self.values[start : week + 1] - self.past[-1].weights[-1] * self.explained[start : week + 1]
        kind, length = self._kind_and_length(history, int(self.rising_since[side]) - start)
        before = float(np.median(history[:length]))
        after = float(np.median(history[length:]))
        since = start + length
        self._restart(since, week)
        if (after - before) * (1 - 2 * side) < spread:
            return None
        if self.last_change and self.last_change[1] == side and week - self.last_change[0] <= _SAME_MOVE_WEEKS:
            kind = "trend"
            before = self.last_change[2].before
            since = self.last_change[2].since
        if kind == "trend":
            after = float(history[-1])
        raised = _Raised(kind, (after - before) / spread, before, after, since)
        self.last_change = (week, side, raised)
        return raised

    @staticmethod
    def _kind_and_length(history: Array, rise: int) -> tuple[str, int]:
        """Return the better of one step and one kink (least squares), and the number of weeks before it.

        Args:
            history: values since the last change.
            rise: weeks before the CUSUM began to rise, which are used where the history is too
                short to date a change.
        """
        if len(history) < _DATABLE_WEEKS:
            return "level shift", max(rise, 1)
        # Half a second of every other command that imports this package.
        import ruptures

        fits = {}
        for kind, cost in (("level shift", "l2"), ("trend", "clinear")):
            search = ruptures.Dynp(model=cost, min_size=2, jump=1).fit(history[:, None])
            ends = search.predict(n_bkps=1)
            fits[kind] = (search.cost.sum_of_costs(ends), ends[0])
        kind = min(fits, key=lambda name: fits[name][0])
        return kind, fits[kind][1]

    def _restart(self, since: int, week: int) -> None:
        """Estimate the level from the weeks since the change; keep the earlier noise and memory."""
        quiet = self.past[since]
        self.learner = quiet.without_level()
        self.last = self.level = float(self.values[since])
        for place in range(since, week + 1):
            self._learn(self._regressors(place), float(self.values[place]))
        self.learner = replace(self.learner, squares=quiet.squares, errors=quiet.errors)
        self.first_of_level = since
        self.cusum = np.zeros(2)


def _watch(name: str, product: str, rows: pd.DataFrame, limits: Limits) -> list[Alarm]:
    usable = np.isfinite(rows["value"]) & ((rows["value"] > 0) | (name not in _RATIOS))
    rows = rows[usable]
    if len(rows) <= LEARNING_WEEKS:
        return []
    values = rows["value"].to_numpy(dtype=float)
    weeks = list(rows["week"])
    scale = _Scale(name, values[:LEARNING_WEEKS])
    watch = _Watch(scale.there(values), rows["explained"].to_numpy(dtype=float), scale, limits)
    alarms: list[Alarm] = []
    for place, week in enumerate(weeks):
        raised = watch.step(place)
        if raised is not None:
            before = scale.back(raised.before)
            after = scale.back(raised.after)
            since = weeks[raised.since]
            title = f"{name} of {product}" if product else name
            if name == "units" and raised.kind != "spike":
                title += ", at the regular price,"
            sentence = _sentence(title, week, raised, before, after, since)
            if any(abs((week - past.week) / WEEK - 52) <= 1 and past.size * raised.size > 0 for past in alarms):
                sentence += " It did the same a year ago."
            alarms.append(Alarm(name, product, week, raised.kind, raised.size, before, after, since, sentence))
    return alarms


def _sentence(name: str, week: pd.Timestamp, raised: _Raised, before: float, after: float, since: pd.Timestamp) -> str:
    up = raised.size > 0
    far = f"({abs(raised.size):.1f} standard deviations)."
    now = f"{after:,.4g}"
    was = f"{before:,.4g}"
    start = f"since the week of {since:%Y-%m-%d}"
    if raised.kind == "spike":
        return (
            f"{name} {'rose' if up else 'fell'} to {now} in the week of {week:%Y-%m-%d}, where {was} was expected {far}"
        )
    if raised.kind == "trend":
        return f"{name} has been {'rising' if up else 'falling'} {start}, from {was} to {now} {far}"
    return f"{name} has stood at about {now} {start}, {'up' if up else 'down'} from {was} {far}"
