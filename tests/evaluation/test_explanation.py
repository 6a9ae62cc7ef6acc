import json
from dataclasses import replace

import numpy as np
import pytest
from repricer.envs import Market, catalogue_of, seed_for
from repricer.evaluation import exact_value, explain, named_policy, solve, surrogate_tree
from repricer.evaluation.explanation import demand_curve, view_at
from repricer.pricing import Action, ActionParts, FixedPrice, NetworkPolicy, PricePath, RecurrentPolicy, row_width
from repricer.scenarios import load_scenario


class Rule:
    """A policy made of a function of the view to prices (E, N)."""

    def __init__(self, price, name="rule"):
        self.price, self.name = price, name

    def act(self, view):
        return Action(self.price(view).astype(np.float32))


BY_STOCK = Rule(lambda view: 12 - 0.2 * view.on_hand, "by-stock")


def network(spec):
    """A network of random weights that prices product by product and looks at every feature."""
    width = row_width(catalogue_of(spec), product_wise=True)
    weights = np.random.default_rng(0).normal(0, 0.1, (width, 4)).astype(np.float32)

    def forward(rows):
        return ActionParts(price_multiplier=np.exp(0.3 * np.tanh(rows @ weights).sum(axis=1)))

    regular = spec.products.regular_price.astype(np.float32)
    return NetworkPolicy("network", forward, spec.action_layout(regular), regular, product_wise=True)


def remembering(spec):
    """The same, which mixes in half of what it said in the period before."""
    plain = network(spec)

    def remember(rows, notes):
        said = np.log(plain.forward(rows).price_multiplier) + 0.5 * notes[0][:, 0, 0]
        return ActionParts(price_multiplier=np.exp(said)), (said[:, None, None],)

    def opening(rows):
        return (np.zeros((len(rows), 1, 1), np.float32),)

    return RecurrentPolicy("remembering", remember, opening, plain.layout, plain.base_price, product_wise=True)


CASES = [
    ("stationary-logit", "optimum", 12),
    ("scarce", "certainty-equivalent", 20),
    ("regimes", "optimum", 9),
    ("three-stocks", "optimum", 10),
    ("low-before-high", "time-only", 3),
    ("marketplace", "undercut:0.2", 30),
    ("electronics", network, 17),
    ("grocery", network, 8),
]


def ample(spec):
    """The market with more stock than can sell, and without hidden shocks."""
    stock = {"initial_units": 1e4, "spoilage": 0.0}
    if spec.stock.replenishment == "order-up-to":
        stock["order_up_to_units"] = 1e4
    return replace(spec, shocks=None).with_changes(stock=stock)


class TestDemandCurve:
    @pytest.mark.parametrize(
        "name", ["stationary-logit", "grocery", "bench-10-full", "undercutter", "fashion", "regimes", "three-stocks"]
    )
    def test_it_is_what_the_market_sells_on_average(self, name):
        """In the opening period, against ten thousand drawn markets at three prices of the curve."""
        spec = ample(load_scenario(name))
        view, action = Market(spec).view, Action(spec.products.regular_price[None].astype(np.float32))
        if view.regime is not None:
            view = replace(view, regime=np.zeros_like(view.regime))
        curve = demand_curve(spec, view, action, 0)
        for i in (1, curve.charged, curve.price.size // 2):
            market = Market(spec, num_markets=10_000, seed=11)
            alike = slice(None) if spec.regimes is None else market.state.regime == 0
            price = np.tile(action.price, (10_000, 1))
            price[:, 0] = curve.price[i]
            units = market.step(Action(price)).units[alike, 0]
            error = max(units.std() / units.size**0.5, 1e-3)
            assert abs(units.mean() - curve.units[i]) < 4.5 * error

    def test_in_the_middle_of_an_episode(self):
        """Loyalty, reference prices and rivals have moved; ten thousand markets start from that state."""
        spec = ample(load_scenario("grocery"))
        one, cheap = Market(spec, seed=4), Action(0.8 * spec.products.regular_price[None].astype(np.float32))
        for _ in range(6):
            one.step(cheap)
        assert one.view.loyalty.min() > 1.02
        curve = demand_curve(spec, one.view, cheap, 3)
        state = {name: np.repeat(rows, 10_000, axis=-1) for name, rows in one.state.arrays().items()}
        state["clock"][0] = np.arange(10_000)
        many = Market(spec, num_markets=10_000, seed=9)
        many.restore(replace(many.state, **state))
        units = many.step(Action(np.tile(cheap.price, (10_000, 1)))).units[:, 3]
        assert abs(units.mean() - curve.units[curve.charged]) < 4 * units.std() / 10_000**0.5

    def test_personal_prices_promotions_and_the_slot_count(self, shop):
        spec = ample(shop)
        ones = np.ones((1, 3, 2), np.float32)
        action = Action(np.array([[4.0, 5.0, 3.0]], np.float32), 0.15 * ones, ones * [[[1, 2], [3, 1], [2, 2]]])
        curve = demand_curve(spec, Market(spec).view, action, 1)
        market = Market(spec, num_markets=10_000, seed=5)
        many = {
            name: np.repeat(getattr(action, name), 10_000, axis=0) for name in ("price", "discount", "recommendation")
        }
        units = market.step(Action(**many)).units[:, 1]
        assert abs(units.mean() - curve.units[curve.charged]) < 4 * units.std() / 10_000**0.5

    def test_what_an_express_order_brings_at_once_is_in_stock(self, make_shop):
        stock = {"replenishment": "action", "max_order_units": 9, "lead_time_periods": 2, "initial_units": 0}
        spec = replace(make_shop(stock=stock, express={"max_order_units": 1e4}), shocks=None)
        action = Action(np.array([[4.0, 5.0, 3.0]], np.float32), express=np.full((1, 3), 1e4, np.float32))
        curve = demand_curve(spec, Market(spec).view, action, 1)
        market = Market(spec, num_markets=10_000, seed=5)
        many = {name: np.repeat(getattr(action, name), 10_000, axis=0) for name in ("price", "express")}
        units = market.step(Action(**many)).units[:, 1]
        assert abs(units.mean() - curve.units[curve.charged]) < 4 * units.std() / 10_000**0.5

    def test_intervals_cover_what_is_drawn(self, make_shop):
        spec = ample(make_shop(arrivals={"overdispersion": 0.3}))
        view, action = Market(spec).view, Action(spec.products.regular_price[None].astype(np.float32))
        curve = demand_curve(spec, view, action, 0)
        market = Market(spec, num_markets=10_000, seed=3)
        units = market.step(Action(np.tile(action.price, (10_000, 1)))).units[:, 0]
        for level, both in curve.interval.items():
            low, high = both[:, curve.charged]
            inside = ((units >= low) & (units <= high)).mean()
            assert level / 100 - 0.005 < inside < level / 100 + 0.09

    def test_money_is_what_the_market_expects_of_what_is_in_stock(self):
        """Little is left, so a low price sells no more than that."""
        spec = load_scenario("scarce")
        view = replace(Market(spec).view, on_hand=np.array([[1.0]], np.float32))
        curve = demand_curve(spec, view, Action(np.array([[1.0]], np.float32)), 0)
        np.testing.assert_allclose(curve.objective, curve.price * (1 - np.exp(-curve.units)), rtol=1e-4)

    def test_a_hidden_regime_is_averaged_over(self):
        seen = load_scenario("regimes")
        hidden = seen.with_changes(regimes={"observed": False})
        action = Action(np.array([[10.0]], np.float32))
        one = demand_curve(hidden, Market(hidden).view, action, 0)
        by_regime = [
            demand_curve(seen, replace(Market(seen).view, regime=np.array([z])), action, 0).units for z in range(2)
        ]
        np.testing.assert_allclose(one.units, seen.regimes.initial @ np.array(by_regime), rtol=1e-6)

    def test_prices_are_allowed_ones_and_demand_falls(self, shop):
        curve = demand_curve(shop, Market(shop).view, Action(np.array([[4.0, 5.0, 3.0]], np.float32)), 0)
        np.testing.assert_allclose(curve.price, curve.price.round(2), atol=1e-5)
        assert (np.diff(curve.units) < 0).all()
        assert curve.price[curve.charged] == 4

    def test_an_unsure_elasticity_widens_it_away_from_the_regular_price(self, shop):
        given = (shop, Market(shop).view, Action(np.array([[4.0, 5.0, 3.0]], np.float32)), 0)
        sure, unsure = demand_curve(*given), demand_curve(*given, elasticity_error=0.8)
        width = [curve.interval[95][1] - curve.interval[95][0] for curve in (sure, unsure)]
        assert width[0][sure.charged] == width[1][sure.charged]
        assert (width[1] >= width[0]).all()
        assert width[1][0] > 1.5 * width[0][0]


class TestBestAlternative:
    def test_the_best_price_of_the_period(self, shop):
        """Against the market's own expectation at every tick."""
        found = explain(shop, FixedPrice(shop.products.regular_price, name="f"), product="c")
        prices = np.arange(1.5, 5.005, 0.01)
        rows = np.tile(shop.products.regular_price, (prices.size, 1))
        rows[:, 2] = prices
        market = Market(shop, num_markets=prices.size)
        money = market.money(market.step(Action(rows.astype(np.float32))), expected=True).sum(axis=1)
        assert found.now.price == pytest.approx(prices[money.argmax()], abs=0.011)
        assert found.now.objective == pytest.approx(money.max(), rel=1e-5)
        assert found.now.gain == pytest.approx(money.max() - money[np.abs(prices - 3.0).argmin()], abs=1e-3)

    @pytest.mark.parametrize("period", [0, 7, 29])
    def test_the_value_of_the_rest_is_that_of_a_shorter_market(self, period):
        spec = load_scenario("stationary-logit")
        policy = solve(spec).policy
        view = view_at(spec, policy, period=period)
        shorter = {
            "market": {"horizon_periods": 30 - period},
            "arrivals": {"rate": spec.arrivals.rate[period:]},
            "demand": {"season": 0.0, "quality_path": 0.0, "sensitivity_path": 1.0},
            "stock": {"initial_units": view.on_hand[0]},
        }
        rest = exact_value(spec, policy, start=view)
        assert rest == pytest.approx(solve(spec.with_changes(**shorter)).value, rel=1e-9)

    def test_the_value_of_the_rest_with_a_hidden_regime_is_the_mean(self):
        seen = load_scenario("regimes")
        hidden, policy = seen.with_changes(regimes={"observed": False}), FixedPrice(10.0)
        whole = exact_value(hidden, policy, start=Market(hidden).view)
        assert whole == pytest.approx(exact_value(seen, policy))


class TestExplain:
    def test_the_trail_says_what_the_rules_changed(self):
        found = explain("stationary-logit", Rule(lambda v: 25 + 0 * v.on_hand))
        assert found.trail[0].rule == "ceiling"
        assert found.price == 20
        assert "The price rule 'ceiling' moved it from 25 to 20" in " ".join(found.sentences)

    def test_what_the_price_rules_add_stands_apart(self):
        spec = load_scenario("stationary-logit")
        found = explain(spec, Rule(lambda v: 25 + 0 * v.on_hand))
        assert found.contributions.baseline == 25
        assert found.rules == pytest.approx(spec.guardrails.high[0] - 25)
        assert not any(found.contributions.inputs.values())

    @pytest.mark.parametrize(("name", "policy", "period"), CASES)
    def test_what_moved_the_price_adds_up_to_it(self, name, policy, period):
        spec = load_scenario(name)
        policy = policy(spec) if callable(policy) else named_policy(policy, spec)
        product = spec.products.names[-1]
        view = view_at(spec, policy, period=period)
        found = explain(spec, policy, product=product, view=view)
        moved = found.contributions
        charged = spec.guardrails.apply(policy.act(view), view).price[0, -1]
        assert moved.baseline + sum(moved.inputs.values()) + found.rules == pytest.approx(charged, rel=1e-9)
        assert found.price == pytest.approx(charged, rel=1e-9)
        assert any(abs(amount) > 1e-3 for amount in moved.inputs.values())

    def test_a_product_that_is_sold_out(self):
        """Demand is known all the same, and no price earns anything."""
        spec = load_scenario("stationary-logit")
        empty = replace(Market(spec).view, on_hand=np.zeros((1, 1), np.float32))
        found, stocked = (explain(spec, FixedPrice(9.0), view=view) for view in (empty, Market(spec).view))
        assert "It is sold out; at this price" in " ".join(found.sentences)
        assert "sold out" not in " ".join(stocked.sentences)
        np.testing.assert_array_equal(found.curve.units, stocked.curve.units)
        assert not found.curve.objective.any()

    def test_a_price_by_its_state(self):
        spec = load_scenario("stationary-logit")
        view = replace(Market(spec).view, on_hand=np.array([[3.0]], np.float32), period=np.array([5]))
        found = explain(spec, BY_STOCK, view=view)
        assert found.period == 5
        assert found.price == pytest.approx(11.5, abs=0.26)

    def test_what_a_market_came_to_is_replayed(self):
        spec = load_scenario("stationary-logit")
        many = Market(spec, num_markets=4, seed=seed_for("test"))
        for _ in range(6):
            many.step(BY_STOCK.act(many.view))
        view = view_at(spec, BY_STOCK, period=6, market=2)
        assert view.on_hand[0] == many.view.on_hand[2]
        assert view.period[0] == 6

    def test_a_policy_that_looks_back_is_explained_with_what_it_noted(self):
        spec = load_scenario("grocery")
        found = explain(spec, remembering(spec), product=spec.products.names[1], period=4, market=2)
        played = remembering(spec)
        batch = Market(spec, seed=seed_for("test"), numbers=np.array([2]))
        for _ in range(4):
            batch.step(played.act(batch.view))
        charged = spec.guardrails.apply(played.act(batch.view), batch.view).price[0, 1]
        assert found.price == pytest.approx(float(charged), rel=1e-6)
        moved = found.contributions
        assert moved.baseline + sum(moved.inputs.values()) + found.rules == pytest.approx(found.price, abs=1e-9)
        assert found.to_dict()["looks_back"]
        assert "held fixed" in found.sentences[0]
        # Without its notes the network says something else.
        assert network(spec).act(batch.view).price[0, 1] != pytest.approx(float(charged), rel=1e-3)

    def test_a_state_in_mid_episode_does_not_say_what_a_policy_noted(self, shop):
        policy = remembering(shop)
        assert explain(shop, policy, view=view_at(shop, policy, period=0)).period == 0
        with pytest.raises(
            ValueError, match="must be of the first period; got one of period 3 for remembering; name a period"
        ):
            explain(shop, policy, view=view_at(shop, policy, period=3))

    def test_the_document_is_plain_json(self, shop):
        document = json.loads(
            json.dumps(explain(shop, network(shop), product="b", period=3).to_dict(), allow_nan=False)
        )
        assert document["product"] == "b"
        found = document["attribution"]
        assert found["baseline"] + sum(found["inputs"].values()) + found["rules"] == pytest.approx(document["price"])
        assert set(document["curve"]) == {"price", "units", "objective", "units80", "units95", "charged", "for_sale"}
        assert len(document["sentences"]) >= 3

    @pytest.mark.parametrize("name", ["thompson", "random", "epsilon-greedy:0.2"])
    def test_policies_that_the_view_does_not_fix_are_refused_in_one_line(self, name):
        spec = load_scenario("stationary-logit")
        with pytest.raises(ValueError, match="which draws or learns; fit a surrogate tree") as caught:
            explain(spec, named_policy(name, spec))
        assert "\n" not in str(caught.value)

    def test_unknown_products_and_periods(self, shop):
        with pytest.raises(ValueError, match="product must be one of a, b, c; got 'd'"):
            explain(shop, FixedPrice(3.0), product="d")
        with pytest.raises(ValueError, match="period must lie in 0 to 7; got 8"):
            explain(shop, FixedPrice(3.0), period=8)


class TestSurrogateTree:
    def test_a_threshold_on_the_stock_is_found(self):
        spec = load_scenario("stationary-logit").with_changes(market={"discount_factor": 1.0})
        policy = Rule(lambda v: np.where(v.last_units >= 2, 13.0, 9.0))
        found = surrogate_tree(policy, spec, max_depth=1)
        assert found.names[found.tree.tree_.feature[0]] == "log_surprise"
        assert found.fidelity == pytest.approx(1)
        assert "the sales of the last period against their forecast" in found.text

    def test_deeper_trees_know_more(self):
        spec = load_scenario("stationary-logit")
        policy = named_policy("optimum", spec)
        shallow, deep = (surrogate_tree(policy, spec, max_depth=depth) for depth in (1, 6))
        assert shallow.fidelity < 0.95 < deep.fidelity <= 1
        assert deep.tree.get_depth() <= 6
        assert json.loads(json.dumps(deep.to_dict()))["leaves"] == deep.tree.get_n_leaves()

    def test_a_constant_is_known_and_chance_is_not(self):
        spec = load_scenario("stationary-logit")
        assert surrogate_tree(FixedPrice(9.0), spec).fidelity == 1
        assert surrogate_tree(named_policy("random", spec), spec).fidelity < 0.1

    def test_products_are_told_apart(self, shop):
        policy = FixedPrice(shop.products.regular_price * [1.0, 1.2, 0.8])
        assert surrogate_tree(policy, shop, max_depth=2).fidelity == pytest.approx(1, abs=1e-3)

    def test_it_follows_the_price_charged_and_not_the_one_proposed(self):
        spec = load_scenario("stationary-logit")
        path = PricePath(np.linspace(25, 30, 30)[:, None], name="too-high")
        assert surrogate_tree(path, spec).fidelity == 1

    def test_no_levels(self, shop):
        with pytest.raises(ValueError, match="max_depth must be at least 1; got 0"):
            surrogate_tree(FixedPrice(3.0), shop, max_depth=0)


def test_its_parts_add_up_to_the_price():
    shop = load_scenario("grocery")
    found = explain(shop, network(shop), product=shop.products.names[1], period=4)
    assert len(repr(found)) < 150
    assert found.to_frame()["amount"].sum() == pytest.approx(found.price)
