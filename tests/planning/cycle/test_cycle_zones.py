"""A chain with two price zones: one cycle makes a list for each, and the next one accounts for and refreshes each."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from repricer.cli import main
from repricer.planning.cycle import stages
from repricer.planning.cycle.register import Register
from repricer.serving.price_list.files import read_list
from repricer.tests.data.shop_shapes import chain

from ...cli.calls import document

CONFIG = """
name = "chain"
[tables]
sales = "sales.csv"
products = "products.csv"
[fit]
by = "zone"
forecaster = "moving-average"
weeks = 3
holdout = 4
draws = 8
[train]
steps = 1000
[evaluate]
episodes = 8
draws = 8
[account]
holdout = ["s4", "s5"]
"""


def cycle(folder):
    return document("cycle", folder / "cycle.toml")


def stop(*_):
    raise KeyboardInterrupt


@pytest.mark.usefixtures("no_pictures")
def test_a_list_per_zone(tmp_path, monkeypatch):
    (tmp_path / "cycle.toml").write_text(CONFIG, encoding="utf-8")
    tables = chain(stores=6, weeks=19, zones=0.1, alike=2)
    tables.products.to_csv(tmp_path / "products.csv", index=False)
    last = tables.sales["date"].max()
    tables.sales[tables.sales["date"] < last].to_csv(tmp_path / "sales.csv", index=False)
    first = cycle(tmp_path)
    assert first["trained"]
    assert list(first["zones"]) == ["zone-1", "zone-2"]
    assert all(part["zone_gain"] for part in first["zones"].values())
    lists = {name: read_list(Path(part["paths"]["prices.xlsx"])) for name, part in first["zones"].items()}
    assert {(name, row.zone) for name, rows in lists.items() for row in rows} == {(z, z) for z in first["zones"]}
    levels = [sum(row.current_price for row in rows) for rows in lists.values()]
    assert max(levels) / min(levels) == pytest.approx(1.1 / 0.9, rel=0.1)

    # The list is followed but in the holdout arm, which keeps prices of its own.
    listed = {
        (name, row.product_id): row.price for name, rows in lists.items() for row in rows if row.week == last.date()
    }
    zone_of = {
        store: zone for zone, stores in Register(tmp_path / "cycles").entries[-1].zones.items() for store in stores
    }
    new = tables.sales["date"] == last
    keys = zip(tables.sales["store"].map(zone_of), tables.sales["product"], strict=True)
    prices = pd.Series([listed.get(key) for key in keys], tables.sales.index, dtype=float)
    prices *= np.where(tables.sales["store"].isin(["s4", "s5"]), 1.2, 1.0)
    tables.sales.loc[new, "price_paid"] = prices[new].fillna(tables.sales["price_paid"])
    tables.sales.to_csv(tmp_path / "sales.csv", index=False)
    later = cycle(tmp_path)
    assert [found["followed"] for found in later["accounts"].values()] == [1, 1]
    week = f"{last:%Y-%m-%d}"
    assert {name: found["weeks"] for name, found in later["accounts"].items()} == {name: [week] for name in lists}
    sold = [found["rows"][0]["units"]["realised"] for found in later["accounts"].values()]
    assert sum(sold) == pytest.approx(tables.sales.loc[tables.sales["date"] == last, "units"].sum())
    assert list(later["zones"]) == list(lists)
    arms = [found["holdout"] for found in later["accounts"].values()]
    assert [(arm["held_out"], arm["others"], arm["interval90"]) for arm in arms] == [(1, 2, None)] * 2

    # A store more: its zone is unknown, so all is fitted and learned again.
    one = tables.sales[tables.sales["store"] == "s0"].assign(store="s9")
    later = pd.concat([tables.sales, one]).assign(date=lambda rows: rows["date"] + pd.Timedelta(weeks=1))
    pd.concat([tables.sales[tables.sales["date"] < later["date"].min()], later]).to_csv(
        tmp_path / "sales.csv", index=False
    )
    monkeypatch.setattr(stages, "fit_stage", stop)
    CliRunner().invoke(main, ["cycle", str(tmp_path / "cycle.toml")])
    last = Register(tmp_path / "cycles").entries[-1]
    assert last.trained
    assert sum(map(len, last.zones.values())) == 7
