"""Figures over many shops: predicted against realised gain, coverage, share of the optimum."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

REGULAR_LOSS = -0.01
"""A recommendation loses against regular prices below this realised gain."""
_THIRDS = ("lowest", "middle", "highest")


def summarise(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The figures over all shops, and by thirds of elasticity and of outside share.

    Args:
        rows: Results of `assess_shop`.

    Returns:
        `all`, and under `elasticity` and `outside_share` one entry per third; see `figures`.

    Example:
        >>> from pathlib import Path
        >>> from repricer.benchmarks.uplift import StudySettings, run_study
        >>> rows = run_study(StudySettings("clean"), range(40), Path("runs/uplift"))  # doctest: +SKIP
        >>> summarise(rows)["all"]["covered"]  # doctest: +SKIP
        37
    """
    by = {name: _thirds(rows, name) for name in ("elasticity", "outside_share")} if len(rows) >= len(_THIRDS) else {}
    return {"all": figures(rows), **by}


def figures(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The figures over some shops.

    Returns:
        `shops`; means of `predicted`, `realised`, `optimal` gain; `over_prediction`, the mean of
        predicted less realised, and `absolute_error`; number of shops `covered` by their 90%
        interval, with a realised gain `below` or `above` it; `worst_realised`, `share_of_optimum`
        and `worst_share`, `regular_share`, `own_share`; `share_of_best_gain`, the mean realised over the
        mean optimal gain; shops that `lose_to_regular` by more than 1%, that `lose_to_own` prices, and that
        are `far_below_own`, by more than 1%; `refused`; `said`, verdicts that say that prices follow demand
        or may; `cpu_seconds` per shop.
    """
    columns = {name: np.array([row[name] for row in rows], dtype=float) for name in _MEANS}
    low, high = np.array([row["interval90"] for row in rows], dtype=float).T
    gain, error = columns["realised"], columns["predicted"] - columns["realised"]
    earned = {name: np.array([row["earned"][name] for row in rows]) for name in ("own", "recommended")}
    refused = np.array([row["refused"] for row in rows])
    return {
        "shops": len(rows),
        **{name: float(values.mean()) for name, values in columns.items()},
        "share_of_best_gain": float(gain.mean() / columns["optimal"].mean()),
        "over_prediction": float(error.mean()),
        "absolute_error": float(np.abs(error).mean()),
        "covered": int(((low <= gain) & (gain <= high)).sum()),
        "below": int((gain < low).sum()),
        "above": int((gain > high).sum()),
        "worst_realised": float(gain.min()),
        "worst_share": float(columns["share_of_optimum"].min()),
        "lose_to_regular": int(((gain < REGULAR_LOSS) & ~refused).sum()),
        "lose_to_own": int(((earned["recommended"] < earned["own"]) & ~refused).sum()),
        "far_below_own": int((earned["recommended"] < (1 + REGULAR_LOSS) * earned["own"]).sum()),
        "refused": int(refused.sum()),
        "said": sum(row["may_follow_demand"] for row in rows),
    }


_MEANS = ("predicted", "realised", "optimal", "share_of_optimum", "regular_share", "own_share", "cpu_seconds")


def _thirds(rows: Sequence[dict[str, Any]], name: str) -> list[dict[str, Any]]:
    order = np.argsort([row[name] for row in rows], kind="stable")
    parts = []
    for third, numbers in zip(_THIRDS, np.array_split(order, len(_THIRDS)), strict=True):
        chosen = [rows[number] for number in numbers]
        values = [row[name] for row in chosen]
        parts.append({"third": third, "from": min(values), "to": max(values)} | figures(chosen))
    return parts
