"""Series that alerts watch: there from the start, and true of what they say."""

from __future__ import annotations

import time
from contextlib import closing
from pathlib import Path

from repricer.serving import DecisionLog
from repricer.serving.http.canary.guards import LIMITS
from repricer.serving.http.deployment import Deployment
from repricer.serving.http.metrics import RELOADS, Metrics

_FOLLOWED = "repricer_switches_followed_timestamp_seconds"


def test_what_an_alert_counts_begins_at_zero() -> None:
    """A series that begins at its first count never rises."""
    registry = Metrics().registry
    for guard in LIMITS:
        assert registry.get_sample_value("repricer_canaries_ended_total", {"guard": guard}) == 0
    for result in RELOADS:
        assert registry.get_sample_value("repricer_reloads_total", {"result": result}) == 0


def test_it_is_known_when_the_switches_were_last_followed(one_path: Path, tmp_path: Path) -> None:
    with closing(DecisionLog(tmp_path / "log.db")) as log:
        deployment = Deployment(one_path, log=log)
        metrics = deployment.metrics
        assert time.time() - (metrics.registry.get_sample_value(_FOLLOWED) or 0) < 60
        metrics.followed.set(0)
        (tmp_path / "log.db").rename(tmp_path / "moved.db")
        deployment._follow()
        assert metrics.registry.get_sample_value(_FOLLOWED) == 0
        (tmp_path / "moved.db").rename(tmp_path / "log.db")
        deployment._follow()
        assert time.time() - (metrics.registry.get_sample_value(_FOLLOWED) or 0) < 60
