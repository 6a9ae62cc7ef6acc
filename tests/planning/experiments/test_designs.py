"""Designs: balance, what is read, and refusals."""

import numpy as np
import pytest
from repricer.planning.experiments.designs import DESIGNS, Design


def design(kind="both", stores=12, blocks=4, block_weeks=2, washout_days=7):
    return Design(kind, blocks, block_weeks, washout_days, np.linspace(3, 6, stores)[:, None])


@pytest.mark.parametrize("kind", DESIGNS)
def test_a_store_in_arms_as_the_design_says(kind):
    arms = design(kind).draw(np.random.default_rng(0), groups=50)
    assert arms.shape == (50, 12, 4)
    if kind == "stores":
        assert (arms == arms[..., :1]).all()
    else:
        assert (arms[..., 0::2] + arms[..., 1::2] == 1).all()
    if kind != "switchback":
        # One of each pair of stores that sell alike is in the test arm.
        assert (arms.reshape(50, 6, 2, 4).sum(axis=2) == 1).all()


@pytest.mark.parametrize("kind", DESIGNS)
def test_each_store_is_as_likely_in_either_arm(kind):
    arms = design(kind).draw(np.random.default_rng(1), groups=2000)
    assert np.abs(arms.mean(axis=0) - 0.5).max() < 0.05


def test_arms_of_stores_are_alike_in_the_past():
    random = np.random.default_rng(2)
    past = np.column_stack([np.linspace(3, 6, 12), random.normal(size=12)])
    trend = [(2 * arms[:, 0] - 1) @ past[:, 1] for arms in Design("stores", 1, 8, 7, past).draw(random, groups=400)]
    plain = [(2 * arms[:, 0] - 1) @ past[:, 1] for arms in Design("both", 2, 4, 7, past).draw(random, groups=400)]
    assert np.std(trend) < 0.6 * np.std(plain)


def test_days_after_a_change_of_price_are_not_read():
    arms = np.array([[0, 0, 1, 0], [1, 1, 0, 1]], dtype=np.int8)
    by_day, read = design(stores=2, blocks=4, block_weeks=2, washout_days=3).by_day(arms)
    assert by_day.shape == read.shape == (2, 56)
    # The first store keeps its price for two blocks.
    assert np.flatnonzero(~read[0]).tolist() == [28, 29, 30, 42, 43, 44]
    assert np.flatnonzero(~read[1]).tolist() == [0, 1, 2, 28, 29, 30, 42, 43, 44]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"kind": "geo"}, "design must be one of stores, switchback, both; got 'geo'"),
        ({"kind": "stores", "stores": 3}, "design stores needs 4 stores or more; got 3; take switchback"),
        ({"blocks": 1}, "design both needs 2 blocks or more; got 1; run it longer"),
        ({"washout_days": 14}, "a block must be longer than the washout of 14 days; got 2 weeks"),
    ],
)
def test_a_design_that_cannot_be_is_refused(given, message):
    with pytest.raises(ValueError, match=message):
        design(**given)
