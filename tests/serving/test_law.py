"""The law in bundles and in the service: what a bundle was made for, notices, announced reductions, provenance."""

from __future__ import annotations

import json
import shutil
import warnings
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from repricer.agents import Run
from repricer.cli.serve import command
from repricer.pricing import FixedPrice
from repricer.scenarios import MarketSpec
from repricer.scenarios.price_section import LawSection
from repricer.scenarios.sections import Competitors
from repricer.serving import Bundle, BundleError, DecisionLog, Predictor, StateError, example_state, export, load_bundle
from repricer.serving.bundle.codec import guardrails_document, guardrails_from
from repricer.serving.csv_batch import price_file
from repricer.serving.http.app import create_app
from repricer.serving.http.deployment import Deployment
from repricer.serving.http.settings import ServiceSettings
from repricer.tests.serving.conftest import make_run
from repricer.tests.serving.test_predictor import with_forward

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # which HTTP client the test client would rather have
    from starlette.testclient import TestClient

NEW_YORK = "THIS PRICE WAS SET BY AN ALGORITHM USING YOUR PERSONAL DATA"


def run_under(spec: MarketSpec, *jurisdictions: str, **own: Any) -> Run:
    weekly = spec.with_changes(market={"period": "week"})
    return make_run(replace(weekly, law=LawSection(jurisdictions, **own)), product_wise=True)


@pytest.fixture(scope="module")
def lawful_path(spec: MarketSpec, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export(run_under(spec, "EU", "NY"), tmp_path_factory.mktemp("lawful") / "bundle")


@pytest.fixture(scope="module")
def lawful(lawful_path: Path) -> Bundle:
    return load_bundle(lawful_path)


def test_a_bundle_says_for_which_jurisdictions_it_was_made(lawful: Bundle, one: Bundle) -> None:
    assert lawful.jurisdictions == ("EU", "NY")
    assert lawful.manifest["law"]["jurisdictions"] == ["EU", "NY"]
    assert lawful.manifest["law"]["notices"]["NY"] == NEW_YORK
    assert lawful.manifest["law"]["personal_prices"]
    assert one.jurisdictions == ()
    assert one.manifest["law"] is None


def test_price_rules_of_before_are_read_without_a_law(one: Bundle) -> None:
    document = guardrails_document(one.guardrails)
    assert "law" not in document
    assert guardrails_from(document, 3, 2).law is None


@pytest.mark.parametrize("named", [None, "EU", "NY"])
def test_a_personal_price_carries_its_notices(lawful: Bundle, named: str | None) -> None:
    state = example_state(lawful.catalogue) | ({} if named is None else {"jurisdiction": named})
    answer = with_forward(lawful, 1.0, discount=0.1).price(state)
    for item in answer.prices:
        assert max(item.discounts.values()) > 0
        assert set(item.notices) == ({"EU", "NY"} if named is None else {named})
        if named != "EU":
            assert item.notices["NY"] == NEW_YORK
    text = json.loads(answer.to_json())
    assert text["prices"][0]["notices"] == answer.prices[0].notices
    # Where all pay the list price, no price is personal.
    assert all(item.notices == {} for item in with_forward(lawful, 1.0, discount=0.0).price(state).prices)


def test_a_bundle_without_law_has_no_notices(one: Bundle) -> None:
    for item in with_forward(one, 1.0, discount=0.1).price(example_state(one.catalogue)).prices:
        assert max(item.discounts.values()) > 0
        assert item.notices == {}


def test_a_state_names_a_jurisdiction_that_the_bundle_was_made_for(lawful: Bundle, one: Bundle) -> None:
    words = "state: jurisdiction must be one that the bundle was made for, EU, NY; got 'MD'; leave it out, or load"
    with pytest.raises(StateError, match=words):
        Predictor(lawful).price(example_state(lawful.catalogue) | {"jurisdiction": "MD"})
    with pytest.raises(StateError, match="made for, none; got 'NY'"):
        Predictor(one).price(example_state(one.catalogue) | {"jurisdiction": "NY"})
    with pytest.raises(StateError, match="jurisdiction must be"):
        Predictor(lawful).price(example_state(lawful.catalogue) | {"jurisdiction": "FR"})


def test_a_service_refuses_what_was_not_made_for_its_jurisdictions(
    lawful_path: Path, one_path: Path, tmp_path: Path
) -> None:
    words = "a bundle must be made for the jurisdictions of the service, NY, MD; got EU, NY; name them under"
    with pytest.raises(BundleError, match=words):
        Deployment(lawful_path, ServiceSettings(jurisdictions=("NY", "MD")))
    with pytest.raises(BundleError, match="of the service, NY; got none; name them under"):
        Deployment(one_path, ServiceSettings(jurisdictions=("NY",)))
    served = tmp_path / "bundle"
    shutil.copytree(lawful_path, served)
    running = Deployment(served, ServiceSettings(jurisdictions=("NY",)))
    shutil.rmtree(served)
    shutil.copytree(one_path, served)
    with pytest.raises(BundleError, match="got none"):
        running.reload()
    assert running.bundle.jurisdictions == ("EU", "NY")
    with pytest.raises(ValueError, match="jurisdictions must be a list of EU, NY, MD, CA; got"):
        ServiceSettings(jurisdictions=("FR",))  # pyright: ignore


def test_a_bundle_of_the_log_is_refused_as_one_at_the_path_is(
    lawful_path: Path, one_path: Path, tmp_path: Path
) -> None:
    with closing(DecisionLog(tmp_path / "log.db")) as log:
        Deployment(one_path, log=log)
        running = Deployment(lawful_path, ServiceSettings(jurisdictions=("NY",)), log=log)
        with pytest.raises(BundleError, match="of the service, NY; got none"):
            running.rollback()
        assert running.bundle.jurisdictions == ("EU", "NY")


def test_over_http_and_on_the_command_line(lawful_path: Path, lawful: Bundle, one_path: Path) -> None:
    with TestClient(create_app(lawful_path, settings=ServiceSettings(jurisdictions=("NY",)))) as client:
        state = example_state(lawful.catalogue)
        answered = client.post("/v1/prices", json=state | {"jurisdiction": "NY"})
        assert answered.status_code == 200
        assert all({"notices", "reduction"} <= item.keys() for item in answered.json()["prices"])
        refused = client.post("/v1/prices", json=state | {"jurisdiction": "CA"})
        assert refused.status_code == 422
        assert "made for, EU, NY; got 'CA'" in refused.text
        described = client.get("/openapi.json").json()["components"]["schemas"]
        assert {"notices", "reduction"} <= described["ProductPrice"]["properties"].keys()
        assert "jurisdiction" in described["MarketState"]["properties"]
    done = CliRunner().invoke(command, [str(one_path), "--jurisdiction", "EU"])
    assert isinstance(done.exception, BundleError)


def test_reductions_are_computed_from_the_lowest_price_of_thirty_days(lawful: Bundle) -> None:
    state = example_state(lawful.catalogue)
    first, second, third = state["products"]
    first |= {"list_price": 2.0, "lowest_price_30_days": 1.95}
    second |= {"list_price": 3.0, "lowest_price_30_days": 2.7}  # reduced, but not below what was charged
    third |= {"list_price": 5.0}  # not known
    # The base price is 90% of the regular one: 1.8, 2.7, 4.5.
    found = with_forward(lawful, 1.0).price(state).prices
    assert [(item.price, item.prior_lowest_price, item.reduction) for item in found] == [
        (1.8, 1.95, 0.0769),
        (2.7, None, None),
        (4.5, None, None),
    ]
    # The reduction goes on: the state gives back what the answer said.
    first |= {"list_price": 1.8, "lowest_price_30_days": 1.8, "prior_price": 1.95}
    again = with_forward(lawful, 1.0).price(state).prices[0]
    assert (again.price, again.prior_lowest_price, again.reduction) == (1.8, 1.95, 0.0769)
    first["prior_price"] = 1.8
    with pytest.raises(StateError, match=r"prior_price of 'anchovy' must be above its list_price, .* got 1.8; leave"):
        Predictor(lawful).price(state)


def test_a_file_of_prices_has_notices_and_reductions(lawful: Bundle, tmp_path: Path) -> None:
    rows = [f"NY,0,{name},{price},{price},9" for name, price in (("anchovy", 2.0), ("biscuit", 3.0), ("cider", 5.0))]
    head = "jurisdiction,period,product,list_price,lowest_price_30_days,on_hand"
    (tmp_path / "in.csv").write_text("\n".join([head, *rows]), encoding="utf-8")
    price_file(with_forward(lawful, 1.0, discount=0.1), tmp_path / "in.csv", tmp_path / "out.csv")
    text = (tmp_path / "out.csv").read_text(encoding="utf-8")
    assert text.count(NEW_YORK) == 3
    assert ",2.0,0.1," in text


def test_a_food_store_of_maryland_gives_no_personal_prices(spec: MarketSpec, tmp_path: Path) -> None:
    bundle = load_bundle(export(run_under(spec, "MD", "NY"), tmp_path / "bundle"))
    assert not bundle.manifest["law"]["personal_prices"]
    assert bundle.guardrails.max_discount == 0
    for item in with_forward(bundle, 1.0, discount=0.2).price(example_state(bundle.catalogue)).prices:
        assert not any(item.discounts.values())
        assert item.notices == {}
    # Price rules that allow them are read as ones that do not.
    document = guardrails_document(bundle.guardrails) | {"max_discount": 0.3}
    assert guardrails_from(document, 3, 2).max_discount == 0


def test_the_manifest_names_where_competitors_prices_come_from_and_holds_an_audit(
    spec: MarketSpec, tmp_path: Path
) -> None:
    rival = Competitors(("next door",), np.array([2.0]), np.array(3.0), np.array(1.0), unit_cost=np.array(1.0))
    run = run_under(replace(spec, competitors=rival), "CA", competitor_source="own-observation")
    manifest = load_bundle(export(run, tmp_path / "bundle")).manifest
    assert manifest["law"]["competitors"] == {
        "table": "section [competitors] of the market",
        "source": "own-observation",
    }
    audited = manifest["competition"]
    assert audited["audit"]["verdict"] in ("near competitive", "between", "near joint monopoly")
    assert audited["no_audit"] == ""
    # Prices of competitors that no offer of the market stands for: there is nothing to audit, and the manifest says so.
    run = run_under(spec, "CA", competitor_table="signals", competitor_source="public")
    manifest = load_bundle(export(run, tmp_path / "other")).manifest
    assert manifest["law"]["competitors"] == {"table": "signals", "source": "public"}
    assert manifest["competition"]["audit"] is None
    assert "scenario must have competitors" in manifest["competition"]["no_audit"]


def test_an_audit_finds_the_nash_prices_competitive_and_joint_ones_not() -> None:
    from repricer.evaluation import audit_policy, yardstick
    from repricer.scenarios import load_scenario

    spec = load_scenario("calvano-duopoly")
    marks = yardstick(spec)
    rivals = spec.competitors
    assert rivals is not None
    for price, verdict in ((marks.nash_price, "near competitive"), (marks.monopoly_price, "near joint monopoly")):
        played = replace(spec, competitors=replace(rivals, rule=("fixed",), regular_price=price[1:]))
        found, why = audit_policy(played, FixedPrice(float(price[0])), episodes=4)
        assert (found and found.verdict, why) == (verdict, "")
