"""The shop's own rules reach the market, and none is ignored in silence."""

import numpy as np
import pandas as pd
import pytest
from repricer.envs import rollout
from repricer.evaluation import named_policy
from repricer.fitting import Assumptions, ShopRules, build_market, priced_products
from repricer.fitting.shop_rules import rules_in_words
from repricer.scenarios import ScenarioError
from repricer.tests.fitting.test_market_builder import models

# id and name: 1 and 2 milk, 3 cream, 4 soap; regular prices 2, 3, 4, 5; charged 80% to 105% of them.
PRODUCTS = models().products


def market(table, fitted=None, **options):
    assumptions = Assumptions.under(ShopRules.of(table), **options)
    return build_market(fitted or models(), name="shop", assumptions=assumptions)


def said(spec, words):
    return any(words in line for line in spec.assumptions)


def test_the_most_specific_rule_holds():
    spec = market(
        {
            "shop": {"widening": 0.1, "highest_price": 2.0},
            "category": {"dairy": {"widening": 0.0}},
            "product": {"2": {"floor": 2.5, "ceiling": 3.1}, "cream": {"band": 0.03}},
        }
    )
    np.testing.assert_allclose(spec.prices.floor, [1.6, 2.5, 3.88, 0.72 * 5])
    np.testing.assert_allclose(spec.prices.ceiling, [2.1, 3.1, 4.12, 1.05 * 1.1 * 5])
    assert said(spec, "By the shop's rules for 'cream': band 0.03.")
    assert said(spec, "By the shop's rules for category 'dairy': widening 0.")


def test_bounds_are_soft_where_no_rule_of_the_shop_sets_them():
    rules = {"category": {"dairy": {"widening": 0.0}}, "product": {"2": {"ceiling": 3.1}, "cream": {"frozen": True}}}
    spec = market(rules)
    assert spec.prices.bounds_from_sales == ("milk (1)", "soap")
    assert spec.guardrails.bounds_from_sales.tolist() == [True, False, False, True]
    assert market({"shop": {"lowest_price": 0.5}}).prices.bounds_from_sales == ()


def test_prices_that_may_only_fall():
    spec = market({"shop": {"direction": "falling"}})
    assert spec.prices.direction == spec.guardrails.direction == "falling"
    assert said(spec, "falling")
    with pytest.raises(ScenarioError, match="direction must be one of any, falling, rising; got 'down'"):
        market({"shop": {"direction": "down"}})


def test_the_largest_change_by_product_by_list_of_products_and_by_category():
    spec = market(
        {
            "shop": {"max_change": 0.3},
            "category": {"dairy": {"max_change": 0.2}},
            "group": {"key-value": {"products": ["2", "cream"], "max_change": 0.05}, "none": {"products": ["9"]}},
            "product": {"2": {"max_change": 0.1}},
        }
    )
    assert spec.prices.max_change.tolist() == [0.2, 0.1, 0.05, 0.3]
    assert said(spec, "By the shop's rules for 'key-value': max change 0.05, products 2, cream.")
    assert said(spec, "Without effect are the shop's rules for '9'")
    assert said(spec, "change by at most 5% to 30% per week")


def test_rules_of_the_whole_shop_become_price_rules():
    spec = market(
        {"shop": {"price_endings": [0.49, 0.99], "max_change": 0.1, "minimum_margin": 0.2, "lines": [["1", "2"]]}}
    )
    assert spec.prices.tick is None
    assert spec.prices.price_endings.fractions.tolist() == [0.49, 0.99]
    assert spec.prices.max_change.tolist() == [0.1] * 4
    assert spec.prices.minimum_margin == 0.2
    assert spec.prices.line_order == (("milk (1)", "milk (2)"),)
    assert said(spec, "change by at most 10% per week")
    assert said(spec, "price endings 0.49, 0.99")


def test_a_frozen_product_keeps_its_price_and_one_may_be_spared():
    spec = market({"category": {"dairy": {"frozen": True}}, "product": {"3": {"frozen": False}}})
    assert spec.prices.frozen == ("milk (1)", "milk (2)")
    state = rollout(spec, named_policy("random", spec), episodes=2, seed=0)
    assert (state.price_path[:, 1] == 3.0).all()
    assert (state.price_path[:, 2] != 4.0).any()
    assert not said(spec, "do not identify")


def test_unit_costs_are_assumed_only_where_they_are_unknown():
    known = PRODUCTS.assign(unit_cost=[1.0, np.nan, 2.0, 3.0])
    spec = market(
        {"shop": {"unit_cost_share": 0.4}, "product": {"2": {"unit_cost_share": [0.5, 0.7]}}}, models(products=known)
    )
    np.testing.assert_allclose(spec.products.unit_cost, [1.0, 1.8, 2.0, 3.0])
    np.testing.assert_allclose(spec.posterior.unit_cost[:, [0, 2, 3]], 1.0)
    drawn = spec.posterior.unit_cost[:, 1] * 1.8 / 3.0
    assert 0.5 <= drawn.min() < drawn.max() <= 0.7
    assert said(spec, "no unit cost for 1 of 4 products: assumed is 60% of the regular price, and 50% to 70% in the")
    assert not said(market({}, models(products=PRODUCTS.assign(unit_cost=1.0))), "unit cost for")


def test_excluded_products_and_other_categories_are_left_out():
    left = ShopRules.of({"shop": {"categories": ["dairy"]}, "product": {"3": {"excluded": True}}}).chosen_from(PRODUCTS)
    assert left["product"].tolist() == ["1", "2"]
    with pytest.raises(ScenarioError, match="rules must leave products to price; got none"):
        ShopRules.of({"shop": {"excluded": True}}).chosen_from(PRODUCTS)


def test_gaps_and_lines_hold_among_what_is_priced():
    table = {
        "shop": {"lines": [["cream", "4", "9"], ["9", "8"]]},
        "gap": [
            {"product": "1", "other": "2", "at_most": 0.8},
            {"product": "2", "product_size": 3.0, "other": "1", "other_size": 1.5, "at_most": 1.0},
            {"product": "9", "other": "1"},
        ],
    }
    spec = market(table)
    assert spec.prices.line_order == (("cream", "soap"),)
    assert spec.prices.price_gaps == (("milk (1)", "milk (2)"), ("milk (2)", "milk (1)"))
    assert spec.prices.gap_shares.tolist() == [0.8, 2.0]
    price = rollout(spec, named_policy("random", spec), episodes=3, seed=0).price_path
    assert (price[:, 0] <= 0.8 * price[:, 1] * (1 + 1e-5)).all()
    assert said(spec, "rules for '9' and '8' together, '9' and '1' together: not among what is priced")
    assert said(spec, "'2' costs at most 2 times what '1' costs")


def test_prices_are_held_to_the_last_known_competing_price():
    theirs = models(products=PRODUCTS.assign(competitor_price=[1.5, 4.0, np.nan, 8.0]))
    rules = {"rival_at_most": 0.9, "rival_at_least": 0.8}
    spec = market({"shop": {**rules, "widening": 0.0}, "product": {"2": {"ceiling": 3.1}}}, theirs)
    # 1: below what was ever charged; 2: the shop's own ceiling comes first; 3: no rival; 4: above what was charged.
    np.testing.assert_allclose(spec.prices.floor, [1.35, 3.1, 3.2, 6.4])
    np.testing.assert_allclose(spec.prices.ceiling, [1.35, 3.1, 4.2, 6.4])
    assert said(spec, "Without effect, as the tables give no competing price, are the rules on it for cream.")
    assert not said(market({}, theirs), "ompeting price")


@pytest.mark.parametrize(
    ("grid", "most", "least"),
    [({}, 1.47, 6.43), ({"tick": 0.05}, 1.45, 6.45), ({"price_endings": [0.49, 0.99]}, 0.99, 6.49),
     ({"price_ladder": [1.0, 1.4, 3.0, 4.0, 7.0]}, 1.4, 7.0)],
)  # fmt: skip
def test_a_competing_price_that_leaves_no_other_one_leaves_one_of_the_grid(grid, most, least):
    theirs = models(products=PRODUCTS.assign(competitor_price=[1.51, np.nan, np.nan, 8.03]))
    spec = market({"shop": {"rival_at_most": 0.98, "rival_at_least": 0.8, "widening": 0.0, **grid}}, theirs)
    assert spec.guardrails.low[[0, 3]].tolist() == pytest.approx([most, least])
    assert spec.guardrails.high[[0, 3]].tolist() == pytest.approx([most, least])


def test_a_rule_for_what_is_not_priced_is_said():
    rules = ShopRules.of({"product": {"9": {"band": 0.1}, "3": {"band": 0.1}}, "category": {"toys": {"band": 0.1}}})
    assert rules_in_words(rules, PRODUCTS)[-1] == (
        "Without effect are the shop's rules for '9', category 'toys': not among what is priced."
    )


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (
            {"product": {"creem": {"band": 0.1}}},
            "rules: product must be one of the tables; got 'creem'; did you mean 'cream'",
        ),
        (
            {"product": {"milk": {"band": 0.1}}},
            "rules: 'milk' must be one product; got the name of several: 1, 2; use the id",
        ),
        ({"group": {"kvi": {"products": ["1", "7"]}}}, "product must be one of the tables; got '7'"),
        ({"category": {"diary": {}}}, "rules: category must be one of the tables; got 'diary'; did you mean 'dairy'"),
        ({"shop": {"categories": ["soap"]}}, "category must be one of the tables; got 'soap'"),
        ({"shop": {"lines": [["1", "7"]]}}, "product must be one of the tables; got '7'"),
    ],
)
def test_names_that_the_shop_does_not_have_are_refused(table, message):
    with pytest.raises(ScenarioError, match=message):
        ShopRules.of(table).check(PRODUCTS)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"shops": {}}, "shops is no known key; did you mean 'shop'"),
        ({"product": {"1": {"flor": 1.0}}}, r"product.1.flor is no known key; did you mean 'product.1.floor'"),
        ({"product": {"1": {"max_changes": 1}}}, r"product.1.max_changes holds for all products; .* under \[shop\]"),
        ({"group": {"kvi": {"products": "milk"}}}, "group.kvi.products must be"),
        ({"group": {"kvi": {"max_change": 0.1}}}, "group.kvi.products is missing"),
        ({"shop": {"lines": [["1"]]}}, r"shop.lines must list two products or more, each once; got \['1'\]"),
        ({"shop": {"lines": [["1", "2", "1"]]}}, "shop.lines must list two products or more, each once"),
        ({"product": {"1": {"band": -1}}}, r"product.1.band must lie in \[0, 10\]; got -1"),
        ({"product": {"1": {"frozen": "no"}}}, "product.1.frozen must be true or false; got 'no'"),
        ({"product": {"1": 3}}, "product.1 must be a table"),
        ({"gap": {"product": "1"}}, r"gap must be tables \[\[gap\]\]"),
        ({"gap": [{"product": "1"}]}, "gap 1.other is missing"),
        ({"gap": [{"product": "1", "other": "2", "at_most": 0}]}, "gap 1.at_most must lie in"),
        ({"shop": {"tick": 0}}, r"shop.tick must lie in"),
        ({"shop": {"price_endings": [1.5]}}, "price_endings"),
        ({"shop": {"unit_cost_share": [0.1, 0.2, 0.3]}}, "shop.unit_cost_share must have shape"),
    ],
)
def test_wrong_rules_are_refused(table, message):
    with pytest.raises(ScenarioError, match=message) as caught:
        ShopRules.of(table)
    assert "\n" not in str(caught.value)


def test_a_file_and_what_is_set_over_it(tmp_path):
    path = tmp_path / "rules.toml"
    path.write_text("[shop]\nband = 0.2\ntick = 0.1\n[product.3]\nfrozen = true\nband = 0.01\n", encoding="utf-8")
    rules = ShopRules.load(path, {"shop": {"tick": 0.5}, "product": {"3": {"frozen": False}}})
    assert rules.prices == {"tick": 0.5}
    assert rules.values("band", PRODUCTS, 9.0).tolist() == [0.2, 0.2, 0.01, 0.2]
    assert not rules.values("frozen", PRODUCTS, False).any()
    with pytest.raises(ScenarioError, match=r"rules .*none.toml must be a TOML file; got no such file"):
        ShopRules.load(tmp_path / "none.toml")
    path.write_text("band", encoding="utf-8")
    with pytest.raises(ScenarioError, match=r"rules .*rules.toml must be TOML in UTF-8; got"):
        ShopRules.load(path)


def test_an_excluded_best_seller_gives_way_to_the_next():
    from repricer.data import Tables

    rng = np.random.default_rng(0)
    rows = [
        (pd.Timestamp("2024-01-01") + pd.Timedelta(weeks=w), f"p{n}", 10.0 + 5 * n, price, price)
        for n in range(4)
        for w in range(60)
        for price in [float(rng.choice([2.0, 2.5, 3.0]))]
    ]
    sales = pd.DataFrame(rows, columns=["date", "product", "units", "price_paid", "regular_price"])
    products = pd.DataFrame({"product": [f"p{n}" for n in range(4)], "name": list("abcd"), "category": "tea"})
    chosen = priced_products(
        Tables(sales, products), ShopRules.of({"product": {"d": {"excluded": True}}}), per_category=2
    )
    assert chosen["product"].tolist() == ["p2", "p1"]


def test_packs_and_priorities_reach_the_market_and_contradictions_are_named():
    table = {
        "shop": {"widening": 0.0},
        "pack": [{"products": ["1", "2"], "sizes": [0.5, 1.0]}],
        "priority": {"pack_price": "hard", "rival_price": "law", "floor": 3},
        "product": {"2": {"floor": 3.0}},
    }
    fitted = models()
    fitted.products["competitor_price"] = [np.nan, 2.0, np.nan, np.nan]
    table["product"]["2"]["rival_at_most"] = 1.0
    spec = market(table, fitted)
    assert (spec.prices.packs, spec.prices.pack_shares.tolist()) == ((("milk (2)", "milk (1)"),), [2.0])
    assert spec.guardrails.is_firm("pack_price")
    # The competing price is law: the floor of the shop gives way.
    np.testing.assert_allclose(spec.prices.ceiling[1], 2.0)
    assert said(spec, "'milk (2)' cannot keep the rule on floor and ceiling: stronger rules leave it 1.00 away.")
    assert said(spec, "By the shop's priorities: pack price hard, rival price law, floor 3.")
    del table["priority"]
    weaker = market(table, fitted)
    np.testing.assert_allclose(weaker.prices.floor[1], 3.0)
    assert said(weaker, "cannot keep the rule on the competing price: stronger rules leave it 1.00 away.")


@pytest.mark.parametrize(
    ("table", "words"),
    [
        (
            {"pack": [{"products": ["1", "2"], "sizes": [2.0, 1.0]}]},
            "pack 1 must list two products or more with rising",
        ),
        ({"pack": [{"products": ["1"], "sizes": [2.0]}]}, "pack 1 must list two products or more with rising sizes"),
        ({"pack": [{"products": ["1", "2"], "sizes": [1e-6, 1e6]}]}, r"pack 1 must compare sizes .* got 1e\+12"),
        ({"gap": [{"product": "1", "other": "2", "other_size": 1e6}]}, r"gap 1 must compare sizes .* got 1e-06"),
        ({"pack": [{"products": ["1", "2"]}]}, "pack 1.sizes is missing; it is the list of their sizes"),
        ({"priority": {"flor": 1}}, "priority.flor is no price rule; did you mean floor?"),
        ({"priority": {"tick": 1}}, "priority.tick is no price rule"),
        ({"index": {"rivals_at_most": 1.0}}, "index.rivals_at_most is no known key"),
    ],
)
def test_wrong_packs_and_priorities_are_refused(table, words):
    with pytest.raises(ScenarioError, match=words):
        ShopRules.of(table)


@pytest.mark.parametrize(
    ("table", "low", "high", "words"),
    [
        # The shop's ceiling does not take the competing price's share away.
        ({"shop": {"rival_at_most": 0.9}, "product": {"2": {"ceiling": 3.0}}}, 1.8, 1.8, None),
        ({"shop": {"rival_at_least": 1.2}, "product": {"2": {"floor": 0.5}}}, 2.4, None, None),
        # A hard margin (cost 2) or advertised price leaves a soft rule on a competing price what it can.
        ({"shop": {"rival_at_most": 0.5, "minimum_margin": 0.2}}, 2.5, 2.5, "leave it 1.50 away"),
        ({"product": {"2": {"rival_at_most": 0.5, "minimum_advertised_price": 1.6}}}, 1.6, 1.6, "leave it 0.60 away"),
        # Of two bounds one of which is soft, that one gives way.
        ({"product": {"2": {"floor": 3.0, "ceiling": 2.0}}, "priority": {"ceiling": 1}}, 3.0, 3.0, None),
        ({"product": {"2": {"floor": 3.0, "ceiling": 2.0}}, "priority": {"floor": 1}}, 2.0, 2.0, None),
    ],
)
def test_soft_rules_of_a_fitted_market_give_way_and_are_not_lost(table, low, high, words):
    fitted = models(
        products=PRODUCTS.assign(competitor_price=[np.nan, 2.0, np.nan, np.nan], unit_cost=[0.5, 2.0, 0.5, 0.5])
    )
    spec = market(table, fitted)
    assert spec.guardrails.low[1] == pytest.approx(low)
    assert high is None or spec.guardrails.high[1] == pytest.approx(high)
    assert words is None or said(spec, words)


def test_firm_bounds_that_contradict_each_other_are_refused():
    with pytest.raises(
        ScenarioError, match=r"prices.floor must be at most prices.ceiling; got 3 over 2 for 'milk \(2\)'"
    ):
        market({"product": {"2": {"floor": 3.0, "ceiling": 2.0, "rival_at_most": 0.9}}})
