"""What lies beside a price list: read as it was written, and lists of earlier versions without it."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from repricer.planning.price_image import image_of_list
from repricer.serving.price_list.files import read_list, write_list
from repricer.serving.price_list.image import KeyItem, PriceImage, image_path, read_image, write_image
from repricer.serving.price_list.rows import ListError, PriceRow

ITEM = KeyItem(id="007", name="anchovy", score=0.9, reasons=("in 12.0% of baskets", "response -2.3"))


@pytest.mark.parametrize("name", ["prices.csv", "prices.xlsx"])
def test_a_list_of_an_earlier_version_is_read_and_has_none(
    name: str, price_rows: list[PriceRow], tmp_path: Path
) -> None:
    write_list(tmp_path / name, price_rows)
    assert read_list(tmp_path / name) == price_rows
    assert read_image(tmp_path / name) == PriceImage()


def test_it_comes_back_and_a_new_list_without_one_has_none(tmp_path: Path) -> None:
    path = tmp_path / "prices.csv"
    write_image(path, PriceImage((ITEM,)))
    assert read_image(path) == read_image(path.with_suffix(".xlsx")) == PriceImage((ITEM,))
    write_image(path, image_of_list(tmp_path, []))
    assert not image_path(path).exists()


def test_a_file_that_is_none_is_refused_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "prices.csv"
    for wrong in ('{"key_items": [{"id": "7"}]}', "no JSON"):
        image_path(path).write_text(wrong)
        with pytest.raises(
            ListError, match=r"prices\.image\.json must hold the price image of prices\.csv; got: "
        ) as refused:
            read_image(path)
        assert len(refused.value.mistakes) == 1
    with pytest.raises(ValueError, match="printable"):
        msgspec.json.decode(b'{"id": "7", "name": "a\\nb", "score": 0.5}', type=KeyItem)
