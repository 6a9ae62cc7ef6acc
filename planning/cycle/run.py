"""A cycle, from where it was left: imported, refreshed or trained, and its price lists."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import date
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

from ..market_folder import fit_report
from ..progress import Facts, Stages
from . import stages
from .config import Cycle, CycleError
from .register import MARKET, CyclePlace, Entry, Register, alone
from .stages import given

_IMPORTING = "importing"


def run_cycle(cycle: Cycle, retrain: bool, tell: Callable[[str], None]) -> Facts:
    """Run one cycle, from where it was left.

    Args:
        retrain: Whether to train in any case.
        tell: Called with each line of output.
    """
    with alone(cycle.out):
        register = Register(cycle.out, cycle.config.name)
        entry = _known(cycle, register, retrain) or _begin(cycle, register, retrain, tell)
        before = register.refreshed(entry.first_day, entry.folder)
        job = _stages(entry, cycle.out / entry.folder, tell)
        accounts = {} if before is None else _accounts(cycle, register, before, job)
        found: dict[str, Facts] = {}
        for place in entry.places(cycle.out):
            found |= _zone(cycle, entry, place, before, job)
        again = [" ".join(filter(None, [name, why])) for name, part in found.items() for why in part["train_again"]]
        if not entry.complete:
            register.complete(entry, again)
    _tell_result(entry, found, again, tell)
    facts = {"first_day": entry.first_day, "trained": entry.trained, "train_again": again}
    if entry.zones or entry.parts:
        return facts | {"accounts": accounts, "zones" if entry.zones else "parts": found}
    return facts | {"account": accounts.get("")} | found[""]


def _tell_result(entry: Entry, found: dict[str, Facts], again: list[str], tell: Any) -> None:
    from ...evaluation.uncertainty import ZoneGain, chain_gain, zone_lines
    from ...serving.price_list.summary import PosteriorEstimate, together_line

    tell("")
    for name, part in found.items():
        listed = part["paths"][stages.LISTS[-1]]
        bundle = part["paths"][stages.BUNDLE]
        tell(f"{f'{name}: verdict' if name else 'Verdict'}: {part['verdict']}")
        tell(f"Price list: {listed}. Decide on a page: repricer desk {listed} --bundle {bundle} --log LOG")
        tell(f"Or in the file, then: repricer approve {listed} --bundle {bundle} --by NAME --log LOG")
    if entry.zones:
        # A stage that an earlier version ended has no gain by draw.
        together = chain_gain([part["zone_gain"] and ZoneGain(*part["zone_gain"]) for part in found.values()])
        if together is not None:
            tell(together_line(PosteriorEstimate(*together)))
        for line in zone_lines({name: part["gain"] for name, part in found.items()}):
            tell(line)
    if again:
        tell("The next cycle will train again.")


def _stages(entry: Entry, folder: Path, tell: Any) -> Stages:
    return Stages(folder, {"fingerprint": entry.fingerprint}, tell)


def _accounts(cycle: Cycle, register: Register, before: Entry, job: Stages) -> Facts:
    """The accounts of the cycle before, one for each of its markets, by zone and part."""
    found = {}
    since = min(entry.first_day for entry in register.entries)
    for zone in before.places(cycle.out):
        for market in zone.markets:
            name = market.name
            title = "The account of the cycle before" + (f", {name}" if name else "")
            work = partial(stages.account_stage, cycle, job.folder, market, since)
            found[name] = job.run(f"account {name}".rstrip(), title, work)["account"]
    return found


def _zone(cycle: Cycle, entry: Entry, zone: CyclePlace, before: Entry | None, job: Stages) -> dict[str, Facts]:
    """The markets of one zone, from their fit or refresh to their price lists, by name."""
    if zone.stores:
        job.tell("")
        count = len(entry.zones[zone.stores])
        job.tell(f"{zone.stores}: {count} store{'s' * (count != 1)}")
        job = _stages(entry, zone.folder, job.tell)
    markets = [(each, _stages(entry, each.folder, job.tell) if each.part else job) for each in zone.markets]
    if entry.trained:
        done = _trained(cycle, zone, markets, job)
    else:
        home = cycle.out / given(before).folder
        title = "Refresh the bundle of the cycle before"
        done = _each(markets, "refresh", title, lambda each, _: stages.refresh_stage(cycle, each, home / each.name))
    return {each.name: _facts(each, own, facts) for (each, own), facts in zip(markets, done, strict=True)}


def _each(
    markets: list[tuple[CyclePlace, Stages]], name: str, title: str, work: Callable[[CyclePlace, Stages], Facts]
) -> list[Facts]:
    """Run a stage in each market; its title names the part where there are several."""
    return [own.run(name, ", ".join(filter(None, [title, at.part])), partial(work, at, own)) for at, own in markets]


def _facts(place: CyclePlace, job: Stages, done: Facts) -> Facts:
    """The lines about one market."""
    files = {name: place.folder / name for name in (*stages.LISTS, stages.BUNDLE, MARKET, stages.REPORT)}
    paths = {name: str(path) for name, path in files.items() if path.exists()}
    own = {"verdict": done["verdict"], "gain": done.get("gain"), "zone_gain": done.get("zone_gain")}
    own["train_again"] = done.get("train_again", [])
    return own | {"paths": paths, "timings": job.timings}


def _known(cycle: Cycle, register: Register, retrain: bool) -> Entry | None:
    """The cycle to go on with; a refreshed one is none where training is asked for."""
    entry = register.of(cycle.fingerprint())
    return None if entry is not None and retrain and not entry.trained else entry


def _begin(cycle: Cycle, register: Register, retrain: bool, tell: Any) -> Entry:
    """Import the tables of a new cycle, and enter it in the register."""
    importing = cycle.out / _IMPORTING
    shutil.rmtree(importing, ignore_errors=True)
    key_file = cycle.file(cycle.config.tables.key_file) or cycle.out / "tables.key"
    try:
        job = Stages(importing, {"fingerprint": cycle.fingerprint()}, tell)
        work = partial(stages.import_stage, cycle)
        found = job.run("tables", "Import the shop's tables", partial(work, importing, key_file))
        before = register.refreshed(found["first_day"])
        zones = found["zones"]
        if before is not None and cycle.config.fit.period == "week":
            _check_weekday(before.first_day, found["first_day"])
    except ValueError:
        shutil.rmtree(importing, ignore_errors=True)
        raise
    why = _reasons(cycle, before, retrain)
    if before is not None:
        why += ["the stores have changed"] * ({*chain(*zones.values())} != {*chain(*before.zones.values())})
        why += _gone(cycle, importing, before)
        tell("")
        tell(f"trains again: {'; '.join(why)}" if why else f"refreshes {cycle.out / before.folder}, and trains nothing")
    for folder in register.left:
        tell(f"dropped {folder}, which was left half made")
    register.drop_left()
    first = found["first_day"]
    kept = {"zones": zones, "parts": found["parts"]}
    if not why:
        kept = {name: getattr(before, name) for name in kept}
    own = (register.new_folder(first), first, cycle.fingerprint(), cycle.settings(), bool(why))
    entry = Entry(*own, **kept, shop=cycle.config.name)
    importing.rename(cycle.out / entry.folder)
    register.add(entry)
    return entry


def _gone(cycle: Cycle, home: Path, before: Entry) -> list[str]:
    """Why the cycle before cannot be refreshed: the tables hold no sales of some of its products any more."""
    import pandas as pd

    from ...fitting import products_gone
    from ...scenarios.fields import listed

    folders = [market.folder / MARKET for zone in before.places(cycle.out) for market in zone.markets]
    rows = [row for folder in folders for row in fit_report(folder)["refit"]["products"]]
    priced = pd.DataFrame(rows).drop_duplicates("product").set_index("product", drop=False)
    lost = priced.loc[products_gone(stages.tables_of(cycle, home), priced)]
    names = lost.get("name", lost["product"]).fillna(lost["product"]).tolist()
    return [f"the tables hold no sales of {listed(names)} any more"] if names else []


def _check_weekday(before: str, first_day: str) -> None:
    """Check that weeks begin as those of the cycle before: others would be over in part, and compare with none."""
    usual, now = (f"{date.fromisoformat(day):%A}" for day in (before, first_day))
    if usual != now:
        got = f"got {first_day}, as the sales begin on a {now}; begin them on a {usual}, or name another out"
        raise CycleError(f"weeks must begin on a {usual}, as in the cycle of {before}; {got}")


def _reasons(cycle: Cycle, before: Entry | None, retrain: bool) -> list[str]:
    """Why a cycle trains; none where it refreshes."""
    if before is None:
        return ["there is no cycle before"]
    why = ["asked for by --train"] if retrain else []
    if before.settings != cycle.settings():
        why.append("the configuration has changed")
    return why + before.train_again


def _trained(cycle: Cycle, zone: CyclePlace, markets: list[tuple[CyclePlace, Stages]], job: Stages) -> list[Facts]:
    """Fit all markets of a zone, train one policy, and compare and export it in each."""
    fitted = _each(markets, "fit", "Fit the market of the weeks to come", lambda at, _: stages.fit_stage(cycle, at))
    job.run("train", "Learn prices", lambda: stages.train_stage(cycle, zone))
    key = stages.signing_key(cycle.out)
    tried = {at.name: fit["try"] for (at, _), fit in zip(markets, fitted, strict=True)}

    def compare(at: CyclePlace, own: Stages) -> Facts:
        return stages.compare_stage(cycle, at, own.timings, tried[at.name])

    done = _each(markets, "compare", "Compare on test customers", compare)
    title = "Export the recommended prices as a signed bundle"
    _each(markets, "export", title, lambda at, _: stages.export_stage(cycle, at, key))
    return done


def plan_cycle(cycle: Cycle, retrain: bool) -> Facts:
    """What `run_cycle` would do, and why, in lines; nothing is written."""
    register = Register(cycle.out, cycle.config.name)
    entry = _known(cycle, register, retrain)
    before = register.before()
    if entry is not None and entry.complete:
        would = "nothing"
        steps = []
        lines = [f"nothing to do: {cycle.out / entry.folder} is complete for these tables"]
    elif entry is not None:
        would = "resume"
        steps = [f"resume {cycle.out / entry.folder}"]
        lines = []
    else:
        why = _reasons(cycle, before, retrain)
        would = "train" if why else "refresh"
        lines = []
        steps = [f"drop {folder}, which was left half made" for folder in register.left]
        steps += [f"account for {before.folder}"] if before else []
        fit = f"fit, train, compare, export: {'; '.join(why)}"
        steps += [fit if why else f"refresh the bundle of {given(before).folder}"]
        if before and (earlier := register.before(before.first_day)):  # which it is, only the import tells
            again = "if the tables end in the same week as those of that cycle"
            steps.append(f"take {earlier.folder} for {before.folder} {again}")
        steps.append(f"write the price list into a new folder of {cycle.out}")
    return {"would": would, "lines": [*lines, *(f"would {step}" for step in steps)]}
