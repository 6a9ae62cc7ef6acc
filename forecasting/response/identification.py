"""Identification of a price effect: fixed effects and controls, or instruments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import cast

import numpy as np
import pandas as pd
from linearmodels.iv import IV2SLS
from linearmodels.iv.results import IVResults
from numpy.typing import NDArray

from .least_squares import Array, CoefficientEstimate

WEAK_F = 10.0
"""Below it, two-stage least squares leans towards least squares (Staiger and Stock 1997)."""

_SAFE_F = 104.7
"""Above it, a t-ratio of 1.96 is a test at 5% with one instrument (Lee, McCrary, Moreira
and Porter 2022).
"""

_SHOWN = 4
# Of the largest price, below which what the instruments leave of prices is rounding.
_ROUNDING = 1e-6
_A_SHARE = (
    "the instruments ({}) move exactly as prices do, as a cost that was computed from them; they say nothing of their "
    "own, were not used, and the estimates rest on fixed effects"
)
FIXED_EFFECTS = "fixed effects"
INSTRUMENTS = "instruments"


@dataclass(frozen=True)
class Identification:
    """The price changes that an estimate rests on, and the biases that it cannot rule out.

    Attributes:
        method: `fixed effects` or `instruments`; weak instruments are not used.
        effects: the fixed effects, in words.
        controls: columns held fixed beside them.
        fixed_effects: the pooled coefficient by least squares with effects and controls.
        cannot_rule_out: possible biases that the table cannot show.
        instruments: the candidate columns.
        instrumented: the pooled coefficient by two-stage least squares, also where instruments are
            weak; None without.
        first_stage_f: effective F of the instruments (Montiel Olea and Pflueger 2013), robust to
            dependence within a cluster; NaN without instruments.
        exogeneity_p: p-value of exogenous prices (Wooldridge's regression test); NaN without
            instruments.
        overidentification_p: p-value of instruments that agree (Wooldridge's score test); NaN with
            fewer than two.
        warnings: problems of the instruments, in words.

    Example:
        >>> from repricer.forecasting import PriceResponse, example_panel
        >>> print(PriceResponse().fit(example_panel()).identification_)  # doctest: +ELLIPSIS
        Identified by fixed effects; held fixed: product, week (with the shop's traffic), season of the category.
        Pooled, fixed effects: -... (standard error 0...).
        Cannot rule out: ...
    """

    method: str
    effects: tuple[str, ...]
    controls: tuple[str, ...]
    fixed_effects: CoefficientEstimate
    cannot_rule_out: tuple[str, ...]
    instruments: tuple[str, ...] = ()
    instrumented: CoefficientEstimate | None = None
    first_stage_f: float = np.nan
    exogeneity_p: float = np.nan
    overidentification_p: float = np.nan
    warnings: tuple[str, ...] = ()

    @property
    def used(self) -> CoefficientEstimate:
        """The pooled coefficient by the method used."""
        chosen = self.instrumented if self.method == INSTRUMENTS else self.fixed_effects
        assert chosen is not None
        return chosen

    def __str__(self) -> str:
        """Summarise the identification in a few lines."""
        held = ", ".join((*self.effects, *self.controls))
        lines = [f"Identified by {self.method}; held fixed: {held}."]
        lines.append(f"Pooled, fixed effects: {_words(self.fixed_effects)}.")
        if self.instrumented is not None:
            lines.append(
                f"Pooled, instruments ({_listed(self.instruments)}): {_words(self.instrumented)}; "
                f"first-stage F {self.first_stage_f:.1f}; p of exogenous prices {self.exogeneity_p:.3f}."
            )
        lines += [f"Warning: {text}." for text in self.warnings]
        return "\n".join([*lines, *(f"Cannot rule out: {text}." for text in self.cannot_rule_out)])


def identify(
    y: Array,
    price: Array,
    held: Array,
    instruments: pd.DataFrame,
    *,
    clusters: NDArray,
    absorbed: int,
    effects: Sequence[str],
    controls: Sequence[str],
) -> Identification:
    """Estimate one pooled coefficient of `price`, by least squares and by instruments.

    Args:
        y: (n,) outcome, with the absorbed effects removed.
        price: (n,) likewise.
        held: (n, q) further columns to hold fixed, likewise.
        instruments: (n, k) likewise; k may be 0.
        clusters: (n,) cluster of each row, within which errors may be dependent; a single cluster
            counts as none. The absorbed effects must be nested in them.
        absorbed: number of absorbed effects.
    """
    endog, regressor, excluded = (partial_out(values, held) for values in (y, price, instruments.to_numpy(float)))
    codes, gone = pd.factorize(clusters)[0], held.shape[1]
    plain = fit_iv(endog, regressor[:, None], regressor[:, None], codes, held=gone, absorbed=absorbed)
    found = Identification(
        method=FIXED_EFFECTS,
        effects=tuple(effects),
        controls=tuple(controls),
        fixed_effects=_estimate(plain),
        cannot_rule_out=(_OWN_SHOCKS, *_always(controls)),
    )
    if not excluded.shape[1]:
        return found
    if not np.any(np.abs(partial_out(regressor, excluded)) > _ROUNDING * np.abs(regressor).max()):
        return replace(found, warnings=(_A_SHARE.format(_listed(tuple(map(str, instruments)))),))
    strength, names = effective_f(regressor, excluded, codes), tuple(map(str, instruments))
    two_stage = fit_iv(endog, regressor[:, None], excluded, codes, held=gone, absorbed=absorbed)
    strong = strength >= WEAK_F
    return replace(
        found,
        method=INSTRUMENTS if strong else FIXED_EFFECTS,
        instruments=names,
        instrumented=_estimate(two_stage),
        first_stage_f=strength,
        exogeneity_p=float(two_stage.wooldridge_regression.pval),
        overidentification_p=float(two_stage.wooldridge_overid.pval) if excluded.shape[1] > 1 else np.nan,
        warnings=_warnings(strength, names),
        cannot_rule_out=(_exclusion(names) if strong else _OWN_SHOCKS, *_always(controls)),
    )


def fit_iv(y: Array, x: Array, z: Array, clusters: NDArray, *, held: int, absorbed: int) -> IVResults:
    """Fit by two-stage least squares.

    Of two covariances, the one with the larger error of the first coefficient is kept. One
    covariance is robust to heteroscedasticity, the other also to dependence within clusters; with
    few clusters the latter is too small.

    Args:
        y: (n,) outcome.
        x: (n, p) regressors.
        z: (n, k) instruments (x itself for least squares).
        clusters: (n,) codes.
        held: number of columns partialled out, for the degrees of freedom.
        absorbed: number of effects nested in the clusters, likewise.
    """
    model = IV2SLS(y, None, x, z)
    robust = cast(IVResults, model.fit(cov_type="robust", debiased=True, extra_df=held + absorbed))
    if clusters.max() == 0:
        return robust
    clustered = cast(IVResults, model.fit(cov_type="clustered", clusters=clusters, debiased=True, extra_df=held))
    return max(robust, clustered, key=lambda fitted: fitted.std_errors.iloc[0])


def effective_f(price: Array, instruments: Array, clusters: NDArray) -> float:
    """Return the effective first-stage F of Montiel Olea and Pflueger (2013, section 3).

    With one instrument it is the squared robust t-ratio. It is the smaller of the F robust to
    heteroscedasticity and the one clustered, which is too large with few clusters. Everything else
    is partialled out of both arguments.
    """
    inverse = np.linalg.pinv(instruments.T @ instruments)
    moment = instruments.T @ price
    residual = price - instruments @ (inverse @ moment)
    rows = instruments * residual[:, None]
    clustered = pd.DataFrame(rows).groupby(clusters).sum().to_numpy()
    spread = max(np.trace(inverse @ (scores.T @ scores)) for scores in (rows, clustered))
    return float(moment @ inverse @ moment / spread) if spread > 0 else np.inf


def partial_out(values: Array, held: Array) -> Array:
    """What columns that are held fixed leave of values."""
    return values - held @ np.linalg.lstsq(held, values)[0] if held.shape[1] else values


def _estimate(fitted: IVResults) -> CoefficientEstimate:
    return CoefficientEstimate(float(fitted.params.iloc[0]), float(fitted.std_errors.iloc[0]))


def _listed(names: tuple[str, ...]) -> str:
    shown = names if len(names) <= _SHOWN else (*names[: _SHOWN - 1], f"{len(names) - _SHOWN + 1} more")
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} or {shown[-1]}"


def _words(estimate: CoefficientEstimate) -> str:
    return f"{estimate.coefficient:.2f} (standard error {estimate.se:.2f})"


def _warnings(strength: float, names: tuple[str, ...]) -> tuple[str, ...]:
    if strength < WEAK_F:
        return (
            f"the instruments ({_listed(names)}) are weak: their first-stage F of {strength:.1f} is below {WEAK_F:g}, "
            "so that they hardly move the price; they were not used and the estimates rest on fixed effects",
        )
    if len(names) == 1 and strength < _SAFE_F:
        return (
            f"the first-stage F of {strength:.1f} is above {WEAK_F:g} but below {_SAFE_F:g}: the instrument is usable, "
            "but its 95% interval may cover less than that",
        )
    return ()


_OWN_SHOCKS = (
    "prices that were set because of that product's own demand in the same week: reducing slow sellers makes "
    "demand look less elastic than it is, reducing products whose demand is about to rise makes it look more elastic"
)


def _exclusion(names: tuple[str, ...]) -> str:
    return (
        f"that {_listed(names)} moved demand other than through the price: costs that follow demand, or, for prices "
        "elsewhere, campaigns and shocks that reached all stores at once"
    )


def _always(controls: Sequence[str]) -> tuple[str, ...]:
    stored = "stockpiling at low prices, which it counts as demand"
    if "promotion" in controls:
        return (stored,)
    return (stored, "displays and leaflets that came with a reduction, which it counts as a response to the price")
