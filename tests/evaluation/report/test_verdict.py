from __future__ import annotations

from dataclasses import replace

import pytest
from repricer.evaluation import Comparison, Estimate
from repricer.evaluation.report import verdict


def with_gap(comparison: Comparison, policy: str, low: float, high: float, **changes) -> Comparison:
    """The comparison with another paired difference, in percent of the best fixed prices."""
    scale = comparison.row("best-fixed").objective.mean / 100
    gap = Estimate((low + high) / 2 * scale, low * scale, high * scale)
    rows = [replace(row, vs_best_fixed=gap, **changes) if row.policy == policy else row for row in comparison.rows]
    return replace(comparison, rows=rows)


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [
        (1.6, 2.6, "earn 2.1% more profit than the best fixed prices (95% interval 1.6% to 2.6%)."),
        (-0.3, 0.5, "do not clearly differ from the best fixed prices: the difference in profit is 0.1% (95% interval "
         "-0.3% to 0.5%); keep the fixed prices."),
        (-1.6, -0.8, "earn 1.2% less profit than the best fixed prices (95% interval 0.8% to 1.6%); keep the fixed"),
        (0.003, 0.005, "earn 0.004% more profit than the best fixed prices (95% interval 0.003% to 0.005%)."),
    ],
)  # fmt: skip
def test_the_verdict_follows_the_interval(comparison, run, low, high, said):
    name = run.policy.name
    assert verdict(with_gap(comparison, name, low, high), name).startswith(f"The learned prices {said}")


def test_the_verdict_speaks_of_the_optimum_and_of_history(comparison, run, bare):
    assert "They reach 100.0% of the exact optimum." in verdict(bare.comparison, "optimum")
    told = verdict(with_gap(comparison, "historical", -9.0, -7.0), run.policy.name)
    assert "The current prices earn 8.0% less profit than the best fixed prices" in told
    assert verdict(comparison, None).startswith("No learned policy was evaluated; the best fixed prices earn ")


def test_the_verdict_flags_a_constant(comparison, run):
    name = run.policy.name
    said = verdict(with_gap(comparison, name, 1, 2, price_changes=0.0), name)
    assert "They are effectively constant: no list price ever changes, only personal discounts do." in said
    said = verdict(with_gap(comparison, name, 1, 2, price_changes=1.0, at_bound_share=0.995), name)
    assert "They are effectively constant: 99.5% of the prices are at a bound" in said
    assert "constant" not in verdict(with_gap(comparison, name, 1, 2, price_changes=1.0, at_bound_share=0.1), name)


def test_losses_are_compared_in_money(comparison, run):
    rows = [replace(row, objective=Estimate(-50.0, -60.0, -40.0)) for row in comparison.rows]
    rows = [replace(row, vs_best_fixed=Estimate(3.0, 2.0, 4.0)) for row in rows]
    assert "earn 3.0 USD more profit" in verdict(replace(comparison, rows=rows), run.policy.name)
