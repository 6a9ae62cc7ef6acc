"""Coefficients of many products around a common mean, by EM: what a product adds, and what all have in common."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np

from .covariates import WEEKDAYS

ITERATIONS = 15
_NOISE_WEIGHT = 5.0
_FIRST_NOISE = 0.1


@dataclass(frozen=True)
class Common:
    """What the coefficients of all products have in common.

    Attributes:
        names: K names of the covariates.
        mean: (K,) mean of the products' coefficients.
        between: (K, K) their covariance between products.
        noise: variance of a week's error in log(1 + units), a mean over products.
        seasonal: whether the histories reach over a year, so that a season is separated from a trend.
        mean_over_median: units sold over units forecast, where the shops have reported it.
    """

    names: tuple[str, ...]
    mean: np.ndarray
    between: np.ndarray
    noise: float = _FIRST_NOISE
    seasonal: bool = False
    mean_over_median: float | None = None

    @classmethod
    def first(cls, names: tuple[str, ...], *, seasonal: bool = False) -> Common:
        """Return where EM begins."""
        return cls(names, np.zeros(len(names)), 0.25 * np.eye(len(names)), seasonal=seasonal)

    def updated(self, sums: np.ndarray) -> Common:
        """Return the M step, from the sums of `ProductEffects.sums` over all products, wherever they are.

        Args:
            sums: (K + K² + 3,) their sum.
        """
        size = len(self.mean)
        products, weeks, unexplained = sums[:3]
        moved = sums[3 : 3 + size] / products
        spread = sums[3 + size :].reshape(size, size) / products - np.outer(moved, moved)
        between = (spread + spread.T) / 2 + 1e-6 * np.eye(size)
        return replace(self, mean=self.mean + moved, between=between, noise=float(unexplained / weeks))

    def restricted_to(self, names: tuple[str, ...]) -> Common:
        """Return what it says of some of its covariates.

        Args:
            names: Names of these covariates.

        Raises:
            ValueError: It says nothing of one, or is of days where these are of weeks.
        """
        missing = {*names} - {*self.names}
        left_out = {*self.names} - {*names}
        # A fit to days has weekdays among its covariates; one to weeks has none.
        if missing or {*WEEKDAYS} & left_out:
            raise ValueError(
                "shared coefficients must be of the period, week or day, in which the sales are fitted, and of this version; "
                f"got {', '.join(self.names)}; join with the same --period, on the same version"
            )
        place = {name: number for number, name in enumerate(self.names)}
        at = [place[name] for name in names]
        return replace(self, names=names, mean=self.mean[at], between=self.between[np.ix_(at, at)])

    def document(self) -> dict[str, Any]:
        """Return it for JSON."""
        lists = {"names": list(self.names), "mean": self.mean.tolist(), "between": self.between.tolist()}
        return self.__dict__ | lists

    @classmethod
    def of(cls, document: dict[str, Any]) -> Common:
        """Read a `document`.

        Raises:
            ValueError: It is none, or holds numbers that make no sense.
        """
        try:
            names = tuple(map(str, document["names"]))
            ratio = document.get("mean_over_median")
            mean, between = (np.array(document[key], dtype=np.float64) for key in ("mean", "between"))
            ratio = None if ratio is None else float(ratio)
            found = cls(names, mean, between, float(document["noise"]), bool(document["seasonal"]), ratio)
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f"shared coefficients must have names, mean, between, noise and seasonal; got {type(error).__name__}: "
                f"{error}; take the file that `repricer federate` wrote"
            ) from error
        size = len(names)
        inside = found.noise >= 0 and (ratio is None or 1 <= ratio <= 2)
        finite = all(np.isfinite(part).all() for part in (mean, between, found.noise))
        shaped = (mean.shape, between.shape) == ((size,), (size, size))
        if not (inside and finite and shaped) or np.linalg.eigvalsh(between).min() <= 0:
            raise ValueError(
                f"shared coefficients must be {size} finite means with a positive definite covariance; got other "
                "numbers; take the file that `repricer federate` wrote"
            )
        return found


class ProductEffects:
    """N products' own part of EM, which needs their weeks only once.

    Args:
        y: (N, T) outcome around each product's mean, 0 where unknown.
        x: (N, T, K) covariates, likewise.
        count: (N,) known weeks.
    """

    def __init__(self, y: np.ndarray, x: np.ndarray, count: np.ndarray) -> None:
        self.count = count
        self._gram = x.mT @ x
        self._moment = (x.mT @ y[..., None])[..., 0]
        self._total = (y * y).sum(axis=1)
        self._unexplained: np.ndarray | None = None
        self.noise = np.full(len(y), _FIRST_NOISE)

    def expect(self, common: Common) -> Self:
        """Take the E step: `coefficients` (N, K) and their `covariance` (N, K, K), given the `noise` (N,)."""
        self._borrow(common)
        precision = np.linalg.inv(common.between)
        self.covariance = np.linalg.inv(self._gram / self.noise[:, None, None] + precision)
        given = self._moment / self.noise[:, None] + precision @ common.mean
        self.coefficients = np.einsum("nkl,nl->nk", self.covariance, given)
        self._unexplained = (
            self._total
            - 2 * (self.coefficients * self._moment).sum(axis=1)
            + np.einsum("nk,nkl,nl->n", self.coefficients, self._gram, self.coefficients)
            + np.einsum("nkl,nlk->n", self.covariance, self._gram)
        )
        return self

    def settle(self, common: Common) -> Self:
        """Take the noise that belongs to the last coefficients."""
        self._borrow(common)
        return self

    def sums(self, common: Common) -> np.ndarray:
        """Return what the M step needs of these products: numbers of them and of their weeks, squares, moments."""
        assert self._unexplained is not None
        moved = self.coefficients - common.mean
        second = moved.T @ moved + self.covariance.sum(axis=0)
        numbers = [len(moved), self.count.sum(), self._unexplained.sum()]
        return np.concatenate([numbers, moved.sum(axis=0), second.ravel()])

    def _borrow(self, common: Common) -> None:
        if self._unexplained is not None:
            # A short series borrows the noise of all.
            borrowed = self._unexplained + _NOISE_WEIGHT * common.noise
            self.noise = borrowed / (self.count + _NOISE_WEIGHT) + 1e-6


def estimate(y: np.ndarray, x: np.ndarray, count: np.ndarray, common: Common | None = None) -> ProductEffects:
    """Return the products at the end of EM, or under what is already known to be common."""
    products = ProductEffects(y, x, count)
    known = common is not None
    common = common or Common.first(("",) * x.shape[2])
    for _ in range(ITERATIONS):
        products.expect(common)
        if not known:
            common = common.updated(products.sums(common))
    return products.settle(common)
