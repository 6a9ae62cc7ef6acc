"""The price response of a bundle: what a market is expected to buy at given prices. numpy alone.

The same choice model as the simulated market's (`envs.choice`), written for a handful of price rows, so that a server
answers what-if questions without the market. A test holds the two to each other.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...pricing import Catalogue
from .files import RESPONSE, BundleError

Array = NDArray[np.float64]
FAMILIES = ("mnl", "cheapest", "exponential", "linear", "constant-elasticity")
_MOST = 1e12


@dataclass(frozen=True, eq=False)
class PriceResponse:
    """How customers choose. T periods, C categories, N products, K segments, R rival offers, Z regimes.

    family: one of `FAMILIES`. linear_reference: whether the distance from the reference price is linear, not log.
    single: whether at most one customer comes. rivals_product: (R,) the product each offer competes with; rivals_regular:
    (R,) currency per unit. regime_share: (T, Z) chance of each regime, (T, 0) without regimes. overdispersion: (N,). The
    other arrays are as in `envs.parameters.ChoiceParameters`; those of sections that are off are empty.
    """

    family: str
    linear_reference: bool
    single: bool
    category: NDArray[np.intp]
    quality: Array
    sensitivity: Array
    quality_path: Array
    rate: Array
    season: Array
    path: Array
    share: Array
    gain: Array
    loss: Array
    promotion: Array
    lift: Array
    rival_category: NDArray[np.intp]
    rival_quality: Array
    rival_sensitivity: Array
    regime_utility: Array
    regime_sensitivity: Array
    regime_arrivals: Array
    strategic_share: Array
    patience: Array
    rivals_product: NDArray[np.intp]
    rivals_regular: Array
    regime_share: Array
    overdispersion: Array

    def units(
        self,
        period: int,
        price: ArrayLike,
        *,
        reference: ArrayLike,
        discount: ArrayLike | None = None,
        shown: NDArray[np.intp] | None = None,
        promoted: ArrayLike | None = None,
        regime: int | None = None,
        rival_price: ArrayLike | None = None,
        loyalty: ArrayLike | None = None,
        in_stock: ArrayLike | None = None,
    ) -> Array:
        """Mean units by segment with ample stock, (B, K, N), at B rows of prices (B, N) in one period.

        reference: (N,) currency per unit. discount: (N, K) fractions. shown: (K,) the product in each slot, -1 for none.
        regime: None where it is not seen; the mean over regimes is meant then. rival_price: (R,), regular prices where
        left out. loyalty: (K,) multiplier of arrivals. promoted, in_stock: (N,) whether it is on promotion, whether it can be
        bought.
        """
        prices = np.atleast_2d(np.asarray(price, dtype=np.float64))
        paid = prices[:, None, :] * (1 - (0.0 if discount is None else np.asarray(discount, dtype=np.float64).T))
        paid = np.broadcast_to(paid, (len(prices), *self.quality.shape))
        now = _Now(
            period=period,
            price=prices,
            paid=paid,
            reference=np.asarray(reference, dtype=np.float64),
            shown=shown,
            promoted=np.zeros(prices.shape[1]) if promoted is None else np.asarray(promoted, dtype=np.float64),
            rival_price=self.rivals_regular if rival_price is None else np.asarray(rival_price, dtype=np.float64),
            loyalty=np.ones(len(self.quality)) if loyalty is None else np.asarray(loyalty, dtype=np.float64),
            there=np.ones(prices.shape[1]) if in_stock is None else np.asarray(in_stock, dtype=np.float64) > 0,
        )
        if not self.regime_share.shape[1]:
            return self._units(now, 0.0, 1.0, 1.0)
        shares = self.regime_share[period] if regime is None else np.eye(self.regime_share.shape[1])[regime]
        parts = zip(shares, self.regime_utility, self.regime_sensitivity, self.regime_arrivals, strict=True)
        return np.sum([s * self._units(now, u, b, a) for s, u, b, a in parts if s > 0], axis=0)

    def _units(self, now: _Now, utility: float, sensitivity: float, arrivals: float) -> Array:
        """As `units`, in one regime."""
        c, t = self.category, now.period
        season = self.season[:, t] + utility
        path = self.path[:, t] * sensitivity
        usual = season[c] + (self.quality_path[:, t] if self.quality_path.size else 0.0)
        effect = (usual + self._reference_effect(now))[:, None]
        if self.promotion.size:
            effect = effect + self.promotion * now.promoted
        customers = self.rate[:, t, None] * arrivals * self.share * now.loyalty
        felt = now.paid * path[c]
        if self.family == "cheapest":
            return self._cheapest(now, felt, effect, season, path, customers)
        if self.family != "mnl":
            value = np.log(now.paid) * path[c] if self.family == "constant-elasticity" else felt
            u = self.quality - self.sensitivity * value + effect
            chance = np.clip(u if self.family == "linear" else np.exp(np.minimum(u, 1.0)), 0, 1)
            return customers.T[:, c] * chance * now.there
        weight = np.exp(self.quality - self.sensitivity * felt + effect) * now.there
        if now.shown is not None and self.lift.size:
            weight = weight * np.where(np.arange(len(c)) == now.shown[:, None], self.lift[:, None], 1.0)
        total = 1 + weight @ self._member + self._rival_weight(now, season, path)
        factor = customers.T / total
        if self.strategic_share.size:
            factor = self._with_waiting(now, customers, season, path, total)
        return weight * factor[..., c]

    @property
    def _member(self) -> Array:
        """(N, C) whether a product is of a category."""
        return np.eye(len(self.rate))[self.category]

    def _reference_effect(self, now: _Now) -> Array:
        """(B, N) utility from the distance between the reference price and the list price."""
        if not self.gain.size:
            return np.zeros_like(now.price)
        gap = now.reference - now.price if self.linear_reference else np.log(now.reference / now.price)
        return np.where(gap > 0, self.gain, self.loss) * gap

    def _rival_utility(self, now: _Now, season: Array, path: Array) -> Array:
        """(K, R)."""
        own = self.rival_category
        return self.rival_quality - self.rival_sensitivity * now.rival_price * path[own] + season[own]

    def _rival_weight(self, now: _Now, season: Array, path: Array) -> Array:
        """(K, C) weight of the rival offers."""
        return np.exp(self._rival_utility(now, season, path)) @ np.eye(len(self.rate))[self.rival_category]

    def _with_waiting(self, now: _Now, customers: Array, season: Array, path: Array, total: Array) -> Array:
        """(B, K, C) customers over the logit's denominator, where some may wait for the price that they remember."""
        usual = self.quality_path[:, now.period] if self.quality_path.size else 0.0
        later = np.exp(
            self.quality - self.sensitivity * now.reference * path[self.category] + season[self.category] + usual
        )
        held = self.patience[:, None] * ((later * now.there) @ self._member)
        waits, comes = self.strategic_share[:, None], customers.T
        return (1 - waits) * comes / total + waits * comes / (total + held)

    def _cheapest(self, now: _Now, felt: Array, effect: Array, season: Array, path: Array, customers: Array) -> Array:
        """(B, K, N) where the lowest price of a category takes all of a segment who can pay it."""
        out = np.zeros_like(now.paid)
        chance = np.clip(self.quality - self.sensitivity * felt + effect, 0, 1)
        for c in range(len(self.rate)):
            own = np.flatnonzero(self.category == c)
            asked = np.where(now.there[own], now.paid[:, :, own], np.inf)
            rivals = np.broadcast_to(
                now.rival_price[self.rival_category == c], (*asked.shape[:2], (self.rival_category == c).sum())
            )
            offers = np.concatenate([asked, rivals], axis=2)
            wins = offers == offers.min(axis=2, keepdims=True)
            each = customers[c][None, :, None] / wins.sum(axis=2, keepdims=True)
            out[:, :, own] = np.where(wins[..., : len(own)] & now.there[own], each * chance[:, :, own], 0.0)
        return out


@dataclass(frozen=True, eq=False)
class _Now:
    """What customers meet: B rows of prices. paid: (B, K, N); the rest as in `PriceResponse.units`."""

    period: int
    price: Array
    paid: Array
    reference: Array
    shown: NDArray[np.intp] | None
    promoted: Array
    rival_price: Array
    loyalty: Array
    there: NDArray[np.bool_]


def read_response(document: dict[str, Any] | None, catalogue: Catalogue) -> PriceResponse | None:
    """The price response of a document; BundleError, ValueError or TypeError where it is none."""
    if document is None:
        return None
    names = [item.name for item in fields(PriceResponse)]
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
    for name, letters in _SHAPES.items():
        _check_shape(name, arrays, letters, sizes)
    for name, letter in (("category", "C"), ("rival_category", "C"), ("rivals_product", "N")):
        arrays[name] = arrays[name].astype(np.intp)
        if not ((arrays[name] >= 0) & (arrays[name] < sizes[letter])).all():
            raise BundleError(
                f"{RESPONSE}: {name} must hold numbers below {sizes[letter]}; got others; export it again"
            )
    return PriceResponse(family=document["family"], **flags, **arrays)


_OPTIONAL = ("quality_path", "gain", "loss", "promotion", "lift", "strategic_share", "patience")
"""Arrays that are empty where their section is off."""
_SHAPES = {
    "category": "N",
    "quality": "KN",
    "sensitivity": "KN",
    "quality_path": "NT",
    "rate": "CT",
    "season": "CT",
    "path": "CT",
    "share": "CK",
    "gain": "N",
    "loss": "N",
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
