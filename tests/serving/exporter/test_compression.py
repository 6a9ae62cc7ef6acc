from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import repricer
from click.testing import CliRunner
from repricer.agents import compression
from repricer.agents.compression import parameters
from repricer.cli import main
from repricer.envs import rollout, seed_for
from repricer.pricing import row_width
from repricer.scenarios import MarketSpec
from repricer.serving import BundleError, export, load_bundle
from repricer.serving.exporter.compression import compress, kept

from ..conftest import make_run

EFFORT = {"rows": 1500, "rounds": 1, "episodes": 16}


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compression, "_EPOCHS", 8)
    monkeypatch.setattr(compression, "_RECORDED_EPISODES", 4)
    monkeypatch.setattr("repricer.serving.exporter.compression._MOST_PRICES_ASKED", 0)


def test_a_bundle_of_a_smaller_policy_answers_as_it_does(run, tmp_path: Path) -> None:
    done = compress(run, "tree", least=-99, **EFFORT)
    bundle = load_bundle(export(done.run, tmp_path / "bundle"))
    rows = np.random.default_rng(0).normal(size=(500, row_width(bundle.catalogue, product_wise=run.product_wise)))
    rows = rows.astype(np.float32)
    for got, wanted in zip(bundle.policy.forward(rows)[:3], done.run.policy.forward(rows)[:3], strict=True):
        np.testing.assert_allclose(got.ravel(), wanted.ravel(), rtol=1e-5, atol=1e-5)
    facts = bundle.manifest["run"]["compression"]
    assert facts == done.facts
    assert facts["parameters"] == {"before": parameters(run.actor), "after": parameters(done.run.actor)}
    assert (facts["money"]["after"] - facts["money"]["before"]) * (facts["kept"] - 1) >= 0


def test_a_share_in_doubt_is_judged_by_more_episodes(run, monkeypatch) -> None:
    tree = compress(run, "tree", leaves=2, least=-99, **EFFORT).run
    prices = run.spec.market.horizon_periods * run.spec.sizes["N"]
    monkeypatch.setattr("repricer.serving.exporter.compression._MOST_PRICES_ASKED", 64 * prices)
    monkeypatch.setattr("repricer.serving.exporter.compression._PRECISE", 0.0)
    assert kept(run, run.policy, 16)["episodes"] == 16
    assert kept(run, tree.policy, 16)["episodes"] == 64


def test_too_great_a_loss_is_refused(run) -> None:
    whole = compress(run, "tree", leaves=2, least=-99, **EFFORT).facts["kept"]
    with pytest.raises(BundleError, match=r"a tree policy must keep .*; got .*; allow it a larger number of leaves"):
        compress(run, "tree", leaves=2, least=whole + 0.01, **EFFORT)


def test_the_command_writes_the_rules(tmp_path: Path) -> None:
    settings = {"num_envs": 4, "n_steps": 12, "batch_size": 48, "validation_episodes": 2, "evaluations": 1}
    repricer.train("gallego-van-ryzin", steps=1, settings=settings, out=tmp_path / "run")
    command = [
        "export",
        str(tmp_path / "run"),
        "--out",
        str(tmp_path / "b"),
        "--compress",
        "tree",
        "--least-kept",
        "-99",
    ]
    done = CliRunner().invoke(main, [*command, "--leaves", "3", "--episodes", "8"])
    assert done.exit_code == 0, done.output
    assert "tree: " in done.output
    assert (tmp_path / "b.rules.txt").read_text().count("value: [") <= 3
    assert load_bundle(tmp_path / "b").policy.name == "ppo:0:tree"


def test_policies_are_judged_by_what_they_see_of_the_shop_itself(spec: MarketSpec) -> None:
    """Prices are learned less a shadow cost, and networks see unit costs: with the shadow cost in their place they answer otherwise."""
    shadow = 0.2 * spec.products.regular_price
    run = make_run(
        spec.with_changes(market={"objective": "revenue"}, products={"shadow_cost": shadow}), product_wise=True
    )
    seen = {"expected": True, "assumed": run.spec}
    before = rollout(run.goal, run.policy, episodes=16, seed=seed_for("test"), **seen).objective.mean()
    assert kept(run, run.policy, 16)["money"]["before"] == before
    chosen = rollout(run.goal, run.policy, episodes=4, seed=seed_for("validation"), **seen).objective.mean()
    assert compression._validated(run, 0) == chosen
