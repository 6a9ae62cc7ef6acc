"""Simulated episodes as a sales table in the form that `repricer fit` reads."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ..envs import Outcome
from ..pricing import MarketView
from ..scenarios import MarketSpec

_FIRST_DAY = np.datetime64("2001-01-01")


class SalesRecorder:
    """Records the sales of a `rollout`: one row per market, period and product with units sold.

    Periods become weeks from the first day of the scenario's history, or from the first Monday of
    2001; each market is a store. Where the policy states the probability of its prices, the table has
    it as `propensity`.

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
        self._first_day = np.datetime64(spec.history.first_day) if spec.history else _FIRST_DAY
        self._parts: list[pd.DataFrame] = []
        self._store = 0

    def __call__(self, view: MarketView, outcome: Outcome) -> None:
        """Record one period of one batch of markets."""
        market, product = np.nonzero(outcome.units > 0)
        names = np.array(self._spec.products.names)
        period = int(view.period[0])
        stated = {} if outcome.propensity is None else {"propensity": outcome.propensity[market, product].astype(float)}
        self._parts.append(
            pd.DataFrame(
                {
                    "date": self._first_day + np.timedelta64(7 * period, "D"),
                    "product": names[product],
                    "units": outcome.units[market, product].astype(float),
                    "price_paid": outcome.paid[market, product].astype(float),
                    "regular_price": view.catalogue.regular_price[product].astype(float),
                    "store": [f"market-{number}" for number in self._store + market],
                    **stated,
                }
            )
        )
        if period == view.catalogue.horizon - 1:
            self._store += view.num_markets

    def sales(self) -> pd.DataFrame:
        """The sales so far, sorted by date, store and product."""
        table = pd.concat(self._parts, ignore_index=True)
        return table.sort_values(["date", "store", "product"], ignore_index=True)
