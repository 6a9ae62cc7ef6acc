"""A market's state as plain data from a shop's systems: declared, checked, and converted to a market view."""

import datetime as dt
import functools
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, NamedTuple, cast

import numpy as np
from msgspec import UNSET, Meta, Struct, UnsetType, defstruct
from numpy.typing import NDArray

from ..pricing import QUANTITIES, Catalogue, MarketView, Quantity
from ..pricing.complete import check_complete
from ..pricing.law import Jurisdiction
from ..pricing.observed import Told
from .documents import Document, Name, fields, read, shown

State = Mapping[str, Any]
Multiplier = Annotated[float, Meta(ge=1e-3, le=1e3)]
MARKET = "shop"
"""The market of a state that names none."""


class StateError(ValueError):
    """A state that cannot be priced; the message is one line that says what is wrong and where.

    Example:
        >>> from repricer.serving import Predictor, load_bundle
        >>> Predictor(load_bundle("bundle")).price({"period": 0})
        Traceback (most recent call last):
        repricer.serving.market_state.StateError: state must have period, products; got no products; add it
    """


_JURISDICTION = (
    "whose law holds for who is asked: the answer has the notices of this one; of all of the bundle if left out"
)
_MARKET = f"name of the market, such as a store; `{MARKET}` if left out. For the log, the page and the holdout"
_DATE = "any day of the period, YYYY-MM-DD; or give `period`, as markets without a calendar need"
_PERIOD = "number of the period, from 0 to the last of the scenario's horizon"
_PRODUCTS_MEANING = "one object per product of the catalogue, all of them, in any order"
_REGIME = "name of the current market regime; required by a policy that observes it"
_LOYALTY = "multiplier of each segment's arrivals, by segment; 1 where left out"
_MEMORY = "the text `memory` of the answer to the period before, unchanged; required after period 0 by a "
_MEMORY += "policy with recurrent state, otherwise `null` or left out"


TOLD = {name: quantity for name, quantity in QUANTITIES.items() if quantity.told is not None}
"""What a state tells of each product."""


def _number(told: Told, least: float | None = None) -> Any:
    """The type of its numbers; least: the lowest, where that is another one."""
    low, high, whole = told.allowed
    return Annotated[float, Meta(ge=low if least is None else least, le=high, multiple_of=1 if whole else None)]


def _declared(quantity: Quantity) -> tuple[Any, ...]:
    """The field of a product's document: name, type, and a default where it may be left out."""
    told = cast(Told, quantity.told)
    hint = _number(told)
    default = UNSET
    if told.null:
        hint = hint | None
        default = None
    elif quantity.axes == "ND":
        hint = list[hint]
        default = []
    elif told.stand_in == 0:
        default = 0.0
    elif told.optional:
        hint = hint | UnsetType
    described = Annotated[hint, Meta(description=told.meaning, extra={"null": told.null} if told.null else None)]
    return (quantity.name, described, default) if told.optional else (quantity.name, described)


ProductDocument: Any = defstruct(
    "ProductDocument",
    [("product", Annotated[str, Meta(description="its name in the catalogue")]), *map(_declared, TOLD.values())],
    namespace={"__doc__": "One product before the prices of the period are set."},
    kw_only=True,
    forbid_unknown_fields=True,
    module=__name__,
)


class StateDocument(Document, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The state of one market before the prices of the period are set."""

    market: Annotated[Name, Meta(description=_MARKET)] = MARKET
    date: Annotated[dt.date | UnsetType, Meta(description=_DATE)] = UNSET
    period: Annotated[int | UnsetType, Meta(description=_PERIOD)] = UNSET
    products: Annotated[list[ProductDocument], Meta(description=_PRODUCTS_MEANING, extra={"fix": "list the products"})]  # pyright: ignore[reportInvalidTypeForm]
    regime: Annotated[Name | UnsetType, Meta(description=_REGIME)] = UNSET
    loyalty: Annotated[dict[str, Multiplier], Meta(description=_LOYALTY)] = {}  # noqa: RUF012  msgspec copies it
    memory: Annotated[str | None, Meta(description=_MEMORY)] = None
    jurisdiction: Annotated[Jurisdiction | None, Meta(description=_JURISDICTION)] = None


@functools.lru_cache(maxsize=8)
def product_type(catalogue: Catalogue) -> Any:
    """`ProductDocument` for one catalogue, as `state_type`."""
    names = Meta(extra={"allowed": f"one of the catalogue's {catalogue.num_products}"})
    own: dict[str, Any] = {"product": Annotated[Literal[catalogue.products], names]}
    for name, quantity in TOLD.items():
        told = cast(Told, quantity.told)
        if told.optional and quantity.needed(catalogue):
            count = catalogue.amount(cast(str, quantity.fact))
            by_period = Annotated[list[_number(told)], Meta(min_length=count, max_length=count)]
            own[name] = by_period if quantity.axes == "ND" else _number(told)
    if catalogue.backlog:
        told = cast(Told, TOLD["on_hand"].told)
        own["on_hand"] = Annotated[_number(told, -told.allowed.high) | None, Meta(extra={"null": told.null})]
    return _narrowed("ProductState", ProductDocument, own)


@functools.lru_cache(maxsize=8)
def state_type(catalogue: Catalogue) -> type[StateDocument]:
    """`StateDocument` for one catalogue: no other products, periods, regimes and segments than its
    own are allowed.

    Returns:
        A struct named `MarketState`, whose products are structs named `ProductState`.
    """
    count = catalogue.num_products
    last = catalogue.horizon - 1
    calendar = catalogue.calendar
    span = "the policy's horizon"
    fix = "give the number of the current period"
    if calendar is not None:
        span = f"{calendar.first_day} to {calendar.last_day}"
        fix = "give the date, or refresh the bundle with newer tables: repricer refresh"
    words = {"allowed": f"a whole number from 0 to {last} ({span})", "fix": fix}
    number = Annotated[int, Meta(ge=0, le=last, extra=words)]
    own: dict[str, Any] = {"period": number if calendar is None else number | UnsetType}
    # How many is checked with their names, see `_in_order`.
    listed = Meta(extra={"fix": "list the products"}, extra_json_schema={"minItems": count, "maxItems": count})
    own["products"] = Annotated[list[product_type(catalogue)], listed]
    if catalogue.regimes:
        own["regime"] = Annotated[Literal[catalogue.regimes], Meta(extra={"fix": "name the current regime"})]
    known = Meta(extra_json_schema={"propertyNames": {"enum": list(catalogue.segments)}})
    own["loyalty"] = Annotated[dict[Literal[catalogue.segments], Multiplier], known]
    return _narrowed("MarketState", StateDocument, own, loyalty={}, **({} if calendar is None else {"period": UNSET}))


def _narrowed(name: str, base: type[Struct], hints: dict[str, Any], **defaults: Any) -> Any:
    """A struct with other types for some fields of `base`, which keep their meaning."""
    described = {key: Annotated[hint, Meta(description=fields(base)[key].description)] for key, hint in hints.items()}
    own = [(key, hint, defaults[key]) if key in defaults else (key, hint) for key, hint in described.items()]
    return defstruct(name, own, bases=(base,), kw_only=True, forbid_unknown_fields=True, module=__name__, gc=False)


class CheckedState(NamedTuple):
    """One market's state, checked: the number of its period from 0, and its products in the catalogue's order."""

    period: int
    document: StateDocument
    products: list[Any]


def market_view(catalogue: Catalogue, state: State) -> MarketView:
    """The view of one market, whose state is read as by `read_state`. Raises StateError."""
    return view_of(catalogue, [read_state(catalogue, state)])


def read_state(catalogue: Catalogue, state: State) -> CheckedState:
    """The state of one market, with every field checked, whether or not the policy reads it.

    Args:
        catalogue: The catalogue of the policy that is asked.
        state: Plain data as `StateDocument` declares it.

    Raises:
        StateError: The state cannot be read.
    """
    document = read(state_type(catalogue), state, "state", StateError)
    products = _in_order(catalogue, document.products)
    for item in products:
        _check_product(item)
    return CheckedState(_period(catalogue, document), document, products)


def _period(catalogue: Catalogue, document: StateDocument) -> int:
    """The number of the period, which a state names by a date or by this number."""
    date = document.date
    period = document.period
    calendar = catalogue.calendar
    if calendar is None and date is not UNSET:
        raise StateError(f"state: date needs a market with a calendar; got {date}; give period, its number, alone")
    if (date is UNSET) == (period is UNSET):
        got = "neither" if date is UNSET else "both"
        raise StateError(f"state must name its period by date, or by period, its number; got {got}; give the date")
    if calendar is None or date is UNSET:
        return cast(int, period)
    try:
        return calendar.period(date)
    except ValueError as error:
        raise StateError(f"state: {error}") from None


def _in_order(catalogue: Catalogue, products: list[Any]) -> list[Any]:
    """The products in the catalogue's order: each of them, once."""
    if [item.product for item in products] == list(catalogue.products):
        return products
    items: dict[str, Any] = {}
    for number, item in enumerate(products, start=1):
        if items.setdefault(item.product, item) is not item:
            raise StateError(f"state: a product must be unique; got {item.product!r} again (item {number}); remove one")
    missing = [name for name in catalogue.products if name not in items]
    if missing:
        got = f"got {len(items)}, without {shown(missing[0])}"
        fix = f"add {'it' if len(missing) == 1 else f'the {len(missing)} that are missing'}"
        raise StateError(f"state: products must hold all {catalogue.num_products} of the catalogue; {got}; {fix}")
    return [items[name] for name in catalogue.products]


def _check_product(item: Any) -> None:
    """Check that the fields of a product agree."""
    # Units may be fractions, whose sum is rounded.
    if item.due and sum(item.due) > item.on_order * (1 + 1e-9):
        must = f"due of {item.product!r} must add up to at most its on_order ({item.on_order:g})"
        raise StateError(f"state: {must}; got {sum(item.due):g}; fix it")
    lowest = item.lowest_price_30_days
    if lowest is not None and lowest > item.list_price:
        must = f"lowest_price_30_days of {item.product!r} must be at most its list_price, which is one of them"
        raise StateError(f"state: {must}; got {lowest!r}; fix it")
    if item.prior_price is not None and item.prior_price <= item.list_price:
        must = f"prior_price of {item.product!r} must be above its list_price, which is reduced from it"
        raise StateError(f"state: {must}; got {item.prior_price!r}; leave it out where no reduction is announced")


def view_of(catalogue: Catalogue, readings: Sequence[CheckedState]) -> MarketView:
    """Several markets of one catalogue as one view, in this order; together they cost less than one by one."""
    seen: dict[str, Any] = {"period": np.array([reading.period for reading in readings])}
    for name, quantity in TOLD.items():
        if quantity.observed(catalogue):
            rows = [[getattr(item, name) for item in reading.products] for reading in readings]
            seen[name] = _filled(catalogue, quantity, rows, seen)
    states = [reading.document for reading in readings]
    if catalogue.regimes:
        seen["regime"] = np.array([catalogue.regimes.index(str(state.regime)) for state in states])
    if catalogue.loyal:
        loyalty = [[state.loyalty.get(segment, 1.0) for segment in catalogue.segments] for state in states]
        seen["loyalty"] = np.array(loyalty, np.float32)
    # A law asks for both, where it asks for one.
    if np.isnan(seen["prior_price"]).all():
        seen["prior_price"] = None
        if np.isnan(seen["lowest_price_30_days"]).all():
            seen["lowest_price_30_days"] = None
    return MarketView(catalogue, **seen)


def _filled(catalogue: Catalogue, quantity: Quantity, rows: list[list[Any]], seen: dict[str, Any]) -> NDArray[Any]:
    """A quantity by market and product, with its stand-in where there is none."""
    match cast(Told, quantity.told).stand_in:
        case "forecast_units":
            stand_in = catalogue.forecast_units[np.maximum(seen["period"] - 1, 0)]
        case str() as other:
            stand_in = seen[other]
        case number:
            filled = [[number if value in (None, UNSET) else value for value in row] for row in rows]
            return np.array(filled, quantity.kind)
    told = np.array([[np.nan if value is UNSET else value for value in row] for row in rows], np.float32)
    return np.where(np.isnan(told), stand_in, told)


_SHARED = {"period", "regime", "loyalty"}
"""What a state tells of the market."""
_UNTOLD = {"memory", "capacity"}
"""What a price service is not told: no policy that it serves reads it."""
check_complete("serving.market_state", "a field of a state", QUANTITIES, TOLD.keys() | _SHARED | _UNTOLD)
