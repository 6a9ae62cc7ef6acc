"""The log as a sales table: what is paid, usual and seen."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from repricer.serving import DecisionLog, PriceAnswer
from repricer.serving.decision_log.outcomes import ReportedOutcome
from repricer.serving.decision_log.sales_table import write_sales
from repricer.serving.product_prices import ProductPrice


@pytest.fixture
def log(tmp_path: Path) -> DecisionLog:
    return DecisionLog(tmp_path / "decisions.db")


def decide(
    log: DecisionLog, market: str, period: int, price: float, sold: Mapping[str | None, float], **more: Any
) -> None:
    """A decision about one product, and what it sold by segment."""
    discounts, name = more.pop("discounts", {}), f"{market} {period}"
    priced = [ProductPrice("tea", price, price, discounts, None, None, None, [])]
    answer = PriceAnswer("rule", "none", "shop 1", period, None, None, priced, {}, None, 0.0)
    state = {"market": market, "products": [{"product": "tea", "list_price": price, "on_hand": None, **more}]}
    log.record(answer, state, name)
    log.record_outcomes([ReportedOutcome("tea", units, request_id=name, segment=who) for who, units in sold.items()])


def written(log: DecisionLog, out: Path) -> pd.DataFrame:
    write_sales(log, out)
    return pd.read_parquet(out)


def test_the_regular_price_is_that_of_the_market(log: DecisionLog, tmp_path: Path) -> None:
    """A store that is cheaper than another one all the time has no reductions."""
    for week, (cheap, dear) in enumerate([(2.0, 3.0), (2.0, 3.0), (1.5, 3.0)]):
        decide(log, "cheap", week, cheap, {None: 4.0})
        decide(log, "dear", week, dear, {None: 4.0})
    table = written(log, tmp_path / "sales.parquet")
    assert table.groupby("store")["regular_price"].unique().map(list).to_dict() == {"cheap": [2.0], "dear": [3.0]}


def test_a_segment_pays_its_discount(log: DecisionLog, tmp_path: Path) -> None:
    decide(log, "Oslo", 0, 10.0, {"thrifty": 6.0, "loyal": 2.0}, discounts={"thrifty": 0.2, "loyal": 0.0})
    (row,) = log.sold()
    assert row["paid"] == pytest.approx(6 * 8 + 2 * 10)
    assert written(log, tmp_path / "sales.parquet")["price_paid"].tolist() == pytest.approx([68 / 8])


def test_the_number_of_price_changes_is_seen(log: DecisionLog, tmp_path: Path) -> None:
    decide(log, "Oslo", 0, 10.0, {None: 6.0}, changes=2)
    assert written(log, tmp_path / "sales.parquet")["seen_changes"].tolist() == [2.0]
