"""`repricer prices`: the recommended prices as a price list."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..planning.market_folder import in_zone, part_folders, zone_folders, zone_of
from ..planning.progress import progress_console
from ._options import OUT, draws_option, json_option, output, risk_option, seed_option, zone_option
from ._policies import holds_learned, policy_of

if TYPE_CHECKING:
    from ..evaluation.uncertainty import Assessment
    from ..scenarios import MarketSpec
    from ..serving.price_list.rows import PriceRow


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
@zone_option
@draws_option
@risk_option
@seed_option
@json_option
def command(
    scenario: str, policies: tuple[str, ...], out: Path, zone: str | None, seed: int, as_json: bool, **options: Any
) -> None:
    """Write the price list of the recommended prices: by product, and by product and week of the market.

    Considered are the prices of RUN and of every --policy, the best fixed prices, blends of them with the current
    prices, and the current prices themselves. Each row has the current and the new price, why, what is expected at it
    with a 90% interval, and columns for the decision. Edit these, then `repricer approve` makes
    the list live. Of a MARKET with price zones (`repricer fit --by zone`) the list holds all zones, or the one that
    --zone names; of a catalogue in parts (`repricer fit --at-once`), the products of all parts.
    """
    from msgspec.structs import asdict

    from ..evaluation.uncertainty import past_lines, plan_beside_past, zone_lines
    from ..planning.list_summary import ListPart, list_summary
    from ..planning.price_image import image_of_list
    from ..planning.price_list import list_line, proposed_rows, summary
    from ..serving.price_list.files import check_list_path, write_list
    from ..serving.price_list.image import write_image
    from ..serving.price_list.summary import together_line, write_summary

    check_list_path("--out", out)
    for text in policies:
        if not Path(text).is_dir():
            fix = "leave it out: the best fixed and the current prices are always compared"
            raise ValueError(f"--policy must be a run folder or a bundle; got {text}, which is no folder; {fix}")
    if (Path(scenario) / "run.json").is_file():
        policies = (scenario, *policies)
    markets = markets_of(scenario, zone)
    found: dict[str, Assessment] = {}
    rows: list[PriceRow] = []
    parts: list[tuple[MarketSpec, list[PriceRow]]] = []
    listings = list[ListPart]()
    lines = list[str]()
    for label, (stores, market) in markets.items():
        with progress_console.status(f"comparing prices, {label}"):
            own = dict.fromkeys(in_zone(policy, stores) for policy in policies)
            judged = found[label] = _assessed(market, own, seed=seed, **options)
            spec = judged.compared.spec
            listed = proposed_rows(judged, zone=stores, seed=seed)
        plan = past_lines(plan_beside_past(spec), spec.market.currency)
        lines += [*[label] * (len(markets) > 1), *plan, str(judged)]
        rows += listed
        parts.append((spec, listed))
        listings.append(ListPart(label, judged, listed))
    spec = next(iter(found.values())).compared.spec
    assert spec.calendar is not None, "a price list needs a market with dates"
    with progress_console.status("summing up by product"):
        opening = list_summary(listings, seed=seed)
    write_list(out, rows, currency=spec.market.currency, summary=opening)
    write_summary(out, opening)
    write_image(out, image_of_list(Path(scenario), parts))
    words = {label: judged.recommendation.words for label, judged in found.items()}
    recommended = words if len(words) > 1 else next(iter(words.values()))
    facts: dict[str, Any] = {"out": str(out), "recommended": recommended} | summary(rows, spec.calendar.unit)
    following = [
        f"decide on a page: repricer desk {out} --bundle BUNDLE --log LOG",
        f"or in the columns from status on, then: repricer approve {out} --bundle BUNDLE --by NAME --log LOG",
    ]
    if len(found) > 1:
        if opening.together is not None:
            lines.append(together_line(opening.together))
            facts["together"] = asdict(opening.together)
        lines += zone_lines({label: judged.relative_gain for label, judged in found.items()})
        each = ", ".join(market for _, market in markets.values())
        commands = "`repricer desk` and `repricer approve`"
        following = [f"a bundle holds one market: for {commands}, write the list of each by itself: {each}"]
    output(as_json, facts, *lines, list_line(facts, out), *following)


def _assessed(market: str, policies: Iterable[str], *, seed: int, **options: Any) -> Assessment:
    """The policies of one market, compared over posterior draws."""
    from ..evaluation.uncertainty import assess
    from ..scenarios import load_scenario

    spec = load_scenario(market)
    if not spec.num_draws:
        raise ValueError(f"a price list needs a market fitted on data; got {spec.name}; `repricer fit` makes one")
    chosen = {text: policy_of(text, spec, seed=seed) for text in policies}
    learned = [policy for text, policy in chosen.items() if holds_learned(text)]
    return assess(spec, learned, learned=learned, seed=seed, **options)


def markets_of(scenario: str, zone: str | None) -> dict[str, tuple[str, str]]:
    """The stores and the folder of each market of the list, by a name for it."""
    from ..serving.price_list.rows import ALL_STORES

    whole = Path(scenario)
    names = zone_folders(scenario)
    if names and zone is not None and zone not in names:
        raise ValueError(f"--zone must be one of {', '.join(names)}; got {zone}; choose one, or leave it out for all")
    own = zone or zone_of(whole) or ALL_STORES
    folders = {name: folder for name, folder in names.items() if zone in (None, name)} or {own: whole}
    found = {}
    for stores, folder in folders.items():
        for part in part_folders(folder):
            found[stores if part == folder else f"{stores}, {part.name}"] = stores, str(part)
    return found
