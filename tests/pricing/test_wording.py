from repricer.pricing import wording
from repricer.pricing.features import (
    FIXED_FEATURES,
    MARKET_FEATURES,
    MOVING_FEATURES,
    SEGMENT_FEATURES,
    UNCERTAINTY_FEATURES,
)


def test_every_feature_has_words():
    named = {*MOVING_FEATURES, *MARKET_FEATURES, *FIXED_FEATURES, *SEGMENT_FEATURES, *UNCERTAINTY_FEATURES}
    assert [name for name in named if wording.feature_words(name).startswith(name.split("_")[0] + " ")] == []


def test_the_words_of_a_delivery_say_when():
    words = "the stock on hand and due within so many periods against the period's forecast (2)"
    assert wording.feature_words("log_cover[2]") == words
