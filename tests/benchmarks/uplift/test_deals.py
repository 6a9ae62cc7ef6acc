"""Shops with deals are what they claim: responses to regular prices and to deals, the dip, nests, zones, the best path."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from repricer.benchmarks.uplift import draw_shop, shop_tables
from repricer.benchmarks.uplift.deals import (
    BUMP,
    CATEGORY,
    DEPTH,
    FREQUENT_BUMP,
    OWN,
    STEEPEST,
    ZONES,
    NestedDeals,
    RegularAndDeal,
    chain_of,
    regular_prices,
    weaker_for,
    worn,
)
from repricer.benchmarks.uplift.history import CHAIN_DEALS, DEALS

STEP = 1e-5


def on_deal(shop, week, depth):
    """The shop's regular prices, with a deal of each product of the first category in turn, (n, T, n)."""
    own = shop.parameters.category == 0
    regular = shop.listed[shop.weeks, own]
    path = np.repeat(np.repeat(regular[None], 12, axis=0)[None], own.sum(), axis=0)
    path[np.arange(own.sum()), week, np.arange(own.sum())] *= 1 - depth
    return path, np.repeat(regular[None], 12, axis=0)


@pytest.mark.parametrize("family", DEALS)
@pytest.mark.parametrize("seed", range(4))
def test_units_and_elasticities_of_regular_prices_are_those_drawn(family, seed):
    shop = draw_shop(family, seed)
    assert ((OWN[0] <= shop.parameters.elasticity) & (shop.parameters.elasticity <= OWN[1])).all()
    for number, response in enumerate(shop.responses):
        own = shop.parameters.category == number
        none = np.zeros((1, own.sum()))
        share = response.bought(none, none, none)[0]
        np.testing.assert_allclose(share, shop.parameters.share[own], rtol=1e-6)
        moved = response.bought(STEP * np.eye(own.sum()), 0 * np.eye(own.sum()), none)
        np.testing.assert_allclose((1 - np.diag(moved) / share) / STEP, shop.parameters.elasticity[own], rtol=1e-3)
        together = (1 - response.bought(none + STEP, none, none).sum() / share.sum()) / STEP
        assert CATEGORY[0] * 0.99 <= together <= CATEGORY[1]
        if isinstance(response, RegularAndDeal):
            assert together == pytest.approx(response.category, rel=1e-3)


def strengths(shop):
    """How many times as strong as a regular price a deal of each product is in its first week."""
    times = np.empty_like(shop.parameters.elasticity)
    for number, response in enumerate(shop.responses):
        own = shop.parameters.category == number
        nothing = np.zeros((own.sum(), own.sum()))
        deals = -np.log1p(-DEPTH) * np.eye(own.sum())
        bought, usual = (np.diag(response.bought(nothing, deal, nothing)) for deal in (deals, nothing))
        ratio = bought / usual * (1 + shop.stocking_up.extra * (DEPTH - 0.05))
        times[own] = np.log(ratio) / -np.log1p(-DEPTH) / shop.parameters.elasticity[own]
    return times


@pytest.mark.parametrize("family", DEALS)
@pytest.mark.parametrize("seed", [0, 1, 6])
def test_a_deal_is_two_to_five_times_as_strong_as_a_regular_price_in_its_first_week(family, seed):
    times = strengths(draw_shop(family, seed))
    assert ((times > BUMP[0] - 1e-6) & (times < BUMP[1] + 1e-6)).all()


@pytest.mark.parametrize("family", DEALS)
def test_households_that_stocked_up_buy_less_after_a_deal(family):
    shop = draw_shop(family, 0)
    path, none = on_deal(shop, 3, 0.25)
    usual = shop.category_units(0, none, shop.weeks)
    relative = np.stack([shop.category_units(0, path, shop.weeks)[n, :, n] / usual[:, n] for n in range(len(path))])
    np.testing.assert_allclose(relative[:, :3], 1)
    assert (relative[:, 3] > 1.3).all()
    assert (relative[:, 4:7] < 0.999).all()
    assert (relative[:, 4] < relative[:, 6]).all()
    np.testing.assert_allclose(relative[:, 7:], 1)


def test_deals_wear_out_and_recover():
    deal = np.zeros((12, 1))
    deal[[0, 1, 11]] = 0.2
    felt = worn(deal, np.zeros(1))[0].ravel()
    assert felt[0] == 0.2 > felt[11] > felt[1] > 0.1
    assert (felt[2:11] == 0).all()
    before, after = worn(deal[:2], np.zeros(1))[1], worn(deal[2:], worn(deal[:2], np.zeros(1))[1])[0]
    assert (before > 0).all()
    np.testing.assert_allclose(after.ravel(), felt[2:])
    fresh, memory = worn(deal[1:], np.zeros(1))[0], worn(deal[:1], np.zeros(1))[1]
    np.testing.assert_allclose((fresh * weaker_for(memory, 11)).ravel(), felt[1:])


def nested(seed=1):
    """A category of the nested truth, and what its products cost and offer in a week."""
    response, random = draw_shop("nested-deals", seed).responses[0], np.random.default_rng(0)
    assert isinstance(response, NestedDeals)
    size = response.tier.size
    return (
        response,
        random.normal(0, 0.1, (1, size)),
        random.uniform(0, 0.3, (1, size)),
        random.uniform(0, 0.5, (1, size)),
    )


def test_nested_shares_are_those_of_the_tree_by_hand():
    response, regular, deal, feature = nested()
    expected = np.zeros(response.tier.size)
    for kind, weight in enumerate(response.weight):
        usual = response.utility[kind] - response.slope[kind] * regular[0]
        now = usual + response.deal[kind] * deal[0] + feature[0]
        nests = [np.flatnonzero(response.tier == nest) for nest in np.unique(response.tier)]
        values = {}
        for name, utility in (("usual", usual), ("now", now)):
            inclusive = [response.similarity * np.log(np.exp(utility[nest]).sum()) for nest in nests]
            values[name] = np.log(np.exp(inclusive).sum())
        buys = response.level + response.category * values["usual"]
        buys = np.exp(buys + response.growth * (values["now"] - values["usual"]))
        for nest, value in zip(nests, inclusive, strict=True):
            within = np.exp(now[nest]) / np.exp(now[nest]).sum()
            expected[nest] += weight * buys / (1 + buys) * np.exp(value - values["now"]) * within
    np.testing.assert_allclose(response.bought(regular, deal, feature)[0], expected, rtol=1e-9)


def test_a_dearer_product_loses_more_to_its_own_nest():
    response, regular, deal, feature = nested()
    dearer = regular.copy()
    dearer[0, 0] += 0.1
    inside, moved = (response.by_class(log, deal, feature)[0][0] for log in (regular, dearer))
    grown = moved / inside
    same, other = response.tier == response.tier[0], response.tier != response.tier[0]
    # Within a nest and a class, the others keep their proportions.
    np.testing.assert_allclose(grown[:, other], grown[:, other][:, :1].repeat(other.sum(), axis=1))
    assert (grown[:, same][:, 1:] > grown[:, other].max(axis=1, keepdims=True)).all()


@pytest.mark.parametrize(
    ("path", "regular"),
    [
        ([2, 1.5, 2, 2, 2], [2, 2, 2, 2, 2]),
        ([1.8, 1.8, 1.8, 1.8, 1.8], [1.8, 1.8, 1.8, 1.8, 1.8]),
        ([2, 2.2, 2.2, 1.8, 2.2], [2, 2.2, 2.2, 2.2, 2.2]),
        ([1.5, 2.4, 2.4, 2.4, 1.7], [2, 2.4, 2.4, 2.4, 2.4]),
        ([2, 2, 3, 2, 2], [2, 2, 3, 2, 2]),
        ([2, 1.97, 2, 1.98, 2], [2, 1.97, 2, 1.98, 2]),
    ],
)
def test_regular_prices_of_a_path_are_what_it_returns_to(path, regular):
    found = regular_prices(np.array(path, dtype=float)[:, None], np.full((4, 1), 2.0))
    np.testing.assert_allclose(found.ravel(), regular, rtol=0.005)


@pytest.mark.parametrize("family", DEALS)
@pytest.mark.parametrize("seed", [0, 1])
def test_the_shops_own_path_is_read_as_its_calendar_and_its_history_goes_on_in_it(family, seed):
    shop = draw_shop(family, seed)
    first = shop.weeks - 12
    own, tables = shop.own_prices(first, 38), shop_tables(shop)
    regular = shop._regular_prices(own, first, slice(None))
    after = slice(12, None)  # No regular price moves then.
    np.testing.assert_allclose(1 - (own / regular)[after], shop.deals.depth[shop.weeks :], atol=0.01)
    expected = shop.history_units().sum(axis=1)
    if family != CHAIN_DEALS:  # whose stores sit out deals of the tables
        shock = np.exp(shop.history.shock[: shop.weeks] - shop.history.shock.var() / 2)
        found = shop.units(shop.own_prices(shop.weeks - 1, 1), first=shop.weeks - 1)
        np.testing.assert_allclose(found[0], (expected / shock)[-1], rtol=0.02)
    sold = tables.sales.groupby("product")["units"].sum().to_numpy()
    noise = np.sqrt((expected + shop.parameters.dispersion * expected**2).sum(axis=0))
    assert (np.abs(sold - expected.sum(axis=0)) < 4 * noise).all()


def test_features_and_funding_come_with_planned_deals_alone():
    shop = draw_shop("regular-and-deal", 0)
    assert shop.deals.funding > 0
    weeks = shop.weeks + np.arange(12)
    shown, regular = shop.history.display[weeks], np.repeat(shop.listed[shop.weeks][None], 12, axis=0)
    assert not (shown & (shop.deals.depth[weeks] == 0)).any()
    assert 0.5 < shop.history.display.sum() / (shop.deals.depth > 0).sum() < 0.9
    shop.history.display[weeks] = False
    plain = shop.units(regular), shop.units(shop.own_prices())
    shop.history.display[weeks] = shown
    np.testing.assert_array_equal(shop.units(regular), plain[0])
    on_deal_and_shown = shown & (shop.deals.depth[weeks] > 0)
    assert (shop.units(shop.own_prices()) > plain[1])[on_deal_and_shown].all()
    # A reduction for which none was planned earns its margin alone.
    path, product = regular.copy(), int(np.argmin(shop.deals.depth[weeks[5]]))
    path[5, product] *= 0.8
    units = shop.units(path)
    assert shop.realised(path) == pytest.approx(((path - shop.unit_cost) * units).sum())
    path[shop.deals.depth[weeks] > 0] *= 0.8
    margin = ((path - shop.unit_cost) * shop.units(path)).sum()
    assert shop.realised(path) > margin
    assert shop.realised(path, objective="revenue") == pytest.approx((path * shop.units(path)).sum())


def test_zones_charge_less_where_customers_mind_prices_and_regular_prices_seldom_move():
    shops = [draw_shop("regular-and-deal", seed) for seed in range(12)]
    chains = [shop for shop in shops if chain_of(shop.family, shop.seed) == ZONES]
    assert len(chains) == 6
    levels = [np.log(shop.deals.base / shop.parameters.regular).mean(axis=1) for shop in chains]
    minded = [np.log(shop.deals.sensitivity) for shop in chains]
    assert np.corrcoef(np.concatenate(levels), np.concatenate(minded))[0, 1] < -0.8
    for shop in shops:
        moves = (np.diff(np.log(shop.history.listed[: shop.weeks]), axis=0) != 0).sum(axis=0) / 2
        assert 1 <= moves.mean() <= 3
        assert (shop.history.listed[shop.weeks :] == shop.history.listed[shop.weeks]).all()
    for single in (shop for shop in shops if chain_of(shop.family, shop.seed) != ZONES):
        assert (np.diff(np.log(single.history.listed[: single.weeks]), axis=0) != 0).sum(axis=0).max() <= 4


@pytest.mark.parametrize("family", DEALS)
@pytest.mark.parametrize("seed", [1, 2])
def test_no_path_within_the_bounds_earns_more_than_the_best(family, seed):
    shop, random = draw_shop(family, seed), np.random.default_rng(0)
    regular = shop.listed[shop.weeks]
    low, high = 0.6 * regular, 1.1 * regular
    best, kept = shop.optimum(low, high), shop.optimum(low, high, calendar=False)
    assert ((low <= best) & (best <= high)).all()
    most = shop.realised(best)
    assert shop.realised(shop.own_prices()) < shop.realised(kept) <= most
    tried = [random.uniform(low, high, best.shape) for _ in range(50)]
    tried += [np.clip(best * random.normal(1, 0.02, best.shape), low, high) for _ in range(50)]
    tried += [
        np.where(random.random(best.shape) < 0.05, random.uniform(low, high, best.shape), best) for _ in range(100)
    ]
    tried += [high, np.clip(kept, low, high), np.clip(1.1 * shop.own_prices(), low, high)]
    assert max(shop.realised(path) for path in tried) <= most * (1 + 1e-3)


@pytest.mark.parametrize("family", DEALS)
@pytest.mark.parametrize("seed", [0, 1])
def test_given_regular_prices_by_store_earn_what_the_mean_path_does_where_they_move_alike(family, seed):
    shop = draw_shop(family, seed)
    first, listed = shop.weeks, shop.history.listed
    later = shop.charging(1.07 * listed[first : first + 4], after=1.07 * listed[first])
    path = 1.07 * shop.listed[first] * (1 - shop.deals.depth[first:])
    # At the end of a path of four weeks, a deal could not be told from a regular price.
    units = shop.units(path)[:4]
    np.testing.assert_allclose(later._without_shocks()[:, first:].sum(axis=0), units, rtol=2e-3)
    np.testing.assert_allclose(later.units(path[4:], first=first + 4), shop.units(path)[4:], rtol=2e-3)
    # Stores that charge less sell more than the mean over them tells.
    apart = 1e-3 if shop.history.level.size == 1 else 0.02
    assert later.earned() == pytest.approx((shop.margin(path, first, "profit")[:4] * units).sum(), rel=apart)
    tables, before = shop_tables(later), shop_tables(shop)
    pd.testing.assert_frame_equal(tables.sales[: len(before.sales)], before.sales)
    sold = tables.sales[len(before.sales) :]
    assert sold["date"].nunique() == 4
    assert sold["units"].sum() == pytest.approx(units.sum(), rel=0.3)


def test_a_store_that_charges_more_sells_less_and_the_others_as_before():
    shop = draw_shop("regular-and-deal", 1)
    listed = shop.history.listed[shop.weeks : shop.weeks + 4].copy()
    usual = shop.charging(listed)._without_shocks()[:, shop.weeks :]
    listed[:, 0] *= 1.1
    found = shop.charging(listed)._without_shocks()[:, shop.weeks :]
    assert found[0].sum() < usual[0].sum()
    np.testing.assert_array_equal(found[1:], usual[1:])


def test_the_best_step_stays_near_the_shops_own_prices_and_no_other_step_earns_more():
    shop = draw_shop("regular-and-deal", 0)
    own, best = shop.own_prices(), shop.best_step(0.05)
    assert np.abs(best / own - 1).max() <= 0.05 + 1e-9
    earned = shop.realised(best)
    assert earned > shop.realised(own)
    deals = shop.deals.depth[shop.weeks : shop.weeks + len(own)] > 0
    random = np.random.default_rng(0)
    for _ in range(50):
        regular, deal = random.uniform(-0.05, 0.05, (2, own.shape[1]))
        assert shop.realised(own * (1 + np.where(deals, deal, regular))) <= earned * (1 + 1e-6)


@pytest.fixture(scope="module")
def chain():
    return draw_shop(CHAIN_DEALS, 0)


def test_deals_of_a_chain_are_frequent_and_mostly_of_the_whole_chain(chain):
    depth, sat_out = chain.deals.depth[: chain.weeks], chain.deals.sat_out[: chain.weeks]
    on_deal = depth > 0
    assert 0.4 < on_deal.mean() < 0.55
    assert not (sat_out & ~on_deal[:, None]).any()
    share = np.moveaxis(sat_out, 1, 2)[on_deal]
    assert share.mean() == pytest.approx(0.3, abs=0.02)
    assert (share.mean(axis=1) < 0.5).mean() > 0.95
    assert not chain.deals.sat_out[chain.weeks :].any()
    # A deal is sat out for as long as it lasts, and no store or product sits out all.
    goes_on = on_deal[1:] & on_deal[:-1]
    np.testing.assert_array_equal((sat_out[1:] & goes_on[:, None]), (sat_out[:-1] & goes_on[:, None]))
    usual = sat_out.sum(axis=0) / on_deal.sum(axis=0)
    assert ((usual > 0) & (usual < 0.8)).all()


@pytest.mark.parametrize("seed", range(4))
def test_a_deal_of_a_chain_is_three_times_as_strong_as_a_regular_price(seed):
    shop = draw_shop(CHAIN_DEALS, seed)
    np.testing.assert_allclose(strengths(shop), FREQUENT_BUMP, rtol=1e-6)
    assert shop.parameters.elasticity.max() <= STEEPEST / FREQUENT_BUMP
    assert shop.history.level.size == 24


def test_a_store_that_sits_out_charges_the_regular_price_and_its_tables_say_so(chain):
    deals, weeks = chain.deals, slice(0, chain.weeks)
    np.testing.assert_array_equal(deals.prices[deals.sat_out], deals.listed[deals.sat_out])
    taken = (deals.depth[weeks] > 0)[:, None] & ~deals.sat_out[weeks]
    assert (deals.prices[weeks] < deals.listed[weeks])[taken].all()
    shown = shop_tables(chain).promotions
    assert shown is not None
    assert len(shown) == (chain.history.display[weeks][:, None] & ~deals.sat_out[weeks]).sum()
    assert shown["store"].nunique() == 24
    assert shown["start_date"].is_monotonic_increasing


def test_funding_is_paid_for_the_reductions_that_stores_take(chain):
    assert chain.deals.funding > 0
    first = slice(chain.weeks, chain.weeks + 4)
    later = chain.charging(chain.history.listed[first])
    sat_out = later.deals.sat_out.copy()
    sat_out[first] = True
    prices = later.deals.prices.copy()
    prices[first] = later.deals.listed[first]
    none = replace(later, history=replace(later.deals, sat_out=sat_out, prices=prices))
    units, price = none._without_shocks()[:, first], np.moveaxis(prices[first], 1, 0)
    assert none.earned() == pytest.approx(((price - none.unit_cost) * units).sum())


def own_response(shop, cell, step=0.01):
    """Elasticity of a product's units in a week and store relative to those of another product there, nobody having any
    at home, with its number in the category.
    """
    week, store, product = cell
    category = int(shop.parameters.category[product])
    members = np.flatnonzero(shop.parameters.category == category)
    place = int(np.flatnonzero(members == product)[0])
    listed = shop.history.listed.copy()
    listed[week, store, product] *= 1 + step
    dearer = replace(shop, history=replace(shop.deals, listed=listed))
    usual, changed = (one._in_history(category, week + 1)[store, week] for one in (shop, dearer))
    grown = np.log(changed / usual)
    return (grown[place] - grown[place - 1]) / np.log1p(step), category, place


def test_who_finds_no_deal_answers_to_regular_prices_as_to_a_deal_and_others_as_ever(chain):
    deals, level = chain.deals, chain.history.level
    sat_out = np.argwhere(deals.sat_out[: chain.weeks])
    plain = np.argwhere(np.broadcast_to((deals.depth[: chain.weeks] == 0)[:, None], deals.sat_out[: chain.weeks].shape))
    random = np.random.default_rng(0)
    for cells, times in ((sat_out, 1.0), (plain, 0.0)):
        for cell in random.choice(cells, 5):
            found, category, place = own_response(chain, cell)
            response, store = chain.responses[category], cell[1]
            regular = deals.sensitivity[store] * response.slope[place]
            # The mean over the chain is dearer, too, by the store's share of it.
            as_deal = response.deal[place] * (1 - level[store])
            assert found == pytest.approx(-regular - times * as_deal, rel=0.02)


def test_stores_that_sit_out_a_deal_sell_less_and_their_customers_stock_up_on_nothing(chain):
    week, product = np.argwhere((chain.deals.depth[:20] > 0) & (chain.deals.depth[1:21] == 0))[0]
    store = int(np.flatnonzero(chain.deals.sat_out[week, :, product])[0])
    sat_out = chain.deals.sat_out.copy()
    sat_out[: week + 1, store, product] = False
    took = replace(chain, history=replace(chain.deals, sat_out=sat_out))
    units, after = (shop._without_shocks()[store, week : week + 2, product] for shop in (chain, took))
    assert after[0] > 1.5 * units[0]
    assert after[1] < units[1]
