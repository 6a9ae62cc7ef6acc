from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from repricer.agents import Run, compression, policy_from
from repricer.agents.actor import Actor, RecurrentActor
from repricer.agents.compression import TreeLayers, compressed, parameters
from repricer.envs import LearnerView, Market, rollout
from sklearn.tree import DecisionTreeRegressor

EFFORT = {"rows": 1500, "rounds": 1}


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compression, "_EPOCHS", 8)
    monkeypatch.setattr(compression, "_RECORDED_EPISODES", 4)


@pytest.fixture(scope="module", params=[False, True], ids=["joint", "product-wise"])
def run(request) -> Run:
    view = LearnerView(Market("bench-10"), product_wise=request.param)
    columns = view.layout.size * (1 if request.param else 10)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        layers = [
            torch.nn.Linear(view.observe().shape[1], 32),
            torch.nn.ReLU(),
            torch.nn.Linear(32, 32),
            torch.nn.Tanh(),
        ]
        return policy_from(torch.nn.Sequential(*layers, torch.nn.Linear(32, columns)), view, name="teacher")


@pytest.mark.parametrize("leaves", [1, 2, 40])
def test_the_layers_of_a_tree_answer_as_the_tree(leaves: int) -> None:
    generator = np.random.default_rng(0)
    # Few distinct values, so that many rows lie right on a threshold.
    rows = generator.integers(0, 7, (2000, 5)).astype(np.float32) / 3
    wanted = np.column_stack([rows[:, 0] * rows[:, 3], np.sin(rows[:, 1])]) if leaves > 1 else np.ones((2000, 2))
    tree = DecisionTreeRegressor(max_leaf_nodes=max(leaves, 2)).fit(rows, wanted)
    assert tree.get_n_leaves() == leaves
    got = TreeLayers(tree)(torch.from_numpy(rows)).numpy()
    np.testing.assert_allclose(got, tree.predict(rows), rtol=1e-6)


@pytest.mark.parametrize("method", ["small", "prune"])
def test_a_smaller_network_imitates(run: Run, method: str) -> None:
    student, rules = compressed(run, method, size=0.3, **EFFORT)
    assert rules is None
    assert 0.2 < parameters(student.actor) / parameters(run.actor) <= 0.3
    seen = []
    rollout(run.spec, run.policy, episodes=4, seed=9, watch=lambda view, _: seen.append(view))
    teacher, own = (np.stack([policy.act(view).price for view in seen]) for policy in (run.policy, student.policy))
    base = run.base_price
    assert np.abs(own - teacher).mean() < 0.35 * np.abs(teacher - base).mean()
    assert student.facts["name"] == f"teacher:{method}"


def test_a_tree_says_what_it_does(run: Run) -> None:
    student, rules = compressed(run, "tree", leaves=5, **EFFORT)
    assert rules is not None
    assert rules.count("value: [") == 5
    tree = next(module for module in student.actor.modules() if isinstance(module, TreeLayers))
    shown = [
        float(line.partition("[")[2].split(",")[0].rstrip("]")) for line in rules.splitlines() if "value: [" in line
    ]
    decoded = run.layout.decode(tree.values.numpy()[:, : run.layout.size]).price_multiplier
    np.testing.assert_allclose(sorted(shown), sorted(decoded), atol=6e-4)
    assert parameters(student.actor) == 2 * 4 + 5 * run.actor.columns


def test_pruning_removes_the_units_of_the_least_weight(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compression, "_imitate", lambda *_: None)
    before = [m for m in run.actor.modules() if isinstance(m, torch.nn.Linear)]
    student, _ = compressed(run, "prune", size=0.5, **EFFORT)
    after = [m for m in student.actor.modules() if isinstance(m, torch.nn.Linear)]
    norms = before[0].weight.detach().norm(dim=1)
    strongest = norms.topk(after[0].out_features).indices.sort().values
    torch.testing.assert_close(after[0].weight, before[0].weight[strongest])


def test_what_does_not_fit_is_refused(run: Run) -> None:
    with pytest.raises(ValueError, match="method must be one of small, tree, prune; got brotli"):
        compressed(run, "brotli")
    with pytest.raises(ValueError, match=r"size must lie in \(0, 1\]"):
        compressed(run, size=0.0)
    discrete = Actor(run.actor.layers, (np.zeros(3, np.float32),), 1)
    with pytest.raises(ValueError, match=r"prune needs .* got discrete actions"):
        compressed(replace(run, actor=discrete), "prune", **EFFORT)
    lstm = torch.nn.LSTM(4, 4)
    recurrent = RecurrentActor(torch.nn.Identity(), lstm, run.actor.layers, None, 1)
    with pytest.raises(ValueError, match="compression needs a policy without recurrent state; got Sequential; export"):
        compressed(replace(run, actor=recurrent), **EFFORT)
