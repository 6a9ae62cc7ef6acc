"""`repricer certify`: with what confidence a policy's prices lose at most a share of the current money."""

from __future__ import annotations

from contextlib import closing
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..planning.experiments.certificate import BANDWIDTH, ELASTICITY, UNITS
from ._options import FILE, Number, figures_table, json_option, output, seed_option, tables_options
from ._policies import policy_of
from ._tables import read_frame
from .log import open_log

if TYPE_CHECKING:
    import pandas as pd

    from ..planning.experiments.rollout import RolloutPlan


_BANDWIDTH = (
    f"For a log of continuous prices: half-width of the kernel, in percent of the price, such as {100 * BANDWIDTH:g}."
)


class _Percent(Number):
    """A share that is given in percent."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The share."""
        return super().convert(value, param, ctx) / 100


@click.command(name="certify")
@click.argument("market", metavar="MARKET")
@click.option("--from-log", "log", type=FILE, help="Log, written by simulate --log or log export.")
@click.option("--policy", metavar="P", help="With --from-log: run folder, bundle or rule, as evaluate takes them.")
@click.option("--loss", type=_Percent(0, 99), default=2.0, show_default=True, help="Loss that is allowed, in percent.")
@click.option(
    "--confidence", type=_Percent(50, 99.99, min_open=True), default=95.0, show_default=True, help="In percent."
)
@click.option("--unit", type=click.Choice(UNITS), default="market", show_default=True, help="What a score is of.")
@click.option("--daily", is_flag=True, help="Read the log at every look, and certify the average so far.")
@click.option("--bandwidth", type=_Percent(0, 50, min_open=True), help=_BANDWIDTH)
@click.option(
    "--elasticity", type=Number(1), default=ELASTICITY, show_default=True, help="Largest that demand may have."
)
@click.option("--sales", "tables", type=FILE, help="Folder of the shop's tables: certify by a service's holdout.")
@click.option("--decisions", metavar="LOG", help="Its decision log, or an export; by default the sales' column `arm`.")
@click.option("--since", type=click.DateTime(["%Y-%m-%d"]), help="First day of this rollout, if there was another.")
@click.option("--service", metavar="URL", help="Service to act upon; without one, nothing is switched.")
@click.option("--token", envvar="REPRICER_TOKEN", help="Its API key, of the role admin [env: REPRICER_TOKEN].")
@tables_options
@seed_option
@json_option
def command(
    market: str, log: Path | None, policy: str | None, tables: Path | None, seed: int, as_json: bool, **options: Any
) -> None:
    """Certify that the prices of policy P lose at most 2% against those of a log of MARKET, with 95% confidence.

    The log must hold propensities, and prices that were drawn: each decision tells what P's prices would have earned
    where they happened to be charged. Markets must be independent of each other; with --unit decision, for logs of few
    markets over many periods, the draws of each decision must be. With --daily the log may be read after each unit, and
    prices and demand may drift. Exits 0, whether certified or not.

    With --sales, run every day, the evidence is the holdout of a running service (`repricer serve --holdout 0.5`, with
    the same --seed). With the certificate, the policy prices more stores, step by step; where a larger loss is likely,
    the kill switch is thrown.
    """
    if (log is None) == (tables is None) or (log is None) != (policy is None):
        if log and tables:
            got = "both"
        elif log is tables:
            got = "neither"
        else:
            got = "only one of --from-log and --policy"
        raise ValueError(f"certify needs --from-log and --policy, or --sales; got {got}; give one or the other")
    shop = {name: options.pop(name) for name in ("decisions", "since", "service", "token")}
    if tables is not None:
        from ..planning.experiments.rollout import RolloutPlan

        rollout = RolloutPlan(loss=options["loss"], confidence=options["confidence"])
        facts, lines = _by_holdout(market, tables, rollout, seed, **shop)
        output(as_json, facts, *lines)
    if log is None or policy is None:
        return
    from rich.markup import escape

    from ..evaluation import read_log
    from ..planning.experiments.certificate import certify
    from ..scenarios import load_scenario

    spec = load_scenario(market)
    found = certify(read_log(spec, log), policy_of(policy, spec, seed=seed), **options)
    title = f"Gain of {escape(found.policy)} over the logged prices"
    table = figures_table([f"{found.confidence:.0%} lower bound", "holds"], ["gain"], title=title)
    table.add_row("estimate", "", f"{found.estimate:+.2%}")
    table.add_row("betting", "for the whole log", f"{found.betting:+.2%}")
    table.add_row("empirical Bernstein", "for the whole log", f"{found.empirical_bernstein:+.2%}")
    table.add_row("running average", "at every look", f"{found.running[-1]:+.2%}")
    document = {"scenario": spec.name, "objective": spec.market.objective, "log": str(log), **found.to_dict()}
    cut = (
        f"{found.clipped_share:.1%} of the scores were cut, of losses beyond {found.cap:.2g} times the mean money of a"
    )
    notes = [
        f"Effective sample {found.effective_sample_size:,.0f} decisions; {cut} {found.unit}, or gains as rare; "
        f"{found.clipped_gain:.2%} taken off the bounds for it."
    ]
    if found.bias:
        notes.append(f"{found.bias:.2%} taken off for the kernel's bias.")
    if found.ignored:
        notes.append(f"Effects on later periods ({', '.join(found.ignored)}) are those of the logged states.")
    output(as_json, document, found.verdict(), table, *notes)


def _by_holdout(
    market: str,
    tables: Path,
    plan: RolloutPlan,
    seed: int,
    decisions: str | None,
    since: datetime | None,
    service: str | None,
    token: str | None,
) -> tuple[dict[str, Any], list[str]]:
    """The last look of a rollout, acted upon where a service is named: as a document, and in words."""
    import numpy as np

    from ..data import load_tables
    from ..planning.experiments.rollout import rollout
    from ..planning.experiments.rollout_service import ask, certificate_body, money_and_arms, switches
    from ..scenarios import load_scenario
    from ..serving.http.slots import ArmAssignment

    spec = load_scenario(market)
    sales = load_tables(tables).sales
    money, held = money_and_arms(spec, sales, sales if decisions is None else decided(decisions))
    if since is not None:
        held.loc[held.index < since] = np.nan
    draws = np.array([ArmAssignment(seed).number(store) for store in money.columns])
    looks = rollout(money.to_numpy(float), held.to_numpy(float), plan, draws)
    facts: dict[str, Any] = {"looks": len(looks), "analysis": plan.digest}
    if not looks:
        return facts, ["no look yet: the first is two weeks after the first day of both arms"]
    look, read, day = looks[-1], *(str(money.index[number].date()) for number in (-1, looks[-1].day))
    now = {"holdout": 1.0, "kill_switch": False} if service is None else ask(service, token, "/v1/operation")
    thrown = switches(look, now["holdout"], now["kill_switch"])
    if service is not None:
        for switch, body in [("certificate", certificate_body(plan, look, read)), *thrown.items()]:
            ask(service, token, f"/v1/admin/{switch}", body)
    seen = ["?" if end is None else f"{end:+.1%}" for end in (look.estimate, look.lower, look.upper)]
    arms = held.ffill().loc[money.index[looks[-1].day]].value_counts()
    stores = f"{arms.get(0.0, 0)} stores with the policy, {arms.get(1.0, 0)} without"
    gain = f"gain in {spec.market.objective} {seen[0]} ({seen[1]} to {seen[2]}); {stores}"
    acts = ", ".join(f"{name} {body.get('share', 'on')}" for name, body in thrown.items()) or "nothing changes"
    lines = [f"{day}, stage {look.stage}: {look.state}; {gain}", look.reason]
    facts |= {**asdict(look), "day": day, "switches": thrown, "applied": service is not None}
    return facts, [*lines, f"{'to do' if service is None else 'done'}: {acts}"]


def decided(place: str) -> pd.DataFrame:
    """The date, store and arm of each decision in a log, or in an export of one."""
    import pandas as pd

    if place.endswith((".csv", ".parquet")):
        return read_frame("--decisions", Path(place))
    with closing(open_log(place)) as log:
        rows = dict.fromkeys((row["date"] or row["time"][:10], row["market"], row["arm"]) for row in log.export())
    return pd.DataFrame(list(rows), columns=["date", "store", "arm"])
