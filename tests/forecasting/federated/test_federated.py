"""A regression over shops that share no rows: exact, and not stopped by shops that fail."""

import asyncio

import numpy as np
import pandas as pd
import pytest
from repricer.benchmarks.loopback import free_port
from repricer.forecasting import PooledRegression, example_panel
from repricer.forecasting.federated import FederationError, coordinate, take_part
from repricer.forecasting.federated.gathering import NONCE
from repricer.forecasting.federated.masking import Masks, unmasked
from repricer.forecasting.federated.messages import Channel, Join, Masked, Round, Stop
from repricer.forecasting.federated.shop import _Shop
from repricer.forecasting.models.random_coefficients import ITERATIONS, Common
from repricer.forecasting.models.weekly_design import all_names

KEY = bytes(32)
NAMES = ("east", "north", "west")
PANELS = {name: example_panel(n_products=2 + n, n_weeks=14, seed=n) for n, name in enumerate(NAMES)}


def fitted(*others, shops=None, seconds=5.0, wait=5.0):
    """The result of the honest shops and `others` (coroutine functions of a port), and what was said."""
    said, port = [], free_port()

    async def run():
        fit = asyncio.create_task(
            coordinate(KEY, shops=shops or 3 + len(others), port=port, wait=wait, seconds=seconds, say=said.append)
        )
        await asyncio.sleep(0.05)
        parts = [take_part(panel, KEY, name=name, host="127.0.0.1", port=port) for name, panel in PANELS.items()]
        done = await asyncio.gather(fit, *parts, *(other(port) for other in others), return_exceptions=True)
        return done[: 1 + len(parts)]

    found, *parts = asyncio.run(run())
    if isinstance(found, Exception):
        raise found
    for part in parts:
        assert Common.of(part.common).document() == found.common.document()
    return found, said


def caller(answer, name="rogue", key=KEY):
    """A shop that joins as it should, and then sends what `answer(request, masks)` says: a message, bytes or nothing."""

    async def call(port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        channel, masks = Channel(reader, writer, key, await reader.readexactly(NONCE)), Masks(name)
        await channel.send(
            Join(name, masks.public, pd.Timestamp("2024-01-01").date(), pd.Timestamp("2024-03-25").date(), 7)
        )
        request = await channel.receive(Round, 5.0)
        sent = answer(request)
        if isinstance(sent, bytes):
            writer.write(len(sent).to_bytes(4) + channel._tag(sent) + sent)
        elif sent is not None:
            await channel.send(sent)
        else:
            writer.close()
        await reader.read()

    return call


@pytest.fixture(scope="module")
def honest():
    return fitted()


def test_the_fit_is_that_of_all_rows_in_one_place(honest):
    rows = [
        panel.assign(product=name + panel["product"], category=name + panel["category"])
        for name, panel in PANELS.items()
    ]
    whole = pd.concat(rows)
    pooled = PooledRegression().fit(whole)
    common = Common.first(names := honest[0].common.names)
    products = pooled.products(names, seasonal=False)
    for _ in range(ITERATIONS):
        common = common.updated(products.expect(common).sums(common))
    for key in ("mean", "between", "noise"):
        np.testing.assert_allclose(getattr(honest[0].common, key), getattr(common, key), rtol=1e-9, atol=1e-12)
    assert honest[0].common.mean_over_median == pytest.approx(pooled.mean_over_median_, abs=0.01)
    assert honest[0].products == 9
    future = PANELS["east"].assign(week=lambda rows: rows["week"] + pd.Timedelta(weeks=14)).drop(columns="units")
    ours = PooledRegression(common=honest[0].common).fit(PANELS["east"]).predict(future)
    theirs = pooled.predict(future.assign(product="east" + future["product"], category="east" + future["category"]))
    np.testing.assert_allclose(ours["q0.5"], theirs["q0.5"], rtol=0.15)
    np.testing.assert_allclose(ours["mean"], theirs["mean"], rtol=0.02)


ROGUES = {
    "gone": (lambda request: None, "the connection broke"),
    "given up": (lambda request: Stop("its sums must be finite\n"), "its sums must be finite"),
    "NaN": (lambda request: b'{"type":"masked","number":NaN,"words":"AAAA"}', "it sent nonsense: JSON is malformed"),
    "unknown": (lambda request: b"\x80\x04pickle", "it sent nonsense"),
    "short": (lambda request: Masked(request.number, b"x" * 16), "it sent nonsense: 16 bytes for round 1"),
    "stale": (lambda request: Masked(7, b""), "it sent nonsense"),
    "out of turn": (lambda request: request, "a message round out of turn"),
}


@pytest.mark.parametrize("which", ROGUES)
def test_a_shop_that_fails_is_named_and_the_round_is_taken_again(honest, which):
    answer, reason = ROGUES[which]
    found, said = fitted(caller(answer))
    lines = [line for line in said if "left out" in line]
    assert len(lines) == 1
    assert lines[0].startswith("shop 'rogue' is left out: ")
    assert reason in lines[0]
    assert "\n" not in lines[0]
    assert found.shops == NAMES
    assert list(found.left_out) == ["rogue"]
    np.testing.assert_allclose(found.common.mean, honest[0].common.mean, rtol=1e-9)


def test_strangers_and_second_shops_of_a_name_are_turned_away():
    found, said = fitted(caller(Stop, key=b"1" * 32), caller(Stop, name="east"), shops=4, wait=3.0)
    assert found.shops == NAMES
    assert any("turned away: a message was not made with this key" in line for line in said)
    assert any("turned away: there must be one shop of a name; got a second 'east'" in line for line in said)
    assert "3 of 4 shops came within 3 s" in said


def test_nonsense_under_a_mask_is_noticed_without_a_name():
    def poisoned(request):
        size = 3 + 15 + 15**2
        return Masked(request.number, b"\x07" * 16 * size)

    with pytest.raises(FederationError, match="a shop sent nonsense under its mask, which hides whose it was"):
        fitted(caller(poisoned))


def test_fewer_than_three_shops_are_refused():
    with pytest.raises(FederationError, match="shops must be 3 or more"):
        asyncio.run(coordinate(KEY, shops=2))
    with pytest.raises(FederationError, match="3 shops or more must be there; got 0"):
        asyncio.run(coordinate(KEY, shops=3, wait=0.01))


def test_what_a_shop_sends_looks_random_and_cancels():
    shops = [Masks(name) for name in NAMES]
    keys = {shop.name: shop.public for shop in shops}
    values = [np.full(500, value) for value in (1.0, 2.5, -7.25)]
    parts = [shop.masked(own, 3, keys) for shop, own in zip(shops, values, strict=True)]
    np.testing.assert_array_equal(unmasked(parts), -3.75)
    for part in parts:
        bits = np.unpackbits(np.frombuffer(part, np.uint8)).mean()
        assert abs(bits - 0.5) < 0.01
    assert abs(unmasked(parts[:2])).min() > 1e6
    assert shops[0].masked(values[0], 4, keys) != parts[0]
    for wrong in (np.nan, np.inf, 1e13):
        with pytest.raises(ValueError, match="finite"):
            shops[0].masked(np.array([wrong]), 5, keys)


def test_a_shop_refuses_rounds_that_would_show_its_sums():
    shop, others = _Shop(PANELS["east"], "east"), [Masks("north"), Masks("west")]
    keys = {"east": shop.masks.public} | {other.name: other.public for other in others}
    common = Common.first(shop.names).document()
    shop.answer(Round("coefficients", 1, keys, common))
    for number, asked in (
        (2, dict(list(keys.items())[:2])),
        (1, keys),
        (2, keys | {"new": Masks("new").public}),
        (2, keys | {"west": others[0].public}),
        (2, {name: key for name, key in keys.items() if name != "east"}),
    ):
        with pytest.raises(FederationError, match="a round must be new and among 3 or more"):
            shop.answer(Round("coefficients", number, asked, None))


def test_shared_coefficients_that_make_no_sense_are_refused():
    good = Common.first(("discount",)).document()
    assert Common.of(good).document() == good
    for wrong in ({"mean": [np.nan]}, {"between": [[-1.0]]}, {"mean": [0.0, 1.0]}, {"noise": None}, {"mean": None}):
        with pytest.raises(ValueError, match="shared coefficients must"):
            Common.of(good | wrong)


def test_shared_coefficients_of_another_period_are_refused():
    weeks = PANELS["east"]
    days = weeks.assign(week=weeks["week"].min() + (weeks["week"] - weeks["week"].min()) / 7)
    for panel, daily in ((weeks, True), (days, False)):
        with pytest.raises(ValueError, match="shared coefficients must be of the period, week or day"):
            PooledRegression(common=Common.first(all_names(daily=daily))).fit(panel)
        PooledRegression(common=Common.first(all_names(daily=not daily))).fit(panel)


def test_what_a_shop_gives_wrong_is_said_before_anything_is_sent():
    for name, said in (
        ("s 2", "name must be 1 to 40 letters"),
        ("east", "must listen at 127.0.0.1:.*; got: .*; start"),
    ):
        with pytest.raises(FederationError, match=said):
            asyncio.run(take_part(PANELS["east"], KEY, name=name, host="127.0.0.1", port=free_port()))


def test_a_silent_shop_is_left_out():
    async def silent(port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        channel = Channel(reader, writer, KEY, await reader.readexactly(NONCE))
        day = pd.Timestamp("2024-01-01").date()
        await channel.send(Join("rogue", Masks("rogue").public, day, day, 7))
        await reader.read()

    found, said = fitted(silent, seconds=3.0)
    assert found.left_out == {"rogue": "no answer within 3 s"}
    assert len([line for line in said if "left out" in line]) == 1
