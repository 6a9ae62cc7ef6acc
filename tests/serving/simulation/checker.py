"""What must hold of a history, by what people did and saw, and not by the service's own state."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from repricer.serving.decision_log.chain import ChainError
from sqlalchemy import text

from .moments import Moment
from .trials import trial_violations
from .world import APPROVERS, Asked, World

_FOLLOWED = 2.0
"""Seconds in which an instance that can read the log follows a switch."""


def violations(world: World) -> list[str]:
    """One line for each thing that must not be; none of a history as it should be."""
    with world.command() as log:
        rows = [(act["id"], act["event"], act["position"], act["by"]) for act in log.events() if "position" in act]
        found = list[str]()
        moments = _moments(world, rows, found)
        found += _prices(world, moments)
        found += _decisions(world, log)
        found += _outcomes(world, log)
        found += _approvals(world, log)
        found += trial_violations(world, log, moments)
        found += [f"verify refuses what was written: {line}" for line in world.history.refused]
        found += [f"rotation took {name}, which is too young" for name in world.history.too_young]
        # With a head, all is checked as without one.
        for head in world.history.heads or [None]:
            try:
                log.verify(head)
            except ChainError as error:
                found.append(f"verify refuses what was written: {error}")
    return [*found, *_ends(world, moments[-1])]


def _moments(world: World, rows: list[Any], found: list[str]) -> list[Moment]:
    """What was in force when, by what each act meant."""
    moments = [Moment(0.0)]
    for number, switch, position, by in rows:
        before = moments[-1]
        now = replace(before, time=world.history.switched[number], event=number)
        match switch:
            case "kill_switch":
                now = replace(now, killed=position)
            case "holdout":
                now = replace(now, holdout=position)
            case "certificate":
                now = replace(now, certificate=position)
            case "canary" | "guard" if position is None or switch == "guard":
                rejected = before.rejected | ({before.trial} if before.trial else set())
                now = replace(now, trial=None, rejected=rejected)
            case "canary":
                # Somebody wants it after all.
                trial = position["bundle"]
                first = before.first if trial == before.trial else world.history.ends[number][0] + 1
                now = replace(now, trial=trial, first=first, rejected=before.rejected - {trial})
            case "bundle" if position != before.active:
                found += _activation(world, before, position, by)
                left = {before.active} if by == "rollback" else set()
                now = replace(now, active=position, trial=None, certificate=None, rejected=before.rejected | left)
        moments.append(now)
    return moments


def _activation(world: World, before: Moment, bundle: str, by: str) -> Iterator[str]:
    name = f"bundle {world.digests.index(bundle)}"
    if bundle in before.rejected:
        yield f"{by} activated {name}, which was taken back"
    is_older = bool(before.active) and world.digests.index(bundle) < world.digests.index(before.active)
    if is_older and by != "rollback":
        yield f"{by} activated {name}, older than bundle {world.digests.index(before.active)}"


def _prices(world: World, moments: list[Moment]) -> Iterator[str]:
    """What each acknowledged price may come from."""
    for asked in world.history.asked:
        for answer in asked.answers:
            then = _in_force(world, moments, asked)
            if answer["bundle"] not in {bundle for one in then for bundle in (one.active, one.trial)}:
                number = world.digests.index(answer["bundle"])
                yield f"{asked.key} at {asked.sent:.2f} was priced by bundle {number}, which was not in force"
            if answer["arm"] != "fallback" and all(one.killed for one in then):
                yield f"{asked.key} at {asked.sent:.2f} was priced by the {answer['arm']} under the kill switch"
            if answer["arm"] == "fallback" and not any(one.killed or one.holdout for one in then):
                yield f"{asked.key} at {asked.sent:.2f} was priced by the fallback without a reason"
            yield from _rules(world, asked, answer)


def _in_force(world: World, moments: list[Moment], asked: Asked) -> list[Moment]:
    """All that was in force while a request could be decided, and within the time to follow before."""
    since = min(_heard(instance.cut_off, asked) for instance in world.instances)
    ends = [one.time for one in moments[1:]] + [float("inf")]
    return [one for one, end in zip(moments, ends, strict=True) if one.time <= asked.acknowledged and end > since]


def _heard(cut_off: list[list[float]], asked: Asked) -> float:
    """Since when an instance may not have heard of a switch; between two spans without its log it may have no time to."""
    since = asked.sent - _FOLLOWED
    for start, end in reversed(cut_off):
        if start < asked.acknowledged and end > since:
            since = min(since, start - _FOLLOWED)
    return since


def _rules(world: World, asked: Asked, answer: dict[str, Any]) -> Iterator[str]:
    bundle = world.bundle_of(answer["bundle"])
    rules, before = bundle.guardrails, bundle.catalogue.regular_price
    price = np.array([item["price"] for item in answer["prices"]], np.float32)
    most = np.inf if rules.max_change is None else 1 + float(np.max(rules.max_change)) + 1e-3
    if (price < rules.low - 1e-4).any() or (price > rules.high + 1e-4).any():
        yield f"{asked.key} was priced outside the bounds: {price.tolist()}"
    if (np.abs(price / before - 1) > most - 1).any():
        yield f"{asked.key} was priced further from the current prices than may be: {price.tolist()}"


def _decisions(world: World, log: Any) -> Iterator[str]:
    """Every acknowledged decision stands once in the log, as it was given; no request stands there twice."""
    history = world.history
    with log.engine.connect() as connection:
        names = Counter(name for (name,) in connection.execute(text("SELECT name FROM decisions")))
    prices, units = dict[tuple[str, str], float](), dict[float, set[str]]()
    for row in log.export():
        prices[row["request_id"], row["product"]] = row["price"]
        units.setdefault(row["state"]["on_hand"], set()).add(row["request_id"].partition(".")[0])
    yield from (f"request {name} is in the log {count} times" for name, count in names.items() if count > 1)
    yield from (
        f"the request with {on_hand:g} units is in the log as {own}" for on_hand, own in units.items() if len(own) > 1
    )
    for asked in history.asked:
        for answer in asked.answers:
            name = answer["request_id"]
            if name in history.rotated:
                continue
            if not names[name]:
                yield f"{asked.key} was acknowledged and is not in the log"
            given = {(name, item["product"]): item["price"] for item in answer["prices"]}
            if asked.market not in history.erased and any(prices.get(key) != price for key, price in given.items()):
                yield f"{asked.key} is in the log with other prices than were given"


def _outcomes(world: World, log: Any) -> Iterator[str]:
    """What was reported and acknowledged counts once."""
    history, markets = world.history, dict[str, str]()
    for asked in history.asked:
        markets |= {answer["request_id"]: asked.market for answer in asked.answers}
    counted = Counter[tuple[str, str]]()
    for row in log.export_outcomes():
        key = (row["request_id"], row["product"])
        counted[key] += 1
        if row["units"] != history.maybe_sold.get(key):
            yield f"an outcome of {key} was recorded that nobody reported"
    yield from (f"the outcome of {key} counts {count} times" for key, count in counted.items() if count > 1)
    for key in history.sold:
        if not counted[key] and key[0] not in history.rotated and markets[key[0]] not in history.erased:
            yield f"the outcome of {key} was acknowledged and does not count"


def _approvals(world: World, log: Any) -> Iterator[str]:
    """Of decisions about one row as it was seen, one wins; each is of the list that stands, and its owner's."""
    history = world.history
    accepted = [one for one in history.approved if one.row is not None]
    for seen, count in Counter(one.seen for one in accepted).items():
        if count > 1:
            names = [one.reason for one in accepted if one.seen == seen]
            yield f"{count} decisions about one row as it was seen were accepted: {names}"
    top = dict(zip(world.bundle.catalogue.products, world.bundle.guardrails.high.tolist(), strict=True))
    for one in accepted:
        assert one.row is not None, "it was accepted"
        if any(time <= one.sent for time in history.listed[one.proposal :]):
            yield f"decision {one.reason} about list {one.proposal} was accepted, which was written anew"
        if one.row["decided_by"] != one.by:
            yield f"decision {one.reason} was taken as one of {one.row['decided_by']}"
        if one.price is not None and one.price > top[one.row["product"]] + 1e-4:
            yield f"decision {one.reason} has the price {one.price}, which leaves the rules"
    owners = {one.reason: one.by for one in history.approved}
    for event in log.events("approval"):
        owner = owners.get(event["reason"])
        if owner is None or event["decided_by"] not in APPROVERS:
            yield f"an approval of {event['decided_by']} is in the log, with the reason {event['reason']!r}"
    if not world.desk.is_up:
        yield "the desk does not start"


def _ends(world: World, last: Moment) -> Iterator[str]:
    """In the end, every instance stands where the acts have left it."""
    for instance in world.instances:
        if not instance.is_up:
            yield f"instance {instance.name} does not start"
            continue
        status = instance.app.state.deployment.status()
        found = (status["active"]["bundle"], status["kill_switch"], status["holdout"])
        if found != (last.active, last.killed, last.holdout):
            yield f"instance {instance.name} ends with {found}, not {(last.active, last.killed, last.holdout)}"
        trial = status["canary"] and status["canary"]["bundle"]
        if trial != last.trial:
            yield f"instance {instance.name} ends with {trial} on trial, not {last.trial}"
        if status["certificate"] != last.certificate:
            yield f"instance {instance.name} ends with the certificate of another bundle"
