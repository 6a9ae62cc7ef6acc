"""Reviews and news as weekly signals: how their words sound, by VADER's lexicon of English.

Needs the `text` extra. Method: Hutto and Gilbert (2014), "VADER: A parsimonious rule-based model for
sentiment analysis of social media text", ICWSM.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

import pandas as pd

from ..data import DataError
from ..data.weeks import WEEK

_NEGATIVE = -0.05
"""Scores up to this are negative: the bound that VADER's authors use."""
_ENGLISH = 0.2
"""Least share of common English words in an English text."""
_SHORT = 4
"""Texts with fewer words are taken as English."""


class Sentiment(NamedTuple):
    """What texts say by week.

    Attributes:
        signals: A table of signals: `date`, `name`, `value`.
        texts: Texts that were scored.
        foreign: Texts that were left out, as they are not in English.
        open_week: Texts of the last week, left out because it was not over.
    """

    signals: pd.DataFrame
    texts: int
    foreign: int
    open_week: int


def weekly_sentiment(
    texts: pd.DataFrame, *, by_product: bool = False, progress: Callable[[float], None] = lambda _share: None
) -> Sentiment:
    """Weekly signals of texts about the shop: `sentiment`, their mean score, and `negative_texts`, their number.

    Weeks begin on Monday. The figures of a week are dated on the Monday after it, when they are known. A week without
    texts has no `sentiment`, and 0 `negative_texts`. Other languages than English are not supported: texts in which
    fewer than a fifth of the words are common English ones are left out and counted.

    Args:
        texts: `date`, `text` and, optionally, `product`.
        by_product: Whether to add both signals of each product, named `sentiment[PRODUCT]` and so on.
        progress: Called with the share of the texts that are scored.

    Raises:
        DataError: A column is missing, a date cannot be read, or no week of English texts is left.

    Example:
        >>> days = pd.to_datetime(["2024-01-01", "2024-01-03", "2024-01-08"])
        >>> reviews = ["I love this jam, it is great.", "This is the worst jam ever.", "It is fine."]
        >>> found = weekly_sentiment(pd.DataFrame({"date": days, "text": reviews}))
        >>> found.signals.to_dict("records")[1]
        {'date': Timestamp('2024-01-08 00:00:00'), 'name': 'negative_texts', 'value': 1.0}
    """
    rows = _checked(texts, by_product)
    english = rows["text"].map(_is_english)
    own = rows[english]
    monday = own["date"].dt.normalize() - pd.to_timedelta(own["date"].dt.day_of_week, unit="D")
    over = monday + WEEK <= rows["date"].max().normalize() + pd.Timedelta(days=1)
    own = own.assign(week=monday)[over]
    if own.empty:
        raise DataError(
            f"texts must hold a whole week in English; got {len(rows):,} texts, {int((~english).sum()):,} of them not in "
            "English; other languages are not supported"
        )
    own = own.assign(score=_scores(list(own["text"]), progress))
    weeks = pd.date_range(own["week"].min(), own["week"].max(), freq=WEEK)
    found = [_signals(own, weeks, "")]
    if by_product:
        found += [_signals(of, weeks, f"[{product}]") for product, of in own.groupby("product")]
    signals = pd.concat(found).sort_values(["date", "name"], ascending=[True, False], ignore_index=True)
    return Sentiment(signals, len(own), int((~english).sum()), int((~over).sum()))


def _checked(texts: pd.DataFrame, by_product: bool) -> pd.DataFrame:
    needed = ["date", "text", *(["product"] if by_product else [])]
    missing = [name for name in needed if name not in texts]
    if missing:
        raise DataError(
            f"texts must have {', '.join(needed)}; got no {missing[0]} among {', '.join(map(str, texts))}; add it"
        )
    rows = texts.dropna(subset=["text"])
    dates = pd.to_datetime(rows["date"], errors="coerce", format="ISO8601")
    if dates.isna().any():
        raise DataError(f"texts: dates must be YYYY-MM-DD; got {rows['date'][dates.isna()].iloc[0]!r}; fix it")
    return rows.assign(date=dates, text=rows["text"].astype(str))


def _is_english(text: str) -> bool:
    from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

    words = re.findall(r"[^\W\d_]+", text.lower())
    return len(words) < _SHORT or sum(word in ENGLISH_STOP_WORDS for word in words) >= _ENGLISH * len(words)


def _scores(texts: list[str], progress: Callable[[float], None]) -> list[float]:
    """From -1, as negative as can be, to 1."""
    from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

    judge = SentimentIntensityAnalyzer()
    scores = list[float]()
    for done, text in enumerate(texts, start=1):
        scores.append(judge.polarity_scores(text)["compound"])
        if done % 1000 == 0 or done == len(texts):
            progress(done / len(texts))
    return scores


def _signals(rows: pd.DataFrame, weeks: pd.DatetimeIndex, of: str) -> pd.DataFrame:
    score = rows.groupby("week")["score"]
    mean = score.mean()
    negative = score.agg(lambda each: float((each <= _NEGATIVE).sum()))
    series = {f"sentiment{of}": mean, f"negative_texts{of}": negative.reindex(weeks, fill_value=0.0)}
    parts = [pd.DataFrame({"date": each.index + WEEK, "name": name, "value": each}) for name, each in series.items()]
    return pd.concat(parts, ignore_index=True)
