"""The response to regular prices, from how these differ between stores."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from repricer.data.panel.regular_prices import upper_envelope
from repricer.fitting.demand import LastingResponse, Priors, between_stores, lasting_response
from repricer.fitting.demand.lasting_response import ElasticityEstimate

NAMES = list("abcdef")


def stores(
    relative=-2.0, category=-0.4, *, count=40, weeks=104, deals=3.5, confounded=0.0, sitting_out=None, seed=0
) -> xr.Dataset:
    """Sales of a chain. Stores move their regular prices every half a year; the level of their prices goes with their
    demand, which says nothing of how customers answer. Deals are of single stores, or of the chain, where a share of the
    stores sits each out and loses customers to the others, the more the dearer it is.
    """
    generator, products = np.random.default_rng(seed), len(NAMES)
    shape = (count, weeks, products)
    taste = generator.normal(0, 0.3, (count, 1, products))
    steps = np.repeat(generator.normal(0, 0.05, (count, -(-weeks // 26), products)), 26, axis=1)[:, :weeks]
    common = np.repeat(generator.normal(0, 0.05, (count, -(-weeks // 26), 1)), 26, axis=1)[:, :weeks]
    log_regular = 1.0 + confounded * taste + steps + common
    depth = np.where(generator.random(shape) < 0.3, generator.uniform(0.1, 0.3, shape), 0.0)
    lost = np.zeros(shape)
    if sitting_out is not None:
        chain = np.where(generator.random(shape[1:]) < 0.3, generator.uniform(0.1, 0.3, shape[1:]), 0.0)
        sits = generator.random(shape) < sitting_out
        depth = np.where(sits, 0.0, chain)
        lost = np.where(sits & (chain > 0), deals * (steps + common), 0.0)
    week = 0.3 * generator.standard_normal((1, weeks, products))
    level = log_regular.mean(axis=2, keepdims=True)
    mean = np.exp(3 + taste + week + relative * (log_regular - level) + category * level + deals * depth - lost)
    price = np.exp(log_regular) * (1 - depth)
    values = {"units": generator.poisson(mean).astype(float), "price": price, "regular_price": upper_envelope(price)}
    return xr.Dataset(
        {name: (("store", "week", "product"), value) for name, value in values.items()},
        coords={
            "store": [str(i) for i in range(count)],
            "week": pd.date_range("2020-01-06", periods=weeks, freq="7D"),
            "product": NAMES,
        },
    )


@pytest.mark.parametrize("confounded", [0.0, 0.5])
def test_both_elasticities_are_recovered_whatever_the_level_of_prices_and_the_weeks_of_deals(confounded):
    """Deals sell five times as much as a regular price of the same size, and dear stores sell more."""
    found = lasting_response(stores(confounded=confounded), NAMES)
    for estimate in found.relative:
        assert estimate.value == pytest.approx(-2.0, abs=0.35)
        assert estimate.error < 0.45
    assert found.category.value == pytest.approx(-0.4, abs=0.5)
    assert found.stores == 40
    assert found.moves > 100


def test_with_deals_kept_in_the_answer_would_be_that_to_deals():
    """The check can fail: without leaving deals out, the estimate is far off."""
    panel = stores()
    panel["regular_price"] = panel["price"]
    assert lasting_response(panel, NAMES).relative[0].value < -2.4


def test_stores_that_sit_out_a_deal_of_the_chain_are_not_compared_with_stores_on_deal():
    """Deals move units three times as much as regular prices do; what a store loses to them would pass for its own price's."""
    drawn = [stores(-1.5, deals=4.5, sitting_out=0.4, seed=seed) for seed in range(4)]
    found = [lasting_response(panel, NAMES).relative[0].value for panel in drawn]
    assert np.mean(found) == pytest.approx(-1.5, abs=0.3)
    between = [between_stores(panel, NAMES)[0].value for panel in drawn]
    assert np.mean(between) == pytest.approx(-1.5, abs=0.3)
    kept = [between_stores(panel, NAMES, without_chain_deals=False)[0].value for panel in drawn]
    assert np.mean(kept) < -1.9


def test_estimates_between_stores_and_over_time_make_the_response_of_a_product():
    panel = stores()
    found = lasting_response(panel, NAMES).relative
    for whole, between in zip(found, between_stores(panel, NAMES), strict=True):
        over_time = whole.error**-2 - between.error**-2
        assert 0 < over_time < between.error**-2


def test_one_price_everywhere_tells_nothing_and_leaves_the_prior():
    panel = stores()
    panel["price"][:] = 2.0
    panel["regular_price"][:] = 2.0
    found = lasting_response(panel, NAMES)
    assert all(np.isinf(estimate.error) for estimate in (*found.relative, found.category))
    assert found.moves == 0
    drawn, prior = (each.draws(Priors(), 4000, seed=1) for each in (found, LastingResponse()))
    np.testing.assert_allclose(drawn[0].mean(), prior[0].mean(), rtol=0.03)
    assert np.median(prior[0]) == pytest.approx(Priors().lasting, rel=0.03)
    assert np.median(prior[1]) == pytest.approx(Priors().category, rel=0.05)


def test_draws_are_between_the_prior_and_the_estimate_and_a_category_never_loses_more_than_its_products():
    known = LastingResponse(relative=(ElasticityEstimate(-3.0, 0.1),), category=ElasticityEstimate(-5.0, 0.1))
    relative, category = known.draws(Priors(), 2000, seed=0)
    assert relative.mean() == pytest.approx(3.0, abs=0.06)
    assert (category <= 0.95 * relative + 1e-12).all()


def test_estimates_are_put_together_by_precision():
    both = ElasticityEstimate(-1.0, 0.3) & ElasticityEstimate(-2.0, 0.6)
    assert both.value == pytest.approx(-1.2)
    assert both.error == pytest.approx((0.3**-2 + 0.6**-2) ** -0.5)
    assert ElasticityEstimate() & ElasticityEstimate() == ElasticityEstimate()


def test_a_response_far_from_all_priors_still_has_draws():
    sure = LastingResponse(relative=(ElasticityEstimate(-80.0, 0.5),), category=ElasticityEstimate(-80.0, 0.5))
    relative, category = sure.draws(Priors(), 50, seed=0)
    assert np.isfinite(relative).all()
    assert np.isfinite(category).all()


def test_a_few_blocks_of_a_few_products_tell_nothing():
    rng = np.random.default_rng(0)
    price = np.repeat(rng.uniform(1.0, 2.0, (1, 2, 3)), 8, axis=1)
    axes = ("store", "week", "product")
    panel = xr.Dataset(
        {"units": (axes, 50 * price**-30), "price": (axes, price), "regular_price": (axes, price)},
        {"store": ["a"], "week": pd.date_range("2024-01-01", periods=16, freq="7D"), "product": ["x", "y", "z"]},
    )
    assert not np.isfinite(lasting_response(panel, ["x", "y", "z"]).relative[0].error)


def experiment(count, seed, broken=0):
    """Sales of stores with an experiment in the last weeks: in half of them whole categories were tested, else products."""
    weeks, step, random, products, length = 4, 0.1, np.random.default_rng(seed), len(NAMES), 24
    shape, here = (count, length, products), slice(-weeks, None)
    signs = random.choice([-1, 1], (count, weeks, products))
    whole = (random.random((count, weeks, 1)) < 0.5) & (count > 1)
    ratio = np.zeros(shape)
    ratio[:, here] = step * np.where(whole, signs[..., :1], signs)
    level = ratio.mean(axis=2, keepdims=True)
    common = random.normal(0, 0.3, (count, 1, products)) + 0.2 * random.standard_normal((1, length, 1))
    mean = 15 * np.exp(common - 2.0 * (ratio - level) - 0.4 * level)
    units = random.poisson(mean * random.gamma(1 / 0.06, 0.06, shape)).astype(float)
    price, inside, lost = np.where(units > 0, np.exp(1 + ratio), np.nan), np.zeros(shape), np.zeros(shape)
    inside[:, here], lost[:broken, here] = 1, 1
    values = {
        "units": units,
        "price": price,
        "regular_price": price,
        "tested_price": np.exp(1 + ratio),
        "planned_price": np.full(shape, np.exp(1.0)),
        "assigned": np.where(inside > 0, ratio, np.nan),
        "followed": inside * (1 - lost),
        "broken": lost,
    }
    weeks_of = pd.date_range("2024-01-01", periods=length, freq="7D")
    labels = {"store": [f"s{number}" for number in range(count)], "week": weeks_of, "product": NAMES}
    return xr.Dataset({name: (tuple(labels), value) for name, value in values.items()}, labels)


@pytest.mark.parametrize(("count", "shops"), [(1, 40), (8, 40), (24, 30)])
def test_experiments_recover_both_elasticities_with_intervals_that_cover_them(count, shops):
    found = [lasting_response(experiment(count, seed), NAMES) for seed in range(shops)]
    own = np.array([(each.relative[0].value, each.relative[0].error) for each in found])
    assert own[:, 0].mean() == pytest.approx(-2.0, abs=3 * own[:, 0].std() / np.sqrt(shops))
    assert (np.abs(own[:, 0] + 2.0) < 1.645 * own[:, 1]).mean() >= 0.75
    if count == 1:
        assert all(np.isinf(each.category.error) for each in found)
        return
    category = np.array([(each.category.value, each.category.error) for each in found])
    assert category[:, 0].mean() == pytest.approx(-0.4, abs=3 * category[:, 0].std() / np.sqrt(shops))
    assert (np.abs(category[:, 0] + 0.4) < 1.645 * category[:, 1]).mean() >= 0.75


def test_an_experiment_adds_to_the_estimate_of_the_other_weeks_which_stays_what_it_is_without_its_weeks():
    panel, own = stores(count=24), experiment(24, 0)
    times = pd.date_range(panel.indexes["week"][-1] + pd.Timedelta(weeks=1), periods=own.sizes["week"], freq="7D")
    both = xr.concat([panel, own.assign_coords(week=times, store=panel["store"][:24])], "week")
    before, found = (
        lasting_response(both.isel(week=slice(-4)).drop_vars("assigned"), NAMES),
        lasting_response(both, NAMES),
    )
    assert found.experiment is not None
    for name in ("value", "error"):
        pairs = zip(
            (*found.experiment.before.relative, found.experiment.before.category),
            (*before.relative, before.category),
            strict=True,
        )
        for one, other in pairs:
            assert getattr(one, name) == pytest.approx(getattr(other, name))
    alone = lasting_response(own, NAMES)
    assert found.relative[0].error < min(before.relative[0].error, alone.relative[0].error)
    assert found.category.error < min(before.category.error, alone.category.error)
    assert found.experiment.cells == int((own["units"].isel(week=slice(-4, None)) > 0).sum())


def test_stores_that_broke_the_calendar_are_left_out_and_counted():
    panel = experiment(24, 1, broken=6)
    wrong = panel.assign(units=panel["units"].where(panel["broken"] == 0, 500.0))
    whole, found = lasting_response(panel, NAMES), lasting_response(wrong, NAMES)
    assert found.relative == whole.relative
    assert found.category.value == pytest.approx(whole.category.value, abs=0.02)
    assert found.experiment is not None
    assert set(found.experiment.broken) == {f"s{number}" for number in range(6)}
    assert sum(found.experiment.broken.values()) == 6 * 4 * len(NAMES)
