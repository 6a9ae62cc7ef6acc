"""A shop's own CSV, command by command, to an answer from the bundle; the shop is a simulated one."""

import os
from pathlib import Path

import pytest
from click.testing import CliRunner
from repricer.cli import main
from repricer.data import SCHEMAS
from repricer.forecasting import MovingAverage, PooledRegression, SeasonalNaive
from repricer.planning.cycle.config import TablesSection
from repricer.planning.fit_lines import fit_lines
from repricer.planning.shop_files import TABLES
from repricer.scenarios import load_scenario
from repricer.serving import documents

from .calls import document

TRUTH = """
name = "truth"
version = 1
[market]
horizon_periods = 52
[products]
names = ["a", "b", "c", "d", "e", "f"]
category = ["x", "x", "x", "y", "y", "y"]
regular_price = [4.0, 5.0, 4.5, 3.0, 3.5, 3.2]
[arrivals]
rate = [400.0, 300.0]
[demand]
quality = [[2.4, 2.4, 2.4, 2.2, 2.2, 2.2]]
price_sensitivity = [[0.75, 0.6, 0.67, 1.0, 0.86, 0.94]]
[prices]
floor = [3.0, 3.7, 3.3, 2.2, 2.6, 2.4]
ceiling = [4.4, 5.5, 5.0, 3.3, 3.9, 3.5]
"""


@pytest.fixture(scope="module")
def shop(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("shop")
    before = Path.cwd()
    os.chdir(folder)
    Path("truth.toml").write_text(TRUTH, encoding="utf-8")
    rows = [f"{product},{'x' if product in 'abc' else 'y'}" for product in "abcdef"]
    Path("products.csv").write_text("\n".join(["product,category", *rows]), encoding="utf-8")
    document("simulate", "truth.toml", "--policy", "random", "--out", "sales.csv")
    yield folder
    os.chdir(before)


@pytest.mark.usefixtures("no_pictures")
def test_from_tables_to_a_price(shop, monkeypatch):
    # The default forecaster with its quickest candidates; a market fitted with all of them, tests/fitting shows.
    few = {"average": MovingAverage(), "naive": SeasonalNaive(), "pooled": PooledRegression()}
    monkeypatch.setattr("repricer.forecasting.selected.candidates", lambda **_: few)
    imported = document("data", "import", "--sales", "sales.csv", "--products", "products.csv", "--out", "tables")
    assert imported["kept"]["sales"] == imported["read"]["sales"]
    Path("plan.csv").write_text("date,product,price\n2002-01-02,a,3.9\n", encoding="utf-8")
    fit = document(
        "fit", "tables", "--out", "market", "--currency", "euros", "--plan", "plan.csv", "--weeks", "8", "--draws", "20"
    )
    assert fit["scores"]["simulated_wape"] < 0.2
    assert (fit["first_day"], fit["last_day"]) == ("2001-12-31", "2002-02-24")
    assert (fit["proof"]["first_day"], fit["proof"]["last_day"]) == ("2001-10-08", "2001-12-30")
    assert "proved on 2001-10-08 to 2001-12-30; market of 2001-12-31 to 2002-02-24" in fit_lines(fit)
    felt = "  customers feel the logarithm of a price, not the price: {:.0%} likely"
    assert felt.format(fit["price_curvature"]) in fit_lines(fit)
    assert "The plan gives 1 of 48 current prices of the weeks to come." in fit["plan"]
    market = load_scenario("market")
    assert market.plan.price[0, market.products.names.index("a")] == 3.9
    assert load_scenario("market/proof").plan.units.shape == (12, 6)
    document("train", "market", "--out", "run", "--steps", "1000")
    report = document("report", "run", "--out", "report.html", "--episodes", "10")
    assert report["verdict"].split(". ")[0] in (shop / "report.html").read_text(encoding="utf-8")
    document("export", "run", "--out", "bundle", "--policy", "learned")
    policies = ("--policy", "run", "--policy", "bundle", "--policy", "historical")
    judged = document("evaluate", "market", *policies, "--episodes", "10")
    revenue = {row["policy"]: row["revenue"]["mean"] for row in judged["policies"]}
    assert revenue["bundle"] == pytest.approx(revenue["run"], rel=1e-3)
    state = CliRunner().invoke(main, ["price", "bundle", "--example"]).stdout
    (shop / "state.json").write_text(state, encoding="utf-8")
    answer = document("price", "bundle", "--state", "state.json")
    assert {item["product"] for item in answer["prices"]} == set("abcdef")


def test_every_canonical_table_can_be_given_as_a_file():
    assert list(TABLES) == list(SCHEMAS)
    assert set(TABLES) < set(documents.fields(TablesSection))
