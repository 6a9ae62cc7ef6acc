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
from .comparison import SegmentFigures, segment_figures
from .figures import number, percent
from .policies import policies_of
from .uncertainty.draws import ENDS, METHOD, check_draws, draw_numbers

Array = NDArray[np.float64]
SEGMENTS = "segment"
"""The kind of the rows that are segments; the others have the attribute of their groups."""
DRAWS = 40
"""Posterior draws, unless the caller says otherwise."""
EPISODES = 4
"""Episodes per draw, unless the caller says otherwise."""
COLUMNS = ("price_paid", "basket_price_before", "basket_price", "surplus_before", "surplus", "surplus_change")
"""The figures of a table by group; before is under the other policy, whose units make the basket."""
# A ratio of prices below this is none.
_NO_RATIO = 1.0005
_MEASURES: tuple[str, ...] = ("price_paid", "basket_price", "surplus")


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
            customers together buy under the other policy, a Laspeyres index), `surplus` (currency per customer who arrives) and `surplus_change`; as
            `basket_price_before` and `surplus_before` the same under the other policy, without an interval.
        gaps: One row per kind: with an interval `price_ratio`, the largest ratio of two mean basket prices, of `dearest` over
            `cheapest`, `price_ratio_before`, the same groups' under the other policy, and `surplus_gap`, the largest
            difference of two mean surplus changes, of `best` less `worst`.

    Example:
        >>> figures = group_figures("segment-prices", "fixed:9", against="fixed:8", episodes=1)
        >>> figures.rows[["name", "basket_price"]].round(2).values.tolist()
        [['careful', 9.0], ['keen', 9.0]]
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
            f"By {row['kind']}, the same basket costs "
            + ("all the same" if row["price_ratio"] < _NO_RATIO else self._dearer(row))
            + f"; the surplus of a customer changes by {_figure(row, 'surplus_gap', 3)} {self.spec.market.currency} more for "
            f"'{row['best']}' than for '{row['worst']}'."
            for row in self.gaps.to_dict("records")
            if row["dearest"] != row["cheapest"] or row["best"] != row["worst"]
        ]

    def _dearer(self, row: Mapping[Any, Any]) -> str:
        before = f"{number(row['price_ratio_before'], 3)} under {self.against}"
        return f"'{row['dearest']}' {_figure(row, 'price_ratio', 3)} times what it costs '{row['cheapest']}' ({before})"

    @property
    def cells(self) -> list[tuple[str, ...]]:
        """The rows as texts: kind, name, share of customers, and each of `COLUMNS`."""
        return [
            (row["kind"], row["name"], percent(row["customers"]), *(_figure(row, name) for name in COLUMNS))
            for row in self.rows.to_dict("records")
        ]

    def to_dict(self) -> dict[str, Any]:
        """As `evaluate --fairness --json` prints it; an interval that does not exist is null."""
        rows, gaps = (t.astype(object).where(t.notna(), None).to_dict("records") for t in (self.rows, self.gaps))
        about = {"policy": self.policy, "against": self.against, "draws": self.draws}
        return about | {"groups": rows, "gaps": gaps}


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
        >>> figures.gaps[["kind", "dearest", "cheapest"]].values.tolist(), round(float(figures.gaps["price_ratio"][0]), 2)
        ([['segment', 'keen', 'careful']], 5.0)
    """
    spec = load_scenario(market)
    if isinstance(policy, np.ndarray):
        path = np.broadcast_to(policy, (spec.sizes["T"], spec.sizes["N"])).astype(np.float32)
        policy = PricePath(path, name="price list")
    before = against or ("regular" if spec.plan is None else "historical")
    ours, theirs = (policies_of(spec, [one], seed)[0] for one in (policy, before))
    if draws is not None:
        check_draws(spec, draws)
    numbers = draw_numbers(spec, min(spec.num_draws, DRAWS) if draws is None else draws) if spec.num_draws else ()
    markets = [spec.draw(m) for m in numbers] or [spec]
    weights, rows = _customers_of(spec)
    run = {"seed": seed_for("test", seed), "episodes": episodes, "assumed": spec}
    found = []
    for one in markets:
        pair = [segment_figures(one, policy, **run) for policy in (ours, theirs)]
        found.append([_measures(one, each, pair[1].basket, weights) for each in pair])
    now, then = (dict(zip(_MEASURES, values, strict=True)) for values in np.moveaxis(np.array(found), 0, 2))
    now["surplus_change"] = now["surplus"] - then["surplus"]
    for name, values in now.items():
        _add(rows, name, values)
    rows["basket_price_before"], rows["surplus_before"] = (then[key].mean(axis=0) for key in _MEASURES[1:])
    kinds = {kind: np.flatnonzero(rows["kind"] == kind) for kind in rows["kind"].unique()}
    prices = now["basket_price"], then["basket_price"]
    gaps = [_gap(kind, rows["name"].to_numpy(), own, prices, now["surplus_change"]) for kind, own in kinds.items()]
    return GroupFigures(spec, ours.name, theirs.name, len(numbers), rows, pd.concat(gaps, ignore_index=True))


def _figure(row: Mapping[Any, Any], name: str, digits: int = 2) -> str:
    """A figure of a row with its interval, where it has one."""
    low, high = (row.get(f"{name}_{end}", np.nan) for end in ("low", "high"))
    interval = "" if np.isnan(low) else f" [{number(low, digits)}, {number(high, digits)}]"
    return number(row[name], digits) + interval


def _customers_of(spec: MarketSpec) -> tuple[Array, pd.DataFrame]:
    """Who the figures are of: a row for each of the K segments, and for each of the F protected groups, if any.

    Returns:
        (K + F, K) share of each segment among a row's customers; and each row's kind, name and share of all customers.
    """
    segments = spec.arrivals.segments
    fair = spec.fairness
    kinds = [SEGMENTS] * len(segments)
    names = list(segments)
    share = spec.segment_of_customers
    if fair is not None:
        kinds = [*kinds, *fair.attribute]
        names = [*names, *fair.groups]
        share = np.append(share, share @ fair.share)
    weights = np.vstack([np.eye(len(segments)), spec.segment_of_group])
    return weights, pd.DataFrame({"kind": kinds, "name": names, "customers": share})


def _measures(market: MarketSpec, figures: SegmentFigures, basket: Array, weights: Array) -> list[Array]:
    """(K + F,) each of `_MEASURES` under one draw; basket: (T, N) units."""
    each = 1 / np.maximum(market.arrivals.rate.sum(axis=0) @ market.arrivals.segment_share, 1e-300)
    units, money = (weights @ (f * each) for f in (figures.units, np.nan_to_num(figures.price_paid) * figures.units))
    paid = np.divide(money, units, out=np.full_like(money, np.nan), where=units > 0)
    price = np.tensordot(basket, figures.charged, 2) / max(basket.sum(), 1e-300)
    return [paid, weights @ price, weights @ (figures.surplus * each)]


def _add(table: pd.DataFrame, name: str, values: Array) -> None:
    """Add the mean and the interval of (M, rows) values to a table."""
    table[name] = values.mean(axis=0)
    several = len(values) > 1
    ends = np.quantile(values, ENDS, axis=0, method=METHOD) if several else np.full((2, len(table)), np.nan)
    table[f"{name}_low"], table[f"{name}_high"] = ends


def _gap(
    kind: str, names: NDArray[Any], own: NDArray[np.intp], prices: tuple[Array, Array], change: Array
) -> pd.DataFrame:
    """The row of `GroupFigures.gaps` of one kind; own: its rows; prices now and before, change: (M, rows)."""
    dear, good = (own[np.argsort(values.mean(axis=0)[own], kind="stable")] for values in (prices[0], change))
    named = zip(("dearest", "cheapest", "best", "worst"), (dear[-1], dear[0], good[-1], good[0]), strict=True)
    table = pd.DataFrame([{"kind": kind} | {key: names[row] for key, row in named}])
    for key, values in zip(("price_ratio", "price_ratio_before"), prices, strict=True):
        _add(table, key, values[:, dear[-1:]] / values[:, dear[:1]])
    _add(table, "surplus_gap", change[:, good[-1:]] - change[:, good[:1]])
    return table
