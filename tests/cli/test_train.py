"""What `repricer train` says before it trains, and while it does."""

import pytest
from repricer.cli import main
from repricer.scenarios import load_scenario, save_scenario


def test_a_market_without_sales_is_trained_to_the_end(capsys, tmp_path):
    """The progress has no gain in percent over best fixed prices that earn nothing."""
    save_scenario(load_scenario("stationary-logit").with_changes(arrivals={"rate": 0.0}), tmp_path / "shut")
    with pytest.raises(SystemExit) as ended:
        main(["train", str(tmp_path / "shut"), "--steps", "500", "--out", str(tmp_path / "run")])
    assert not ended.value.code
    assert "best fixed price 0." in capsys.readouterr().out


def test_training_with_other_shops_is_refused(capsys, tmp_path):
    words, said = (
        ("--shops", "meeting"),
        "--shops is no longer there; shops fit demand together with `repricer federate`",
    )
    with pytest.raises(SystemExit) as ended:
        main(["train", "stationary-logit", "--steps", "100", "--out", str(tmp_path / "run"), *words])
    assert ended.value.code == 2
    assert said in capsys.readouterr().err
