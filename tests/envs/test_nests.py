"""Several nests in a category: the simulated market and the choice model, against a formula written out here."""

import numpy as np
import pytest
from repricer.envs import Market, expected_units
from repricer.pricing import Action
from repricer.scenarios import MarketSpec, choice_model, load_scenario, sample_catalogue

PRICE = np.array([14.0, 18.5, 11.0, 16.0, 12.5, 9.0, 6.5, 10.0])


@pytest.fixture
def spec() -> MarketSpec:
    return load_scenario("three-nests")


def shares(spec: MarketSpec, price: np.ndarray, there: np.ndarray) -> np.ndarray:
    """Choice probabilities of the products of one category, and of leaving."""
    demand, chosen, weight = spec.demand, np.zeros(price.size), {}
    pull = np.where(there, demand.quality[0] - demand.price_sensitivity[0] * price, -np.inf)
    for name, nesting in zip(dict.fromkeys(demand.nest), demand.nesting, strict=True):
        own = np.array([nest == name for nest in demand.nest])
        within = np.exp(pull / (1 - nesting)) * own
        weight[name] = within.sum() ** (1 - nesting)
        chosen += weight[name] * within / max(within.sum(), 1e-300)
    return np.append(chosen, 1.0) / (1 + sum(weight.values()))


def units(spec: MarketSpec, price: np.ndarray, there: np.ndarray) -> list[np.ndarray]:
    """Mean units of a period, from the compiled loops and from the choice model."""
    model = choice_model(spec).units(0, price, reference=spec.products.regular_price, in_stock=there)
    return [expected_units(spec, 0, price, in_stock=there)[0].sum(axis=0), model[0].sum(axis=0)]


@pytest.mark.parametrize("sold_out", [[], [0], [3, 5], [0, 1], list(range(8))])
def test_customers_choose_a_nest_and_then_a_product(spec, sold_out):
    there = ~np.isin(range(8), sold_out)
    expected = shares(spec, PRICE, there)
    assert expected.sum() == pytest.approx(1.0, rel=1e-12)
    for found in units(spec, PRICE, there):
        np.testing.assert_allclose(found, 100 * expected[:-1], rtol=1e-12)


def test_the_float32_market_expects_the_same(spec):
    outcome = Market(spec, num_markets=3).step(Action(np.tile(PRICE, (3, 1)).astype(np.float32)))
    expected = 100 * shares(spec, PRICE, np.ones(8, bool))[:-1] * PRICE
    np.testing.assert_allclose(outcome.expected_revenue, np.tile(expected, (3, 1)), rtol=3e-6)


def test_without_nesting_nests_do_not_matter(spec):
    plain = spec.with_changes(demand={"family": "mnl", "nest": None, "nesting": 0.0})
    for found in units(spec.with_changes(demand={"nesting": 0.0}), PRICE, np.ones(8, bool)):
        np.testing.assert_allclose(found, expected_units(plain, 0, PRICE)[0, 0], rtol=1e-12)


def test_one_named_nest_is_the_category():
    spec = load_scenario("nested-logit")
    named = spec.with_changes(demand={"nest": ("all",) * 5})
    price = spec.products.regular_price
    for found, usual in zip(units(named, price, np.ones(5, bool)), units(spec, price, np.ones(5, bool)), strict=True):
        np.testing.assert_array_equal(found, usual)


def test_nests_of_one_name_in_two_categories_are_two():
    spec = sample_catalogue(12, seed=3, family="nested-logit", parts=[], nests=True)
    apart = tuple(f"{c} {nest}" for c, nest in zip(spec.category_index, spec.demand.nest, strict=True))
    there = np.ones(12, bool)
    found = units(spec, spec.products.regular_price, there)
    assert spec.sizes["J"] == len(set(apart)) > spec.sizes["C"] > 1
    renamed = units(spec.with_changes(demand={"nest": apart}), spec.products.regular_price, there)
    for one, other in zip(found, renamed, strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_order_of_the_products_does_not_matter(spec):
    order, demand, names = np.random.default_rng(0).permutation(8), spec.demand, spec.products.names
    nest = tuple(demand.nest[n] for n in order)
    moved = spec.with_changes(
        products={"names": tuple(names[n] for n in order)},
        demand={
            "nest": nest,
            "nesting": [demand.nesting[list(dict.fromkeys(demand.nest)).index(name)] for name in dict.fromkeys(nest)],
            "quality": demand.quality[:, order],
            "price_sensitivity": demand.price_sensitivity[:, order],
        },
    )
    there = np.arange(8) != 2
    for found, usual in zip(units(moved, PRICE[order], there[order]), units(spec, PRICE, there), strict=True):
        np.testing.assert_allclose(found, usual[order], rtol=1e-12)


def test_products_of_a_nest_take_more_customers_from_one_another(spec):
    step = 1e-5

    def log_units(log_price: np.ndarray) -> np.ndarray:
        return np.log(expected_units(spec, 0, np.exp(log_price))[0, 0])

    at = np.log(PRICE)
    numeric = [(log_units(at + step * e) - log_units(at - step * e)) / (2 * step) for e in np.eye(8)]
    cross = np.stack(numeric, axis=1)
    assert cross[1, 0] > 2 * cross[2, 0] == pytest.approx(2 * cross[7, 0])
