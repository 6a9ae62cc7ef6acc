"""A cycle by day: a price list of days, and newer tables refresh it."""

from pathlib import Path

import pandas as pd
import pytest
from repricer.serving.price_list.files import read_list
from repricer.tests.fitting.days import FIRST_DAY, daily_shop

from ...cli.calls import document

CONFIG = """
name = "corner-shop"
[tables]
sales = "sales.csv"
products = "products.csv"
[fit]
period = "day"
forecaster = "pooled-regression"
weeks = 2
draws = 8
[train]
steps = 1000
[evaluate]
episodes = 8
draws = 8
"""


@pytest.mark.long
@pytest.mark.usefixtures("no_pictures")
def test_days_in_a_row(tmp_path):
    tables, config = daily_shop(14), tmp_path / "cycle.toml"
    config.write_text(CONFIG, encoding="utf-8")
    tables.products.to_csv(tmp_path / "products.csv", index=False)
    for days, first_day in ((91, "2024-04-01"), (94, "2024-04-04")):
        early = tables.sales["date"] < FIRST_DAY + pd.Timedelta(days=days)
        tables.sales[early].to_csv(tmp_path / "sales.csv", index=False)
        done = document("cycle", str(config))
        assert done["first_day"] == first_day
        assert document("cycle", str(config), "--dry-run")["would"] == "nothing"
        rows = read_list(Path(done["paths"]["prices.csv"]))
        assert len(rows) == 6 * 14
        # Two products keep their prices, as these hardly moved.
        kept = {row.product for row in rows if row.reason == "Stays as planned: its price hardly moves."}
        assert len(kept) == 2
        assert all(row.new_price == row.current_price for row in rows if row.product in kept)
        assert {(row.week - FIRST_DAY.date()).days for row in rows} == set(range(days, days + 14))
    assert not done["trained"]
    assert (done["account"]["unit"], done["account"]["weeks"]) == ("days", ["2024-04-01", "2024-04-02", "2024-04-03"])
    assert done["account"]["wape_one_week_ahead"] < 0.4

    config.write_text(CONFIG.replace('period = "day"', 'period = "day"\nby = "zone"'), encoding="utf-8")
    assert "price zones must be fitted by week" in document("cycle", str(config), code=2)
