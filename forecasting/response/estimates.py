"""Estimates in one table: shrunk to their categories, and put together from batches of categories."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from ..shrinkage import Shrunk, shrink
from .identification import Identification
from .least_squares import CoefficientEstimate

_LARGEST = 2**24
"""Numbers in the columns that the products of a batch share, of which a fit holds some eight copies."""
_RAW = ["raw", "raw_se", "first_stage_f"]


class Estimates:
    """What is combined: the attributes of a fitted `PriceResponse`."""

    elasticity_: pd.DataFrame
    pooled_: CoefficientEstimate
    category_elasticity_: pd.DataFrame
    control_effects_: dict[str, CoefficientEstimate]
    identification_: Identification
    category_identification_: Identification | None


def table_of(
    slopes: pd.DataFrame, members: pd.Series, count: pd.Series, pooled: CoefficientEstimate
) -> tuple[pd.DataFrame, Shrunk]:
    """Tabulate raw and shrunk estimates, one row for each of `members` (group by name)."""
    slopes = slopes.reindex(members.index)
    shrunk = shrink(slopes["raw"], slopes["raw_se"], members)
    columns = {
        "category": members,
        "raw": slopes["raw"],
        "raw_se": slopes["raw_se"],
        # If instruments are strong in the pool only, no product has an estimate of its own.
        "shrunk": shrunk.mean.fillna(pooled.coefficient),
        "shrunk_se": shrunk.se.fillna(pooled.se),
        "implausible": slopes["raw"] > 0,
        "weeks": count,
        "first_stage_f": slopes["first_stage_f"],
    }
    return pd.DataFrame(columns).rename_axis("product").reset_index(), shrunk


def batches_of(rows: pd.DataFrame, usable: pd.Series, least: int) -> list[np.ndarray]:
    """Categories that are estimated together, each batch with as many usable products as the others.

    Week effects and seasons are a column a week and two a category in each row of each product, which
    grows with the square of the catalogue.

    Args:
        rows: `product`, `category` and `week`.
        usable: Number of usable products of each category.
        least: Usable products that a batch needs.
    """
    products, weeks, categories = (rows[name].nunique() for name in ("product", "week", "category"))
    most = max(1, min(int(usable.sum()) // least, categories))
    sizes = np.arange(1, most + 1)
    small = products / sizes * weeks * (weeks + 2 * categories / sizes) <= _LARGEST
    count = int(sizes[small][0]) if small.any() else most
    order = usable.sort_values(ascending=False, kind="stable").index.to_numpy()
    return [order[i::count] for i in range(count)]


def combined(parts: Sequence[Estimates]) -> dict[str, Any]:
    """The attributes of a fit to all categories: tables of all, shrunk anew, and means of what batches share.

    Means are weighted by the inverse of the squared standard errors.

    Args:
        parts: The fits of the batches.
    """
    identification = _identification([part.identification_ for part in parts])
    known = [part.category_identification_ for part in parts if part.category_identification_ is not None]
    of_categories = _identification(known) if known else None
    products = pd.concat([part.elasticity_ for part in parts]).set_index("product").sort_index()
    table, shrunk = table_of(products[_RAW], products["category"], products["weeks"], identification.used)
    categories = pd.concat([part.category_elasticity_ for part in parts]).set_index("category").sort_index()
    pooled = CoefficientEstimate(np.nan, np.nan) if of_categories is None else of_categories.used
    whole, _ = table_of(categories[_RAW], pd.Series("all", index=categories.index), categories["weeks"], pooled)
    controls = dict.fromkeys(name for part in parts for name in part.control_effects_)
    return {
        "identification_": identification,
        "category_identification_": of_categories,
        "pooled_": identification.used,
        "elasticity_": table,
        "variance_": {"within_category": shrunk.within_variance, "between_categories": shrunk.between_variance},
        "category_elasticity_": whole.drop(columns="category").rename(columns={"product": "category"}),
        "control_effects_": {
            name: _mean([p.control_effects_[name] for p in parts if name in p.control_effects_]) for name in controls
        },
    }


def _mean(estimates: Sequence[CoefficientEstimate]) -> CoefficientEstimate:
    value, se = np.array([[each.coefficient, each.se] for each in estimates]).T
    known = np.isfinite(value) & (se > 0)
    if not known.any():
        return CoefficientEstimate(np.nan, np.nan)
    weight = se[known] ** -2.0
    return CoefficientEstimate(float(np.average(value[known], weights=weight)), float(weight.sum() ** -0.5))


def _identification(parts: Sequence[Identification]) -> Identification:
    """What most batches rest on, and the warnings of the others."""
    method = Counter(part.method for part in parts).most_common(1)[0][0]
    chosen = [part for part in parts if part.method == method]
    instrumented = [part.instrumented for part in parts if part.instrumented is not None]

    def median(of: Callable[[Identification], float]) -> float:
        values = np.array([of(part) for part in parts])
        return float(np.nanmedian(values)) if np.isfinite(values).any() else np.nan

    warned = [part for part in parts if part.warnings]
    first = (f"in {len(warned)} of {len(parts)} batches of categories, {warned[0].warnings[0]}",) if warned else ()
    return replace(
        chosen[0],
        fixed_effects=_mean([part.fixed_effects for part in parts]),
        instrumented=_mean(instrumented) if instrumented else None,
        first_stage_f=median(lambda part: part.first_stage_f),
        exogeneity_p=median(lambda part: part.exogeneity_p),
        overidentification_p=median(lambda part: part.overidentification_p),
        warnings=first,
    )
