"""A desk of its own process and the page of a service may decide on one list: one decision about a row wins."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from repricer.serving import load_bundle
from repricer.serving.http.bodies import ListDecision
from repricer.serving.http.desk import Desk
from repricer.serving.price_list.files import read_list, write_list
from repricer.serving.price_list.rows import ListError, PriceRow


def test_of_two_desks_that_decide_on_a_row_at_the_same_time_one_is_refused(
    dated_bundle: Path, price_rows: list[PriceRow], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = tmp_path / "prices.csv"
    write_list(listed, price_rows)
    bundle = load_bundle(dated_bundle)
    desk, other = (Desk(str(listed), lambda: bundle, None) for _ in range(2))
    row = read_list(listed)[0]
    names = {"zone": row.zone, "product": row.product, "week": row.week, "seen": row.seen}
    refused = list[str]()

    def postpone() -> None:
        try:
            other.decide([ListDecision(**names, status="postponed", decision_reason="later")], "Bob")
        except ListError as error:
            refused.append(str(error))

    second = threading.Thread(target=postpone)
    record = desk._record

    def recorded(*made: object) -> None:
        second.start()
        second.join(0.5)  # with the file to itself it would be done
        record(*made)

    monkeypatch.setattr(desk, "_record", recorded)
    desk.decide([ListDecision(**names, status="approved", decision_reason="fine")], "Ann")
    second.join()
    found = read_list(listed)[0]
    assert (found.status, found.decided_by) == ("approved", "Ann")
    assert len(refused) == 1
    assert "which was written since" in refused[0]
