"""Serving: the exported policy is the trained one, quick, and refused where a byte of its bundle has changed."""

from __future__ import annotations

import functools
import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import repricer
from numpy.typing import NDArray
from repricer.agents import ALGORITHMS
from repricer.agents.algorithms import algorithm, make_policy
from repricer.agents.checkpoint import read_tensors
from repricer.agents.networks import one_thread
from repricer.agents.run import POLICY_FILE, Run, learner_view_of
from repricer.agents.settings import settings_from
from repricer.benchmarks.timing import median_seconds
from repricer.envs import LearnerView, seed_for
from repricer.pricing import FEATURE_LIMIT, RandomPrice, RecurrentPolicy
from repricer.serving import Bundle, BundleError, load_bundle
from repricer.serving.bundle.files import LIMITS
from repricer.tests.serving.http.test_switchboard import SEQUENCES, STEPS, World

from .checks import check
from .loop import REPRICER

ROWS = 10_000
SCENARIO = "stationary-logit"
_STEPS = 2_000


@dataclass(frozen=True)
class Case:
    """What is trained: any algorithm, and what a setting adds to one."""

    algo: str
    scenario: str = SCENARIO
    settings: tuple[tuple[str, Any], ...] = ()

    @property
    def name(self) -> str:
        """How the lines call it."""
        words = (f"{key}={value}" for key, value in self.settings)
        return ", ".join((self.algo, *((self.scenario,) if self.scenario != SCENARIO else ()), *words))


CASES = [Case(algo) for algo in ALGORITHMS] + [
    Case("ppo", settings=(("actions", "discrete"),)),
    Case("ppo", settings=(("history", 4),)),
    Case("ppo", "undercutter"),
    Case("ppo", "bench-10-full"),
]
TABLES = [Case("ppo"), Case("recurrent-ppo")]


@dataclass(frozen=True)
class Made:
    """A trained policy in all its forms."""

    run: Run
    folder: Path
    bundle_path: Path
    bundle: Bundle
    sb3: Any
    learner_view: LearnerView


@functools.cache
def workplace() -> tempfile.TemporaryDirectory:
    return tempfile.TemporaryDirectory()


@functools.cache
def made(case: Case) -> Made:
    """Train briefly, export, and open the run's weights as SB3 itself has them."""
    folder = Path(workplace().name) / case.name.replace(" ", "")
    settings = dict(case.settings) | {"validation_episodes": 16}
    run = repricer.train(case.scenario, algo=case.algo, steps=_STEPS, out=folder / "run", settings=settings)
    path = repricer.export(run, folder / "bundle")
    chosen = settings_from(run.facts["settings"], run.facts["settings"])
    learner_view = learner_view_of(repricer.Market(run.spec), chosen, run.base_price, run.base)
    sb3 = make_policy(algorithm(run.facts["algo"]), learner_view, chosen)
    sb3.load_state_dict(read_tensors(folder / "run" / POLICY_FILE)[0])
    sb3.set_training_mode(False)
    return Made(run, folder / "run", path, load_bundle(path), sb3, learner_view)


def observations(m: Made) -> NDArray[np.float32]:
    """(ROWS, F): half of them met in the market under random prices, half anywhere within the limits."""
    generator, rules = np.random.default_rng(0), m.run.spec.guardrails
    policy, seen = RandomPrice(rules.low, rules.high, seed=1), []
    m.learner_view.reset(seed=seed_for("training"))
    while sum(map(len, seen)) < ROWS // 2:
        seen.append(m.learner_view.observe())
        m.learner_view.follow(policy.act(m.learner_view.market.view))
        if m.learner_view.market.over:
            m.learner_view.restart(m.learner_view.market.done)
    met = np.concatenate(seen)[: ROWS // 2]
    made_up = generator.normal(0, 2, (ROWS - len(met), met.shape[1])).clip(-FEATURE_LIMIT, FEATURE_LIMIT)
    return np.concatenate([met, made_up.astype(np.float32)])


def both(m: Made) -> tuple[NDArray, NDArray]:
    """(ROWS, products) price multipliers of SB3's predict and of the bundle's network, each row asked alone by the bundle."""
    rows, notes = observations(m), None
    columns, policy = m.run.layout.size, m.bundle.policy
    if isinstance(policy, RecurrentPolicy):
        present = rows.reshape(ROWS, m.learner_view.history, -1)
        generator = np.random.default_rng(1)
        if m.learner_view.history > 1:
            notes = (np.ascontiguousarray(present[:, :-1]),)
            chosen, _ = m.sb3.predict(rows, deterministic=True)
        else:
            shape = policy.initial_state(rows)[0].shape
            notes = tuple(generator.normal(0, 0.5, shape).astype(np.float32) for _ in range(2))
            states = tuple(note.transpose(1, 0, 2) for note in notes)
            chosen, _ = m.sb3.predict(rows, state=states, episode_start=np.zeros(ROWS, bool), deterministic=True)
        present = np.ascontiguousarray(present[:, -1])
        parts = [policy.step(present[i : i + 1], tuple(n[i : i + 1] for n in notes))[0] for i in range(ROWS)]
    else:
        chosen, _ = m.sb3.predict(rows, deterministic=True)
        parts = [policy.forward(rows[i : i + 1]) for i in range(ROWS)]
    wanted = m.run.layout.decode(m.learner_view.raw(chosen).reshape(ROWS, -1, columns)).price_multiplier
    got = np.stack([part.price_multiplier.reshape(-1) for part in parts])
    return wanted, got


def agreement(case: Case) -> None:
    @check("serving", f"{case.name}: largest relative difference of the price, bundle against SB3", "<=", 1e-5)
    def measure() -> float:
        wanted, got = both(made(case))
        off = np.abs(got / wanted - 1)
        if (off > 1e-5).any():
            print(f"{case.name}: {(off > 1e-5).any(axis=1).sum()} of {ROWS:,} rows differ", file=sys.stderr)
        return float(off.max())


for _case in CASES:
    agreement(_case)


def one_table(case: Case) -> None:
    @check("serving", f"{case.name}: figures of `evaluate` that differ between run folder and bundle", "==", 0)
    def measure() -> float:
        m = made(case)

        def rows(policy: Path) -> dict[str, Any]:
            command = [*REPRICER, "evaluate", case.scenario, "--policy", str(policy), "--episodes", "500", "--json"]
            policies = json.loads(subprocess.check_output(command, text=True))["policies"]
            return {row["policy"].replace(str(policy), "learned"): row for row in policies}

        own, theirs = rows(m.folder), rows(m.bundle_path)
        pairs = [(own[name][key], theirs[name][key]) for name in own for key in own[name]]
        names = [key for name in own for key in own[name]]
        return float(sum(a != b for key, (a, b) in zip(names, pairs, strict=True) if key != "policy"))


for _case in TABLES:
    one_table(_case)


@functools.cache
def latency(case: Case) -> tuple[float, float]:
    """Median seconds of one call at batch 1: the bundle's network, SB3's predict; each on one thread."""
    m = made(case)
    row = np.zeros((1, m.learner_view.observation_space.shape[0]), np.float32)
    policy = m.bundle.policy
    if isinstance(policy, RecurrentPolicy):
        own = functools.partial(policy.step, row, policy.initial_state(row))
    else:
        own = functools.partial(policy.forward, row)
    with one_thread():
        return median_seconds(own, 5_000), median_seconds(lambda: m.sb3.predict(row, deterministic=True), 1_000)


def speed(case: Case) -> None:
    @check("serving", f"{case.name}: one policy call at batch 1, median of 5,000", "<=", 15, "µs")
    def call() -> float:
        return 1e6 * latency(case)[0]

    @check("serving", f"{case.name}: the same against SB3's predict", ">=", 10, "times")
    def gain() -> float:
        own, sb3 = latency(case)
        return sb3 / own


for _case in (Case("ppo"), Case("dqn"), Case("recurrent-ppo")):
    speed(_case)

_EVERY_BYTE_UP_TO = 4_096
_SAMPLE = 2_048


def places(size: int) -> NDArray[np.int64]:
    """Every byte of a small file; of a larger one the first and last 256, and one in each of equal parts."""
    if size <= _EVERY_BYTE_UP_TO:
        return np.arange(size)
    ends = np.concatenate([np.arange(256), np.arange(size - 256, size)])
    edges = np.linspace(256, size - 256, _SAMPLE + 1).astype(int)
    within = np.random.default_rng(size).integers(edges[:-1], np.maximum(edges[1:], edges[:-1] + 1))
    return np.unique(np.concatenate([ends, within]))


def tampered(name: str) -> None:
    what = f"{name}: flipped bytes accepted (every byte up to {_EVERY_BYTE_UP_TO:,}, else a sample of 2,560)"

    @check("serving", what, "==", 0)
    def measure() -> float:
        path = made(Case("ppo")).bundle_path / name
        good, accepted = path.read_bytes(), 0
        generator = np.random.default_rng(0)
        try:
            for place in places(len(good)).tolist():
                bad = bytearray(good)
                bad[place] ^= int(generator.integers(1, 256))
                path.write_bytes(bad)
                try:
                    load_bundle(path.parent)
                except BundleError:
                    continue
                accepted += 1
                print(f"{name}: byte {place} flipped and accepted", file=sys.stderr)
        finally:
            path.write_bytes(good)
        load_bundle(path.parent)
        return float(accepted)


for _name in LIMITS:
    tampered(_name)


@check(
    "serving",
    f"of {SEQUENCES:,} random sequences of switches, crashes and restarts, those that price by a rejected bundle",
    "==",
    0,
)
def rejected_bundles() -> float:
    broken = 0
    for seed in range(SEQUENCES):
        world = World(seed)
        try:
            for _ in range(STEPS):
                world.step()
                world.check()
        except AssertionError as error:
            broken += 1
            print(f"seed {seed}: {error}", file=sys.stderr)
    return float(broken)
