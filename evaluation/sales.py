"""Simulated episodes as a sales table in the form that `repricer fit` reads."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..envs import Outcome
from ..pricing import MarketView
from ..pricing.catalogue import Calendar
from ..scenarios import MarketSpec
from .price_log import stated_propensity

_CALENDAR = Calendar(date(2001, 1, 1), period_days=7, periods=1)


class SalesRecorder:
    """Records the sales of a `rollout`: one row per market, period and product with units sold.

    Periods follow the scenario's calendar, or are weeks from the first Monday of 2001; each market
    is a store. Where the policy states the probability of its prices, the table has it as
    `propensity`, but for prices that a price rule changed.

    Args:
        spec: The market.

    Example:
        >>> from repricer.envs import rollout
        >>> from repricer.evaluation import SalesRecorder, named_policy
        >>> from repricer.scenarios import load_scenario
        >>> spec = load_scenario("stationary-logit")
        >>> recorder = SalesRecorder(spec)
        >>> episodes = rollout(spec, named_policy("regular", spec), episodes=2, seed=0, watch=recorder)
        >>> bool(recorder.sales().units.sum() == episodes.units.sum())
        True
    """

    def __init__(self, spec: MarketSpec) -> None:
        self._spec = spec
        self._calendar = spec.calendar or replace(_CALENDAR, periods=spec.market.horizon_periods)
        self._parts: list[pd.DataFrame] = []
        self._store = 0

    def __call__(self, view: MarketView, outcome: Outcome) -> None:
        """Record one period of one batch of markets."""
        market, product = np.nonzero(outcome.units > 0)
        names = np.array(self._spec.products.names)
        period = int(view.period[0])
        columns = {
            "date": np.datetime64(self._calendar.day(period)),
            "product": names[product],
            "units": outcome.units[market, product].astype(float),
            "price_paid": _plain(outcome.paid[market, product]),
            "regular_price": _plain(view.catalogue.regular_price[product]),
            "store": [f"market-{number}" for number in self._store + market],
        }
        if outcome.propensity is not None:
            columns["propensity"] = stated_propensity(outcome)[market, product].astype(float)
        self._parts.append(pd.DataFrame(columns))
        if period == view.catalogue.horizon - 1:
            self._store += view.num_markets

    def sales(self) -> pd.DataFrame:
        """The sales so far, sorted by date, store and product."""
        table = pd.concat(self._parts, ignore_index=True)
        return table.sort_values(["date", "store", "product"], ignore_index=True)


def _plain(prices: NDArray[np.floating]) -> NDArray[np.float64]:
    """Single-precision prices as they are written: 2.11, not 2.109999895095825."""
    digits = 10.0 ** (6 - np.floor(np.log10(np.maximum(prices, 1e-9, dtype=np.float64))))
    return np.rint(prices * digits) / digits
