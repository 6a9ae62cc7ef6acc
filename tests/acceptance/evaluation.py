"""Evaluation: baselines, solvers, estimates from logs, intervals, speed."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable

import numpy as np
from repricer.agents import best_fixed
from repricer.envs import Market, rollout, seed_for
from repricer.evaluation import Estimate, LogRecorder, exact_value, named_policy, solve, upper_bound
from repricer.evaluation.off_policy import weighted_estimates
from repricer.pricing import Action, EpsilonGreedy, FixedPrice, MarketView, Policy, PricePath
from repricer.scenarios import load_scenario
from repricer.tests.optimum.closed_forms import gallego_van_ryzin

from .checks import check

BOUNDS = {"gallego-van-ryzin": 16.93, "stationary-logit": 445.58, "low-before-high": 385.64, "three-stocks": 306.57}
"""Fluid bounds of the reference table, to the two digits after the point that it gives."""
CLOSED_FORMS = (
    (5, 5, 4.5154, 1.3353, 5.0),
    (10, 10, 9.4605, 1.2415, 10.0),
    (20, 1, 3.0445, 4.0445, 3.9957),
    (20, 10, 15.4729, 1.7721, 16.9315),
    (50, 40, 47.5474, 1.2874, 48.9257),
)
"""Gallego and van Ryzin: x, units, value, opening price, bound."""
VALUES = {
    "gallego-van-ryzin": "15.4464",
    "stationary-logit": "435.668",
    "low-before-high": "358.395",
    "regimes": "619.856",
    "three-stocks": "282.498",
    "undercutter": "2262.006",
    "price-and-order": "588.903",
    "scarce": "30.4538",
    "reference-price": "8083.385",
}
RMSE = {1.0: (6.1, 4.5, 3.6), 0.02: (42.3, 34.8, 24.1)}
"""Root mean squared errors in percent of IPS, SNIPS and doubly robust by how much the log explores."""
_LOGS = 200


class Rule:
    """A policy from a function of the view that gives prices."""

    name = "rule"

    def __init__(self, answer: Callable[[MarketView], np.ndarray]) -> None:
        self.answer = answer

    def act(self, view: MarketView) -> Action:
        return Action(self.answer(view).astype(np.float32))


def _share(name: str, policy: Policy) -> float:
    """Percent of the optimum: exact where it can be had."""
    spec = load_scenario(name)
    optimum, value = solve(spec), exact_value(spec, policy)
    assert optimum is not None, f"a solver reaches {name}"
    if value is None:
        value = float(rollout(spec, policy, episodes=100_000, seed=seed_for("test")).objective.mean())
    return 100 * value / optimum.value


def baseline_check(name: str, label: str, share: float, tolerance: float, policy: Callable[[], Policy]) -> None:
    @check("evaluation", f"{name}, {label}: distance from {share:g}% of the optimum", "<=", tolerance, "points")
    def measure() -> float:
        return abs(_share(name, policy()) - share)


def named(policy: str, scenario: str) -> Callable[[], Policy]:
    return lambda: named_policy(policy, load_scenario(scenario))


for _name, _fixed in (
    ("gallego-van-ryzin", 95.9),
    ("stationary-logit", 97.2),
    ("low-before-high", 81.1),
    ("regimes", 83.4),
    ("price-and-order", 96.7),
):
    baseline_check(_name, "best fixed price", _fixed, 0.05, named("best-fixed", _name))
for _name, _path in (("stationary-logit", 73.5), ("low-before-high", 27.9), ("regimes", 61.4)):
    baseline_check(_name, "myopic", _path, 0.05, named("myopic", _name))
baseline_check("scarce", "best fixed price", 96.56, 0.01, named("best-fixed", "scarce"))
baseline_check("scarce", "certainty-equivalent", 99.27, 0.005, named("certainty-equivalent", "scarce"))
baseline_check("regimes", "time-only", 84.4, 0.05, named("time-only", "regimes"))
baseline_check(
    "regimes", "best pair by regime", 96.9, 0.05, lambda: Rule(lambda v: np.array([11.0, 25.0])[v.regime][:, None])
)
baseline_check(
    "low-before-high",
    "best pair by the calendar",
    95.6,
    0.06,
    lambda: PricePath(np.repeat([14.0, 31.0], [20, 10])[:, None]),
)
baseline_check("three-stocks", "best fixed prices (simulated)", 95.6, 0.3, named("best-fixed", "three-stocks"))
baseline_check("three-stocks", "myopic (simulated)", 78.3, 0.3, lambda: FixedPrice(equal_markup()))
baseline_check("three-stocks", "fluid prices (simulated)", 93.0, 0.3, lambda: FixedPrice(fluid_prices()))
baseline_check("undercutter", "two-bound(20, 30)", 66.7, 0.05, named("two-bound:19:30:1", "undercutter"))
baseline_check("undercutter", "undercut", 7.7, 0.05, named("undercut:1", "undercutter"))


def equal_markup() -> np.ndarray:
    """(N,) prices of three-stocks that are best for one customer while all is in stock."""
    return named_policy("myopic", load_scenario("three-stocks")).act(Market("three-stocks").view).price[0]


def fluid_prices() -> np.ndarray:
    """(N,) prices of three-stocks at which the mean demand of the season is the stock."""
    policy = named_policy("certainty-equivalent", load_scenario("three-stocks"))
    return policy.act(Market("three-stocks").view).price[0]


@check(
    "evaluation", "low-before-high, best time-only path found, percent of the optimum (best pair 95.6)", ">=", 95.6, "%"
)
def time_only() -> float:
    return _share("low-before-high", named_policy("time-only", load_scenario("low-before-high")))


def bound_check(name: str, value: float) -> None:
    @check("evaluation", f"{name}: fluid bound, distance from {value:g}", "<=", 0.005)
    def measure() -> float:
        bound = upper_bound(load_scenario(name))
        assert bound is not None, f"{name} has a bound"
        return abs(bound.value - value)


for _name, _value in BOUNDS.items():
    bound_check(_name, _value)


def solver_check(name: str, value: str) -> None:
    digits = len(value.partition(".")[2])

    @check("evaluation", f"{name}: the solver's value, distance from {value}", "<=", 0.51 * 10**-digits)
    def measure() -> float:
        return abs(timed_solution(name)[0] - float(value))

    @check("evaluation", f"{name}: solved anew in", "<=", 20, "s")
    def seconds() -> float:
        return timed_solution(name)[1]


@functools.cache
def timed_solution(name: str) -> tuple[float, float]:
    """The optimal value, and the seconds that it took."""
    spec = load_scenario(name)
    started = time.perf_counter()
    optimum = solve.__wrapped__(spec)
    assert optimum is not None, f"a solver reaches {name}"
    return optimum.value, time.perf_counter() - started


for _name, _text in VALUES.items():
    solver_check(_name, _text)


@check("evaluation", "closed forms of Gallego and van Ryzin: largest distance of value, price and bound", "<=", 5.1e-5)
def closed_forms() -> float:
    found = [np.array(gallego_van_ryzin(units, x)) - rest for x, units, *rest in CLOSED_FORMS]
    return float(np.abs(found).max())


def thompson_check(policy: str, share: float) -> None:
    @check("evaluation", f"demand-learning, {policy}: distance from {share:g}% of the bound", "<=", 0.5, "points")
    def measure() -> float:
        spec = load_scenario("demand-learning")
        bound = upper_bound(spec)
        assert bound is not None, "demand-learning has a bound"
        money = rollout(spec, named_policy(policy, spec), episodes=1000, seed=seed_for("test")).objective
        return abs(100 * money.mean() / bound.value - share)


for _policy, _value in (("optimum", 99.9), ("thompson", 99.2), ("thompson-no-stock", 77.0)):
    thompson_check(_policy, _value)


@functools.cache
def log_errors(epsilon: float) -> np.ndarray:
    """(logs, 3) relative errors of IPS, SNIPS and doubly robust on logs of 5,000 decisions."""
    spec = load_scenario("seen-segments")
    optimum, steps = solve(spec), spec.prices.price_ladder.steps[:, None]
    assert optimum is not None, "a solver reaches seen-segments"
    errors = []
    for i in range(_LOGS):
        recorder = LogRecorder(spec)
        logging = EpsilonGreedy(best_fixed(spec), steps, epsilon, seed=i)
        rollout(spec, logging, episodes=5000, seed=10_000 + i, watch=recorder)
        log = recorder.log()
        target = optimum.policy.act(log.view).price.astype(np.float64)
        errors.append([estimate.mean / optimum.value - 1 for estimate in weighted_estimates(log, target).values()])
    return np.array(errors)


def log_check(epsilon: float, column: int, name: str, reference: float) -> None:
    label = "uniform log" if epsilon == 1 else f"log with epsilon {epsilon:g}"

    @check("evaluation", f"{label}, {name}: standard errors between its RMSE and {reference:g}%", "<=", 3)
    def measure() -> float:
        squares = log_errors(epsilon)[:, column] ** 2
        rmse = np.sqrt(squares.mean())
        # By the delta method; the reference is taken to be known for certain.
        error = squares.std(ddof=1) / np.sqrt(len(squares)) / (2 * rmse)
        return float(abs(100 * rmse - reference) / (100 * error))


for _epsilon, _references in RMSE.items():
    for _column, _label in enumerate(("IPS", "SNIPS", "doubly robust")):
        log_check(_epsilon, _column, _label, _references[_column])


def coverage_check(one: str, two: str) -> None:
    @check("evaluation", f"stationary-logit, {one} against {two}: distance of 95% coverage from .95", "<=", 0.03)
    def measure() -> float:
        """Over 200 repetitions of 100 episodes each."""
        spec = load_scenario("stationary-logit")
        policies = [named_policy(name, spec) for name in (one, two)]
        values = [exact_value(spec, policy) or np.nan for policy in policies]
        money = [rollout(spec, policy, episodes=20_000, seed=seed_for("test", 11)).objective for policy in policies]
        estimates = [Estimate.of(part) for part in np.split(money[0] - money[1], 200)]
        exact = values[0] - values[1]
        return float(abs(np.mean([e.low <= exact <= e.high for e in estimates]) - 0.95))


coverage_check("optimum", "best-fixed")
coverage_check("time-only", "fixed:9.5")


@check("evaluation", "gallego-van-ryzin: 100,000 episodes of the optimal policy", "<=", 10, "s")
def speed() -> float:
    spec = load_scenario("gallego-van-ryzin")
    optimum = solve(spec)
    assert optimum is not None, "a solver reaches gallego-van-ryzin"
    rollout(spec, optimum.policy, episodes=10, seed=1)
    started = time.perf_counter()
    rollout(spec, optimum.policy, episodes=100_000, seed=seed_for("test"))
    return time.perf_counter() - started
