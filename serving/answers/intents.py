"""What a question asks for: hashed words and letter groups, scored by weights that are shipped.

Needs numpy alone; `training` makes the weights.
"""

from __future__ import annotations

import csv
import functools
import itertools
import re
import tomllib
import unicodedata
import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
NONE, ITEM = "none", "item"
"""The intent of a question that nothing here answers; the word that stands for a product."""
SURE = 0.4
"""Least probability of an intent that is answered, by cross-validation on the training questions."""
WEIGHTS = Path(__file__).with_name("weights.npz")
_BUCKETS, _LETTERS, _WORDS, _WEIGHT = 4096, (3, 4), (1, 2), 3


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
    parts = [" ".join(marked[i : i + n]) for n in _WORDS for i in range(len(marked) - n + 1)]
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
