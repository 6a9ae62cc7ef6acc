"""Who was held out of a cycle's prices: the configuration or the sales say it, or it is refused."""

import pandas as pd
import pytest
from repricer.planning.account import holdout_stores
from repricer.planning.cycle.config import Cycle, CycleError
from repricer.planning.cycle.stages import holdout_arms

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


def test_a_wrong_setting_is_refused(tmp_path):
    with pytest.raises(CycleError, match="holdout must be"):
        cycle(tmp_path, 'holdout = "a"')
