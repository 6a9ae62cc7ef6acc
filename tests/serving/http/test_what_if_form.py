"""Prices of several products tried together, over HTTP and on the page."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from repricer.serving import Bundle, example_state
from repricer.serving.http.app import create_app
from starlette.testclient import TestClient

from .conftest import opened, serving


@pytest.fixture(scope="module")
def client(dated_bundle: Path) -> TestClient:
    return TestClient(create_app(dated_bundle))


@pytest.fixture(scope="module")
def given(client: TestClient, dated: Bundle) -> dict[str, Any]:
    """A state, and the prices that the policy gives in it."""
    state = client.app.state.deployment.bundle.example  # type: ignore[attr-defined]
    prices = {item["product"]: item["price"] for item in client.post("/v1/prices", json=state).json()["prices"]}
    return {"state": state, "prices": prices}


def tried(client: TestClient, state: Any, prices: Any) -> Any:
    return client.post("/v1/try-prices", json={"state": state, "prices": prices})


def test_the_given_prices_change_nothing(client: TestClient, given: dict[str, Any]) -> None:
    found = tried(client, **given).json()
    assert found["total"]["units"] > 0
    assert all(row[f"{name}_change"] == 0 for row in found["rows"] for name in ("units", "revenue", "profit"))
    assert found["warnings"] == []


def test_one_product_has_the_figures_of_its_curve(client: TestClient, given: dict[str, Any]) -> None:
    price = round(given["prices"]["anchovy"] * 0.95, 2)
    found = tried(client, given["state"], {"anchovy": price}).json()
    question = {"state": given["state"], "product": "anchovy", "prices": [price]}
    point = client.post("/v1/what-if", json=question).json()["points"][0]
    own, other, apart = found["rows"]
    for name in ("units", "revenue", "profit"):
        assert own[name] == pytest.approx(point[name]["mean"], rel=1e-4)
        assert found["total"][f"{name}_change"] == pytest.approx(sum(row[f"{name}_change"] for row in found["rows"]))
    assert own["profit"] + other["profit"] == pytest.approx(point["all_products"]["profit"], rel=1e-4)
    assert own["units_change"] > 0 > other["units_change"]
    assert apart["units_change"] == 0
    assert "mean of the fitted market" in found["note"]


def test_rules_warn_or_refuse(client: TestClient, given: dict[str, Any]) -> None:
    found = tried(client, given["state"], {"cider": given["prices"]["cider"] * 1.3001}).json()
    assert "for 'cider' in the week of 2018-01-01 leaves the price rule" in found["warnings"][0]
    assert "expected to earn" in found["warnings"][0]
    refused = tried(client, given["state"], {"anchovy": 1.2})
    assert (refused.status_code, "the rules that no person may leave; got 1.2 for 'anchovy'" in refused.text) == (
        422,
        True,
    )


@pytest.mark.parametrize("prices", [{}, [], {"anchovy": 0}, {"anchovy": -1}, {"anchovy": "2"}, {"tuna": 2.0}, None])
def test_wrong_prices_are_one_line(client: TestClient, given: dict[str, Any], prices: Any) -> None:
    refused = tried(client, given["state"], prices)
    assert refused.status_code == 422
    assert "must be" in refused.json()["detail"]
    assert "\n" not in refused.json()["detail"]
    assert client.post("/v1/try-prices", json={"prices": {}}).status_code == 422


def test_the_page_loads_the_form(client: TestClient) -> None:
    assert "/page/what_if_form.js" in client.get("/").text
    assert client.get("/page/what_if_form.js").headers["content-type"].startswith("text/javascript")


@pytest.fixture(scope="module")
def url(browser: Any, one_path: Path) -> Iterator[str]:
    with serving(create_app(one_path)) as address:
        yield address


def test_a_price_is_typed_on_the_page(browser: Any, url: str, one: Bundle) -> None:
    assert example_state(one.catalogue)["products"][0]["product"] == "anchovy"
    with opened(browser, url, "#try-prices", (1280, 900)) as page:
        page.fill("[aria-label='Price to try of anchovy']", "2.10")
        page.click("#try-prices button")
        page.locator("#tried table").wait_for()
        shown = page.inner_text("#tried")
        assert "anchovy" in shown
        assert "All products" in shown
        page.fill("[aria-label='Price to try of anchovy']", "0.10")
        page.click("#try-prices button")
        page.locator("#tried", has_text="Not tried").wait_for()
        assert "422" in page.problems.pop()
