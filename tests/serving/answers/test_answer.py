import json
import re
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from repricer.cli import main
from repricer.serving import Bundle, DecisionLog, Predictor, StateError, example_state
from repricer.serving.answers.answer import Answer, answer_question
from repricer.serving.decision import Decision
from repricer.serving.explanation import explain_decision, what_if
from repricer.serving.http.app import create_app
from repricer.serving.sample_states import random_states

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # which HTTP client the test client would rather have
    from starlette.testclient import TestClient

ASKED = {
    "why": "Why did the {} get dearer?",
    "price": "What does {} cost?",
    "stock": "Is {} in stock?",
    "lowest": "What was the lowest price of {} in the last 30 days?",
    "rules": "What is the maximum price of {}?",
    "what_if": "What would happen if {} cost 3.21?",
    "history": "Show me the price history of {}",
    "offer": "Do I get a discount on {}?",
}
PRODUCTS = st.sampled_from(["anchovy", "biscuit", "cider"])


def asked(
    bundle: Bundle, state: dict[str, Any], question: Any, log: Any = None, **given: Any
) -> tuple[Answer, Decision, Any]:
    predictor = Predictor(bundle)
    seen = predictor.observe([predictor.read(state)])
    decision = Decision(state, predictor.price_observed(seen)[0], "policy", 1.0, [])
    history = None if log is None else lambda market: log
    return answer_question(question, predictor, seen, decision, history, **given), decision, seen


def said(bundle: Bundle, question: Any, **given: Any) -> Answer:
    return asked(bundle, example_state(bundle.catalogue), question, **given)[0]


def row(product: str, price: float, period: int) -> dict[str, Any]:
    facts = {"date": None, "discounts": {"thrifty": 0.125, "loyal": 0.0}, "trail": [], "arm": "fallback"}
    return facts | {"product": product, "price": price, "period": period, "policy": "in-force"}


def sources(bundle: Bundle, decision: Decision, seen: Any, n: int, log: list[dict[str, Any]] | None) -> dict[str, Any]:
    """The figures that each intent may name, from where they come."""
    item, name = decision.answer.prices[n], bundle.catalogue.products[n]
    state = next(one for one in decision.state["products"] if one["product"] == name)
    own = [one for one in log or [] if one["product"] == name]
    now = own[0] if own and own[0]["period"] == decision.answer.period else None
    point = what_if(bundle, seen.view, decision.answer, name, [3.21]).points[0]
    rules = bundle.guardrails
    latest = {f"period {one['period']}": one["price"] for one in reversed(own)}
    price = {"price": item.price if now is None else now["price"]}
    shares = {k: v for k, v in (item.discounts if now is None else now["discounts"]).items() if v}
    return {
        "why": price,
        "price": price,
        "stock": {key: state[key] for key in ("on_hand", "on_order")} if state["on_hand"] is not None else {},
        "lowest": {"lowest_price_30_days": state.get("lowest_price_30_days")},
        "rules": {"low": float(rules.low[n]), "high": float(rules.high[n]), "max_change": float(rules.max_change[n])},
        "what_if": {"price": 3.21, "units": point.units.mean, "low": point.units.ci95[0], "high": point.units.ci95[1]},
        "history": latest,
        "offer": shares | ({"max_discount": rules.max_discount} if shares else {}),
    }


PRICES = st.integers(100, 900).map(lambda cents: cents / 100)
LOGGED = st.lists(st.tuples(st.sampled_from([0, 0, 1, 2]), PRICES, st.sampled_from([0, 0, 1, 2])), min_size=1)


@pytest.mark.parametrize("intent", ASKED)
@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6), PRODUCTS, st.none() | LOGGED)
def test_no_answer_contradicts_its_source(one: Bundle, intent: str, seed: int, product: str, logged: Any) -> None:
    (state,) = random_states(one.catalogue, one.guardrails, 1, seed)
    for item in state["products"]:
        item["lowest_price_30_days"] = round(item["list_price"] * 0.9, 2)
    names, log = one.catalogue.products, None
    if logged is not None:
        # Most rows are of this product or of this period.
        after = names[names.index(product) :] + names
        log = [row(after[next_], price, state["period"] + later) for next_, price, later in logged]
    found, decision, seen = asked(one, state, ASKED[intent].format(product), log)
    assert (found.intent, found.product) == (intent, product)
    n = names.index(product)
    allowed = sources(one, decision, seen, n, log)[intent]
    assert found.figures == pytest.approx(allowed if found.answered else {}, rel=1e-5)
    text = " ".join(found.sentences)
    assert not re.search(r"\b(profit|revenue|earn)", text), "what a customer hears"
    if intent == "why":
        if found.source == "explanation":
            whole = explain_decision(one, one.policy, seen.view, decision, product).sentences
            assert found.sentences == [line for line in whole if line in found.sentences]
            assert found.sentences[0] == whole[0]
        return
    for word in re.findall(r"\d[\d,]*\.?\d*%?", re.sub(r"30 days|95%|period \d+|such as 2\.50", "", text)):
        number, digits = float(word.strip("%.").replace(",", "")), len(word.strip("%").partition(".")[2])
        size = 100 if word.endswith("%") else 1
        assert any(abs(size * f - number) <= 0.501 * 10**-digits for f in found.figures.values()), (word, found)


@pytest.mark.parametrize(
    ("question", "words"),
    [
        ("When do you open on Sunday?", "I can say why a price is what it is"),
        ("What does the bread cost?", "names none of the catalogue's 3"),
        ("What does anchovy or cider cost?", "It may be anchovy, cider"),
        ("What was the lowest price of cider in the last 30 days?", "the state does not say"),
        ("Show me the price history of cider", "there is no decision log"),
        ("What would happen if cider was cheaper, how many would you sell?", "At which price?"),
    ],
)
def test_what_is_not_known_is_not_answered(one: Bundle, question: str, words: str) -> None:
    found = said(one, question)
    assert words in " ".join(found.sentences)
    assert not found.answered
    assert not found.figures


def test_other_languages_a_given_product_and_no_price_response(one: Bundle) -> None:
    assert said(one, "Warum ist Cider teurer geworden?").intent == "why"
    assert said(one, "¿Cuánto cuesta?", product="cider").product == "cider"
    assert not said(replace(one, response=None), ASKED["what_if"].format("cider")).answered
    for wrong in ("", " ", "x" * 301, " " + "x" * 300, 3, None):
        with pytest.raises(StateError, match="question must be text of 1 to 300"):
            said(one, wrong)
    with pytest.raises(StateError, match="product must be one of"):
        said(one, "how much?", product="bread")


def test_the_service_and_the_command_answer_from_the_log(one_path: Path, one: Bundle, tmp_path: Path) -> None:
    state, log = example_state(one.catalogue), tmp_path / "decisions.db"
    with TestClient(create_app(one_path, log=log)) as client:
        given = client.post("/v1/prices", json=state).json()["prices"][2]["price"]
        body = {"question": "What were the past prices of cider?", "state": state}
        served = client.post("/v1/answer", json=body).json()
        assert client.post("/v1/answer", json=body | {"state": {}}).status_code == 422
        assert (
            client.post("/v1/answer", json=body | {"question": ""})
            .json()["detail"]
            .startswith("request: question must be")
        )
        assert "/v1/answer" in client.get("/openapi.json").json()["paths"]
    assert (served["answered"], served["figures"]) == (True, {"period 0": given})
    (tmp_path / "state.json").write_text(json.dumps(state))
    command = ["answer", body["question"], "--bundle", str(one_path), "--state", str(tmp_path / "state.json")]
    result = CliRunner().invoke(main, [*command, "--log", str(log), "--json"])
    assert json.loads(result.stdout) == served
    assert CliRunner().invoke(main, command).stdout.startswith("Past prices are not known here")
    reading = DecisionLog(log)
    assert reading.recent("another shop", 5) == []
    assert len(reading.recent("shop", 5)) == 3
    reading.close()
