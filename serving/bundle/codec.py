"""Price rules and catalogue as JSON: plain numbers, with every shape and bound checked when they are read."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...pricing import (
    ActionLayout,
    ActionParts,
    Calendar,
    Catalogue,
    Guardrails,
    NetworkPolicy,
    PriceEndings,
    PriceLadder,
    PricePath,
    RecurrentPolicy,
    RecurrentState,
    StockTable,
    built_in_rule,
)
from ..recurrent_state import RecurrentLayout, RecurrentText
from .files import CATALOGUE, GUARDRAILS, BundleError

FEATURES = "features"
NetworkFunction = Callable[[NDArray[np.float32], RecurrentState], tuple[ActionParts, RecurrentState]]
"""Takes rows of features and the recurrent state (empty without one); returns action parts and the
new state.
"""
MOST = 1e12
# Parts of a catalogue that only some markets have: those with a posterior, dates, a second supplier, orders without delay.
_OPTIONAL = ("elasticity_error", "level_error", "calendar", "max_express_units", "express_periods", "at_once")
_PATH, _TABLE = "base_path", "base_table"


@dataclass(frozen=True, eq=False)
class PolicySetup:
    """All that a bundled policy needs beside its network (N products, K segments).

    Attributes:
        catalogue: The products and segments.
        guardrails: The price rules.
        layout: The parts of an action.
        base_price: (N,) prices that the network's outputs multiply, currency per unit.
        product_wise: Whether a row of the network is a product or a market.
        candidates: (K, N) whether the product may fill the segment's slot; None without slots.
        base: The rule whose price is multiplied instead of `base_price`, or None.
        path: The prices by period that are multiplied instead, with the promotions
            planned, or those by period, regime and units on hand, or None.
        most_promoted: How many products may be on promotion at once; None where the policy promotes
            none.
        memory: Layout of the recurrent state; None without one.
    """

    catalogue: Catalogue
    guardrails: Guardrails
    layout: ActionLayout
    base_price: NDArray[np.float32]
    product_wise: bool
    candidates: NDArray[np.bool_] | None
    base: str | None = None
    path: PricePath | StockTable | None = None
    most_promoted: int | None = None
    memory: RecurrentLayout | None = None

    def policy(self, name: str, network: NetworkFunction) -> NetworkPolicy | RecurrentPolicy:
        """The policy with this name and this network."""
        base = self.path if self.base is None else built_in_rule(self.base)
        if self.memory is not None:
            return RecurrentPolicy(
                name, network, self.memory.initial_state, self.layout, self.base_price, self.product_wise, base
            )
        return NetworkPolicy(name, _WithoutMemory(network), self.layout, self.base_price, self.product_wise, base)

    def memory_text(self, digest: str) -> RecurrentText:
        """The text form of the recurrent state; `digest` is the SHA-256 of the network that owns it."""
        rows = self.catalogue.num_products if self.product_wise else 1
        return RecurrentText(self.memory, rows, bytes.fromhex(digest)[:8])


@dataclass(frozen=True)
class _WithoutMemory:
    """A network that remembers nothing, as a function of the rows alone; no lambda, so that processes can pass it on."""

    network: NetworkFunction

    def __call__(self, rows: NDArray[np.float32]) -> ActionParts:
        return self.network(rows, ())[0]


def guardrails_document(rules: Guardrails) -> dict[str, Any]:
    """The price rules as plain JSON, for `guardrails_from`."""
    document = {item.name: _plain(getattr(rules, item.name)) for item in fields(rules) if item.init}
    return document | {
        "ladder": None if rules.ladder is None else rules.ladder.steps.tolist(),
        "endings": None if rules.endings is None else rules.endings.fractions.tolist(),
        "lines": [list(line) for line in rules.lines],
        "gaps": [list(gap) for gap in rules.gaps],
    }


def guardrails_from(document: dict[str, Any], num_products: int) -> Guardrails:
    """The price rules of a document. Raises ValueError or TypeError for a wrong one."""
    names = [item.name for item in fields(Guardrails) if item.init]
    _check_keys(GUARDRAILS, document, names)
    shapes: dict[str, tuple[int, ...]] = dict.fromkeys(("floor", "ceiling", "unit_cost"), (num_products,))
    optional = (
        "max_change",
        "minimum_advertised_price",
        "frozen",
        "rival_at_least",
        "rival_at_most",
        "bounds_from_sales",
    )
    shapes |= {name: (num_products,) for name in optional if document[name] is not None}
    for name in ("past_price", "planned_price"):
        if document[name] is not None:
            shapes[name] = (len(document[name]), num_products)
    arrays = {
        name: numbers(GUARDRAILS, document, name, shape, least=0, kind=np.float64) for name, shape in shapes.items()
    }
    grids = {
        name: None if document[name] is None else kind(np.array(document[name], dtype=np.float64))
        for name, kind in (("ladder", PriceLadder), ("endings", PriceEndings))
    }
    lines = tuple(tuple(line) for line in document["lines"])
    gaps = tuple(tuple(gap) for gap in document["gaps"])
    if not all(type(n) is int for line in (*lines, *(gap[:2] for gap in gaps)) for n in line):
        raise BundleError(f"{GUARDRAILS}: lines must hold indices of products; got something else; export it again")
    values: dict[str, Any] = {**document, **arrays, **grids, "lines": lines, "gaps": gaps}
    return Guardrails(**values)


def catalogue_document(setup: PolicySetup) -> dict[str, Any]:
    """The setup as plain JSON, for `setup_from`, without the price rules."""
    document = {item.name: _plain(getattr(setup.catalogue, item.name)) for item in fields(Catalogue)}
    document["calendar"] = None if setup.catalogue.calendar is None else setup.catalogue.calendar.to_dict()
    document = {name: value for name, value in document.items() if name not in _OPTIONAL or value is not None}
    return document | {
        "layout": asdict(setup.layout),
        "base_price": _plain(setup.base_price),
        "product_wise": setup.product_wise,
        "candidates": _plain(setup.candidates),
        "base": setup.base,
        **_path_document(setup.path),
        "most_promoted": setup.most_promoted,
        "memory": None if setup.memory is None else setup.memory.shapes,
    }


def setup_from(document: dict[str, Any], guardrails: dict[str, Any]) -> PolicySetup:
    """The setup of two documents. Raises ValueError or TypeError for wrong ones."""
    own = ("layout", "base_price", "product_wise", "candidates", "base", "most_promoted", "memory")
    names = [item.name for item in fields(Catalogue) if item.name not in _OPTIONAL or item.name in document]
    _check_keys(CATALOGUE, document, names + list(own) + [name for name in (_PATH, _TABLE) if name in document])
    catalogue, layout = _catalogue(document), ActionLayout(**document["layout"])
    n, k, t = len(catalogue.products), len(catalogue.segments), len(catalogue.forecast_units)
    if layout.num_segments != k or t < 1 or not isinstance(document["product_wise"], bool):
        raise BundleError(f"{CATALOGUE} must agree with its own segments and periods; got other sizes; export it again")
    candidates = None
    if document["candidates"] is not None:
        candidates = numbers(CATALOGUE, document, "candidates", (k, n), least=0) > 0
    most, memory = document["most_promoted"], document["memory"]
    path = _path(document, t, n)
    promotes = layout.promote or (isinstance(path, PricePath) and path.promotion is not None)
    if _TABLE in document:
        path = _table(document[_TABLE], n, max(1, len(catalogue.regimes)))
    if (most is not None) != promotes or (most is not None and not (type(most) is int and most > 0)):
        raise BundleError(
            f"{CATALOGUE}: most_promoted must be a number if the policy promotes; got {most!r}; export it again"
        )
    for name, orders in (("max_order_units", layout.order), ("max_express_units", layout.express)):
        if orders and getattr(catalogue, name) is None:
            raise BundleError(f"{CATALOGUE}: a policy that orders must have {name}; got none; export it again")
    rules = guardrails_from(guardrails, n)
    if rules.planned_price is not None and len(rules.planned_price) != t:
        raise BundleError(
            f"{GUARDRAILS}: planned_price must have the {t} periods of the forecast; got {len(rules.planned_price)}; export it "
            "again"
        )
    return PolicySetup(
        catalogue=catalogue,
        guardrails=rules,
        layout=layout,
        base_price=numbers(CATALOGUE, document, "base_price", (n,), least=1e-9),
        product_wise=document["product_wise"],
        candidates=candidates,
        base=None if document["base"] is None else str(document["base"]),
        path=path,
        most_promoted=most,
        memory=None if memory is None else RecurrentLayout({name: tuple(shape) for name, shape in memory.items()}),
    )


def _catalogue(document: dict[str, Any]) -> Catalogue:
    flags = {name: document[name] for name in ("endless", "rivals", "loyal", "backlog")}
    if not all(isinstance(flag, bool) for flag in flags.values()):
        raise BundleError(f"{CATALOGUE}: {', '.join(flags)} must be true or false; got {flags}; export it again")
    products, segments = (_names(document, key) for key in ("products", "segments"))
    n, k, t = len(products), len(segments), len(document["forecast_units"])

    def column(name: str, *shape: int, least: float = 0.0) -> NDArray[np.float32]:
        return numbers(CATALOGUE, document, name, shape, least=least)

    return Catalogue(
        products=products,
        segments=segments,
        category=column("category", n).astype(np.intp),
        regular_price=column("regular_price", n, least=1e-9),
        unit_cost=column("unit_cost", n),
        segment_elasticity=column("segment_elasticity", k, n, least=-MOST),
        segment_units=column("segment_units", k, n),
        forecast_units=column("forecast_units", t, n),
        regimes=tuple(map(str, document["regimes"])),
        max_order_units=None if document["max_order_units"] is None else column("max_order_units", n),
        max_express_units=column("max_express_units", n) if "max_express_units" in document else None,
        express_periods=column("express_periods", n) if "express_periods" in document else None,
        at_once=column("at_once", 2, n) if "at_once" in document else None,
        change_window_periods=_periods(document, "change_window_periods"),
        due_periods=_periods(document, "due_periods"),
        elasticity_error=column("elasticity_error", n) if "elasticity_error" in document else None,
        level_error=column("level_error", n) if "level_error" in document else None,
        calendar=_calendar(document["calendar"], t) if "calendar" in document else None,
        **flags,
    )


def _path_document(path: PricePath | StockTable | None) -> dict[str, Any]:
    if isinstance(path, StockTable):
        return {_TABLE: {"tables": [table.tolist() for table in path.tables], "groups": path.groups}}
    return {} if path is None else {_PATH: {"price": _plain(path.path), "promotion": _plain(path.promotion)}}


def _path(document: dict[str, Any], periods: int, products: int) -> PricePath | None:
    if _PATH not in document:
        return None
    given = document[_PATH]
    _check_keys(f"{CATALOGUE}, {_PATH}", given, ("price", "promotion"))
    shape = (periods, products)
    shares = None if given["promotion"] is None else numbers(CATALOGUE, given, "promotion", shape, least=0)
    return PricePath(numbers(CATALOGUE, given, "price", shape, least=1e-9), shares)


def _table(given: dict[str, Any], products: int, regimes: int) -> StockTable:
    file = f"{CATALOGUE}, {_TABLE}"
    _check_keys(file, given, ("tables", "groups"))
    groups = tuple(map(tuple, given["groups"]))
    if sorted(n for group in groups for n in group) != list(range(products)) or len(groups) != len(given["tables"]):
        raise BundleError(f"{file}: groups must hold each product once; got {groups!r:.80}; export it again")
    tables = []
    for rows, group in zip(given["tables"], groups, strict=True):
        shape = np.shape(rows)
        if len(shape) != 3 + len(group) or shape[1] != regimes or shape[-1] != len(group) or 0 in shape:
            raise BundleError(
                f"{file}: tables must have periods, regimes, stocks, products; got {shape}; export it again"
            )
        tables.append(numbers(file, {"tables": rows}, "tables", shape, least=1e-9))
    return StockTable(tuple(tables), groups)


def _calendar(document: dict[str, Any], periods: int) -> Calendar:
    calendar = Calendar.from_dict(document)
    if calendar.periods != periods:
        raise BundleError(
            f"{CATALOGUE}: calendar must have the {periods} periods of the forecast; got {calendar.periods}; export it again"
        )
    return calendar


def _periods(document: dict[str, Any], name: str) -> int:
    periods = document[name]
    if type(periods) is not int or periods < 0:
        raise BundleError(f"{CATALOGUE}: {name} must be a whole number from 0; got {periods!r:.40}; export it again")
    return periods


def _plain(value: Any) -> Any:
    return value.tolist() if isinstance(value, np.ndarray) else value


def _check_keys(file: str, document: dict[str, Any], names: Collection[str]) -> None:
    if set(document) != set(names):
        raise BundleError(f"{file} must have the keys {', '.join(names)}; got {', '.join(document)}; export it again")


def _names(document: dict[str, Any], key: str) -> tuple[str, ...]:
    names = tuple(document[key])
    if not names or len(set(names)) < len(names) or not all(isinstance(name, str) for name in names):
        raise BundleError(f"{CATALOGUE}: {key} must be unique names; got something else; export it again")
    return names


def numbers(
    file: str, document: dict[str, Any], key: str, shape: tuple[int, ...], *, least: float, kind: type = np.float32
) -> NDArray[Any]:
    """An array of this shape with every number in [least, 1e12]; NaN and infinity are refused."""
    values = np.array(document[key], dtype=np.float64)
    if values.shape != shape or not ((values >= least) & (values <= MOST)).all():
        raise BundleError(
            f"{file}: {key} must have shape {shape} and numbers from {least:g} to {MOST:g}; "
            f"got shape {values.shape}; export it again"
        )
    return values.astype(kind)
