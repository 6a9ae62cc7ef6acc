"""The budget on the command line: set, shown, and refused in one line where there is nothing to protect."""

import json

import pytest
from repricer.cli import main
from repricer.planning.cycle.config import Cycle, CycleError
from repricer.planning.cycle.register import CYCLES
from repricer.planning.market_folder import privacy_of
from repricer.privacy.ledger import PrivacyLedger, Query


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


def test_all_cycles_of_a_shop_have_one_budget(tmp_path, capsys):
    for name in ("sales.csv", "products.csv"):
        (tmp_path / name).touch()
    config = tmp_path / "cycle.toml"
    tables = '[tables]\nsales = "sales.csv"\nproducts = "products.csv"\n'
    text = f'name = "shop"\nout = "made"\n{tables}[fit]\nepsilon = 1\nepsilon_shares = {{network = 0.1}}\n'
    config.write_text(text, encoding="utf-8")
    cycle = Cycle(config)
    privacy = privacy_of(cycle.budget, cycle.config.fit.epsilon, cycle.config.fit.epsilon_shares or {}, zones=2)
    assert privacy is not None
    assert privacy.epsilon == 0.5
    made = tmp_path / "made"
    made.mkdir()
    (made / CYCLES).write_text("[]", encoding="utf-8")
    assert run(capsys, str(made), "--epsilon", "2")[0] == 0
    privacy.pay(customers=True, network=True)
    assert PrivacyLedger(made).left().epsilon == pytest.approx(1.5)
    config.write_text(text.replace("network = 0.1", "tree = 0.1"), encoding="utf-8")
    with pytest.raises(CycleError, match="must have known keys; got 'tree'; known are counts, figures, units, network"):
        Cycle(config)


def test_shares_without_an_epsilon_are_refused(tmp_path):
    with pytest.raises(ValueError, match="need an epsilon; got units alone"):
        privacy_of(tmp_path, None, {"units": 1.0})
