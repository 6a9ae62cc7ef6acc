"""One market, many runs of it: batches, threads, processes, saved and restored states give the same bits."""

import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from repricer.envs import (
    LearnerView,
    Market,
    MarketEnv,
)
from repricer.pricing import Action
from repricer.scenarios import load_scenario, sample_catalogue


def everything(name: str):
    if name == "sampled":
        units = {"units_gain": 0.2, "units_loss": 0.1}
        return sample_catalogue(6, 8, parts="all", periods=20).with_changes(reference_price=units)
    return load_scenario(name)


@pytest.mark.parametrize("name", ["bench-10-full", "sampled"])
@pytest.mark.parametrize("markets", [1, 7, 64, 65, 200])
def test_a_market_with_all_parts_is_the_same_bits_in_any_batch(name, markets):
    spec = everything(name)
    together = Market(spec, num_markets=markets, seed=9)
    view = LearnerView(together)
    generator = np.random.default_rng(markets)
    raws = generator.uniform(-1, 1, (4, markets, view.action_space.shape[0])).astype(np.float32)
    outcomes = [view.step(raw) for raw in raws]
    for e in sorted({0, markets // 2, 63 % markets, markets - 1}):
        single = LearnerView(Market(spec, seed=9, numbers=np.array([e])))
        for raw, outcome in zip(raws, outcomes, strict=True):
            alone = single.step(raw[e : e + 1])
            for part, array in outcome.results._asdict().items():
                np.testing.assert_array_equal(array[..., e : e + 1], getattr(alone.results, part), err_msg=part)
            np.testing.assert_array_equal(single.rewards(alone)[0], view.rewards(outcome)[e])
        for part, array in together.state.arrays().items():
            np.testing.assert_array_equal(array[..., e], single.market.state.arrays()[part][..., 0], err_msg=part)
        np.testing.assert_array_equal(view.observe()[e], single.observe()[0])


def play(spec, seed: int) -> bytes:
    view = LearnerView(Market(spec, num_markets=70, seed=seed))
    generator = np.random.default_rng(seed)
    parts = []
    for _ in range(12):
        raw = generator.uniform(-1, 1, (70, view.action_space.shape[0])).astype(np.float32)
        outcome = view.step(raw)
        parts += [outcome.results.money.tobytes(), view.observe().tobytes()]
    return b"".join(parts + [array.tobytes() for array in view.market.state.arrays().values()])


def test_markets_in_parallel_threads_give_the_bytes_that_they_give_alone():
    spec = load_scenario("bench-10-full").with_changes(reference_price={"units_gain": 1.0, "units_loss": 0.5})
    alone = [play(spec, seed) for seed in range(8)]
    assert len(set(alone)) == 8
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda seed: play(spec, seed), range(8))) == alone


def test_market_view_and_environment_pickle_in_mid_episode():
    spec = load_scenario("bench-10-full")
    market = Market(spec, num_markets=3, seed=2)
    adapters = [
        LearnerView(market, history=2),
        MarketEnv(spec),
        LearnerView(Market(spec, num_markets=3), product_wise=True),
    ]
    for view in adapters:
        view.reset(seed=4)
        rows = view.num_rows if isinstance(view, LearnerView) else 1
        raw = np.full((rows, *view.action_space.shape), 0.3, np.float32)
        raw = raw if isinstance(view, LearnerView) else raw[0]
        view.step(raw)
        copy = pickle.loads(pickle.dumps(view))
        ours, theirs = view.step(raw), copy.step(raw)
        if isinstance(view, LearnerView):
            np.testing.assert_array_equal(copy.observe(), view.observe())
            np.testing.assert_array_equal(theirs.results.money, ours.results.money)
        else:
            np.testing.assert_array_equal(theirs[0], ours[0])
            assert theirs[1] == ours[1]
    action = Action(np.tile(np.float32(spec.products.regular_price), (3, 1)))
    copy = pickle.loads(pickle.dumps(market))
    np.testing.assert_array_equal(copy.step(action).results.money, market.step(action).results.money)


def test_everything_that_moves_is_saved_and_restored_in_mid_episode():
    view = LearnerView(Market("bench-10-full", num_markets=5, seed=2))
    generator = np.random.default_rng(0)
    raws = generator.uniform(-1, 1, (9, 5, view.action_space.shape[0])).astype(np.float32)
    for raw in raws[:5]:
        view.step(raw)
    saved = pickle.loads(pickle.dumps(view.market.state))
    first = [view.step(raw) for raw in raws[5:]]
    ended = view.market.state
    # In another market, of another history: only the state counts.
    other = LearnerView(Market("bench-10-full", num_markets=5, seed=2))
    other.step(raws[8])
    other.restore(saved)
    for raw, outcome in zip(raws[5:], first, strict=True):
        again = other.step(raw)
        np.testing.assert_array_equal(again.results.money, outcome.results.money)
        np.testing.assert_array_equal(again.rival_profit, outcome.rival_profit)
    for part, array in other.market.state.arrays().items():
        np.testing.assert_array_equal(array, ended.arrays()[part], err_msg=part)


def test_some_markets_are_restored_and_the_others_go_on():
    view = LearnerView(Market("bench-10-full", num_markets=4, seed=2))
    raw = np.zeros((4, view.action_space.shape[0]), np.float32)
    view.step(raw)
    saved = view.market.state
    view.step(raw)
    gone_on, where = view.market.state, np.array([True, False, True, False])
    view.restore(saved, where=where)
    assert view.market.state.period.tolist() == [1, 2, 1, 2]
    for part, array in view.market.state.arrays().items():
        np.testing.assert_array_equal(array[..., where], saved.arrays()[part][..., where])
        np.testing.assert_array_equal(array[..., ~where], gone_on.arrays()[part][..., ~where])


@pytest.mark.parametrize(
    ("name", "at_once", "backlog"),
    [
        ("dual-sourcing", [[0], [1]], True),
        ("price-and-order", [[1], [0]], None),
        ("lead-times", None, None),
        ("scarce", None, False),
    ],
)
def test_policies_know_which_orders_can_be_sold_at_once(name, at_once, backlog):
    spec = load_scenario(name)
    catalogue = Market(spec).view.catalogue
    assert (None if catalogue.at_once is None else catalogue.at_once.tolist()) == at_once
    assert catalogue.backlog == (spec.stock.shortage == "backlog" if backlog is None else backlog)
