"""`repricer fit` says what the likelihood could not use, or did not settle on."""

from repricer.cli._fit_lines import _estimation_lines


def report(costs_used, converged):
    return {"costs_used": costs_used, "category_response": [{"category": "tea", "converged": converged}]}


def test_all_well_is_not_worth_a_line():
    assert _estimation_lines(report(None, True)) == []
    assert _estimation_lines(report(True, True)) == []


def test_weak_costs_and_unsettled_categories_are_said():
    weak, unsettled = _estimation_lines(report(False, False))
    assert "not used as an instrument" in weak
    assert "did not settle in tea" in unsettled
