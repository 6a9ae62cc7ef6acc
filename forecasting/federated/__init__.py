"""One regression, or the mean weights of a policy, over shops that share no rows: they send masked sums, whose masks
cancel in the total.
"""

from __future__ import annotations

from .averages import Averaged, average
from .coordinator import Federated, coordinate
from .messages import FederationError
from .shop import take_part

__all__ = ["Averaged", "Federated", "FederationError", "average", "coordinate", "take_part"]
