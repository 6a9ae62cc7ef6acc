"""What a price list carries beside its rows: key-value items and the basket index, in a JSON file beside the list."""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from ...atomic import write_whole
from ..documents import Document, Name, nearest
from .rows import ListError, Text

Standing = Literal["proposed", "confirmed", "rejected"]


class KeyItem(Document, frozen=True, kw_only=True):
    """A product whose price shapes what customers think of the shop's prices, or a candidate.

    Attributes:
        id: The product's id in the shop's tables.
        name: Its name.
        score: From 0 to 1, see `planning.price_image.key_items`.
        reasons: Why, in plain words, and what is not known.
        status: What the shop decided.
        decided_by: Who decided; empty where nobody is named.
        decided_at: When (UTC).

    Example:
        >>> KeyItem(id="7", name="milk", score=0.9, reasons=("in 12.0% of baskets",)).status
        'proposed'
    """

    id: Name
    name: Name
    score: Annotated[float, Meta(ge=0, le=1)]
    reasons: tuple[Text, ...] = ()
    status: Standing = "proposed"
    decided_by: Text = ""
    decided_at: Text = ""

    @property
    def seen(self) -> str:
        """Names what was decided about it, and by whom."""
        facts = (self.id, self.name, self.status, self.decided_by)
        return hashlib.blake2b(msgspec.json.encode(facts), digest_size=12).hexdigest()


class IndexPath(Struct, frozen=True, kw_only=True):
    """The basket index of a zone against one reference, week by week.

    Attributes:
        zone: The stores.
        reference: rival, month or year.
        base: What prices are compared with, in words.
        products: Number of products of the zone.
        known: Number of them whose reference price is known, over which the index runs.
        coverage: Share of the basket's cost, at the prices planned anyway, that these make.
        weeks: First day of each week, past ones first.
        index: The index in each week: 1 is the reference; None where none is known.
        past: Number of past weeks among them.
        bound: The most that the price rules allow; None without such a rule.
    """

    zone: str
    reference: Literal["rival", "month", "year"]
    base: str
    products: int
    known: int
    coverage: float
    weeks: tuple[dt.date, ...]
    index: tuple[float | None, ...]
    past: int
    bound: float | None = None


class PriceImage(Struct, frozen=True, omit_defaults=True):
    """The price image of a price list; a list of an earlier version has none.

    Example:
        >>> PriceImage().key_items
        ()
    """

    key_items: tuple[KeyItem, ...] = ()
    price_index: tuple[IndexPath, ...] = ()


def image_path(path: Path) -> Path:
    """The file beside a price list that holds its price image.

    Example:
        >>> image_path(Path("lists/prices.xlsx")).name
        'prices.image.json'
    """
    return path.with_suffix(".image.json")


def read_image(path: Path) -> PriceImage:
    """The price image of a price list; none where there is no file of them.

    Args:
        path: The price list.

    Raises:
        ListError: The file is there, but no such file.

    Example:
        >>> read_image(Path("prices.csv"))
        PriceImage(key_items=(), price_index=())
    """
    file = image_path(path)
    try:
        return msgspec.json.decode(file.read_bytes(), type=PriceImage) if file.is_file() else PriceImage()
    except (msgspec.DecodeError, ValueError) as error:
        must = f"{file.name} must hold the price image of {path.name}"
        raise ListError([f"{must}; got: {error}; write the list again, or remove the file"]) from None


def write_image(path: Path, image: PriceImage) -> None:
    """Write the price image of a price list, completely or not at all; a list without any has no file.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "prices.csv"
        >>> write_image(path, PriceImage((KeyItem(id="7", name="milk", score=0.9),)))
        >>> read_image(path).key_items[0].name
        'milk'
    """
    file = image_path(path)
    if image == PriceImage():
        file.unlink(missing_ok=True)
    else:
        write_whole(file, msgspec.json.format(msgspec.json.encode(image), indent=1))


def decided_items(
    items: Sequence[KeyItem], decisions: Mapping[str, Standing], by: str, *, called: str = "an item"
) -> tuple[KeyItem, ...]:
    """The items with decisions about some of them.

    Args:
        items: The items.
        decisions: What is decided, by id or name; `proposed` takes a decision back.
        by: Who decides.
        called: What error messages call what is decided about.

    Raises:
        ListError: A decision is about no item.

    Example:
        >>> milk = KeyItem(id="7", name="milk", score=0.9)
        >>> [item.status for item in decided_items([milk], {"milk": "confirmed"}, "Ann")]
        ['confirmed']
    """
    known = {key: item.id for item in items for key in (item.name, item.id)}
    if strange := [key for key in decisions if key not in known]:
        must = f"{called} must be the id or the name of a product of the market; got {strange[0]!r}"
        raise ListError([f"{must}; {nearest(strange[0], known)}"])
    made = {known[key]: status for key, status in decisions.items()}
    now = dt.datetime.now(dt.UTC)
    time = now.isoformat(timespec="seconds")

    def decided(item: KeyItem) -> KeyItem:
        status = made.get(item.id, item.status)
        if item.id not in made or status == item.status:
            return item
        who = ("", "") if status == "proposed" else (by, time)
        return msgspec.structs.replace(item, status=status, decided_by=who[0], decided_at=who[1])

    return tuple(map(decided, items))
