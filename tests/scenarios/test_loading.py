import numpy as np
import pytest
from repricer.scenarios import MarketSpec, ScenarioError, load_scenario, registered, save_scenario, spec_from_table


def test_every_registered_scenario_loads_and_round_trips(tmp_path):
    assert {"gallego-van-ryzin", "stationary-logit"} <= set(registered())
    for name in registered():
        spec = load_scenario(name)
        assert spec.name == name
        assert spec.sources
        assert spec.summary
        save_scenario(spec, tmp_path / name)
        assert_same(load_scenario(tmp_path / name), spec)


def test_a_full_scenario_round_trips_through_its_files(shop, tmp_path):
    save_scenario(shop, tmp_path)
    assert_same(load_scenario(tmp_path), shop)
    assert_same(load_scenario(tmp_path / "scenario.toml"), shop)


def assert_same(one: MarketSpec, two: MarketSpec) -> None:
    for name in MarketSpec.__dataclass_fields__:
        a, b = getattr(one, name), getattr(two, name)
        if hasattr(a, "__dataclass_fields__"):
            for key in a.__dataclass_fields__:
                left, right = getattr(a, key), getattr(b, key)
                if key == "price_ladder" and left is not None:
                    left, right = left.steps, right.steps
                np.testing.assert_array_equal(left, right, err_msg=f"{name}.{key}")
        else:
            assert a == b, name


def test_arrays_are_spread_frozen_and_validated(shop):
    assert shop.arrivals.rate.shape == (8, 2)
    assert shop.stock.initial_units.tolist() == [25, 25, 25]
    with pytest.raises(ValueError, match="read-only"):
        shop.arrivals.rate[0] = 1


WRONG = [
    ({"market": {"horizonperiods": 3}}, "market.horizonperiods is no known key; did you mean 'market.horizon_periods'"),
    ({"sotck": {}}, "sotck is no known key; did you mean 'stock'"),
    ({"market": {"horizon_periods": 0}}, r"market.horizon_periods must lie in \[1, 100000\]; got 0"),
    ({"market": {"horizon_periods": 2.5}}, "market.horizon_periods must be a whole number; got 2.5"),
    ({"market": {"objective": "margin"}}, "market.objective must be one of revenue, profit; got 'margin'"),
    ({"market": {"discount_factor": 1.5}}, r"market.discount_factor must lie in \[0, 1\]; got 1.5"),
    ({"products": {"regular_price": [4.0, -5.0, 3.0]}}, r"products.regular_price .* got -5 \(item 2\)"),
    ({"products": {"regular_price": [4.0, 5.0]}}, r"products.regular_price must have shape \(N=3\).* got shape \(2,\)"),
    ({"products": {"regular_price": "dear"}}, "products.regular_price must be numbers; got 'dear'"),
    ({"products": {"names": ["a", "a", "c"]}}, "products.names must differ; got 'a' twice"),
    ({"products": {"category": ["x", "y"]}}, "products.category must name one category for each of 3 products; got 2"),
    ({"arrivals": {"rate": [1.0, float("nan")]}}, "arrivals.rate must lie in .* got nan"),
    (
        {"arrivals": {"segment_share": [[0.6, 0.5], [0.3, 0.7]]}},
        "segment_share must sum to one .* got 1.1 for category 'x'",
    ),
    ({"arrivals": {"overdispersion": -0.1}}, "arrivals.overdispersion must lie in"),
    ({"demand": {"family": "probit"}}, "demand.family must be one of mnl, .* got 'probit'"),
    ({"demand": {"family": "linear"}}, "demand.family 'linear' is for one product a category; got 2 products in 'x'"),
    ({"demand": {"price_sensitivity": -1.0}}, "demand.price_sensitivity must lie in"),
    ({"demand": {"quality": [[1, 2], [3, 4]]}}, "demand.quality must have shape"),
    ({"reference_price": {"memory": 1.2}}, "reference_price.memory must lie in"),
    ({"recommendation": {"lift": [0.1, 0.2, 0.3]}}, r"recommendation.lift must have shape \(K=2\)"),
    ({"stock": {"lead_time_periods": 9}}, "stock.lead_time_periods must be at most market.horizon_periods"),
    ({"stock": {"replenishment": "weekly"}}, "stock.replenishment must be one of none, order-up-to"),
    ({"stock": {"initial_units": float("inf")}}, "stock.holding_cost needs finite stock"),
    ({"prices": {"ceiling": 1.0}}, "prices: guardrails must leave at least one allowed price"),
    ({"prices": {"price_ladder": [1.0, 3.0, 2.0]}}, "prices.price_ladder must rise strictly; got 2.0 after 3.0"),
    ({"prices": {"price_ladder": {"start": 1, "stop": 2}}}, "prices.price_ladder takes start, stop, step"),
    ({"prices": {"max_discount": 0.99}}, "prices.max_discount must lie in"),
    ({"history": {"price": 2.0, "units": 1.0, "first_day": "monday"}}, "history.first_day must be a day"),
    ({"prices": {"tick": [0.1, 0.2]}}, "prices.tick must be one number; got a list of 2"),
]


@pytest.mark.parametrize(("change", "words"), WRONG, ids=[words[:40] for _, words in WRONG])
def test_a_wrong_scenario_gets_one_line(make_shop, change, words):
    with pytest.raises(ScenarioError, match=words) as caught:
        make_shop(**change)
    assert "\n" not in str(caught.value)


def test_missing_parts_are_named():
    with pytest.raises(ScenarioError, match=r"market.horizon_periods is missing; it is T, periods"):
        spec_from_table({"name": "x", "version": 1, "market": {}})
    with pytest.raises(ScenarioError, match="products is missing"):
        spec_from_table({"name": "x", "version": 1, "market": {"horizon_periods": 3}})
    with pytest.raises(ScenarioError, match=r"market must be a table \[market\]"):
        spec_from_table({"name": "x", "version": 1, "market": 3})


def test_unknown_names_and_broken_files(tmp_path):
    with pytest.raises(ScenarioError, match="did you mean 'stationary-logit'"):
        load_scenario("stationery-logit")
    broken = tmp_path / "x.toml"
    broken.write_text("name = ", encoding="utf-8")
    with pytest.raises(ScenarioError, match="syntax error"):
        load_scenario(broken)


def test_arrays_beside_the_file_are_read_without_pickle(shop, tmp_path):
    save_scenario(shop, tmp_path)
    np.savez(tmp_path / "scenario.npz", **{"arrivals.rate": np.array([object()])}, allow_pickle=True)
    with pytest.raises(ValueError, match="pickle"):
        load_scenario(tmp_path)
