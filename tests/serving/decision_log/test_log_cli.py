from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner, Result
from repricer.cli import main
from repricer.pricing import ChargedRange
from repricer.serving import Bundle, DecisionLog, Predictor, example_state
from repricer.serving.bundle.files import own_key, own_key_paths
from repricer.serving.decision_log.outcomes import ReportedOutcome
from repricer.serving.predictor import CurrentPrices


def call(*arguments: Any) -> Result:
    return CliRunner().invoke(main, ["log", *map(str, arguments)])


def said(*arguments: Any) -> Any:
    result = call(*arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@pytest.fixture
def path(one: Bundle, tmp_path: Path) -> Path:
    """Three decisions of one market and one of another; the first two are sold, the third in part."""
    path = tmp_path / "decisions.db"
    log = DecisionLog(path)
    for number, (market, period) in enumerate([("Oslo", 3), ("Rome", 0), ("Oslo", 1), ("Oslo", 2)]):
        state = example_state(one.catalogue) | {"period": period, "market": market}
        arm = "fallback" if number else "policy"
        log.record(Predictor(one).price(state), state, f"r{number}", arm=arm, propensity=0.25)
    for request in ("r0", "r1", "r3"):
        told = [ReportedOutcome(product, 2.0, request_id=request, price_paid=1.5) for product in one.catalogue.products]
        log.record_outcomes(told)
    log.record_outcomes([ReportedOutcome("cider", 0.0, request_id="r2", stockout=True)])
    log.close()
    return path


def test_verify_says_where_the_chains_end_and_what_was_changed(path: Path) -> None:
    head = said("verify", path)
    assert (head["rows"], head["outcomes"]) == (4, 10)
    for known in (head["hash"], head["outcomes_hash"]):
        assert "4 decisions in an unbroken chain" in call("verify", path, "--head", known).stdout
    lost = call("verify", path, "--head", "f" * 64)
    assert (lost.exit_code, lost.stderr.count("\n")) == (2, 1)
    assert "must still hold the row with hash fff" in lost.stderr
    with closing(sqlite3.connect(path)) as db, db:
        db.executescript("UPDATE outcomes SET number = 1 WHERE id = 4")
    changed = call("verify", path)
    assert changed.exit_code == 2
    assert "outcomes: row 4 must follow from the row before" in changed.stderr


def test_what_left_the_log_is_not_counted_as_if_it_stood(path: Path, tmp_path: Path) -> None:
    said("rotate", path, "--days", 0, "--discard", "--yes", "--by", "Ann")
    found = said("verify", path)
    assert (found["rows"], found["gone"], found["outcomes"], found["outcomes_gone"]) == (4, 4, 10, 10)
    told = call("verify", path).stdout
    for what, count in {"decisions": 4, "outcomes": 10}.items():
        assert f"0 {what} in an unbroken chain, after {count} that were archived or discarded, head" in told
    assert "0 decisions and 0 outcomes in" in call("backup", path, tmp_path / "copy.db").stdout


def test_a_market_is_erased_from_the_log_its_archives_and_its_backups(path: Path, tmp_path: Path) -> None:
    assert said("backup", path, tmp_path / "monday.db")["rows"] == 4
    facts = said("rotate", path, "--days", 0, "--out", tmp_path / "old.db", "--by", "Ann")
    assert (facts["decisions"], facts["outcomes"]) == (4, 10)
    both = call("rotate", path, "--days", 0, "--out", tmp_path / "b.db", "--discard", "--by", "Ann")
    assert (both.exit_code, "needs --out or --discard; got both" in both.stderr) == (2, True)
    unasked = call("erase", path, "Oslo", "--by", "Ann")
    assert (unasked.exit_code, "got no terminal to ask on; pass --yes" in unasked.stderr) == (2, True)
    assert "which is not there, or erased" in call("erase", path, "Rome", "--by", "Ann", "--yes").stderr
    assert said("erase", tmp_path / "old.db", "Rome", "--by", "Ann", "--yes") == {"decisions": 1}
    (group,) = said("summary", tmp_path / "old.db")["groups"][1:]
    assert (group["arm"], group["prices"]) == ("fallback", 6)
    found = said("export", tmp_path / "old.db", "--out", tmp_path / "sales.csv")
    assert (found["rows"], found["left_out"], found["erased"]) == (6, 1, 1)
    export = call("export", tmp_path / "old.db", "--out", tmp_path / "sales.csv")
    assert "1 decisions left out, because their market was erased" in export.stdout
    assert said("verify", tmp_path / "old.db")["rows"] == 4
    erased = call("erase", tmp_path / "monday.db", "Rome", "--by", "Ann", "--yes")
    assert "erase them from archives and backups by the same command" in erased.stdout
    assert said("restore", tmp_path / "monday.db", tmp_path / "new.db")["rows"] == 4
    restored = call("restore", tmp_path / "monday.db", tmp_path / "new2.db")
    assert "4 decisions and 10 outcomes" in restored.stdout
    assert [group["prices"] for group in said("summary", tmp_path / "new.db")["groups"]] == [3, 6]


def test_an_option_of_the_former_version_says_what_replaces_it(path: Path) -> None:
    result = call("summary", path, "--keys", path)
    assert (result.exit_code, "--keys is no longer there" in result.stderr) == (0, True)


def test_export_holds_whole_decisions_as_a_sales_table(path: Path, tmp_path: Path, one: Bundle) -> None:
    facts = said("export", path, "--out", tmp_path / "sales.csv")
    assert (facts["rows"], facts["episodes"], facts["left_out"]) == (9, 3, 1)
    assert "1 decisions left out" in call("export", path, "--out", tmp_path / "sales.parquet").stdout
    table = pd.read_parquet(tmp_path / "sales.parquet")
    assert len(pd.read_csv(tmp_path / "sales.csv")) == 9
    assert list(table.columns[:7]) == ["date", "product", "units", "price_paid", "regular_price", "store", "propensity"]
    assert (table["units"] == 2).all()
    assert (table["price_paid"] == 1.5).all()
    # A later period of Oslo's that does not come after its last one opens another episode.
    episodes = table.groupby(["store", "period"])["market"].first()
    assert episodes.nunique() == 3
    assert dict(zip(table["request_id"], table["arm"], strict=True)) == {
        "r0": "policy",
        "r1": "fallback",
        "r3": "fallback",
    }
    assert (table["regular_price"] == table.groupby("product")["price"].transform("median")).all()


def test_export_leaves_out_faulty_rows_and_counts_them(path: Path, tmp_path: Path, one: Bundle) -> None:
    log, state = DecisionLog(path), example_state(one.catalogue)
    faulty = [{"loyalty": [1]}, {"products": [{**item, "competitor_price": "1"} for item in state["products"]]}]
    for number, change in enumerate(faulty):
        log.record(Predictor(one).price(state), state | change, f"old{number}")
        log.record_outcomes([ReportedOutcome(name, 1.0, request_id=f"old{number}") for name in one.catalogue.products])
    log.close()
    facts = said("export", path, "--out", tmp_path / "sales.csv")
    assert (facts["rows"], facts["left_out"], facts["faulty"]) == (9, 1, 2)
    assert "2 decisions left out, because" in call("export", path, "--out", tmp_path / "sales.csv").stdout


def test_export_of_a_log_without_outcomes_is_one_line(path: Path, tmp_path: Path) -> None:
    DecisionLog(tmp_path / "new.db").close()
    result = call("export", tmp_path / "new.db", "--out", tmp_path / "sales.csv")
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
    assert "must hold decisions with outcomes" in result.stderr
    assert call("export", path, "--out", tmp_path / "sales.txt").exit_code == 2


def test_summary_counts_by_policy_and_arm(path: Path) -> None:
    own, other = said("summary", path)["groups"]
    assert (own["arm"], own["prices"], own["with_outcome"], own["units"], own["revenue"]) == ("policy", 3, 3, 6, 9)
    assert (other["arm"], other["prices"], other["with_outcome"], other["sold_out"]) == ("fallback", 9, 7, 1)
    assert 0 < own["clipped"] <= 3
    table = call("summary", path).stdout
    assert "fallback" in table
    assert "(UTC)" in table


def test_summary_counts_no_price_as_clipped_that_was_only_marked(one: Bundle, tmp_path: Path) -> None:
    outside = replace(one, charged=ChargedRange(np.full(3, 90.0), np.full(3, 99.0)))
    log, state = DecisionLog(tmp_path / "marked.db"), example_state(one.catalogue)
    answer = Predictor(outside, CurrentPrices()).price(state)
    log.record(answer, state, "marked")
    log.close()
    assert [[step.rule for step in item.trail] for item in answer.prices] == [["outside_charged"]] * 3
    (group,) = said("summary", tmp_path / "marked.db")["groups"]
    assert (group["prices"], group["clipped"]) == (3, 0)


def test_outcomes_come_from_a_csv_and_faulty_rows_are_listed(path: Path, tmp_path: Path) -> None:
    (tmp_path / "sold.csv").write_text(
        "request_id,market,period,product,units,price_paid,stockout\n"
        "r2,,,anchovy,4,1.25,false\n"
        ",Oslo,1,biscuit,3,,TRUE\n"
        "r0,,,cider,2,1.5,\n"  # known
        "r0,,,cider,9,1.5,\n"  # contradicts
        "r2,,,beer,1,,\n"
        "r2,,,anchovy,many,,\n"
    )
    found = said("outcomes", path, tmp_path / "sold.csv")
    assert (found["rows"], found["new"], found["known_before"]) == (6, 2, 1)
    reasons = {reject["row"]: reject["reason"] for reject in found["rejects"]}
    assert list(reasons) == [5, 6, 7]
    assert "must stay" in reasons[5]
    assert "got 'beer'" in reasons[6]
    assert "got 'many'" in reasons[7]
    again = call("outcomes", path, tmp_path / "sold.csv").stdout
    assert "6 rows read: 0 new, 3 known before, 3 left out" in again
    rows = {row["product"]: row for row in DecisionLog(path).export_outcomes() if row["request_id"] == "r2"}
    assert (rows["anchovy"]["units"], rows["anchovy"]["price_paid"], rows["biscuit"]["stockout"]) == (4, 1.25, True)
    # Now the third decision is whole.
    assert said("export", path, "--out", tmp_path / "sales.csv")["left_out"] == 0


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"product\tunits\n" + b"cider\t1\n" * 9, "must have known columns; got 'product\\tunits'"),
        (b"product,pieces\ncider,1\n", "must have known columns; got 'pieces'"),
        (b"product\ncider\n", "must have the columns product, units; got no units; add it"),
        (b"", "got no product; add it"),
        ("product,units\nÖl,1\n".encode("cp1252"), "must be a CSV file in UTF-8"),
    ],
)
def test_a_file_without_outcomes_is_one_line(content: bytes, words: str, path: Path, tmp_path: Path) -> None:
    (tmp_path / "sold.csv").write_bytes(content)
    result = call("outcomes", path, tmp_path / "sold.csv")
    assert (result.exit_code, result.stdout) == (2, "")
    assert words in result.stderr
    assert str(tmp_path / "sold.csv") in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_missing_file_of_outcomes_is_one_line(path: Path, tmp_path: Path) -> None:
    for place in (tmp_path / "none.csv", tmp_path):
        missing = call("outcomes", path, place)
        assert missing.exit_code == 2
        assert missing.stderr == f"repricer: FILE must be a file; got {place}, where there is none; check the path\n"


def test_no_log_is_made_by_reading(tmp_path: Path) -> None:
    result = call("verify", tmp_path / "nothing.db")
    assert (result.exit_code, list(tmp_path.iterdir())) == (2, [])
    assert "which is no file" in result.stderr


@pytest.mark.parametrize(("library", "extra", "place"), [("psycopg", "postgres", "postgresql://h/d")])
def test_the_extra_that_lacks_is_named(monkeypatch: pytest.MonkeyPatch, library: str, extra: str, place: str) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    result = call("verify", place)
    assert result.exit_code == 1
    assert f"pip install 'repricer[{extra}]'" in result.stderr


def test_a_bundle_is_read_without_the_database_library() -> None:
    script = "import sys; sys.modules['sqlalchemy'] = None; from repricer.serving import load_bundle, ChainError"
    subprocess.run([sys.executable, "-c", script], check=True)


def test_discarding_asks_and_says_how_many(path: Path) -> None:
    given = ("rotate", path, "--days", "0", "--discard", "--by", "Ann")
    asked = call(*given)
    assert (asked.exit_code, "got no terminal to ask on; pass --yes" in asked.stderr) == (2, True)
    assert "Delete 4 decisions from" in asked.stderr
    assert DecisionLog(path).verify().gone == 0
    assert said(*given, "--yes")["decisions"] == 4


def test_signed_heads_name_the_chain_that_was_cut(path: Path, tmp_path: Path) -> None:
    own_key(tmp_path / "auditor")
    key, public = own_key_paths(tmp_path / "auditor")
    statement = tmp_path / "heads.json"
    said("heads", path, "--key", key, "--out", statement)
    checked = ("verify", path, "--head", statement, "--public-key", public)
    assert call(*checked).exit_code == 0
    cuts = {
        "decisions": ["DELETE FROM decisions WHERE id > 3", "DELETE FROM outcomes"],
        "outcomes": ["DELETE FROM outcomes"],
    }
    for table, statements in cuts.items():
        copy = tmp_path / f"cut-{table}.db"
        said("backup", path, copy)
        with closing(sqlite3.connect(copy)) as connection, connection:
            for each in statements:
                connection.execute(each)
        found = call("verify", copy, *checked[2:])
        assert found.exit_code == 2
        assert ("decisions: the log must still hold" in found.stderr) == (table == "decisions"), found.stderr
        assert "outcomes: the log must still hold its row" in found.stderr, found.stderr
    new = tmp_path / "replaced.db"
    DecisionLog(new).close()
    assert "decisions: the log must still hold its row 4" in call("verify", new, *checked[2:]).stderr


def test_heads_that_were_not_signed_so_are_refused(path: Path, tmp_path: Path) -> None:
    for name in ("auditor", "mallory"):
        own_key(tmp_path / name)
    key, public = own_key_paths(tmp_path / "auditor")
    statement = tmp_path / "heads.json"
    facts = said("heads", path, "--key", key, "--out", statement)
    others = own_key_paths(tmp_path / "mallory")[1]
    assert "got another signer" in call("verify", path, "--head", statement, "--public-key", others).stderr
    facts["heads"]["rows"] = 1
    statement.write_text(json.dumps(facts))
    for more in ((), ("--public-key", public)):
        found = call("verify", path, "--head", statement, *more)
        assert (found.exit_code, found.stderr.count("\n")) == (2, 1), found.output
        assert "must be as it was signed" in found.stderr
    statement.write_text(json.dumps(said("verify", path)))
    assert "got none signed" in call("verify", path, "--head", statement, "--public-key", public).stderr
    assert "--public-key needs a statement" in call("verify", path, "--public-key", public).stderr
