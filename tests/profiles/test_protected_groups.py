"""Shares of protected groups: by hand, without groups that are too small, and nothing else."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from repricer.profiles import protected_shares


def customers(*groups: tuple[str, int], column: str = "age") -> pd.DataFrame:
    values = [name for name, count in groups for _ in range(count)]
    return pd.DataFrame({"customer": [f"c{n}" for n in range(len(values))], column: values})


def test_shares_by_hand():
    table = customers(("old", 60), ("young", 140))
    segment = pd.Series([0] * 50 + [1] * 150, index=table["customer"])
    found = protected_shares(table, segment, ["age"])
    assert list(found.columns) == [("age", "old"), ("age", "young")]
    np.testing.assert_allclose(found, [[1.0, 0.0], [10 / 150, 140 / 150]])


def test_small_groups_count_together_or_not_at_all_and_the_unknown_are_left_out():
    table = customers(("a", 100), ("b", 100), ("c", 30), ("d", 25), ("", 45)).replace({"age": {"": None}})
    segment = pd.Series(0, index=table["customer"])
    assert protected_shares(table, segment, ["age"]).round(4).to_dict("records") == [
        {("age", "a"): 0.3922, ("age", "b"): 0.3922, ("age", "other"): 0.2157}
    ]
    few = protected_shares(customers(("a", 100), ("b", 100), ("c", 30)), segment[:230], ["age"])
    assert few.to_dict("records") == [{("age", "a"): 0.5, ("age", "b"): 0.5}]


def test_a_segment_of_unknown_customers_has_the_shares_of_all():
    table = customers(("a", 60), ("b", 60))
    segment = pd.Series(0, index=pd.Index([*table["customer"], "stranger"]))
    segment["stranger"] = 1
    np.testing.assert_allclose(protected_shares(table, segment, ["age"]), 0.5)


@pytest.mark.parametrize(
    ("table", "words"),
    [
        (None, "got 'age'; it has none: import it as a trait"),
        (customers(("a", 60), column="income"), "got 'age'; it has income: import"),
        (customers(("a", 60), ("b", 40)), "2 to 12 groups of at least 50 customers; got 1; put its values into bands"),
        (customers(*((f"{n}", 50) for n in range(13))), "got 13; put"),
    ],
)
def test_columns_that_are_no_groups_are_refused(table, words):
    index = pd.Index([]) if table is None else pd.Index(table["customer"])
    with pytest.raises(ValueError, match=words):
        protected_shares(table, pd.Series(0, index=index), ["age"])
