"""Policies that look prices up, most solvers' among them, as bundles."""

import numpy as np
import pytest
import repricer
from repricer.evaluation import named_policy, solve
from repricer.pricing import FixedPrice
from repricer.serving import Predictor, example_state, load_bundle
from repricer.serving.bundle.files import BundleError


@pytest.mark.parametrize("name", ["scarce", "regimes", "three-stocks", "equal-markup"])
def test_a_solvers_policy_is_served(name, tmp_path):
    spec = repricer.load_scenario(name)
    optimum = solve(spec)
    bundle = load_bundle(repricer.export(optimum.policy, tmp_path / "bundle", scenario=name))
    seen = []

    def compare(view, outcome):
        np.testing.assert_allclose(bundle.policy.act(view).price, optimum.policy.act(view).price, rtol=1e-6)
        seen.append(np.unique(view.on_hand).size)

    repricer.rollout(spec, optimum.policy, episodes=20, seed=0, watch=compare)
    assert len(seen) == spec.market.horizon_periods
    state = example_state(bundle.catalogue)
    (first, *_) = Predictor(bundle).price(state).prices
    assert first.price > 0
    assert bundle.manifest["run"]["algo"] == "table"


def test_a_table_keeps_its_name_and_price_rules(tmp_path):
    policy = named_policy("certainty-equivalent", repricer.load_scenario("scarce"))
    bundle = load_bundle(repricer.export(policy, tmp_path / "bundle", scenario="scarce"))
    assert Predictor(bundle).price(example_state(bundle.catalogue)).policy == policy.name


@pytest.mark.parametrize(
    ("name", "policy", "words"),
    [
        ("scarce", FixedPrice(1.0), "got FixedPrice and scarce"),
        ("price-and-order", "optimum", "got ProductPolicy and price-and-order"),
        ("undercutter", "optimum", "got ProductPolicy and undercutter"),
        ("network", "optimum", "got StocksPrice and network"),
        (None, FixedPrice(1.0), "got FixedPrice and no scenario"),
    ],
)
def test_what_a_table_does_not_hold_is_refused(name, policy, words, tmp_path):
    policy = solve(repricer.load_scenario(name)).policy if policy == "optimum" else policy
    with pytest.raises(BundleError, match=words) as caught:
        repricer.export(policy, tmp_path / "bundle", scenario=name)
    assert "\n" not in str(caught.value)
