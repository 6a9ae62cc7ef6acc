"""Price rules and catalogue as JSON: plain numbers, with every shape and bound checked when they are read."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from types import MappingProxyType
from typing import Annotated, Any

import numpy as np
from msgspec import Meta, Struct, ValidationError, convert, defstruct, structs
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
from ...pricing.complete import check_complete
from ...pricing.law import Jurisdiction, Law
from ..recurrent_state import RecurrentLayout, RecurrentText
from .files import CATALOGUE, GUARDRAILS, BundleError

FEATURES = "features"
NetworkFunction = Callable[[NDArray[np.float32], RecurrentState], tuple[ActionParts, RecurrentState]]
"""Takes rows of features and the recurrent state (empty without one); returns action parts and the
new state.
"""
MOST = 1e12
# Parts of a catalogue that only some markets have: those with a posterior, dates, a second supplier, orders without delay,
# or VAT.
_OPTIONAL = ("elasticity_error", "level_error", "calendar", "max_express_units", "express_periods", "at_once", "vat")
_PATH = "base_path"
_TABLE = "base_table"
_PATH_PARTS = {"price": "path", "promotion": "promotion", "deal": "deal", "recommendation": "recommendation"}
"""What a document says of a path of base prices, and the fields of `PricePath` that hold it."""
_BY_PRODUCT = (
    "category",
    "regular_price",
    "unit_cost",
    "max_order_units",
    "max_express_units",
    "express_periods",
    "vat",
)
_CATALOGUE_SHAPES = dict.fromkeys((*_BY_PRODUCT, "elasticity_error", "level_error"), "N")
_CATALOGUE_SHAPES |= {"segment_elasticity": "KN", "segment_units": "KN", "forecast_units": "TN", "at_once": "2N"}
"""The arrays of a catalogue, each with a letter an axis, as are those of the price rules."""
_RULE_SHAPES = dict.fromkeys(("floor", "ceiling", "unit_cost", "max_change", "minimum_advertised_price", "frozen"), "N")
_RULE_SHAPES |= dict.fromkeys(("rival_at_least", "rival_at_most", "bounds_from_sales"), "N")
_RULE_SHAPES |= {"max_step": "N", "planned_regular": "TN"}
_RULE_SHAPES |= {"past_price": "BN", "planned_price": "TN", "index_weights": "IN", "index_at_most": "I"}
_RULE_SHAPES |= {"group_contrasts": "PK"}
_PRICE_NAMES = ("regular_price", "base_price", "price", "tables")
Names = Annotated[tuple[str, ...], Meta(min_length=1)]
Count = Annotated[int, Meta(ge=0)]


class _Facts(Struct):
    """What a catalogue's document holds beside arrays."""

    products: Names
    segments: Names
    regimes: tuple[str, ...]
    endless: bool
    rivals: bool
    loyal: bool
    backlog: bool
    change_window_periods: Count
    due_periods: Count


_COUNT_TYPES = {"int": Count, "bool": bool}
_LATER = [
    (item.name, _COUNT_TYPES[str(item.type)], item.default)
    for item in fields(Catalogue)
    if item.type in _COUNT_TYPES and item.name not in _Facts.__struct_fields__
]
"""Numbers and switches that bundles of earlier versions lack."""
_AllFacts = defstruct("_AllFacts", _LATER, bases=(_Facts,))
check_complete(
    "serving.bundle.codec",
    "a type",
    {item.name for item in fields(Catalogue)},
    {*_AllFacts.__struct_fields__, *_CATALOGUE_SHAPES, "calendar"},
)


class _Policy(Struct):
    """What a catalogue's document says of the policy."""

    layout: dict[str, Any]
    base_price: Any
    product_wise: bool
    candidates: Any
    base: str | None
    most_promoted: Annotated[int, Meta(ge=1)] | None
    memory: dict[str, tuple[int, ...]] | None


class _Law(Struct, forbid_unknown_fields=True):
    """What the law says of the prices, `repricer.pricing.law.Law`."""

    jurisdictions: tuple[Jurisdiction, ...]
    food_store: bool
    progressive: bool
    perishable: list[bool] | None


class _Links(Struct):
    """Products that price rules name by their numbers, and other words of the rules."""

    lines: tuple[tuple[int, ...], ...]
    gaps: tuple[tuple[int, int, float], ...]
    packs: tuple[tuple[int, int, float], ...] = ()
    # Of bundles without them, what they have by default.
    priority: dict[str, str | int] = {}
    index_names: tuple[str, ...] = ()
    frozen_as_planned: bool = False
    frozen_because: tuple[str, ...] = ()


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
        own = (self.layout, self.base_price, self.product_wise, base)
        if self.memory is not None:
            return RecurrentPolicy(name, network, self.memory.initial_state, *own)
        return NetworkPolicy(name, _WithoutMemory(network), *own)

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
    ladder = None if rules.ladder is None else rules.ladder.steps.tolist()
    endings = None if rules.endings is None else rules.endings.fractions.tolist()
    links = {name: [list(link) for link in getattr(rules, name)] for name in ("lines", "gaps", "packs")}
    law = {} if rules.law is None else {"law": {name: _plain(part) for name, part in vars(rules.law).items()}}
    return {k: v for k, v in document.items() if k != "law"} | links | {"ladder": ladder, "endings": endings} | law


def guardrails_from(document: dict[str, Any], num_products: int, num_segments: int) -> Guardrails:
    """The price rules of a document. Raises ValueError or TypeError for a wrong one."""
    # Bundles of earlier versions lack some of these.
    rows = {"B": "past_price", "T": "planned_price", "I": "index_names", "P": "group_contrasts"}
    sizes = {"N": num_products, "K": num_segments}
    sizes |= {letter: len(document.get(name) or ()) for letter, name in rows.items()}
    kinds = {"ladder": PriceLadder, "endings": PriceEndings}
    given = {name: kind for name, kind in kinds.items() if document[name] is not None}
    grids = {name: kind(np.array(document[name], dtype=np.float64)) for name, kind in given.items()}
    try:
        links = structs.asdict(convert(document, _Links))
    except ValidationError as error:
        raise refusal(GUARDRAILS, f"lines must hold indices of products, as gaps do; got: {error}") from None
    null = [name for name in _RULE_SHAPES if name not in ("floor", "ceiling", "unit_cost")]
    found = arrays(GUARDRAILS, document, _RULE_SHAPES, sizes, np.float64, null=null, least={"group_contrasts": -1.0})
    law = None if document.get("law") is None else _law(document["law"], num_products)
    return Guardrails(**{**document, **found, **grids, **links, "law": law})


def _law(document: dict[str, Any], num_products: int) -> Law:
    try:
        own = convert(document, _Law)
    except ValidationError as error:
        raise refusal(GUARDRAILS, f"law must be as repricer writes it; got: {error}") from None
    perishable = None if own.perishable is None else np.array(own.perishable)
    if perishable is not None and perishable.size != num_products:
        raise refusal(GUARDRAILS, f"law: perishable must have {num_products} products; got {perishable.size}")
    return Law(own.jurisdictions, own.food_store, own.progressive, perishable)


def catalogue_document(setup: PolicySetup) -> dict[str, Any]:
    """The setup as plain JSON, for `setup_from`, without the price rules."""
    document = {item.name: _plain(getattr(setup.catalogue, item.name)) for item in fields(Catalogue)}
    document["calendar"] = None if setup.catalogue.calendar is None else setup.catalogue.calendar.to_dict()
    document = {name: value for name, value in document.items() if name not in _OPTIONAL or value is not None}
    if isinstance(setup.path, StockTable):
        document[_TABLE] = {"tables": [table.tolist() for table in setup.path.tables], "groups": setup.path.groups}
    elif setup.path is not None:
        document[_PATH] = {name: _plain(getattr(setup.path, own)) for name, own in _PATH_PARTS.items()}
    own = {name: _plain(getattr(setup, name)) for name in _Policy.__struct_fields__}
    return document | own | {"layout": asdict(setup.layout), "memory": setup.memory and setup.memory.shapes}


def setup_from(document: dict[str, Any], guardrails: dict[str, Any]) -> PolicySetup:
    """The setup of two documents. Raises ValueError or TypeError for wrong ones."""
    policy = convert(document, _Policy)
    of_policy = (*_Policy.__struct_fields__, _PATH, _TABLE)
    catalogue = _catalogue({name: part for name, part in document.items() if name not in of_policy})
    layout = ActionLayout(**policy.layout)
    rules = guardrails_from(guardrails, catalogue.num_products, len(catalogue.segments))
    sizes = {"K": catalogue.num_segments, "N": catalogue.num_products, "T": catalogue.horizon}
    if layout.num_segments != sizes["K"] or catalogue.horizon < 1:
        raise refusal(CATALOGUE, "must agree with its own segments and periods; got other sizes")
    if rules.planned_price is not None and len(rules.planned_price) != catalogue.horizon:
        raise refusal(GUARDRAILS, f"planned_price must have the forecast's {catalogue.horizon} periods; got others")
    path = None
    promotes = layout.promote
    if _PATH in document:
        shapes = {name: "TNK" if name == "recommendation" else "TN" for name in _PATH_PARTS}
        prices = arrays(CATALOGUE, document[_PATH], shapes, sizes, null=("promotion", "deal", "recommendation"))
        deal = None if prices.get("deal") is None else prices["deal"] > 0
        shown = prices.get("recommendation")
        path = PricePath(prices["price"], prices.get("promotion"), deal=deal, recommendation=shown)
        promotes = promotes or path.promotion is not None
    if _TABLE in document:
        path = _table(document[_TABLE], sizes["N"], max(1, len(catalogue.regimes)))
    if (policy.most_promoted is not None) != promotes:
        raise refusal(CATALOGUE, f"most_promoted must be a number if the policy promotes; got {policy.most_promoted!r}")
    for name, orders in (("max_order_units", layout.order), ("max_express_units", layout.express)):
        if orders and getattr(catalogue, name) is None:
            raise refusal(CATALOGUE, f"a policy that orders must have {name}; got none")
    columns = arrays(CATALOGUE, document, {"base_price": "N", "candidates": "KN"}, sizes, null=("candidates",))
    memory: Any = policy.memory and RecurrentLayout(policy.memory)
    return PolicySetup(
        catalogue=catalogue,
        guardrails=rules,
        layout=layout,
        base_price=columns["base_price"],
        product_wise=policy.product_wise,
        candidates=columns["candidates"] > 0 if "candidates" in columns else None,
        base=policy.base,
        path=path,
        most_promoted=policy.most_promoted,
        memory=memory,
    )


def _catalogue(document: dict[str, Any]) -> Catalogue:
    facts: Any = convert(document, _AllFacts)
    sizes = {"K": len(facts.segments), "N": len(facts.products), "T": len(document["forecast_units"]), "2": 2}
    for names in (facts.products, facts.segments):
        if len(set(names)) < len(names):
            raise refusal(CATALOGUE, "products and segments must be unique names; got one again")
    least = {"segment_elasticity": -MOST}
    null = (*_OPTIONAL, "max_order_units")
    columns = arrays(CATALOGUE, document, _CATALOGUE_SHAPES, sizes, least=least, null=null)
    columns["category"] = columns["category"].astype(np.intp)
    given = {**document, **columns, **structs.asdict(facts)}
    if "calendar" in document:
        given["calendar"] = calendar = Calendar.from_dict(document["calendar"])
        if calendar.periods != sizes["T"]:
            raise refusal(CATALOGUE, f"calendar must have the forecast's {sizes['T']} periods; got {calendar.periods}")
    return Catalogue(**given)


def _table(given: dict[str, Any], products: int, regimes: int) -> StockTable:
    file = f"{CATALOGUE}, {_TABLE}"
    groups = tuple(map(tuple, given["groups"]))
    if sorted(n for group in groups for n in group) != list(range(products)):
        raise refusal(file, f"groups must hold each product once; got {groups!r:.80}")
    tables = []
    for rows, group in zip(given["tables"], groups, strict=True):
        shape = np.shape(rows)
        if len(shape) != 3 + len(group) or shape[1] != regimes or shape[-1] != len(group) or 0 in shape:
            raise refusal(file, f"tables must have periods, regimes, stocks, products; got {shape}")
        sizes = dict(enumerate(shape))
        tables.append(arrays(file, {"tables": rows}, {"tables": tuple(sizes)}, sizes)["tables"])
    return StockTable(tuple(tables), groups)


def _plain(value: Any) -> Any:
    return value.tolist() if isinstance(value, np.ndarray) else value


def refusal(file: str, problem: str) -> BundleError:
    """The error of a file of a bundle; the problem says what must be, and what it got."""
    return BundleError(f"{file}{' ' if problem.startswith('must') else ': '}{problem}; export it again")


def arrays(
    file: str,
    document: Mapping[str, Any],
    shapes: Mapping[Any, Sequence[Any]],
    sizes: Mapping[Any, int],
    kind: type = np.float32,
    *,
    least: Mapping[str, float] = MappingProxyType({}),
    null: Collection[str] = (),
    empty: Collection[str] = (),
) -> dict[str, NDArray[Any]]:
    """The arrays of a document, with every number in [least, 1e12]; NaN and infinity are refused.

    Args:
        shapes: A letter for each axis of an array.
        sizes: Sizes by letter.
        least: Least number where it is not 0, or above 0 for a price.
        null: Those that may be null, and are then left out.
        empty: Those that may be empty.

    Raises:
        BundleError: One has another shape, or other numbers.
    """
    found = {}
    for name, axes in shapes.items():
        if document.get(name) is not None or name not in null:
            values = np.array(document[name], dtype=np.float64)
            shape = tuple(sizes[axis] for axis in axes)
            low = least.get(name, 1e-9 if name in _PRICE_NAMES else 0.0)
            fits = values.shape == shape or (name in empty and not values.size)
            if not fits or not ((values >= low) & (values <= MOST)).all():
                must = f"{name} must have shape {shape} and numbers from {low:g} to {MOST:g}; got shape {values.shape}"
                raise refusal(file, must)
            found[name] = values.astype(kind)
    return found
