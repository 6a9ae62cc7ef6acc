import numpy as np
import pytest
from repricer.agents.logged_data import record_policy, training_view
from repricer.envs import LearnerView, Market, seed_for
from repricer.pricing import Action, CostPlus, FixedPrice, competitor
from repricer.scenarios import goal_market, load_scenario


class Everything:
    """Decides all there is to decide, by what it sees."""

    name = "everything"

    def act(self, view):
        price = view.list_price * np.float32(0.97)
        segments = np.arange(1, view.catalogue.num_segments + 1, dtype=np.float32)
        each = np.ones((*price.shape, 1), np.float32)
        return Action(price, discount=each * segments * 0.05, recommendation=each * segments / 4 - 0.3)


@pytest.mark.parametrize("product_wise", [False, True])
@pytest.mark.parametrize("reward", ["drawn", "expected", "conversion-difference"])
def test_what_is_logged_can_be_done_again(make_shop, product_wise, reward):
    """The raw actions, taken by a learner, bring the same features and money for the same customers."""
    shop = make_shop(prices={"tick": None})
    learner_view = LearnerView(
        Market(shop, num_markets=5), product_wise=product_wise, reward=reward, reward_scale=0.1, history=2
    )
    log = record_policy(training_view(learner_view, 6, 3), Everything())
    again = LearnerView(
        Market(shop, num_markets=6, seed=seed_for("training", 3)),
        product_wise=product_wise,
        reward=reward,
        reward_scale=0.1,
        history=2,
    )
    for t in range(8):
        np.testing.assert_allclose(log.features[t], again.observe(), atol=2e-5)
        outcome = again.step(log.actions[t])
        np.testing.assert_array_equal(log.units[t].reshape(6, 3), outcome.units)
        np.testing.assert_allclose(log.money[t], again.rewards(outcome), atol=1e-4)
    np.testing.assert_allclose(log.next_features[-1], again.observe(), atol=2e-5)
    assert log.decided.all()
    assert log.done[-1].all()
    assert not log.done[:-1].any()


def test_a_rule_or_a_multiple_of_the_regular_price_can_be_done_again():
    """A teacher that undercuts above 35 and else charges 66, disturbed, is logged in levels that bring its money."""
    options = {"base": competitor("undercut:1"), "actions": "discrete", "levels_around": "regular", "price_levels": 41}
    learner_view = LearnerView(Market("undercutter"), **options)
    log = record_policy(training_view(learner_view, 4, 3), competitor("two-bound:35:66:1"), disturbance=0.2)
    undercuts = log.advice[..., 0] == 0
    assert 0 < undercuts[:, 0].mean() < 1
    again = LearnerView(Market("undercutter", num_markets=4, seed=seed_for("training", 3)), **options)
    for t in range(40):
        np.testing.assert_allclose(log.features[t], again.observe(), atol=2e-5)
        np.testing.assert_allclose(log.money[t], again.rewards(again.step_raw(log.actions[t])), atol=1e-4)


def test_the_price_that_was_charged_is_logged_and_what_was_advised_beside_it():
    spec = load_scenario("stationary-logit")
    log = record_policy(LearnerView(Market(spec, num_markets=4)), FixedPrice(8.3))
    layout = spec.action_layout(spec.products.regular_price)
    np.testing.assert_allclose(11 * layout.decode(log.actions).price_multiplier, 8.5, rtol=1e-6)
    np.testing.assert_allclose(11 * layout.decode(log.advice).price_multiplier, 8.3, rtol=1e-6)


@pytest.mark.parametrize("product_wise", [False, True])
def test_only_what_the_policy_decides_is_marked(shop, product_wise):
    log = record_policy(LearnerView(Market(shop, num_markets=2), product_wise=product_wise), CostPlus(0.6))
    each = [True, False, False, False, False]
    assert log.decided.tolist() == (each if product_wise else each * 3)
    assert (log.actions[..., ~log.decided] == 0).all()


def test_a_disturbance_moves_what_is_done_in_every_second_market_and_the_advice_follows(shop):
    learner_view = LearnerView(Market(shop, num_markets=4))
    calm, moved = (
        record_policy(learner_view, CostPlus(0.6)),
        record_policy(learner_view, CostPlus(0.6), disturbance=0.4),
    )
    for name in ("observations", "actions", "advice", "units"):
        np.testing.assert_array_equal(getattr(calm, name)[:, ::2], getattr(moved, name)[:, ::2])
    # Deviations of 0.8 / 3 and 0.8: twice the mean in the last market, where the bounds cut it.
    low, high = ((moved.actions - moved.advice)[:, market, ::5].std() for market in (1, 3))
    assert 0.15 < low < 0.35 < high < 0.8
    np.testing.assert_array_equal(moved.advice, calm.advice)  # cost plus looks at nothing that moved
    assert not np.array_equal(moved.observations[:, 1], calm.observations[:, 1])


def test_returns_by_hand(make_shop):
    ends = record_policy(LearnerView(Market(make_shop(), num_markets=2)), CostPlus(0.5))
    weights = 0.9 ** np.arange(8)
    np.testing.assert_allclose(ends.returns(0.9)[0], weights @ ends.money, rtol=1e-5)
    np.testing.assert_allclose(ends.returns(1.0)[-1], ends.money[-1])
    cut = record_policy(LearnerView(Market(make_shop(market={"ending": "truncated"}), num_markets=2)), CostPlus(0.5))
    expected = weights @ cut.money + 0.9**8 * cut.money.mean() / 0.1
    np.testing.assert_allclose(cut.returns(0.9)[0], expected, rtol=1e-5)


@pytest.mark.parametrize("ending", ["terminated", "truncated"])
def test_a_log_has_the_layout_of_other_libraries(make_shop, ending):
    spec = make_shop(market={"ending": ending})
    log = record_policy(LearnerView(Market(spec, num_markets=2)), FixedPrice(spec.products.regular_price))
    flat, episodes = log.flat(), log.episodes()
    periods = spec.market.horizon_periods
    assert {len(values) for values in flat.values()} == {2 * periods}
    assert len(episodes) == 2
    for e, episode in enumerate(episodes):
        rows = slice(e * periods, (e + 1) * periods)
        assert len(episode["observations"]) == periods + 1
        np.testing.assert_array_equal(flat["observations"][rows], episode["observations"][:-1])
        np.testing.assert_array_equal(flat["rewards"][rows], log.money[:, e])
        ends, cuts = flat["terminals"][rows], flat["timeouts"][rows]
        assert [ends[-1], cuts[-1]] == [ending == "terminated", ending == "truncated"]
        assert not (ends | cuts)[:-1].any()


def test_lessons_show_what_training_shows():
    """Prices are learned less a shadow cost, while policies see the unit costs of the shop itself."""
    shop = load_scenario("three-stocks").with_changes(market={"objective": "revenue"}, products={"shadow_cost": 1.0})
    learner_view = LearnerView(Market(goal_market(shop), assumed=shop), product_wise=True)
    np.testing.assert_array_equal(training_view(learner_view, 1, 3).observe(), learner_view.observe())
