from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from repricer.cli import main
from repricer.pricing import ChargedRange, product_features
from repricer.serving import Bundle, Predictor
from repricer.serving.csv_batch import BatchError, price_file
from repricer.serving.market_state import market_view

HEADER = "market,period,product,list_price,on_hand"
ROWS = [
    "north,0,anchovy,2.0,10",
    "north,0,biscuit,3.0,",
    "south,1,cider,5.0,4",
    "north,0,cider,5.0,4",
    "south,1,anchovy,1.9,10",
    "south,1,biscuit,3.1,5",
]


def written(folder: Path, rows: list[str], header: str = HEADER) -> Path:
    path = folder / "in.csv"
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return path


def test_each_market_is_priced_as_its_state(one: Bundle, tmp_path: Path) -> None:
    out = tmp_path / "out.csv"
    assert price_file(Predictor(one), written(tmp_path, ROWS), out) == (2, 6)
    with out.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    products = [
        {"product": "anchovy", "list_price": 2.0, "on_hand": 10.0},
        {"product": "biscuit", "list_price": 3.0, "on_hand": None},
        {"product": "cider", "list_price": 5.0, "on_hand": 4.0},
    ]
    answer = Predictor(one).price({"market": "north", "period": 0, "products": products})
    north = [row for row in rows if row["market"] == "north"]
    assert [float(row["price"]) for row in north] == [item.price for item in answer.prices]
    assert [row["rules"].split() for row in north] == [[c.rule for c in item.trail] for item in answer.prices]
    assert float(north[2]["discount:loyal"]) == answer.prices[2].discounts["loyal"]
    shown = {segment: row["product"] for row in north for segment in filter(None, row["shown_to"].split("; "))}
    assert shown == {segment: product for segment, product in answer.recommendations.items() if product}


def test_segments_with_spaces_in_their_names_can_be_told_apart(
    one: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    predictor, out = Predictor(one), tmp_path / "out.csv"
    shown = {"deal-seeking, low-spending": "cider", "full-price, low-spending": "cider"}
    price_all = predictor.price_all
    monkeypatch.setattr(
        predictor, "price_all", lambda asked: [replace(answer, recommendations=shown) for answer in price_all(asked)]
    )
    price_file(predictor, written(tmp_path, ROWS), out)
    with out.open(encoding="utf-8") as file:
        assert {row["shown_to"] for row in csv.DictReader(file)} == {"", "; ".join(shown)}


def test_prices_outside_what_was_charged_are_marked(one: Bundle, tmp_path: Path) -> None:
    out = tmp_path / "out.csv"
    charged = ChargedRange(np.array([3.0, 1.0, 1.0]), np.array([3.5, 9.0, 9.0]))
    price_file(Predictor(replace(one, charged=charged)), written(tmp_path, ROWS), out)
    with out.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        outside = row["product"] == "anchovy"
        assert row["mark"] == ("outside what was mostly charged: 3.00 to 3.50" if outside else "")
        assert ("outside_charged" in row["rules"].split()) == outside


def test_semicolons_and_a_byte_order_mark_are_read_too(one: Bundle, tmp_path: Path) -> None:
    path = tmp_path / "in.csv"
    path.write_text("\n".join([HEADER, *ROWS]).replace(",", ";"), encoding="utf-8-sig")
    assert price_file(Predictor(one), path, tmp_path / "out.csv") == (2, 6)


def test_a_market_with_a_calendar_is_priced_by_date(dated: Bundle, tmp_path: Path) -> None:
    rows, out = (
        [row.replace(",0,", ",2018-01-03,").replace(",1,", ",2018-01-08,") for row in ROWS],
        tmp_path / "out.csv",
    )
    header = HEADER.replace("period", "date")
    assert price_file(Predictor(dated), written(tmp_path, rows, header), out) == (2, 6)
    with out.open(encoding="utf-8") as file:
        priced = {(row["market"], row["date"], row["period"]) for row in csv.DictReader(file)}
    assert priced == {("north", "2018-01-01", "0"), ("south", "2018-01-08", "1")}
    with pytest.raises(BatchError, match=r"market 'north', date 0: state: date must be .* got '0'"):
        price_file(Predictor(dated), written(tmp_path, ROWS, header), out)
    with pytest.raises(BatchError, match="state must name its period by date, or by period, its number; got both"):
        price_file(
            Predictor(dated),
            written(
                tmp_path,
                [f"2018-01-03,0,{name},2.0,10" for name in ("anchovy", "biscuit", "cider")],
                "date,period,product,list_price,on_hand",
            ),
            out,
        )


@pytest.mark.parametrize(
    ("rows", "header", "line"),
    [
        (
            [*ROWS[:4], "south,1,anchovy,x,10", ROWS[5]],
            HEADER,
            "market 'south', period 1: state: list_price of 'anchovy' must be a number",
        ),
        ([*ROWS[:4], "south,1,anchovy,-1,10", ROWS[5]], HEADER, "list_price of 'anchovy'.*got -1"),
        ([*ROWS[:4], "south,1,anchovy,nan,10", ROWS[5]], HEADER, "list_price of 'anchovy'.*got 'nan'"),
        ([*ROWS[:4], "south,1,anchovy,,10", ROWS[5]], HEADER, "got no list_price"),
        ([*ROWS[:4], "south,1,anchovy,1,-4", ROWS[5]], HEADER, "on_hand of 'anchovy' must be"),
        ([f"south,one,{name},1,4" for name in ("anchovy", "biscuit", "cider")], HEADER, "period must be .*got 'one'"),
        ([*ROWS[:4], "south,1,dates,1,4", ROWS[5]], HEADER, "product.*must be one of the catalogue's 3; got 'dates'"),
        ([*ROWS, ROWS[0]], HEADER, "a product must be unique; got .* again"),
        ([*ROWS[:5], "south,1,biscuit,3.1"], HEADER, "row 7: must have 5 cells"),
        (ROWS[:5], HEADER, "market 'south', period 1: .*without 'biscuit'"),
        ([row.replace("south,1", "south,99") for row in ROWS], HEADER, "market 'south'.*period must be"),
        (
            ROWS,
            HEADER.replace("on_hand", "onhand"),
            "row 1: must have known columns; got 'onhand'; did you mean 'on_hand'",
        ),
        (ROWS, HEADER.replace("market", "shop"), "row 1: must have known columns; got 'shop'"),
        ([f"{row},1 -1" for row in ROWS], f"{HEADER},due", "due of 'anchovy' must be a number from 0.*got -1"),
        ([f"{row},1 x" for row in ROWS], f"{HEADER},due", "due of 'anchovy' must be a number from 0.*got 'x'"),
        ([], HEADER, "must have rows"),
    ],
)
def test_a_wrong_file_is_one_line_and_nothing_is_written(
    one: Bundle, tmp_path: Path, rows: list[str], header: str, line: str
) -> None:
    path, out = written(tmp_path, rows, header), tmp_path / "out.csv"
    out.write_text("before")
    with pytest.raises(BatchError, match=line) as caught:
        price_file(Predictor(one), path, out)
    assert "\n" not in str(caught.value)
    assert out.read_text() == "before"
    assert sorted(item.name for item in tmp_path.iterdir()) == ["in.csv", "out.csv"]


def test_the_command_takes_files(one_path: Path, tmp_path: Path) -> None:
    path, out = written(tmp_path, ROWS), tmp_path / "out.csv"
    result = CliRunner().invoke(main, ["price", str(one_path), "--batch", str(path), "--out", str(out)])
    assert (result.exit_code, "6 prices of 2 markets" in result.stdout) == (0, True)
    assert CliRunner().invoke(main, ["price", str(one_path), "--batch", str(path)]).exit_code == 2
    path.write_bytes(b"\xff\xfe\x00")
    broken = CliRunner().invoke(main, ["price", str(one_path), "--batch", str(path), "--out", str(out)])
    assert (broken.exit_code, broken.stderr.count("\n")) == (2, 1)


def test_no_cell_is_taken_for_a_formula(one: Bundle, tmp_path: Path) -> None:
    out = tmp_path / "out.csv"
    rows = [row.replace("north", "=north").replace("south", "@south") for row in ROWS]
    price_file(Predictor(one), written(tmp_path, rows), out)
    with out.open(encoding="utf-8") as file:
        assert {row["market"] for row in csv.DictReader(file)} == {"'=north", "'@south"}


def test_customers_who_wait_are_owed_units(one: Bundle, tmp_path: Path) -> None:
    owed, out = (
        written(tmp_path, ["north,0,anchovy,2.0,10", "north,0,biscuit,3.0,", "north,0,cider,5.0,-4"]),
        tmp_path / "o",
    )
    with pytest.raises(BatchError, match="on_hand of 'cider' must be a number from 0 to"):
        price_file(Predictor(one), owed, out)
    waiting = replace(one, catalogue=replace(one.catalogue, backlog=True))
    assert price_file(Predictor(waiting), owed, out) == (1, 3)
    stock = {"anchovy": 10, "biscuit": None, "cider": -4}
    products = [{"product": name, "list_price": 2.0, "on_hand": units} for name, units in stock.items()]
    view = market_view(waiting.catalogue, {"period": 0, "products": products})
    assert view.on_hand.tolist() == [[10, np.inf, -4]]
    assert -3 <= product_features(view)[0, 2].min() < 0
