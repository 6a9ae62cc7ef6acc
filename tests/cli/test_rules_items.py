"""`repricer rules items`: candidates with reasons, the shop's decisions beside the market, and its rules file."""

from __future__ import annotations

import json
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest
from repricer.atomic import write_json
from repricer.scenarios import load_scenario, save_scenario
from repricer.scenarios.sections import Posterior
from repricer.scenarios.shop_sections import PastSection, PlanSection
from repricer.serving.price_list.files import write_list
from repricer.serving.price_list.image import decided_items, read_image, write_image

from .calls import document, run


@pytest.fixture
def market(tmp_path: Path) -> Path:
    """Three products of which the market knows units and one competing price."""
    spec = load_scenario("three-stocks").with_changes(
        market={"first_day": "2018-01-01", "period": "week", "period_days": 7}
    )
    price = spec.products.regular_price
    own = {"last_rival_price": price * [1, 0, 0], "month_ago_price": price, "year_ago_price": price * 0}
    past = PastSection(price=price[None], basket_units=[50.0, 30.0, 20.0], **own)
    posterior = Posterior(draws=2, arrivals=[[[0.9]], [[1.1]]])
    drawn = replace(spec, plan=PlanSection(price=price), past=past, posterior=posterior)
    save_scenario(drawn, tmp_path / "market")
    rows = [{"product": name, "elasticity": -2.0 - n} for n, name in enumerate(spec.products.names)]
    write_json(tmp_path / "market" / "fit.json", {"price_response": rows})
    return tmp_path / "market"


def test_items_are_shown_confirmed_and_kept(market: Path) -> None:
    one, two, three = load_scenario(market).products.names
    found = {row["name"]: row for row in document("rules", "items", market)["items"]}
    assert found[one]["reasons"] == [
        "share of baskets not known; 50.0% of units",
        "share of customers not known",
        "response -2.0",
        "competitor price known",
    ]
    assert found[one]["score"] == pytest.approx((1 + 1 / 3 + 1) / 3, abs=1e-4)
    shown = run("rules", "items", market, "--confirm", one, "--reject", two, "--by", "Ann").stdout
    assert "confirmed by Ann" in shown
    kept = json.loads((market / "key_items.json").read_text())
    assert {row["name"]: row["status"] for row in kept} == {one: "confirmed", two: "rejected", three: "proposed"}
    # Without tables nothing is found anew, and what was decided is shown however few are asked for.
    assert [row["name"] for row in document("rules", "items", market, "--count", 1)["items"]] == [one, two]


def test_the_rules_file_lists_the_confirmed(market: Path, tmp_path: Path) -> None:
    name, rules = load_scenario(market).products.names[0], tmp_path / "rules.toml"
    rules.write_text("[shop]\nband = 0.2\n")
    said = run("rules", "items", market, "--confirm", name, "--rules", rules).stdout
    assert "[group.key-value] is in" in said
    written = {"shop": {"band": 0.2}, "group": {"key-value": {"products": [name]}}}
    assert tomllib.loads(rules.read_text()) == written
    assert "[group.key-value]\nproducts = [" in run("rules", "items", market, "--rules", "-").stdout
    again, before = run("rules", "items", market, "--rules", rules, code=2).output, rules.read_text()
    assert (
        f'--rules must have no [group.key-value] yet; got one in {rules}; write there: products = ["{name}"]' in again
    )
    assert rules.read_text() == before


def test_lists_carry_the_items_and_bring_decisions_back(market: Path, tmp_path: Path) -> None:
    name, out = load_scenario(market).products.names[0], tmp_path / "prices.csv"
    run("rules", "items", market)
    run("prices", market, "--out", out)
    image = read_image(out)
    assert {path.reference for path in image.price_index} == {"rival", "month"}
    assert {item.status for item in image.key_items} == {"proposed"}
    write_image(out, replace_items(image, name))
    found = document("rules", "items", market, "--list", out)["items"]
    assert [(row["name"], row["decided_by"]) for row in found if row["status"] == "confirmed"] == [(name, "Bo")]
    run("prices", market, "--out", out)
    assert {item.name for item in read_image(out).key_items if item.status == "confirmed"} == {name}


def replace_items(image, name: str):
    """The image of a list on whose page Bo confirmed an item."""
    return type(image)(decided_items(image.key_items, {name: "confirmed"}, "Bo"), image.price_index)


def test_mistakes_are_one_line(market: Path, tmp_path: Path) -> None:
    name = load_scenario(market).products.names[0]
    wrong = run("rules", "items", market, "--confirm", "milk", code=2).output
    assert "--confirm must be the id or the name of a product of the market; got 'milk'; known are" in wrong
    wrong = run("rules", "items", market, "--confirm", name, "--reject", name, code=2).output
    assert f"must name different items; got {name} in both" in wrong
    wrong = run("rules", "items", "three-stocks", code=2).output
    assert "MARKET must be a folder of repricer fit; got three-stocks" in wrong
    assert not (market / "key_items.json").exists()
    wrong = run("rules", "items", market, "--confirm", name, "--list", tmp_path / "none.csv", code=2).output
    assert "--list must be a price list; got" in wrong
    rules = tmp_path / "rules.toml"
    for text, words in (("x [", "--rules must be a TOML file"), ("[group.key-value]\n", "--rules must have no")):
        rules.write_text(text)
        assert words in run("rules", "items", market, "--confirm", name, "--rules", rules, code=2).output
        assert rules.read_text() == text
    # A decision that cannot be carried out whole is not kept.
    assert not (market / "key_items.json").exists()
    write_list(tmp_path / "old.csv", [])
    assert len(document("rules", "items", market, "--list", tmp_path / "old.csv")["items"]) == 3
