"""The choice model that a bundle carries, read from its document; it needs numpy alone."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...pricing import Catalogue, ChoiceModel
from ...pricing.choice_model import FAMILIES
from .files import RESPONSE, BundleError

Array = NDArray[np.float64]
_MOST = 1e12


def read_response(document: dict[str, Any] | None, catalogue: Catalogue) -> ChoiceModel | None:
    """The choice model of a bundle.

    Args:
        document: the parsed `response.json`; None where the market's demand family
            is an extension's.
        catalogue: gives the sizes that the arrays must have.

    Returns:
        The model, or None where there is no document.

    Raises:
        BundleError: keys, shapes or numbers are not those of a choice model. Other faults raise
            ValueError or TypeError.
    """
    if document is None:
        return None
    document = {
        "nesting": [],
        "nest": [],
        "curvature": [],
        "regular": [],
        "units_gain": [],
        "units_loss": [],
        **document,
    }  # bundles of earlier versions have none
    names = [item.name for item in fields(ChoiceModel)]
    flags = {name: document[name] for name in ("linear_reference", "single")}
    if (
        set(document) != set(names)
        or document["family"] not in FAMILIES
        or not all(type(f) is bool for f in flags.values())
    ):
        raise BundleError(
            f"{RESPONSE} must have the keys {', '.join(names)}; got others or a family unknown; export it again"
        )
    arrays: dict[str, Any] = {name: _array(document[name]) for name in names if name not in ("family", *flags)}
    sizes = {"N": catalogue.num_products, "K": catalogue.num_segments, "T": catalogue.horizon}
    sizes |= {"C": len(arrays["rate"]), "R": len(arrays["rivals_regular"]), "Z": len(arrays["regime_utility"])}
    sizes["J"] = len(arrays["nesting"]) if arrays["nest"].size else sizes["C"]
    for name, letters in _SHAPES.items():
        _check_shape(name, arrays, letters, sizes)
    for name, letter in (("category", "C"), ("nest", "J"), ("rival_category", "C"), ("rivals_product", "N")):
        arrays[name] = arrays[name].astype(np.intp)
        if not ((arrays[name] >= 0) & (arrays[name] < sizes[letter])).all():
            raise BundleError(
                f"{RESPONSE}: {name} must hold numbers below {sizes[letter]}; got others; export it again"
            )
    return ChoiceModel(family=document["family"], **flags, **arrays)


_OPTIONAL = (
    *("quality_path", "gain", "loss", "promotion", "lift", "strategic_share", "patience", "nesting", "nest"),
    *("curvature", "regular", "units_gain", "units_loss"),
)
"""Arrays that are empty where their section is off."""
_SHAPES = {
    "category": "N",
    "quality": "KN",
    "sensitivity": "KN",
    "curvature": "N",
    "regular": "N",
    "quality_path": "NT",
    "rate": "CT",
    "season": "CT",
    "path": "CT",
    "share": "CK",
    "gain": "N",
    "loss": "N",
    "units_gain": "N",
    "units_loss": "N",
    "promotion": "KN",
    "lift": "K",
    "rival_category": "R",
    "rival_quality": "KR",
    "rival_sensitivity": "KR",
    "regime_utility": "Z",
    "regime_sensitivity": "Z",
    "regime_arrivals": "Z",
    "strategic_share": "K",
    "patience": "K",
    "rivals_product": "R",
    "rivals_regular": "R",
    "regime_share": "TZ",
    "overdispersion": "N",
    "nesting": "J",
    "nest": "N",
}


def _array(values: Any) -> Array:
    array = np.array(values, dtype=np.float64)
    if not (np.abs(array) <= _MOST).all():
        raise BundleError(f"{RESPONSE} must hold finite numbers; got others; export it again")
    return array


def _check_shape(name: str, arrays: dict[str, Any], letters: str, sizes: dict[str, int]) -> None:
    shape, found = tuple(sizes[letter] for letter in letters), arrays[name].shape
    if name in _OPTIONAL and arrays[name].size == 0:
        return
    if found != shape:
        raise BundleError(f"{RESPONSE}: {name} must have shape {shape}; got {found}; export it again")
