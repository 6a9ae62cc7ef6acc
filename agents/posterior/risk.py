"""Risk over posterior draws: conditional value at risk, and training episodes that lean towards bad draws.

The CVaR of a share a is the mean of the worst a of the draws: Rockafellar and Uryasev (2000),
Optimization of Conditional Value-at-Risk, Journal of Risk 2(3). It is taken of the gain over current
prices, as the money of a draw says more about its customers than about the prices. Training meets bad
draws more often, after Rajeswaran et al. (2017), EPOpt: Learning Robust Neural Network Policies Using
Model Ensembles. Unlike there, which draws are bad is decided once, by the gain of fixed prices.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...pricing import FixedPrice, Policy, PricePath
from ...scenarios import MarketSpec
from .money import PosteriorMoney, draws_of

# Share of the training episodes that follow the worst draws.
_BAD_EPISODES = 0.5


def worst_share(risk: str) -> float:
    """The share of draws, worst first, that a risk measure averages over.

    Args:
        risk: `mean`, or `cvar:SHARE`.

    Returns:
        The share, 1 for the mean.

    Raises:
        ValueError: Any other text, or a share outside (0, 1].

    Example:
        >>> worst_share("mean"), worst_share("cvar:0.1")
        (1.0, 0.1)
    """
    kind, _, share = str(risk).partition(":")
    try:
        number = float(share) if kind == "cvar" else 1.0 if risk == "mean" else np.nan
    except ValueError:
        number = np.nan
    if not 0 < number <= 1:
        raise ValueError(f"risk must be mean or cvar:SHARE with a share in (0, 1]; got {risk!r}; write cvar:0.1")
    return number


def risk_value(by_draw: ArrayLike, share: float) -> float:
    """The mean of the worst share of the draws; a draw at the edge counts in part.

    Args:
        by_draw: (D,) values, one per draw.
        share: As `worst_share` gives it.

    Example:
        >>> risk_value([4.0, 1.0, 3.0, 2.0], 0.5), risk_value([4.0, 1.0, 3.0, 2.0], 1.0)
        (1.5, 2.5)
    """
    rising = np.sort(np.asarray(by_draw, dtype=np.float64))
    weights = np.clip(share * rising.size - np.arange(rising.size), 0, 1)
    return float(rising @ weights / weights.sum())


def current_prices(spec: MarketSpec) -> Policy:
    """The prices that gains are measured against: those that the shop charged, or the regular ones.

    Args:
        spec: The market.

    Example:
        >>> from repricer import load_scenario
        >>> current_prices(load_scenario("stationary-logit")).name
        'regular'
    """
    if spec.history is not None:
        return PricePath(spec.history.price.astype(np.float32), name="current")
    return FixedPrice(spec.products.regular_price.astype(np.float32), name="regular")


def draw_pool(spec: MarketSpec, price: NDArray[np.floating], share: float) -> tuple[int, ...] | None:
    """The draws that training episodes go through.

    The worst share, by the gain of these prices over current prices, is repeated until it makes up half
    of the episodes.

    Args:
        spec: A market with a posterior.
        price: (N,) fixed prices near those that are learned, currency per unit.
        share: As `worst_share` gives it.

    Returns:
        Numbers of draws, some of them repeated; None for all draws alike: for the mean, and where the
        money of a draw has no closed form.
    """
    if share == 1 or spec.demand.family != "mnl":
        return None
    money = PosteriorMoney(spec, draws_of(spec))
    own = spec.products.regular_price if spec.history is None else spec.history.price.mean(axis=0)
    gain = money.by_draw(np.asarray(price, dtype=np.float64)) - money.by_draw(np.asarray(own, dtype=np.float64))
    number = max(1, round(share * gain.size))
    order = np.argsort(gain, kind="stable")
    bad, others = order[:number], order[number:]
    times = max(1, round(_BAD_EPISODES / (1 - _BAD_EPISODES) * others.size / number))
    return tuple(np.concatenate([np.tile(bad, times), others]).tolist())
