"""One regression over shops that share no rows: in each round of EM, the shops add up what it needs of all products."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd

from ..privacy.shared_sums import FederationError, SharedFolder
from .models.pooled import PooledRegression, mean_over_median
from .models.random_coefficients import ITERATIONS, Common
from .models.weekly_design import YEAR, all_names


@dataclass(frozen=True)
class SharedFit:
    """The result of a fit over many shops.

    Attributes:
        common: What the products of all shops have in common, for `PooledRegression`.
        shops: Names of the shops.
        products: Number of products of all shops.

    Example:
        >>> SharedFit(Common.first(("discount",)), ("east", "north", "west"), 40).products
        40
    """

    common: Common
    shops: tuple[str, ...]
    products: int


def fit_shared(
    panel: pd.DataFrame,
    folder: Path,
    key: bytes,
    *,
    name: str,
    shops: int,
    wait: float = 3600.0,
    say: Callable[[str], None] = lambda _: None,
) -> SharedFit:
    """Take part in a fit over many shops.

    Args:
        panel: The shop's weeks, as `repricer.data.product_weeks` returns; they stay here.
        folder: As for `SharedFolder`, like the other arguments.
        key: What all who take part know.
        name: Of the shop, for the others.
        shops: Number of shops.
        wait: Longest time to wait for another shop, in seconds.
        say: Called with a line each round.

    Raises:
        FederationError: A shop is missing or gave up, or the sums make no sense.

    Example:
        >>> fit_shared(panel, Path("/mnt/shops/monday"), key, name="east", shops=5)  # doctest: +SKIP
    """
    model = PooledRegression().fit(panel)
    days = model.period_.days
    names = all_names(daily=days == 1)
    history = {"first": panel["week"].min().date().isoformat(), "last": model.last_week_.date().isoformat()}
    about = f"a regression on periods of {days} days (--period), on {len(names)} covariates: {' '.join(names)}"
    with SharedFolder(folder, key, name=name, shops=shops, about=about, facts=history, wait=wait, say=say) as shared:
        first, last = (
            choose(date.fromisoformat(facts[end]) for facts in shared.facts.values())
            for end, choose in (("first", min), ("last", max))
        )
        common = Common.first(names, seasonal=(last - first).days + days >= 7 * YEAR)
        products = model.products(names, seasonal=common.seasonal)
        number = 0.0
        for _ in range(ITERATIONS):
            sums = shared.sum(products.expect(common).sums(common))
            number = sums[0]
            common = _sensible(common, sums)
        errors = shared.sum(PooledRegression(common=common).fit(panel).totals_)
    return SharedFit(replace(common, mean_over_median=mean_over_median(errors)), tuple(shared.facts), round(number))


def _sensible(common: Common, sums: np.ndarray) -> Common:
    """The next coefficients, if the sum can be one of honest shops."""
    products, weeks, unexplained = sums[:3]
    try:
        if not (products >= 1 and weeks >= products and unexplained >= 0 and products == round(products)):
            raise ValueError
        return Common.of(common.updated(sums).document())
    except ValueError:
        raise FederationError(
            "the shops' sum must be one of products, weeks and squares; got other numbers: a shop wrote nonsense under its "
            "mask, which hides whose it was; begin again without some of them"
        ) from None
