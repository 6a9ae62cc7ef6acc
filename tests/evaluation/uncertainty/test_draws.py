import threading
from dataclasses import replace

import numpy as np
import pytest
from joblib import parallel_config
from repricer.envs import catalogue_of, expected_units, rollout, seed_for
from repricer.evaluation.uncertainty import compare_draws, draws
from repricer.pricing import Action, FixedPrice
from repricer.scenarios import load_scenario
from repricer.scenarios.sections import Posterior

from .conftest import uncertain_shop


def _fixed(*price, name="learned"):
    return FixedPrice(np.array(price, dtype=np.float32), name=name)


def test_with_ample_stock_the_interval_is_that_of_closed_form_gains(spec):
    price, regular = np.array([1.8, 3.3, 4.1]), spec.products.regular_price
    compared = compare_draws(spec, [_fixed(*price), "regular"])
    closed = []
    for m in range(spec.num_draws):
        market = spec.draw(m)
        earned = [
            sum((expected_units(market, t, p).sum(axis=1)[0] * p).sum() for t in range(6)) for p in (price, regular)
        ]
        closed.append((earned[0] - earned[1], earned[0] / earned[1] - 1))
    gains, shares = np.array(closed).T
    gain = compared.gain("learned", "regular")
    assert gain.interval90 == pytest.approx(np.quantile(gains, [0.05, 0.95], method="weibull"), rel=1e-4)
    assert gain.relative["interval90"] == pytest.approx(np.quantile(shares, [0.05, 0.95], method="weibull"), rel=1e-4)
    assert gain.mean == pytest.approx(gains.mean(), rel=1e-4)
    assert gain.parameter_variance == pytest.approx(gains.var(ddof=1), rel=1e-3)
    assert gain.interval90_realised[0] < gain.interval90[0] < gain.interval90[1] < gain.interval90_realised[1]
    assert 0 < gain.parameter_share < 1


def test_a_draw_is_the_rollout_of_its_market_believing_in_the_mean(spec):
    class Forecaster:
        name = "forecaster"

        def act(self, view):
            seen = view.catalogue.forecast_units[view.period]
            error = view.catalogue.elasticity_error
            return Action((1 + seen / 100 + view.last_units / 500 + error).astype(np.float32))

    scarce = uncertain_shop(3, stock=60.0)
    compared = compare_draws(scarce, [Forecaster()], episodes=5)
    alone = rollout(
        scarce.draw(0),
        Forecaster(),
        episodes=5,
        seed=seed_for("test"),
        expected=True,
        assumed=scarce,
    )
    assert compared.expected["forecaster"][0, 0] == pytest.approx(alone.objective, rel=1e-6)
    came = np.array([alone.revenue, alone.profit, alone.units])
    assert compared.realised["forecaster"][:, 0] == pytest.approx(came, rel=1e-6)
    assert alone.lost.mean() > 0


def test_where_stock_binds_the_noise_of_few_episodes_is_taken_out():
    """As wide as with sixteen times the episodes, though the means of few vary far more."""
    scarce = uncertain_shop(60, stock=250.0)
    few, many = (
        compare_draws(scarce, [_fixed(1.6, 2.4, 3.2), "regular"], episodes=n).gain("learned", "regular")
        for n in (2, 32)
    )
    assert np.ptp(few.interval90) == pytest.approx(np.ptp(many.interval90), rel=0.15)
    assert few.noise > 0.3 * few.parameter_variance > 8 * many.noise


def test_where_all_stock_is_sold_the_gain_is_known(spec):
    """Money that came varies less than expected money there, and takes its place."""
    empty = uncertain_shop(20, stock=20.0)
    gain = compare_draws(empty, [_fixed(2.2, 3.3, 4.4), "regular"]).gain("learned", "regular")
    assert gain.relative["interval90"] == pytest.approx((0.1, 0.1), abs=1e-3)


def test_mean_prices_are_those_charged(spec):
    compared = compare_draws(spec, [_fixed(1.8, 3.3, 4.1), "regular"])
    assert compared.prices["learned"] == pytest.approx(np.tile([1.8, 3.3, 4.1], (6, 1)), rel=1e-6)
    assert compared.prices["regular"] == pytest.approx(np.tile([2.0, 3.0, 4.0], (6, 1)), rel=1e-6)


def test_gains_are_spread_by_the_model_error(spec, monkeypatch):
    found = compare_draws(spec, [_fixed(1.8, 3.3, 4.1), "regular"], draws=8, episodes=2)
    plain = found.gain("learned", "regular")
    monkeypatch.setattr(draws, "model_error", lambda spec: 3.0)
    wide = found.gain("learned", "regular")
    assert wide.mean == plain.mean
    assert np.ptp(plain.interval90) > 0
    assert np.ptp(wide.interval90) == pytest.approx(3 * np.ptp(plain.interval90))


def test_policies_meet_the_same_customers(spec):
    compared = compare_draws(spec, [_fixed(2, 3, 4), _fixed(2, 3, 4, name="again")])
    gain = compared.gain("learned", "again")
    assert gain.interval90_realised == (0, 0)
    assert compared.realised["learned"].std(axis=2).min() > 0


def test_fewer_draws_are_evenly_spaced_and_the_halves_are_disjoint(spec):
    compared = compare_draws(spec, ["regular"], draws=40)
    assert compared.draws[0] == 0
    assert compared.draws[-1] == 59
    half = compared.gain("regular", "regular", part="choose").draws.size
    assert (half, compared.gain("regular", "regular", part="report").draws.size) == (20, 20)
    assert compared._part("choose") != compared._part("report")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"draws": 61}, "draws must lie in 1 to 60, those of uncertain-shop; got 61; ask for fewer"),
        ({"episodes": 1}, "episodes must be at least 2 per draw; got 1; noise cannot be estimated from one"),
    ],
)
def test_mistakes_are_one_line(spec, given, message):
    with pytest.raises(ValueError, match=message):
        compare_draws(spec, ["regular"], **given)


def test_a_market_without_a_posterior_is_refused():
    with pytest.raises(ValueError, match="needs a market with a posterior; got stationary-logit, which has none"):
        compare_draws(load_scenario("stationary-logit"), ["regular"])


def test_policies_see_how_uncertain_the_believed_market_is(spec):
    """Not the posterior that is compared over, where that is another one."""
    seen = []

    class Reader:
        name = "reader"

        def act(self, view):
            seen.append(view.catalogue.elasticity_error)
            return FixedPrice(2.0).act(view)

    catalogue = catalogue_of(spec)
    compare_draws(replace(spec, posterior=Posterior(draws=2, arrivals=[[[0.5]], [[2.0]]])), [Reader()], assumed=spec)
    assert all(np.array_equal(errors, catalogue.elasticity_error) for errors in seen)
    assert seen[0].max() > 0


def test_processes_give_the_same_figures_bit_for_bit(spec, monkeypatch):
    policies = [_fixed(1.8, 3.3, 4.1), "regular"]
    alone = compare_draws(spec, policies)
    monkeypatch.setattr(draws, "_MUCH", 0)
    monkeypatch.setattr(draws, "_PRODUCTS_AT_ONCE", 8 * 3 * 4)
    monkeypatch.setattr(draws, "JOBS", 2)
    with parallel_config("multiprocessing"):  # whose processes need not import everything anew
        side_by_side = compare_draws(spec, policies)
    for name in ("learned", "regular"):
        np.testing.assert_array_equal(side_by_side.expected[name], alone.expected[name])
        np.testing.assert_array_equal(side_by_side.realised[name], alone.realised[name])


def test_a_policy_that_no_other_process_can_have_is_compared_in_this_one(spec, monkeypatch):
    class Locked:
        name, lock = "locked", threading.Lock()

        def act(self, view):
            return Action(view.catalogue.regular_price + np.zeros_like(view.last_units))

    monkeypatch.setattr(draws, "_MUCH", 0)
    monkeypatch.setattr(draws, "JOBS", 2)
    policy = Locked()
    policy.own = Locked.lock
    compared = compare_draws(spec, [policy, "regular"])
    np.testing.assert_array_equal(compared.expected["locked"], compared.expected["regular"])
