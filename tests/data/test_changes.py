"""New pseudonyms and the erasure of a customer, by the commands."""

from __future__ import annotations

import json
import os
import sqlite3
from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner
from repricer.cli import main
from repricer.data import changes, load_tables, pseudonymise

SALES = "date,product,units,price_paid,customer\n2024-01-01,A,1,2,1001\n2024-01-02,A,x,2,1001\n2024-01-09,A,3,4,1002\n"
FILES = ["--sales", "sales.csv", "--customers", "customers.csv", "--behaviour", "behaviour.csv"]


@pytest.fixture(params=[False, True], ids=["plain", "encrypted"])
def shop(request, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An imported folder of two customers, one with a faulty row; its key beside it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("REPRICER_KEY", bytes(32).hex())
    Path("sales.csv").write_text(SALES, encoding="utf-8")
    Path("customers.csv").write_text("customer\n1001\n1002\n", encoding="utf-8")
    Path("behaviour.csv").write_text("date,product,event,customer\n2024-01-01,A,view,1001\n", encoding="utf-8")
    run("data", "import", *FILES, "--out", "shop", *["--encrypt"] * request.param)
    return tmp_path / "shop"


def run(*line: str, code: int = 0) -> dict:
    result = CliRunner().invoke(main, [*line, "--json"] if code == 0 else line)
    assert result.exit_code == code, result.output
    return json.loads(result.stdout) if code == 0 else {"said": result.output}


def names(shop: Path) -> list[str]:
    """The pseudonyms of 1001 and 1002 under the key beside the folder."""
    return pseudonymise(pd.Series(["1001", "1002"]), Path("shop.key").read_bytes()).tolist()


def whole(shop: Path) -> str:
    """All that a folder says."""
    kept = changes.read_kept(shop)
    return " ".join([*(t.to_csv() for t in vars(kept.tables).values() if t is not None), kept.rejects.to_csv()])


def test_rotation_with_the_files_agrees_with_an_import_under_the_new_key(shop):
    old, before = names(shop), load_tables(shop)
    found = run("data", "rotate", "shop", "--yes", *FILES)
    new, after = names(shop), load_tables(shop)
    assert (found["customers"], found["linked"]) == (2, 2)
    assert not {*old} & {*new}
    assert after.sales["customer"].tolist() == new
    assert not [name for name in old if name in whole(shop)]
    assert whole(shop).count(new[0]) == 4  # sale, customer, event, faulty row
    assert after.sales.drop(columns="customer").equals(before.sales.drop(columns="customer"))
    assert {path.name for path in shop.parent.glob("shop*")} == {"shop", "shop.key", "shop.access.log"}
    run("data", "import", *FILES, "--out", "again", "--key-file", "shop.key")
    assert load_tables(Path("again")).fingerprint() == after.fingerprint()


def test_rotation_without_files_or_old_key_cuts_the_link(shop):
    old = names(shop)
    Path("shop.key").unlink()
    found = run("data", "rotate", "shop", "--yes")
    assert (found["customers"], found["linked"]) == (2, 0)
    assert not [name for name in (*old, *names(shop)) if name in whole(shop)]
    assert load_tables(shop).sales["customer"].nunique() == 2


def test_an_interrupted_rotation_is_finished_or_done_again(shop, monkeypatch):
    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    before = whole(shop)
    with monkeypatch.context() as patch:
        patch.setattr(changes, "write_tables", killed)
        run("data", "rotate", "shop", "--yes", *FILES, code=130)
    assert whole(shop) == before
    with monkeypatch.context() as patch:  # after the tables, before the key
        patch.setattr("repricer.cli.data_privacy.write_whole", killed)
        run("data", "rotate", "shop", "--yes", *FILES, code=130)
    assert Path("shop.key.new").exists()
    run("data", "rotate", "shop", "--yes", *FILES)
    assert load_tables(shop).sales["customer"].tolist() == names(shop)
    assert not Path("shop.key.new").exists()


def test_what_still_uses_old_pseudonyms_is_named(shop):
    old = names(shop)
    kept = Path("kept")
    (kept / "segments").mkdir(parents=True)
    pd.DataFrame({"customer": old, "segment": [0, 1]}).to_parquet(kept / "segments" / "labels.parquet")
    pd.DataFrame({"customer": [old[1]]}).to_csv(kept / "labels.csv")
    (kept / "fit.json").write_text('{"segments": 2}', encoding="utf-8")
    found = run("data", "rotate", "shop", "--yes", "--kept", "kept")["still_old"]
    assert {Path(path).name: count for path, count in found.items()} == {"labels.parquet": 2, "labels.csv": 1}


def test_the_key_of_other_tables_is_refused(shop):
    Path("other.key").write_bytes(os.urandom(32))
    for line in (["rotate", "shop", *FILES], ["erase", "1001", "shop"]):
        assert "must be the key of these pseudonyms" in run("data", *line, "--key-file", "other.key", code=2)["said"]


def test_a_missing_key_is_one_line(shop):
    for line in (["rotate", "shop", *FILES], ["erase", "1001", "shop"]):
        said = run("data", *line, "--key-file", "none.key", code=2)["said"]
        assert said == "repricer: --key-file must be a file; got none.key, where there is none; check the path\n"


@pytest.mark.parametrize("by", ["id", "pseudonym"])
def test_erasure_leaves_no_row(shop, by):
    first, second = names(shop)
    found = run("data", "erase", "1001" if by == "id" else first, "shop", "--yes")
    assert found["rows"] == {"sales": 1, "customers": 1, "behaviour": 1, "rejects.csv": 1}
    assert first not in whole(shop)
    assert whole(shop).count(second) == 2
    assert "got one who is not" in run("data", "erase", "1001", "shop", "--yes", code=2)["said"]
    assert "1001" not in Path("shop.access.log").read_text(encoding="utf-8")


def test_what_rests_on_the_customer_is_named_with_what_to_do(shop):
    first, _ = names(shop)
    out = Path("shops/2024-01-15")
    for name in ("market/fit.json", "run/run.json", "bundle/manifest.json", "run/price_list.json", "report.html"):
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).write_text("{}", encoding="utf-8")
    (out / "market" / "scenario.toml").write_text('tables_sha256 = "old"', encoding="utf-8")
    run("data", "import", *FILES, "--out", str(out / "tables"), "--key-file", "shop.key")
    with sqlite3.connect("shops/decisions.db") as log:
        log.execute("create table subjects (id integer, name text)")
        log.execute("insert into subjects values (1, ?)", (first,))
    found = {one["kind"]: one for one in run("data", "erase", "1001", "shop", "--yes", "--kept", "shops")["stale"]}
    assert {*found} == {"fitted market", "run", "bundle", "report", "tables", "decision log"}
    assert found["decision log"]["what_to_do"].endswith(f"decisions.db {first} --by NAME")
    assert found["run"]["path"].endswith("2024-01-15/run")
    # What says that it was made of the tables that are left is fine.
    text = f'tables_sha256 = "{load_tables(shop).fingerprint()}"'
    (out / "market" / "scenario.toml").write_text(text, encoding="utf-8")
    again = run("data", "erase", first, "shop", "--yes", "--kept", "shops")["stale"]
    assert "fitted market" not in [one["kind"] for one in again]


def test_what_was_refreshed_keeps_the_customer_in_its_segments(shop):
    first, _ = names(shop)
    run("data", "erase", first, "shop", "--yes")
    told = {"tables_sha256": load_tables(shop).fingerprint()}
    for folder, kind, content in (
        ("bundle", "manifest.json", told),
        ("refreshed", "manifest.json", told | {"refreshed": {}}),
        ("market", "fit.json", {"refit": {}, "proof": {}}),
        ("market-refreshed", "fit.json", {"refit": {}}),
    ):
        Path("made", folder).mkdir(parents=True)
        Path("made", folder, kind).write_text(json.dumps(content), encoding="utf-8")
        Path("made", folder, "scenario.toml").write_text(str(told), encoding="utf-8")
    found = run("data", "erase", first, "shop", "--yes", "--kept", "made")["stale"]
    assert [Path(one["path"]).name for one in found] == ["market-refreshed", "refreshed"]
    assert "a refresh keeps the segments" in found[1]["what_to_do"]


@pytest.mark.parametrize("line", [["erase", "1001", "shop"], ["rotate", "shop"]])
def test_nothing_changes_without_a_yes(shop, line):
    before, key = whole(shop), Path("shop.key").read_bytes()
    refused = run("data", *line, code=2)["said"]
    assert "for ever? This must be confirmed; got no terminal to ask on; pass --yes" in refused
    assert (whole(shop), Path("shop.key").read_bytes()) == (before, key)
    assert not Path("shop.key.new").exists()


@pytest.mark.parametrize("line", [["erase", "1001", "shop"], ["rotate", "shop"]])
@pytest.mark.parametrize("broken", ["sales.parquet", "sales.parquet.enc"])
def test_what_cannot_be_read_is_refused_before_anything_changes(shop, line, broken):
    before = whole(shop)
    Path("other").mkdir()
    Path("other", broken).write_text("broken", encoding="utf-8")
    assert broken in run("data", *line, "--kept", "other", code=2)["said"]
    assert "'no' does not exist" in run("data", *line, "--kept", "no", code=2)["said"]
    assert whole(shop) == before
    assert not Path("shop.key.new").exists()
