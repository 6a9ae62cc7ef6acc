"""Scratch and result arrays of a period of E markets, allocated once per batch.

Arrays lie (…, N, E).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numba.experimental import structref
from numpy.typing import NDArray

from ..jit.math import compiled, inlined
from ..jit.views import Held
from .decode import Decoding
from .demand import Choice, ChoiceScratch, choice_scratch, empty_choice
from .market_arrays import MarketArrays
from .state import Floats


class Parts(NamedTuple):
    """Rows of a proposed action by kind, (rows, N, E) or (0, N, E); the price is (N, E)."""

    price: Floats
    discount: Floats
    score: Floats
    promotion: Floats
    order: Floats


class Results(NamedTuple):
    """Result arrays of a period: the rows of `TableLayout` and the other arrays of `Outcome`.

    `returned`, `perished` and `received` are (1, N, E) or (0, N, E), `ordered` (S, N, E) or (0, N, E); `trail` is (N, E);
    `shown` and `runner_up` are (K, E) or (0, E); `rival_price` and `rival_units` are (R, E).
    """

    price: Floats
    money: Floats
    stock: Floats
    wanted: Floats
    returned: Floats
    perished: Floats
    received: Floats
    ordered: Floats
    by_segment: Floats
    paid: Floats
    chances: Floats
    promoted: Floats
    taken: Floats
    baseline: Floats
    trail: NDArray[np.uint16]
    shown: NDArray[np.int64]
    runner_up: NDArray[np.int64]
    rival_price: Floats
    rival_units: Floats


class Scratch(NamedTuple):
    """Arrays that a period works in.

    Attributes:
        decoding: Form of the actions.
        keys: (E,) keys of the period.
        by_price: (K, N, E) personal prices, or (0, N, E).
        score: (K, N, E) scores of the recommender, or (0, N, E).
        ready: (N, E) ones, or (0, E) where stock never limits what customers choose among.
        multiplier: Multiplier of the arrivals, see `ChoiceInputs`.
        first: Choice in the first half of the period; the whole period where rivals do not answer
            within it.
        second: Choice in the second half.
        whole: Choice in the whole period.
        full: Choice with every product in stock, where one may be sold out.
        work: Scratch of the choice.
        demand: (N, E) units demanded.
        ends: (E,) whether a selling season ends, or (0,).
        displaced: (E,) next product to promote, see `charge_products`, or (0,).
        place: (E,) slot of the pipeline.
    """

    decoding: Decoding
    keys: NDArray[np.uint64]
    by_price: Floats
    score: Floats
    ready: Floats
    multiplier: Floats
    first: Choice
    second: Choice
    whole: Choice
    full: Choice
    work: ChoiceScratch
    demand: Floats
    ends: NDArray[np.bool_]
    displaced: NDArray[np.int64]
    place: Floats


@structref.register
class _WorkspaceType(Held):
    pass


class Workspace(structref.StructRefProxy):
    """`MarketArrays` and a `Scratch` behind one pointer, kept from period to period.

    Passing a hundred arrays from Python would take longer than the period of a small market.
    """

    def __new__(cls, arrays: MarketArrays, scratch: Scratch) -> Workspace:
        """Combine the market's arrays and scratch."""
        # Apart: Numba recognises the type of a tuple of arrays at once, but not with a structref among them.
        return _workspace(arrays, tuple(scratch))


structref.define_proxy(Workspace, _WorkspaceType, ["arrays", *Scratch._fields])


@compiled.entry
def _workspace(arrays, parts):
    return Workspace(arrays, *parts)


def period_scratch(constants, markets, decoding, detail):
    """Allocate the `Scratch` of a batch.

    Args:
        constants: `Constants`.
        markets: E.
        decoding: Form of the actions.
        detail: Whether charges are computed, which need the choice of every segment.
    """
    choice, sections, transition, stock = constants.choice, constants.sections, constants.transition, constants.stock
    segments, products = choice.quality.shape
    rivals, waits = choice.rival_category.size, choice.strategic_share.size * choice.rate.shape[0]
    price = np.empty((products, markets), np.float32)
    sizes = (price, rivals, waits)
    first = empty_choice(choice, *sizes, sections.slots, sections.by_segment, detail)
    # The units of the whole period are written to the outcome directly.
    second = whole = first._replace(units=price[:0])
    if constants.rivals.within:
        second = empty_choice(choice, *sizes, sections.slots, sections.by_segment, detail)
        whole = empty_choice(choice, *sizes, False, sections.by_segment, False)._replace(units=price[:0])
    else:
        first = whole
    full = first
    if stock.limited:
        full = empty_choice(choice, *sizes, sections.slots, sections.by_segment, detail)
    work = choice_scratch(choice, *sizes)
    default = np.empty((segments if sections.slots and not decoding.scores else 0, products, markets), np.float32)
    for k in range(default.shape[0]):
        for n in range(products):
            default[k, n] = sections.default_score[k, n]
    moves = transition.loyal or transition.shocked
    return Scratch(
        decoding,
        np.empty(markets, np.uint64),
        np.empty((sections.personal, products, markets), np.float32),
        default,
        np.ones((products if constants.money.backlog or stock.limited else 0, markets), np.float32),
        np.empty((choice.share.size if moves else 0, markets), np.float32),
        first,
        second,
        whole,
        full,
        work,
        # The perceived prices are no longer needed when demand is drawn.
        work.felt,
        np.empty(markets if stock.season or stock.last else 0, np.bool_),
        np.empty(markets if detail and sections.promotions and decoding.promotions else 0, np.int64),
        np.empty(markets, np.float32),
    )


def bytes_of(scratch: Scratch) -> int:
    """Bytes of the scratch; memory that two of its arrays share counts once."""

    def arrays(part: tuple) -> Iterator[NDArray]:
        for item in part:
            if isinstance(item, tuple):
                yield from arrays(item)
            elif isinstance(item, np.ndarray):
                yield item

    return sum({array.ctypes.data: array.nbytes for array in arrays(scratch) if array.size}.values())


@inlined
def parts_of(proposed, decoding):
    """`Parts` views of a decoded action, (A, N, E)."""
    discount = 1
    score = discount + decoding.discounts
    promotion = score + decoding.scores
    order = promotion + decoding.promotions
    return Parts(
        proposed[0], proposed[discount:score], proposed[score:promotion], proposed[promotion:order], proposed[order:]
    )


@inlined
def results_of(sections, table, trail, slots, offers):
    """`Results` views of the arrays that a period fills."""
    money, wanted, returned, perished, received, ordered, segments, paid, chances, promoted = sections.table
    charged = table.shape[0] > promoted
    taken = table[promoted] if charged else table[0, :0]
    baseline = table[promoted + 1] if charged else table[0, :0]
    rows = (table[0], table[1:money], table[money], table[money + 1])
    flows = (table[wanted:returned], table[returned:perished], table[perished:received], table[received:ordered])
    few = (
        table[ordered:segments],
        table[segments:paid],
        table[paid:chances],
        table[chances] if promoted > chances else table[0, :0],
        taken,
        baseline,
    )
    return Results(*rows, *flows, *few, trail, slots[0], slots[1], offers[0], offers[1])
