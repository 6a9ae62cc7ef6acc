"""`repricer export` says where it writes other prices than those that are recommended."""

import pytest
from repricer.cli.export import not_recommended


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (None, []),
        ({"recommended": "ppo", "words": "the learned prices"}, []),
        (
            {"recommended": "best-fixed", "words": "the best fixed prices"},
            ["note: the bundle holds the learned prices; the best fixed prices are recommended"],
        ),
        (
            {"recommended": None, "words": "your current prices"},
            ["note: the bundle holds the learned prices; no change of the current prices is recommended"],
        ),
    ],
)
def test_a_bundle_of_other_prices_than_the_recommended_ones_is_noted(found, said):
    assert not_recommended({"uncertainty": found}, "ppo") == said
