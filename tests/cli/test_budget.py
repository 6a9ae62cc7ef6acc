"""The budget on the command line: set, shown, and refused in one line where there is nothing to protect."""

import json

import pytest
from repricer.cli import main
from repricer.profiles import PrivacyLedger, Query


def run(capsys, *words: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main(["data", "budget", *words])
    out, err = capsys.readouterr()
    return ended.value.code, out, err


def test_a_budget_is_set_and_shown_with_what_was_spent(tmp_path, capsys):
    (tmp_path / "sales.parquet").touch()
    shop = str(tmp_path)
    code, out, _ = run(capsys, shop, "--epsilon", "2", "--json")
    assert code == 0
    assert json.loads(out)["limit"] == {"epsilon": 2.0, "delta": 1e-5}
    PrivacyLedger(tmp_path).spend([Query("sizes", 0.5)])
    code, out, _ = run(capsys, shop)
    assert code == 0
    assert "left: epsilon 1.5 of 2" in out
    assert "sizes" in out


def test_folders_without_tables_or_budget_are_refused(tmp_path, capsys):
    code, _, error = run(capsys, str(tmp_path), "--epsilon", "1")
    assert (code, error.count("\n")) == (2, 1)
    assert "DATASET must hold imported tables" in error
    (tmp_path / "sales.parquet").touch()
    for words, said in (
        ((), "must be set before it is spent"),
        (("--delta", "0.1"), "--delta must come with --epsilon"),
    ):
        code, _, error = run(capsys, str(tmp_path), *words)
        assert code == 2
        assert said in error
