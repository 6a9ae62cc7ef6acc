"""A market's state as plain data, as a shop's systems would send it, checked and turned into a market view."""

from __future__ import annotations

import difflib
import functools
import reprlib
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from ..pricing import Catalogue, Guardrails, MarketView

State = Mapping[str, Any]
# Views of dictionaries, since these are sets that keep their order.
_KEYS = dict.fromkeys(("period", "products")).keys()
_STATE_KEYS = dict.fromkeys((*_KEYS, "market", "regime", "loyalty", "memory")).keys()
_WITH_REGIME = dict.fromkeys((*_KEYS, "regime")).keys()
_LEAST = {"list_price": 1e-9, "on_hand": 0.0, "on_order": 0.0, "reference_price": 1e-9, "last_units": 0.0}
_MOST = 1e12
_REQUIRED = dict.fromkeys(("product", "list_price", "on_hand")).keys()
_RIVAL, _CHANGES, _LOWEST = "competitor_price", "changes", "lowest_price_30_days"
_WITH_CHANGES = dict.fromkeys((*_REQUIRED, _CHANGES)).keys()
_ITEM_KEYS = dict.fromkeys(("product", *_LEAST, _RIVAL, _CHANGES, _LOWEST)).keys()
MARKET = "shop"
"""The market of a state that names none."""
_short = reprlib.Repr()
_short.maxstring = _short.maxother = 80


class StateError(ValueError):
    """A state that no price can be given for; the message is one line that says what is wrong in it and where."""


class Reading(NamedTuple):
    """One market's state, checked. rows: by product, the numbers in the order of `_LEAST`; rivals, changes, lowest: by
    product, None where the policy or the rules do not look; lowest is NaN where not known. regime: its number. loyalty: by
    segment.
    """

    period: int
    rows: list[tuple[float, ...]]
    rivals: list[float] | None
    regime: int | None
    loyalty: list[float] | None
    changes: list[int] | None
    lowest: list[float] | None


def market_view(catalogue: Catalogue, state: State) -> MarketView:
    """The view of one market whose state `read_state` can read. Raises StateError."""
    return view_of(catalogue, [read_state(catalogue, state)])


def read_state(catalogue: Catalogue, state: State) -> Reading:
    """The state of one market. Raises StateError.

    state: {"period": number from 0, "products": [one object a product of the catalogue, in any order]}, with product
    (name), list_price (in force now, currency per unit), on_hand (units, null for unlimited) and, if known, on_order
    (units; 0), reference_price (currency per unit; the list price), last_units (sold in the period before; the forecast)
    and, where the policy looks at rivals, competitor_price (currency per unit; null for no rival). Where the price rules
    limit their number, changes (price changes in the catalogue's window before this period) is needed, and
    lowest_price_30_days (lowest list price of the 30 days before, the one in force among them, currency per unit; null
    where not known) may be there. A policy that looks at them also needs {"regime": its name} and may have {"loyalty":
    {segment: multiplier of its arrivals; 1}}. `memory` is for a policy that looks back, see `MemoryText`, and no part of
    the view; {"market": name of the market, such as a store; "shop"} is for the decision log and
    the holdout.
    """
    required = _WITH_REGIME if catalogue.regimes else _KEYS
    if type(state) is not dict or not (required <= state.keys() <= _STATE_KEYS):
        _check_keys(state, _STATE_KEYS, required, "state")
    if "market" in state:
        name_of(state["market"], "state: market", StateError)
    period = _period(catalogue, state["period"])
    items = _by_product(catalogue, state["products"])
    forecast = catalogue.forecast_units[max(period - 1, 0)].tolist()
    return Reading(
        period,
        [_numbers(item, units) for item, units in zip(items, forecast, strict=True)],
        [_rival_price(item) for item in items] if catalogue.rivals else None,
        _regime(catalogue, state["regime"]) if catalogue.regimes else None,
        _loyalty(catalogue, state.get("loyalty", {})) if catalogue.loyal else None,
        [_changes(item) for item in items] if catalogue.change_window_periods else None,
        _lowest_prices(items),
    )


def view_of(catalogue: Catalogue, readings: Sequence[Reading]) -> MarketView:
    """Several markets of one catalogue as one view, in this order: a state costs least where it comes with others."""

    def column(name: str, kind: DTypeLike) -> NDArray[Any] | None:
        values = [getattr(reading, name) for reading in readings]
        return None if values[0] is None else np.array(values, kind)

    numbers: NDArray[np.float32] = np.array([reading.rows for reading in readings], np.float32)
    lowest = [reading.lowest for reading in readings]
    if any(row is not None for row in lowest):
        unknown = [np.nan] * catalogue.num_products
        lowest = np.array([row or unknown for row in lowest], np.float32)
    else:
        lowest = None
    return MarketView(
        catalogue,
        np.array([reading.period for reading in readings]),
        **{key: numbers[:, :, i] for i, key in enumerate(_LEAST)},
        competitor_price=column("rivals", np.float32),
        regime=column("regime", np.int64),
        loyalty=column("loyalty", np.float32),
        changes=column("changes", np.int64),
        lowest_price_30_days=lowest,
    )


def _changes(item: Mapping[str, Any]) -> int:
    count = _number(item, _CHANGES, 0.0)
    if count != int(count):
        raise StateError(
            f"state: {_CHANGES} of {item['product']!r} must be a whole number; got {_short.repr(count)}; count them"
        )
    return int(count)


def _lowest_prices(items: list[Mapping[str, Any]]) -> list[float] | None:
    """By product, NaN where it is not known; None where no product has it."""
    if all(item.get(_LOWEST) is None for item in items):
        return None
    for item in items:
        if item.get(_LOWEST) is not None and _number(item, _LOWEST, 1e-9) > _number(item, "list_price", 1e-9):
            raise StateError(
                f"state: {_LOWEST} of {item['product']!r} must be at most its list_price, which is one of them; "
                f"got {_short.repr(item[_LOWEST])}; mend it"
            )
    return [np.nan if item.get(_LOWEST) is None else item[_LOWEST] for item in items]


def name_of(value: Any, what: str, error: type[ValueError]) -> str:
    """A name that every database can hold: printable text. Raises `error`, one line, for anything else."""
    if not isinstance(value, str) or not value.isprintable() or not 0 < len(value) <= 200:
        raise error(f"{what} must be 1 to 200 printable characters; got {_short.repr(value)}; name it so")
    return value


def _rival_price(item: Mapping[str, Any]) -> float:
    return np.inf if item.get(_RIVAL) is None else _number(item, _RIVAL, 1e-9)


def _regime(catalogue: Catalogue, name: Any) -> int:
    if name not in catalogue.regimes:
        known = ", ".join(catalogue.regimes)
        raise StateError(f"state: regime must be one of {known}; got {_short.repr(name)}; name the present one")
    return catalogue.regimes.index(name)


def _loyalty(catalogue: Catalogue, levels: Any) -> list[float]:
    _check_keys(levels, catalogue.segments, (), "state: loyalty")
    for segment, level in levels.items():
        if isinstance(level, bool) or not isinstance(level, int | float) or not 1e-3 <= level <= 1e3:
            raise StateError(
                f"state: loyalty of {segment!r} must be a number from 0.001 to 1000; got {_short.repr(level)}; mend it"
            )
    return [levels.get(segment, 1.0) for segment in catalogue.segments]


def example_state(catalogue: Catalogue) -> dict[str, Any]:
    """A valid state of this catalogue: the opening, at regular prices, with the forecast of all periods in stock."""
    stock = np.ceil(catalogue.forecast_units.sum(axis=0))
    regular = [round(float(price), 4) for price in catalogue.regular_price]
    rows = [
        {
            "product": name,
            "list_price": regular[n],
            "on_hand": float(stock[n]),
            "on_order": 0.0,
            "reference_price": regular[n],
            "last_units": 0.0,
        }
        | ({_RIVAL: regular[n]} if catalogue.rivals else {})
        | ({_CHANGES: 0} if catalogue.change_window_periods else {})
        for n, name in enumerate(catalogue.products)
    ]
    return {"period": 0, "products": rows} | _market_facts(catalogue, 0)


def _market_facts(catalogue: Catalogue, regime: int) -> dict[str, Any]:
    """What a state says of the market as a whole, where this policy looks at it."""
    facts: dict[str, Any] = {}
    if catalogue.regimes:
        facts["regime"] = catalogue.regimes[regime]
    if catalogue.loyal:
        facts["loyalty"] = dict.fromkeys(catalogue.segments, 1.0)
    return facts


def random_states(catalogue: Catalogue, rules: Guardrails, count: int, seed: int) -> list[dict[str, Any]]:
    """Valid states all over what the price rules allow, to compare two ways of answering on."""
    rng, size = np.random.default_rng(seed), catalogue.num_products
    states = []
    for _ in range(count):
        period = int(rng.integers(catalogue.horizon))
        ahead = catalogue.forecast_units[period:].sum(axis=0)
        price = np.exp(rng.uniform(np.log(rules.low), np.log(np.maximum(rules.high, rules.low * (1 + 1e-6)))))
        columns = {
            "product": catalogue.products,
            "list_price": price.round(4).clip(1e-4).tolist(),
            "on_hand": [None if rng.random() < 0.2 else x for x in rng.poisson(ahead * rng.uniform(0, 2)).tolist()],
            "on_order": (rng.poisson(ahead / catalogue.horizon) * (rng.random(size) < 0.5)).tolist(),
            "reference_price": (price * rng.uniform(0.8, 1.25, size)).round(4).clip(1e-4).tolist(),
            "last_units": rng.poisson(catalogue.forecast_units[period]).tolist(),
        }
        if catalogue.rivals:
            columns[_RIVAL] = (price * rng.uniform(0.8, 1.25, size)).round(4).clip(1e-4).tolist()
        if catalogue.change_window_periods:
            columns[_CHANGES] = rng.integers(catalogue.change_window_periods, size=size).tolist()
        rows = zip(*columns.values(), strict=True)
        products = [dict(zip(columns, row, strict=True)) for row in rows]
        regime = int(rng.integers(max(len(catalogue.regimes), 1)))
        states.append({"period": period, "products": products} | _market_facts(catalogue, regime))
    return states


def _period(catalogue: Catalogue, period: Any) -> int:
    last = catalogue.horizon - 1
    if isinstance(period, bool) or not isinstance(period, int) or not 0 <= period <= last:
        raise StateError(
            f"state: period must be a whole number from 0 to {last} (the policy's horizon); "
            f"got {_short.repr(period)}; give the number of the present period"
        )
    return period


@functools.lru_cache(maxsize=8)
def _known(catalogue: Catalogue) -> frozenset[str]:
    """Names of the products."""
    return frozenset(catalogue.products)


def _by_product(catalogue: Catalogue, products: Any) -> list[Mapping[str, Any]]:
    """The objects of the state in the catalogue's order."""
    if isinstance(products, str | bytes) or not isinstance(products, Sequence):
        raise StateError(f"state: products must be a list of objects; got {_short.repr(products)}; list the products")
    items: dict[str, Mapping[str, Any]] = {}
    products_known = _known(catalogue)
    required = _WITH_CHANGES if catalogue.change_window_periods else _REQUIRED
    for number, item in enumerate(products, start=1):
        if type(item) is not dict or not (required <= item.keys() <= _ITEM_KEYS):
            _check_keys(item, _ITEM_KEYS, required, f"state: products, item {number}")
        name = item["product"]
        if not isinstance(name, str) or name not in products_known:
            near = _nearest(name, catalogue.products)
            raise StateError(
                f"state: product must be one of the catalogue's {catalogue.num_products}; "
                f"got {_short.repr(name)} (item {number}); {near}"
            )
        if name in items:
            raise StateError(f"state: a product must stand once; got {name!r} again (item {number}); remove one")
        items[name] = item
    if len(items) < len(products_known):
        lacking = [name for name in catalogue.products if name not in items]
        raise StateError(
            f"state: products must hold all {catalogue.num_products} of the catalogue; got {len(items)}, without "
            f"{_short.repr(lacking[0])}; add {'it' if len(lacking) == 1 else f'the {len(lacking)} that lack'}"
        )
    return [items[name] for name in catalogue.products]


def _numbers(item: Mapping[str, Any], forecast: float) -> tuple[float, ...]:
    """One product's numbers in the order of `_LEAST`."""
    price, stock = item["list_price"], item["on_hand"]
    known = (item.get("on_order", 0.0), item.get("reference_price", price), item.get("last_units", forecast))
    numbers = (price, np.inf if stock is None else stock, *known)
    for value, (key, least) in zip(numbers, _LEAST.items(), strict=True):
        # Here an answer's time goes: the common case is looked at first. What stands in for a missing number is one.
        if type(value) is not float or not least <= value <= _MOST:
            unlimited = key == "on_hand" and stock is None
            if key in item and not unlimited:
                _number(item, key, least)
    return numbers


def wrong_number(item: Mapping[str, Any]) -> str | None:
    """The first key of a product's object whose number no state may have, or None."""
    for key, value in item.items():
        if key == "product" or (value is None and key in ("on_hand", _RIVAL, _LOWEST)):
            continue
        try:
            if key == _CHANGES:
                _changes(item)
            else:
                _number(item, key, _LEAST.get(key, 1e-9))
        except StateError:
            return key
    return None


def _number(item: Mapping[str, Any], key: str, least: float) -> float:
    value = item[key]
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= _MOST:
        unlimited = ", or null for unlimited" if key == "on_hand" else ""
        raise StateError(
            f"state: {key} of {item['product']!r} must be a number from {least:g} to {_MOST:g}{unlimited}; "
            f"got {_short.repr(value)}; mend it"
        )
    return value


def _check_keys(item: Any, known: Collection[str], required: Collection[str], where: str) -> None:
    if not isinstance(item, Mapping):
        raise StateError(f"{where} must be an object with {', '.join(known)}; got {_short.repr(item)}; mend it")
    for key in item:
        if key not in known:
            raise StateError(f"{where} must have known keys; got {_short.repr(key)}; {_nearest(key, known)}")
    for key in required:
        if key not in item:
            raise StateError(f"{where} must have {', '.join(required)}; got no {key}; add it")


def _nearest(word: Any, known: Collection[str]) -> str:
    near = difflib.get_close_matches(str(word), known, n=1, cutoff=0.5)
    if near:
        return f"did you mean {near[0]!r}?"
    first = ", ".join(list(known)[:6])
    return f"known are {first}{', …' if len(known) > 6 else ''}"
