"""The gain of one policy over another: parameter uncertainty and sampling noise, kept apart."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

Floats = NDArray[np.float64]
Interval = tuple[float, float]
ENDS = (0.05, 0.95)
# Numpy's own method makes intervals of few draws too narrow for the next draw.
METHOD = "weibull"
TAIL = 0.1
# Evenly likely values of a standard normal, scaled to its variance, and its 95% quantile.
NORMAL = norm.ppf((np.arange(25) + 0.5) / 25)
NORMAL = NORMAL / NORMAL.std()
Z90 = 1.645


@dataclass(frozen=True)
class Gain:
    """What one policy earns beyond another, over posterior draws and customers.

    Money is currency per episode. "Expected" averages over customers, so that only the parameters
    of the market are uncertain; "realised" includes the customers' sampling noise.

    Attributes:
        mean: Mean over the draws.
        interval90: 5% and 95% quantile of the expected gain over the draws.
        interval90_realised: The same of the realised gain, with the same customers
            for both policies.
        loss_probability: Share of the draws in which the expected gain is negative.
        cvar10: Mean of the expected gain in the worst tenth of the draws.
        parameter_variance: Variance of the expected gain over the draws, unbiased; it may be
            negative where it is small.
        sampling_variance: Mean variance of the realised gain within a draw, unbiased.
        noise: Variance of the mean of a draw's few episodes around its expected gain.
        relative: `mean`, `interval90` and `interval90_realised` as shares of what the other policy
            earns; None where that is not positive in every draw.
        base: Mean expected money of the other policy.
        draws: (M,) expected gain under each draw.
        relative_draws: (M,) the same as a share of what the other policy earns, or None.

    Example:
        >>> import numpy as np
        >>> base = np.full((3, 2), 10.0)
        >>> gain = Gain.of(base + np.array([[-1.0], [1.0], [3.0]]), base, base + 1, base)
        >>> gain.mean, round(gain.loss_probability, 2), gain.relative["mean"]
        (1.0, 0.33, 0.1)
    """

    mean: float
    interval90: Interval
    interval90_realised: Interval
    loss_probability: float
    cvar10: float
    parameter_variance: float
    sampling_variance: float
    noise: float
    relative: dict[str, Any] | None
    base: float
    draws: Floats
    relative_draws: Floats | None

    @classmethod
    def of(cls, expected: Floats, other_expected: Floats, realised: Floats, other_realised: Floats) -> Gain:
        """The gain from paired episodes, (M, E) money each: M draws, E >= 2 episodes in each.

        Args:
            expected: Expected money of the policy, given its actions.
            other_expected: The same of the policy that it is compared with.
            realised: Money that the policy took.
            other_realised: The same of the other policy.
        """
        came = realised - other_realised
        # Both have the same mean. Expected money varies less, except where stock is what limits
        # sales.
        pairs = ((expected, other_expected), (realised, other_realised))
        one, other = min(pairs, key=lambda pair: (pair[0] - pair[1]).var(axis=1).mean())
        difference, base = one - other, other.mean(axis=1)
        draws, parameter = without_noise(difference)
        relative = relative_draws = None
        if (base > 0).all():
            share = difference.mean(axis=1) / base
            # The error of a ratio of means, by the delta method.
            relative_draws, _ = without_noise((difference - share[:, None] * other) / base[:, None], share)
            relative = {
                "mean": float(difference.mean() / base.mean()),
                "interval90": quantiles(relative_draws),
                "interval90_realised": quantiles(came / base[:, None]),
            }
        return cls(
            mean=float(difference.mean()),
            interval90=quantiles(draws),
            interval90_realised=quantiles(came),
            loss_probability=float((draws < 0).mean()),
            cvar10=cvar(draws, TAIL),
            parameter_variance=parameter,
            sampling_variance=float(came.var(axis=1, ddof=1).mean()),
            noise=float(difference.var(axis=1, ddof=1).mean() / difference.shape[1]),
            relative=relative,
            base=float(base.mean()),
            draws=draws,
            relative_draws=relative_draws,
        )

    def widened(self, deviation: float) -> Gain:
        """The gain with an independent error of the other policy's money, a share of it, added to its variance.

        Args:
            deviation: Standard deviation of the error.
        """
        if not deviation:
            return self
        error, size = deviation * NORMAL, abs(self.base)

        def more(values: Floats, scale: float = 1.0) -> Floats:
            # The quantiles of the sum, as many as there are draws.
            return np.sort((values[:, None] + scale * error).ravel()).reshape(len(values), -1).mean(axis=1)

        def further(ends: Interval, mean: float, scale: float = 1.0) -> Interval:
            low, high = (np.hypot(end - mean, Z90 * scale * deviation) for end in ends)
            return float(mean - low), float(mean + high)

        draws, relative, shares = more(self.draws, size), self.relative, self.relative_draws
        if relative is not None and shares is not None:
            shares, mean = more(shares), relative["mean"]
            ends = {name: further(relative[name], mean) for name in ("interval90", "interval90_realised")}
            relative = {"mean": mean} | ends
        return replace(
            self,
            interval90=further(self.interval90, self.mean, size),
            interval90_realised=further(self.interval90_realised, self.mean, size),
            loss_probability=float((draws < 0).mean()),
            cvar10=cvar(draws, TAIL),
            parameter_variance=self.parameter_variance + (size * deviation) ** 2,
            relative=relative,
            draws=draws,
            relative_draws=shares,
        )

    @property
    def chance_of_loss(self) -> str:
        """The probability of a loss in words; that none of so many draws loses says less than that none can."""
        least = 1 / self.draws.size
        if self.loss_probability < least:
            return f"less than {max(least, 0.01):.0%} chance"
        return f"{self.loss_probability:.0%} chance"

    @property
    def parameter_share(self) -> float | None:
        """Share of the variance of the realised gain that is parameter uncertainty; None without any variance."""
        parameter = max(self.parameter_variance, 0.0)
        total = parameter + self.sampling_variance
        return parameter / total if total > 0 else None

    @property
    def share(self) -> float:
        """The mean gain as a share of what the other policy earns (of its size, where it may lose)."""
        return self.mean / (abs(self.base) or 1.0)

    def quantile(self, level: float) -> float:
        """Quantile of the expected gain, as a share of what the other policy earns (of its size, where it may lose)."""
        values = self.draws / (abs(self.base) or 1.0) if self.relative_draws is None else self.relative_draws
        return float(np.quantile(values, level, method=METHOD))

    def to_dict(self) -> dict[str, Any]:
        """As `evaluate --json` prints it."""
        names = ("mean", "interval90", "interval90_realised", "loss_probability", "cvar10", "parameter_share")
        return {name: getattr(self, name) for name in names} | {"relative": self.relative}


def without_noise(episodes: Floats, centre: Floats | None = None) -> tuple[Floats, float]:
    """The mean under each draw, and its variance over the draws, both without the noise
    of few episodes.

    A mean over E episodes varies more over the draws than the true mean does: by the law of total
    variance, by the variance within draws over E. The means are drawn together around their common
    mean until their variance is that of the true means.

    Args:
        episodes: (M, E) one value per draw and episode, independent between draws.
        centre: (M,) the means, where they are not those of `episodes`.

    Returns:
        (M,) means, and their variance: unbiased, so possibly negative.
    """
    means = episodes.mean(axis=1) if centre is None else centre
    if means.size < 2:
        return means, 0.0
    spread, noise = means.var(ddof=1), episodes.var(axis=1, ddof=1).mean() / episodes.shape[1]
    if spread == 0:
        return means, float(-noise)
    shrink = np.sqrt(max(0.0, 1 - noise / spread))
    return means.mean() + shrink * (means - means.mean()), float(spread - noise)


def quantiles(values: Floats) -> Interval:
    """The 5% and the 95% quantile; the next draw of the same kind lies between them with a probability of 90%."""
    low, high = np.quantile(values, ENDS, method=METHOD)
    return float(low), float(high)


def cvar(draws: Floats, tail: float) -> float:
    """Mean of the lowest values, a share `tail` of them and at least one (conditional value at risk)."""
    count = max(1, round(tail * draws.size))
    return float(np.sort(draws)[:count].mean())
