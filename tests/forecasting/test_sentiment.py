"""Texts become weekly signals, and a surge of negative ones an alarm."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from repricer.cli import main
from repricer.data import DataError, import_tables
from repricer.forecasting.sentiment import weekly_sentiment

GOOD = ("I love this jam, it is great.", "The best wine that I have had.", "It is a very good product and I am happy.")
BAD = ("This is the worst jam ever, it is awful.", "I hate this and it made me sick.", "Terrible, it was a bad buy.")
START, WEEKS, SURGE = pd.Timestamp("2024-01-01"), 30, 24


@pytest.fixture(scope="module")
def reviews() -> pd.DataFrame:
    """Ten texts a week about two products; in week 24 and after, many more bad ones about jam."""
    rng, rows = np.random.default_rng(0), []
    for week in range(WEEKS):
        bad = rng.poisson(2) + (18 if week >= SURGE else 0)
        for number in range(10 + bad):
            day = START + pd.Timedelta(days=7 * week + int(rng.integers(7)))
            text = rng.choice(BAD if number < bad else GOOD)
            rows.append((day, "jam" if number < bad else rng.choice(["jam", "wine"]), text))
    rows.append((START + pd.Timedelta(weeks=WEEKS), "jam", GOOD[0]))
    return pd.DataFrame(rows, columns=["date", "product", "text"])


def test_a_surge_of_negative_texts_raises_an_alarm(reviews: pd.DataFrame, tmp_path: Path) -> None:
    reviews.to_csv(tmp_path / "reviews.csv", index=False)
    signals = str(tmp_path / "signals.csv")
    made = CliRunner().invoke(main, ["data", "sentiment", str(tmp_path / "reviews.csv"), "--out", signals])
    assert made.exit_code == 0, made.output
    assert "1 texts are left out: their week is not over" in made.stdout
    days = pd.date_range(START, periods=7 * (WEEKS + 1))
    sales = pd.DataFrame({"date": days, "product": "jam", "units": 5, "price_paid": 2.0})
    sales.to_csv(tmp_path / "sales.csv", index=False)
    paths = {name: tmp_path / f"{name}.csv" for name in ("sales", "signals")}
    assert import_tables(paths, key=b"sixteen bytes or more")[1].rejects.empty
    given = [word for name, path in paths.items() for word in (f"--{name}", str(path))]
    result = CliRunner().invoke(main, ["data", "alarms", *given, "--json"])
    assert result.exit_code == 0, result.output
    alarms = [one for one in json.loads(result.stdout)["alarms"] if one["signal"].startswith("signal_")]
    # The figures of a week are known, and raise their alarm, in the week after it.
    assert {one["signal"] for one in alarms} == {"signal_negative_texts", "signal_sentiment"}
    assert {one["week"] for one in alarms} >= {f"{START + pd.Timedelta(weeks=SURGE + 1):%Y-%m-%d}"}
    assert all(one["week"] > f"{START + pd.Timedelta(weeks=SURGE):%Y-%m-%d}" for one in alarms)
    assert all(one["size"] > 0 for one in alarms if one["signal"] == "signal_negative_texts")


def test_products_have_signals_of_their_own_and_empty_weeks_no_mean(reviews: pd.DataFrame) -> None:
    some = reviews[(reviews["product"] == "wine") | (reviews["date"] < START + pd.Timedelta(weeks=2))]
    later = pd.DataFrame({"date": [START + pd.Timedelta(weeks=WEEKS + 3)], "product": ["jam"], "text": [BAD[0]]})
    found = weekly_sentiment(pd.concat([some, later]), by_product=True).signals
    wide = found.pivot(index="date", columns="name", values="value")
    # The latest text opens a week that is not over; the jam has no text since the second.
    assert wide["negative_texts[jam]"].notna().all()
    assert wide["sentiment[jam]"].notna().sum() == 2
    assert (wide["negative_texts"] == wide["negative_texts[jam]"] + wide["negative_texts[wine]"]).all()
    assert (wide["sentiment[wine]"].dropna() > 0.3).all()


def test_other_languages_are_said_to_be_unsupported(reviews: pd.DataFrame) -> None:
    german = ["Diese Marmelade ist leider gar nicht gut und viel zu teuer.", "Ich bin mit dem Wein sehr zufrieden."]
    foreign = pd.DataFrame({"date": START, "product": "jam", "text": german})
    found = weekly_sentiment(pd.concat([reviews, foreign]))
    assert found.foreign == 2
    pd.testing.assert_frame_equal(found.signals, weekly_sentiment(reviews).signals)
    with pytest.raises(DataError, match="other languages are not supported"):
        weekly_sentiment(pd.concat([foreign] * 9))


@pytest.mark.parametrize(
    ("texts", "line"),
    [({"date": ["2024-01-01"], "review": ["x"]}, "got no text"), ({"date": ["soon"], "text": ["x"]}, "got 'soon'")],
)
def test_a_faulty_file_is_one_line(texts: dict[str, list[str]], line: str) -> None:
    with pytest.raises(DataError, match=line):
        weekly_sentiment(pd.DataFrame(texts))
