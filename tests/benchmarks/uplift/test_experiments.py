"""Shops that charge recommended prices with an experiment around them: calendar, fit and refit."""

from __future__ import annotations

import numpy as np
import pytest
from repricer.benchmarks.uplift import StudySettings, draw_shop
from repricer.benchmarks.uplift.experiments import WEEKS, charged, recommended
from repricer.benchmarks.uplift.shop import fitted_files, write_files
from repricer.benchmarks.uplift.study import displayed
from repricer.data import import_tables
from repricer.fitting import refit

RATIO = np.random.default_rng(0).permuted(np.tile(np.repeat([0.9, 1.1], 6), (WEEKS, 8, 1)), axis=2)


@pytest.fixture(scope="module")
def later():
    """A chain of eight stores that charged 10% more and 10% less than planned."""
    shop = draw_shop("regular-and-deal", 1, weeks=40)
    path = 1.05 * shop.listed[shop.weeks] * (1 - shop.deals.depth[shop.weeks : shop.weeks + WEEKS])
    return charged(shop, path, RATIO)


def test_the_calendar_holds_what_the_stores_charge(later):
    shop, calendar = later
    assert len(calendar) == RATIO.size
    np.testing.assert_allclose(calendar["price"] / calendar["planned_price"], RATIO.ravel(), rtol=0.01)
    np.testing.assert_allclose(calendar["price"], shop.history.listed[shop.weeks - WEEKS : shop.weeks].ravel())
    assert (shop.listed[shop.weeks] / shop.listed[shop.weeks - WEEKS - 1]).round(2).max() > 1.03


@pytest.fixture(scope="module")
def fitted(later, tmp_path_factory):
    shop, calendar = later
    folder = tmp_path_factory.mktemp("shop")
    calendar.to_csv(folder / "calendar.csv", index=False)
    files = write_files(shop, folder)
    settings = StudySettings("regular-and-deal", bounds="default")
    return shop, files, fitted_files(files, settings, seed=0, weeks=4, experiments=[folder])


def test_a_fit_takes_the_experiment_and_says_what_it_told(fitted):
    shop, files, market = fitted
    planned = shop.listed[shop.weeks]
    order = [market.spec.products.names.index(name) for name in displayed(shop)]
    # The price after the experiment is the planned one, not a mean of tests.
    np.testing.assert_allclose(np.array(market.spec.products.regular_price)[order], planned, rtol=0.02)
    for row in market.report["regular_prices"]:
        found = row["experiment"]
        assert found["cells"] > 150
        assert found["broken"] == {}
        widths = [found[when]["relative"][2] - found[when]["relative"][0] for when in ("before", "after")]
        assert widths[1] < widths[0]
    prices = recommended(market.spec, order, (0.8 * planned, 1.2 * planned))
    assert (prices.max(axis=0) <= 1.2 * planned + 1e-9).all()
    tables = import_tables(files, key=b"pseudonyms of a synthetic shop")[0]
    again = refit(tables, market.report["refit"])
    np.testing.assert_allclose(again.spec.products.regular_price, market.spec.products.regular_price)


def test_the_lines_of_a_fit_name_the_stores_that_broke_the_calendar():
    told = {"relative": [-3.0, -2.0, -1.0], "total": [-1.0, -0.4, -0.1]}
    found = {"cells": 40, "broken": {"lyon": 3}, "before": told, "after": told}
    from repricer.planning.fit_lines import _experiment_lines

    lines = _experiment_lines(found)
    assert lines[0].endswith("-2.00 [-3.00, -1.00] without the experiment, -2.00 [-3.00, -1.00] with it")
    assert lines[-1].endswith(
        "40 prices by store, week and product were read; 3 were left out, as other prices were charged (lyon)"
    )
