"""Who was held out of a cycle's prices: the configuration, the decision log or the sales say it, or it is refused."""

import pandas as pd
import pytest
from repricer.planning.account import holdout_stores
from repricer.planning.cycle.config import Cycle, CycleError
from repricer.planning.cycle.stages import holdout_arms
from repricer.serving import DecisionLog

FIRST, END = pd.Timestamp("2024-01-01"), pd.Timestamp("2024-01-15")
SALES = pd.DataFrame({"date": FIRST + pd.to_timedelta([-9, 0, 6, 14], unit="D"), "store": list("abac")})


def cycle(folder, account=""):
    for name in ("sales.csv", "products.csv"):
        (folder / name).touch()
    text = f'name = "a"\n[tables]\nsales = "sales.csv"\nproducts = "products.csv"\n[account]\n{account}\n'
    (folder / "cycle.toml").write_text(text, encoding="utf-8")
    return Cycle(folder / "cycle.toml")


def stores(asked, sales=SALES):
    return holdout_stores(holdout_arms(asked, sales, FIRST, END))


def test_the_configuration_names_stores(tmp_path):
    assert holdout_arms(cycle(tmp_path), SALES, FIRST, END) is None
    asked = cycle(tmp_path, 'holdout = ["b"]')
    assert stores(asked) == ({"b"}, {"a", "c"})
    with pytest.raises(CycleError, match=r"stores that the sales name, such as a, b; got c"):
        stores(cycle(tmp_path, 'holdout = ["c"]'), SALES[:2])
    with pytest.raises(CycleError, match="such as none; got b"):
        stores(asked, SALES.assign(store=None, arm="policy"))


def test_the_sales_name_the_arm_of_these_weeks(tmp_path):
    sales = SALES.assign(arm=["policy", "fallback", "policy", "fallback"])
    assert stores(cycle(tmp_path), sales) == ({"b"}, {"a"})


def test_the_decision_log_names_the_arm_of_each_market(tmp_path, monkeypatch):
    def row(market, arm, day="2024-01-08"):
        return {"market": market, "arm": arm, "date": day, "time": "2020-01-01T00:00:00.000+00:00"}

    rows = [row("a", "fallback"), row("b", "policy"), row("c", "policy"), row("c", "fallback")]
    rows += [row("b", "fallback", "2023-12-31"), row("a", "policy", "2024-01-15")]
    rows += [row("d", "policy") | {"date": None, "time": "2024-01-14T23:00:00.000+00:00"}]
    DecisionLog(tmp_path / "log.db").close()
    monkeypatch.setattr(DecisionLog, "export", lambda _: iter(rows))
    assert stores(cycle(tmp_path, 'log = "log.db"')) == ({"a"}, {"b", "d"})


@pytest.mark.parametrize(
    ("account", "said"),
    [
        ('holdout = ["a"]\nlog = "sales.csv"', "by holdout or log; got both"),
        ('log = "none.db"', "none.db, which is no file"),
        ('holdout = "a"', "holdout must be"),
    ],
)
def test_wrong_settings_are_refused(tmp_path, account, said):
    with pytest.raises(CycleError, match=said):
        cycle(tmp_path, account)
