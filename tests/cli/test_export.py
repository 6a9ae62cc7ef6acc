"""`repricer export` says which prices a bundle holds, and whether they are the recommended ones."""

import pytest
from repricer.cli.export import holding_of, holds_line

BEST = {"recommended": "best-fixed+25%:historical", "holding": {"prices": "best-fixed", "toward_current": 0.25},
        "words": "the best fixed prices, moved 25% of the way back to your current prices"}  # fmt: skip
NONE = {"recommended": None, "holding": {"prices": "current", "toward_current": 0.0}, "words": "your current prices"}


@pytest.mark.parametrize(
    ("asked", "found", "said"),
    [
        (None, None, "the bundle holds the learned prices"),
        (None, BEST, f"the bundle holds {BEST['words']}, which are recommended"),
        ("recommended", BEST, f"the bundle holds {BEST['words']}, which are recommended"),
        (None, NONE, "the bundle holds your current prices: no change is recommended"),
        ("learned", BEST, f"note: the bundle holds the learned prices; recommended: {BEST['words']}"),
        ("learned", NONE, "note: the bundle holds the learned prices; recommended: no change"),
        ("current", NONE, "the bundle holds your current prices: no change is recommended"),
        ("best-fixed", None, "the bundle holds the best fixed prices"),
    ],
)
def test_what_a_bundle_holds_is_said(asked, found, said):
    judged = {"uncertainty": found}
    assert holds_line({"holds": holding_of(asked, judged).to_dict(), "evaluation": judged}) == said


def test_there_is_no_recommendation_without_a_posterior():
    with pytest.raises(ValueError, match="--policy recommended needs a market with a posterior"):
        holding_of("recommended", {"uncertainty": None})
