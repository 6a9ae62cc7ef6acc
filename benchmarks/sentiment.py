"""What reviews tell before sales do: the trend's error with and without their signals, and when alarms are raised.

Run `python -m repricer.benchmarks.sentiment [--shops N]`. Each drawn shop has a mood that changes from week to week and,
in a late week, collapses. Reviews are written in its words, and go through `weekly_sentiment`, tables and panel like a
shop's own. Where they lead, visits follow the mood of two weeks before; else they follow one of their own, and nothing can be
gained.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
import pandas as pd

from ..data import Tables, product_weeks
from ..forecasting import MarketTrend, find_alarms
from ..forecasting.sentiment import weekly_sentiment
from .customers import markdown

_WEEKS, _COLLAPSE, _LEAD, _REVIEWS, _VISITS = 104, 92, 2, 40, 1500
_PERSISTENCE, _EFFECT, _NOISE, _FALL = 0.7, 0.12, 0.03, 3.0
_CONTENT, _SHOWN = 2.0, 0.7
_GOOD = (
    "I love this shop and it is great",
    "The staff were helpful and the food is fresh",
    "What a nice place to buy from",
)
_BAD = (
    "I hate that it was so dirty",
    "The worst fruit that I have had, it was rotten",
    "They were rude and it is too bad",
)


def _mood(rng: np.random.Generator) -> np.ndarray:
    """(weeks,) in standard deviations, with the collapse."""
    mood = np.zeros(_WEEKS)
    for week in range(1, _WEEKS):
        mood[week] = _PERSISTENCE * mood[week - 1] + np.sqrt(1 - _PERSISTENCE**2) * rng.normal()
    mood[_COLLAPSE:] -= _FALL
    return mood


def shop(seed: int, *, leads: bool) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The reviews, and the sale lines of one product, one a visit."""
    rng = np.random.default_rng(seed)
    mood, own = _mood(rng), _mood(rng)
    start = pd.date_range("2022-01-03", periods=_WEEKS, freq="7D")
    good = rng.binomial(_REVIEWS, 1 / (1 + np.exp(-_CONTENT - _SHOWN * mood)))
    review_rows = [
        (monday + pd.Timedelta(days=int(rng.integers(7))), str(rng.choice(_GOOD if n < pleased else _BAD)))
        for monday, pleased in zip(start, good, strict=True)
        for n in range(_REVIEWS)
    ]
    follows = np.roll(mood, _LEAD) if leads else np.roll(own, _LEAD)
    follows[:_LEAD] = 0.0
    visits = rng.poisson(_VISITS * np.exp(_EFFECT * follows + _NOISE * rng.normal(size=_WEEKS)))
    days = np.repeat(start, visits) + pd.to_timedelta(np.arange(visits.sum()) % 7, unit="D")
    sales = pd.DataFrame({"date": days, "product": "tea", "units": 1.0, "price_paid": 4.0, "regular_price": 4.0})
    return pd.DataFrame(review_rows, columns=["date", "text"]), sales


def measured(seed: int, *, leads: bool) -> dict[str, Any]:
    """Errors of the best candidate with and without the signals, and the weeks from the collapse to the first alarms."""
    reviews, sales = shop(seed, leads=leads)
    products = pd.DataFrame({"product": ["tea"], "category": [""]})
    panels = [
        product_weeks(Tables(sales, products, signals=signals), products=products)
        for signals in (None, weekly_sentiment(reviews).signals)
    ]
    without, with_reviews = (MarketTrend(seed=0).fit(panel) for panel in panels)
    alarms = find_alarms(panels[1])
    since = pd.Timestamp("2022-01-03") + pd.Timedelta(weeks=_COLLAPSE)
    later = alarms[alarms["week"] >= since].groupby("signal")["week"].min()
    late = {
        name: (later[name] - since).days / 7 if name in later else np.nan
        for name in ("traffic", "signal_negative_texts")
    }
    return {
        "without": _least(without),
        "with reviews": _least(with_reviews),
        "model used": with_reviews.chosen_ not in ("moving average", "naive"),
        "alarm of reviews": late["signal_negative_texts"],
        "alarm of visits": late["traffic"],
    }


def _least(trend: MarketTrend) -> float:
    return float(trend.scores_.set_index("candidate")["mape"][trend.chosen_])


def table(shops: int, *, leads: bool) -> dict[str, Any]:
    """Means over shops, and the standard error of the change."""
    rows = pd.DataFrame([measured(seed, leads=leads) for seed in range(shops)])
    change = rows["with reviews"] / rows["without"] - 1
    means = rows.astype(float).mean()
    return {"reviews lead": leads, **means, "change": change.mean(), "error of it": change.std() / np.sqrt(shops)}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shops", type=int, default=10)
    given = parser.parse_args()
    print(markdown(pd.DataFrame([table(given.shops, leads=leads) for leads in (True, False)])))


if __name__ == "__main__":
    main()
