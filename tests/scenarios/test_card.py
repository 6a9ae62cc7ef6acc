"""Cards: what is on is said, what is off is not, and the known optimum stands beside it."""

import json

import pytest
from click.testing import CliRunner
from repricer.cli import main
from repricer.scenarios import MarketSpec, load_scenario, registered, sample_catalogue, save_scenario
from repricer.scenarios.card import GROUPS, describe, group

ALWAYS = ["market", "products", "arrivals", "demand", "prices", "stock"]


def run(*arguments: str) -> str:
    result = CliRunner().invoke(main, ["scenarios", *arguments])
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.mark.parametrize("name", list(registered()))
def test_the_parts_that_are_on_are_described(name):
    spec = load_scenario(name)
    optional = [key for key, item in MarketSpec.__dataclass_fields__.items() if str(item.type).endswith("| None")]
    on = [key for key in optional if getattr(spec, key) is not None]
    parts = describe(spec)
    assert list(parts) == ALWAYS + on
    for sentence in parts.values():
        assert "\n" not in sentence
        assert "  " not in sentence
        assert "array" not in sentence
        assert not sentence.endswith((".", " "))


def test_a_description_says_what_the_spec_says():
    assert "nest premium, standard, budget" in describe(load_scenario("three-nests"))["demand"]
    parts = describe(load_scenario("undercutter"))
    assert parts["market"] == "horizon_periods 1,500; discount_factor 0.99; ending truncated"
    assert parts["arrivals"] == "rate 1; process single"
    assert parts["prices"] == "price_ladder 100 prices from 1 to 100"
    assert parts["competitors"].endswith("rule undercut:1; floor 1; ceiling 100; answers_within_period True")
    order = describe(load_scenario("price-and-order"))["stock"]
    assert order.startswith("initial_units 0; replenishment action; ")
    assert order.endswith("shortage backlog; cost_due ordered; holding_cost 0.2; backlog_cost 4")
    effect = {"memory": 0.7, "gain": 0.5, "loss": 1.0}
    grocery = load_scenario("grocery").with_changes(reference_price=effect)
    assert describe(grocery)["reference_price"] == "memory 0.7; gain 0.5; loss 1"
    assert "share 0.05 to 0.6" in describe(load_scenario("fashion"))["strategic"]
    assert "names whole milk, " in describe(load_scenario("grocery"))["products"]
    assert describe(load_scenario("segment-prices"))["stock"] == "initial_units inf"


def test_a_spec_prints_as_its_card():
    spec = load_scenario("grocery")
    assert repr(spec) == "<MarketSpec grocery, version 2: 12 products, 3 segments, 52 weeks>"
    text = str(spec)
    assert text.startswith(f"grocery, version 2\n{spec.summary}\n\nmarket            horizon_periods 52")
    assert run("grocery").startswith(text[: text.index("market ")])
    assert max(map(len, text.splitlines()[2:])) <= 100
    words = " ".join(text.split())
    for part in [*describe(spec).values(), *spec.sources, *spec.traps, *spec.assumptions]:
        assert part in words


def test_every_sample_can_be_described():
    for seed in range(20):
        assert set(ALWAYS) <= set(describe(sample_catalogue(9, seed, parts="all")))


def test_groups():
    groups = {name: group(load_scenario(name)) for name in registered()}
    assert set(groups.values()) == set(GROUPS)
    assert groups["bench-10-full"] == "benchmarks"
    assert {n for n, g in groups.items() if g == "shops"} == {
        "electronics", "fashion", "grocery", "marketplace", "subscription",
    }  # fmt: skip


def test_the_list_has_one_aligned_line_a_scenario():
    lines = run().splitlines()
    rows = {line.split()[0]: line for line in lines if line.startswith("  ")}
    assert set(registered()) < set(rows)
    assert {line.index(" x ") for name, line in rows.items() if name in registered()} == {rows["regimes"].index(" x ")}
    assert all(len(line) <= 160 for line in lines)
    assert "demand-halved" in rows
    documents = json.loads(run("--json"))
    assert {row["name"] for row in documents} == set(registered())
    assert {"group", "version", "products", "periods", "summary"} < set(documents[0])


def test_a_card_names_the_optimum_the_best_fixed_price_and_the_sources():
    text = run("low-before-high")
    assert "optimum           358.395 (backward induction)" in text
    assert "best fixed price  17; earns 81.1% of the optimum" in text
    assert "sources           Littlewood (1972)" in text
    assert "traps             " in text
    card = json.loads(run("low-before-high", "--json"))
    assert card["optimum"]["value"] == pytest.approx(358.395, abs=1e-3)
    assert card["best_fixed"]["price"] == 17
    assert card["best_fixed"]["share_of_optimum"] == pytest.approx(0.811, abs=5e-4)
    assert card["parts"]["stock"].startswith("initial_units 20")


def test_a_card_without_an_optimum_says_so_and_searches_nothing(monkeypatch):
    import repricer.agents

    def never(*arguments, **keywords):
        raise AssertionError("a search for a card")

    monkeypatch.setattr(repricer.agents, "best_fixed", never)
    text = run("grocery@price-war")
    assert "unknown: no exact method covers this market" in text
    assert "assumptions       " in text
    card = json.loads(run("catalogue:20:7", "--json"))
    assert card["optimum"] is None
    assert card["best_fixed"] is None


def test_a_wrong_name_is_one_line_and_exit_code_2():
    result = CliRunner().invoke(main, ["scenarios", "grocery@price-wars"])
    assert result.exit_code == 2
    (line,) = result.stderr.splitlines()
    assert line == "repricer: stress must be a known one; got 'price-wars'; did you mean 'price-war'?"


def test_a_card_tells_every_price_rule(make_shop):
    rules = {
        "tick": None,
        "price_endings": [0.49, 0.99],
        "minimum_advertised_price": 2.5,
        "max_changes": 2,
        "change_window_periods": 7,
        "frozen": ["c"],
        "line_order": [["a", "b"]],
        "prior_price_periods": 30,
    }
    described = describe(make_shop(prices=rules))["prices"]
    assert {*rules} - {"tick"} < {part.split()[0] for part in described.split("; ")}
    assert "price_endings 0.49 or 0.99" in described
    assert "line_order a < b" in described


def test_a_shop_with_every_price_rule_comes_back_as_it_was_saved(make_shop, tmp_path):
    rules = {
        "price_endings": [0.49, 0.99],
        "frozen": ["c"],
        "line_order": [["a", "b"]],
        "minimum_advertised_price": 2.5,
    }
    shop = make_shop(prices={"tick": None, "max_changes": 2, "change_window_periods": 7, **rules})
    again = load_scenario(save_scenario(shop, tmp_path).parent)
    assert describe(again) == describe(shop)
    assert again.guardrails.lines == ((0, 1),)
    assert again.guardrails.frozen.tolist() == [False, False, True]
    assert (again.guardrails.low == shop.guardrails.low).all()
