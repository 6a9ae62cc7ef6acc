"""Shops that charge recommended prices with an experiment around them: the calendar, and what a fit makes of it."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from repricer.benchmarks.uplift import draw_shop
from repricer.benchmarks.uplift.experiments import WEEKS, charged
from repricer.benchmarks.uplift.shop import imported, write_files
from repricer.data import load_experiments
from repricer.data.panel.charged import REGULAR_LEVEL
from repricer.fitting.demand import Priors, lasting_response
from repricer.fitting.fit_report import regular_prices
from repricer.fitting.split import held_out, regular_price, weeks_to_come
from repricer.planning.fit_lines import _experiment_lines

RATIO = np.random.default_rng(0).permuted(np.tile(np.repeat([0.9, 1.1], 6), (WEEKS, 8, 1)), axis=2)


@pytest.fixture(scope="module")
def later():
    """A chain of eight stores that charged 10% more and 10% less than planned, and its calendar."""
    shop = draw_shop("regular-and-deal", 1)
    path = 1.05 * shop.listed[shop.weeks] * (1 - shop.deals.depth[shop.weeks : shop.weeks + WEEKS])
    return charged(shop, path, RATIO)


def test_the_calendar_holds_what_the_stores_charge(later):
    shop, calendar = later
    assert len(calendar) == RATIO.size
    np.testing.assert_allclose(calendar["price"] / calendar["planned_price"], RATIO.ravel(), rtol=0.01)
    np.testing.assert_allclose(calendar["price"], shop.history.listed[shop.weeks - WEEKS : shop.weeks].ravel())


@pytest.fixture(scope="module")
def ahead(later, tmp_path_factory):
    """The split of a fit with the experiment."""
    shop, calendar = later
    folder = tmp_path_factory.mktemp("shop")
    calendar.to_csv(folder / "calendar.csv", index=False)
    tables = replace(imported(write_files(shop, folder)), experiments=load_experiments([folder]))
    return weeks_to_come(tables, held_out(tables, tables.products, 12), 4)


def test_the_price_after_an_experiment_is_the_planned_one(later, ahead):
    shop, _ = later
    found = regular_price(ahead.past).to_numpy()
    np.testing.assert_allclose(found, shop.listed[shop.weeks], rtol=0.02)
    without = regular_price(ahead.past.drop(columns=["planned_regular", REGULAR_LEVEL])).to_numpy()
    assert (np.abs(without / shop.listed[shop.weeks] - 1) > 0.02).any()


def test_a_fit_takes_the_experiment_and_says_what_it_told(ahead):
    products = ahead.products.groupby("category")["product"].apply(list)
    found = [lasting_response(ahead.past_stores, own) for own in products]
    for row in regular_prices(SimpleNamespace(names=list(products.index), lasting=found), Priors()):
        told = row["experiment"]
        assert told["cells"] > 150
        assert told["broken"] == {}
        before, after = (told[when]["relative"] for when in ("before", "after"))
        assert after[2] - after[0] < before[2] - before[0]


def test_the_lines_of_a_fit_name_the_stores_that_broke_the_calendar():
    told = {"relative": [-3.0, -2.0, -1.0], "total": [-1.0, -0.4, -0.1]}
    lines = _experiment_lines({"cells": 40, "broken": {"lyon": 3}, "before": told, "after": told})
    assert lines[0].endswith("-2.00 [-3.00, -1.00] without the experiment, -2.00 [-3.00, -1.00] with it")
    assert lines[-1].endswith(
        "40 prices by store, week and product were read; 3 were left out, as other prices were charged (lyon)"
    )
