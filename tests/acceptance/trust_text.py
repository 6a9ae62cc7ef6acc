"""New products: what words, embeddings and own vectors take off the error of their level; means of five splits.

`python -m repricer.benchmarks.cold_start` prints the tables.
"""

from __future__ import annotations

import functools

from repricer.benchmarks.cold_start import BOTH, MEANING, OWN, WORDS, table

from .checks import check


@functools.cache
def _row(market: str, features: str) -> dict[str, float]:
    return next(row for row in _rows(market) if row["features"] == features)


@functools.cache
def _rows(market: str) -> list[dict[str, float]]:
    return table(market)


@check("trust", "new products whose words tell, WAPE with words over attributes alone", "<=", 0.95)
def words_tell() -> float:
    return 1 + _row("words", WORDS)["wape_change"]


@check("trust", "new products whose words are new but like others, WAPE with embeddings over attributes", "<=", 0.95)
def meaning_tells() -> float:
    return 1 + _row("meaning", MEANING)["wape_change"]


@check("trust", "new products that a shop's own vectors tell of, WAPE with them over attributes alone", "<=", 0.95)
def vectors_tell() -> float:
    return 1 + _row("vectors", OWN)["wape_change"]


@check("trust", "new products of which nothing tells, WAPE over attributes alone (worst of four)", "<=", 1.01)
def nothing_tells() -> float:
    return 1 + max(_row("nothing", name)["wape_change"] for name in (WORDS, MEANING, BOTH, OWN))


@check("trust", "new products, substitutes among the three nearest, with words over attributes alone", ">=", 1.05)
def substitutes() -> float:
    return 1 + _row("words", WORDS)["alike_change"]


@check("trust", "new products of the Complete Journey, WAPE with words over attributes alone", "<=", 1.01)
def real() -> float:
    return 1 + _row("complete-journey", WORDS)["wape_change"]
