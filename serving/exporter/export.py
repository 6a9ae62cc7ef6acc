"""Write the policy of a training run as a bundle that a price server can verify, and measure what its prices earn."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...pricing import (
    FixedPrice,
    MarketView,
    NetworkPolicy,
    PricePath,
    RecurrentPolicy,
    StockTable,
    built_in_rule,
    feature_names,
    product_features,
    row_width,
)
from ...pricing.choice_model import FAMILIES
from ...pricing.wording import feature_words
from ..bundle.codec import NetworkFunction, PolicySetup, catalogue_document, guardrails_document
from ..bundle.files import (
    CATALOGUE,
    GOLDEN,
    GUARDRAILS,
    POLICY,
    RANGE,
    RESPONSE,
    BundleError,
    check_target,
    own_key,
    read_private_key,
    seal,
    sealed_files,
    sha256,
    to_json,
    write_files,
)
from ..bundle.reading import SCHEMA_VERSION, golden_states, load_bundle
from ..documents import FilePath
from ..recurrent_state import RecurrentLayout
from .holding import Holding, around, held, recommended_holding

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from ...agents import Run
    from ...pricing import Policy
    from ...scenarios import MarketSpec
    from ..bundle.reading import TrainingRange

_PACKAGES = ("repricer", "numpy", "onnx", "onnxruntime", "torch")
_AUDIT_EPISODES = 64
_RANGE_EPISODES = 32
DRAWS = 100
EPISODES = 4
# As far as the service tolerates, see `training_range.DriftAlarm`.
_OUTSIDE_SHARE = 0.05
# Each new week moves the forecasts a little: what lies beyond the range by less than its width, or
# a tenth (features are logarithms and shares), is no reason to train.
_AUDIT_SLACK = 1.0
_AUDIT_LEAST = 0.1


def export(
    run: Run | Policy,
    out: FilePath,
    *,
    scenario: MarketSpec | str | None = None,
    holding: Holding | None = None,
    key: FilePath | None = None,
    seed: int = 0,
    encrypt: bool = False,
) -> Path:
    """Write the prices of a run as a signed bundle. Needs the `train` extra.

    Args:
        run: A training run; or a policy that looks prices up by period, regime and units on hand, as most of those that
            `optimum.solve` finds.
        out: A new path, or a bundle, which is replaced once the new one is complete and verified.
        scenario: The market of such a policy, a registered name or a path; None for a run.
        holding: Which prices to hold; by default those that `run.evaluation` recommends, else the
            learned ones.
        key: PEM file of an Ed25519 private key. By default OUT.key.pem, created on first use, with
            OUT.pub.pem for those who load the bundle.
        seed: Selects the market states of the golden vectors, and seeds the search for the
            best fixed prices.
        encrypt: Whether to encrypt every file of the bundle, see `repricer.privacy.encryption.secret`.

    Returns:
        The path of the bundle.

    Raises:
        BundleError: `out` is something else, the key cannot be read, or the policy needs more than a bundle holds.

    Example:
        >>> export(run, "bundle").name
        'bundle'
    """
    from ...agents import Run
    from .onnx_graph import PolicyGraph

    if not isinstance(run, Run):
        run = _looked_up(run, scenario, seed)
    if not run.facts.get("exportable", True):
        got = f"got {run.facts['name']}, a function"
        raise BundleError(f"a bundle needs a network; {got}; give policy_from a torch module or SB3 model")
    out = Path(out)
    check_target(out)
    own = None if key is None else read_private_key(Path(key))
    holding = recommended_holding(run.evaluation) if holding is None else holding
    actor, policy = held(run, holding, seed)
    by_rule = (
        policy.base is not None and policy.base is run.base and not isinstance(policy.base, PricePath | StockTable)
    )
    rule = run.facts["settings"]["base_price"] if by_rule else None
    if rule is not None:
        try:
            built_in_rule(rule)
        except ValueError as error:
            raise BundleError(f"a bundle's base_price must be a built-in rule: {error}") from error
    setup = setup_of(run.spec, policy, rule)
    graph = PolicyGraph(actor, setup)
    given = {POLICY: graph.to_onnx(), RANGE: to_json(RANGE, range_document(run.spec, policy, seed))}
    facts = _facts(run, seed) | {"policy": policy.name, "holds": holding.to_dict()}
    facts |= {"check": check(run.spec, policy, seed), "refit": run.refit} | competition(run.spec, policy, seed)
    write_bundle(out, run.spec, setup, graph.answer, given, facts, key=own, seed=seed, encrypt=encrypt)
    return out


def _looked_up(policy: Policy, scenario: MarketSpec | str | None, seed: int) -> Run:
    """A run of a policy that looks its prices up: a network that says nothing, around them."""
    from ...agents import Run
    from ...agents.run import made_with
    from ...scenarios import load_scenario

    table = policy if isinstance(policy, StockTable) else getattr(policy, "stock_table", lambda: None)()
    spec = None if scenario is None else load_scenario(scenario)
    if table is None or spec is None or spec.capacity is not None or spec.stock.replenishment == "action":
        must = "a bundle is made of a run, or of a policy that looks prices up by period and stock, with its scenario"
        got = f"got {type(policy).__name__} and {'no scenario' if spec is None else spec.name}"
        raise BundleError(f"{must}; {got}; load a run with repricer.agents.load_run, or wrap an agent with policy_from")
    actor, held = around(spec, table)
    facts = {"name": table.name, "algo": "table", "seed": seed, "steps": 0, **made_with()}
    facts["settings"] = {"history": 1, "base_price": "table"}
    return Run(spec, actor, held.layout, held.base_price, table, True, facts, [])


def write_bundle(
    out: Path,
    spec: MarketSpec,
    setup: PolicySetup,
    network: NetworkFunction,
    given: Mapping[str, bytes],
    facts: Mapping[str, Any],
    *,
    key: Ed25519PrivateKey | None,
    seed: int,
    encrypt: bool,
) -> None:
    """Write a bundle, completely or not at all, and verify it.

    Args:
        given: The network's file and the range of the features.
        facts: What the manifest says.
        key: Signs; None for the key beside the bundle.
        seed: Selects the market states of the golden vectors.
    """
    memory = setup.memory_text(sha256(given[POLICY]))
    files = {
        POLICY: given[POLICY],
        GUARDRAILS: to_json(GUARDRAILS, guardrails_document(setup.guardrails)),
        CATALOGUE: to_json(CATALOGUE, catalogue_document(setup)),
        GOLDEN: to_json(GOLDEN, golden_states(setup, network, memory, seed)),
        RESPONSE: to_json(RESPONSE, response_document(spec)),
        RANGE: given[RANGE],
    }
    sealed = seal(files, facts, key or own_key(out))
    write_files(out, sealed_files(sealed) if encrypt else sealed, check=load_bundle)


def setup_of(spec: MarketSpec, policy: NetworkPolicy | RecurrentPolicy, rule: str | None = None) -> PolicySetup:
    """All that a bundle needs beside the network.

    Args:
        rule: Name of the rule that sets its base prices, if one does.
    """
    from ...envs import catalogue_of

    catalogue = catalogue_of(spec)
    slots = spec.recommendation
    memory = None
    if isinstance(policy, RecurrentPolicy):
        row = np.zeros((1, row_width(catalogue, product_wise=policy.product_wise)), np.float32)
        memory = RecurrentLayout.of(policy.initial_state(row))
    own = (policy.layout, policy.base_price, policy.product_wise, None if slots is None else slots.candidates > 0)
    path = policy.base if isinstance(policy.base, PricePath | StockTable) else None
    most = None if spec.promotion is None else int(spec.promotion.max_products)
    return PolicySetup(catalogue, spec.guardrails, *own, rule, path, most, memory)


def _facts(run: Run, seed: int) -> dict[str, Any]:
    """What the manifest says about the policy."""
    made = {"schema_version": SCHEMA_VERSION, "created": datetime.now(UTC).isoformat(timespec="seconds")}
    how = {"seeds": {"training": run.facts["seed"], "golden vectors": seed}, "run": run.facts}
    packages = {name: version(name) for name in _PACKAGES}
    return made | market_facts(run.spec) | how | {"evaluation": run.evaluation, "packages": packages}


def market_facts(spec: MarketSpec) -> dict[str, Any]:
    """What the manifest says about the market."""
    from ...evaluation.uncertainty import charged_range

    market = spec.market
    charged = charged_range(spec)
    return {
        "scenario": {"name": spec.name, "version": spec.version, "period": market.period, "currency": market.currency},
        "data": {"tables_sha256": spec.evidence.tables_sha256 or None},
        "charged": None if charged is None else {"low": charged.low.tolist(), "high": charged.high.tolist()},
        "objective": market.objective,
        "assumptions": list(spec.assumptions),
        "law": _law_facts(spec),
    }


def _law_facts(spec: MarketSpec) -> dict[str, Any] | None:
    """For which jurisdictions the prices are made, what that means, and where competitors' prices come from."""
    from ...scenarios.checks import uses_competitors

    own = spec.law
    law = spec.guardrails.law
    if own is None or law is None:
        return None
    table = own.competitor_table or "section [competitors] of the market"
    rivals = {"table": table, "source": own.competitor_source} if uses_competitors(spec) else None
    facts = {"jurisdictions": list(law.jurisdictions), "food_store": law.food_store, "notices": law.notices()}
    return facts | {"personal_prices": law.personal_prices, "competitors": rivals}


def competition(spec: MarketSpec, policy: Policy, seed: int) -> dict[str, Any]:
    """The audit of the prices against rivals' for the manifest, where California's law holds and rivals' prices are used.

    Args:
        seed: Selects the test seeds.
    """
    from ...evaluation import audit_policy
    from ...scenarios.checks import uses_competitors

    if spec.law is None or "CA" not in spec.law.jurisdictions or not uses_competitors(spec):
        return {}
    found, why = audit_policy(spec, policy, episodes=_AUDIT_EPISODES, seed=seed)
    return {"competition": {"audit": None if found is None else found.to_dict(), "no_audit": why}}


# What a bundle stores of its market: the price response and the range of the features.
#
# Writing them needs the `train` extra; their readers, in `bundle.reading`, need numpy only.


def response_document(spec: MarketSpec) -> dict[str, Any] | None:
    """The choice model of a scenario as plain JSON; None for a demand family of another package."""
    from ...scenarios import choice_model

    if spec.demand.family not in FAMILIES:
        return None
    values = vars(choice_model(spec))
    return {name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in values.items()}


def range_document(spec: MarketSpec, policy: Policy, seed: int) -> dict[str, Any]:
    """The range over episodes of the policy and of regular prices, which a fallback may charge."""
    from ...envs import catalogue_of, rollout
    from ...envs.kernels.state import Outcome

    catalogue = catalogue_of(spec)
    seen = list[np.ndarray]()

    def watch(view: MarketView, _: Outcome) -> None:
        found = product_features(view, fixed=False)
        seen.extend((found.min(axis=(0, 1)), found.max(axis=(0, 1))))

    for one in (policy, FixedPrice(catalogue.regular_price)):
        rollout(spec, one, episodes=_AUDIT_EPISODES, seed=seed, watch=watch)
    low = np.min(seen, axis=0).tolist()
    high = np.max(seen, axis=0).tolist()
    return {"features": feature_names(catalogue, fixed=False), "low": low, "high": high}


# What held prices earn in a market, over posterior draws and customers: measured at the export and at each refresh.


def check(spec: MarketSpec, policy: Policy, seed: int) -> dict[str, Any] | None:
    """The gains of a policy over the best fixed and the current prices; None for a market
    without a posterior.

    Args:
        seed: Selects the test seeds, and seeds the search for the best fixed prices.
    """
    from ...agents import best_fixed
    from ...agents.posterior import current_prices
    from ...evaluation.uncertainty import compare_draws

    if not spec.num_draws:
        return None
    held = replace(policy, name="held")  # pyright: ignore[reportArgumentType, reportCallIssue]
    others = {"vs_best_fixed": best_fixed(spec, seed=seed), "vs_own": current_prices(spec)}
    # By sales on which nothing was searched, as the verdict.
    scored = spec.scored
    draws = min(DRAWS, scored.num_draws)
    compared = compare_draws(scored, [held, *others.values()], draws=draws, episodes=EPISODES, seed=seed)
    gains = {key: compared.gain(held.name, other.name).to_dict() for key, other in others.items()}
    return {"draws": draws, "episodes_per_draw": EPISODES, **gains}


def outside_training(spec: MarketSpec, policy: Policy, seen: TrainingRange, seed: int) -> dict[str, float]:
    """The features that lie far outside the training range in more than 5% of product-periods, with that share."""
    from ...envs import rollout

    shares = []

    def watch(view: MarketView, _: Any) -> None:
        outside = seen.outside(product_features(view, fixed=False), slack=_AUDIT_SLACK, least=_AUDIT_LEAST)
        shares.append(outside.mean(axis=(0, 1)))

    rollout(spec, policy, episodes=_RANGE_EPISODES, seed=seed, watch=watch)
    found = dict(zip(seen.names, np.mean(shares, axis=0).tolist(), strict=True))
    return {name: round(share, 4) for name, share in found.items() if share > _OUTSIDE_SHARE}


def reasons_to_train(
    now: dict[str, Any] | None, before: dict[str, Any] | None, outside: dict[str, float], *, learned: bool
) -> list[str]:
    """Why it is time to train again, a sentence each; none where it is not."""
    from ...evaluation.uncertainty import RULE

    found = list[str]()
    if now is not None and (risk := now["vs_own"]["loss_probability"]) > (most := RULE.max_loss_probability):
        chance = f"the held prices have a {risk:.0%} chance of earning less than the current prices"
        found.append(f"{chance}, more than the {most:.0%} allowed")
    if learned and now is not None:
        gain, low = (one and one["vs_best_fixed"]["relative"] for one in (now, before))
        if gain and low and gain["mean"] < low["interval90"][0]:
            was = f"{low['mean']:+.1%} ({low['interval90'][0]:+.1%} to {low['interval90'][1]:+.1%})"
            earn = f"the learned prices earn {gain['mean']:+.1%} against the best fixed prices of these weeks"
            found.append(f"{earn}; it was {was} at the export")
        if now["vs_best_fixed"]["interval90"][1] < 0:
            found.append("the best fixed prices of these weeks earn more than the learned ones")
    if learned and outside:
        shares = ", ".join(f"{feature_words(name)} ({share:.0%})" for name, share in outside.items())
        new = "the network sees values that it never saw in training"
        found.append(f"{new}, in a share of product-periods: {shares}")
    return found
