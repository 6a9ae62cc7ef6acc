import numpy as np
import pytest
from repricer.pricing import ChargedRange


def test_ends_belong_to_the_range_in_single_precision_too():
    charged = ChargedRange(np.array([1.1, 2.0]), np.array([1.3, 2.0]))
    price = np.array([[1.1, 2.0], [1.3, 2.0], [1.09, 2.01]], dtype=np.float32)
    assert charged.outside(price).tolist() == [[False, False], [False, False], [True, True]]
    assert charged.words(1) == "outside what was mostly charged: 2.00 to 2.00"


@pytest.mark.parametrize(("low", "high"), [(2.0, 1.0), (-1.0, 1.0), (np.nan, 1.0), (1.0, np.inf)])
def test_a_range_that_is_none_is_refused(low, high):
    with pytest.raises(ValueError, match=r"a charged range must rise; got .* product 2; fix it"):
        ChargedRange(np.array([1.0, low]), np.array([1.0, high]))
