"""Make the weights of the intents from the training questions; needs the `train` extra.

`python -m repricer.serving.answers.training` writes them and prints what cross-validation finds.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold, cross_val_predict

from .answer import ITEM, NONE, SURE, WEIGHTS, Array, Weights, features, training_questions, words

_STRENGTH = 30.0
"""Inverse regularisation."""
_ITEM_NAMES = {
    "en": (ITEM, "the juice", "oat milk", "this soap"),
    "de": (ITEM, "der Saft", "die Hafermilch", "das Brot"),
    "fr": (ITEM, "le jus", "le lait d'avoine", "ce savon"),
    "es": (ITEM, "el zumo", "la leche de avena", "este jabón"),
}
"""What stands for a product in the training questions, where the catalogue knows it and where not."""


def training_set() -> tuple[Array, list[str], list[int]]:
    """The features of every training question with every product, its intent, and its number."""
    rows = list[Array]()
    intents = list[str]()
    numbers = list[int]()
    for number, row in enumerate(training_questions()):
        for question in dict.fromkeys(row["question"].replace("{item}", name) for name in _ITEM_NAMES[row["language"]]):
            rows.append(features(words(question)))
            intents.append(row["intent"])
            numbers.append(number)
    return np.array(rows), intents, numbers


def trained() -> Weights:
    """The weights that the training questions give."""
    rows, intents, _ = training_set()
    model = _model().fit(rows, intents)
    return Weights(tuple(model.classes_.tolist()), model.coef_.T, model.intercept_)


def judged() -> dict[str, float]:
    """Shares in ten-fold cross-validation, a question with all its products in one fold: `right`, `wrong` (another
    intent was answered), `refused` (none was, though there is one).
    """
    rows, intents, numbers = training_set()
    how: dict[str, Any] = {"groups": numbers, "cv": GroupKFold(10), "method": "predict_proba"}
    chance = np.asarray(cross_val_predict(_model(), rows, intents, **how))
    likeliest = np.unique(intents)[chance.argmax(axis=1)]
    found = np.where(chance.max(axis=1) >= SURE, likeliest, NONE)
    wanted = np.array(intents)
    right = found == wanted
    refused = found == NONE
    shares = {"right": right, "wrong": ~right & ~refused, "refused": ~right & refused}
    return {name: float(share.mean()) for name, share in shares.items()}


def _model() -> LogisticRegression:
    return LogisticRegression(C=_STRENGTH, max_iter=1000, class_weight="balanced")


def main() -> None:
    """Write the weights beside this module."""
    found = trained()
    numbers = {"slope": found.slope.astype(np.float16), "offset": found.offset.astype(np.float32)}
    np.savez_compressed(WEIGHTS, intents=np.array(found.intents), **numbers)
    print(", ".join(f"{name} {share:.1%}" for name, share in judged().items()))


if __name__ == "__main__":
    main()
