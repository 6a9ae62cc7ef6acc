"""What the lists of several zones gain together, and whether their gains differ by more than chance."""

import numpy as np
import pytest
from repricer.evaluation.uncertainty import ZoneGain, assess, chain_gain, heterogeneity, zone_lines

from .conftest import uncertain_shop


def test_errors_that_zones_share_do_not_cancel():
    """The draws of the response are the same in all zones of a chain: eleven of them know it no better than one does."""
    response = np.random.default_rng(1).normal(0.05, 0.02, 400)
    one = ZoneGain(100.0, tuple(response))
    shared = chain_gain([one] * 11)
    assert shared is not None
    assert shared[0] == pytest.approx(response.mean())
    alone = chain_gain([one])
    assert alone is not None
    assert shared[1:] == pytest.approx(alone[1:])
    apart = chain_gain(
        [ZoneGain(100.0, tuple(np.random.default_rng(seed).normal(0.05, 0.02, 400))) for seed in range(11)]
    )
    assert apart is not None
    assert np.ptp(apart[1:]) == pytest.approx(np.ptp(alone[1:]) / 11**0.5, rel=0.15)


def test_a_zone_without_a_change_counts_with_what_it_earns():
    found = chain_gain([ZoneGain(100.0, (0.08, 0.1)), ZoneGain(300.0, (0.0, 0.0))])
    assert found is not None
    assert found[0] == pytest.approx(0.0225)


def test_zones_that_cannot_be_added_up_are_not():
    assert chain_gain([ZoneGain(100.0, (0.1, 0.2)), None]) is None
    assert chain_gain([ZoneGain(100.0, (0.1, 0.2)), ZoneGain(100.0, (0.1, 0.2, 0.3))]) is None


def test_an_assessment_gives_its_zones_part():
    """Money of two zones of one market, added up under each draw, is that of one."""
    spec = uncertain_shop()
    found = assess(spec, [], learned=[], episodes=2)
    assert found.zone_gain is not None
    gain = found.gain(found.recommendation.policy)
    assert found.zone_gain.base == gain.base
    both = chain_gain([found.zone_gain, found.zone_gain])
    assert both is not None
    assert gain.relative is not None
    assert both[1:] == pytest.approx(gain.relative["interval90"])


def test_zones_of_one_chain_that_gain_too_differently_are_named():
    """Ten zones were promised +5.4% to +158.8%, each with `less than 1% chance of earning less`."""
    gains = {"zone-1": (0.054, 0.035, 0.073), "zone-2": (1.588, 1.33, 2.10), "zone-3": (0.81, 0.7, 0.9), "zone-4": None}
    first, *others = zone_lines(gains)
    assert first.startswith("Not yet reliable: gains from +5.4% to +158.8% in zones of one chain differ by more than")
    assert [line.split(":")[0].strip() for line in others] == ["zone-1", "zone-2", "zone-3"]
    found = heterogeneity({zone: gain for zone, gain in gains.items() if gain})
    assert found.p_value < 1e-6
    assert found.spread > 0.5
    low, high = found.intervals["zone-1"]
    assert low < 0.054 < 0.81 < high
    assert "no more than their intervals allow" in zone_lines({"a": (0.05, 0.02, 0.08), "b": (0.07, 0.04, 0.1)})[0]
    assert zone_lines({"a": (0.05, 0.02, 0.08), "b": None}) == []


def test_the_test_of_equal_zones_rejects_as_often_as_it_should():
    generator, rejected = np.random.default_rng(3), 0
    for _ in range(2000):
        mean = 0.1 + 0.02 * generator.normal(size=5)
        gains = {str(i): (m, m - 1.645 * 0.02, m + 1.645 * 0.02) for i, m in enumerate(mean)}
        rejected += heterogeneity(gains).p_value < 0.05
    assert 0.035 < rejected / 2000 < 0.065
