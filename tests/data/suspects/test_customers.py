"""Planted pseudonyms are flagged with their reasons, honest ones are not, and leaving them out is counted."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from repricer.cli import main
from repricer.data import flagged_customers, import_tables, load_tables
from repricer.privacy.pseudonyms import pseudonymise

KEY = b"a key for tests only"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Fifty honest customers of 60 days, one of each kind of fraud, and lines without a customer."""
    rng, count, folder = np.random.default_rng(0), 2000, tmp_path_factory.mktemp("fraud")
    days = pd.date_range("2024-01-01", periods=60).strftime("%Y-%m-%d").to_numpy()
    honest = pd.DataFrame(
        {
            "date": rng.choice(days, count),
            "product": rng.choice(["milk", "wine"], count),
            "units": rng.choice([1, 2, 3], count),
            "price_paid": 2.0,
            "customer": [f"c{n}" if n < 50 else "" for n in rng.integers(0, 51, count)],
            "basket": [f"b{n}" for n in range(count)],
        }
    )
    bought = pd.DataFrame(
        [
            (days[3], "milk", 90, 2.0, "burst", "x1"),
            *((day, "wine", 6, 2.0, "back", f"y{i}") for i, day in enumerate(days[:20])),
            *((day, "wine", -6, 2.0, "back", f"z{i}") for i, day in enumerate(days[:15])),
            ("2024-01-05", "milk", 1, 2.0, "probe", "w1"),
        ],
        columns=list(honest),
    )
    looks = pd.DataFrame(
        {
            "date": [*rng.choice(days, 500), *[days[9]] * 300],
            "product": "milk",
            "event": "view",
            "customer": [*(f"c{n}" for n in rng.integers(0, 50, 500)), *["probe"] * 300],
        }
    )
    paths = {"sales": folder / "sales.csv", "behaviour": folder / "behaviour.csv"}
    pd.concat([honest, bought]).to_csv(paths["sales"], index=False)
    looks.to_csv(paths["behaviour"], index=False)
    return paths


def test_each_planted_customer_is_flagged_with_its_reason_and_no_honest_one(files: dict[str, Path]) -> None:
    _, report = import_tables(files, key=KEY)
    burst, back, probe = pseudonymise(pd.Series(["burst", "back", "probe"]), key=KEY)
    assert report.flagged.keys() == {burst, back, probe}
    assert report.flagged[burst].startswith("bought 90 units in a day (usual ")
    assert report.flagged[back] == "returned 90 units (usual 0)"
    assert report.flagged[probe].startswith("looked at prices 300 times in a day (usual ")
    assert f"  {burst}: {report.flagged[burst]}" in report.lines()


def test_the_option_leaves_them_out_and_every_row_is_still_counted(files: dict[str, Path], tmp_path: Path) -> None:
    given = [word for name, path in files.items() for word in (f"--{name}", str(path))]
    out = tmp_path / "shop"
    result = CliRunner().invoke(main, ["data", "import", *given, "--without-flagged", "--out", str(out), "--json"])
    assert result.exit_code == 0, result.output
    report, tables = json.loads(result.stdout), load_tables(out)
    assert report["dropped"]["sales"]["customer: flagged, see the report"] == 22
    assert report["dropped"]["behaviour"] == {"customer: flagged, see the report": 300}
    for name in files:
        assert report["read"][name] == report["kept"][name] + sum(report["dropped"][name].values())
        assert len(getattr(tables, name)) == report["kept"][name]
    assert not set(report["flagged"]) & set(tables.sales["customer"].dropna())
    assert tables.sales["customer"].isna().any()
    # Pseudonyms stay where erasure finds them.
    assert not any(one in (out / "import.json").read_text() for one in report["flagged"])
    checked = CliRunner().invoke(main, ["data", "check", *given])
    assert "customers flagged, who may be no customers: 3" in checked.stdout


def test_few_customers_or_none_flag_nobody() -> None:
    rows = pd.DataFrame({"date": pd.Timestamp("2024-01-01"), "customer": list("abc"), "units": [1.0, 1.0, 500.0]})
    assert flagged_customers(rows) == {}
    assert flagged_customers(rows.drop(columns="customer")) == {}
    assert flagged_customers(rows.assign(customer=None)) == {}
