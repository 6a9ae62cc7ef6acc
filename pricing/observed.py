"""What a policy observes of a market: every quantity is declared once, as a field of `MarketView`.

Everything else that deals with a quantity is derived from its declaration: the columns of a log, the state that a price
service is told, examples of it, the groups of an explanation. What it is read from in the simulator stands in
`envs/observation.py`, the formula of its features in `features.py`, and their compiled form in `envs/kernels/learner.py`;
each refuses to be imported while it lacks one.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .catalogue import Catalogue
from .complete import check_complete

OUTLOOK_PERIODS = 10
"""How many periods ahead the forecasts reach where the horizon is infinite."""
Columns = dict[str, list[Any]]


class Range(NamedTuple):
    """Which numbers are allowed."""

    low: float
    high: float = 1e12
    whole: bool = False


PRICE = Range(1e-9)
UNITS = Range(0.0)
COUNT = Range(0.0, whole=True)
NUMBER = Range(1.0, whole=True)


@dataclass(frozen=True)
class Told:
    """How a price service is told a quantity of a product.

    Attributes:
        meaning: What is told, with its unit.
        allowed: Which numbers.
        null: What null stands for, in words, as "for none"; empty where it is not allowed.
        optional: Whether it may be left out; the policies that observe the quantity need it all the same where it has
            no `stand_in`.
        stand_in: What stands for null, or for what was left out: a number, or the name of another quantity, or the
            forecast of the period before.
    """

    meaning: str
    allowed: Range
    null: str = ""
    optional: bool = True
    stand_in: float | Literal["list_price", "forecast_units"] | None = None


@dataclass(frozen=True)
class Quantity:
    """The declaration of an observed quantity: E markets, N products, K segments, H resources, D periods ahead.

    Attributes:
        name: The field of `MarketView`.
        axes: Letters of its axes after that of the markets.
        meaning: What it is, with its unit.
        kind: Type of its numbers.
        fact: The field of `Catalogue` that says whether policies observe it, and where it is a number how much of it;
            None where that does not depend on the catalogue.
        features: The features that it becomes (`pricing.features.MOVING`).
        group: The group of inputs that it is explained with; None where it is not explained.
        ordinary: What it is in an ordinary market, by catalogue and period; None where that is not known.
        told: How a price service is told it, product by product; None where it is told otherwise or not at all.
        drawn: Valid numbers for a service's state, drawn for a test of it.
        logged: Whether a log of decisions keeps it, in columns `seen_NAME`.

    Example:
        >>> QUANTITIES["competitor_price"].fact, QUANTITIES["loyalty"].shared
        ('rivals', True)
    """

    name: str
    axes: str
    meaning: str
    kind: Any = np.float32
    fact: str | None = None
    features: tuple[str, ...] = ()
    group: str | None = None
    ordinary: Callable[[Catalogue, int], ArrayLike] | None = None
    told: Told | None = None
    drawn: Callable[[Draw, Columns], list[Any]] | None = None
    logged: bool = True

    @property
    def shared(self) -> bool:
        """Whether the products of a market share it."""
        return "N" not in self.axes

    def observed(self, catalogue: Catalogue) -> bool:
        """Whether policies with this catalogue observe it, where the market has it at all."""
        return self.fact is None or catalogue.amount(self.fact) > 0

    def needed(self, catalogue: Catalogue) -> bool:
        """Whether a service must be told it of each product of this catalogue."""
        told = self.told
        if told is None or not told.optional:
            return told is not None
        return told.stand_in is None and self.observed(catalogue)


class Draw(NamedTuple):
    """A market whose state is drawn.

    Attributes:
        rng: Random numbers.
        catalogue: Its products.
        period: Its period.
        price: (N,) prices that the rules allow, currency per unit.
    """

    rng: np.random.Generator
    catalogue: Catalogue
    period: int
    price: NDArray[np.float64]

    @property
    def units_left(self) -> NDArray[np.float32]:
        """(N,) units forecast for the periods left."""
        return self.catalogue.forecast_units[self.period :].sum(axis=0)

    def near_price(self) -> list[float]:
        """(N,) prices near those of the market."""
        return (self.price * self.rng.uniform(0.8, 1.25, self.price.size)).round(4).clip(1e-4).tolist()

    def stock(self) -> list[float | None]:
        """(N,) units, None for unlimited stock."""
        units = self.rng.poisson(self.units_left * self.rng.uniform(0, 2)).tolist()
        return [None if self.rng.random() < 0.2 else each for each in units]

    def orders(self) -> list[float]:
        """(N,) units on order."""
        some = self.rng.random(self.price.size) < 0.5
        return (self.rng.poisson(self.units_left / self.catalogue.horizon) * some).tolist()

    def parts(self, on_order: list[Any]) -> list[list[float]]:
        """(N, D) units due by period, of those on order."""
        periods = self.catalogue.due_periods
        shares = np.full(periods + 1, 1 / (periods + 1))
        return self.rng.multinomial(on_order, shares)[:, :-1].tolist()


def units_left(catalogue: Catalogue, period: int) -> NDArray[np.float64]:
    """(N,) units forecast for the periods left, this one included; for `OUTLOOK_PERIODS` in an infinite horizon."""
    forecast = catalogue.forecast_units
    horizon = catalogue.horizon
    ahead = OUTLOOK_PERIODS if catalogue.endless else horizon - min(period, horizon - 1)
    # Rounded, so that sums of single precision never lift a whole number to the next.
    return forecast[(period + np.arange(ahead)) % horizon].sum(axis=0, dtype=np.float64).round(3)


def _regular(catalogue: Catalogue, period: int) -> ArrayLike:
    return catalogue.regular_price


def _zero(catalogue: Catalogue, period: int) -> ArrayLike:
    return 0


def _one(catalogue: Catalogue, period: int) -> ArrayLike:
    return 1


def _always(axes: str, meaning: str, **declared: Any) -> Any:
    """A field that every market has."""
    return field(metadata={"axes": axes, "meaning": meaning, **declared})


def _where(axes: str, meaning: str, **declared: Any) -> Any:
    """A field that is None where the market has nothing of the kind."""
    return field(default=None, metadata={"axes": axes, "meaning": meaning, **declared})


@dataclass(frozen=True)
class MarketView:
    """What is observed of E markets before the prices of a period are set.

    Each field is an array whose first axis is the market; `QUANTITIES` has their declarations by name. A field with a
    default is None where the market has nothing of the kind.

    Example:
        >>> import repricer
        >>> view = repricer.Market("three-stocks", num_markets=2).view
        >>> view.list_price.shape, view.period.tolist()
        ((2, 3), [0, 0])
    """

    catalogue: Catalogue
    period: NDArray[np.intp] = _always(
        "",
        "number of the period, counted from 0",
        kind=np.intp,
        features=("time_left", "log_periods_left", "log_season", "log_outlook"),
        group="calendar",
        ordinary=lambda catalogue, period: period,
        # Under its own name, like the market and the product.
        logged=False,
    )
    list_price: NDArray[np.float32] = _always(
        "N",
        "the current price, charged last, before personal discounts; currency per unit",
        features=("log_price", "log_category_price"),
        group="price in force",
        ordinary=_regular,
        told=Told(
            "the current list price, before personal discounts, currency per unit",
            PRICE,
            optional=False,
        ),
        drawn=lambda draw, _: draw.price.round(4).clip(1e-4).tolist(),
    )
    reference_price: NDArray[np.float32] = _always(
        "N",
        "the price that customers remember, currency per unit",
        features=("log_reference",),
        group="price in force",
        ordinary=_regular,
        told=Told(
            "the price that customers remember, currency per unit; the list price if left out",
            PRICE,
            stand_in="list_price",
        ),
        drawn=lambda draw, _: draw.near_price(),
    )
    on_hand: NDArray[np.float32] = _always(
        "N",
        "units in stock, inf where stock is unlimited",
        features=("log_stock_cover",),
        group="stock",
        ordinary=lambda catalogue, period: np.ceil(units_left(catalogue, period)),
        told=Told(
            "units in stock; `null` for unlimited stock; where customers wait (backlog), below 0 for what they are owed",
            UNITS,
            null="for unlimited",
            optional=False,
            stand_in=np.inf,
        ),
        drawn=lambda draw, _: draw.stock(),
    )
    on_order: NDArray[np.float32] = _always(
        "N",
        "units ordered and not yet delivered",
        features=("log_position_cover",),
        group="stock",
        ordinary=_zero,
        told=Told("units on the way", UNITS, stand_in=0.0),
        drawn=lambda draw, _: draw.orders(),
    )
    last_units: NDArray[np.float32] = _always(
        "N",
        "units sold in the period before",
        features=("log_surprise",),
        group="recent sales",
        ordinary=lambda catalogue, period: catalogue.forecast_units[max(period - 1, 0)],
        told=Told(
            "units sold in the period before; the forecast if left out",
            UNITS,
            stand_in="forecast_units",
        ),
        drawn=lambda draw, _: draw.rng.poisson(draw.catalogue.forecast_units[draw.period]).tolist(),
    )
    competitor_price: NDArray[np.float32] | None = _where(
        "N",
        "lowest price of a rival offer for the product, currency per unit; inf where none",
        fact="rivals",
        features=("log_competitor",),
        group="competitors",
        ordinary=_regular,
        told=Told(
            "lowest price of a competitor for the product, currency per unit; `null` or left out for none",
            PRICE,
            null="for none",
            stand_in=np.inf,
        ),
        drawn=lambda draw, _: draw.near_price(),
    )
    regime: NDArray[np.intp] | None = _where(
        "",
        "index into `catalogue.regimes`",
        kind=np.intp,
        fact="regimes",
        features=("regime",),
        group="market",
        ordinary=_zero,
    )
    loyalty: NDArray[np.float32] | None = _where(
        "K",
        "multiplier of a segment's arrivals",
        fact="loyal",
        features=("log_loyalty",),
        group="market",
        ordinary=_one,
    )
    memory: NDArray[np.float32] | None = _where(
        "N2",
        "state of a rule that learns in the market (see `LearningPolicy`)",
        logged=False,
    )
    changes: NDArray[np.intp] | None = _where(
        "N",
        "price changes within the last `catalogue.change_window_periods` periods",
        kind=np.intp,
        fact="change_window_periods",
        features=("recent_changes",),
        group="past changes",
        ordinary=_zero,
        told=Told(
            "price changes in the window of the price rules before this period; required where `max_changes` is set",
            COUNT,
        ),
        drawn=lambda draw, _: draw.rng.integers(draw.catalogue.change_window_periods, size=draw.price.size).tolist(),
    )
    periods_since_change: NDArray[np.intp] | None = _where(
        "N",
        "periods for which the current price was charged, up to `catalogue.since_change_periods`: 1 after a change",
        kind=np.intp,
        fact="since_change_periods",
        features=("since_change",),
        group="past changes",
        ordinary=lambda catalogue, period: catalogue.since_change_periods,
        told=Told(
            "periods for which its current list price was charged: 1 where the last period began with a new price; "
            "required by a policy that observes it",
            NUMBER,
        ),
        drawn=lambda draw, _: draw.rng.integers(
            1, draw.catalogue.since_change_periods, endpoint=True, size=draw.price.size
        ).tolist(),
    )
    lowest_price_30_days: NDArray[np.float32] | None = _where(
        "N",
        "lowest list price of the last 30 days, currency per unit; NaN where not known",
        told=Told(
            "its lowest list price of the last 30 days, the current one included; `null` or left out where not known",
            PRICE,
            null="where unknown",
            stand_in=np.nan,
        ),
        logged=False,
    )
    prior_price: NDArray[np.float32] | None = _where(
        "N",
        "the prior price that the current price is announced with as reduced, currency per unit; NaN where it is not "
        "announced",
        told=Told(
            "the prior price that its current price is announced with as reduced, as the last answer gave it; `null` or "
            "left out for none",
            PRICE,
            null="for none",
            stand_in=np.nan,
        ),
        logged=False,
    )
    capacity: NDArray[np.float32] | None = _where(
        "H",
        "units left of the resources that products share",
        group="market",
    )
    due: NDArray[np.float32] | None = _where(
        "ND",
        "those of the units on order that arrive one period from now, two, ... (see `catalogue.due_periods`)",
        fact="due_periods",
        features=("log_cover",),
        group="stock",
        ordinary=_zero,
        told=Told(
            "units on the way that arrive one period from now, two, ...; required where orders take three periods or more",
            UNITS,
        ),
        drawn=lambda draw, columns: draw.parts(columns["on_order"]),
    )

    @property
    def num_markets(self) -> int:
        """E."""
        return self.period.shape[0]

    def take(self, markets: NDArray[np.intp]) -> MarketView:
        """The view of these markets, by number and in this order; a market may be taken several times."""
        arrays = {name: value[markets] for name, value in vars(self).items() if isinstance(value, np.ndarray)}
        return replace(self, **arrays)


QUANTITIES = {
    item.name: Quantity(item.name, **item.metadata)
    for item in dataclasses.fields(MarketView)
    if item.name != "catalogue"
}
"""The declarations of all observed quantities, by name."""
FACTS = sorted({quantity.fact for quantity in QUANTITIES.values() if quantity.fact is not None})
"""The fields of a catalogue that say which quantities policies observe."""

check_complete(
    "pricing.observed",
    "a field of Catalogue",
    FACTS,
    {item.name for item in dataclasses.fields(Catalogue)} & {*FACTS},
)
check_complete(
    "pricing.observed",
    "numbers drawn",
    [name for name, quantity in QUANTITIES.items() if quantity.told and quantity.ordinary],
    [name for name, quantity in QUANTITIES.items() if quantity.drawn],
)
