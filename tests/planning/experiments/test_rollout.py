"""The rollout: what it certifies, when the holdout shrinks, when it stops, and that looks never change afterwards."""

from dataclasses import asdict

import numpy as np
import pytest
from repricer.planning.experiments.rollout import Look, RolloutPlan, rollout

PAST, DAYS, STORES = 224, 84, 24
PLAN = RolloutPlan(stage_days=56, redraws=200)


def chain(seed, days=DAYS, noise=0.05):
    """(D, S) money at the prices of the holdout, and the numbers of the stores' hash."""
    random = np.random.default_rng(seed)
    week = 1 + 0.3 * np.sin(2 * np.pi * np.arange(PAST + days) / 7)
    shock = np.cumsum(random.normal(0, 0.002, (PAST + days, STORES)), axis=0)
    noise = random.normal(0, noise, (PAST + days, STORES))
    return random.lognormal(3, 0.5, STORES) * week[:, None] * np.exp(shock + noise), random.permutation(STORES) / STORES


def followed(seed, gain, days=DAYS, plan=PLAN):
    """All looks where each is acted upon on the next day, the sales and the arms."""
    money, draws = chain(seed, days)
    held = np.full(money.shape, np.nan)
    held[PAST:] = draws < plan.shares[0]
    gain = np.broadcast_to(gain, len(money))[:, None]
    while True:
        sold = money * np.where(held == 0, 1 + gain, 1.0)
        looks = rollout(sold, held, plan, draws)
        moved = [look for look in looks if (held[look.day + 1 : look.day + 2] != (draws < look.holdout)).any()]
        if not moved:
            return looks, sold, held, draws
        held[moved[0].day + 1 :] = draws < moved[0].holdout


def test_a_gain_is_certified_and_the_holdout_shrinks_step_by_step_each_with_its_own_evidence():
    looks, _, held, _ = followed(0, 0.04)
    assert [look.state for look in looks] == sorted((look.state for look in looks), reverse=True)  # waiting, certified
    assert looks[-1].state == "certified"
    shares = [look.holdout for look in looks]
    assert shares == sorted(shares, reverse=True)
    assert sorted(set(shares)) == pytest.approx([3 / STORES, 0.25, 0.5], abs=1e-9)  # at least four stores stay
    assert (np.diff(held[PAST:], axis=0) <= 0).all()
    firsts = {share: next(look.day for look in looks if look.holdout == share) for share in dict.fromkeys(shares)}
    days = list(firsts.values())
    assert np.diff(days[1:]).min() >= PLAN.washout_days + 7
    estimates = [look.estimate for look in looks if look.estimate is not None]
    assert np.mean(estimates) == pytest.approx(0.04, abs=0.02)
    assert not any(look.stop for look in looks)


@pytest.mark.parametrize("seed", [0, 1])
def test_a_look_does_not_change_with_what_comes_later(seed):
    looks, sold, held, draws = followed(seed, np.where(np.arange(PAST + DAYS) < PAST + 40, 0.08, -0.1))
    for look in looks[:: max(len(looks) // 6, 1)]:
        until = look.day + 1
        again = asdict(rollout(sold[:until], held[:until], PLAN, draws)[-1])
        assert again == pytest.approx(asdict(look), abs=1e-9) if again["estimate"] else again == asdict(look)


def test_prices_that_turn_bad_after_the_certificate_are_stopped_at_odds_of_four_to_one():
    looks, *_ = followed(2, np.where(np.arange(PAST + DAYS) < PAST + 40, 0.08, -0.1))
    assert looks[-1].stop
    assert PAST + 40 < looks[-1].day < PAST + 68
    assert looks[-1].reason == "these prices lose more than 0.02 of the money, with 80% confidence"
    assert [look.state for look in looks].count("stopped") == 1


def test_prices_that_lose_a_lot_are_stopped_without_a_certificate():
    looks, *_ = followed(3, -0.2)
    assert {look.state for look in looks[:-1]} <= {"waiting"}
    assert (looks[-1].state, looks[-1].stop, looks[-1].upper < -0.02) == ("stopped", True, True)
    assert looks[-1].reason.endswith("with 95% confidence")


def test_prices_that_lose_as_much_as_is_allowed_are_rarely_certified():
    """The bound holds on all daily looks together; with 120 shops at most 5% are 11, with a confidence of 97%."""
    certified = sum(any(look.state == "certified" for look in followed(seed, -0.02, 63)[0]) for seed in range(120))
    assert certified <= 11


def test_bounds_lie_around_the_estimate_and_are_none_with_one_store_in_an_arm():
    money, draws = chain(4)
    held = np.full(money.shape, np.nan)
    held[PAST:] = draws < 0.5
    assert all(look.lower < look.estimate < look.upper for look in rollout(money, held, PLAN))
    held[PAST:] = draws < 1 / STORES
    looks = rollout(money, held, PLAN)
    assert {(look.state, look.estimate, look.lower) for look in looks} == {("waiting", None, None)}
    assert "fewer than two stores" in looks[0].reason


def test_stores_that_close_or_were_never_open_change_little():
    money, draws = chain(5)
    held = np.full(money.shape, np.nan)
    held[PAST:] = draws < 0.5
    whole = rollout(money, held, PLAN)[-1]
    money[PAST + 10 :, 0] = np.nan
    money[100:110, 1] = np.nan
    added = np.where(np.arange(len(money)) >= PAST - 1, 50.0, np.nan)[:, None]
    money, held = np.hstack([money, added * np.nan, added]), np.hstack([held, held[:, :1], held[:, 1:2]])
    look = rollout(money, held, PLAN)[-1]
    assert look.estimate == pytest.approx(whole.estimate, abs=0.02)


def test_stores_that_left_before_a_certificate_end_the_chance_of_one():
    money, draws = chain(6)
    held = np.full(money.shape, np.nan)
    held[PAST:] = draws < 0.5
    held[PAST + 10 :] = draws < 0.25
    looks = rollout(money * np.where(held == 0, 1.3, 1.0), held, PLAN)
    assert looks[-1].state == "waiting"
    assert looks[-1].reason == "stores left the holdout before a certificate; start another rollout"


def test_stores_whose_arms_begin_or_change_within_a_week_are_of_one_stage():
    money, draws = chain(7)
    held = np.full(money.shape, np.nan)
    for store in range(STORES):
        held[PAST + store % 5 :, store] = draws[store] < 0.5
        held[PAST + 50 + store % 5 :, store] = draws[store] < 0.25
    looks = rollout(money * np.where(held == 0, 1.1, 1.0), held, PLAN)
    assert {look.stage for look in looks} == {1, 2}
    assert looks[-1].estimate == pytest.approx(0.1, abs=0.04)


def test_the_kill_switch_ends_the_looks():
    money, draws = chain(8)
    held = np.full(money.shape, np.nan)
    held[PAST:] = draws < 0.5
    held[PAST + 30 :] = 1.0
    assert rollout(money, held, PLAN)[-1].day == PAST + 29


def test_what_cannot_be_a_rollout_is_refused():
    money, draws = chain(9)
    held = np.full(money.shape, np.nan)
    with pytest.raises(ValueError, match="needs days with stores in the holdout and others; got none"):
        rollout(money, held)
    held[PAST:] = draws < 0.25
    held[PAST + 20 :] = draws < 0.5
    with pytest.raises(ValueError, match=r"never enter it; got store number .* on day 244; start another"):
        rollout(money, held)
    with pytest.raises(ValueError, match="needs 56 days of sales before it; got 24"):
        rollout(money[200:], np.where(held == 0, 0, held)[200:] * 0 + (draws < 0.5))
    assert rollout(money[: PAST + 10], np.where(np.isnan(held), held, draws < 0.5)[: PAST + 10]) == []


def test_the_analysis_is_pre_registered_by_its_hash():
    assert RolloutPlan().digest == RolloutPlan(loss=0.02).digest != RolloutPlan(loss=0.03).digest
    assert len(RolloutPlan().digest) == 64
    with pytest.raises(ValueError, match=r"confidence must be above 0.5 and below 1; got 1.0"):
        RolloutPlan(confidence=1.0)
    assert Look(1, "waiting", 1, None, None, None, 0.5, False, "").stop is False
