"""Parts of a catalogue that is too large to be one market."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Iterable

import pandas as pd

MOST_PRODUCTS = {"week": 1000, "day": 140}
"""Products of a market by period: so many are fitted in some 4 GiB and five minutes on two cores."""


def catalogue_parts(
    products: pd.DataFrame, most: int, links: Iterable[Collection[str]] = ()
) -> dict[str, pd.DataFrame]:
    """Split a catalogue into parts of about the same size that share no category.

    Products compete within their category only, so a market of each part says what a market of all would.

    Args:
        products: The products to price: `product`, `category` and, where known, `name`.
        most: Products of a part; what must stay together and is larger is a part of its own.
        links: Ids or names of products that a price rule links, as a product line, so that their categories must
            stay together; see `ShopRules.links_by_name`.

    Returns:
        The products of each part, the categories in their order; one part without a name where all fit into it.

    Raises:
        ValueError: `most` is below 2.

    Example:
        >>> parts = catalogue_parts(pd.DataFrame({"product": list("abcd"), "category": list("xxyy")}), most=2)
        >>> {name: "".join(part["product"]) for name, part in parts.items()}
        {'part-1': 'ab', 'part-2': 'cd'}
    """
    if most < 2:
        raise ValueError(f"a part of a catalogue must have room for 2 products or more; got {most}; raise it")
    if len(products) <= most:
        return {"": products}
    group = products["category"].map(_groups(products, links))
    sizes = products.groupby(group, sort=False).size()
    # The least room with which there are no more parts fills them evenly.
    rooms = range(2, most + 1)
    fewest = _filled(sizes, most)[-1]
    room = rooms[bisect_left(rooms, -fewest, key=lambda room: -_filled(sizes, room)[-1])]
    number = group.map(dict(zip(sizes.index, _filled(sizes, room), strict=True)))
    found = [products[number == i].reset_index(drop=True) for i in range(fewest + 1)]
    return {f"part-{i}": part for i, part in enumerate(found, start=1)} if fewest else {"": products}


def _groups(products: pd.DataFrame, links: Iterable[Collection[str]]) -> dict[str, str]:
    """The first of the categories that must stay together with each category."""
    group = {name: name for name in products["category"]}
    names = products["name"] if "name" in products else products["product"]
    for link in links:
        linked = products.loc[products["product"].isin(link) | names.isin(link), "category"]
        joined = {group[name] for name in linked}
        group = {name: linked.map(group).iloc[0] if first in joined else first for name, first in group.items()}
    return group


def _filled(sizes: Iterable[int], room: int) -> list[int]:
    """The number of each category's part, where a part takes the next category as long as it has room."""
    numbers = []
    number = 0
    taken = 0
    for size in sizes:
        if taken and taken + size > room:
            number = number + 1
            taken = 0
        taken += size
        numbers.append(number)
    return numbers
