"""What must hold of newer bundles on trial: their guards judge by what callers were given and reported, no more and no
less, and know it after a restart.
"""

from __future__ import annotations

import functools
import itertools
import math
import statistics
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from repricer.serving import example_state
from repricer.serving.http.canary.guards import LIMITS
from repricer.serving.predictor import Predictor
from sqlalchemy import text

from .moments import Moment
from .world import GUARDS, Asked, Instance, World, loaded

_ROUND = 0.02
"""Of what the moves of prices differ between the states that are asked about and a sample of them."""
_IN_FLIGHT = 5
"""Decisions that an instance may have made by the policies before a trial, and written after its start."""


@dataclass(frozen=True)
class Sold:
    """A decision and its money."""

    number: int
    market: str
    arm: str
    bundle: str
    money: float
    """Revenue less unit costs, currency."""
    reported: int
    """The number of its first outcome."""


def trial_violations(world: World, log: Any, moments: Sequence[Moment]) -> Iterator[str]:
    """One line for each thing that must not be."""
    if all(one.trial is None for one in moments):
        return
    sold = _sold(world, log)
    # What guards have seen before it was erased or moved cannot be judged again.
    is_whole = not (world.history.erased or world.history.rotated)
    acts = {act["id"]: act for act in log.events("guard", "bundle")}
    for before, now in itertools.pairwise(moments):
        act = acts.get(now.event)
        if act is None or before.trial is None:
            continue
        tried = f"bundle {world.digests.index(before.trial)}"
        guard = act["position"]["guard"] if act["event"] == "guard" else None
        if guard == "errors":
            yield f"the trial of {tried} was ended by errors, of which there were none"
        if guard == "price_move" and _moves(world, before)[1] < LIMITS[guard]:
            yield f"the trial of {tried} was ended by its prices, which move by less than is allowed"
        found = _judgements(sold, before, world.history.ends[now.event]) if is_whole else ()
        if guard == "money" and is_whole and not any(value > LIMITS[guard] for value in found if value is not None):
            yield f"the trial of {tried} was ended by the money of its markets, which do not earn less"
        is_judged = act["event"] == "bundle" and act["by"] == "judge"
        if is_judged and is_whole and all(value is None for value in found):
            yield f"{tried} was promoted though nothing could be judged"
    yield from _resumed(world, log, moments)
    yield from _standing(world, log, moments[-1], sold)


def _resumed(world: World, log: Any, moments: Sequence[Moment]) -> Iterator[str]:
    """What guards have seen survives a restart."""
    numbers = _numbers(log, "body IS NOT NULL").values()
    for one in world.history.resumed:
        then = next(moment for moment in reversed(moments) if moment.time <= one.time)
        least, most = _moves(world, then) if then.trial == one.bundle else (0.0, 1.0)
        seen = sum(then.first <= number <= one.last for number in numbers)
        if seen and not least - _ROUND <= one.price_move <= most + _ROUND:
            yield f"at {one.time:.2f} an instance starts with a price move of {one.price_move}, though {seen} were seen"


def _standing(world: World, log: Any, last: Moment, sold: Sequence[Sold]) -> Iterator[str]:
    """The guards of the trial that stands in the end."""
    if last.trial is None:
        return
    end = log.ends()
    money = confidence_of_loss(sold, last, *end)
    for instance in world.instances:
        canary = instance.app.state.deployment.status()["canary"] if instance.is_up else None
        if canary is None:
            continue  # `_ends` of the checker says so
        value = canary["guards"]["money"]
        if (value is None) != (money is None) or abs((value or 0.0) - (money or 0.0)) > 1e-3:
            yield f"the money of the trial in instance {instance.name} is {value}, not {money}"
        known = _known(world, log, instance, last)
        if _moves(world, last)[0] > LIMITS["price_move"] and known >= GUARDS.least_products:
            yield f"a trial goes on in instance {instance.name}, though it moves prices too far in {known} of them"


def _sold(world: World, log: Any) -> list[Sold]:
    """The decisions of which sales are known, in order."""
    numbers = _numbers(log)
    with log.engine.connect() as connection:
        reported = dict(connection.execute(text("SELECT number, min(id) FROM outcomes GROUP BY number")).all())
    costs = dict(zip(world.bundle.catalogue.products, world.bundle.catalogue.unit_cost.tolist(), strict=True))
    found = list[Sold]()
    for name, rows in itertools.groupby(log.sold(), key=lambda row: row["request_id"]):
        own = [row for row in rows if row["units"] is not None]
        if own:
            number, money = numbers[name], sum(row["paid"] - costs[row["product"]] * row["units"] for row in own)
            facts = [own[0][key] for key in ("market", "arm", "bundle")]
            found.append(Sold(number, *facts, money, reported[number]))
    return found


def _numbers(log: Any, which: str = "true") -> dict[str, int]:
    """The numbers of decisions, by name."""
    with log.engine.connect() as connection:
        return dict(connection.execute(text(f"SELECT name, id FROM decisions WHERE {which}")).all())


def confidence_of_loss(sold: Iterable[Sold], trial: Moment, last: int, reported: int) -> float | None:
    """The confidence that the markets on trial earn less, each against its own past; None where nothing can be judged.

    Args:
        sold: Decisions.
        trial: When it goes on.
        last: The last decision that counts.
        reported: The last outcome that counts.
    """
    before, since = defaultdict[str, list[float]](list), defaultdict[tuple[str, str], list[float]](list)
    for one in sold:
        if one.reported > reported:
            continue
        if trial.first - GUARDS.money_decisions <= one.number < trial.first and one.arm == "policy":
            before[one.market].append(one.money)
        is_tried = one.arm == "canary" and one.bundle == trial.trial
        is_since = max(trial.first, last - GUARDS.money_decisions + 1) <= one.number <= last
        if is_since and (is_tried or one.arm == "policy"):
            since[one.market, one.arm].append(one.money)
    changes: dict[str, list[float]] = {"canary": [], "policy": []}
    for (market, arm), money in since.items():
        if market in before:
            was, now = statistics.fmean(before[market]), statistics.fmean(money)
            changes[arm].append(2 * (now - was) / (abs(now) + abs(was)) if now or was else 0.0)
    if min(map(len, changes.values())) < GUARDS.least_markets:
        return None
    gap = statistics.fmean(changes["policy"]) - statistics.fmean(changes["canary"])
    error = math.sqrt(sum(statistics.variance(each) / len(each) for each in changes.values()))
    return statistics.NormalDist(0, max(error, 1e-12)).cdf(gap)


def _judgements(sold: Sequence[Sold], trial: Moment, end: tuple[int, int]) -> Iterator[float | None]:
    """What a guard may have found up to some ends of decisions and outcomes, the latest first."""
    reports = sorted({one.reported for one in sold if one.reported <= end[1]}, reverse=True)
    for last in range(end[0], trial.first - 1, -1):
        for reported in reports:
            yield confidence_of_loss(sold, trial, last, reported)


def _known(world: World, log: Any, instance: Instance, trial: Moment) -> int:
    """How many products an instance has certainly seen priced in a trial: those in the log at its start, and those that
    it priced since.
    """
    time, start = instance.started
    found = _numbers(log, "body IS NOT NULL")
    numbers = {name: number for name, number in found.items() if number >= trial.first}
    own = {one["request_id"] for asked in world.history.asked if _is_of(asked, instance, time) for one in asked.answers}
    own = {name for name in own if numbers.get(name, 0) > start}
    held = {one["request_id"] for asked in world.history.asked for one in asked.answers if one["arm"] == "fallback"}
    remembered = sum(number <= start for number in numbers.values())
    return (remembered + max(len(own - held) - _IN_FLIGHT, 0)) * world.bundle.catalogue.num_products


def _is_of(asked: Asked, instance: Instance, started: float) -> bool:
    """Whether an instance itself, since its start, has priced a request."""
    return asked.tried == [instance.name] and asked.sent >= started


def _moves(world: World, trial: Moment) -> tuple[float, float]:
    """The least and the largest mean move of the prices from the active bundle to the one on trial, as a share."""
    at = [world.bundles[world.digests.index(digest or "")] for digest in (trial.active, trial.trial)]
    return _moves_between(at[0], at[1])


@functools.cache
def _moves_between(active: Path, tried: Path) -> tuple[float, float]:
    moves = list[float]()
    for period, on_hand in itertools.product(range(8), (1001.0, 1050.0, 2001.0, 2050.0)):
        state = example_state(loaded(active).catalogue) | {"market": "Oslo", "period": period}
        for item in state["products"]:
            item["on_hand"] = on_hand
        one, other = (Predictor(loaded(path)).price(state).prices for path in (active, tried))
        moves.append(statistics.fmean(abs(b.price / a.price - 1) for a, b in zip(one, other, strict=True)))
    return min(moves), max(moves)
