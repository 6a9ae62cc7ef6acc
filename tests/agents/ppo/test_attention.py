"""Attention over the products of a category: what it computes, and that it passes through training and run folders."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from repricer.agents import load_run, settings_for, train
from repricer.agents.compression import compressed
from repricer.agents.ppo.attention import CategoryAttention, for_category, rows_together
from repricer.agents.ppo.on_device import DeviceRolloutBuffer
from repricer.agents.run import Run
from repricer.envs import Market, make_sb3_env
from repricer.scenarios import MarketSpec, load_scenario

CATEGORY = np.array([1, 0, 1, 2, 1, 0])
SMALL = {"network": "attention", "attention_size": 8, "num_envs": 4, "n_steps": 8, "batch_size": 24, "n_epochs": 2}
SMALL |= {"evaluations": 4, "validation_episodes": 8, "clone_episodes": 8, "clone_epochs": 1}


def opened(category: np.ndarray, seed: int = 0) -> CategoryAttention:
    """An attention whose context counts in full, which a new one leaves out."""
    torch.manual_seed(seed)
    attention = CategoryAttention(4, 6, 2, category)
    torch.nn.init.ones_(attention.gain)
    return attention


def test_it_is_multi_head_attention_within_a_category() -> None:
    attention, rows = opened(CATEGORY), torch.randn(2 * 6, 4)
    found = attention(rows).reshape(2, 6, 10)
    for market, seen in enumerate(rows.reshape(2, 6, 4)):
        for c in range(3):
            own = np.flatnonzero(c == CATEGORY)
            query, key, value = attention.read(seen[own]).split(6, dim=1)
            heads = [slice(0, 3), slice(3, 6)]
            wanted = torch.cat(
                [((query[:, h] @ key[:, h].T / 3**0.5).softmax(dim=1) @ value[:, h].relu()) for h in heads], dim=1
            )
            torch.testing.assert_close(found[market, own], torch.cat([seen[own], wanted], dim=1))


def test_the_order_of_products_has_no_effect() -> None:
    rows, order = torch.randn(3, 6, 4), torch.tensor([4, 2, 0, 5, 1, 3])
    plain = opened(CATEGORY)(rows.flatten(0, 1)).reshape(3, 6, 10)
    moved = opened(CATEGORY[order.numpy()])(rows[:, order].flatten(0, 1)).reshape(3, 6, 10)
    torch.testing.assert_close(moved, plain[:, order])


def test_a_product_alone_in_its_category_is_priced_by_its_own_row() -> None:
    rows = torch.randn(6, 4)
    together, alone = opened(CATEGORY)(rows), opened(np.array([0]))(rows[3:4])
    torch.testing.assert_close(together[3:4], alone)
    others = rows + torch.tensor([1.0, 1, 1, 0, 1, 1])[:, None]
    torch.testing.assert_close(opened(CATEGORY)(others)[3:4], alone)


def test_a_new_network_is_the_shared_row() -> None:
    assert not CategoryAttention(4, 6, 2, CATEGORY)(torch.randn(6, 4))[:, 4:].any()


def test_other_products_are_read_with_the_same_weights() -> None:
    own = opened(CATEGORY)
    other = for_category(torch.nn.Sequential(own), np.zeros(2, np.intp))
    assert (rows_together(own), rows_together(other), rows_together(torch.nn.ReLU())) == (6, 2, 1)
    rows = torch.randn(2, 4)
    torch.testing.assert_close(other(rows), opened(np.zeros(2, np.intp))(rows))


def test_batches_hold_whole_categories_and_every_row_once() -> None:
    venv = make_sb3_env("bench-10", num_envs=4, product_wise=True)
    category = np.repeat([0, 1], 5)
    buffer: Any = DeviceRolloutBuffer(
        3, venv.observation_space, venv.action_space, device="cpu", n_envs=40, category=category
    )
    buffer.returns = torch.arange(3 * 40).reshape(3, 40)
    buffer.values = buffer.returns % 40 // 10 * 3 + buffer.returns // 40  # one number for each market and period
    buffer.actions = (buffer.returns % 10)[..., None]
    batches = list(buffer.get(20))
    assert [len(batch.returns) for batch in batches] == [20] * 6
    assert torch.equal(torch.cat([batch.returns for batch in batches]).sort().values, torch.arange(120))
    markets = torch.cat([batch.old_values for batch in batches]).reshape(12, 2, 5)
    assert (markets == markets[..., :1]).all()
    assert (markets[:, 0] != markets[:, 1]).any()
    assert torch.equal(torch.cat([batch.actions for batch in batches]).reshape(12, 10), torch.arange(10).expand(12, 10))


@pytest.fixture(scope="module")
def made(shop: MarketSpec, tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Path]:
    folder = tmp_path_factory.mktemp("attention") / "run"
    return train(shop, steps=6 * 96, settings=SMALL, out=folder), folder


def weights(run: Run) -> np.ndarray:
    return np.concatenate([part.detach().numpy().ravel() for part in run.actor.parameters()])


def test_its_gain_is_learned(made: tuple[Run, Path]) -> None:
    (attention,) = [part for part in made[0].actor.modules() if isinstance(part, CategoryAttention)]
    assert attention.gain.detach().abs().max() > 1e-4


def test_a_resumed_run_equals_an_uninterrupted_one(made: tuple[Run, Path], shop: MarketSpec, tmp_path: Path) -> None:
    calls: list[int] = []

    def interrupt(*_: Any) -> None:
        calls.append(1)
        if len(calls) == 3:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        train(shop, steps=6 * 96, settings=SMALL, out=tmp_path / "cut", progress=interrupt)
    resumed = train(shop, steps=6 * 96, settings=SMALL, out=tmp_path / "cut")
    np.testing.assert_array_equal(weights(resumed), weights(made[0]))


def test_a_run_folder_gives_the_policy_back(made: tuple[Run, Path], shop: MarketSpec) -> None:
    view = Market(shop, num_markets=3).view
    np.testing.assert_array_equal(load_run(made[1]).policy.act(view).price, made[0].policy.act(view).price)


def test_it_prices_another_assortment(make_shop: Any, made: tuple[Run, Path]) -> None:
    other = make_shop(products={"category": ["x", "y", "y"]})
    run = made[0].in_market(other)
    (attention,) = [part for part in run.actor.modules() if isinstance(part, CategoryAttention)]
    assert attention.slots.tolist() == [0, 0, 1, 2]
    assert made[0].policy_for(other).act(Market(other).view).price.shape == (1, 3)


def test_it_learns_more_than_fixed_prices_earn() -> None:
    """Three substitutes with few units: from the best fixed prices, without a teacher."""
    settings = {"network": "attention", "opening": "base-price", "evaluations": 4, "validation_episodes": 512}
    best = train("three-stocks", steps=30_000, settings=settings).facts["best"]
    assert best["gain"] > 5 * best["gain_se"]
    assert best["gain"] > 0.01 * best["best_fixed"]


@pytest.mark.parametrize(
    ("algo", "changes", "message"),
    [
        ("ppo", {"product_wise": False}, "network attention needs product_wise true; got false"),
        ("ppo", {"attention_size": 9}, "attention_size must be a multiple of attention_heads .2.; got 9"),
        ("ppo", {"attention_heads": 0}, "attention_heads must be at least 1; got 0"),
        ("ppo", {"network": "atention"}, "network must be one of mlp, rnn, attention; got 'atention'"),
        ("a2c", {}, "network attention needs algo ppo; got a2c"),
    ],
)
def test_settings_that_do_not_fit_are_refused(algo: str, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        settings_for(load_scenario("bench-10"), algo, {"network": "attention"} | changes)


def test_what_reads_single_rows_is_refused(made: tuple[Run, Path], shop: MarketSpec) -> None:
    with pytest.raises(ValueError, match="compression needs a network that reads one row; got network attention"):
        compressed(made[0], "small")
    with pytest.raises(ValueError, match="assortments need network mlp; got attention"):
        train(shop, steps=1, settings=SMALL, assortments=[shop])
