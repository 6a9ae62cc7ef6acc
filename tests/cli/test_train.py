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


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--shops", "meeting"), "got none of --shops-number, --shop-name, --shops-key; add them"),
        (
            ("--shops", "10.0.0.5:8790", "--shops-number", "3", "--shop-name", "a", "--shops-key", "env:SHOPS_KEY"),
            "shops must meet in a folder that all reach; got 10.0.0.5:8790, which is none; make it",
        ),
    ],
)
def test_a_training_with_other_shops_needs_all_that_finds_them(words, said, monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("SHOPS_KEY", "07" * 32)
    with pytest.raises(SystemExit) as ended:
        main(["train", "stationary-logit", "--steps", "100", "--out", str(tmp_path / "run"), *words])
    assert ended.value.code == 2
    assert said in capsys.readouterr().err
