"""The register of cycles: which one comes before."""

from dataclasses import replace

from repricer.cli.cycle.register import Entry, Register


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
