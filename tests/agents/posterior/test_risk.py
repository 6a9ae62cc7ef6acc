"""Risk over posterior draws: the measure, the training episodes, and what training does with it."""

from dataclasses import replace

import numpy as np
import pytest
from repricer.agents import best_fixed, load_run, train
from repricer.agents.plan import batches_of
from repricer.agents.posterior import (
    PosteriorMoney,
    cautious_prices,
    current_prices,
    draw_pool,
    draws_of,
    risk_value,
    worst_share,
)
from repricer.agents.settings import settings_for
from repricer.envs import catalogue_of, rollout, seed_for
from repricer.pricing import FixedPrice, PriceEndings, feature_names
from repricer.scenarios import sample_catalogue
from repricer.scenarios.sections import RecommendationSection
from repricer.scenarios.shop_sections import PlanSection
from repricer.serving import export, load_bundle

from .test_money import uncertain

FAST = {"num_envs": 8, "n_steps": 26, "batch_size": 208, "evaluations": 3, "validation_episodes": 32, "clone_epochs": 1}


@pytest.fixture(scope="module")
def market():
    return uncertain(sample_catalogue(4, 2, parts=()).with_changes(prices={"max_change": None}), draws=12, spread=0.3)


@pytest.fixture(scope="module")
def run(market, tmp_path_factory):
    out = tmp_path_factory.mktemp("run")
    return train(market, steps=4_000, settings=FAST, out=out), out


def test_shares_and_values():
    assert (worst_share("mean"), worst_share("cvar:0.25")) == (1, 0.25)
    for wrong in ("cvar", "cvar:0", "cvar:1.5", "cvar:x", "worst", ""):
        with pytest.raises(ValueError, match=r"risk must be mean or cvar:SHARE .*; got") as caught:
            worst_share(wrong)
        assert "\n" not in str(caught.value)
    values = np.random.default_rng(0).normal(size=20)
    assert risk_value(values, 1.0) == pytest.approx(values.mean())
    assert risk_value(values, 0.05) == values.min()
    assert risk_value([1.0, 2.0, 3.0], 0.5) == pytest.approx((1 + 0.5 * 2) / 1.5)


def test_half_of_the_episodes_follow_the_worst_draws(market):
    price = best_fixed(market).price
    pool = draw_pool(market, price, 0.25)
    assert set(pool) == set(range(12))
    often = {m for m in pool if pool.count(m) > 1}
    assert len(often) == 3
    assert sum(m in often for m in pool) == pytest.approx(len(pool) / 2, rel=0.2)
    money = PosteriorMoney(market, draws_of(market))
    gain = money.by_draw(price.astype(float)) - money.by_draw(market.products.regular_price)
    assert often == set(np.argsort(gain)[:3].tolist())
    assert draw_pool(market, price, 1.0) is None
    assert money.by_draw(price.astype(float)).mean() == pytest.approx(money.value(price.astype(float)).sum())


def test_cautious_prices_lift_the_worst_draws_and_keep_the_price_rules(market):
    market = market.with_changes(prices={"price_ladder": None, "floor": 0.25 * market.products.regular_price})
    fixed, share = best_fixed(market).price, 0.25

    def value(price, of=share):
        money = PosteriorMoney(market, draws_of(market))
        return risk_value(money.by_draw(np.asarray(price, float)) - money.by_draw(market.products.regular_price), of)

    found = cautious_prices(market, fixed, share)
    assert value(found) > value(fixed) * 1.01
    assert value(found, 1.0) < value(fixed, 1.0)
    generator = np.random.default_rng(0)
    for _ in range(200):
        near = np.clip(found * np.exp(generator.normal(0, 0.02, 4)), market.guardrails.low, market.guardrails.high)
        assert value(near) <= value(found) * 1.002
    np.testing.assert_array_equal(cautious_prices(market, fixed, 1.0), fixed)
    ruled = market.with_changes(
        prices={"price_endings": PriceEndings([0.49, 0.99]), "frozen": market.products.names[:1]}
    )
    start = best_fixed(ruled).price
    found = cautious_prices(ruled, start, share)
    assert found[0] == start[0]
    np.testing.assert_allclose(np.minimum(abs(found[1:] % 1 - 0.49), abs(found[1:] % 1 - 0.99)), 0, atol=1e-5)


def test_gains_are_over_the_prices_of_the_shop(market):
    assert current_prices(market).name == "regular"
    charged = np.tile(1.1 * market.products.regular_price, (market.sizes["T"], 1))
    own = current_prices(replace(market, plan=PlanSection(price=charged, units=np.array(0.0))))
    assert own.name == "historical"
    np.testing.assert_allclose(own.path, charged, rtol=1e-6)


def test_what_is_planned_for_a_frozen_product_makes_no_draw_worse(market):
    frozen = market.with_changes(prices={"frozen": market.products.names[:1]})
    plans = (np.tile([share, 1, 1, 1] * frozen.initial_price, (frozen.sizes["T"], 1)) for share in (1.0, 0.7))
    planned, reduced = (replace(frozen, plan=PlanSection(price=plan)) for plan in plans)
    price = [1, 0.9, 1.1, 0.9] * frozen.initial_price
    assert draw_pool(reduced, price, 0.25) == draw_pool(planned, price, 0.25)


def test_current_prices_are_charged_whatever_the_rules_say_but_for_frozen_ones(market):
    regular = market.products.regular_price
    charged = np.tile(0.1 * regular, (market.sizes["T"], 1))
    plan = PlanSection(price=charged, units=np.array(0.0))
    ruled = replace(market, plan=plan).with_changes(prices={"frozen": market.products.names[:1], "max_change": 0.01})
    assert (ruled.guardrails.low[1:] > charged[0, 1:]).all()
    kept = rollout(ruled, FixedPrice(99.0), episodes=2, seed=0).price_path[0, :1]
    expected = np.concatenate([kept, charged[0, 1:]])
    played = rollout(ruled, current_prices(ruled), episodes=2, seed=0).price_path
    np.testing.assert_allclose(played, np.tile(expected, (len(charged), 1)), rtol=1e-6)


def test_training_over_draws_keeps_the_best_over_a_fixed_set_of_them(market, run):
    learned, out = run
    assert learned.spec.num_draws == 12
    truths = [market.draw(m) for m in range(12)]
    seen = [
        rollout(truth, learned.policy, episodes=2, seed=seed_for("validation", 0), expected=True, assumed=market)
        for truth in truths
    ]
    best = max(learned.history, key=lambda row: row["objective"])
    assert np.mean([each.objective.mean() for each in seen]) == pytest.approx(best["objective"], rel=1e-6)
    view_of = load_run(out).policy
    assert view_of.name == learned.policy.name
    plain = train(market, steps=4_000, settings=FAST | {"draws": 0})
    assert plain.history[0]["best_fixed"] != learned.history[0]["best_fixed"]


def test_a_resumed_training_over_draws_is_the_same(market, run, tmp_path):
    whole, _ = run
    calls = []

    class Stop(Exception):
        pass

    def interrupt(*_):
        calls.append(1)
        if len(calls) == 2:
            raise Stop

    with pytest.raises(Stop):
        train(market, steps=4_000, settings=FAST, out=tmp_path, progress=interrupt)
    resumed = train(market, steps=4_000, settings=FAST, out=tmp_path)
    for name, weight in whole.actor.state_dict().items():
        np.testing.assert_array_equal(resumed.actor.state_dict()[name], weight)
    assert [row["objective"] for row in resumed.history] == [row["objective"] for row in whole.history]


def test_cvar_keeps_the_policy_by_its_worst_draws(market):
    run = train(market, steps=4_000, settings=FAST, risk="cvar:0.25")
    assert run.facts["settings"]["risk"] == "cvar:0.25"
    np.testing.assert_array_equal(run.base_price, cautious_prices(market, best_fixed(market).price, 0.25))
    assert run.facts["best"]["worst_gain"] == max(row["worst_gain"] for row in run.history)
    seed = seed_for("validation", 0)
    gains = []
    for m in range(12):
        learned, current = (
            rollout(market.draw(m), policy, episodes=2, seed=seed, expected=True, assumed=market).objective
            for policy in (run.policy, current_prices(market))
        )
        gains.append((learned - current).mean())
    assert risk_value(gains, 0.25) == pytest.approx(run.facts["best"]["worst_gain"], rel=1e-5)


def test_learning_starts_at_the_cautious_prices_also_with_recommendations(market):
    slot = RecommendationSection(lift=[0.5] * 2, candidates=np.ones((2, 4)), affinity=[[1, 2, 3, 4], [4, 3, 2, 1]])
    settings = {"num_envs": 8, "n_steps": 8, "evaluations": 1, "validation_episodes": 32}
    run = train(replace(market, recommendation=slot), steps=64, settings=settings, risk="cvar:0.25")
    assert run.facts["best"]["steps"] == 0
    assert (run.base_price < 0.98 * best_fixed(run.spec).price).all()
    np.testing.assert_allclose(
        rollout(run.spec, run.policy, episodes=4, seed=0).price_path.mean(axis=0), run.base_price, rtol=0.01
    )


def test_the_base_prices_in_another_market_are_cautious_too(market):
    run = train(market, steps=64, settings=FAST | {"evaluations": 1}, risk="cvar:0.25")
    np.testing.assert_array_equal(run.policy_for(market).base_price, run.base_price)


def test_risk_without_draws_is_refused(market):
    with pytest.raises(ValueError, match=r"risk cvar:0.1 needs draws of a posterior; got none"):
        train("stationary-logit", steps=100, risk="cvar:0.1")
    with pytest.raises(ValueError, match=r"got setting draws 0 for catalogue"):
        train(market, steps=100, risk="cvar:0.1", settings={"draws": 0})
    with pytest.raises(ValueError, match=r"risk must be mean or cvar:SHARE"):
        train(market, steps=100, risk="var")
    assert batches_of(market, settings_for(market, "ppo")) == 16
    assert batches_of(market, settings_for(market, "ppo", {"variants": 3})) == 0


def test_policies_see_the_standard_errors_and_a_bundle_carries_them(market, run, tmp_path):
    names = feature_names(catalogue_of(market))
    assert names[-2:] == ["elasticity_error", "level_error"]
    assert feature_names(catalogue_of(replace(market, posterior=None))) == names[:-2]
    errors = catalogue_of(market).elasticity_error
    np.testing.assert_allclose(errors, np.log(market.posterior.sensitivity).std(axis=0), rtol=1e-4)
    assert (catalogue_of(market).level_error > 0.05).all()
    bundle = load_bundle(export(run[0], tmp_path / "bundle"))
    for key in ("elasticity_error", "level_error"):
        np.testing.assert_array_equal(getattr(bundle.catalogue, key), getattr(catalogue_of(market), key))
