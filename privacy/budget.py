"""One epsilon for all that a fit releases: how it is split, what pays for it, and what an attacker can learn at most."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from .ledger import PrivacyLedger, Query
from .noise import most_advantage, noise_of_sums

COUNTS = "counts"
FIGURES = "figures"
UNITS = "units"
NETWORK = "network"
RELEASES = {
    COUNTS: "customers by spend and reductions",
    FIGURES: "customers, spend and response of segments",
    UNITS: "units of segments by product",
    NETWORK: "network of the forecaster",
}
"""All that a fit releases under privacy. The first three protect a customer, the last a product."""
SHARES = {COUNTS: 0.2, FIGURES: 0.27, UNITS: 0.18, NETWORK: 0.35}
"""How an epsilon is split where nothing else is asked for."""
# As unlikely as to guess a key of 64 bits; the releases share it alike.
DELTA = 2.0**-64


class Privacy(NamedTuple):
    """What a fit may tell of any one customer, or product.

    Attributes:
        epsilon: How much more likely, as a log, all that is published together may become by one customer's history.
        ledger: The budget that pays for it.
        shares: What each release has of epsilon, by its name in `RELEASES`, in proportion; those not named have their
            usual one. A fit pays only for what it releases.

    Example:
        >>> privacy = Privacy(2.0, ledger, {"network": 0.0})  # doctest: +SKIP
        >>> sum(privacy.query(name).epsilon for name in ("counts", "figures", "units"))  # doctest: +SKIP
        2.0
    """

    epsilon: float
    ledger: PrivacyLedger
    shares: Mapping[str, float] = SHARES

    def query(self, release: str) -> Query:
        """What one release costs.

        Args:
            release: Its name in `RELEASES`.

        Raises:
            ValueError: Nothing is left for it.
        """
        shares = SHARES | dict(self.shares)
        if not shares[release] > 0:
            must = f"the share of {release} must be above 0, as this fit releases it"
            raise ValueError(f"{must}; got {shares[release]:g}; raise it")
        return Query(RELEASES[release], self.epsilon * shares[release] / sum(shares.values()), DELTA / len(RELEASES))

    def noise(self, release: str) -> float:
        """Standard deviation of a release's noise, where one customer, or product, moves it by 1 at most."""
        query = self.query(release)
        return noise_of_sums(query.epsilon, query.delta)

    def pay(self, *, customers: bool, network: bool) -> None:
        """Pay for all that a fit is about to release.

        Args:
            customers: Whether the sales name customers.
            network: Whether the forecaster trains a network.

        Raises:
            PrivacyError: The budget does not pay for it.
            ValueError: epsilon or a share is out of range, or there is nothing to protect.
        """
        if not 0 < self.epsilon < float("inf"):
            raise ValueError(f"epsilon must be a number above 0; got {self.epsilon:g}; write 1")
        unknown = ", ".join(sorted({*self.shares} - {*RELEASES}))
        if unknown or not all(0 <= share < float("inf") for share in self.shares.values()):
            must = f"shares of epsilon must be numbers from 0 on, for {', '.join(RELEASES)}"
            raise ValueError(f"{must}; got {unknown or self.shares}; write, for example, network=0.1")
        if not customers and not network:
            raise ValueError(
                "epsilon protects customers, and the weights of a network; got sales that name no customer, and a "
                "forecaster without network; fit without epsilon"
            )
        self.ledger.spend([self.query(name) for name in released(customers=customers, network=network)])

    def report(self, *, customers: bool, network: bool, trained: Mapping[str, Any] | None) -> dict[str, Any]:
        """What a fit has paid and released, for its report.

        Args:
            customers: As for `pay`.
            network: As for `pay`.
            trained: `Lstm.privacy_` of the network in use, None without one.
        """
        names = released(customers=customers, network=network)
        queries = [self.query(name) for name in names]
        advantage = {}
        if customers:
            advantage["customer"] = most_advantage([self.noise(name) for name in names if name != NETWORK])
        if trained is not None:
            # All steps of the training release as much as one sum with this much noise.
            noise = trained["noise_multiplier"] / trained["steps"] ** 0.5
            advantage["product"] = most_advantage([noise])
        facts = {
            "epsilon": sum(query.epsilon for query in queries),
            "delta": sum(query.delta for query in queries),
            "queries": [query._asdict() for query in queries],
            "unit": "one customer's whole history; for the network, one product's",
            "most_advantage": advantage,
        }
        return facts if trained is None else facts | {"network": dict(trained)}


def released(*, customers: bool, network: bool) -> list[str]:
    """The releases of a fit; arguments as of `Privacy.pay`."""
    return [name for name in RELEASES if (network if name == NETWORK else customers)]
