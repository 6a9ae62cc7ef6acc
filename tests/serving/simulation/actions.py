"""Who does what in the world: callers of prices, a reporter of sales, an operator, approvers and an analyst with their
price list, and what goes wrong by itself.
"""

from __future__ import annotations

import asyncio
import datetime as dt
from typing import Any

import msgspec
from repricer.serving import example_state
from repricer.serving.decision_log.chain import ChainError
from repricer.serving.decision_log.storage import LogError
from repricer.serving.price_list.files import read_list
from sqlalchemy import text

from .world import APPROVERS, Approved, Asked, Instance, World

_SECONDS, _QUIET = 15.0, 2.5
"""How long things happen, and how long nothing goes wrong afterwards."""
_MARKETS = ("Oslo", "Rome", "Bergen", "Ghent", "Porto", "Lyon")
_DAYS = 400
"""Age at which rotation takes decisions."""


async def story(world: World) -> None:
    """One life of two services."""
    for number, instance in enumerate(world.instances):
        instance.put(number % 2 if world.random.random() < 0.5 else 0)
        instance.start()
    world.write_list()
    world.desk.put(0)
    world.desk.start()
    callers = [_caller(world, number) for number in range(2)]
    approvers = [_approver(world, name) for name in APPROVERS]
    others = [_reporter(world), _operator(world), _analyst(world), _misfortune(world)]
    tasks = [world.loop.create_task(work) for work in (*callers, *approvers, *others)]
    await asyncio.gather(*tasks)
    for instance in world.instances:
        _mend(instance)
    world.crash_after_commit = 0.0
    for instance in (*world.instances, world.desk):
        if not instance.is_up:
            instance.start()
    await asyncio.sleep(_QUIET)


async def _pause(world: World, mean: float) -> bool:
    """Whether there is still time afterwards."""
    await asyncio.sleep(world.random.expovariate(1 / mean))
    return world.now < _SECONDS


async def _asked(
    world: World, *request: Any, tries: int = 3, of: Instance | None = None, tried: list[str] | None = None, **own: str
) -> tuple[int, Any] | None:
    """The first answer but a 503 that arrives, of any service, or of one process; None without one. Notes who was asked."""
    for _ in range(tries):
        instance = of or world.random.choice(world.instances)
        if tried is not None:
            tried.append(instance.name)
        try:
            answer = world.ask(instance, *request, **own)
            status, body = await asyncio.wait_for(answer, world.random.choice([0.3, 3.0]))
        except (OSError, TimeoutError):
            continue
        if status != 503:
            assert status < 500, body
            return status, body
    return None


async def _caller(world: World, number: int) -> None:
    count = 0
    while await _pause(world, 0.6 if world.tried is None else 0.4):
        count += 1
        units = float(1000 * (number + 1) + count)
        asked = Asked(f"{number}-{count}", units, world.random.choice(_MARKETS), world.now)
        state = example_state(world.bundle.catalogue) | {"market": asked.market, "period": count % 8}
        for item in state["products"]:
            item["on_hand"] = units
        several = world.random.random() < 0.2
        body = [state, state] if several else state
        world.history.asked.append(asked)
        found = await _asked(world, "POST", "/v1/prices", body, key=asked.key, tried=asked.tried)
        if found is not None and found[0] == 200:
            asked.acknowledged = world.now
            asked.answers = found[1] if several else [found[1]]


async def _reporter(world: World) -> None:
    history = world.history
    while await _pause(world, 0.7):
        known = [one for one in history.asked if one.answers]
        if not known:
            continue
        outcomes = list[dict[str, Any]]()
        count = min(len(known), world.random.randint(1, 12))
        # The same report may be sent again later.
        for asked in known[-count:] if world.random.random() < 0.7 else world.random.sample(known, count):
            answer = world.random.choice(asked.answers)
            bundle = world.digests.index(answer["bundle"])
            outcomes += world.customers.sold(answer, bundle, world.bundle.catalogue)
        named = {(one["request_id"], one["product"]): float(one["units"]) for one in outcomes}
        history.maybe_sold |= named
        found = await _asked(world, "POST", "/v1/outcomes", {"outcomes": outcomes})
        if found is not None and found[0] == 200:
            history.sold |= named


async def _operator(world: World) -> None:
    """Throws switches; `by` says what was meant."""
    admin = "/v1/admin"
    acts: dict[str, tuple[str, str, dict[str, Any]]] = {
        "kill": ("PUT", f"{admin}/kill-switch", {"on": True}),
        "revive": ("PUT", f"{admin}/kill-switch", {"on": False}),
        "holdout": ("PUT", f"{admin}/holdout", {"share": 0.5}),
        "reload": ("POST", f"{admin}/reload", {}),
        "rollback": ("POST", f"{admin}/rollback", {}),
        "canary": ("PUT", f"{admin}/canary", {"share": 0.5}),
        "end": ("PUT", f"{admin}/canary", {"share": 0}),
        "promote": ("POST", f"{admin}/promote", {"unjudged": True}),
        "judge": ("POST", f"{admin}/promote", {}),
        "certify": ("PUT", f"{admin}/certificate", {}),
    }
    kinds, tried = [*acts, "reload", "reload", "rollback", "kill", "revive"], world.tried
    if tried is not None:
        kinds = ["canary", "canary", "canary", "certify", "certify", "judge"]
        await asyncio.sleep(world.random.uniform(2, 5))
    while await _pause(world, 1.0):
        kind = world.random.choice(kinds)
        method, path, body = acts[kind]
        if kind in ("reload", "canary"):
            newest = world.random.randrange(len(world.bundles)) if tried is None else tried
            for instance in world.instances:
                if world.random.random() < 0.7:
                    instance.put(newest)
        if kind == "certify":
            date = (world.wall() - dt.timedelta(days=world.random.randrange(3))).date()
            body = {"state": "waiting", "loss": 0.02, "confidence": 0.95, "policy_share": 0.5}
            body |= {"date": str(date), "analysis": "0" * 64}
        await _asked(world, method, path, {**body, "by": kind}, tries=2)


async def _approver(world: World, name: str) -> None:
    """Reads the list, thinks, and decides about a row as it was then, or makes the list live; gives a false name."""
    number, path = 0, "/v1/admin/price-list"
    while await _pause(world, 1.5):
        found = await _asked(world, "GET", "/v1/price-list", None, tries=1, of=world.desk, caller=name)
        if found is None or found[0] != 200:
            continue
        await asyncio.sleep(world.random.uniform(0, 2))
        if all(row["status"] != "proposed" for row in found[1]["rows"]) and world.random.random() < 0.5:
            await _asked(world, "POST", f"{path}/live", {"by": "Mallory"}, tries=1, of=world.desk, caller=name)
            continue
        number += 1
        row = world.random.choice(found[1]["rows"])
        status = world.random.choice(["approved", "overridden", "overridden", "postponed"])
        # One of the prices leaves the rules.
        factor = world.random.choice([0.95, 1.0, 1.05, 3.0])
        price = round(row["current_price"] * factor * 20) / 20 if status == "overridden" else None
        proposal, reason = int(row["reason"].removeprefix("Proposal ")), f"{name} {number}"
        made = Approved(name, row["seen"], proposal, reason, price, world.now)
        world.history.approved.append(made)
        one = {key: row[key] for key in ("zone", "product", "week", "seen")}
        one |= {"status": status, "decided_price": price, "decision_reason": reason}
        body = {"by": "Mallory", "decisions": [one]}
        found = await _asked(world, "POST", f"{path}/decisions", body, tries=2, of=world.desk, caller=name)
        if found is not None and found[0] == 200:
            made.row = found[1]["rows"][0]


async def _analyst(world: World) -> None:
    """Writes a new list now and then, and a false name into one."""
    while await _pause(world, 4.0):
        if world.random.random() < 0.5:
            world.write_list()
        else:
            decided = {"decided_by": "Mallory"}
            rows = read_list(world.list_path)
            world.write_rows([msgspec.structs.replace(row, **decided) if row.decided_by else row for row in rows])


async def _misfortune(world: World) -> None:
    """Crashes, starts with any bundle, stalls, full disks, clocks that jump, erased markets, rotations."""
    while await _pause(world, 1.2):
        instance = world.random.choice(world.instances)
        happens = world.random.choice([_crash, _stall, _fill, _jump, _erase, _rotate, _note, _crash_desk])
        if happens in (_erase, _rotate, _note):
            happens(world)
        elif happens is _crash_desk:
            await happens(world)
        elif instance.is_up:
            await happens(instance)


async def _crash(instance: Instance) -> None:
    instance.crash()
    await asyncio.sleep(instance.world.random.uniform(0, 2))
    if instance.world.random.random() < 0.5:
        instance.put(instance.world.random.randrange(len(instance.world.bundles)))
    instance.start()


async def _crash_desk(world: World) -> None:
    world.desk.crash()
    await asyncio.sleep(world.random.uniform(0, 1))
    world.desk.start()


async def _stall(instance: Instance) -> None:
    instance.stalled_since = instance.world.now
    instance.cut(True)
    await asyncio.sleep(instance.world.random.uniform(0, 5))
    _mend(instance)


async def _fill(instance: Instance) -> None:
    instance.is_full = True
    await asyncio.sleep(instance.world.random.uniform(0, 3))
    _mend(instance)


async def _jump(instance: Instance) -> None:
    instance.clock = dt.timedelta(days=instance.world.random.choice([-500, -2, 2]))
    await asyncio.sleep(instance.world.random.uniform(0, 3))
    _mend(instance)


def _mend(instance: Instance) -> None:
    """Its clock is right, and its storage writes what waited."""
    instance.clock, instance.is_full = dt.timedelta(), False
    if instance.stalled_since is not None:
        instance.stalled_since = None
        instance.cut(False)
        if instance.log is not None:
            instance.world.loop.call_soon(instance.log.write)


def _erase(world: World) -> None:
    market = world.random.choice(_MARKETS)
    with world.command() as log:
        try:
            log.erase(market, "clerk")
        except (ValueError, LogError):  # none of it was priced yet
            return
    world.history.erased.add(market)


def _rotate(world: World) -> None:
    """Discard what is old, and note what went and was too young for that."""
    with world.command() as log:
        before = _rows(log)
        log.rotate(_DAYS, None, "clerk")
        after = _rows(log)
    least = (world.wall() - dt.timedelta(days=_DAYS)).isoformat(timespec="milliseconds")
    gone = {number: row for number, row in before.items() if number not in after}
    world.history.rotated |= {name for name, _ in gone.values()}
    world.history.too_young += [name for name, time in gone.values() if time >= least]


def _rows(log: Any) -> dict[int, tuple[str, str]]:
    with log.engine.connect() as connection:
        found = connection.execute(text("SELECT id, name, time FROM decisions"))
        return {number: (name, time) for number, name, time in found}


def _note(world: World) -> None:
    """Verify the log, and note its heads, which it must still hold later."""
    with world.command() as log:
        try:
            world.history.heads.append(log.verify()._asdict())
        except ChainError as error:
            world.history.refused.append(str(error))
