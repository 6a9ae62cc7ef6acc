"""One epsilon for a whole fit: paid in full before anything is asked, split as asked, and stated."""

import click
import pytest
from repricer.cli.fit import command
from repricer.privacy import PrivacyError
from repricer.privacy.budget import RELEASES, SHARES, Privacy
from repricer.privacy.ledger import PrivacyLedger


@pytest.fixture
def ledger(tmp_path):
    made = PrivacyLedger(tmp_path / "shop")
    made.set_limit(2.5)
    return made


def test_a_fit_with_a_network_pays_its_epsilon_and_without_one_less(ledger):
    Privacy(1.0, ledger).pay(customers=True, network=True)
    assert [row["query"] for row in ledger.document()["spent"]] == list(RELEASES.values())
    assert ledger.left().epsilon == pytest.approx(1.5)
    Privacy(1.0, ledger).pay(customers=True, network=False)
    assert ledger.left().epsilon == pytest.approx(0.5 + SHARES["network"])
    with pytest.raises(PrivacyError, match=r"0.85 and delta 1e-05 are left; got a request for 1 and"):
        Privacy(1.0, ledger).pay(customers=True, network=True)
    assert ledger.left().epsilon == pytest.approx(0.5 + SHARES["network"])


def test_shares_are_proportions_and_none_is_needed_for_what_is_not_released(ledger):
    privacy = Privacy(1.0, ledger, {"network": 0.0, "counts": 1.0, "figures": 1.0, "units": 2.0})
    assert [privacy.query(name).epsilon for name in ("counts", "figures", "units")] == [0.25, 0.25, 0.5]
    privacy.pay(customers=True, network=False)
    with pytest.raises(ValueError, match="share of network must be above 0"):
        privacy.pay(customers=True, network=True)
    assert ledger.left().epsilon == pytest.approx(1.5)


def test_at_epsilon_1_nobody_can_tell_who_was_in_the_data(ledger):
    """The bound is for all of a customer's releases together, and the more epsilon the higher."""
    trained = {"noise_multiplier": Privacy(1.0, ledger).noise("network") * 30**0.5, "steps": 30}
    told = Privacy(1.0, ledger).report(customers=True, network=True, trained=trained)
    assert told["epsilon"] == pytest.approx(1.0)
    assert all(0.01 < bound < 0.02 for bound in told["most_advantage"].values())
    more = Privacy(4.0, ledger).report(customers=True, network=False, trained=None)
    assert more["most_advantage"]["customer"] > 3 * told["most_advantage"]["customer"]
    assert set(more["most_advantage"]) == {"customer"}


def test_what_cannot_be_protected_or_paid_is_refused_unpaid(ledger):
    for privacy, named, message in (
        (Privacy(-1.0, ledger), True, "epsilon must be a number above 0; got -1"),
        (Privacy(1.0, ledger, {"tree": 0.1}), True, "got tree; write, for example, network=0.1"),
        (Privacy(1.0, ledger, {"units": -0.1}), True, "shares of epsilon must be numbers from 0 on"),
        (Privacy(1.0, ledger), False, "got sales that name no customer, and a forecaster without network"),
    ):
        with pytest.raises(ValueError, match=message):
            privacy.pay(customers=named, network=False)
    assert ledger.left().epsilon == 2.5


def test_the_option_knows_every_release():
    (option,) = (one for one in command.params if one.name == "epsilon_shares")
    assert isinstance(option.type, click.Tuple)
    assert list(option.type.types[0].choices) == list(SHARES)
