"""Policies by what the user types: a run folder, a bundle or a rule."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..pricing import Policy
    from ..scenarios import MarketSpec


def policy_of(text: str, spec: MarketSpec, *, seed: int) -> Policy:
    """The policy; ValueError if there is none, or it cannot price the products of the scenario."""
    from ..agents import load_run
    from ..evaluation import POLICY_NAMES, named_policy
    from ..serving import load_bundle
    from ..serving.bundle.files import is_bundle

    path = Path(text)
    if (path / "run.json").is_file():
        run = load_run(path)
        if run.product_wise and run.spec.products.names != spec.products.names:
            return replace(run.policy_for(spec, seed=seed), name=text)
        _check(text, run.spec.name, run.spec.products.names, spec)
        return replace(run.policy, name=text)
    if is_bundle(path):
        bundle = load_bundle(path)
        _check(text, bundle.manifest["scenario"]["name"], bundle.catalogue.products, spec)
        return replace(bundle.policy, name=text)
    # A folder that happens to have a rule's name does not hide the rule.
    if path.is_dir() and text not in POLICY_NAMES:
        raise ValueError(f"{text} must be a run folder or a bundle; got neither run.json nor manifest.json in it")
    return named_policy(text, spec, seed=seed)


def holds_learned(text: str) -> bool:
    """Whether a run folder or a bundle holds learned prices; a bundle may hold best fixed, regular or current ones."""
    from ..serving import load_bundle
    from ..serving.bundle.files import is_bundle
    from ..serving.exporter.holding import Holding

    path = Path(text)
    return not is_bundle(path) or Holding.of(load_bundle(path).manifest).learned


def _check(text: str, scenario: str, products: tuple[str, ...], spec: MarketSpec) -> None:
    if products != spec.products.names:
        raise ValueError(
            f"{text} prices the products of scenario {scenario}; got {spec.name}, which sells other products; train on it first"
        )
