"""The reading of an experiment that was followed, broken or stopped, and its checks."""

from datetime import date, timedelta

import msgspec
import numpy as np
import pandas as pd
import pytest
from repricer.data import Tables
from repricer.data.storage import save_tables
from repricer.data.tables import ImportReport
from repricer.planning.experiments.designs import Design
from repricer.planning.experiments.effects import calibrated
from repricer.planning.experiments.experiment import (
    Experiment,
    Group,
    PlannedExperiment,
    Reading,
    calendar_digest,
    cells_of,
)
from repricer.planning.experiments.reading import read_experiment
from repricer.planning.experiments.store_days import store_days

from ...cli.calls import run
from .shop import Shop

CHANGES = (0.1, -0.1, 0.1, -0.1, 0.1, -0.1)


def planned(shop, kind="both", seed=0, groups=6):
    """An experiment on the shop's products, each a group."""
    random = np.random.default_rng(seed)
    blocks = 1 if kind == "stores" else 2
    names, changes = shop.products[:groups], np.array(CHANGES[:groups])
    history = store_days(Tables(shop.sales(0)), names, shop.first.date() - timedelta(days=shop.past), shop.first.date())
    units = history["units"].transpose("product", "store", "day").to_numpy()
    design = Design(kind, blocks, shop.days // 7 // blocks, 7, np.log(np.nanmean(units.sum(axis=0), axis=1))[:, None])
    arms = design.draw(random, groups)
    rows = [
        (store, shop.first + pd.Timedelta(weeks=w), product, product, "test" if on else "control", price, usual)
        for g, (product, usual) in enumerate(zip(names, shop.price, strict=False))
        for s, store in enumerate(shop.names)
        for w in range(shop.days // 7)
        for on in [arms[g, s, w // design.block_weeks]]
        for price in [round(usual * (1 + changes[g]), 2) if on else usual]
    ]
    columns = ["store", "week", "product", "group", "arm", "price", "planned_price"]
    calendar = pd.DataFrame(rows, columns=columns)
    own = tuple(Group(name, shop.categories[n], (name,), float(changes[n]), 1 / groups) for n, name in enumerate(names))
    facts = {
        "name": "autumn", "market": "shop", "first_day": shop.first.date(), "design": kind, "blocks": blocks,
        "block_weeks": design.block_weeks, "washout_days": 7, "seed": seed, "stores": tuple(shop.names), "groups": own,
        "readings": (), "unit_cost": {}, "calendar": calendar_digest(calendar), "worth": {}, "stopping": "at its end",
        "first_look": shop.first.date(), "loss_limit": 0.0, "left_out": {},
    }  # fmt: skip
    plan = PlannedExperiment(**facts)
    cells = cells_of(plan, "elasticity", names)
    analysis, power = calibrated(cells, units.reshape(-1, units.shape[-1]), design, random)
    readings = tuple(
        Reading(name, "units", "elasticity", tuple(of), analysis, power)
        for name, of in (("all tested products", names), ("drinks", names[:3]))
    )
    return Experiment(msgspec.structs.replace(plan, readings=readings), calendar)


@pytest.fixture(scope="module")
def chain():
    shop = Shop()
    return shop, planned(shop)


def truth(shop):
    return float(np.mean(shop.elasticity))


def test_the_response_of_a_chain_that_followed_its_calendar(chain):
    shop, experiment = chain
    shop.follow(experiment.calendar)
    found = read_experiment(experiment, Tables(shop.sales()))
    assert (found.days, found.stopped) == (56, False)
    assert not [line for line in found.lost if "calendar" in line]
    every, drinks = found.effects
    assert every.low < truth(shop) < every.high
    assert drinks.low < -2.0 < drinks.high
    assert every.high < 0
    assert every.since is not None
    assert [check.name for check in found.checks if not check.ok] == []


def test_looks_before_the_end_are_those_of_the_end(chain):
    shop, experiment = chain
    shop.follow(experiment.calendar)
    early, late = (read_experiment(experiment, Tables(shop.sales(days))) for days in (30, 56))
    assert early.days == 30
    np.testing.assert_allclose(early.looks[0], late.looks[0][:30], rtol=1e-6, equal_nan=True)


def test_a_store_that_charged_other_prices_is_left_out_and_named(chain):
    shop, experiment = chain
    shop.follow(
        experiment.calendar, skip=lambda store, week: store == "store-03" and week >= shop.first + pd.Timedelta(weeks=2)
    )
    found = read_experiment(experiment, Tables(shop.sales()))
    lost = [line for line in found.lost if "charged other prices" in line]
    assert len(lost) == 1
    assert lost[0].startswith("store-03 (")
    assert lost[0].endswith("23 of 24 stores are read")
    assert found.effects[0].low < truth(shop) < found.effects[0].high


def test_an_experiment_that_was_given_up_is_read_up_to_then(chain):
    shop, experiment = chain
    shop.follow(experiment.calendar, until=shop.first + pd.Timedelta(weeks=5))
    found = read_experiment(experiment, Tables(shop.sales()))
    assert (found.days, found.stopped) == (35, True)
    assert any("its prices were given up after 2024-02-04" in line for line in found.lost)
    assert found.effects[0].low < truth(shop) < found.effects[0].high


def test_a_deal_of_the_whole_chain_is_no_broken_calendar(chain):
    shop, experiment = chain
    shop.follow(experiment.calendar)
    for store in shop.names:
        prices = shop.prices[store, "product-1"]
        prices[14:21] = np.round(prices[14:21] * 0.8, 2)
    found = read_experiment(experiment, Tables(shop.sales()))
    assert not [line for line in found.lost if "charged other prices" in line]


def test_prices_that_nobody_charged_are_refused(chain):
    shop, experiment = chain
    shop.follow(experiment.calendar, until=shop.first)
    with pytest.raises(ValueError, match="the calendar of autumn was not followed: in no week"):
        read_experiment(experiment, Tables(shop.sales()))


def test_sales_that_end_before_the_experiment_are_refused(chain):
    shop, experiment = chain
    with pytest.raises(
        ValueError, match=r"sales must reach into the experiment, which began on 2024-01-01; got 2023-12-31"
    ):
        read_experiment(experiment, Tables(shop.sales(0)))


def test_sales_that_begin_with_the_experiment_are_refused(chain):
    shop, experiment = chain
    shop.follow(experiment.calendar)
    sales = shop.sales()
    with pytest.raises(ValueError, match=r"sales must hold a week or more before the experiment .* got 2024-01-01"):
        read_experiment(experiment, Tables(sales[sales["date"] >= shop.first]))


def test_a_last_day_to_read_before_the_experiment_is_named(chain):
    shop, experiment = chain
    shop.follow(experiment.calendar)
    with pytest.raises(ValueError, match=r"began on 2024-01-01; got 2023-12-01 as the last day to read"):
        read_experiment(experiment, Tables(shop.sales()), until=date(2023, 12, 1))


def test_sales_by_week_are_read_to_the_end_of_their_last_week(chain):
    shop, experiment = chain
    shop.follow(experiment.calendar)
    sales = shop.sales()
    week = sales["date"] - pd.to_timedelta(sales["date"].dt.day_of_week, unit="D")
    money = sales.assign(date=week, money=sales["units"] * sales["price_paid"])
    weekly = money.groupby(["date", "store", "product"], as_index=False)[["units", "money"]].sum()
    weekly["price_paid"] = weekly["money"] / weekly["units"]
    assert read_experiment(experiment, Tables(weekly.drop(columns="money"))).days == 56


def test_a_tested_product_that_is_sold_no_more_is_named(chain):
    shop, experiment = chain
    shop.follow(experiment.calendar)
    sales = shop.sales()
    gone = (sales["product"] == "product-3") & (sales["date"] >= shop.first + pd.Timedelta(weeks=3))
    found = read_experiment(experiment, Tables(sales[~gone]))
    assert any(line.startswith("product-3 sold nothing after 2024-01-21") for line in found.lost)


def test_regions_without_neighbours_say_nothing_of_interference(chain):
    shop, experiment = chain
    shop.follow(experiment.calendar)
    for count in (1, 2):
        near = dict.fromkeys(shop.names[:count], "north")
        found = read_experiment(experiment, Tables(shop.sales()), regions=near)
        text = next(check.text for check in found.checks if check.name == "interference")
        assert f"{24 - count} of 24 stores have no region" in text
        assert "nan" not in text


def test_the_command_shows_no_figures_before_the_first_look_and_refuses_what_it_cannot_use(chain, tmp_path):
    shop, experiment = chain
    shop.follow(experiment.calendar)
    save_tables(Tables(shop.sales()), ImportReport({}, {}, {}), tmp_path / "tables")
    plan = msgspec.structs.replace(experiment.plan, first_look=date(2024, 1, 14))
    Experiment(plan, experiment.calendar).save(tmp_path / "autumn")
    (tmp_path / "regions.csv").write_text("store,region\nstore-00,north\nstore-00,south\n")
    words = ("experiment", "read", tmp_path / "autumn", "--dataset", tmp_path / "tables")
    early = run(*words, "--until", "2024-01-05").stdout
    assert "nan" not in early
    assert "no effect is shown before the first look on 2024-01-14" in early
    assert "must name a store once; got store-00" in run(*words, "--regions", tmp_path / "regions.csv", code=2).output
    assert "--plot must end in .svg; got reading.png" in run(*words, "--plot", "reading.png", code=2).output


def test_another_experiment_at_the_same_time_is_named(chain):
    shop, experiment = chain
    shop.follow(experiment.calendar)
    found = read_experiment(experiment, Tables(shop.sales()), others=[experiment])
    assert "autumn tested 6 of its products" in next(c.text for c in found.checks if c.name == "contamination")


def test_neighbours_that_take_customers_are_found():
    shop = Shop(seed=5, elasticity=(-2.0,), price=(2.0,))
    experiment = planned(shop, groups=1)
    shop.follow(experiment.calendar)
    regions = {store: f"region-{n // 4}" for n, store in enumerate(shop.names)}
    sales = Tables(shop.sales())
    plain = read_experiment(experiment, sales, regions=regions)
    assert next(c for c in plain.checks if c.name == "interference").ok
    # Customers go where the product is cheaper: to the other stores of the region, while a store charges more.
    frame, arms = sales.sales, experiment.calendar.set_index(["store", "week"])["arm"] == "test"
    week = shop.first + (frame["date"] - shop.first) // pd.Timedelta(weeks=1) * pd.Timedelta(weeks=1)
    own = arms.reindex(pd.MultiIndex.from_arrays([frame["store"], week])).fillna(value=False).to_numpy(dtype=bool)
    share = arms.groupby([arms.index.get_level_values(0).map(regions), arms.index.get_level_values(1)]).mean()
    near = share.reindex(pd.MultiIndex.from_arrays([frame["store"].map(regions), week])).fillna(0.0).to_numpy()
    gained = frame.assign(units=(frame["units"] * np.where(own, 1.0, 1 + 0.8 * near)).round())
    found = read_experiment(experiment, Tables(gained), regions=regions)
    assert not next(c for c in found.checks if c.name == "interference").ok


def test_sales_by_week_are_spread_over_their_days():
    weeks = pd.date_range("2024-01-01", periods=5, freq="7D")
    sales = pd.DataFrame({"date": weeks, "store": "a", "product": "tea", "units": 14.0, "price_paid": 3.0})
    found = store_days(Tables(sales), ["tea"], weeks[0].date(), weeks[-1].date() + timedelta(days=7))
    assert found["units"].to_numpy().ravel().tolist() == [2.0] * 35


def test_lines_without_a_store_are_of_none_of_the_named_ones():
    sales = pd.DataFrame({"date": pd.Timestamp("2024-01-01"), "store": ["a", None], "product": "tea", "units": 1.0})
    found = store_days(Tables(sales.assign(price_paid=2.0)), ["tea"], date(2024, 1, 1), date(2024, 1, 2))
    assert found.indexes["store"].tolist() == ["a"]


def test_a_store_that_sells_nothing_is_closed():
    dates = pd.to_datetime(["2024-01-01", "2024-01-02", "2024-01-02"])
    sales = pd.DataFrame({"date": dates, "store": ["a", "b", "a"], "product": ["tea", "tea", "milk"], "units": 1.0})
    found = store_days(
        Tables(sales.assign(price_paid=2.0)), ["tea"], dates[0].date(), dates[1].date() + timedelta(days=1)
    )
    np.testing.assert_array_equal(found["units"].to_numpy()[:, 0], [[1.0, 0.0], [np.nan, 1.0]])


def test_the_loss_so_far_is_that_of_the_prices_charged():
    """Raised prices of products that customers mind lose revenue; the sum is that of the sales that went."""
    shop = Shop(seed=3, elasticity=(-3.0,) * 6)
    experiment = planned(shop)
    money = msgspec.structs.replace(experiment.plan.readings[0], name="all", outcome="revenue", measure="all")
    unit_cost = dict.fromkeys(shop.products, 0.0)
    readings = (*experiment.plan.readings, money)
    plan = msgspec.structs.replace(experiment.plan, readings=readings, unit_cost=unit_cost, loss_limit=1.0)
    shop.follow(experiment.calendar)
    charged = shop.sales()
    shop.follow(experiment.calendar, until=shop.first)
    lost = [
        (frame["units"] * frame["price_paid"])[frame["date"] >= shop.first].sum() for frame in (shop.sales(), charged)
    ]
    found = read_experiment(Experiment(plan, experiment.calendar), Tables(charged))
    so_far, low, high = found.loss
    assert low < lost[0] - lost[1] < high
    assert low < so_far < high
    assert found.stop == (low > 1.0)
