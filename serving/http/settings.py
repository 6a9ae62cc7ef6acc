"""The settings of a service: one declaration gives their check, the options of `repricer serve`,
and the docs.
"""

from __future__ import annotations

import os
from typing import Annotated, ClassVar

from msgspec import Meta
from msgspec.structs import force_setattr

from ...pricing.law import JURISDICTIONS, Jurisdiction
from ..documents import Checked
from ..predictor import Fallback

Share = Annotated[float, Meta(ge=0, lt=1, extra={"fix": "use the kill switch for all markets"})]


_Host = Annotated[str, Meta(pattern=r"^[^/\s]+$")]
_HOSTS = "Names by which callers may name the service (`Host`); any by default, without `keys` this machine's."
_FALLBACK = "Rule that prices holdout markets, and all markets while the kill switch is on."
_PRICE_LIST = "Price list to decide on at /price-list, for one more release: `repricer desk` serves it by itself."
_LAW = "Jurisdictions whose law holds: a bundle that was not made for all of them is refused."
_JURISDICTIONS = f"a list of {', '.join(JURISDICTIONS)}"
_HOST_NAMES = "a list of names without scheme or path"


class AccessSettings(Checked, frozen=True, kw_only=True):
    """Who may ask a service, and how often.

    Raises:
        ValueError: a setting is out of its range.

    Example:
        >>> AccessSettings(rate=0)
        Traceback (most recent call last):
        ValueError: service: rate must be a number from 0.001 to 1e+09; got 0; fix it
    """

    called: ClassVar[str] = "service"

    keys: Annotated[str | None, Meta(description="File of API keys; without one, this machine alone may ask.")] = None
    hosts: Annotated[tuple[_Host, ...], Meta(description=_HOSTS, extra={"allowed": _HOST_NAMES})] = ()
    rate: Annotated[float, Meta(ge=0.001, le=1e9, description="Requests a second and caller; twice that at once.")] = (
        500.0
    )
    burst: Annotated[float, Meta(ge=1, le=1e9, description="Requests of one caller that may come at once.")] = 1000.0

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            if isinstance(getattr(self, name), os.PathLike):
                force_setattr(self, name, os.fspath(getattr(self, name)))
        super().__post_init__()


class ServiceSettings(AccessSettings, frozen=True, kw_only=True):
    """How a service runs.

    Raises:
        ValueError: a setting is out of its range.

    Example:
        >>> ServiceSettings(holdout=0.1).fallback
        'in-force'
        >>> ServiceSettings(holdout=1.5)
        Traceback (most recent call last):
        ValueError: service: holdout must be a number from 0 to below 1; got 1.5; use the kill switch for all markets
    """

    price_list: Annotated[str | None, Meta(description=_PRICE_LIST)] = None
    fallback: Annotated[Fallback, Meta(description=_FALLBACK)] = "in-force"
    holdout: Annotated[Share, Meta(description="Share of the markets that the fallback prices.")] = 0.0
    canary: Annotated[Share, Meta(description="Share of the markets that a newer bundle prices first; 0: all.")] = 0.0
    jurisdictions: Annotated[tuple[Jurisdiction, ...], Meta(description=_LAW, extra={"allowed": _JURISDICTIONS})] = ()
    killed: Annotated[bool, Meta(description="Start with the kill switch on: the fallback prices everything.")] = False
    seed: Annotated[int, Meta(ge=0, le=2**63 - 1, description="Key of the hash that assigns markets to arms.")] = 0
