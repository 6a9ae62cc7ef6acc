"""The outcome of a league: prices and profits of its final policies on the test seeds, with a collusion audit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...agents import League
from ...agents.networks import one_thread
from ...envs import OWN, MultiSellerMarket, Outcome, seed_for
from ...scenarios import MarketSpec
from .collusion import CollusionAudit, audit


@dataclass(frozen=True, eq=False)
class LeagueVerdict:
    """The final policies of a league against each other: J = N products + R rival
    offers, S sellers.

    Attributes:
        league: The league.
        offers: J names.
        offers_of: By seller, indices of its offers.
        price: (J,) mean price, currency per unit.
        profit: (S,) mean profit per period, currency.
        period: The period of these figures, from 0, or None for all periods of an episode.
        audit: Comparison with Nash and joint monopoly, or None.
        no_audit: Why there is no audit.
        exploitability: (S,) what the best response found for each seller would add, as a share of
            its Nash profit, or of its own profit where there is no audit.

    Example:
        >>> judge_league(league).audit.verdict  # doctest: +SKIP
        'near competitive'
    """

    league: League
    offers: tuple[str, ...]
    offers_of: dict[str, NDArray[np.intp]]
    price: NDArray[np.float64]
    profit: NDArray[np.float64]
    period: int | None
    audit: CollusionAudit | None
    no_audit: str
    exploitability: NDArray[np.float64]

    def to_dict(self) -> dict[str, Any]:
        """As `repricer league --json` prints it, plain numbers and lists."""
        sellers = self.league.sellers
        return {
            "sellers": list(sellers),
            "period": self.period,
            "price": dict(zip(self.offers, self.price.tolist(), strict=True)),
            "profit": dict(zip(sellers, self.profit.tolist(), strict=True)),
            "exploitability": dict(zip(sellers, self.exploitability.tolist(), strict=True)),
            "responses": {seller: response.to_dict() for seller, response in self.league.responses.items()},
            "audit": None if self.audit is None else self.audit.to_dict(),
            "no_audit": self.no_audit,
            "history": self.league.history,
        }


def judge_league(league: League, *, episodes: int = 100, seed: int = 0) -> LeagueVerdict:
    """Simulate a league's final policies against each other on the test seeds, and
    audit their prices.

    Every period counts where demand is the same in all of them; otherwise the middle one does, with
    its own yardstick. Money is expected, given prices and state.

    Args:
        league: A finished league.
        episodes: Number of test episodes.
        seed: Selects the test seeds.

    Raises:
        ValueError: For less than one episode.

    Example:
        >>> judge_league(league, episodes=200).profit.shape  # doctest: +SKIP
        (2,)
    """
    spec = league.run.spec
    if episodes < 1:
        raise ValueError(f"episodes must be at least 1; got {episodes}; ask for one or more")
    period = None if _steady(spec) else spec.market.horizon_periods // 2
    market = MultiSellerMarket(
        spec,
        num_markets=episodes,
        seed=seed_for("test", seed),
        reward=league.game.reward,
        base_price=league.game.base_price,
    )
    with one_thread():
        price, profit = _met(league, market, period)
    own = len(spec.products.names)
    offers = {OWN: np.arange(own)} | {seller: own + where for seller, where in market.offers.items()}
    by_seller = np.array([profit[offers[seller]].sum() for seller in league.sellers])
    found, why = _audited(spec, price, profit, by_seller[0], period or 0)
    assert spec.competitors is not None, "a league has rivals"
    answers = [league.responses[seller] for seller in league.sellers]
    scale = np.abs([answer.profit for answer in answers]) if found is None else found.yardstick.nash_profit
    return LeagueVerdict(
        league=league,
        offers=(*spec.products.names, *spec.competitors.names),
        offers_of=offers,
        price=price,
        profit=by_seller,
        period=period,
        audit=found,
        no_audit=why,
        exploitability=np.array([answer.gain for answer in answers]) / np.maximum(scale, 1e-12),
    )


def _audited(
    spec: MarketSpec, price: NDArray[np.float64], profit: NDArray[np.float64], own_profit: float, period: int
) -> tuple[CollusionAudit | None, str]:
    """The audit of prices and profits by offer, (J,) each, or why there is none."""
    own = len(spec.products.names)
    figures = {"price": price[:own], "rival_price": price[own:], "profit": own_profit, "rival_profit": profit[own:]}
    try:
        return audit(spec, **figures, period=period), ""
    except ValueError as error:
        # The yardstick does not cover the market; the reason is part of the result.
        return None, str(error)


def _met(
    league: League, market: MultiSellerMarket, period: int | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(J,) mean price and profit of each offer in this period, or over all."""
    profile, rows = league.profile(), []
    for t in range(market.market.catalogue.horizon if period is None else period + 1):
        outcome = market.play(profile)
        if period in (None, t):
            rows.append(_figures(outcome))
    price, profit = np.stack(rows).mean(axis=0)
    return price, profit


def _figures(outcome: Outcome) -> NDArray[np.float64]:
    """(2, J) mean price and profit over markets."""
    pairs = ((outcome.list_price, outcome.rival_price), (outcome.expected_profit, outcome.rival_profit))
    return np.array([np.concatenate([part.mean(axis=0, dtype=np.float64) for part in pair]) for pair in pairs])


def _steady(spec: MarketSpec) -> bool:
    """Whether demand is the same in every period."""
    arrivals, demand = spec.arrivals, spec.demand
    paths = (arrivals.rate, arrivals.segment_share, demand.season, demand.quality_path, demand.sensitivity_path)
    return all(np.ptp(path, axis=0).max() == 0 for path in paths)
