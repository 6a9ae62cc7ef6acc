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


def test_costs_of_a_case_are_doubted_unless_the_products_bring_their_own():
    sales = pd.DataFrame({"product": ["tea", "jam"], "units": 1.0, "price_paid": 2.0, "unit_cost": [14.4, 1.2]})
    tables, products = Tables(sales), pd.DataFrame({"product": ["tea"]})
    assert "case" in cost_doubts(tables, products)[0]
    assert cost_doubts(tables, pd.DataFrame({"product": ["jam"]})) == []
    assert cost_doubts(tables, products.assign(unit_cost=1.2)) == []
