from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from repricer.cli import main
from repricer.pricing import ChargedRange
from repricer.scenarios import MarketSpec, save_scenario
from repricer.serving import Bundle, Predictor, StateError
from repricer.serving.decision import Decision
from repricer.serving.explanation.sentences import _rule, explain_decision
from repricer.serving.market_state import market_view
from repricer.serving.product_prices import Change
from repricer.serving.sample_states import random_states

from .conftest import usual_state


def explained(one: Bundle, state: dict[str, Any], product: str = "anchovy", arm: str = "policy") -> Any:
    decision = Decision(state, Predictor(one).price(state), arm, 1.0, [])
    return explain_decision(one, one.policy, market_view(one.catalogue, state), decision, product)


def test_the_parts_of_a_price_add_up(one: Bundle) -> None:
    for state in random_states(one.catalogue, one.guardrails, 5, seed=2):
        for product in one.catalogue.products:
            found = explained(one, state, product)
            parts = found.attribution
            assert parts.ordinary + sum(p.effect for p in parts.inputs) == pytest.approx(parts.proposed, rel=1e-4)
            assert parts.proposed + sum(p.effect for p in parts.rules) == pytest.approx(parts.price, rel=1e-4)
            assert found.price == parts.price


def test_the_sentences_name_the_price_the_rules_and_the_demand(one: Bundle) -> None:
    text = " ".join(explained(one, usual_state(one)).sentences)
    for words in (
        "The price of anchovy is 1.90",
        "down from 2.00",
        "learned policy (ppo, training seed 3)",
        "'rounding to the price grid'",
        "units are expected",
    ):
        assert words in text, text
    assert "fallback rule" in " ".join(explained(one, usual_state(one), arm="fallback").sentences)
    with pytest.raises(StateError, match="product must be one of"):
        explained(one, usual_state(one), "dates")


def test_the_best_alternative_is_the_best_of_the_others(one: Bundle) -> None:
    found = explained(one, usual_state(one))
    others = [p for p in found.curve.points if p.allowed_now and abs(p.price - found.price) > 1e-6]
    assert found.best_alternative.profit.mean == max(p.profit.mean for p in others)


def test_without_a_response_the_sentences_say_so(one: Bundle) -> None:
    assert "no sales can be predicted" in " ".join(explained(replace(one, response=None), usual_state(one)).sentences)


def test_past_changes_have_a_part_where_the_rules_count_them(ruled: Bundle) -> None:
    state = usual_state(ruled)
    state["products"][1]["changes"] = 1
    for product in ruled.catalogue.products:
        parts = explained(ruled, state, product).attribution
        assert "past changes" in {part.cause for part in parts.inputs}
        assert parts.ordinary + sum(p.effect for p in parts.inputs) == pytest.approx(parts.proposed, rel=1e-4)
        assert parts.proposed + sum(p.effect for p in parts.rules) == pytest.approx(parts.price, rel=1e-4)


def test_the_command_and_the_service_give_the_same_contributions(
    one: Bundle, one_run: Any, spec: MarketSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`repricer explain` on a run, and the bundle exported from it, for the same states."""
    monkeypatch.setattr("repricer.agents.load_run", lambda path: one_run)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.json").write_text("{}")
    save_scenario(spec, tmp_path / "market")
    for state in random_states(one.catalogue, one.guardrails, 2, seed=4):
        (tmp_path / "state.json").write_text(json.dumps(state))
        asked = ["explain", str(tmp_path / "market"), "--policy", str(tmp_path / "run"), "--product", "biscuit"]
        result = CliRunner().invoke(main, [*asked, "--state", str(tmp_path / "state.json"), "--json"])
        assert result.exit_code == 0, result.output
        document = json.loads(result.stdout)
        served = explained(one, state, "biscuit").attribution
        assert document["attribution"]["baseline"] == pytest.approx(served.ordinary, rel=1e-5)
        effects = {part.cause: part.effect for part in served.inputs}
        assert document["attribution"]["inputs"] == pytest.approx(effects, rel=1e-4, abs=1e-5)
        assert sum(abs(effect) for effect in effects.values()) > 1e-3
        assert document["price"] == pytest.approx(served.price, rel=1e-6)


def test_a_price_that_was_never_charged_is_said_to_be_so(one: Bundle) -> None:
    charged = replace(one, charged=ChargedRange(np.array([3.0, 1.0, 1.0]), np.array([3.5, 9.0, 9.0])))
    found = explained(charged, usual_state(one))
    assert (
        "It is outside what was mostly charged: 3.00 to 3.50; hardly any data say how customers respond to it."
        in found.sentences
    )
    assert found.attribution == explained(one, usual_state(one)).attribution


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [(2.3141, 2.3099, "moved it by less than is shown, to 2.31 $"), (2.32, 2.31, "lowered it from 2.32 $ to 2.31 $")],
)
def test_a_move_is_told_only_where_it_can_be_seen(before: float, after: float, said: str) -> None:
    sentence = _rule(Change("price_ladder", before, after, "a step"), "$")
    assert said in sentence
    assert "from 2.31" not in sentence


def test_many_units_are_no_power_of_ten(one: Bundle) -> None:
    busy = replace(one, response=replace(one.response, rate=5000 * one.response.rate))
    (sentence,) = [line for line in explained(busy, usual_state(one)).sentences if "units are expected" in line]
    assert "e+" not in sentence
    assert re.search(r"about \d{1,3}(,\d{3})+ units are expected .*: \d{1,3}(,\d{3})+ to \d{1,3}(,\d{3})+\)", sentence)
