"""Obvious personal data in the columns of a file: mail addresses, phone and card numbers, names."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import polars as pl

_VALUES_LOOKED_AT = 1000
"""Values of a column that are looked at in each batch of rows."""
_MAIL = re.compile(r"\S+@[\w-]+(\.[\w-]+)*\.[a-zA-Z]{2,}")
_DIALLED = re.compile(r"\+\d[\d ()./-]{6,18}\d")
_DIGIT_RUN = re.compile(r"[\d ()+./-]{7,20}")
_CARD = re.compile(
    r"(?:[3-6]\d|2[2-7])\d{2}[ -]?(?:\d{4}[ -]?){2}\d{1,4}(?:[ -]?\d{1,3})?|3[47]\d{2}[ -]?\d{6}[ -]?\d{5}"
)
_WORD = re.compile(r"[^\W\d_]{2}.*")
_PHONE_HEADER = re.compile(r"phone|mobile|^tel(e(fon|fax))?$|^fax|handy(nr|nummer)|cellnumber")
_NAME_HEADER = re.compile(
    r"^(first|last|sur|fore|full|given|family|middle|maiden)name$|^(vor|nach|familien)name$|^(prenom|apellidos?)$"
    r"|^(customer|client|kunden?|guest|member|buyer|person|holder|contact|shopper|card ?holder)s?name$"
)
# An address is never anything else; one number in ten passes Luhn's check by chance.
_LEAST_FOUND = {"mail addresses": 0.02, "phone numbers": 0.5, "card numbers": 0.5, "names of persons": 0.5}


def personal_kind(table: str, header: str, values: pl.Series) -> str | None:
    """The kind of personal data that a column obviously holds; None where it holds none.

    Mail addresses, numbers dialled with a plus and card numbers (by their first digits, length and
    Luhn's check, ISO/IEC 7812-1) are known by the values; other phone numbers and names by the
    header as well.

    Args:
        values: Some of its values, text or whole numbers.

    Example:
        >>> personal_kind("customers", "contact", pl.Series(["ann@example.org", "bob@example.org"]))
        'mail addresses'
        >>> personal_kind("products", "name", pl.Series(["Brown Bread", "Jam"])) is None
        True
    """
    if not (values.dtype.is_integer() or values.dtype == pl.String):
        return None
    known = values.drop_nulls()
    texts = known.gather_every(max(1, len(known) // _VALUES_LOOKED_AT)).cast(pl.String).to_list()
    word = re.sub(r"[^a-zà-ÿ]", "", header.lower()).replace("é", "e")
    named = _NAME_HEADER.search(word) or (table == "customers" and word == "name")
    found = {
        "mail addresses": _share(texts, _MAIL),
        "phone numbers": _share(texts, _DIGIT_RUN if _PHONE_HEADER.search(word) else _DIALLED),
        "card numbers": _share(texts, _CARD, _luhn),
        "names of persons": _share(texts, _WORD) if named else 0.0,
    }
    return next((kind for kind, share in found.items() if share >= _LEAST_FOUND[kind]), None)


def _share(texts: Sequence[str], form: re.Pattern[str], holds: Callable[[str], bool] = bool) -> float:
    """The share of texts that have a form, and of which something holds."""
    return sum(form.fullmatch(text) is not None and holds(text) for text in texts) / max(len(texts), 1)


def _luhn(text: str) -> bool:
    """Whether the digits pass the check of card numbers: doubling every second one from the right."""
    digits = [int(digit) for digit in re.sub(r"\D", "", text)]
    doubled = (sum(divmod(2 * digit, 10)) for digit in digits[-2::-2])
    return bool(digits) and (sum(digits[::-2]) + sum(doubled)) % 10 == 0
