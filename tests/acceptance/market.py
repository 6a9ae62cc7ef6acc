"""The market: optima that simulation must confirm, choice probabilities, collusion, speed."""

from __future__ import annotations

import functools
import importlib.util
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
from repricer.benchmarks import market as bench
from repricer.benchmarks.timing import rates
from repricer.envs import Market, rollout
from repricer.evaluation import solve
from repricer.pricing import Action
from repricer.scenarios import load_scenario
from scipy.special import softmax

from .checks import check

ROOT = Path(__file__).parents[2]
REFERENCES = {
    "gallego-van-ryzin": 15.4464,
    "stationary-logit": 435.668,
    "low-before-high": 358.395,
    "regimes": 619.856,
    "three-stocks": 282.498,
    "undercutter": 2262.006,
    "price-and-order": 588.903,
    "scarce": 30.4538,
    "reference-price": 8083.385,
}
"""The values of an optimal episode that were published, or computed by independent programs."""


def standard_errors(name: str, value: float) -> float:
    """How many standard errors the simulated optimal policy's mean lies from the value."""
    spec = load_scenario(name)
    optimum = solve(spec)
    assert optimum is not None, f"a solver reaches {name}"
    long = spec.market.horizon_periods > 200
    money = rollout(spec, optimum.policy, episodes=2_000 if long else 20_000, seed=17).objective
    return float(abs(money.mean() - value) / (money.std(ddof=1) / money.size**0.5))


def optimum_check(name: str, value: float) -> None:
    @check("market", f"{name}: simulated optimum against {value:g}", "<=", 3, "standard errors")
    def measure() -> float:
        return standard_errors(name, value)


for _name, _value in REFERENCES.items():
    optimum_check(_name, _value)


@check("market", "equal-markup: simulated optimum against 9.162189 a period", "<=", 3, "standard errors")
def equal_markup() -> float:
    spec = load_scenario("equal-markup")
    discount = spec.market.discount_factor ** np.arange(spec.market.horizon_periods)
    return standard_errors("equal-markup", 9.162189 * spec.arrivals.rate[0, 0] * discount.sum())


@check("market", "choice probabilities, float32, against an independent logit", "<=", 1e-6)
def choice_probabilities() -> float:
    """The largest error over 200 price vectors of bench-10 without promotions and rivals."""
    spec = load_scenario("bench-10").with_changes(arrivals={"rate": 1.0}, stock={"initial_units": 1e6})
    generator = np.random.default_rng(0)
    low, high = spec.guardrails.low, spec.guardrails.high
    price = (low + generator.random((200, low.size)) * (high - low)).astype(np.float32)
    market = Market(spec, num_markets=200)
    outcome = market.step(Action(price))
    rival = np.minimum(outcome.rival_price[:, 0].astype(np.float64), 1e9)
    paid = outcome.list_price.astype(np.float64)
    gap = np.log(spec.products.regular_price / paid)
    effect = np.where(gap > 0, spec.reference_price.gain, spec.reference_price.loss) * gap
    bought = np.zeros_like(paid)
    for k, share in enumerate(spec.arrivals.segment_share[0]):
        own = spec.demand.quality[k] - spec.demand.price_sensitivity[k] * paid + effect
        theirs = spec.competitors.quality[k, 0] - spec.competitors.price_sensitivity[k, 0] * rival
        utilities = np.column_stack([own, theirs, np.zeros(len(paid))])
        bought += share * softmax(utilities, axis=1)[:, :-2]
    return float(np.abs(outcome.expected_revenue / outcome.list_price - bought).max())


@functools.cache
def calvano() -> ModuleType:
    spec = importlib.util.spec_from_file_location("calvano", ROOT / "docs" / "examples" / "calvano.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@check("market", "Calvano et al. 2020, 200 sessions: distance of the profit gain from .844", "<=", 0.025)
def calvano_gain() -> float:
    return abs(calvano().replicate(sessions=200, delta=0.95, seed=0).mean_gain - 0.844)


@check("market", "the same without a future (discount factor 0): distance from .215", "<=", 0.03)
def calvano_myopic_gain() -> float:
    return abs(calvano().replicate(sessions=200, delta=0.0, seed=0).mean_gain - 0.215)


def speed_check(name: str, markets: int, decisions: int, bar: float) -> None:
    steps = next(steps for scenario, _, steps in bench.SIZES if scenario == name)

    @check("market", f"{name}, {markets} in make_vec, against CartPole in one of 64", ">=", bar, "times")
    def measure() -> float:
        cartpole, market = rates(bench.cartpole(), bench.vector_env(name, markets, steps), repeats=15)
        return market * decisions / cartpole

    @check("market", f"{name}, {markets} in make_sb3_env: time of a step against the inner one's", "<=", 1.3, "times")
    def measure_sb3() -> float:
        sb3, inner = rates(*(kind(name, markets, steps) for kind in (bench.sb3_env, bench.inner_step)), repeats=15)
        return inner / sb3


for _scenario, _markets, _decisions, _bar in (
    ("bench-10", 1024, 1, 12),
    ("bench-1", 1024, 1, 50),
    ("bench-100", 64, 100, 95),
    ("bench-10-full", 1024, 1, 3),
):
    speed_check(_scenario, _markets, _decisions, _bar)


@check("market", "import and first step, caches warm", "<=", 2, "s")
def first_step() -> float:
    script = (
        "import time; start = time.perf_counter(); import gymnasium, repricer;"
        "env = gymnasium.make('repricer/StationaryLogit-v0'); env.reset(seed=0); env.step(env.action_space.sample());"
        "print(time.perf_counter() - start)"
    )
    command: Callable[[], str] = lambda: subprocess.check_output([sys.executable, "-c", script], text=True)  # noqa: E731
    command()
    return min(float(command()) for _ in range(3))


@check("market", "tests of the compiled loops that fail with every index of the compiled loops checked", "==", 0)
def out_of_bounds() -> float:
    tests = [str(path) for path in sorted((ROOT / "tests" / "envs" / "kernels").glob("test_*.py"))]
    with tempfile.TemporaryDirectory() as cache:
        env = os.environ | {"NUMBA_BOUNDSCHECK": "1", "NUMBA_CACHE_DIR": cache}
        said = subprocess.run([sys.executable, "-m", "pytest", "-q", *tests], env=env, capture_output=True, text=True)
    if said.returncode > 1:
        raise RuntimeError(f"the tests must run; got {said.stdout[-200:]}{said.stderr[-200:]}")
    return float(said.stdout.count("FAILED "))
