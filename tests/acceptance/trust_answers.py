"""Customer service: whether what a question asks for is found, on questions that were written before any answer."""

from __future__ import annotations

import csv
import functools
from pathlib import Path

from repricer.serving.answers.answer import NONE, intent_of, words
from repricer.serving.answers.training import judged

from .checks import check

_QUESTIONS = Path(__file__).parents[1] / "serving" / "answers" / "questions.csv"


@functools.cache
def _found() -> list[tuple[str, str]]:
    """The intent of each question, and the one that is found."""
    with _QUESTIONS.open(encoding="utf-8", newline="") as file:
        return [(row["intent"], intent_of(words(row["question"]))[0]) for row in csv.DictReader(file)]


@check("trust", "200 customers' questions: share whose intent is found", ">=", 0.95)
def intents() -> float:
    """The same author wrote the questions, the training questions and the concepts."""
    return sum(wanted == found for wanted, found in _found()) / len(_found())


@check("trust", "200 customers' questions: share answered as another intent", "<=", 0.03)
def wrong() -> float:
    """A question that is refused is no such answer."""
    return sum(found not in (wanted, NONE) for wanted, found in _found()) / len(_found())


@check("trust", "training questions: share right in cross-validation", ">=", 0.95)
def trained() -> float:
    """Each question with all its products in one fold."""
    return judged()["right"]
