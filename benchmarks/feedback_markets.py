"""Markets in which prices may answer what happens: stock that runs out, a rival that moves, demand that is not known.

Three are fitted to the tables of a synthetic shop, whose posterior draws every episode follows; two are written down.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..envs import expected_units
from ..evaluation import named_policy
from ..fitting import Assumptions, fit
from ..forecasting import candidates
from ..planning.markdown import plan_markdown
from ..planning.markdown_inputs import StockRow, Terms
from ..pricing import Policy, PricePath
from ..scenarios import MarketSpec, spec_from_table
from .uplift.shop import draw_shop, shop_tables

_FRESH = {
    "name": "fresh-bread",
    "version": 1,
    "summary": "Twelve loaves for a day of eight hours; what is left is worth nothing.",
    "market": {"horizon_periods": 8, "period": "hour", "objective": "revenue"},
    "products": {"names": ["loaf"], "regular_price": 4.0},
    "arrivals": {"rate": 12.0},
    "demand": {"family": "exponential", "quality": 0.0, "price_sensitivity": 0.5},
    "stock": {"initial_units": 12},
    "prices": {"floor": 0.5, "ceiling": 9.0},
}
_RIVAL = {
    "name": "rival-that-learns",
    "version": 1,
    "summary": "A rival moves its price on while its profit rises, and back when it falls; the number of customers varies.",
    "market": {"horizon_periods": 26, "period": "week", "objective": "profit"},
    "products": {"names": ["own"], "regular_price": 10.0, "unit_cost": 6.0},
    "arrivals": {"rate": 60.0},
    "demand": {"quality": [[8.0]], "price_sensitivity": [[0.8]]},
    "competitors": {
        "names": ["rival"],
        "regular_price": 9.5,
        "quality": [[8.0]],
        "price_sensitivity": [[0.8]],
        "unit_cost": 6.0,
        "rule": ["learning:0.5"],
        "floor": 7.0,
        "ceiling": 12.0,
    },
    "shocks": {"volatility": 0.3, "persistence": 0.3},
    "prices": {"floor": 6.5, "ceiling": 14.0},
}
_LEFT_OVER = 1.2
"""Units to clear, relative to what the regular prices are expected to sell."""


@dataclass(frozen=True)
class FeedbackMarket:
    """A market of the table, and how agents are trained in it.

    Attributes:
        name: Name in the table.
        build: Makes the market, and the shop's own plan where there is one.
        steps: Training steps by algorithm.
        settings: Training settings by algorithm, on top of the presets.
        fitted: Whether it is fitted to tables.
        from_path: Whether agents first imitate the best path; else they open as `train` does by itself.
    """

    name: str
    build: Callable[[], tuple[MarketSpec, Policy | None]]
    steps: Mapping[str, int]
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    fitted: bool = False
    from_path: bool = False

    @property
    def folder(self) -> str:
        """The name as that of a folder."""
        return "-".join(re.findall(r"[a-z]+", self.name))


def _written(table: Mapping[str, Any]) -> Callable[[], tuple[MarketSpec, None]]:
    return lambda: (spec_from_table(table), None)


def fitted_to_shop(
    family: str, seed: int, *, history: int, weeks: int, objective: str, lead_time_weeks: int = 1
) -> MarketSpec:
    """The market of the two best sellers of a category, fitted to the tables of a synthetic shop.

    Every episode follows a posterior draw, which policies do not know. Prices may go from half to 1.3 times the regular
    price, as in `repricer bench uplift --bounds free`.

    Args:
        family: Family of `draw_shop`; the tables of `scarce` have counts of stock.
        seed: Selects the shop.
        history: Weeks of sales in the tables.
        weeks: Weeks of the market.
        objective: "profit" or "revenue".
        lead_time_weeks: Weeks from order to delivery.
    """
    tables = shop_tables(draw_shop(family, seed, weeks=history))
    products = tables.products
    assert products is not None, "a synthetic shop has them"
    sold = tables.sales.groupby("product")["units"].sum()
    category = products[products["category"] == products["category"].iloc[0]]
    best = sold.reindex(category["product"]).nlargest(2).index
    chosen = category[category["product"].isin(best)].reset_index(drop=True)
    assumptions = Assumptions(
        max_discount=0.0,
        recommendation_lift=0.0,
        lowest_price=0.5,
        highest_price=1.3,
        price_widening=None,
        lead_time_weeks=lead_time_weeks,
    )
    model = candidates(seed=seed)["moving-average"]
    given: dict[str, Any] = {"objective": objective, "assumptions": assumptions, "forecaster": model, "seed": seed}
    return fit(tables, chosen, name="shop", weeks=weeks, **given).spec


def _short_history() -> tuple[MarketSpec, Policy]:
    return _simulated(fitted_to_shop("short", 0, history=26, weeks=13, objective="profit"))


def _long_lead_time() -> tuple[MarketSpec, Policy]:
    return _simulated(
        fitted_to_shop("scarce", 1, history=52, weeks=12, objective="profit", lead_time_weeks=4),
    )


def _left_overs() -> tuple[MarketSpec, Policy]:
    """The market of a markdown, and the schedule that `repricer markdown` plans for it."""
    spec = fitted_to_shop("scarce", 0, history=52, weeks=8, objective="revenue")
    periods = spec.market.horizon_periods
    regular = np.tile(spec.products.regular_price, (periods, 1))
    usual = expected_units(spec, np.arange(periods), regular).sum(axis=(0, 1))
    stock = [StockRow(name, round(_LEFT_OVER * units)) for name, units in zip(spec.products.names, usual, strict=True)]
    assert spec.calendar is not None, "a fitted market has dates"
    last_day = spec.calendar.day(periods - 1) + datetime.timedelta(days=6)
    plan = plan_markdown(spec, stock, last_day, terms=Terms(confidence=0.5))
    return _simulated(plan.spec)[0], PricePath(plan.price.astype(np.float32), name="plan")


def _simulated(spec: MarketSpec) -> tuple[MarketSpec, Policy]:
    """The market whose episodes follow the posterior draws, and the shop's current prices in it."""
    return spec.with_changes(posterior={"simulated": True}), named_policy("historical", spec)


_BELIEFS: dict[str, Any] = {"actions": "continuous", "evaluations": 4, "validation_episodes": 256}
"""A fitted market of unknown demand: two prices at once, which the preset's list of prices does not allow."""
_WINDOW = {
    "ppo": _BELIEFS | {"num_envs": 256, "n_steps": 13, "batch_size": 832, "history": 13},
    "recurrent-ppo": _BELIEFS,
}
_SEASON = {
    "ppo": _BELIEFS | {"num_envs": 128, "n_steps": 16, "batch_size": 256, "history": 4},
    "recurrent-ppo": _BELIEFS,
}
_AGAINST_RIVAL: dict[str, Any] = {
    "actions": "continuous",
    "base_price": "best-fixed",
    "levels_around": "base-price",
    "evaluations": 6,
    "validation_episodes": 512,
}
_RIVAL_SETTINGS = {
    "ppo": _AGAINST_RIVAL
    | {"history": 4, "num_envs": 64, "n_steps": 26, "batch_size": 208, "gae_lambda": 0.95, "ent_coef": 0.0}
    | {"shaped_scale": 1.0},
    "recurrent-ppo": _AGAINST_RIVAL,
}

MARKETS = (
    FeedbackMarket(
        "perishables: a day's bread",
        _written(_FRESH),
        steps={"ppo": 60_000, "recurrent-ppo": 60_000},
        settings={"ppo": {"evaluations": 3}, "recurrent-ppo": {"evaluations": 3}},
    ),
    FeedbackMarket(
        "a rival that learns",
        _written(_RIVAL),
        steps={"ppo": 400_000, "recurrent-ppo": 50_000},
        settings=_RIVAL_SETTINGS,
        from_path=True,
    ),
    FeedbackMarket(
        "short history, demand to learn",
        _short_history,
        steps={"ppo": 300_000, "recurrent-ppo": 100_000},
        settings=_WINDOW,
        fitted=True,
    ),
    FeedbackMarket(
        "stock table, leftovers to clear",
        _left_overs,
        steps={"ppo": 150_000, "recurrent-ppo": 60_000},
        settings=_SEASON,
        fitted=True,
        from_path=True,
    ),
    FeedbackMarket(
        "stock table, deliveries after four weeks",
        _long_lead_time,
        steps={"ppo": 150_000, "recurrent-ppo": 60_000},
        settings=_SEASON,
        fitted=True,
        from_path=True,
    ),
)
"""The markets of the table."""
