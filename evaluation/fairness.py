"""Prices paid and consumer surplus by segment and by protected group, over posterior draws, and the gaps between groups."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..agents import Run
from ..envs import seed_for
from ..pricing import Policy, PricePath
from ..scenarios import MarketSpec, load_scenario
from .comparison import segment_figures
from .figures import number, percent
from .policies import policies_of
from .uncertainty.draws import ENDS, METHOD, check_draws, draw_numbers

Array = NDArray[np.float64]
SEGMENTS = "segment"
"""The kind of the rows that are segments; the others have the attribute of their groups."""
DRAWS, EPISODES = 40, 4
"""Posterior draws and episodes per draw, unless the caller says otherwise."""
HEADINGS = {
    "price_paid": "price paid",
    "basket_price_before": "basket before",
    "basket_price": "basket",
    "surplus_before": "surplus before",
    "surplus": "surplus",
    "surplus_change": "surplus change",
}
"""Headings of the figures of a table by group; a basket is what all customers buy, before is under the other policy."""
_MEASURES = ("price_paid", "basket_price", "surplus")


@dataclass(frozen=True, eq=False)
class GroupFigures:
    """Prices and surplus by segment and protected group, under a policy and under the one that it is compared with.

    A figure with an interval has columns `NAME`, `NAME_low` and `NAME_high`: the mean over the posterior draws and the 5%
    and 95% quantile, which are NaN in a market without a posterior. Both policies meet the same draws and customers.

    Attributes:
        spec: The market.
        policy: Name of the policy.
        against: Name of the policy before, by default the current prices.
        draws: Number of posterior draws; 0 without a posterior.
        rows: One row per segment and group: `kind` (`SEGMENTS`, or the attribute), `name`, `customers` (share of all);
            with an interval `price_paid` (currency per unit bought), `basket_price` (currency per unit of what all
            customers buy together), `surplus` (currency per customer who arrives) and `surplus_change`; as
            `basket_price_before` and `surplus_before` the same under the other policy, without an interval.
        gaps: One row per kind: with an interval `price_ratio`, the largest ratio of two basket prices, `price_ratio_before`,
            and `surplus_gap`, the largest difference of two surplus changes; `dearest`, `cheapest`, `best` and `worst` name
            the groups concerned.
    """

    spec: MarketSpec
    policy: str
    against: str
    draws: int
    rows: pd.DataFrame
    gaps: pd.DataFrame

    @property
    def sentences(self) -> list[str]:
        """The gaps between segments, and between the groups of each attribute, a sentence each."""
        return [
            f"By {row['kind']}, '{row['dearest']}' pays {_figure(row, 'price_ratio', 3)} times what '{row['cheapest']}' pays "
            f"for the same basket ({number(row['price_ratio_before'], 3)} under {self.against}); the surplus of a customer "
            f"changes by {_figure(row, 'surplus_gap', 3)} {self.spec.market.currency} more for '{row['best']}' than for "
            f"'{row['worst']}'."
            for row in self.gaps.to_dict("records")
            if row["dearest"] != row["cheapest"] or row["best"] != row["worst"]
        ]

    @property
    def cells(self) -> list[tuple[str, ...]]:
        """The rows as texts: kind, name, share of customers, and each of `HEADINGS`."""
        return [
            (row["kind"], row["name"], percent(row["customers"]), *(_figure(row, name) for name in HEADINGS))
            for row in self.rows.to_dict("records")
        ]

    def to_dict(self) -> dict[str, Any]:
        """As `evaluate --fairness --json` prints it; an interval that does not exist is null."""
        tables = {"groups": self.rows, "gaps": self.gaps}
        plain = {
            key: table.astype(object).where(table.notna(), None).to_dict("records") for key, table in tables.items()
        }
        return {"policy": self.policy, "against": self.against, "draws": self.draws} | plain


def group_figures(
    market: MarketSpec | str,
    policy: Policy | Run | str | Array,
    *,
    against: Policy | Run | str | None = None,
    draws: int | None = None,
    episodes: int = EPISODES,
    seed: int = 0,
) -> GroupFigures:
    """Compare what segments and protected groups pay, and what surplus they have, under a policy and at current prices.

    Consumer surplus is the area under a segment's demand, for a logit the log-sum over the marginal utility of money (Small
    and Rosen 1981), see `comparison.segment_figures`. A market knows the shares of groups in segments alone: within a
    segment, all groups are taken to buy alike. The figure of a group is the mean over its customers' segments.

    Args:
        market: A market, or its name or folder.
        policy: A policy, a run, a rule (see `POLICY_NAMES`), or a list of prices (T, N), currency per unit.
        against: What it is compared with; by default the current prices, or the regular ones where these are not known.
        draws: Number of posterior draws; 40 by default, or all of fewer.
        episodes: Episodes per draw.
        seed: Selects the test seeds.

    Raises:
        ValueError: The market has no such policy, or not so many draws.

    Example:
        >>> figures = group_figures("segment-prices", "optimum", against="regular", episodes=1)
        >>> figures.gaps[["kind", "dearest", "cheapest"]].values.tolist(), round(figures.gaps["price_ratio"][0], 2)
        ([['segment', 'keen', 'careful']], 5.0)
    """
    spec = load_scenario(market)
    if isinstance(policy, np.ndarray):
        path = np.broadcast_to(policy, (spec.sizes["T"], spec.sizes["N"])).astype(np.float32)
        policy = PricePath(path, name="price list")
    before = against or ("regular" if spec.history is None else "historical")
    ours, theirs = (policies_of(spec, [one], seed)[0] for one in (policy, before))
    if draws is not None:
        check_draws(spec, draws)
    numbers = draw_numbers(spec, min(spec.num_draws, DRAWS) if draws is None else draws) if spec.num_draws else ()
    markets = [spec.draw(m) for m in numbers] or [spec]
    weights, rows = _customers_of(spec)
    found = [
        [_figures(one, policy, weights, seed_for("test", seed), episodes, spec) for one in markets]
        for policy in (ours, theirs)
    ]
    now, then = ({name: np.array([each[name] for each in some]) for name in _MEASURES} for some in found)
    for name in _MEASURES:
        _add(rows, name, now[name], len(numbers))
    change = now["surplus"] - then["surplus"]
    _add(rows, "surplus_change", change, len(numbers))
    for name in ("basket_price", "surplus"):
        rows[f"{name}_before"] = then[name].mean(axis=0)
    gaps = [
        _gap(rows, kind, now["basket_price"], then["basket_price"], change, len(numbers))
        for kind in rows["kind"].unique()
    ]
    return GroupFigures(spec, ours.name, theirs.name, len(numbers), rows, pd.concat(gaps, ignore_index=True))


def _figure(row: Mapping[Any, Any], name: str, digits: int = 2) -> str:
    """A figure of a row with its interval, where it has one."""
    low, high = (row.get(f"{name}_{end}", np.nan) for end in ("low", "high"))
    interval = "" if np.isnan(low) else f" [{number(low, digits)}, {number(high, digits)}]"
    return number(row[name], digits) + interval


def _customers_of(spec: MarketSpec) -> tuple[Array, pd.DataFrame]:
    """(K + F, K) share of each segment among the customers of a row, and the rows' kind, name and share of customers."""
    segments, fair = spec.arrivals.segments, spec.fairness
    kinds, names = [SEGMENTS] * len(segments), list(segments)
    share = spec.segment_of_customers
    if fair is not None:
        kinds, names = [*kinds, *fair.attribute], [*names, *fair.groups]
        share = np.append(share, share @ fair.share)
    weights = np.vstack([np.eye(len(segments)), spec.segment_of_group])
    return weights, pd.DataFrame({"kind": kinds, "name": names, "customers": share})


def _figures(
    market: MarketSpec, policy: Policy, weights: Array, seed: int, episodes: int, assumed: MarketSpec
) -> dict[str, Array]:
    """(K + F,) each of `_MEASURES` under one draw."""
    found = segment_figures(market, policy, seed=seed, episodes=episodes, assumed=assumed)
    customers = market.arrivals.rate.sum(axis=0) @ market.arrivals.segment_share
    each = np.divide(1.0, customers, out=np.zeros_like(customers), where=customers > 0)
    units, money = weights @ (found.units * each), weights @ (np.nan_to_num(found.price_paid) * found.units * each)
    paid = np.divide(money, units, out=np.full_like(money, np.nan), where=units > 0)
    return {
        "price_paid": paid,
        "basket_price": weights @ found.basket_price,
        "surplus": weights @ (found.surplus * each),
    }


def _add(table: pd.DataFrame, name: str, values: Array, draws: int) -> None:
    """Add the mean and the interval of (M, rows) values to a table."""
    table[name] = values.mean(axis=0)
    ends = np.quantile(values, ENDS, axis=0, method=METHOD) if draws > 1 else np.full((2, len(table)), np.nan)
    table[f"{name}_low"], table[f"{name}_high"] = ends


def _gap(rows: pd.DataFrame, kind: str, price: Array, before: Array, change: Array, draws: int) -> pd.DataFrame:
    """The row of `GroupFigures.gaps` of one kind; price, before, change: (M, rows)."""
    own = np.flatnonzero(rows["kind"] == kind)
    name = rows["name"].to_numpy()[own]
    dearest, best = price[:, own].mean(axis=0), change[:, own].mean(axis=0)
    named = {"dearest": name[dearest.argmax()], "cheapest": name[dearest.argmin()]}
    named |= {"best": name[best.argmax()], "worst": name[best.argmin()]}
    table = pd.DataFrame([{"kind": kind} | named])
    for key, values in (("price_ratio", price[:, own]), ("price_ratio_before", before[:, own])):
        _add(table, key, (values.max(axis=1) / values.min(axis=1))[:, None], draws)
    _add(table, "surplus_gap", np.ptp(change[:, own], axis=1)[:, None], draws)
    return table
