"""Shops of other shapes than the demo's are fitted: a grocer with a short past and a long tail, a chain of 83 stores."""

import numpy as np
import pandas as pd
import pytest
from repricer.data import Tables, choose_products
from repricer.fitting import fit
from repricer.forecasting import MovingAverage
from repricer.tests.data.shop_shapes import baskets, chain

ELASTICITY = -2.5
"""How the customers of both shops answer to deals; a logit that is as strong at these is stronger at regular prices."""


def fitted(tables: Tables, categories: int):
    chosen = choose_products(tables, n_categories=categories)
    return fit(tables, chosen, name="shop", forecaster=MovingAverage(), draws=50)


def category_elasticities(report) -> np.ndarray:
    return np.array([row["elasticity"] for row in report["category_response"]])


def test_a_grocer_with_17_weeks_of_baskets_and_24000_products():
    lines = baskets(products=24_000, lines=100_000)
    price = lines["amount"] / lines["units"]
    sales = lines.assign(date=pd.to_datetime(lines["date"]), price_paid=price, regular_price=price)
    ids = [f"item{n}" for n in range(24_000)]
    listed = pd.DataFrame({"product": ids, "category": [f"aisle {n % 20}" for n in range(24_000)]})
    spec, report, proof = fitted(Tables(sales.drop(columns="amount").sort_values("date"), listed), 1)
    assert (spec.market.horizon_periods, proof.market.horizon_periods) == (12, 4)
    assert len(spec.products.names) + sum(report["not_priced"].values()) == lines["product"].nunique() > 3000
    seldom = ("they do not sell nearly every week", "they are too new", "they are no longer sold")
    assert sum(report["not_priced"][why] for why in seldom) > 2500
    assert category_elasticities(report) == pytest.approx(ELASTICITY, abs=1.2)


def test_a_chain_of_83_stores_with_one_price_and_closed_weeks_of_their_own():
    tables = chain(zones=0.0, closed=0.1)
    spec, report, _ = fitted(tables, 2)
    assert len(spec.products.names) == 4
    assert report["not_priced"] == {}
    assert category_elasticities(report) == pytest.approx(ELASTICITY, abs=0.6)


def test_a_product_alone_in_its_category_and_in_its_shop():
    """Its customers choose between it and leaving."""
    tables = chain(stores=2, zones=0.0, products=1, weeks=60)
    spec, report, _ = fitted(tables, 1)
    assert spec.products.names == ("p0",)
    assert category_elasticities(report) == pytest.approx(ELASTICITY, abs=1.2)
