"""`repricer certify`: what prices lose at most, with evidence from the holdout of a running service."""

from __future__ import annotations

from contextlib import closing
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ._options import FILE, Number, json_option, output, tables_options
from ._tables import read_frame
from .log import open_log

if TYPE_CHECKING:
    import pandas as pd


@click.command("certify")
@click.argument("market", type=FILE)
@click.option("--sales", "tables", type=FILE, required=True, help="Folder of the shop's imported tables.")
@click.option("--decisions", help="Decision log, or its export; by default the column `arm` of the sales.")
@click.option("--loss", type=Number(0, 100), default=2.0, show_default=True, help="Largest loss of money, percent.")
@click.option(
    "--since", type=click.DateTime(["%Y-%m-%d"]), help="First day of the rollout, where there was one before."
)
@click.option("--service", metavar="URL", help="Service to act upon; without one, say what would be done.")
@click.option("--token", envvar="REPRICER_TOKEN", help="Its API key of the role admin [env: REPRICER_TOKEN].")
@click.option("--seed", default=0, show_default=True, help="The --seed of `repricer serve`, by which stores are drawn.")
@tables_options
@json_option
def command(
    market: Path,
    tables: Path,
    decisions: str | None,
    loss: float,
    since: datetime | None,
    service: str | None,
    token: str | None,
    seed: int,
    as_json: bool,
) -> None:
    """Certify that the prices of a service's policy lose at most --loss of the money of MARKET against its holdout.

    Run it every day, from the first sales on at a holdout of 50%. With the first certificate the policy prices more
    stores, step by step; where a larger loss is likely, the kill switch is thrown.
    """
    import numpy as np

    from ..data import load_tables
    from ..planning.experiments.rollout import RolloutPlan, rollout
    from ..planning.experiments.rollout_service import ask, certificate, store_days, switches
    from ..scenarios import load_scenario
    from ..serving.http.slots import Draws

    plan, sales = RolloutPlan(loss=loss / 100), load_tables(tables).sales
    money, held = store_days(load_scenario(market), sales, sales if decisions is None else decided(decisions))
    if since is not None:
        held = held.where(held.index >= since)
    draws = np.array([Draws(seed).number(store) for store in money.columns])
    looks = rollout(money.to_numpy(float), held.to_numpy(float), plan, draws)
    if not looks:
        output(
            as_json,
            {"looks": 0, "analysis": plan.digest},
            "no look yet: the first is two weeks after the first day of both arms",
        )
        return
    look, date = looks[-1], str(money.index[looks[-1].day].date())
    now = None if service is None else ask(service, token, "/v1/operation")
    at = {"holdout": 1.0, "kill_switch": False} if now is None else now
    thrown = switches(look, at["holdout"], at["kill_switch"])
    if service is not None:
        for switch, body in [*thrown.items(), ("certificate", certificate(plan, look, date))]:
            ask(service, token, f"/v1/admin/{switch}", body)
    gain = "no estimate" if look.estimate is None else f"gain {look.estimate:+.1%}, at least {look.lower:+.1%}"
    acts = [f"{name} {body.get('share', 'on')}" for name, body in thrown.items()] or ["nothing changes"]
    lines = (
        f"{date}, stage {look.stage}: {look.state}; {gain}",
        look.reason,
        f"{'to do' if now is None else 'done'}: {', '.join(acts)}",
    )
    facts = {"looks": len(looks), "analysis": plan.digest, **asdict(look), "day": date}
    output(as_json, facts | {"switches": thrown, "applied": service is not None}, *lines)


def decided(place: str) -> pd.DataFrame:
    """The date, store and arm of each decision."""
    import pandas as pd

    if place.endswith((".csv", ".parquet")):
        return read_frame("--decisions", Path(place))
    with closing(open_log(place)) as log:
        rows = dict.fromkeys((row["date"] or row["time"][:10], row["market"], row["arm"]) for row in log.export())
    return pd.DataFrame(list(rows), columns=["date", "store", "arm"])
