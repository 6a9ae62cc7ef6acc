"""A shop whose customers answer to regular prices and to deals apart: what it earns at any path of prices."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter1d, minimum_filter1d

from .deal_history import DealHistory
from .deal_responses import Response, worn
from .optimum import best_path
from .parameters import Array
from .truth import Truth

LONGEST = 4
"""Weeks after which a lower price is no deal but the regular price."""
UNNOTICED, NOTICED = 0.02, 0.05
"""Reductions up to the first pass for a change of the regular price, those beyond the second for deals."""


def regular_prices(path: Array, before: Array) -> Array:
    """(…, T, n) regular prices that customers perceive in a path of prices: what it returns to after a deal.

    Prices that are lower for at most four weeks, after which the path is back, are deals, and others are
    changes of the regular price; the path goes on at the median of its last five weeks.

    Args:
        path: (…, T, n) prices.
        before: (4, n) regular prices of the weeks before.

    Example:
        >>> path = np.array([2.0, 1.5, 2.0, 1.8, 1.8, 1.8, 1.8, 1.8, 1.8])[:, None]
        >>> regular_prices(path, np.full((4, 1), 2.0)).ravel().tolist()
        [2.0, 2.0, 2.0, 1.8, 1.8, 1.8, 1.8, 1.8, 1.8]
    """
    after = np.median(path[..., -LONGEST - 1 :, :], axis=-2, keepdims=True)
    ends = [np.broadcast_to(end, (*path.shape[:-2], LONGEST, path.shape[-1])) for end in (before, after)]
    whole = np.concatenate([ends[0], path, ends[1]], axis=-2)
    upper = minimum_filter1d(maximum_filter1d(whole, LONGEST + 1, axis=-2), LONGEST + 1, axis=-2)
    upper = upper[..., LONGEST:-LONGEST, :]
    noticed = np.clip((1 - path / upper - UNNOTICED) / (NOTICED - UNNOTICED), 0, 1)
    return path * (upper / path) ** noticed


@dataclass(frozen=True)
class DealTruth(Truth):
    """A shop with deals whose customers are known.

    A feature is shown, and suppliers pay their share of a reduction, in the weeks for which the shop planned a deal, as
    far as the product is then on deal.

    Attributes:
        responses: The customers of each category.
    """

    responses: tuple[Response, ...] = ()

    @property
    def deals(self) -> DealHistory:
        """The shop's own prices."""
        assert isinstance(self.history, DealHistory), "a shop with deals has such a history"
        return self.history

    @cached_property
    def listed(self) -> Array:
        """(weeks, N) regular prices, the mean over the stores."""
        return np.einsum("s,tsn->tn", self.history.level, self.history.listed)

    def history_units(self) -> Array:
        """(T, S, N) expected units of the history by store, given the shocks that popularity took."""
        bought = [self._in_history(number, self.weeks) for number in range(len(self.responses))]
        assert self.stocking_up is not None, "households stock up"
        depth = np.broadcast_to(
            self.deals.depth[: self.weeks], (self.history.level.size, self.weeks, self.listed.shape[1])
        )
        units = self.stocking_up.units(np.concatenate(bought, axis=-1), depth)[0]
        shock = self.history.shock[: self.weeks]
        # The factor is 1 in the mean.
        return np.moveaxis(units * np.exp(shock - self.history.shock.var() / 2), 0, 1)

    def category_units(self, number: int, path: Array, first: int) -> Array:
        """(…, T, n) expected units of a category's products."""
        assert self.stocking_up is not None, "households stock up"
        own, weeks = self.parameters.category == number, np.arange(first, first + path.shape[-2])
        regular = regular_prices(path, self.listed[first - LONGEST : first, own])
        depth = 1 - path / regular
        feature = self._feature(number, weeks) * np.clip(depth / NOTICED, 0, 1)
        wanted, deal = np.zeros_like(path), worn(-np.log1p(-depth), self._left(number, first)[0])[0]
        # The stores of a zone have the same prices and customers.
        _, zones, members = np.unique(self.deals.sensitivity, return_index=True, return_inverse=True)
        for store, level in zip(zones, np.bincount(members, self.history.level), strict=True):
            factor = self.history.listed[first, store, own] / self.listed[first, own] / self.deals.base[store, own]
            wanted += level * self.responses[number].bought(
                np.log(regular * factor), deal, feature, float(self.deals.sensitivity[store])
            )
        wanted *= self.parameters.arrivals[number] * self.traffic[weeks, number][:, None]
        return self.stocking_up.units(wanted, depth, self._left(number, first)[1])[0]

    def margin(self, path: Array, first: int, objective: str, own: NDArray[np.bool_] | slice = slice(None)) -> Array:
        """(…, T, n) profit or revenue per unit of some products, with what suppliers pay."""
        if objective == "revenue":
            return path
        regular = regular_prices(path, self.listed[first - LONGEST : first, own])
        funded = np.minimum(regular - path, regular * self.deals.depth[first : first + path.shape[-2], own])
        return path - self.unit_cost[own] + self.deals.funding * funded

    def optimum(
        self,
        low: Array,
        high: Array,
        *,
        first: int | None = None,
        horizon: int = 12,
        objective: str = "profit",
        calendar: bool = True,
    ) -> Array:
        """(T, N) prices with the highest expected profit or revenue between two bounds.

        Args:
            low: (N,) lower bounds, currency per unit.
            high: (N,) upper bounds.
            first: Number of the first week since the start of the tables.
            horizon: T.
            objective: "profit" or "revenue".
            calendar: Whether deals are dropped, added and made deeper or less deep, too; if not, the shop's calendar
                stays, and the regular prices alone are the best.
        """
        first = self.weeks if first is None else first
        best = np.empty((horizon, low.size))
        for number in range(len(self.responses)):
            own = self.parameters.category == number

            def earned(batch: Array, number: int = number, own: NDArray[np.bool_] = own) -> Array:
                margin = self.margin(batch, first, objective, own)
                return (margin * self.category_units(number, batch, first)).sum(axis=(-2, -1))

            depth = self.deals.depth[first : first + horizon, own]
            best[:, own] = best_path(earned, self.listed[first, own], depth, low[own], high[own], calendar=calendar)
        return best

    def _feature(self, number: int, weeks: np.ndarray) -> Array:
        own = self.parameters.category == number
        return self.history.display[weeks][:, own] * self.lift[own]

    @cached_property
    def _kept(self) -> dict[tuple[int, int], tuple[Array, Array]]:
        return {}

    def _left(self, number: int, first: int) -> tuple[Array, Array]:
        """(n,) deals that customers remember, and (3, n) units that are missing for what they put by, after some weeks."""
        assert self.stocking_up is not None, "households stock up"
        if (number, first) not in self._kept:
            past, depth = self._in_history(number, first).sum(axis=0), self._depth(number, first)
            self._kept[number, first] = (
                worn(-np.log1p(-depth), np.zeros(depth.shape[1]))[1],
                self.stocking_up.units(past, depth)[1],
            )
        return self._kept[number, first]

    def _depth(self, number: int, weeks: int) -> Array:
        return self.deals.depth[:weeks, self.parameters.category == number]

    def _in_history(self, number: int, weeks: int) -> Array:
        """(S, T, n) units of the first weeks if nobody had any at home."""
        own, when = self.parameters.category == number, np.arange(weeks)
        feature = self._feature(number, when)
        deal, _ = worn(-np.log1p(-self._depth(number, weeks)), np.zeros(feature.shape[1]))
        regular = np.log(self.history.listed[:weeks][..., own] / self.deals.base[:, own])
        stores = zip(self.history.level, self.deals.sensitivity, np.moveaxis(regular, 1, 0), strict=True)
        bought = [level * self.responses[number].bought(log, deal, feature, factor) for level, factor, log in stores]
        return (self.parameters.arrivals[number] * self.traffic[:weeks, number])[:, None] * np.stack(bought)
