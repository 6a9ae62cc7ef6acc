"""What past prices add to the answer to today's, told apart from demand that persists."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from .least_squares import STILL, Array, CoefficientEstimate, Groups, fit_slopes, without_slopes

Shape = tuple[float, float]
"""Memory and loss aversion."""


@dataclass(frozen=True)
class ReferenceEffect(CoefficientEstimate):
    """Coefficient of log(reference / price): positive if a price below the reference sells more.

    Attributes:
        memory: weight of the last reference price in the next one.
        loss: loss aversion, the effect of a price above the reference relative to one below.

    Example:
        >>> ReferenceEffect(0.3, se=0.1, memory=0.7).memory
        0.7
    """

    memory: float
    loss: float = 1.0


def with_losses(gap: NDArray[np.float64], loss: float) -> NDArray[np.float64]:
    """log(reference / price) as it enters demand: a price above the reference counts `loss` times as much."""
    return np.where(gap > 0, gap, loss * gap)


def reference_columns(rows: pd.DataFrame, shapes: Sequence[Shape]) -> pd.DataFrame:
    """What past prices add to the utility of a price, and what those to come would, one column for each shape.

    A column is log(reference / price), times the loss aversion where negative, plus the log price:
    beside the slope of the log price it has the coefficient of the effect without that addition, and
    for a loss aversion of 1 it does not depend on the price of the week.

    Args:
        rows: `product` and `price`, sorted by product and week.

    Returns:
        The columns ("past", *shape) and ("future", *shape).
    """
    log_price, columns = np.log(rows["price"].to_numpy()), {}
    for memory in dict.fromkeys(memory for memory, _ in shapes):
        for name, order in (("past", slice(None)), ("future", slice(None, None, -1))):
            by_product = rows[order].groupby("product", sort=False)["price"]
            smoothed = by_product.ewm(alpha=1 - memory, adjust=False).mean().groupby(level=0, sort=False).shift()
            reference = smoothed.droplevel(0).reindex(rows.index).fillna(rows["price"])
            gap = np.log(reference.to_numpy()) - log_price
            for loss in (loss for known, loss in shapes if known == memory):
                columns[name, memory, loss] = with_losses(gap, loss) + log_price
    return pd.DataFrame(columns, index=rows.index)


def reference_effect(
    y: Array, x: Array, past: Array, future: Array, common: Array, groups: Groups
) -> tuple[int, CoefficientEstimate]:
    """The reference price that fits the sales best, and its coefficient.

    Good weeks come in a row, and many shops raise prices in them: the last price then tells of this
    week's sales, though nobody remembers it. But so does the next price, and nobody remembers that.
    The effect is the coefficient of past prices less that of the same weeks run backwards.

    Args:
        y: (n,) log units, with the groups' means removed.
        x: (n,) log price, likewise, with a slope for each product.
        past: (n, S) what each shape of a reference price adds, likewise.
        future: (n, S) the same of the prices to come.
        common: (n, q) columns with one coefficient for all products, likewise.

    Returns:
        Which shape fits best, and its coefficient; NaN where the prices cannot tell.
    """
    left = without_slopes(np.column_stack([common, past, y]), x, groups)
    known, rest = left[:, : common.shape[1]], left[:, common.shape[1] :]
    if known.size:
        rest = rest - known @ np.linalg.lstsq(known, rest)[0]
    shapes, size = rest[:, :-1], (rest[:, :-1] ** 2).sum(axis=0)
    best = int(np.where(size > STILL, (shapes.T @ rest[:, -1]) ** 2 / np.maximum(size, STILL), 0.0).argmax())
    one, both = past[:, best] - future[:, best], past[:, best] + future[:, best]
    try:
        fitted = fit_slopes(y, x, np.column_stack([one, both, common]), groups).common[0]
    except np.linalg.LinAlgError:
        return best, CoefficientEstimate(np.nan, np.nan)
    return best, CoefficientEstimate(2 * fitted.coefficient, 2 * fitted.se)
