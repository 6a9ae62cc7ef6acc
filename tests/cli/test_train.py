"""What `repricer train` says before it trains."""

import pytest
from repricer.cli import main


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--shops", "127.0.0.1:1"), "got none of --shop-name, --shops-key; add them"),
        (
            ("--shops", "8790", "--shop-name", "a", "--shops-key", "env:SHOPS_KEY"),
            "--shops must be HOST:PORT; got '8790'",
        ),
        (
            ("--shops", "127.0.0.1:1", "--shop-name", "a", "--shops-key", "env:SHOPS_KEY"),
            "a coordinator must listen at",
        ),
    ],
)
def test_a_training_with_other_shops_needs_all_that_finds_them(words, said, monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("SHOPS_KEY", "07" * 32)
    with pytest.raises(SystemExit) as ended:
        main(["train", "stationary-logit", "--steps", "100", "--out", str(tmp_path / "run"), *words])
    assert ended.value.code == 2
    assert said in capsys.readouterr().err
