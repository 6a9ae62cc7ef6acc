"""What a question is about: a product of the catalogue, and a price."""

from __future__ import annotations

import difflib
import functools
from collections.abc import Sequence

from .intents import ITEM, NONE, training_questions, words

_ALIKE, _SHORTEST = 0.8, 4
"""Least likeness of a misspelt word, and its least letters; a longer word that begins with one counts too (a German
compound, a plural).
"""
_NO_PRICE = {"%", "percent", "per", "prozent", "pour", "por", "cent", "cents", "centimes", "centimos", "days", "tage"}
"""A number before one of these is no price."""


def find_products(question: list[str], products: Sequence[str]) -> tuple[list[int], list[str]]:
    """The products that a question may name, and its words with these replaced by `ITEM`.

    Returns:
        The numbers of the products, several where the words fit them equally well.

    Example:
        >>> find_products(["what", "does", "oragne", "juice", "cost"], ["orange juice", "apple juice"])
        ([0], ['what', 'does', 'item', 'cost'])
    """
    names = [words(name) for name in products]
    whole = [(len(name), n, at) for n, name in enumerate(names) for at in _places(question, name)]
    if whole:
        longest = max(length for length, _, _ in whole)
        found = [(n, at) for length, n, at in whole if length == longest]
        covered = {place for _, at in found for place in range(at, at + longest)}
        return sorted({n for n, _ in found}), _masked(question, covered)
    meant: dict[str, set[int]] = {}
    for n, name in enumerate(names):
        for word in name:
            meant.setdefault(word, set()).add(n)
    scores, covered = dict.fromkeys(range(len(names)), 0), set[int]()
    for place, word in enumerate(question):
        hits = _near(word, meant)
        covered |= {place} if hits else set()
        for n in set().union(*(meant[hit] for hit in hits)):
            scores[n] += max(len(hit) for hit in hits if n in meant[hit])
    best = max(scores.values(), default=0)
    return [n for n, score in scores.items() if best and score == best], _masked(question, covered)


def find_prices(question: list[str]) -> list[float]:
    """The prices in a question, currency per unit.

    Example:
        >>> find_prices(["item", "2,50", "or", "10", "%", "1.000,50"])
        [2.5, 1000.5]
    """
    after = [*question[1:], ""]
    return [
        _number(word) for word, then in zip(question, after, strict=True) if word[0].isdigit() and then not in _NO_PRICE
    ]


def _number(word: str) -> float:
    """A number with a comma or a point before its decimals."""
    whole, point, decimals = word.replace(",", ".").rpartition(".")
    return float(whole.replace(".", "") + point + decimals)


def _places(question: list[str], name: list[str]) -> list[int]:
    """Where a whole name stands in a question; a short number alone may be a price, and is no name."""
    if not name or (len(name) == 1 and name[0].isdigit() and len(name[0]) < _SHORTEST - 1):
        return []
    return [at for at in range(len(question) - len(name) + 1) if question[at : at + len(name)] == name]


def _near(word: str, known: dict[str, set[int]]) -> list[str]:
    """The words of product names that a word of a question stands for."""
    if len(word) < _SHORTEST or not word.isalpha() or word in _plain_words():
        return [word] if word in known and word.isalpha() and word not in _plain_words() else []
    if word in known:
        return [word]
    begins = [other for other in known if len(other) >= _SHORTEST and word.startswith(other)]
    longest = max(map(len, begins), default=0)
    return [other for other in begins if len(other) == longest] or difflib.get_close_matches(word, known, 1, _ALIKE)


def _masked(question: list[str], covered: set[int]) -> list[str]:
    return [
        ITEM if i in covered else word for i, word in enumerate(question) if i not in covered or i - 1 not in covered
    ]


@functools.cache
def _plain_words() -> frozenset[str]:
    """Words of the training questions, which name no product by themselves."""
    asked = (row["question"] for row in training_questions() if row["intent"] != NONE)
    return frozenset(word for question in asked for word in words(question.replace("{item}", "")))
