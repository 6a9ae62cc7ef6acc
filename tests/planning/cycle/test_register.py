"""The register of cycles: which one comes before."""

from dataclasses import replace

import pytest
from repricer.planning.cycle.config import CycleError
from repricer.planning.cycle.register import Entry, Register, alone


def test_of_two_cycles_for_the_same_weeks_the_later_one_comes_before(tmp_path):
    register = Register(tmp_path)
    first = Entry("2024-01-08", "2024-01-08", "a", "old", trained=True, complete=True)
    again = replace(first, folder="2024-01-08-2", fingerprint="b", settings="new")
    for entry in (replace(first, folder="2024-01-01", first_day="2024-01-01"), first, again):
        register.add(entry)
    assert register.before("2024-01-15") == again
    register.add(replace(again, folder="2024-01-08-3", complete=False))
    assert register.before("2024-01-15") == again
    assert register.before("2024-01-08").folder == "2024-01-01"
    assert register.before("2024-01-01") is None


def test_a_folder_that_no_cycle_is_known_of_is_left_alone(tmp_path):
    """A stop comes between a folder and its entry, or the register is lost."""
    (tmp_path / "2024-01-08").mkdir()
    assert Register(tmp_path).new_folder("2024-01-08") == "2024-01-08-2"


def test_a_folder_holds_the_cycles_of_one_shop(tmp_path):
    register = Register(tmp_path, "corner-shop")
    register.add(Entry("2024-01-08", "2024-01-08", "a", "old", trained=True))  # as earlier versions wrote it
    register = Register(tmp_path, "corner-shop")
    register.add(Entry("2024-01-15", "2024-01-15", "a", "old", trained=False, shop="corner-shop"))
    assert len(Register(tmp_path, "corner-shop").entries) == 2
    with pytest.raises(
        CycleError, match=r"out must be a folder of the shop's own; got .*, with the cycles of 'corner-shop'"
    ):
        Register(tmp_path, "other shop")


def test_two_cycles_are_never_at_work_in_one_folder(tmp_path):
    with (
        alone(tmp_path / "cycles"),
        pytest.raises(CycleError, match=r"out must be a folder in which no cycle is at work"),
        alone(tmp_path / "cycles"),
    ):
        pass
    with alone(tmp_path / "cycles"), alone(tmp_path / "others"):
        pass
