"""The plot of a summary says what it shows."""

from contextlib import nullcontext

import pandas as pd
import pytest
from repricer.data import Tables, plot_summary, sales_summary

pytest.importorskip("matplotlib")
SALES = pd.DataFrame(
    {
        "date": pd.date_range("2024-01-01", periods=28),
        "product": ["tea", "jam"] * 14,
        "units": 1.0,
        "price_paid": [2.0, 3.0] * 14,
        "regular_price": [2.0, 3.0] * 14,
    }
)
PRODUCTS = pd.DataFrame({"product": ["tea", "jam"], "category": ["hot", "sweet"]})


@pytest.mark.parametrize(
    ("products", "title", "bars"),
    [
        (PRODUCTS, "revenue of the largest categories (currency)", ["hot", "sweet"]),
        (None, "revenue of the best sellers (currency)", ["tea", "jam"]),
    ],
)
def test_bars_are_named_as_what_they_are(products, title, bars, monkeypatch, tmp_path):
    drawn = []
    monkeypatch.setattr("matplotlib.figure.Figure.savefig", lambda figure, *_, **__: drawn.append(figure))
    monkeypatch.setattr("repricer.data.plotting.whole_file", nullcontext)
    plot_summary(sales_summary(Tables(SALES, products)), tmp_path / "sales.svg")
    axes = next(one for one in drawn[0].axes if one.get_title() == title)
    assert [label.get_text() for label in axes.get_yticklabels()] == bars
