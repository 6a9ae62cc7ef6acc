"""The shops and the benchmarks are plausible: what sells at regular prices, and how it answers to them."""

import numpy as np
import pytest
from repricer.scenarios import MarketSpec, load_scenario

SHOPS = ("electronics", "fashion", "grocery", "marketplace", "subscription")
BENCHMARKS = ("bench-1", "bench-10", "bench-10-full", "bench-100")


def at_regular_prices(spec: MarketSpec, period: int) -> tuple[np.ndarray, np.ndarray]:
    """(units, own elasticity), (N,) each: the book's logit with rivals at their opening prices, ample stock."""
    category, demand = spec.category_index, spec.demand
    slope = demand.price_sensitivity * demand.sensitivity_path[period][category]
    weight = np.exp(demand.quality + demand.season[period][category] - slope * spec.products.regular_price)
    total = 1 + weight @ np.eye(len(spec.category_names))[category]
    if spec.competitors is not None:
        rivals, home = spec.competitors, category[spec.competitor_product]
        rival_slope = rivals.price_sensitivity * demand.sensitivity_path[period][home]
        rival = np.exp(rivals.quality + demand.season[period][home] - rival_slope * rivals.regular_price)
        total += rival @ np.eye(len(spec.category_names))[home]
    chance = weight / total[:, category]
    units = (spec.arrivals.rate[period][:, None] * spec.arrivals.segment_share)[category].T * chance
    elasticity = -slope * spec.products.regular_price * (1 - chance)
    return units.sum(axis=0), (elasticity * units).sum(axis=0) / units.sum(axis=0)


@pytest.mark.parametrize("name", SHOPS + BENCHMARKS)
def test_units_and_elasticities_are_of_a_shops_size(name):
    spec = load_scenario(name)
    units, elasticity = at_regular_prices(spec, 0)
    assert units.min() > 2
    assert units.max() < 500
    assert elasticity.max() < -1.2
    assert elasticity.min() > -4.0
    assert spec.assumptions


@pytest.mark.parametrize("name", ["grocery", "electronics", "bench-1", "bench-10", "bench-100"])
def test_order_up_to_levels_cover_the_lead_time(name):
    spec = load_scenario(name)
    periods = range(spec.market.horizon_periods)
    busiest = np.max([at_regular_prices(spec, t)[0] for t in periods], axis=0)
    cover = spec.stock.order_up_to_units / busiest
    lead = spec.stock.lead_time_periods.max()
    assert cover.min() > lead + 1
    assert cover.max() < 2.5 * (lead + 1)


def test_a_collection_does_not_sell_out_at_regular_prices_and_is_not_hopeless():
    spec = load_scenario("fashion")
    for start in (0, 26):
        sold = np.sum([at_regular_prices(spec, t)[0] for t in range(start, start + 26)], axis=0)
        assert (sold / spec.stock.initial_units).min() > 0.5
        assert (sold / spec.stock.initial_units).max() < 1.0


def test_what_electronics_are_worth_falls():
    """The myopic price of a product, against rivals that stay, falls over the year until the holidays."""
    spec = load_scenario("electronics")
    category = spec.category_index
    worth = (
        spec.demand.season[:, category]
        - (spec.arrivals.segment_share[category].T * spec.demand.price_sensitivity).sum(axis=0)
        * spec.demand.sensitivity_path[:, category]
        * spec.products.regular_price
    )
    assert (np.diff(worth[:47], axis=0) < 0).all()
    assert (worth[46] < worth[0] - 0.5).all()
    assert (worth[47] > worth[46]).all()


def test_the_full_benchmark_has_everything_on():
    spec = load_scenario("bench-10-full")
    optional = [name for name, item in MarketSpec.__dataclass_fields__.items() if str(item.type).endswith("| None")]
    off = ["express", "capacity", "observed", "law", "plan", "posterior", "halves", "fairness"]
    assert [name for name in optional if getattr(spec, name) is None] == off
    assert spec.stock.replenishment == "action"
    assert (spec.stock.lead_time_periods == 2).all()
    assert spec.stock.spoilage.all()
    assert spec.arrivals.overdispersion.all()
    assert spec.prices.max_discount > 0


@pytest.mark.parametrize("name", ["bench-1", "bench-10", "bench-100"])
def test_the_benchmarks_are_the_market_of_the_performance_page(name):
    spec = load_scenario(name)
    products = int(name.removeprefix("bench-"))
    categories = max(1, products // 10)
    assert spec.sizes == {
        "T": 52,
        "C": categories,
        "J": categories,
        "N": products,
        "K": 6,
        "R": categories,
        "Z": 0,
        "H": 0,
        "B": 0,
        "Y": 0,
        "G": 0,
        "P": 0,
        "I": 0,
        "F": 0,
        "M": 0,
    }
    assert spec.category_index[spec.competitor_product].tolist() == list(range(categories))
    assert spec.competitors.rule == ("undercut:2%",)
    assert spec.reference_price is not None
    assert spec.promotion is not None
    assert (spec.stock.replenishment, *set(spec.stock.lead_time_periods)) == ("order-up-to", 1)
