"""Three shops on the command line, and a fit that takes what they found."""

import json
import threading

import pytest
from repricer.cli import main
from repricer.data import import_tables, save_tables
from repricer.fitting.refit import _forecaster as refitted
from repricer.forecasting import example_panel
from repricer.planning.market_folder import _forecaster


def run(*words: str) -> None:
    main.main(list(words), standalone_mode=False)


def test_shops_write_the_same_coefficients(tmp_path, monkeypatch):
    monkeypatch.setenv("SHOPS_KEY", "07" * 32)
    meeting = tmp_path / "meeting"
    meeting.mkdir()
    line = ("--folder", str(meeting), "--shops", "3", "--shops-key", "env:SHOPS_KEY", "--wait", "60", "--out")
    threads = []
    for n, name in enumerate(("east", "north", "west")):
        sales = example_panel(n_products=3, n_weeks=12, seed=n).rename(columns={"week": "date", "price": "price_paid"})
        path = tmp_path / f"{name}.csv"
        sales[["date", "product", "units", "price_paid", "regular_price"]].query("units > 0").to_csv(path, index=False)
        save_tables(*import_tables({"sales": path}, key=bytes(32)), tmp_path / name)
        join = ("federate", "join", str(tmp_path / name), "--name", name)
        threads.append(threading.Thread(target=run, args=(*join, *line, str(tmp_path / f"{name}.json"))))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    found = [json.loads((tmp_path / f"{name}.json").read_text()) for name in ("east", "north", "west")]
    assert found[1:] == found[:1] * 2
    assert (found[0]["shops"], found[0]["products"]) == (3, 9)
    model = _forecaster("pooled-regression", 0, tmp_path / "east.json")
    assert model is not None
    assert model.get_params()["common"].document() == found[0]["common"]
    again = refitted({"name": "pooled-regression", "common": found[0]["common"]}, 0)
    assert again.get_params()["common"].document() == found[0]["common"]
    with pytest.raises(ValueError, match="--shared needs --forecaster pooled-regression; got selected"):
        _forecaster("selected", 0, tmp_path / "east.json")
    with pytest.raises(ValueError, match=r"must be a file of `repricer federate join`"):
        _forecaster("pooled-regression", 0, tmp_path / "east.csv")
