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
from repricer.serving.http.app import ServiceSettings, create_app
from repricer.serving.price_list.files import read_list, write_list
from repricer.serving.price_list.image import KeyItem, PriceImage, read_image, write_image
from repricer.serving.price_list.rows import PriceRow, sealed
from starlette.testclient import TestClient

LAST = {"zone": "all stores", "product": "anchovy", "week": "2018-02-19"}


@pytest.fixture
def listed(price_rows: list[PriceRow], tmp_path: Path) -> Path:
    write_list(tmp_path / "prices.xlsx", price_rows)
    return tmp_path / "prices.xlsx"


def service(bundle: Path, listed: Path, **settings: Any) -> TestClient:
    app = create_app(bundle, log=listed.with_name("log.db"), settings=ServiceSettings(price_list=listed, **settings))
    return TestClient(app)


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
    assert {row["decided_by"] for row in log.acts("approvals")} == {"Ann"}
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
    recorded = [row for row in log.acts("approvals") if "price" in row]
    assert {row["decided_by"] for row in recorded} == {"ann", "bo"}
    (anns,) = (row for row in recorded if row["decided_by"] == "ann")
    assert (anns["product"], anns["week"]) == (LAST["product"], LAST["week"])
    (item,) = (row for row in log.acts("approvals") if "item" in row)
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
    (row,) = (row for row in log.acts("approvals") if "item" in row)
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
