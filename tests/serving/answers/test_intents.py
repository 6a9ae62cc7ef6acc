import csv
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from repricer.serving.answers import answer, training
from repricer.serving.answers.answer import NONE, find_prices, find_products, intent_of, words

QUESTIONS = Path(__file__).with_name("questions.csv")
SHOP = ["orange juice 1l", "apple juice 1l", "Süßrahmbutter 250 g", "007", "price tags", "leche entera"]


def judged() -> Iterator[tuple[dict[str, str], str]]:
    """The questions of the test set, each with the intent that is found."""
    with QUESTIONS.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            yield row, intent_of(words(row["question"]))[0]


def test_the_shipped_weights_are_those_of_the_training_questions() -> None:
    shipped, made = answer._weights(), training.trained()
    assert shipped.intents == made.intents
    np.testing.assert_allclose(shipped.slope, made.slope, atol=0.05)
    np.testing.assert_allclose(shipped.offset, made.offset, atol=0.05)


def test_no_test_question_is_trained_on() -> None:
    trained = {
        " ".join(words(row["question"].replace("{item}", name)))
        for row in answer.training_questions()
        for name in training._ITEM_NAMES[row["language"]]
    }
    assert not trained & {" ".join(words(row["question"])) for row, _ in judged()}


@pytest.mark.parametrize(
    ("question", "products", "masked"),
    [
        ("why is orange juice 1l so dear", [0], "why is item so dear"),
        ("price of the juice", [0, 1], "price of the item"),
        ("Was kostet die Süssrahmbutterpackung", [2], "was kostet die item"),
        ("how much is aple juice", [1], "how much is item"),
        ("how much is 007", [3], "how much is item"),
        ("what is the price of bread", [], "what is the price of bread"),
        ("are price tags available", [4], "are item available"),
        ("cuanto cuesta la leche", [5], "cuanto cuesta la item"),
    ],
)
def test_products_are_found_by_name_part_and_misspelt(question: str, products: list[int], masked: str) -> None:
    assert find_products(words(question), SHOP) == (products, words(masked))


@pytest.mark.parametrize(
    ("text", "prices"), [("at 2.50", [2.5]), ("zu 1.000,50 Euro", [1000.5]), ("10% off", []), ("ten or 3, 4", [3, 4])]
)
def test_prices_are_found_whatever_their_decimals(text: str, prices: list[float]) -> None:
    assert find_prices(words(text)) == prices


@pytest.mark.parametrize("text", ["", "xyzzy", "12345", "🙂", "why", "the the the the", "Ω" * 300])
def test_what_is_no_question_has_no_intent_or_a_likely_one(text: str) -> None:
    found, chance = intent_of(words(text))
    assert found == NONE or chance >= answer.SURE
