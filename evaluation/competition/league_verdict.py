"""What a league ended in: prices and profits of its final policies on customers that judge, and the collusion audit of them."""

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
    """The final policies of a league among themselves. J = N products + R rival offers, S sellers.

    offers: J names. offers_of: indices of each seller's. price: (J,) mean price, currency per unit. profit: (S,) mean
    currency a period. period: the one that these figures belong to (from 0), or None for all periods of an episode. audit:
    against Nash and joint monopoly, or None where `no_audit` says why there is none. exploitability: (S,) what each seller's
    best response that was found would add, as a share of its Nash profit, or of its own profit where there is no audit.
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
        seats = self.league.sellers
        return {
            "sellers": list(seats),
            "period": self.period,
            "price": dict(zip(self.offers, self.price.tolist(), strict=True)),
            "profit": dict(zip(seats, self.profit.tolist(), strict=True)),
            "exploitability": dict(zip(seats, self.exploitability.tolist(), strict=True)),
            "responses": {seat: response.to_dict() for seat, response in self.league.responses.items()},
            "audit": None if self.audit is None else self.audit.to_dict(),
            "no_audit": self.no_audit,
            "payoff": dict(zip(seats, self.league.payoff.tolist(), strict=True)),
            "history": self.league.history,
        }


def judge_league(league: League, *, episodes: int = 100, seed: int = 0) -> LeagueVerdict:
    """Let a league's final policies meet for `episodes` on the judging customers, and audit what they charge and earn.

    Every period counts where demand is the same in all of them; otherwise the middle one does, whose own yardstick it is
    held against. Money is expected, given prices and state.
    """
    spec = league.run.spec
    if episodes < 1:
        raise ValueError(f"episodes must be at least 1; got {episodes}; ask for one or more")
    period = None if _steady(spec) else spec.market.horizon_periods // 2
    sellers = MultiSellerMarket(
        spec,
        num_markets=episodes,
        seed=seed_for("test", seed),
        reward=league.game.reward,
        base_price=league.game.base_price,
    )
    with one_thread():
        price, profit = _met(league, sellers, period)
    own = len(spec.products.names)
    offers = {OWN: np.arange(own)} | {seat: own + where for seat, where in sellers.offers.items()}
    by_seat = np.array([profit[offers[seat]].sum() for seat in league.sellers])
    found, why = None, ""
    try:
        found = audit(
            spec,
            price=price[:own],
            rival_price=price[own:],
            profit=by_seat[0],
            rival_profit=profit[own:],
            period=period or 0,
        )
    except ValueError as error:
        # No yardstick: the market is not covered, which is no fault of the league; the reason is part of the result.
        why = str(error)
    assert spec.competitors is not None, "a league has rivals"
    answers = [league.responses[seat] for seat in league.sellers]
    scale = np.abs([answer.profit for answer in answers]) if found is None else found.yardstick.nash_profit
    return LeagueVerdict(
        league=league,
        offers=(*spec.products.names, *spec.competitors.names),
        offers_of=offers,
        price=price,
        profit=by_seat,
        period=period,
        audit=found,
        no_audit=why,
        exploitability=np.array([answer.gain for answer in answers]) / np.maximum(scale, 1e-12),
    )


def _met(
    league: League, sellers: MultiSellerMarket, period: int | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(J,) mean price and profit of each offer in this period, or over all."""
    profile, rows = league.profile(), []
    for t in range(sellers.market.catalogue.horizon if period is None else period + 1):
        outcome = sellers.play(profile)
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
