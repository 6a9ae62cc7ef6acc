"""A service that is killed, or hangs, for two seconds, in front of callers; acceptance has it for a minute."""

import os
from pathlib import Path

import pytest
from repricer.tests.acceptance.outages import outage

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals of other systems differ")


@pytest.mark.parametrize("hangs", [False, True], ids=["killed", "hangs"])
def test_every_price_comes_in_time_with_its_source(hangs: bool, one_path: Path, tmp_path: Path) -> None:
    found = outage(one_path, tmp_path / "log.db", 2.0, hangs=hangs)
    assert (found.failed, found.late, found.unnamed, found.lost, found.outside) == ([], 0, 0, 0, 0), found
    assert found.sources.keys() == {"service", "local"}
    assert found.calls == found.sources.total() > 100
