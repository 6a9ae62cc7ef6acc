"""A chain with two price zones: one command fits both, with one response to prices, and one list holds their prices."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from repricer.cli import main
from repricer.data import ImportReport, save_tables
from repricer.fitting import refit
from repricer.scenarios import load_scenario
from repricer.serving.price_list.files import read_list
from repricer.tests.data.shop_shapes import chain

TABLES = chain(stores=6, weeks=30, zones=0.1, alike=2)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("chain")
    save_tables(TABLES, ImportReport({"sales": 1}, {"sales": 1}, {"sales": {}}), folder / "tables")
    how = ["--by", "zone", "--forecaster", "moving-average", "--draws", "8", "--weeks", "3", "--json"]
    done = CliRunner().invoke(main, ["fit", str(folder / "tables"), "--out", str(folder / "market"), *how])
    assert done.exit_code == 0, done.output
    assert list(json.loads(done.stdout)["zones"]) == ["zone-1", "zone-2"]
    return folder


def test_zones_have_prices_of_their_own_and_share_the_response(folder):
    stores = json.loads((folder / "market" / "zones.json").read_text())
    assert sorted(map(sorted, stores.values())) == [["s0", "s2", "s4"], ["s1", "s3", "s5"]]
    markets = [load_scenario(folder / "market" / zone) for zone in stores]
    reports = [json.loads((folder / "market" / zone / "fit.json").read_text()) for zone in stores]
    assert [market.name for market in markets] == ["market-zone-1", "market-zone-2"]
    levels = [market.products.regular_price / np.array([3.0, 3.4, 3.8, 4.2])[_order(market)] for market in markets]
    assert sorted(np.round([level.mean() for level in levels], 2)) == [0.9, 1.1]
    one, other = ([row["elasticity"] for row in report["price_response"]] for report in reports)
    np.testing.assert_allclose(one, other, rtol=0.02)
    assert {row["stores"] for report in reports for row in report["category_response"]} == {2}


def test_the_same_call_fits_what_is_missing_and_shows_one_row_a_zone(folder):
    how = ["--by", "zone", "--forecaster", "moving-average", "--draws", "8", "--weeks", "3"]
    asked = ["fit", str(folder / "tables"), "--out", str(folder / "market"), *how]
    before = (folder / "market" / "zone-1" / "fit.json").stat().st_mtime_ns
    (folder / "market" / "zone-2" / "fit.json").unlink()
    (folder / "market" / "zone-2" / "part.json").unlink()
    again = CliRunner().invoke(main, asked)
    assert again.exit_code == 0, again.output
    assert (folder / "market" / "zone-1" / "fit.json").stat().st_mtime_ns == before
    assert (folder / "market" / "zone-2" / "fit.json").is_file()
    assert "market-zone-1: fitted before" in again.stderr
    assert "zone-2: 2 of 2 zones, 3 stores" in again.stderr
    (row,) = (line for line in again.stdout.splitlines() if "zone-2" in line)
    assert row.split("│")[2].strip() == "4"  # products
    assert len(again.stdout.splitlines()) < 30
    assert len(CliRunner().invoke(main, [*asked, "--verbose"]).stdout.splitlines()) > 60


def test_all_zones_are_trained_compared_and_listed_in_one_call_each(folder):
    market, runs = str(folder / "market"), str(folder / "runs")
    train = ["train", market, "--steps", "500", "--set", "validation_episodes=64", "--out", runs]
    done = CliRunner().invoke(main, train)
    assert done.exit_code == 0, done.output
    assert [path.name for path in sorted((folder / "runs").iterdir())] == ["zone-1", "zone-2"]
    assert [line for line in done.stdout.splitlines() if line.startswith("│ zone-")]
    trained = [(folder / "runs" / zone / "run.json").read_bytes() for zone in ("zone-1", "zone-2")]
    assert CliRunner().invoke(main, train).exit_code == 0  # finished runs are kept
    assert trained == [(folder / "runs" / zone / "run.json").read_bytes() for zone in ("zone-1", "zone-2")]
    asked = ["evaluate", market, "--policy", runs, "--episodes", "8", "--draws", "4", "--json"]
    compared = json.loads(CliRunner().invoke(main, asked).stdout)["zones"]
    policies = {zone: [row["policy"] for row in found["policies"]] for zone, found in compared.items()}
    assert f"{runs}/zone-2" in policies["zone-2"]
    listed = CliRunner().invoke(
        main, ["prices", market, "--policy", runs, "--out", str(folder / "p.csv"), "--draws", "4"]
    )
    assert listed.exit_code == 0, listed.output
    assert "All zones together: " in listed.stdout


def _order(market) -> list[int]:
    return [int(name[1:]) for name in market.products.ids]


def test_a_zone_is_refreshed_from_the_tables_of_all_stores(folder):
    fitted = load_scenario(folder / "market" / "zone-2")
    again = refit(TABLES, json.loads((folder / "market" / "zone-2" / "fit.json").read_text())["refit"]).spec
    np.testing.assert_allclose(again.demand.price_sensitivity, fitted.demand.price_sensitivity, rtol=1e-6)
    np.testing.assert_allclose(again.arrivals.rate, fitted.arrivals.rate, rtol=1e-6)


def test_a_list_of_one_zone_names_it(folder, tmp_path):
    for market, options, zone in (
        (folder / "market" / "zone-2", [], "zone-2"),
        (folder / "market" / "zone-2", ["--zone", "north"], "north"),
        (folder / "market", ["--zone", "zone-1"], "zone-1"),
    ):
        out = tmp_path / f"{zone}.csv"
        done = CliRunner().invoke(main, ["prices", str(market), "--out", str(out), "--draws", "2", *options])
        assert done.exit_code == 0, done.output
        assert {row.zone for row in read_list(out)} == {zone}


def test_stores_that_came_since_the_fit_are_named(folder):
    record = json.loads((folder / "market" / "zone-2" / "fit.json").read_text())["refit"]
    came = TABLES.sales[TABLES.sales["store"] == "s1"].tail(40).assign(store="s9")
    later = replace(TABLES, sales=pd.concat([TABLES.sales, came], ignore_index=True).sort_values("date"))
    assert not any("price zone" in note for note in refit(TABLES, record).notes)
    (said,) = (note for note in refit(later, record).notes if "price zone" in note)
    assert said.endswith("their sales are left out: s9; fit again to have them")


def test_one_list_holds_all_zones(folder):
    out = folder / "prices.csv"
    run = CliRunner().invoke(main, ["prices", str(folder / "market"), "--out", str(out), "--draws", "4", "--json"])
    assert run.exit_code == 0, run.output
    rows = read_list(out)
    assert {(row.zone, row.product_id) for row in rows} == {(f"zone-{z}", f"p{p}") for z in (1, 2) for p in range(4)}
    facts = json.loads(run.stdout)
    assert len(rows) == facts["rows"] == 2 * 4 * 3
    together = facts["together"]
    assert together["low"] <= together["mean"] <= together["high"]
    said = CliRunner().invoke(main, ["prices", str(folder / "market"), "--out", str(out), "--draws", "4"]).output
    assert "for `repricer desk` and `repricer approve`, write the list of each by itself" in said
    assert "--bundle BUNDLE" not in said
    wrong = CliRunner().invoke(main, ["prices", str(folder / "market"), "--out", str(out), "--zone", "north"])
    assert wrong.exit_code == 2
    assert "--zone must be one of zone-1, zone-2; got north" in wrong.output
