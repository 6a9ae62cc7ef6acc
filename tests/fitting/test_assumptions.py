"""What was assumed is said in plain words."""

import pandas as pd
import pytest
from repricer.data import Tables
from repricer.fitting import Assumptions
from repricer.fitting.assumptions import cost_doubts


@pytest.mark.parametrize(
    ("widening", "said"),
    [(0.0, "Prices stay within the range that"), (0.1, "within 10% of the range that"), (None, "stay between 50% and")],
)
def test_how_far_prices_may_leave_what_was_charged(widening, said):
    words = Assumptions(price_widening=widening).lines(pd.DataFrame({"product": ["tea"], "category": ["hot"]}))
    assert any(said in line for line in words), words


@pytest.mark.parametrize(
    ("share", "said"), [(0.0, "a unit costs nothing."), (0.005, "a unit costs 0.5% of its unit cost")]
)
def test_what_holding_a_unit_costs(share, said):
    words = Assumptions(holding_cost_share=share).lines(pd.DataFrame({"product": ["tea"], "category": ["hot"]}))
    assert any(said in line for line in words), words


def test_costs_of_a_case_are_doubted_unless_the_products_bring_their_own():
    sales = pd.DataFrame({"product": ["tea", "jam"], "units": 1.0, "price_paid": 2.0, "unit_cost": [14.4, 1.2]})
    tables, products = Tables(sales), pd.DataFrame({"product": ["tea"]})
    assert "case" in cost_doubts(tables, products)[0]
    assert cost_doubts(tables, pd.DataFrame({"product": ["jam"]})) == []
    assert cost_doubts(tables, products.assign(unit_cost=1.2)) == []


def test_a_rate_of_vat_is_given_once_and_for_every_product():
    products = pd.DataFrame({"product": ["tea", "jam"], "category": "x", "vat": [0.19, 0.07]})
    assert Assumptions().vat_of(products).tolist() == [0.19, 0.07]
    assert Assumptions().vat_of(products.drop(columns="vat")).tolist() == [0.0, 0.0]
    assert Assumptions(vat=0.19).vat_of(products.drop(columns="vat")).tolist() == [0.19, 0.19]
    assert Assumptions(vat=0.19).vat_of(products.assign(vat=[0.19, None])).tolist() == [0.19, 0.19]
    with pytest.raises(
        ValueError, match=r"vat must be the same for the fit .* got 0.19 and 0.07 for 'jam'; remove one"
    ):
        Assumptions(vat=0.19).vat_of(products)
    with pytest.raises(ValueError, match=r"must be there for each product, .* got none for jam; add it"):
        Assumptions().vat_of(products.assign(vat=[0.19, None]))


def test_costs_are_held_against_prices_without_vat():
    sales = pd.DataFrame({"product": ["tea"], "units": 1.0, "price_paid": 2.0, "unit_cost": 1.9})
    products = pd.DataFrame({"product": ["tea"]})
    assert cost_doubts(Tables(sales), products) == []
    assert "above the price" in cost_doubts(Tables(sales), products, 0.19)[0]
    listed = products.assign(category="x", vat=0.19)
    assert "above the price" in cost_doubts(Tables(sales, listed), products)[0]
