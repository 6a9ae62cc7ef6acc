"""Optima in closed form, which the solvers are held to."""

from typing import NamedTuple

import numpy as np
from scipy.special import gammaln, logsumexp


class ClosedForm(NamedTuple):
    """The optimum in continuous time with exponential demand.

    Attributes:
        value: Expected revenue, currency.
        price: Initial price, currency per unit.
        bound: The fluid bound, currency.
    """

    value: float
    price: float
    bound: float


def gallego_van_ryzin(units: int, demand: float, *, scale: float = 1.0) -> ClosedForm:
    """The optimum in continuous time where customers buy with probability exp(-price / scale).

    Gallego and van Ryzin (1994), section 2.3: V(n) = scale * ln(sum of x^i / i! for i <= n), the
    price is V(n) - V(n - 1) + scale, and the fluid bound is scale * x, or n * scale * ln(x e / n)
    where stock is short.

    Args:
        units: n, units on hand, at least 1.
        demand: x, the customers of all the time left over e: the units that the best price sells
            without a stock limit.
        scale: Currency per unit.
    """
    i = np.arange(units + 1)
    terms = i * np.log(demand) - gammaln(i + 1)
    value, without = scale * logsumexp(terms), scale * logsumexp(terms[:-1])
    bound = scale * demand if demand <= units else units * scale * (np.log(demand / units) + 1)
    return ClosedForm(float(value), float(value - without + scale), float(bound))
