import numpy as np
import pytest
from repricer.envs import rollout
from repricer.evaluation import evaluate, interquartile_mean
from repricer.evaluation.comparison import segment_figures
from repricer.pricing import FixedPrice, PricePath
from repricer.scenarios import load_scenario


def test_surplus_of_a_logit_segment_is_the_log_sum():
    spec = load_scenario("segment-prices")
    figures = segment_figures(spec, FixedPrice(8.0), seed=1, episodes=3)
    sensitivity = spec.demand.price_sensitivity[:, 0]
    customers = spec.arrivals.rate.sum() * spec.arrivals.segment_share[0]
    wanted = customers * np.log1p(np.exp(4 - 8 * sensitivity)) / sensitivity
    np.testing.assert_allclose(figures.surplus, wanted, rtol=1e-3)
    np.testing.assert_allclose(figures.units, customers / (1 + np.exp(8 * sensitivity - 4)), rtol=1e-6)
    np.testing.assert_allclose(figures.price_paid, 8)
    assert figures.price_ratio == pytest.approx(1)


def test_personal_prices_part_the_segments():
    spec = load_scenario("segment-prices")
    row = evaluate(spec, ["optimum"], episodes=20).row("optimum")
    assert row.price_paid["keen"] == pytest.approx(26.73, abs=0.01)
    assert row.segment_price_ratio == pytest.approx(row.price_paid["keen"] / row.price_paid["careful"])
    assert row.segment_price_ratio == pytest.approx(5.0, abs=0.01)


def test_a_shop_with_everything_on_has_its_figures(shop):
    document = evaluate(shop, ["myopic"], episodes=20).to_dict()["policies"][0]
    assert set(document["price_paid"]) == set(document["consumer_surplus"]) == {"loyal", "thrifty"}
    assert min(document["consumer_surplus"].values()) > 0


def test_what_is_sold_out_gives_no_surplus():
    spec = load_scenario("scarce").with_changes(stock={"initial_units": 1})
    plenty = load_scenario("scarce").with_changes(stock={"initial_units": 1000})
    little, much = (segment_figures(s, FixedPrice(0.5), seed=1, episodes=50).surplus[0] for s in (spec, plenty))
    assert little < 0.1 * much


def test_price_variance_by_hand():
    spec = load_scenario("stationary-logit")
    path = np.tile([8.0, 12.0], 15)[:, None]
    assert rollout(spec, PricePath(path), episodes=3, seed=1).price_variance == pytest.approx(4.0)
    assert rollout(spec, FixedPrice(9.5), episodes=3, seed=1).price_variance == pytest.approx(0.0, abs=1e-12)


class TestInterquartileMean:
    def test_by_hand(self):
        assert interquartile_mean([1, 2, 3, 100]).mean == pytest.approx(2.5)
        assert interquartile_mean([-50, 1, 2, 3, 4, 5, 6, 900]).mean == pytest.approx(3.5)

    def test_coverage(self):
        """Of the interquartile mean of normal results, ten runs: the percentile bootstrap is a little short."""
        generator = np.random.default_rng(0)
        inside = [
            e.low <= 0 <= e.high
            for e in (interquartile_mean(generator.normal(size=10), resamples=500, seed=i) for i in range(300))
        ]
        assert 0.85 < np.mean(inside) < 0.98

    def test_one_run_has_no_interval(self):
        assert interquartile_mean([3.0]).to_dict() == {"mean": 3.0, "ci95": [None, None]}

    @pytest.mark.parametrize("values", [[], [1.0, np.nan]])
    def test_nothing_to_average(self, values):
        with pytest.raises(ValueError, match="values must be finite, at least one"):
            interquartile_mean(values)
