"""How likely the candidate models are, by what each is judged on."""

import numpy as np
import pytest
from repricer.fitting.demand.candidate_models import CandidateModel
from repricer.fitting.demand.problem import model_chances

MODELS = [
    CandidateModel("one", 0.15, None),
    CandidateModel("one, otherwise", 0.05, None),
    CandidateModel("two", 0.4, None, deals=5),
    CandidateModel("two, with a longer memory", 0.4, None, deals=5),
]


def chances(weekly, of_regular, *, known=True):
    return model_chances(MODELS, np.array(weekly, float), np.array(of_regular, float), known=known)


def test_one_answer_or_two_is_judged_by_what_is_known_of_regular_prices_however_well_one_fits_the_deals():
    """Their own response fits what stores tell e^8 times as badly, and the weekly sales e^200 times as well."""
    found = chances([200, 190, 0, 3], [-9, -9, -1, -1])
    assert found[:2].sum() < 1e-3
    # Among those with two answers, the weekly sales decide.
    assert found[3] / found[2] == pytest.approx(np.exp(3))
    assert found.sum() == pytest.approx(1)
    fits = chances([0, 0, 200, 200], [-1, -1, -9, -9])
    assert fits[:2].sum() > 0.99


def test_where_both_answer_regular_prices_alike_their_prior_stands():
    found = chances([200, 190, 0, 0], [-1, -1, -1, -1])
    assert found[:2].sum() == pytest.approx(0.2)
    assert found[0] > 0.99 * found[:2].sum(), "the weekly sales choose between models of one answer"


def test_where_nothing_is_known_of_regular_prices_the_weekly_sales_decide():
    assert chances([200, 0, 0, 0], [0, 0, 0, 0], known=False)[0] > 0.99
