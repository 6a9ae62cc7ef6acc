"""Two tabular Q-learners set prices against each other: a replication of Calvano et al. (2020).

Calvano, Calzolari, Denicolò and Pastorello (2020), Artificial Intelligence, Algorithmic Pricing, and Collusion,
American Economic Review 110(10), baseline: α = .15, β = 4e-6, δ = .95, fifteen prices, memory of one period.
Demand and yardsticks come from the scenario `calvano-duopoly`.

    python docs/examples/calvano.py --sessions 200
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray
from repricer.envs import expected_units, rival_units
from repricer.evaluation.competition import Yardstick, profit_gain, yardstick
from repricer.scenarios import MarketSpec, load_scenario

LEARNING_RATE = 0.15
EXPLORATION_DECAY = 4e-6  # a random price with probability exp(-decay * period)
NUM_PRICES = 15
MARGIN = 0.1  # evenly spaced, beyond Nash and monopoly by this share of their distance
STABLE_PERIODS = 100_000
MAX_PERIODS = 10_000_000


@dataclass(frozen=True)
class Replication:
    """What S sessions ended in. delta: the learners' discount factor.

    gain: (S,) joint profit gain, 0 at one-period Nash and 1 at joint monopoly, and price: (S,) mean price (currency per
    unit), both under the learned greedy play. converged: (S,) whether greedy play was stable. periods: (S,) played.
    """

    delta: float
    gain: NDArray[np.float64]
    price: NDArray[np.float64]
    converged: NDArray[np.bool_]
    periods: NDArray[np.int64]
    seconds: float

    @property
    def mean_gain(self) -> float:
        """Mean profit gain of the sessions."""
        return float(self.gain.mean())

    @property
    def standard_error(self) -> float:
        """Standard error of the mean profit gain; NaN for one session."""
        return float(self.gain.std(ddof=1) / np.sqrt(self.gain.size)) if self.gain.size > 1 else float("nan")

    @property
    def mean_price(self) -> float:
        """Mean price of the sessions, currency per unit."""
        return float(self.price.mean())


def price_grid(marks: Yardstick) -> NDArray[np.float64]:
    """(15,) prices around the symmetric duopoly's Nash and monopoly price."""
    nash = float(marks.nash_price[0])
    monopoly = float(marks.monopoly_price[0])
    beyond = MARGIN * (monopoly - nash)
    return np.linspace(nash - beyond, monopoly + beyond, NUM_PRICES)


def profit_table(spec: MarketSpec, prices: NDArray[np.float64]) -> NDArray[np.float64]:
    """(2, A, A) expected profit of the shop and its rival, by the index of the shop's price and of the rival's."""
    assert spec.competitors is not None
    own, rival = (grid.reshape(-1, 1) for grid in np.meshgrid(prices, prices, indexing="ij"))
    units = (
        expected_units(spec, 0, own, rival_price=rival).sum(axis=1),
        rival_units(spec, 0, own, rival),
    )
    costs = (spec.products.unit_cost, spec.competitors.unit_cost)
    profits = [(p - c) * u for p, c, u in zip((own, rival), costs, units, strict=True)]
    return np.stack(profits).reshape(2, prices.size, prices.size)


@njit
def opening_values(profit, delta):
    """(2, S, A) value of each price in each state: its discounted profit against a rival who chooses at random."""
    count = profit.shape[1]
    values = np.empty((2, count * count, count))
    for a in range(count):
        values[0, :, a] = profit[0, a, :].mean() / (1 - delta)
        values[1, :, a] = profit[1, :, a].mean() / (1 - delta)
    return values


@njit
def greedy_in(values):
    """(2, S) best price in each state."""
    greedy = np.empty(values.shape[:2], np.int64)
    for i in range(2):
        for s in range(values.shape[1]):
            greedy[i, s] = values[i, s].argmax()
    return greedy


@njit
def learn(profit, delta, stable_periods, max_periods, rng):
    """One session: the greedy prices (2, S), the last state, the periods played, and whether greedy play was stable.

    A state is both prices of the period before.
    """
    count = profit.shape[1]
    values = opening_values(profit, delta)
    greedy = greedy_in(values)
    state = int(rng.random() * count * count)
    stable = 0
    period = 0
    explore = 1.0
    chosen = np.empty(2, np.int64)
    while period < max_periods and stable < stable_periods:
        for i in range(2):
            chosen[i] = int(rng.random() * count) if rng.random() < explore else greedy[i, state]
        following = chosen[0] * count + chosen[1]
        stable += 1
        for i in range(2):
            target = profit[i, chosen[0], chosen[1]] + delta * values[i, following, greedy[i, following]]
            known = values[i, state]
            known[chosen[i]] += LEARNING_RATE * (target - known[chosen[i]])
            best = known.argmax()
            if best != greedy[i, state]:
                greedy[i, state], stable = best, 0
        state = following
        period = period + 1
        explore *= np.exp(-EXPLORATION_DECAY)
    return greedy, state, period, stable >= stable_periods


@njit
def greedy_cycle(greedy, state, count):
    """Indices of the states that greedy play repeats for ever, from this state on."""
    for _ in range(count * count):  # no more states than these can pass before the cycle
        state = greedy[0, state] * count + greedy[1, state]
    cycle = [state]
    while True:
        state = greedy[0, state] * count + greedy[1, state]
        if state == cycle[0]:
            return np.array(cycle)
        cycle.append(state)


def replicate(
    sessions: int = 200,
    delta: float = 0.95,
    seed: int = 0,
    *,
    stable_periods: int = STABLE_PERIODS,
    max_periods: int = MAX_PERIODS,
) -> Replication:
    """Play independent sessions until both learners' greedy prices stay as they are in every state for a while.

    A session's randomness hangs on (seed, its number) alone. Raises ValueError for fewer than one session or a discount
    factor outside [0, 1).
    """
    if sessions < 1:
        raise ValueError(f"sessions must be at least 1; got {sessions}; ask for one or more")
    if not 0 <= delta < 1:
        raise ValueError(f"delta must lie in [0, 1); got {delta:g}; choose a discount factor below 1")
    began = time.perf_counter()
    spec = load_scenario("calvano-duopoly")
    marks = yardstick(spec)
    prices = price_grid(marks)
    table = profit_table(spec, prices)
    gain = np.empty(sessions)
    price = np.empty(sessions)
    periods = np.empty(sessions, np.int64)
    converged = np.empty(sessions, np.bool_)
    for number in range(sessions):
        rng = np.random.default_rng([seed, number])
        greedy, state, periods[number], converged[number] = learn(table, delta, stable_periods, max_periods, rng)
        own, rival = np.divmod(greedy_cycle(greedy, state, prices.size), prices.size)
        joint = table[:, own, rival].sum(axis=0).mean()
        gain[number] = profit_gain(joint, marks.nash_profit.sum(), marks.monopoly_profit.sum())
        price[number] = np.mean([prices[own], prices[rival]])
    return Replication(delta, gain, price, converged, periods, time.perf_counter() - began)


def main() -> None:
    """Replicate with patient and with myopic learners, and print a table."""
    parser = argparse.ArgumentParser(description="Replicate Calvano et al. (2020).")
    parser.add_argument("--sessions", type=int, default=200)
    parser.add_argument("--delta", type=float, nargs="+", default=[0.95, 0.0], help="discount factors")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    print("delta  profit gain        mean price  converged  mean periods  seconds")
    for delta in options.delta:
        done = replicate(options.sessions, delta, options.seed)
        print(
            f"{delta:<5g}  {done.mean_gain:.3f} ± {done.standard_error:.3f} (se)  {done.mean_price:<10.3f}  "
            f"{f'{done.converged.sum()}/{options.sessions}':<9}  {done.periods.mean():<12,.0f}  {done.seconds:.1f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
