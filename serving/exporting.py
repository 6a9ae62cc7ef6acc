"""Write what a training run learned as a bundle that a price server can verify."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..pricing import NetworkPolicy, row_width
from . import golden
from .bundle import SCHEMA_VERSION, load_bundle
from .codec import Knowledge, catalogue_document, guardrails_document
from .files import CATALOGUE, GOLDEN, GUARDRAILS, POLICY, BundleError, check_target, write_files
from .signing import own_key, read_private_key, seal, to_json

if TYPE_CHECKING:
    from ..agents import Run

_PACKAGES = ("repricer", "numpy", "onnx", "onnxruntime", "torch")


def export(run: Run, out: str | os.PathLike[str], *, key: str | os.PathLike[str] | None = None, seed: int = 0) -> Path:
    """Write the run's policy to the folder `out`, signed, and return its path.

    out: a new path, or a bundle, which is replaced once the new one is complete and has been loaded and verified.
    key: PEM file of an Ed25519 private key. Without one, OUT.key.pem is made on first use and used again after that,
    with OUT.pub.pem to hand to those who load the bundle. seed: picks the market states of the golden vectors.
    Raises BundleError where `out` is something else or the key cannot be read. Needs the `train` extra.
    """
    from ..envs import catalogue_of
    from .graph import PolicyGraph

    for part, there in (("promotions", run.layout.promote), ("orders", run.layout.order)):
        if there:
            raise BundleError(
                f"the price service answers prices, discounts and slots; got a policy that also decides {part}; "
                "train it on the scenario without them"
            )
    looks_back = not isinstance(run.policy, NetworkPolicy)
    for there, what in ((looks_back, "looks back"), (run.base is not None, "multiplies the price of a rule")):
        if there:
            raise BundleError(
                f"the price service answers from one period, by a network alone; got a policy that {what}; "
                "train without that to export"
            )
    out = Path(out)
    check_target(out)
    own = None if key is None else read_private_key(Path(key))
    slots = run.spec.recommendation
    knowledge = Knowledge(
        catalogue=catalogue_of(run.spec),
        guardrails=run.spec.guardrails,
        layout=run.layout,
        base_price=run.base_price,
        product_wise=run.product_wise,
        candidates=None if slots is None else slots.candidates > 0,
    )
    products_in_row = None if run.product_wise else knowledge.catalogue.num_products
    graph = PolicyGraph(run.actor, run.layout, products_in_row)
    files = {
        POLICY: graph.to_onnx(row_width(knowledge.catalogue, product_wise=run.product_wise)),
        GUARDRAILS: to_json(GUARDRAILS, guardrails_document(knowledge.guardrails)),
        CATALOGUE: to_json(CATALOGUE, catalogue_document(knowledge)),
        GOLDEN: to_json(GOLDEN, golden.record(knowledge, graph.parts, seed)),
    }
    sealed = seal(files, _facts(run), own or own_key(out))
    write_files(out, sealed, check=load_bundle)
    return out


def _facts(run: Run) -> dict[str, Any]:
    """What the manifest says of the policy."""
    spec, market = run.spec, run.spec.market
    return {
        "schema_version": SCHEMA_VERSION,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "policy": f"{run.facts['algo']}:{run.facts['seed']}",
        "scenario": {
            "name": spec.name,
            "version": spec.version,
            "period": market.period,
            "currency": market.currency,
        },
        "objective": market.objective,
        "assumptions": list(spec.assumptions),
        "run": run.facts,
        "evaluation": run.evaluation,
        "packages": {name: version(name) for name in _PACKAGES},
    }
