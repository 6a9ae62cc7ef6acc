from dataclasses import replace

import numpy as np
import pytest
from repricer.envs import rollout
from repricer.evaluation import LogRecorder, PriceLog
from repricer.evaluation.off_policy import weighted_estimates
from repricer.planning.experiments import certificate
from repricer.planning.experiments.certificate import (
    bounds_of_gain,
    certify,
    gain_scores,
    kernel_bias,
    kernel_weights,
)
from repricer.pricing import EpsilonGreedy, FixedPrice, RandomPrice
from repricer.scenarios import load_scenario, spec_from_table


def shop(periods=4, **sections):
    return spec_from_table(
        {
            "name": "tea-shop",
            "version": 1,
            "market": {"horizon_periods": periods, "objective": "revenue"},
            "products": {"names": ["tea"], "regular_price": 3.0, "unit_cost": 1.0},
            "arrivals": {"rate": 60.0},
            "demand": {"quality": 3.0, "price_sensitivity": 0.8},
            "prices": {"floor": 1.0, "ceiling": 6.0},
            **sections,
        }
    )


def logged(spec, policy, episodes=60, seed=1) -> PriceLog:
    recorder = LogRecorder(spec)
    rollout(spec, policy, episodes=episodes, seed=seed, watch=recorder)
    return recorder.log()


def drawn(low=2.6, high=3.6, seed=1):
    return EpsilonGreedy(FixedPrice(low), np.array([[low], [high]]), 1.0, seed=seed)


@pytest.fixture(scope="module")
def spec():
    return shop()


@pytest.fixture(scope="module")
def log(spec):
    return logged(spec, drawn())


def earned(spec, price):
    return rollout(spec, FixedPrice(price), episodes=4000, seed=9).objective.mean()


def test_the_bounds_lie_below_the_true_gain_in_their_order(spec, log):
    values = {price: earned(spec, price) for price in (2.6, 3.6)}
    for price, value in values.items():
        truth, found = value / np.mean(list(values.values())) - 1, certify(log, FixedPrice(price), loss=0.05)
        assert found.empirical_bernstein < found.betting < truth
        assert found.running[-1] < found.betting < found.estimate
        assert found.estimate == pytest.approx(truth, abs=0.03)
        assert (found.units, found.unit, found.ignored, found.bias) == (60, "market", (), 0.0)
        assert found.certified == (found.betting >= -0.05)
        assert found.verdict().startswith("certified: " if found.certified else "not certified: ")


def test_the_estimate_is_doubly_robust(spec, log):
    target = np.full((len(log), 1), 3.6)
    found = certify(log, FixedPrice(3.6))
    policy = weighted_estimates(log, target)["doubly_robust"].mean
    assert found.estimate == pytest.approx(policy / (log.money.sum() / 60) - 1, abs=1e-6)


def test_decisions_are_units_in_the_order_of_their_periods(log):
    found = certify(log, FixedPrice(3.6), unit="decision", daily=True)
    assert found.units == 240
    assert found.looks == (60, 120, 180, 240)
    assert found.lower == found.running[-1]
    assert found.to_dict()["certified"] is found.certified


def test_what_a_wrong_model_predicts_biases_nothing(log, monkeypatch):
    """With predictions at twice the money the mean gain stays within its noise."""
    right = certify(log, FixedPrice(3.6))
    monkeypatch.setattr(
        certificate, "predicted_money", lambda log, *asked: [np.full(log.price.shape, 60.0) for _ in asked]
    )
    wrong = certify(log, FixedPrice(3.6))
    assert wrong.estimate == pytest.approx(right.estimate, abs=0.1)
    assert wrong.betting < right.betting


def test_scores_below_the_cap_are_taken_off():
    """Two units in 400 lost all and more; the bound falls by what was cut of them."""
    random = np.random.default_rng(0)
    gain, money = random.normal(5, 10, 400), np.full(400, 100.0)
    plain = bounds_of_gain(gain, money)
    gain[[100, 300]] = -3000
    cut = bounds_of_gain(gain, money)
    assert cut.clipped_share == pytest.approx(2 / 400)
    assert cut.clipped_gain == pytest.approx(2 * (29.98 - cut.cap) / 400, rel=1e-3)
    assert cut.estimate < 0 < plain.betting
    assert cut.betting < cut.estimate


def test_at_the_loss_few_are_certified():
    random, wrong, gained = np.random.default_rng(3), 0, 0
    for _ in range(100):
        money = random.gamma(4, 25, 60)
        noise = random.normal(0, 15, 60) + random.exponential(20, 60) - 20
        wrong += bounds_of_gain(noise - 0.02 * money, money, looks=[60]).betting >= -0.02
        gained += bounds_of_gain(noise + 0.10 * money, money, looks=[60]).betting >= -0.02
    assert wrong <= 5
    assert gained >= 75


def test_data_needed_falls_with_the_distance(log):
    found = certify(log, FixedPrice(3.6))
    near = replace(found, estimate=0.05, betting=-0.05, loss=0.02, clipped_gain=0.0)
    assert near.data_needed == pytest.approx((0.10 / 0.07) ** 2)
    assert "about 2.0 times as much data would be needed" in near.verdict()
    assert replace(near, estimate=-0.03).data_needed is None
    assert "more data alone would not help" in replace(near, estimate=-0.03).verdict()


def test_a_kernel_takes_neighbouring_prices(spec):
    log = logged(spec, RandomPrice(2.0, 5.0, seed=2), episodes=300)
    target = np.full((len(log), 1), 3.0)
    weights = kernel_weights(log, target, 0.1)
    assert weights.mean() == pytest.approx(1, abs=0.1)
    assert (weights[np.abs(log.price / 3.0 - 1) > 0.1] == 0).all()
    found = certify(log, FixedPrice(3.0), bandwidth=0.1, elasticity=3)
    truth = earned(spec, 3.0) / (log.money.sum() / 300) - 1
    assert found.betting < truth
    assert found.estimate == pytest.approx(truth, abs=0.04)
    assert found.bias == pytest.approx(kernel_bias(0.1, 3))
    gain, money = gain_scores(log, target, weights)
    assert gain.sum() / money.sum() == pytest.approx(found.estimate)


def test_the_bias_bound_holds_for_constant_elasticity():
    """Money p ** (1 - e), averaged over the kernel, against that at its centre."""
    u = np.linspace(-1, 1, 2001)
    kernel = 0.75 * (1 - u**2)
    for elasticity in (1.0, 2.0, 4.0):
        for width in (0.05, 0.2):
            money = (1 + width * u) ** (1 - elasticity)
            assert abs(np.trapezoid(kernel * money, u) - 1) <= kernel_bias(width, elasticity)


class TestRefusals:
    @pytest.mark.parametrize(
        ("options", "words"),
        [
            ({"loss": 1.0}, r"loss must lie in \[0, 1\) and confidence in \(0.5, 1\); got 1 and 0.95"),
            ({"unit": "week"}, "unit must be one of market, decision; got 'week'"),
            ({"bandwidth": 0.9}, r"bandwidth must lie in \(0, 0.5\]; got 0.9"),
            ({"bandwidth": 0.1, "elasticity": 0.5}, "elasticity must be 1 or above; got 0.5"),
        ],
    )
    def test_options(self, log, options, words):
        with pytest.raises(ValueError, match=words):
            certify(log, FixedPrice(3.6), **options)

    def test_logs_without_propensities_or_variation(self, spec, log):
        with pytest.raises(ValueError, match="log must state the propensity of every price"):
            certify(logged(spec, FixedPrice(3.0)), FixedPrice(3.0))
        with pytest.raises(ValueError, match="log must state the density of every price"):
            certify(logged(spec, FixedPrice(3.0)), FixedPrice(3.0), bandwidth=0.05)
        with pytest.raises(ValueError, match="policy fixed must charge prices that the log often charged"):
            certify(log, FixedPrice(3.0))

    def test_propensities_that_do_not_fit(self, log):
        with pytest.raises(ValueError, match=r"got weights with a mean of 0\.[45]\d* instead of 1"):
            certify(replace(log, propensity=np.ones_like(log.propensity) * 0.97), FixedPrice(3.6))

    def test_too_few_markets(self, log):
        with pytest.raises(ValueError, match="log must hold 10 markets or more; got 8; log more, or take decisions"):
            certify(log.only(log.market < 8), FixedPrice(3.6))

    def test_stock_that_sells_out(self, log):
        with pytest.raises(
            ValueError, match="log must be of a market whose stock is replenished; got stationary-logit"
        ):
            certify(replace(log, spec=load_scenario("stationary-logit")), FixedPrice(3.6))

    def test_money_that_is_lost(self):
        with pytest.raises(ValueError, match="log must earn money on average; got -1 a unit"):
            bounds_of_gain(np.zeros(20), -np.ones(20))
