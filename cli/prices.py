"""`repricer prices`: the recommended prices as a price list."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..planning.market_folder import in_zone, part_folders, zone_folders, zone_of
from ..planning.progress import progress_console
from ._options import OUT, emit, json_option, risk_option, say, say_aside, seed_option
from ._policies import holds_learned, policy_of

if TYPE_CHECKING:
    from ..planning.kept_list import KeptList, Origin


@click.command("prices")
@click.argument("scenario", metavar="MARKET|RUN")
@click.option(
    "--policy",
    "policies",
    multiple=True,
    metavar="P",
    help="Run folder or bundle that may be recommended, or a folder of them by zone.",
)
@click.option("--out", type=OUT, required=True, help="Price list to write, .csv or .xlsx.")
@click.option(
    "--zone", help="Name of the stores that the market stands for.  [default: its price zone, else all stores]"
)
@click.option(
    "--draws", type=click.IntRange(min=1), help="Posterior draws to compare over.  [default: 200, or all of fewer]"
)
@risk_option
@seed_option
@json_option
def command(
    scenario: str,
    policies: tuple[str, ...],
    out: Path,
    zone: str | None,
    draws: int | None,
    risk: str,
    seed: int,
    as_json: bool,
) -> None:
    """Write the price list of the recommended prices: one row per product and week of the market.

    Considered are the prices of RUN and of every --policy, the best fixed prices, blends of them with the current
    prices, and the current prices themselves. Each row has the current and the new price, why, what is expected at it
    with a 90% interval, and columns for the decision. Edit these, then `repricer approve` makes
    the list live. Of a MARKET with price zones (`repricer fit --by zone`) the list holds all zones, or the one that
    --zone names; of a catalogue in parts (`repricer fit --at-once`), the products of all parts. The folder of the market
    or run keeps the list; it is written again, without a comparison, as long as market, policies, draws, risk and seed
    are the same.
    """
    from ..planning.kept_list import list_line, summary
    from ..serving.price_list.files import check_list_path, write_list

    check_list_path("--out", out)
    if (Path(scenario) / "run.json").is_file():
        policies = (scenario, *policies)
    options: dict[str, Any] = {"draws": draws, "risk": risk, "seed": seed}
    chosen, found, notes = tuple(dict.fromkeys(policies)), {}, list[str]()
    markets = markets_of(scenario, zone)
    for label, (stores, market) in markets.items():
        own = tuple(in_zone(policy, stores) for policy in chosen)
        found[label] = (stores, _list_of(label, stores, market, own, notes, **options))
    if notes:
        say_aside(f"note: {notes[0]}" + (f" and {len(notes) - 1} more" if notes[1:] else ""))
    rows = [row for stores, part in found.values() for row in part.in_zone(stores)]
    any_of_them = next(part for _, part in found.values())
    past = [line for _, part in found.values() for line in part.past]
    write_list(out, rows, currency=any_of_them.currency, notes=past)
    words = {label: part.recommended for label, (_, part) in found.items()}
    recommended = words if len(words) > 1 else next(iter(words.values()))
    facts: dict[str, Any] = {"out": str(out), "recommended": recommended} | summary(rows, any_of_them.unit)
    if as_json:
        emit(facts)
        return
    for label, (_, part) in found.items():
        for line in ([label] if len(found) > 1 else []) + part.past + [part.verdict]:
            say(line)
    if len(found) > 1:
        from ..evaluation.uncertainty import zone_lines

        for line in zone_lines({label: part.gain for label, (_, part) in found.items()}):
            say(line)
    say(list_line(facts, out))
    if len(found) > 1:
        each = ", ".join(market for _, market in markets.values())
        say(f"a bundle holds one market: for `repricer approve`, write the list of each by itself: {each}")
        return
    say(f"decide in the columns from status on, then: repricer approve {out} --bundle BUNDLE --by NAME --log LOG")


def _list_of(
    label: str, zone: str, market: str, policies: tuple[str, ...], notes: list[str], **options: Any
) -> KeptList:
    """The price list of one market: the one that its folder keeps, if nothing has changed since, or a new one.

    A line about a kept one that is used is added to `notes`.
    """
    from ..planning.kept_list import keep, kept_list, origin_of

    folder, origin = Path(market), origin_of(Path(market), policies, **options)
    kept, line = kept_list(folder, origin)
    if kept is not None:
        notes.append(line)
    elif line:
        say_aside(f"note: {line}")
    if kept is None:
        with progress_console.status(f"comparing prices, {label}"):
            kept = _compared(zone, market, policies, origin, **options)
        try:
            keep(folder, kept)
        except OSError as error:
            say_aside(
                f"note: the list is not kept for the next time, as {folder} cannot be written to: {error.strerror}"
            )
    return kept


def _compared(
    zone: str, market: str, policies: tuple[str, ...], origin: Origin, *, seed: int, **options: Any
) -> KeptList:
    """The price list of one market, from a comparison over posterior draws."""
    from ..evaluation.uncertainty import assess
    from ..planning.kept_list import KeptList
    from ..planning.price_list import proposed_rows
    from ..scenarios import load_scenario

    spec = load_scenario(market)
    if not spec.num_draws:
        raise ValueError(f"a price list needs a market fitted on data; got {spec.name}; `repricer fit` makes one")
    chosen = {text: policy_of(text, spec, seed=seed) for text in policies}
    rules = [text for text in chosen if not Path(text).is_dir()]
    if rules:
        raise ValueError(f"--policy must be a run folder or a bundle; got {rules[0]}, a rule; leave it out")
    learned = [policy for text, policy in chosen.items() if holds_learned(text)]
    found = assess(spec, learned, learned=learned, seed=seed, **options)
    return KeptList.of(origin, found, proposed_rows(found, zone=zone, seed=seed))


def markets_of(scenario: str, zone: str | None) -> dict[str, tuple[str, str]]:
    """The stores and the folder of each market of the list, by a name for it."""
    from ..serving.price_list.rows import ALL_STORES

    whole, names = Path(scenario), zone_folders(scenario)
    if names and zone is not None and zone not in names:
        raise ValueError(f"--zone must be one of {', '.join(names)}; got {zone}; choose one, or leave it out for all")
    own = zone or zone_of(whole) or ALL_STORES
    folders = {name: folder for name, folder in names.items() if zone in (None, name)} or {own: whole}
    found = {}
    for stores, folder in folders.items():
        for part in part_folders(folder):
            found[stores if part == folder else f"{stores}, {part.name}"] = stores, str(part)
    return found
