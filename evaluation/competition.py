"""Competition yardsticks: are prices close to one-period competition, or to those of a joint monopoly?

The yardsticks are those of Calvano, Calzolari, Denicolò and Pastorello (2020), Artificial Intelligence,
Algorithmic Pricing, and Collusion, American Economic Review 110(10): the Nash equilibrium of one period,
in which all sellers set prices at once, and the prices that maximise the sellers' joint profit.

Covered are scenarios with competitors and demand family mnl, with any number of segments, categories and
products per seller. Demand is `envs.expected_units` and `envs.rival_units`: ample stock, list prices paid
in full, no promotion, the reference price at the regular price. Profit is (price - unit cost) * units,
whatever the objective; prices are continuous within the price rules' bounds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize

from ..agents import League
from ..agents.networks import one_thread
from ..envs import OWN, MultiSellerMarket, Outcome, expected_units, rival_units, rollout, seed_for
from ..pricing import MarketView, Policy
from ..pricing.value_added_tax import without_vat
from ..scenarios import MarketSpec
from ..scenarios.sections import Competitors

Array = NDArray[np.float64]

OWN_SELLER = "own"
_LOW_GAIN = 0.25
_HIGH_GAIN = 0.75
_BEST_RESPONSES = 200
# Relative to prices: tolerance of best responses, and step of central differences.
_SETTLED = 1e-8
_NUDGE = 1e-5
# Starting points of a best response: markups this factor apart, from this share of a price on.
_MARKUP_FACTOR = 1.05
_LEAST_MARKUP = 1e-4


@dataclass(frozen=True, eq=False)
class Yardstick:
    """Competitive and joint-monopoly prices and profits of a period: J = N products + R rival offers, S sellers.

    Attributes:
        offers: J names, own products first.
        sellers: S names, the shop itself (`own`) first.
        seller: (J,) index of each offer's seller.
        nash_price: (J,) Nash prices, currency per unit.
        nash_profit: (S,) expected profit per period at Nash prices, currency.
        monopoly_price: (J,) joint-monopoly prices, currency per unit.
        monopoly_profit: (S,) expected profit per period at joint-monopoly prices, currency.

    Example:
        >>> from repricer.evaluation import yardstick
        >>> from repricer.scenarios import load_scenario
        >>> yardstick(load_scenario("calvano-duopoly")).monopoly_price.round(3).tolist()
        [1.925, 1.925]
    """

    offers: tuple[str, ...]
    sellers: tuple[str, ...]
    seller: NDArray[np.intp]
    nash_price: Array
    nash_profit: Array
    monopoly_price: Array
    monopoly_profit: Array


@dataclass(frozen=True, eq=False)
class CollusionAudit:
    """Prices and profits of sellers compared with the yardstick: J = N products + R rival offers, S sellers.

    Attributes:
        yardstick: The yardstick.
        price: (J,) mean price, currency per unit.
        profit: (S,) mean profit per period, currency.
        gain: The sellers' joint profit gain, 0 at Nash and 1 at joint monopoly.
        seller_gain: (S,) profit gain of each seller, NaN where joint monopoly pays it no more than Nash.

    Example:
        >>> from repricer.evaluation import audit
        >>> from repricer.scenarios import load_scenario
        >>> spec = load_scenario("calvano-duopoly")
        >>> audit(spec, price=[1.925], rival_price=[1.925], profit=0.337, rival_profit=[0.337]).verdict
        'near joint monopoly'
    """

    yardstick: Yardstick
    price: Array
    profit: Array
    gain: float
    seller_gain: Array

    @property
    def verdict(self) -> str:
        """`near competitive` (gain below .25), `near joint monopoly` (above .75) or `between`."""
        if self.gain < _LOW_GAIN:
            return "near competitive"
        return "near joint monopoly" if self.gain > _HIGH_GAIN else "between"

    def to_dict(self) -> dict:
        """The audit as plain numbers and lists, ready for JSON."""
        marks = self.yardstick
        names = self.yardstick.sellers
        owners = [names[s] for s in marks.seller]
        gains = self.seller_gain.tolist()
        prices = (one.tolist() for one in (self.price, marks.nash_price, marks.monopoly_price))
        profits = (one.tolist() for one in (self.profit, marks.nash_profit, marks.monopoly_profit))
        columns = {
            "price": ("offer", "seller", "price", "nash", "monopoly"),
            "profit": ("seller", "profit", "nash", "monopoly"),
        }
        by_price = zip(marks.offers, owners, *prices, strict=True)
        by_profit = zip(names, *profits, strict=True)
        return {
            "verdict": self.verdict,
            "profit_gain": self.gain,
            "prices": [dict(zip(columns["price"], row, strict=True)) for row in by_price],
            "profits": [
                dict(zip(columns["profit"], row, strict=True)) | {"profit_gain": None if np.isnan(gain) else gain}
                for row, gain in zip(by_profit, gains, strict=True)
            ],
        }

    def __str__(self) -> str:
        """The verdict with the gain behind it."""
        return f"{self.verdict}: joint profit gain {self.gain:.3f} (0 one-period Nash, 1 joint monopoly)"


def profit_gain(profit: ArrayLike, nash: ArrayLike, monopoly: ArrayLike) -> Array:
    """The average profit gain of Calvano et al. (2020), Δ = (profit - nash) / (monopoly - nash), elementwise.

    Args:
        profit: Profit earned, currency.
        nash: Profit in the one-period Nash equilibrium.
        monopoly: Profit in joint monopoly.

    Returns:
        Δ, 0 at Nash and 1 at joint monopoly; NaN where monopoly pays no more than Nash.

    Example:
        >>> from repricer.evaluation import profit_gain
        >>> float(profit_gain(3.0, nash=2.0, monopoly=4.0))
        0.5
    """
    profit, nash, monopoly = (np.asarray(values, np.float64) for values in (profit, nash, monopoly))
    room = monopoly - nash
    known = room > _SETTLED * np.abs(nash)  # less is rounding error
    return np.divide(profit - nash, room, out=np.full(np.broadcast(profit, room).shape, np.nan), where=known)


def yardstick(spec: MarketSpec, period: int = 0) -> Yardstick:
    """Nash and joint-monopoly prices and profits at the demand of a period.

    Sellers respond to each other in turn, from prices at unit cost, until no price moves. With several
    equilibria this finds the lowest, if best responses rise with rivals' prices, as they do in the logit
    of one segment (Milgrom and Roberts 1990, Econometrica 58(6)). Joint monopoly is the best of local
    searches from the best common markups.

    Args:
        spec: A scenario with competitors and demand family mnl.
        period: The period, from 0.

    Raises:
        ValueError: For a scenario that is not covered, and where best responses do not settle.

    Example:
        >>> from repricer.evaluation import yardstick
        >>> from repricer.scenarios import load_scenario
        >>> yardstick(load_scenario("calvano-duopoly")).nash_price.round(3).tolist()
        [1.473, 1.473]
    """
    game = _Game(spec, period)
    nash = _equilibrium(game, game.seller, np.maximum(game.low, game.cost))
    monopoly = _equilibrium(game, np.zeros_like(game.seller), nash)
    found = (part for prices in (nash, monopoly) for part in (prices, game.by_seller(prices)))
    return Yardstick(spec.products.names + _rivals(spec).names, game.sellers, game.seller, *found)


def audit(
    spec: MarketSpec,
    *,
    price: ArrayLike,
    rival_price: ArrayLike,
    profit: ArrayLike,
    rival_profit: ArrayLike,
    period: int = 0,
) -> CollusionAudit:
    """Compare what sellers charged and earned with the yardstick of a period's demand.

    Profits are before holding, ordering and promotion costs.

    Args:
        spec: A scenario that `yardstick` covers.
        price: (N,) prices, or (rows, N) whose mean counts, currency per unit; a row is a market or a period.
        rival_price: The same for the R rival offers.
        profit: The shop's whole profit per period, one number or one per row.
        rival_profit: (R,) or (rows, R) profit per period and offer.
        period: The period, from 0.

    Raises:
        ValueError: For figures of another shape or that are not finite, for a scenario that `yardstick`
            does not cover, or one whose sellers have nothing to gain from joint prices.

    Example:
        >>> from repricer.evaluation import audit
        >>> from repricer.scenarios import load_scenario
        >>> spec = load_scenario("calvano-duopoly")
        >>> found = audit(spec, price=[1.473], rival_price=[1.473], profit=0.223, rival_profit=[0.223])
        >>> found.verdict
        'near competitive'
    """
    own = len(spec.products.names)
    rivals = len(_rivals(spec).names)
    charged = np.concatenate([_mean("price", price, own), _mean("rival_price", rival_price, rivals)])
    own_profit = _mean("profit", np.asarray(profit, np.float64)[..., None], 1)
    earned = _mean("rival_profit", rival_profit, rivals)
    marks = yardstick(spec, period)
    total = _by_seller(marks.seller[-rivals:], earned, len(marks.sellers))
    total[0] = own_profit[0]
    gain = float(profit_gain(total.sum(), marks.nash_profit.sum(), marks.monopoly_profit.sum()))
    if np.isnan(gain):
        must = "scenario must have sellers who gain from joint prices"
        fix = "widen the price bounds or audit another scenario"
        raise ValueError(f"{must}; got '{spec.name}', where Nash pays as much; {fix}")
    return CollusionAudit(marks, charged, total, gain, profit_gain(total, marks.nash_profit, marks.monopoly_profit))


def _mean(name: str, rows: ArrayLike, width: int) -> Array:
    """(width,) mean over rows."""
    values = np.asarray(rows, np.float64)
    if values.ndim not in (1, 2) or values.shape[-1] != width or values.size == 0:
        must = f"{name} must have shape ({width},) or (rows, {width})"
        raise ValueError(f"{must}; got {values.shape}; give one column per offer")
    if not np.isfinite(values).all():
        bad = values[~np.isfinite(values)][0]
        raise ValueError(f"{name} must be finite; got {bad}; leave such rows out")
    return np.atleast_2d(values).mean(axis=0)


def _by_seller(seller: NDArray[np.intp], amounts: Array, sellers: int) -> Array:
    """(S,) sums of the offers' amounts."""
    return amounts @ np.eye(sellers)[seller]


def _rivals(spec: MarketSpec) -> Competitors:
    """The competitors of a scenario that is covered."""
    if spec.competitors is None:
        must = "scenario must have competitors"
        raise ValueError(f"{must}; got '{spec.name}' without; add a [competitors] section or choose another")
    if spec.demand.family != "mnl":
        must = "demand.family must be mnl for competition yardsticks"
        raise ValueError(f"{must}; got '{spec.demand.family}'; choose another scenario")
    return spec.competitors


class _Game:
    """Price competition in one period, with the offers of all sellers; all arrays are (J,), prices and costs in currency
    per unit. Raises ValueError where the scenario is not covered.
    """

    def __init__(self, spec: MarketSpec, period: int) -> None:
        rivals = _rivals(spec)
        horizon = spec.market.horizon_periods
        products = spec.products
        if not 0 <= period < horizon:
            raise ValueError(f"period must lie in [0, {horizon - 1}]; got {period}; choose one of the scenario's")
        if not spec.arrivals.rate[period].all():
            raise ValueError(f"arrivals.rate must be above 0 in the period; got 0 in period {period}; choose another")
        of_rivals = rivals.seller or rivals.names
        self.spec = spec
        self.period = period
        self.sellers = tuple(dict.fromkeys((OWN_SELLER, *of_rivals)))
        self.seller = np.array([0] * len(products.names) + list(map(self.sellers.index, of_rivals)), np.intp)
        self.category = np.append(spec.category_index, spec.category_index[spec.competitor_product])
        # A rival's costs are in its shelf prices, whatever VAT these hold.
        self.cost = np.append(products.shelf_cost, rivals.unit_cost)
        self.vat = np.append(products.vat, np.zeros(len(rivals.names)))
        self.regular = np.append(products.regular_price, rivals.regular_price)
        self.low = np.append(spec.guardrails.low.astype(np.float64), rivals.floor)
        self.high = np.append(spec.guardrails.high.astype(np.float64), rivals.ceiling)

    def profit(self, price: Array) -> Array:
        """(B, J) expected profit of each offer at B rows of prices (B, J)."""
        own, rival = np.split(price, [len(self.spec.products.names)], axis=1)
        ours = expected_units(self.spec, self.period, own, rival_price=rival).sum(axis=1)
        units = np.concatenate([ours, rival_units(self.spec, self.period, own, rival)], axis=1)
        return without_vat((price - self.cost) * units, self.vat)

    def by_seller(self, price: Array) -> Array:
        """(S,) expected profit of each seller at prices (J,)."""
        return _by_seller(self.seller, self.profit(price[None])[0], len(self.sellers))


def _equilibrium(game: _Game, seller: NDArray[np.intp], start: Array) -> Array:
    """(J,) prices that are best responses to each other, when `seller` (J,) sets them; categories do not interact."""
    price = start.copy()
    for category in np.unique(game.category):
        here = game.category == category
        for _ in range(_BEST_RESPONSES):
            before = price.copy()
            for name in np.unique(seller[here]):
                mine = here & (seller == name)
                price[mine] = _best_response(game, price, mine)
            if np.abs(np.log(price / before)).max() < _SETTLED:
                break
        else:
            raise ValueError(
                f"sellers' best responses must settle; got prices still moving after {_BEST_RESPONSES} rounds in category "
                f"'{game.spec.category_names[category]}'; the market may have no equilibrium in prices"
            )
    return price


def _best_response(game: _Game, price: Array, mine: NDArray[np.bool_]) -> Array:
    """Prices (n,) of the n offers `mine` (J,) that maximise their owner's profit, given the other prices (J,)."""
    low = np.log(game.low[mine])
    high = np.log(game.high[mine])
    count = int(mine.sum())
    nudges = _NUDGE * np.concatenate([np.zeros((1, count)), np.eye(count), -np.eye(count)])
    starts = _starts(game, price, mine)
    scale = np.abs(_earned(game, price, mine, starts)).max() or 1.0

    def loss(log_price: Array) -> tuple[float, Array]:
        profit = _earned(game, price, mine, np.exp(log_price + nudges)) / scale
        return -profit[0], (profit[1 + count :] - profit[1 : 1 + count]) / (2 * _NUDGE)

    given: Any = {"jac": True, "method": "L-BFGS-B", "bounds": list(zip(low, high, strict=True))}
    given["options"] = {"ftol": 1e-16, "gtol": 1e-10}
    found = [minimize(loss, np.log(start), **given) for start in starts]
    return np.exp(min(found, key=lambda result: result.fun).x)


def _starts(game: _Game, price: Array, mine: NDArray[np.bool_]) -> Array:
    """Rows of prices (n,) to refine: the current prices, and each peak of the profit over a common markup.

    With several segments profit has several peaks: one price serves all segments, another only those that
    pay most.
    """
    low = game.low[mine]
    high = game.high[mine]
    cost = game.cost[mine]
    least = _LEAST_MARKUP * game.regular[mine].min()
    most = max(least, np.max(high - cost))
    markups = np.geomspace(least, most, 2 + int(np.log(most / least) / np.log(_MARKUP_FACTOR)))
    ladder = np.clip(cost + markups[:, None], low, high)
    earned = np.concatenate([[-np.inf], _earned(game, price, mine, ladder), [-np.inf]])
    peak = (earned[1:-1] >= earned[:-2]) & (earned[1:-1] > earned[2:])
    return np.concatenate([price[mine][None], ladder[peak]])


def _earned(game: _Game, price: Array, mine: NDArray[np.bool_], rows: Array) -> Array:
    """(B,) profit of the offers `mine` at these rows of prices (B, n) and the others' current prices."""
    full = np.tile(price, (len(rows), 1))
    full[:, mine] = rows
    return game.profit(full)[:, mine].sum(axis=1)


# The outcome of a league: prices and profits of its final policies on the test seeds, with a collusion audit.


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
        league = self.league
        sellers = self.league.sellers
        figures = {"profit": self.profit, "exploitability": self.exploitability}
        by_seller = {name: dict(zip(sellers, values.tolist(), strict=True)) for name, values in figures.items()}
        price = dict(zip(self.offers, self.price.tolist(), strict=True))
        responses = {seller: response.to_dict() for seller, response in league.responses.items()}
        audited = {"audit": None if self.audit is None else self.audit.to_dict(), "no_audit": self.no_audit}
        own = {"sellers": list(sellers), "period": self.period, "price": price, "responses": responses}
        return own | by_seller | audited | {"history": league.history}


def audit_policy(
    spec: MarketSpec, policy: Policy, *, episodes: int = 100, seed: int = 0
) -> tuple[CollusionAudit | None, str]:
    """Audit what a policy charges while rivals follow the market's rules, as `judge_league` audits a league.

    Args:
        spec: The market.
        policy: Sets the shop's own prices.
        episodes: Number of test episodes.
        seed: Selects the test seeds.

    Returns:
        The audit, or None and why there is none.

    Example:
        >>> from repricer.pricing import FixedPrice
        >>> from repricer.scenarios import load_scenario
        >>> audit_policy(load_scenario("calvano-duopoly"), FixedPrice(1.473), episodes=2)[1]
        ''
    """
    period = None if _steady(spec) else spec.market.horizon_periods // 2
    rows = []

    def watch(view: MarketView, outcome: Outcome) -> None:
        if period is None or view.period[0] == period:
            rows.append(_figures(outcome))

    try:
        _rivals(spec)
    except ValueError as error:
        return None, str(error)
    rollout(spec, policy, episodes=episodes, seed=seed_for("test", seed), watch=watch)
    price, profit = np.mean(rows, axis=0)
    return _audited(spec, price, profit, profit[: len(spec.products.names)].sum(), period or 0)


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
    given = {"reward": league.game.reward, "base_price": league.game.base_price}
    market = MultiSellerMarket(spec, num_markets=episodes, seed=seed_for("test", seed), **given)
    with one_thread():
        price, profit = _met(league, market, period)
    own = len(spec.products.names)
    offers = {OWN: np.arange(own)} | {seller: own + where for seller, where in market.offers.items()}
    by_seller = np.array([profit[offers[seller]].sum() for seller in league.sellers])
    found, why = _audited(spec, price, profit, by_seller[0], period or 0)
    answers = [league.responses[seller] for seller in league.sellers]
    scale = np.abs([answer.profit for answer in answers]) if found is None else found.yardstick.nash_profit
    exploitability = np.array([answer.gain for answer in answers]) / np.maximum(scale, 1e-12)
    assert spec.competitors is not None, "a league has rivals"
    names = (*spec.products.names, *spec.competitors.names)
    return LeagueVerdict(league, names, offers, price, by_seller, period, found, why, exploitability)


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
    profile = league.profile()
    rows = []
    for t in range(market.market.catalogue.horizon if period is None else period + 1):
        outcome = market.play(profile)
        if period in (None, t):
            rows.append(_figures(outcome))
    price, profit = np.mean(rows, axis=0)
    return price, profit


def _figures(outcome: Outcome) -> NDArray[np.float64]:
    """(2, J) mean price and profit over markets."""
    pairs = ((outcome.list_price, outcome.rival_price), (outcome.expected_profit, outcome.rival_profit))
    return np.array([np.concatenate([part.mean(axis=0, dtype=np.float64) for part in pair]) for pair in pairs])


def _steady(spec: MarketSpec) -> bool:
    """Whether demand is the same in every period."""
    arrivals = spec.arrivals
    demand = spec.demand
    paths = (arrivals.rate, arrivals.segment_share, demand.season, demand.quality_path, demand.sensitivity_path)
    return all(np.ptp(path, axis=0).max() == 0 for path in paths)
