"""Training runs: a learned policy, how it was trained, and the folder that stores it."""

from __future__ import annotations

import functools
import json
import platform
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from stable_baselines3.common.policies import BasePolicy

from ..atomic import write_json, write_whole
from ..envs import LearnerView, Market
from ..pricing import ActionLayout, NetworkPolicy, Policy, PricePath, RecurrentPolicy
from ..scenarios import MarketSpec, goal_market, load_scenario, save_scenario
from ..scenarios.spec import differing
from .actor import Actor, actor_of, network_policy
from .algorithms import algorithm, make_policy
from .base_price import base_of
from .checkpoint import read_tensors, write_tensors
from .settings import STEADY, Settings, settings_from

RUN_FILE = "run.json"
PROGRESS_FILE = "progress.csv"
POLICY_FILE = "policy.safetensors"
CHECKPOINT_FILE = "checkpoint.safetensors"
FIT_FILE = "fit.json"
"""The fit report of the market, where it has one."""
_SETTINGS_OF_0_1_0 = {"network": "mlp", "dropout": 0.0, "rnn_size": None, "l1": None}
"""Settings that are gone, with the value that changed nothing in the networks; None for any."""


@dataclass(frozen=True, repr=False)
class Run:
    """A learned policy with everything that is needed to evaluate, export and explain it.

    Attributes:
        spec: The market that it was trained on.
        actor: Network from features to raw actions.
        layout: Columns of a raw action.
        base_price: (N,) currency per unit, which the network's price multiplies.
        base: A policy whose price is multiplied instead, or None.
        product_wise: Whether a row of the network is one product or one market.
        facts: How it was trained, as JSON: algo, seed, steps, settings, versions, seconds, best
            validation; `network` names the algorithm whose networks it has if that is another one, as in runs of
            version 0.1.0 that learned from a log.
        history: One dict for each validation.
        evaluation: A comparison of the policy for the bundle's manifest, or None.
        refit: The record of the market's fit, for a bundle that can be refreshed, or None.

    Example:
        >>> from repricer import train
        >>> run = train("stationary-logit", steps=2_000, settings={"validation_episodes": 64})
        >>> run.facts["algo"], run.base_price.tolist()
        ('ppo', [11.0])
        >>> sorted(run.facts["best"])
        ['best_fixed', 'gain', 'gain_se', 'objective', 'seconds', 'steps']
    """

    spec: MarketSpec
    actor: Actor
    layout: ActionLayout
    base_price: NDArray[np.float32]
    base: Policy | None
    product_wise: bool
    facts: dict[str, Any]
    history: list[dict[str, float]]
    evaluation: dict[str, Any] | None = None
    refit: dict[str, Any] | None = None

    def __repr__(self) -> str:
        facts = self.facts
        products = len(self.spec.products.names)
        return f"Run({self.spec.name}, {facts['algo']}, {facts['steps']:,} steps, seed {facts['seed']}, {products} products)"

    def to_dict(self) -> dict[str, Any]:
        """How it was trained, and each validation, as plain data for JSON."""
        return self.facts | {"validations": self.history}

    def to_frame(self) -> pd.DataFrame:
        """The validations, a row each."""
        return pd.DataFrame(self.history)

    @property
    def policy(self) -> NetworkPolicy | RecurrentPolicy:
        """The learned policy, without exploration."""
        return self._with(self.base_price, self.base)

    @property
    def goal(self) -> MarketSpec:
        """The market whose money the kept policy was learned for: with the shadow cost of its validation."""
        factor = self.facts.get("best", {}).get("shadow_cost_factor", 1.0)
        if factor == 1:
            return goal_market(self.spec)
        return goal_market(self.spec.with_changes(products={"shadow_cost": factor * self.spec.products.shadow_cost}))

    def policy_for(self, spec: MarketSpec, *, seed: int = 0) -> NetworkPolicy | RecurrentPolicy:
        """The same network for another assortment, around the base prices of that market.

        Args:
            spec: The other market.
            seed: Seed of the search for its best fixed prices.

        Raises:
            ValueError: The network does not fit: it prices all products jointly, or the other
                market has other segments or decisions.
        """
        history = self.facts["settings"]["history"]
        if not self.product_wise or shape_of_rows(spec, history) != shape_of_rows(self.spec, history):
            raise ValueError(f"{spec.name} must have the rows of {self.spec.name}; got others; train on it")
        settings = self.facts["settings"]
        return self._with(*base_of(spec, settings["base_price"], seed, settings.get("risk", "mean")))

    def in_market(self, spec: MarketSpec, *, seed: int = 0, refit: dict[str, Any] | None = None) -> Run:
        """This run with another assortment's market in place of its own, as for `policy_for`; to evaluate and export it.

        Args:
            spec: The other market.
            seed: As for `policy_for`.
            refit: The record of that market's fit, or None.

        Raises:
            ValueError: As for `policy_for`.
        """
        policy = self.policy_for(spec, seed=seed)
        return replace(self, spec=spec, base_price=policy.base_price, base=policy.base, evaluation=None, refit=refit)

    def _with(self, base_price: NDArray[np.float32], base: Policy | None) -> NetworkPolicy | RecurrentPolicy:
        return network_policy(
            self.actor,
            self.layout,
            base_price,
            product_wise=self.product_wise,
            name=self.facts.get("name", f"{self.facts['algo']}:{self.facts['seed']}"),
            history=self.facts["settings"]["history"],
            base=base,
        )


def shape_of_rows(spec: MarketSpec, history: int = 1) -> tuple[Any, ...]:
    """What a product-wise network must know of a market: the shape of its features, and the decisions."""
    view = LearnerView(Market(spec), product_wise=True, history=history)
    return view.observation_space.shape, view.layout.names


def learner_view_of(
    market: Market, settings: Settings, base_price: NDArray[np.float32], base: Policy | None = None
) -> LearnerView:
    """The markets as the settings let a learner see them.

    Args:
        market: The markets.
        base_price: (N,) currency per unit.
        base: A policy whose price is multiplied in place of `base_price`, or None.
    """
    return LearnerView(market, base_price=base_price, base=base, **settings.view_options)


def save_policy(folder: Path, policy: BasePolicy, facts: dict[str, Any]) -> None:
    """Store weights as the best ones of a run."""
    write_tensors(folder / POLICY_FILE, policy.state_dict(), facts)


def made_with() -> dict[str, Any]:
    """Versions of Python and of the packages that affect a learned policy."""
    return {"versions": dict(_versions()), "python": platform.python_version()}


@functools.cache
def _versions() -> tuple[tuple[str, str], ...]:
    packages = ("repricer", "torch", "stable-baselines3", "sb3-contrib", "numpy")
    return tuple((name, version(name)) for name in packages)


def open_folder(folder: Path, spec: MarketSpec, identity: dict[str, Any]) -> Literal["new", "begun", "finished"]:
    """Create the folder of a run, or check that it holds the same run.

    Returns:
        "new", "finished", or "begun" if there is a checkpoint to resume from.

    Raises:
        ValueError: The folder holds another run.
    """
    path = folder / RUN_FILE
    if not path.is_file():
        save_scenario(spec, folder)
        write_json(path, {"identity": identity})
        return "new"
    document = json.loads(path.read_text(encoding="utf-8"))
    for key, wanted in identity.items():
        if (held := document["identity"].get(key)) != wanted:
            raise ValueError(f"{folder} holds a run with {key} {held!r}; got {wanted!r}; choose another --out")
    changed = differing(spec, load_scenario(folder))
    if changed:
        raise ValueError(f"{folder} must hold a run on this market; got other {', '.join(changed[:3])}; choose another")
    if "facts" in document:
        return "finished"
    return "begun" if (folder / CHECKPOINT_FILE).is_file() else "new"


def keep_fit_report(scenario: Path, folder: Path) -> None:
    """Put the fit report of a fitted market beside a run, for `repricer report`
    and `repricer export`.

    Args:
        scenario: The folder or the file of the market; a registered name is neither.
    """
    report = (scenario if scenario.is_dir() else scenario.parent) / FIT_FILE
    if scenario.exists() and report.is_file():
        write_whole(folder / FIT_FILE, report.read_bytes())


def load_run(folder: str | Path) -> Run:
    """Load a run from its folder, with the weights of its best validation.

    Args:
        folder: The run folder.

    Raises:
        ValueError: There is no run, or it has not finished.

    Example:
        >>> import tempfile
        >>> from repricer import train
        >>> folder = tempfile.mkdtemp()
        >>> run = train("stationary-logit", steps=2_000, settings={"validation_episodes": 64}, out=folder)
        >>> load_run(folder).facts == run.facts
        True
    """
    folder = Path(folder)
    for name in (RUN_FILE, POLICY_FILE, "scenario.toml"):
        if not (folder / name).is_file():
            raise ValueError(f"{folder} must be a run folder; got no {name} in it; make one with `repricer train`")
    document = json.loads((folder / RUN_FILE).read_text(encoding="utf-8"))
    if "facts" not in document:
        raise ValueError(f"{folder} holds an unfinished run; got no result yet; run `repricer train` again to continue")
    facts = document["facts"]
    algo = algorithm(facts.get("network", facts["algo"]))
    for name, plain in _SETTINGS_OF_0_1_0.items():
        if plain is not None and (got := facts["settings"].get(name, plain)) != plain:
            raise ValueError(f"{folder} must be of this version; got the setting {name} {got}; train again without it")
    known = {name: value for name, value in facts["settings"].items() if name not in _SETTINGS_OF_0_1_0}
    settings = settings_from(known, known)
    spec = load_scenario(folder)
    base_price = np.array(facts["base_price"], dtype=np.float32)
    base = _base_of(spec, facts, settings)
    learner_view = learner_view_of(Market(spec), settings, base_price, base)
    policy = make_policy(algo, learner_view, settings)
    policy.load_state_dict(read_tensors(folder / POLICY_FILE)[0])
    return replace(run_of(policy, learner_view, facts, document["history"]), refit=kept_fit_record(folder))


def _base_of(spec: MarketSpec, facts: dict[str, Any], settings: Settings) -> Policy | None:
    """The policy that sets the base prices of a finished run: a plan as it was found then, a rule by its name."""
    plan = facts.get("base_plan")
    if plan is not None:
        deal = None if plan["deal"] is None else np.array(plan["deal"], bool)
        shown = plan.get("recommendation")
        scores = None if shown is None else np.array(shown, np.float32)
        return PricePath(
            np.array(plan["price"], np.float32), name=settings.base_price, deal=deal, recommendation=scores
        )
    return None if settings.base_price in STEADY else base_of(spec, settings.base_price)[1]


def plan_facts(base: Policy | None) -> dict[str, Any]:
    """The plan that a run's prices multiply, as its facts keep it; nothing for other base prices."""
    if not isinstance(base, PricePath):
        return {}
    plan = {"price": base.path, "deal": base.deal, "recommendation": base.recommendation}
    return {"base_plan": {name: None if part is None else part.tolist() for name, part in plan.items()}}


def kept_fit_record(folder: Path) -> dict[str, Any] | None:
    """The record of the fit of a run's market, which `train` keeps beside it."""
    path = folder / FIT_FILE
    return json.loads(path.read_text(encoding="utf-8")).get("refit") if path.is_file() else None


def run_of(
    policy: BasePolicy | Actor, learner_view: LearnerView, facts: dict[str, Any], history: list[dict[str, float]]
) -> Run:
    """The run of a trained policy.

    Args:
        policy: The policy, or its actor.
        learner_view: The learner view that it was trained through.
        facts: As in `Run`.
        history: As in `Run`.
    """
    return Run(
        spec=learner_view.market.scenario,
        actor=policy if isinstance(policy, Actor) else actor_of(policy, learner_view),
        layout=learner_view.layout,
        base_price=learner_view.base_price,
        base=learner_view.base,
        product_wise=learner_view.product_wise,
        facts=facts,
        history=history,
    )


def save_result(folder: Path, run: Run) -> None:
    """Write the facts of a finished run next to its weights."""
    path = folder / RUN_FILE
    document = json.loads(path.read_text(encoding="utf-8"))
    document |= {"facts": run.facts, "history": run.history}
    write_json(path, document)
