"""`repricer cycle`: one configuration file, one command a week."""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path
from typing import Any

import click

from .._compile_ahead import CompileAhead
from .._options import emit, json_option, say, tables_options
from .._stages import Facts, Stages
from . import stages
from .config import Cycle
from .register import Entry, Register

_IMPORTING = "importing"


@click.command("cycle")
@click.argument("config", type=click.Path(path_type=Path))
@tables_options
@click.option("--dry-run", is_flag=True, help="Say what would be done and why, and write nothing.")
@click.option("--train", "retrain", is_flag=True, help="Train even where refreshing the last bundle would do.")
@json_option
def command(config: Path, dry_run: bool, retrain: bool, as_json: bool) -> None:
    """From a shop's files to the price list of the weeks to come, as CONFIG, a TOML file, says.

    The first cycle imports the tables, fits the market, trains, compares, exports a signed bundle
    and writes the price list. The next ones, on newer tables, first compare what was predicted with
    what was sold, then refresh the last bundle; they train again where that is due, or the
    configuration has changed. The same command on the same tables changes nothing; after an
    interruption it resumes.
    """
    cycle, tell = Cycle(config), (lambda _: None) if as_json else say
    register = Register(cycle.out)
    if dry_run:
        plan = _plan(cycle, register, retrain)
        if as_json:
            emit(plan)
            return
        for line in plan["lines"]:
            say(line)
        return
    document = run_cycle(cycle, register, retrain, tell)
    if as_json:
        emit(document)


def run_cycle(cycle: Cycle, register: Register, retrain: bool, tell: Any) -> Facts:
    """Run one cycle, from where it was left.

    Args:
        cycle: The configuration.
        register: The cycles before.
        retrain: Whether to train in any case.
        tell: Called with each line of output.
    """
    entry = _known(cycle, register, retrain) or _begin(cycle, register, retrain, tell)
    before = register.before(entry.first_day)
    job = _stages(entry, cycle.out / entry.folder, tell)
    accounts = {} if before is None else _accounts(cycle, register, before, job)
    found = {place.name: _place(cycle, entry, place, before, job) for place in entry.places(cycle.out)}
    again = [" ".join(filter(None, [name, why])) for name, part in found.items() for why in part["train_again"]]
    if not entry.complete:
        register.complete(entry, again)
    tell("")
    for name, part in found.items():
        listed, bundle = part["paths"][stages.LISTS[-1]], part["paths"][stages.BUNDLE]
        tell(f"{f'{name}: verdict' if name else 'Verdict'}: {part['verdict']}")
        tell(
            f"Price list: {listed}. Decide on it, then: repricer approve {listed} --bundle {bundle} --by NAME --log LOG"
        )
    if again:
        tell("The next cycle will train again.")
    facts = {"first_day": entry.first_day, "trained": entry.trained, "train_again": again}
    if entry.zones:
        return facts | {"accounts": accounts, "zones": found}
    return facts | {"account": accounts.get("")} | found[""]


def _stages(entry: Entry, folder: Path, tell: Any) -> Stages:
    return Stages(folder, {"fingerprint": entry.fingerprint}, tell)


def _accounts(cycle: Cycle, register: Register, before: Entry, job: Stages) -> Facts:
    """The accounts of the cycle before, one for each of its markets, by zone."""
    found, since = {}, min(entry.first_day for entry in register.entries)
    for place in before.places(cycle.out):
        work = partial(stages.account_stage, cycle, job.folder, place, since)
        title = f"The account of the cycle before{f', {place.name}' if place.name else ''}"
        found[place.name] = job.run(f"account {place.name}".rstrip(), title, work)["account"]
    return found


def _place(cycle: Cycle, entry: Entry, place: stages.Place, before: Entry | None, job: Stages) -> Facts:
    """One market of a cycle, from its fit or refresh to its price list."""
    if place.name:
        job.tell("")
        job.tell(f"{place.name}: {len(entry.zones[place.name])} stores")
        job = _stages(entry, place.folder, job.tell)
    if entry.trained:
        done = _trained(cycle, place, job)
    else:
        done = _refreshed(cycle, place, cycle.out / _given(before).folder / place.name, job)
    files = {name: place.folder / name for name in (*stages.LISTS, stages.BUNDLE, stages.MARKET, stages.REPORT)}
    return {
        "verdict": done["verdict"],
        "train_again": done.get("train_again", []),
        "paths": {name: str(path) for name, path in files.items() if path.exists()},
        "timings": job.timings,
    }


def _known(cycle: Cycle, register: Register, retrain: bool) -> Entry | None:
    """The cycle to go on with; a refreshed one is none where training is asked for."""
    entry = register.of(cycle.fingerprint())
    return None if entry is not None and retrain and not entry.trained else entry


def _begin(cycle: Cycle, register: Register, retrain: bool, tell: Any) -> Entry:
    """Import the tables of a new cycle, and enter it in the register."""
    importing = cycle.out / _IMPORTING
    shutil.rmtree(importing, ignore_errors=True)
    key_file = cycle.file(cycle.config.tables.key_file) or cycle.out / "tables.key"
    found = Stages(importing, {"fingerprint": cycle.fingerprint()}, tell).run(
        "tables", "Import the shop's tables", lambda: stages.import_stage(cycle, importing, key_file)
    )
    before, zones = register.before(found["first_day"]), found["zones"]
    why = _reasons(cycle, before, retrain)
    if before is not None and _stores(zones) != _stores(before.zones):
        why.append("the stores have changed")
    entry = Entry(
        folder=register.new_folder(found["first_day"]),
        first_day=found["first_day"],
        fingerprint=cycle.fingerprint(),
        settings=cycle.settings(),
        trained=bool(why),
        zones=zones if why else _given(before).zones,
    )
    importing.rename(cycle.out / entry.folder)
    register.add(entry)
    return entry


def _stores(zones: dict[str, list[str]]) -> set[str]:
    return {store for stores in zones.values() for store in stores}


def _reasons(cycle: Cycle, before: Entry | None, retrain: bool) -> list[str]:
    """Why a cycle trains; none where it refreshes."""
    if before is None:
        return ["there is no cycle before"]
    said = ["asked for by --train"] if retrain else []
    if before.settings != cycle.settings():
        said.append("the configuration has changed")
    return said + before.train_again


def _trained(cycle: Cycle, place: stages.Place, job: Stages) -> Facts:
    """Fit, train, compare, export."""
    with CompileAhead() as compiler:
        fit = job.run("fit", "Fit the market of the weeks to come", lambda: stages.fit_stage(cycle, place, compiler))
        compiler.wait()
    job.run("train", "Learn prices", lambda: stages.train_stage(cycle, place))
    title = "Compare on test customers"
    done = job.run("compare", title, lambda: stages.compare_stage(cycle, place, job.timings, fit["try"]))
    title = "Export the recommended prices as a signed bundle"
    job.run("export", title, lambda: stages.export_stage(cycle, place, stages.signing_key(cycle.out)))
    return done


def _refreshed(cycle: Cycle, place: stages.Place, before: Path, job: Stages) -> Facts:
    title = "Refresh the bundle of the cycle before"
    return job.run("refresh", title, lambda: stages.refresh_stage(cycle, place, before))


def _plan(cycle: Cycle, register: Register, retrain: bool) -> Facts:
    """What `--dry-run` says."""
    entry = _known(cycle, register, retrain)
    if entry is not None and entry.complete:
        return {
            "would": "nothing",
            "lines": [f"nothing to do: {cycle.out / entry.folder} is complete for these tables"],
        }
    if entry is not None:
        return {"would": "resume", "lines": [f"would resume {cycle.out / entry.folder}"]}
    before = max((one for one in register.entries if one.complete), key=lambda one: one.first_day, default=None)
    why = _reasons(cycle, before, retrain)
    steps = ["import the tables of " + ", ".join(map(str, cycle.files.values()))] if cycle.files else []
    steps += [f"account for {before.folder}"] if before else []
    steps += (
        [f"fit, train, compare, export: {'; '.join(why)}"]
        if why
        else [f"refresh the bundle of {_given(before).folder}"]
    )
    steps.append(f"write the price list into a new folder of {cycle.out}")
    return {"would": "train" if why else "refresh", "lines": [f"would {step}" for step in steps]}


def _given(entry: Entry | None) -> Entry:
    assert entry is not None
    return entry
