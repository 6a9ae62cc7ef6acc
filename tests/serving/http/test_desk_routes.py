"""The price list over HTTP: read, decide, make live, by whom and by whose rules."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import pytest
from repricer.serving import DecisionLog
from repricer.serving.http.api_keys import add_key
from repricer.serving.http.desk_app import create_desk
from repricer.serving.http.settings import AccessSettings
from repricer.serving.price_list.files import read_list, write_list
from repricer.serving.price_list.image import KeyItem, PriceImage, read_image, write_image
from repricer.serving.price_list.rows import PriceRow, sealed
from repricer.serving.price_list.summary import (
    ListSummary,
    PosteriorEstimate,
    ProductSummary,
    ZoneSummary,
    proposal_of,
    write_summary,
)
from starlette.testclient import TestClient

LAST = {"zone": "all stores", "product": "anchovy", "week": "2018-02-19"}


@pytest.fixture
def listed(price_rows: list[PriceRow], tmp_path: Path) -> Path:
    write_list(tmp_path / "prices.xlsx", price_rows)
    return tmp_path / "prices.xlsx"


def service(bundle: Path, listed: Path, **settings: Any) -> TestClient:
    return TestClient(create_desk(listed, bundle, log=listed.with_name("log.db"), settings=AccessSettings(**settings)))


def decide(client: TestClient, *decisions: dict[str, Any], **more: Any) -> Any:
    """Decide about the rows as they are now, unless the decisions say what was seen."""
    rows = client.get("/v1/price-list", params={"limit": 1000}).json()["rows"]
    seen = {(row["zone"], row["product"], row["week"]): row["seen"] for row in rows}
    named = [{"seen": seen.get((one["zone"], one["product"], one["week"]), "x"), **one} for one in decisions]
    return client.post("/v1/admin/price-list/decisions", json={"decisions": named} | more)


def test_the_list_is_filtered_and_read_in_pieces(dated_bundle: Path, listed: Path, price_rows: list[PriceRow]) -> None:
    client = service(dated_bundle, listed)
    found = client.get("/v1/price-list", params={"limit": 5, "offset": 2}).json()
    assert (found["total"], len(found["rows"]), found["counts"]) == (24, 5, {"proposed": 24})
    assert found["rows"][0]["week"] == "2018-01-15"
    assert found["weeks"][0] == "2018-01-01"
    week = client.get("/v1/price-list", params={"week": "2018-01-08", "search": "CIDER"}).json()
    assert [row["product"] for row in week["rows"]] == ["cider"]
    outside = client.get("/v1/price-list", params={"outside": True}).json()
    assert outside["total"] == sum(bool(row.outside_charged) for row in price_rows)
    assert client.get("/v1/price-list", params={"status": "approved"}).json()["total"] == 0


@pytest.mark.parametrize(
    ("query", "got"),
    [
        ({"limit": 0}, "limit in the query must be as /docs says; got '0'"),
        ({"week": "next"}, "week in the query must be as /docs says; got 'next'"),
        ({"status": "sold"}, "status in the query must be as /docs says; got 'sold'"),
        ({"page": 2}, "page in the query must be as /docs says; got '2'"),
    ],
)
def test_a_wrong_query_is_refused_in_one_line(
    dated_bundle: Path, listed: Path, query: dict[str, Any], got: str
) -> None:
    refused = service(dated_bundle, listed).get("/v1/price-list", params=query)
    assert refused.status_code == 422
    assert refused.json()["detail"].startswith(got)
    assert service(dated_bundle, listed).get("/v1/price-list", params={"week": "", "status": ""}).json()["total"] == 24


def test_decisions_are_written_into_the_file(dated_bundle: Path, listed: Path, price_rows: list[PriceRow]) -> None:
    client, other = service(dated_bundle, listed), round(price_rows[7].new_price - 0.05, 2)
    override = LAST | {"status": "overridden", "decided_price": other, "decision_reason": "the rival"}
    assert decide(client, override, by="Ann").json()["rows"][0]["decided_by"] == "Ann"
    assert (read_list(listed)[7].decided_price, read_list(listed)[7].decision_reason) == (other, "the rival")
    decide(client, LAST | {"status": "proposed"}, by="Ann")
    assert read_list(listed) == price_rows
    # Another program may edit the file in between.
    write_list(listed, price_rows[:8])
    assert client.get("/v1/price-list").json()["total"] == 8


def test_refused_decisions_change_nothing(dated_bundle: Path, listed: Path, price_rows: list[PriceRow]) -> None:
    client = service(dated_bundle, listed)
    high = LAST | {"status": "overridden", "decided_price": 99.0, "decision_reason": "x"}
    refused = decide(client, LAST | {"status": "approved"}, high, by="Ann")
    assert refused.status_code == 409
    assert "row 9, column decided_price: the price must keep the price rule" in refused.json()["detail"]
    assert "must say why where status is postponed" in decide(client, LAST | {"status": "postponed"}, by="A").text
    assert "got no name; give by" in decide(client, LAST | {"status": "approved"}).text
    assert "must be about a row of the list" in decide(client, LAST | {"status": "approved", "zone": "x"}, by="A").text
    assert decide(client, LAST | {"status": "sold"}, by="A").status_code == 422
    assert read_list(listed) == price_rows


def test_two_decisions_about_one_row_are_refused(dated_bundle: Path, listed: Path, price_rows: list[PriceRow]) -> None:
    both = (LAST | {"status": "approved"}, LAST | {"status": "postponed", "decision_reason": "later"})
    refused = decide(service(dated_bundle, listed), *both, by="Ann")
    assert (refused.status_code, "got 2 about 1" in refused.json()["detail"]) == (409, True)
    assert read_list(listed) == price_rows


def test_a_decided_list_becomes_live(dated_bundle: Path, listed: Path, price_rows: list[PriceRow]) -> None:
    with service(dated_bundle, listed) as client:
        early = client.post("/v1/admin/price-list/live", json={"by": "Bo"})
        assert (early.status_code, "every row must be decided" in early.text) == (409, True)
        everything = [
            {"zone": row.zone, "product": row.product, "week": str(row.week), "status": "approved"}
            for row in price_rows
        ]
        decide(client, *everything, by="Ann")
        assert client.post("/v1/admin/price-list/live", json={"by": "Bo"}).json()["new"] == 24
        assert client.post("/v1/admin/price-list/live", json={"by": "Bo"}).json()["new"] == 0
    assert listed.with_name("live.csv").read_text().count("approved,Ann,") == 24
    log = DecisionLog(listed.with_name("log.db"))
    assert {row["decided_by"] for row in log.events("approval")} == {"Ann"}
    log.close()


def test_a_decision_about_a_row_that_was_rewritten_is_refused(
    dated_bundle: Path, listed: Path, price_rows: list[PriceRow]
) -> None:
    client = service(dated_bundle, listed)
    (shown,) = client.get("/v1/price-list", params={"week": LAST["week"], "search": "anchovy"}).json()["rows"]
    raised = sealed(msgspec.structs.replace(price_rows[7], new_price=round(price_rows[7].new_price + 0.05, 2)))
    rewritten = [raised if row.key == raised.key else row for row in price_rows]
    write_list(listed, rewritten)
    stale = decide(client, LAST | {"status": "approved", "seen": shown["seen"]}, by="Ann")
    assert (stale.status_code, "must be about the row that was seen; got 'anchovy'" in stale.text) == (409, True)
    assert read_list(listed) == rewritten
    unnamed = client.post("/v1/admin/price-list/decisions", json={"decisions": [LAST | {"status": "approved"}]})
    assert (unnamed.status_code, "got no seen; add it" in unnamed.text) == (422, True)


def test_of_several_decisions_about_one_row_one_wins(
    dated_bundle: Path, listed: Path, price_rows: list[PriceRow]
) -> None:
    with service(dated_bundle, listed) as client, ThreadPoolExecutor(6) as pool:
        (shown,) = client.get("/v1/price-list", params={"week": LAST["week"], "search": "anchovy"}).json()["rows"]

        def override(number: int) -> int:
            price = round(price_rows[7].new_price - 0.05 * number, 2)
            made = {"status": "overridden", "decided_price": price, "decision_reason": "x", "seen": shown["seen"]}
            return decide(client, LAST | made, by=f"analyst {number}").status_code

        assert sorted(pool.map(override, range(6))) == [200] + [409] * 5


def test_with_keys_the_file_does_not_say_who_decided(
    dated_bundle: Path, listed: Path, price_rows: list[PriceRow], tmp_path: Path
) -> None:
    keys = {name: add_key(tmp_path / "keys.json", role="admin", name=name) for name in ("ann", "bo")}
    write_image(listed, PriceImage((KeyItem(id="007", name="anchovy", score=0.5),)))
    with service(dated_bundle, listed, keys=str(tmp_path / "keys.json")) as client:
        client.headers["authorization"] = f"Bearer {keys['ann']}"
        decide(client, LAST | {"status": "approved"})
        client.post("/v1/admin/price-list/key-items", json={"items": {"007": "confirmed"}})
        # Somebody decides the others in the file, in the name of another.
        rows = [msgspec.structs.replace(row, status="approved", decided_by="Cara") for row in read_list(listed)]
        rows[7] = read_list(listed)[7]
        write_list(listed, rows)
        client.headers["authorization"] = f"Bearer {keys['bo']}"
        for new in (24, 0):
            assert client.post("/v1/admin/price-list/live", json={}).json()["new"] == new
    log = DecisionLog(listed.with_name("log.db"))
    recorded = list(log.events("approval"))
    assert {row["decided_by"] for row in recorded} == {"ann", "bo"}
    (anns,) = (row for row in recorded if row["decided_by"] == "ann")
    assert (anns["product"], anns["week"]) == (LAST["product"], LAST["week"])
    (item,) = log.events("item")
    assert item["decided_by"] == "ann"
    log.close()


def test_key_value_items_are_decided_beside_the_list_and_recorded_with_it(
    dated_bundle: Path, listed: Path, price_rows: list[PriceRow]
) -> None:
    names = {"007": "anchovy", "=9": "cider"}
    write_image(listed, PriceImage(tuple(KeyItem(id=key, name=name, score=0.5) for key, name in names.items())))
    write_list(listed, [msgspec.structs.replace(row, status="approved", decided_by="Ann") for row in price_rows])
    with service(dated_bundle, listed) as client:
        route = "/v1/admin/price-list/key-items"
        assert [one["status"] for one in client.get("/v1/price-list/image").json()["key_items"]] == ["proposed"] * 2
        for items in ({"007": "confirmed"}, {"=9": "rejected"}, {"=9": "proposed"}):
            found = client.post(route, json={"items": items, "by": "Ann"}).json()["key_items"]
        assert [(one["status"], one["decided_by"]) for one in found] == [("confirmed", "Ann"), ("proposed", "")]
        assert read_image(listed).key_items[0].status == "confirmed"
        wrong = client.post(route, json={"items": {"007": "rejected", "006": "confirmed"}, "by": "Bo"})
        assert (wrong.status_code, "got '006'; did you mean" in wrong.json()["detail"]) == (409, True)
        assert client.post(route, json={"items": {"007": "sold"}, "by": "Bo"}).status_code == 422
        assert "got no name; give by" in client.post(route, json={"items": {"007": "rejected"}}).text
        assert read_image(listed).key_items[0].status == "confirmed"
        for new in (24, 0):
            assert client.post("/v1/admin/price-list/live", json={"by": "Bo"}).json()["new"] == new
    log = DecisionLog(listed.with_name("log.db"))
    (row,) = log.events("item")
    assert (row["item"], row["name"], row["status"], row["decided_by"]) == ("007", "anchovy", "confirmed", "Ann")
    log.close()


def test_a_list_of_an_earlier_version_has_no_price_image(dated_bundle: Path, listed: Path) -> None:
    assert service(dated_bundle, listed).get("/v1/price-list/image").json() == {"key_items": [], "price_index": []}


def test_keys_say_who_decides_and_who_may(dated_bundle: Path, listed: Path, tmp_path: Path) -> None:
    keys = {role: add_key(tmp_path / "keys.json", role=role, name=f"the-{role}") for role in ("read", "admin")}
    client = service(dated_bundle, listed, keys=str(tmp_path / "keys.json"))
    assert {client.get(f"/v1/price-list{more}").status_code for more in ("", "/image")} == {401}
    client.headers["authorization"] = f"Bearer {keys['read']}"
    assert client.get("/v1/price-list").status_code == 200
    assert decide(client, LAST | {"status": "approved"}, by="Ann").status_code == 403
    assert client.post("/v1/admin/price-list/key-items", json={"items": {"007": "confirmed"}}).status_code == 403
    client.headers["authorization"] = f"Bearer {keys['admin']}"
    assert decide(client, LAST | {"status": "approved"}, by="Ann").json()["rows"][0]["decided_by"] == "the-admin"


def test_a_typed_price_is_priced_and_nothing_is_written(
    dated_bundle: Path, listed: Path, price_rows: list[PriceRow]
) -> None:
    client, proposed = service(dated_bundle, listed), price_rows[7].new_price

    def cost(price: float, **more: Any) -> Any:
        return client.post("/v1/admin/price-list/cost", json=LAST | {"price": price} | more)

    same = cost(proposed).json()
    assert (same["cost"], same["rules"], same["proposed"]) == (0.0, [], proposed)
    far = cost(99.0).json()
    assert far["firm"]
    assert "ceiling" in far["rules"]
    assert far["allowed"] <= 4.0
    other = round(proposed - 0.05, 2)
    warned = decide(client, LAST | {"status": "overridden", "decided_price": other, "decision_reason": "x"}, by="Ann")
    amount = f"{abs(cost(other).json()['cost']):,.2f}"
    assert any(f"1 overridden prices are expected to earn {amount}" in line for line in warned.json()["warnings"])
    decide(client, LAST | {"status": "proposed"}, by="Ann")
    cost(99.0)
    assert read_list(listed) == price_rows
    assert "an override must be about a row of prices.xlsx; got 'anchovy' in 'x'" in cost(2.0, zone="x").text
    assert cost(-1).status_code == 422


def test_what_the_rules_cost_comes_with_the_first_rows(dated_bundle: Path, listed: Path) -> None:
    client, beside = service(dated_bundle, listed), listed.with_name("prices.rules.json")
    assert client.get("/v1/price-list").json()["rules"] is None
    parts = {name: [] for name in ("rules", "groups", "together", "no_choice", "chosen_by", "currency")}
    beside.write_text(json.dumps(parts))
    assert client.get("/v1/price-list").json()["rules"] == parts
    assert "rules" not in client.get("/v1/price-list", params={"offset": 2}).json()
    for text, message in (("[]", "must hold a JSON object"), ('{"rules": []}', "got no groups; write it again with")):
        beside.write_text(text)
        refused = client.get("/v1/price-list")
        assert refused.status_code == 409
        assert message in refused.json()["detail"]


def products_of(client: TestClient, **query: Any) -> Any:
    return client.get("/v1/price-list", params={"by": "product", **query}).json()


def decide_product(client: TestClient, product: dict[str, Any], *, by: str = "Ann", **made: Any) -> Any:
    """Decide about a product as it is shown, in the weeks that are open."""
    weeks = {row["week"]: row["seen"] for row in product["rows"] if row["week"] in product["open"]}
    decision = {"zone": product["zone"], "product": product["product"], "weeks": weeks} | made
    return client.post("/v1/admin/price-list/decisions", json={"products": [decision], "by": by})


def test_a_list_is_read_by_product(dated_bundle: Path, listed: Path, price_rows: list[PriceRow]) -> None:
    client = service(dated_bundle, listed)
    found = products_of(client)
    assert [(one["product"], len(one["rows"]), one["status"]) for one in found["products"]] == [
        (name, 8, "proposed") for name in ("anchovy", "biscuit", "cider")
    ]
    assert (found["total"], found["summary"], found["summary_problem"]) == (3, None, "")
    first = found["products"][0]
    assert first["expected_units"] == pytest.approx(sum(row.expected_units or 0 for row in price_rows[:8]))
    assert [row["deal"] for row in first["rows"]] == [""] * 8
    # A product with a row that is wanted is shown whole.
    cut = products_of(client, week="2018-01-08", search="CIDER")
    assert [(one["product"], len(one["rows"])) for one in cut["products"]] == [("cider", 8)]
    rest = products_of(client, offset=1, limit=1)
    assert ([one["product"] for one in rest["products"]], "summary" in rest) == (["biscuit"], False)


def test_a_product_is_decided_whole_and_its_weeks_alone(
    dated_bundle: Path, listed: Path, price_rows: list[PriceRow]
) -> None:
    client, other = service(dated_bundle, listed), round(price_rows[7].new_price - 0.05, 2)
    override = LAST | {"status": "overridden", "decided_price": other, "decision_reason": "the rival"}
    assert decide(client, override, by="Bo").status_code == 200
    anchovy = products_of(client)["products"][0]
    assert (anchovy["status"], len(anchovy["open"])) == ("by week", 7)
    # What was decided for a week alone stays.
    assert len(decide_product(client, anchovy, status="approved").json()["rows"]) == 7
    assert [row.status for row in read_list(listed)[:8]] == ["approved"] * 7 + ["overridden"]
    stale = decide_product(client, anchovy, status="postponed", decision_reason="later")
    assert (stale.status_code, "must be about the row that was seen" in stale.text) == (409, True)
    # Where all weeks are decided, a decision is about all.
    anchovy = products_of(client)["products"][0]
    assert len(anchovy["open"]) == 8
    assert decide_product(client, anchovy, status="proposed").status_code == 200
    assert read_list(listed) == price_rows
    price = round(price_rows[0].new_price - 0.05, 2)
    anchovy = products_of(client)["products"][0]
    made = {"status": "overridden", "decided_price": price, "decision_reason": "x"}
    assert decide_product(client, anchovy, **made).status_code == 200
    assert {row.price for row in read_list(listed)[:8]} == {price}
    shown = products_of(client)["products"][0]
    assert (shown["status"], shown["decided_price"], shown["decided_by"]) == ("overridden", price, "Ann")


def test_a_refused_decision_about_a_product_changes_nothing(
    dated_bundle: Path, listed: Path, price_rows: list[PriceRow]
) -> None:
    client = service(dated_bundle, listed)
    anchovy = products_of(client)["products"][0]
    high = decide_product(client, anchovy, status="overridden", decided_price=99.0, decision_reason="x")
    assert (high.status_code, "the price must keep the price rule" in high.text) == (409, True)
    strange = decide_product(client, anchovy | {"product": "tuna"}, status="approved")
    assert "a decision must be about a product of the list; got 'tuna' in 'all stores'" in strange.text
    weeks = {"2017-01-01": "x"}
    body = {"zone": "all stores", "product": "anchovy", "weeks": weeks, "status": "approved"}
    unknown = client.post("/v1/admin/price-list/decisions", json={"products": [body], "by": "Ann"})
    assert "must be about a row of the list; got 'anchovy' in 'all stores', week 2017-01-01" in unknown.text
    none = client.post("/v1/admin/price-list/decisions", json={"by": "Ann"})
    assert (none.status_code, "got none; give decisions or products" in none.text) == (422, True)
    empty = client.post("/v1/admin/price-list/decisions", json={"products": [body | {"weeks": {}}], "by": "Ann"})
    assert empty.status_code == 422
    assert read_list(listed) == price_rows


def test_a_typed_price_of_a_product_is_priced(dated_bundle: Path, listed: Path, price_rows: list[PriceRow]) -> None:
    client, price = service(dated_bundle, listed), round(price_rows[0].new_price - 0.05, 2)
    anchovy = products_of(client)["products"][0]
    asked = {"zone": "all stores", "product": "anchovy", "price": price}
    found = client.post("/v1/admin/price-list/cost", json=asked).json()
    made = {"status": "overridden", "decided_price": price, "decision_reason": "x"}
    warned = decide_product(client, anchovy, **made).json()["warnings"]
    amount = f"{abs(found['cost']):,.2f}"
    assert any(f"8 overridden prices are expected to earn {amount}" in line for line in warned)
    strange = client.post("/v1/admin/price-list/cost", json=asked | {"product": "tuna"})
    assert "an override must be about a product of the list; got 'tuna'" in strange.text


def test_the_summary_comes_with_the_first_products(
    dated_bundle: Path, listed: Path, price_rows: list[PriceRow]
) -> None:
    client = service(dated_bundle, listed)
    zone = ZoneSummary(
        zone="all stores", verdict="Recommended: deals.", metric="profit", gain=PosteriorEstimate(0.03, 0.01, 0.05)
    )
    change = PosteriorEstimate(4.0, -2.0, 9.0)
    own = ProductSummary(zone="all stores", product_id="007", regular_price=2.1, units=change, cost_of_leaving=change)
    summary = ListSummary(
        proposal=proposal_of(price_rows), currency="EUR", objective="profit", zones=(zone,), products=(own,)
    )
    write_summary(listed, summary)
    found = products_of(client)
    assert found["summary"]["zones"][0]["gain"] == {"mean": 0.03, "low": 0.01, "high": 0.05}
    first, second = found["products"][:2]
    assert (first["units_change"], first["cost_of_leaving"]) == ({"mean": 4.0, "low": -2.0, "high": 9.0},) * 2
    assert second["units_change"] is None
    write_list(listed, price_rows[:8])
    found = products_of(client)
    assert (found["summary"], found["total"]) == (None, 1)
    assert "must hold the summary of prices.xlsx; got that of other rows" in found["summary_problem"]
