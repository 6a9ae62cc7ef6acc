"""What was assumed is said in plain words."""

import pandas as pd
import pytest
from repricer.fitting import Assumptions


@pytest.mark.parametrize(
    ("widening", "said"),
    [(0.0, "Prices stay within the range that"), (0.1, "within 10% of the range that"), (None, "stay between 50% and")],
)
def test_how_far_prices_may_leave_what_was_charged(widening, said):
    words = Assumptions(price_widening=widening).lines(pd.DataFrame({"product": ["tea"], "category": ["hot"]}))
    assert any(said in line for line in words), words
