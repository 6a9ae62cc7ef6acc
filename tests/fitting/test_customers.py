"""No figure of fewer than the least number of customers leaves the fit."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from repricer.fitting.customers import Customers, _response
from repricer.forecasting import example_panel, segment_response
from repricer.profiles import LEAST_CUSTOMERS, Popularity, segment_affinity


def bought(buyers: int) -> tuple[SimpleNamespace, pd.Series]:
    """Two segments of 60 customers, of the second of which only some ever buy what is priced."""
    panel = example_panel(elasticity=-2.0)
    lines = pd.concat([panel] * 4).rename(columns={"week": "date"})
    at = np.arange(len(lines))
    customer = np.where(at % 2 == 0, at // 2 % 60, 60 + at // 2 % buyers)
    sales = lines.assign(customer=[f"c{number}" for number in customer])
    labels = pd.Series(np.repeat([0, 1], 60), index=[f"c{number}" for number in range(120)])
    return SimpleNamespace(sales=sales, past=panel), labels


def test_too_few_buyers_have_the_elasticity_of_all():
    split, labels = bought(LEAST_CUSTOMERS - 1)
    alone = segment_response(split.sales, labels, split.past).set_index("segment")
    together = segment_response(split.sales, labels * 0, split.past).iloc[0]
    found = _response(split, labels)
    assert found.loc[1, "elasticity"] == together["elasticity"] != alone.loc[1, "elasticity"]
    assert found.loc[1, "se"] == together["se"]
    assert found.loc[0, "elasticity"] == alone.loc[0, "elasticity"]


def test_enough_buyers_have_their_own():
    split, labels = bought(LEAST_CUSTOMERS)
    alone = segment_response(split.sales, labels, split.past).set_index("segment")
    assert _response(split, labels)["elasticity"].equals(alone["elasticity"])


def test_smaller_segments_do_not_leave():
    def customers(size: int) -> Customers:
        return Customers(("a",), -np.ones(1), np.ones((1, 2)), None, None, {"segments": [{"customers": size}]})

    assert customers(LEAST_CUSTOMERS).names == ("a",)
    with pytest.raises(ValueError, match="at least 50 customers to leave the house; got one of 49"):
        customers(LEAST_CUSTOMERS - 1)
    sales = pd.DataFrame({"customer": [f"c{n}" for n in range(99)], "product": "tea"})
    labels = pd.Series(np.repeat([0, 1], [50, 49]), index=sales["customer"])
    with pytest.raises(ValueError, match="got one of 49"):
        segment_affinity(Popularity().fit(sales), labels, ["tea"])
