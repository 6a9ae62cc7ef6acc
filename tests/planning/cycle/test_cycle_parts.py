"""A catalogue that is too large for one market: a cycle makes a bundle and a list for each part of it, every week."""

from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner
from repricer.benchmarks.uplift import draw_shop
from repricer.benchmarks.uplift.shop import write_files
from repricer.cli import main
from repricer.planning.cycle import stages
from repricer.serving import load_bundle
from repricer.serving.price_list.files import read_list

from ...cli.calls import document, run

CONFIG = """
name = "warehouse"
[tables]
sales = "sales.csv"
products = "products.csv"
[fit]
at_once = 6
forecaster = "moving-average"
weeks = 2
holdout = 4
draws = 8
[train]
steps = 1000
[evaluate]
episodes = 8
draws = 8
"""


def config_of(paths) -> str:
    sales, products = (Path(paths[name]).name for name in ("sales", "products"))
    return CONFIG.replace("sales.csv", sales).replace("products.csv", products)


def stop(*_):
    raise KeyboardInterrupt


@pytest.mark.long
@pytest.mark.usefixtures("no_pictures")
def test_a_list_per_part(tmp_path, monkeypatch):
    paths = write_files(draw_shop("clean", 41_003, weeks=40), tmp_path)
    sales = pd.read_csv(paths["sales"], dtype={"product": str})
    last = pd.to_datetime(sales["date"]).max()
    config = tmp_path / "cycle.toml"
    plain = config_of(paths)
    sales[pd.to_datetime(sales["date"]) < last].to_csv(paths["sales"], index=False)

    # Refused before anything is fitted.
    config.write_text(plain.replace("[train]", '[train]\nrisk = "cvar:0.1"'), encoding="utf-8")
    refused = CliRunner().invoke(main, ["cycle", str(config)])
    assert "risk must be mean for a catalogue in 2 parts" in refused.output
    config.write_text(plain, encoding="utf-8")

    # Stopped in the second part: the first is not fitted again.
    fit_stage, seen = stages.fit_stage, []

    def first_part_only(cycle, place):
        seen.append(place.part)
        return fit_stage(cycle, place) if place.part == "part-1" else stop()

    with monkeypatch.context() as patch:
        patch.setattr(stages, "fit_stage", first_part_only)
        assert CliRunner().invoke(main, ["cycle", str(config)]).exit_code == 130
    assert seen == ["part-1", "part-2"]
    first = document("cycle", config)
    assert first["trained"]
    assert list(first["parts"]) == ["part-1", "part-2"]
    lists = {name: read_list(Path(part["paths"]["prices.xlsx"])) for name, part in first["parts"].items()}
    products = {name: {row.product_id for row in rows} for name, rows in lists.items()}
    assert set.union(*products.values()) == set(sales["product"])
    assert not products["part-1"] & products["part-2"]

    # One policy for both; its list in a part is that of `repricer prices`, and each bundle prices its own products.
    home = next((tmp_path / "cycles").glob("20*"))
    assert not list(home.glob("part-*/run"))
    out = tmp_path / "again.csv"
    run("prices", home / "part-2" / "market", "--policy", home / "run", "--out", out)
    assert out.read_bytes() == (home / "part-2" / "prices.csv").read_bytes()
    for name, part in first["parts"].items():
        assert b"not priced" not in (home / name / "stages.json").read_bytes()
        assert set(load_bundle(part["paths"]["bundle"]).catalogue.products) == {row.product for row in lists[name]}

    sales.to_csv(paths["sales"], index=False)
    later = document("cycle", config)
    assert later["trained"] == bool(first["train_again"])
    assert list(later["parts"]) == list(first["parts"])
    sold = sum(account["rows"][0]["units"]["realised"] for account in later["accounts"].values())
    assert sold == pytest.approx(sales.loc[pd.to_datetime(sales["date"]) == last, "units"].sum())
