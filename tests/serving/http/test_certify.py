"""`repricer certify` against a running service: from a shop's sales to its switches."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner, Result
from repricer.cli import main
from repricer.cli.certify import decided
from repricer.data import Tables
from repricer.data.storage import ImportReport, save_tables
from repricer.planning.experiments.rollout_service import ask, money_and_arms
from repricer.scenarios import MarketSpec, save_scenario
from repricer.serving import Bundle, DecisionLog, Predictor, example_state
from repricer.serving.http.api_keys import add_key
from repricer.serving.http.app import ServiceSettings, create_app
from repricer.serving.http.slots import ArmAssignment

from .conftest import serving

FIRST, PAST, STORES = pd.Timestamp("2025-01-06"), 224, 24
NAMES = [f"store {n}" for n in range(STORES)]
HELD = np.array([ArmAssignment(0).number(name) < 0.5 for name in NAMES])


def sales(gain: float, days: int, cost: float = 1.0) -> pd.DataFrame:
    """A line per store and day; the gain is one of profit, with the price as it was."""
    random = np.random.default_rng(0)
    day, store = (axis.ravel() for axis in np.meshgrid(range(PAST + days), range(STORES), indexing="ij"))
    units = random.gamma(400.0, 0.25, len(day)) * random.lognormal(0, 0.5, STORES)[store]
    live = day >= PAST
    arm = np.where(live, np.where(HELD[store], "fallback", "policy"), None)
    rows = {"date": FIRST + pd.to_timedelta(day, unit="D"), "store": np.array(NAMES)[store], "product": "anchovy"}
    rows |= {"units": units * np.where(arm == "policy", 1 + gain, 1.0), "price_paid": cost + 1.0, "regular_price": 2.0}
    return pd.DataFrame(rows | {"arm": arm})


def imported(folder: Path, table: pd.DataFrame) -> Path:
    save_tables(Tables(table), ImportReport({"sales": len(table)}, {"sales": len(table)}, {"sales": {}}), folder)
    return folder


def certify(*words: object) -> Result:
    return CliRunner().invoke(main, ["certify", *map(str, words)])


@pytest.fixture(scope="module")
def market(spec: MarketSpec, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_scenario(spec, tmp_path_factory.mktemp("market")).parent


def test_a_certificate_widens_the_share_and_a_loss_throws_the_kill_switch(
    market: Path, one_path: Path, tmp_path: Path
) -> None:
    good, bad = imported(tmp_path / "good", sales(0.1, 21)), imported(tmp_path / "bad", sales(-0.2, 28))
    keys = tmp_path / "keys.json"
    tokens = {role: add_key(keys, role=role, name=role) for role in ("read", "admin")}
    settings, log = ServiceSettings(keys=str(keys), holdout=0.5), tmp_path / "log.db"
    dry = certify(market, "--sales", good)
    assert (dry.exit_code, "to do: holdout 0.25" in dry.output) == (0, True), dry.output
    assert "stores with the policy" in dry.output
    assert "gain in profit +" in dry.output
    with serving(create_app(one_path, log=log, settings=settings)) as url:
        refused = certify(market, "--sales", good, "--service", url, "--token", tokens["read"])
        assert (refused.exit_code, "got 403" in refused.output) == (2, True)
        done = certify(market, "--sales", good, "--service", url, "--token", tokens["admin"])
        assert (done.exit_code, "done: holdout 0.25" in done.output) == (0, True), done.output
        now = ask(url, tokens["read"], "/v1/operation")
        assert (now["holdout"], now["kill_switch"], now["certificate"]["state"]) == (0.25, False, "certified")
        assert now["certificate"]["policy_share"] == 0.75
        assert now["certificate"]["date"] == str((FIRST + pd.Timedelta(days=PAST + 20)).date())
        again = certify(market, "--sales", good, "--service", url, "--token", tokens["admin"])
        assert "done: nothing changes" in again.output
    with serving(create_app(one_path, log=log, settings=settings)) as url:
        stopped = certify(market, "--sales", bad, "--service", url, "--token", tokens["admin"])
        assert "done: kill-switch on" in stopped.output
        now = ask(url, tokens["read"], "/v1/operation")
        assert (now["holdout"], now["kill_switch"], now["certificate"]["state"]) == (0.25, True, "stopped")
        assert now["certificate"]["policy_share"] == 0.0
        late = certify(market, "--sales", good, "--service", url, "--token", tokens["admin"])
        assert (late.exit_code, "must not be older than the last one" in late.output) == (2, True)
    rows = [(row["event"], row["by"]) for row in DecisionLog(log).events() if "position" in row]
    assert rows.count(("kill_switch", "admin")) == rows.count(("holdout", "admin")) == 1


def test_too_early_and_another_rollout(market: Path, tmp_path: Path) -> None:
    tables = imported(tmp_path / "early", sales(0.1, 21))
    since = (FIRST + pd.Timedelta(days=PAST + 15)).date()
    early = certify(market, "--sales", tables, "--since", since, "--json")
    assert (early.exit_code, '"looks": 0' in early.output) == (0, True), early.output


@pytest.mark.parametrize(
    ("change", "words", "line"),
    [
        (lambda table: table.drop(columns="store"), (), "sales must have the columns store"),
        (lambda table: table.drop(columns="arm"), (), "decisions must have the columns date, store, arm"),
        (lambda table: table.assign(arm=None), (), "got decisions of none"),
        (lambda table: table, ("--service", "shop.example"), "--service must begin with http"),
        (lambda table: table, ("--decisions", "nowhere.db"), "LOG must be a decision log"),
        (lambda table: table, ("--from-log", "log.csv"), "certify needs --from-log and --policy, or --sales; got both"),
    ],
)
def test_what_is_missing_is_named(market: Path, tmp_path: Path, change: Any, words: tuple[str, ...], line: str) -> None:
    found = certify(market, "--sales", imported(tmp_path / "shop", change(sales(0.0, 21))), *words)
    assert found.exit_code == 2
    assert line in found.output
    assert found.output.count("\n") == 1


def test_sales_that_end_before_the_decisions_and_a_service_that_is_down_are_named(spec: MarketSpec) -> None:
    day = pd.Timestamp("2025-01-01")
    table = pd.DataFrame(
        {"date": [day], "store": "a", "product": spec.products.names[0], "units": 1.0, "price_paid": 2.0}
    )
    with pytest.raises(
        ValueError, match="sales must reach up to the decisions, from 2025-02-01; got 2025-01-01 as their"
    ):
        money_and_arms(spec, table, pd.DataFrame({"date": ["2025-02-01"], "store": "a", "arm": "policy"}))
    with pytest.raises(OSError, match=r"http://127.0.0.1:9 cannot be reached \(.*refused\); check --service"):
        ask("http://127.0.0.1:9", None, "/v1/operation")


def test_arms_come_from_the_log_and_from_an_export(one: Bundle, tmp_path: Path) -> None:
    log = DecisionLog(tmp_path / "log.db")
    for name, arm in (("a", "policy"), ("b", "fallback")):
        state = example_state(one.catalogue) | {"market": name}
        log.record(Predictor(one).price(state), state, name, arm=arm)
    log.close()
    found = decided(str(tmp_path / "log.db"))
    assert found[["store", "arm"]].to_numpy().tolist() == [["a", "policy"], ["b", "fallback"]]
    found.to_csv(tmp_path / "export.csv", index=False)
    assert decided(str(tmp_path / "export.csv")).equals(found.astype(str))


def test_money_is_profit_of_priced_products_and_closed_days_are_not_zero(spec: MarketSpec) -> None:
    table = sales(0.0, 10)
    table = table[
        (table["store"] != "store 0")
        | ~table["date"].between(FIRST + pd.Timedelta(days=9), FIRST + pd.Timedelta(days=30))
    ]
    table = table[(table["store"] != "store 1") | (table["date"] != FIRST + pd.Timedelta(days=3))]
    other = table.assign(product="not priced", price_paid=1e6)
    money, held = money_and_arms(spec, pd.concat([table, other]), table)
    assert money.shape == held.shape == (PAST + 10, STORES)
    row = table.iloc[0]
    assert money.loc[row["date"], row["store"]] == pytest.approx(row["units"] * 1.0)
    assert money["store 1"].iloc[3] == 0.0
    assert money["store 0"].isna().sum() == 22 - 2 * 3
    assert held.iloc[:PAST].isna().all(axis=None)
    assert held.iloc[-1].to_dict() == dict(zip(NAMES, HELD.astype(float), strict=True))
