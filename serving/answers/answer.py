"""Answer a question in sentences whose figures come from the explanation, the price rules, the state and the log.

A customer may hear them: none says what the shop expects to take or to earn.
"""

from __future__ import annotations

import csv
import difflib
import functools
import itertools
import re
import tomllib
import unicodedata
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...pricing.wording import money_words, rule_words, units_words
from ..decision import Decision
from ..documents import some_of
from ..explanation import COVERED, NoResponseError, attribution, price_reasons, product_index, what_if
from ..market_state import MARKET, StateError
from ..predictor import ObservedMarkets, Predictor

LONGEST = 300
"""Characters of a question."""
RECENT = 50
"""Decisions of a market in the log that are looked at."""
_LISTED = 8
_PRODUCTS_LISTED = 5
History = Callable[[str], Sequence[Mapping[str, Any]]]
"""The log's last decisions for a market, the latest first, a row a product."""
_LEAST_ALIKE = 0.8
"""Least likeness of a misspelt word."""
_SHORTEST = 4
"""Its least letters; a longer word that begins with one counts too (a German compound, a plural)."""
_NO_PRICE = {"%", "percent", "per", "prozent", "pour", "por", "cent", "cents", "centimes", "centimos", "days", "tage"}
"""A number before one of these is no price."""
Array = NDArray[np.float64]
NONE = "none"
"""The intent of a question that nothing here answers."""
ITEM = "item"
"""The word that stands for a product."""
SURE = 0.4
"""Least probability of an intent that is answered, by cross-validation on the training questions."""
WEIGHTS = Path(__file__).with_name("weights.npz")
_BUCKETS = 4096
_LETTERS = (3, 4)
_WORD_LENGTHS = (1, 2)
_WEIGHT = 3


@dataclass(frozen=True)
class Answer:
    """What customer service may answer to a question.

    Attributes:
        question: The question.
        intent: What it asks for; `none` where that is not known.
        confidence: Probability of the intent.
        product: Name of the product; None where none is known.
        answered: Whether the sentences answer it; otherwise they say what is missing.
        sentences: The answer.
        figures: The figures in the sentences by name, in currency per unit, units, or shares.
        source: Where they come from.
    """

    question: str
    intent: str
    confidence: float
    product: str | None
    answered: bool
    sentences: list[str]
    figures: dict[str, float]
    source: str


class _Asked(NamedTuple):
    """A question about product `n`: who answers, the market, its decision, and the log's rows of the product."""

    predictor: Predictor
    seen: ObservedMarkets
    decision: Decision
    n: int
    prices: list[float]
    log: Sequence[Mapping[str, Any]] | None

    @property
    def name(self) -> str:
        return self.decision.answer.prices[self.n].product

    @property
    def state(self) -> Mapping[str, Any]:
        return next(item for item in self.decision.state["products"] if item["product"] == self.name)

    @property
    def recorded(self) -> Mapping[str, Any] | None:
        """What the log holds for this very period, which counts more than what would be answered now."""
        answer = self.decision.answer
        rows = self.log or []
        # Without a calendar, only the latest is surely of this period, and not of an earlier season.
        rows = rows if answer.date else rows[:1]
        return next((row for row in rows if (row["period"], row["date"]) == (answer.period, answer.date)), None)

    def money(self, value: float) -> str:
        return money_words(value, self.predictor.bundle.manifest["scenario"]["currency"])


class _Reply(NamedTuple):
    """Sentences, their figures and source; no source where they do not answer the question."""

    sentences: list[str]
    figures: Mapping[str, float] = MappingProxyType({})
    source: str = ""


def answer_question(
    question: Any,
    predictor: Predictor,
    seen: ObservedMarkets,
    decision: Decision,
    history: History | None = None,
    product: str | None = None,
) -> Answer:
    """What a customer-service desk may say to a question about a price.

    Args:
        question: Text in English, German, French or Spanish.
        seen: The one market of the decision, as the predictor observed it.
        decision: The prices of the market's state.
        history: Reads the decision log; None without one.
        product: Its name, where the question need not name it.

    Raises:
        StateError: The question is no text of 1 to 300 characters, or the product is unknown.
    """
    if not isinstance(question, str) or not question.strip() or len(question) > LONGEST:
        got = f"{len(question)} characters" if isinstance(question, str) else "something else"
        raise StateError(f"question must be text of 1 to {LONGEST} characters; got {got}; shorten or fill it")
    products = predictor.bundle.catalogue.products
    bundle = predictor.bundle
    found, asked = find_products(words(question), products)
    if product is not None or len(products) == 1:
        found = [product_index(bundle, products[0] if product is None else product)]
    intent, chance = intent_of(asked)
    named = products[found[0]] if len(found) == 1 else None
    if intent == NONE:
        can = ", ".join(what for what, _ in _ANSWERS.values())
        reply = _Reply(["I cannot answer this question.", f"I can say {can}."])
    elif named is None:
        may = f"It may be {some_of([products[n] for n in found], _PRODUCTS_LISTED)}"
        may = may if found else f"The question names none of the catalogue's {len(products)}"
        reply = _Reply([f"Which product is meant? {may}."])
    else:
        rows = None if history is None else history(decision.state.get("market", MARKET))
        log = None if rows is None else [row for row in rows if row["product"] == named]
        reply = _ANSWERS[intent][1](_Asked(predictor, seen, decision, found[0], find_prices(asked), log))
    found = reply.sentences, dict(reply.figures), reply.source
    return Answer(question, intent, round(chance, 3), named, bool(reply.source), *found)


def _why(a: _Asked) -> _Reply:
    row = a.recorded
    price = a.decision.answer.prices[a.n].price
    if row is None or row["price"] == price:
        parts = attribution(a.predictor.at_state(a.seen), a.seen.view, a.decision.answer.prices[a.n], a.n)
        reasons = price_reasons(a.predictor.bundle, a.seen.view, a.decision, a.n, parts)
        return _Reply(reasons, {"price": price}, "explanation")
    steps = [f"The rule '{rule_words(step['rule'])}' changed it: {step['why']}." for step in row["trail"]]
    held = f"as the decision log holds it ({row['arm']}, {row['policy']})"
    text = f"The price of {a.name} in this period is {a.money(row['price'])}, {held}."
    steps = steps or ["No price rule changed what was proposed."]
    return _Reply([text, *steps], {"price": row["price"]}, "decision log")


def _price(a: _Asked) -> _Reply:
    row = a.recorded
    answer = a.decision.answer
    price = answer.prices[a.n].price if row is None else row["price"]
    start = f" from {answer.date}" if answer.date else ""
    text = f"The price of {a.name} is {a.money(price)}{start}, before personal discounts."
    return _Reply([text], {"price": price}, "policy" if row is None else "decision log")


def _stock(a: _Asked) -> _Reply:
    units = a.state["on_hand"]
    coming = a.state.get("on_order", 0.0)
    if units is None:
        return _Reply([f"No limit of the stock of {a.name} is known."], {}, "state")
    text = [f"{a.name} is sold out." if units == 0 else f"{units:,.10g} units of {a.name} are in stock."]
    if coming:
        text.append(f"{coming:,.10g} more are on order; when they arrive is not known here.")
    return _Reply(text, {"on_hand": units, "on_order": coming}, "state")


def _lowest(a: _Asked) -> _Reply:
    lowest = a.state.get("lowest_price_30_days")
    if lowest is None:
        return _Reply([f"The lowest price of {a.name} in the last 30 days is not known: the state does not say."])
    text = [f"The lowest list price of {a.name} in the last 30 days was {a.money(lowest)}."]
    if a.decision.answer.prices[a.n].prior_lowest_price is not None:
        text.append("The price is reduced: an announcement of the reduction must show it.")
    return _Reply(text, {"lowest_price_30_days": lowest}, "state")


def _rules(a: _Asked) -> _Reply:
    rules = a.predictor.bundle.guardrails
    n = a.n
    low, high = (float(f"{bound[n]:.6g}") for bound in (rules.low, rules.high))
    text = [f"The price rules keep {a.name} from {a.money(low)} to {a.money(high)}."]
    figures = {"low": low, "high": high}
    if rules.frozen is not None and rules.frozen[n]:
        because = f", as {rules.frozen_because[n]}" if rules.frozen_because and rules.frozen_because[n] else ""
        kept = "keeps its planned price" if rules.frozen_as_planned else "does not change"
        text.append(f"Its price is frozen: it {kept}{because}.")
    elif rules.max_change is not None:
        figures["max_change"] = change = float(np.broadcast_to(rules.max_change, rules.low.shape)[n])
        more = ", or as far as the planned prices do" if len(rules.planned_rows) else ""
        text.append(f"It changes by at most {change:.1%} from one period to the next{more}.")
    if rules.max_changes is not None and rules.change_window_periods is not None:
        figures |= {"max_changes": rules.max_changes, "change_window_periods": rules.change_window_periods}
        text.append(f"It changes at most {rules.max_changes} times in {rules.change_window_periods} periods.")
    if rules.direction != "any":
        text.append(f"It may only {'fall' if rules.direction == 'falling' else 'rise'}.")
    return _Reply(text, figures, "price rules")


def _what_if(a: _Asked) -> _Reply:
    if len(a.prices) != 1:
        return _Reply([f"At which price? Name one price of {a.name}, such as 2.50."])
    try:
        curve = what_if(a.predictor.bundle, a.seen.view, a.decision.answer, a.name, a.prices)
    except NoResponseError:
        return _Reply(["This bundle carries no price response, so no sales can be predicted."])
    point = curve.points[0]
    low, high = point.units.ci95
    mean, *ends = map(units_words, (point.units.mean, low, high))
    text = f"At {a.money(point.price)}, about {mean} units of {a.name} are expected this period"
    allowed = [] if point.allowed_now else ["The price rules do not allow this price now."]
    figures = {"price": point.price, "units": point.units.mean, "low": low, "high": high}
    return _Reply([f"{text} (95% of such periods: {' to '.join(ends)}).", *allowed, COVERED], figures, "what-if")


def _history(a: _Asked) -> _Reply:
    if a.log is None:
        return _Reply(["Past prices are not known here: there is no decision log."])
    figures: dict[str, float] = {}
    for row in a.log:
        if len(figures) < _LISTED:
            figures.setdefault(row["date"] or f"period {row['period']}", row["price"])
    if not figures:
        return _Reply([f"The decision log holds no price of {a.name} in this market."])
    listed = "; ".join(f"{when}: {a.money(price)}" for when, price in figures.items())
    text = f"The last prices of {a.name} in the decision log, the latest first, by the start of their period: {listed}."
    return _Reply([text], figures, "decision log")


def _offer(a: _Asked) -> _Reply:
    row = a.recorded
    rules = a.predictor.bundle.guardrails
    given = a.decision.answer.prices[a.n].discounts if row is None else row["discounts"]
    figures = {segment: share for segment, share in given.items() if share}
    text = ["Personal discounts are given by rule only; none can be promised beside them."]
    if figures:
        shares = ", ".join(f"{segment} {share:.1%}" for segment, share in figures.items())
        text.append(f"By customer segment, {a.name} has: {shares}; at most {rules.max_discount:.1%} is allowed.")
        figures["max_discount"] = rules.max_discount
        text += a.decision.answer.prices[a.n].notices.values()
    else:
        text.append(f"{a.name} has none in this period.")
    return _Reply(text, figures, "policy" if row is None else "decision log")


_ANSWERS: dict[str, tuple[str, Callable[[_Asked], _Reply]]] = {
    "why": ("why a price is what it is", _why),
    "price": ("what a product costs", _price),
    "stock": ("whether it is in stock", _stock),
    "lowest": ("its lowest price of the last 30 days", _lowest),
    "rules": ("which limits its price has", _rules),
    "what_if": ("what would sell at another price", _what_if),
    "history": ("its past prices", _history),
    "offer": ("which personal discounts there are", _offer),
}


# What a question is about: a product of the catalogue, and a price.


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
    scores = dict.fromkeys(range(len(names)), 0)
    covered = set[int]()
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
    numbers = (word for word, then in zip(question, [*question[1:], ""], strict=True) if then not in _NO_PRICE)
    # Of points and commas, the last stands before the decimals.
    return [float(re.sub(r"[.,](?=.*[.,])", "", word).replace(",", ".")) for word in numbers if word[0].isdigit()]


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
    return [other for other in begins if len(other) == longest] or difflib.get_close_matches(
        word, known, 1, _LEAST_ALIKE
    )


def _masked(question: list[str], covered: set[int]) -> list[str]:
    # Neighbours that are covered stand for one product.
    return [ITEM if i in covered else word for i, word in enumerate(question) if not {i - 1, i} <= covered]


@functools.cache
def _plain_words() -> frozenset[str]:
    """Words of the training questions, which name no product by themselves."""
    asked = (row["question"] for row in training_questions() if row["intent"] != NONE)
    return frozenset(word for question in asked for word in words(question.replace("{item}", "")))


# What a question asks for: hashed words and letter groups, scored by weights that are shipped.
#
# Needs numpy alone; `training` makes the weights.


class Weights(NamedTuple):
    """A linear model: `intents`, C names; `slope` (buckets, C) and `offset` (C,), log odds."""

    intents: tuple[str, ...]
    slope: Array
    offset: Array


def words(text: str) -> list[str]:
    """The words of a text, without case and accents; numbers as they are.

    Example:
        >>> words("Wieviel KOSTET die Süßmilch (1,5 l)?")
        ['wieviel', 'kostet', 'die', 'sussmilch', '1,5', 'l']
    """
    plain = unicodedata.normalize("NFKD", text.casefold())
    plain = "".join(letter for letter in plain if not unicodedata.combining(letter))
    return re.findall(r"\d+(?:[.,]\d+)*|[^\W\d_]+|%", plain)


def features(question: list[str]) -> Array:
    """(buckets,) what a question is made of: its words, groups of letters and concepts; of length one.

    Args:
        question: Its words, a product replaced by `ITEM`.
    """
    # Thirty stays, as the days of the lowest price; what other numbers say is no intent.
    marked = [word if word == "30" or not word[0].isdigit() else "#" for word in question]
    parts = [" ".join(marked[i : i + n]) for n in _WORD_LENGTHS for i in range(len(marked) - n + 1)]
    for word in marked:
        padded = f"_{word}_"
        parts += [f"~{padded[i : i + n]}" for n in _LETTERS for i in range(len(padded) - n + 1)]
    text = " ".join(marked)
    meant = [f"@{name}" for name, pattern in _concepts().items() if pattern.search(text)]
    known = meant + list(map(" ".join, itertools.combinations(meant, 2))) or ["@nothing"]
    parts += known * _WEIGHT
    places = np.array([zlib.crc32(part.encode()) % _BUCKETS for part in parts], np.intp)
    counts = np.log1p(np.bincount(places, minlength=_BUCKETS))
    return counts / max(float(np.linalg.norm(counts)), 1e-12)


def intent_of(question: list[str]) -> tuple[str, float]:
    """The likeliest intent of a question and its probability; `NONE` where none is likely enough.

    Args:
        question: Its words, a product replaced by `ITEM`.

    Example:
        >>> intent_of(words("why did the item get dearer"))[0]
        'why'
    """
    weights = _weights()
    score = features(question) @ weights.slope + weights.offset
    chance = np.exp(score - score.max())
    chance /= chance.sum()
    best = int(chance.argmax())
    return (weights.intents[best] if chance[best] >= SURE else NONE), float(chance[best])


def training_questions() -> list[dict[str, str]]:
    """The `language`, `intent` and `question` of each, with `{item}` for a product."""
    with Path(__file__).with_name("training.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@functools.cache
def _concepts() -> dict[str, re.Pattern[str]]:
    found = tomllib.loads(Path(__file__).with_name("concepts.toml").read_text(encoding="utf-8"))
    return {name: re.compile(rf"(?<!\w)(?:{words.replace('$', chr(92) + 'b')})") for name, words in found.items()}


@functools.cache
def _weights() -> Weights:
    with np.load(WEIGHTS, allow_pickle=False) as found:
        return Weights(tuple(found["intents"].tolist()), found["slope"].astype(float), found["offset"].astype(float))
