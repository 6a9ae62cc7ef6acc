"""Attention between substitutes: the row of a product sees those of the other products of its category.

A row alone, as a shared product-wise network reads it, says nothing of what the substitutes have in stock or cost.
"""

from __future__ import annotations

import copy
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

Network = TypeVar("Network", bound=torch.nn.Module)
_APART = -1e9
"""Score of a place that no product takes; its weight rounds to zero."""


class CategoryAttention(torch.nn.Module):
    """Appends to the row of a product what its category tells it: multi-head self-attention (Vaswani et al. 2017,
    Attention Is All You Need, section 3.2).

    Without positions, products are a set: the order of their rows has no effect (Lee et al. 2019, Set Transformer).
    Values are rectified before they are averaged, as the elements of a pooled set are (Zaheer et al. 2017, Deep Sets).

    Args:
        features: F, columns of a row.
        size: Units of all heads together, a multiple of their number.
        heads: Number of heads.
        category: (N,) category of each product.

    Example:
        >>> attention = CategoryAttention(features=3, size=8, heads=2, category=np.array([0, 1, 0]))
        >>> attention(torch.zeros(6, 3)).shape
        torch.Size([6, 11])
    """

    slots: torch.Tensor
    place: torch.Tensor
    apart: torch.Tensor

    def __init__(self, features: int, size: int, heads: int, category: NDArray[np.integer]) -> None:
        super().__init__()
        self.read, self.size, self.heads = torch.nn.Linear(features, 3 * size), size, heads
        self.gain = torch.nn.Parameter(torch.zeros(size))
        self.set_category(category)

    def set_category(self, category: NDArray[np.integer]) -> None:
        """Read the rows of other products from now on; the weights know of none.

        Args:
            category: (N,) category of each product.
        """
        members = [np.flatnonzero(category == c) for c in np.unique(category)]
        widest = max(map(len, members))
        # A category takes as many places as the largest one; those that are left repeat its products.
        slots = np.stack([np.resize(own, widest) for own in members])
        taken = np.arange(widest) < np.array([[len(own)] for own in members])
        place = np.empty(len(category), np.int64)
        place[slots[taken]] = np.flatnonzero(taken)
        apart = np.where(taken, 0.0, _APART).astype(np.float32)[:, None, None]
        # Not weights: a stored network can be read for any assortment.
        for name, array in (("slots", slots.ravel()), ("place", place), ("apart", apart)):
            self.register_buffer(name, torch.from_numpy(array), persistent=False)

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        """From whole markets, (E * N, F) market by market, to (E * N, F + size).

        Args:
            rows: The rows of all products of each market, in the catalogue's order.
        """
        (products,), (categories, _, _, widest) = self.place.shape, self.apart.shape
        seen = self.read(rows).unflatten(0, (-1, products)).index_select(1, self.slots)
        shape = (-1, categories, widest, 3, self.heads, self.size // self.heads)
        query, key, value = seen.reshape(shape).permute(3, 0, 1, 4, 2, 5)
        scores = query @ key.transpose(-1, -2) / query.shape[-1] ** 0.5 + self.apart
        told = (scores.softmax(dim=-1) @ value.relu()).transpose(2, 3)
        told = told.reshape(-1, categories * widest, self.size).index_select(1, self.place)
        return torch.cat([rows, self.gain * told.flatten(0, 1)], dim=1)


def rows_together(network: torch.nn.Module) -> int:
    """How many successive rows a network must be given together: the products of a market, or 1 row that stands alone.

    Args:
        network: Any network.
    """
    return max((part.place.numel() for part in _attentions(network)), default=1)


def for_category(network: Network, category: NDArray[np.integer]) -> Network:
    """The network for the rows of other products: a copy with the same weights, itself where rows stand alone.

    Args:
        network: Any network.
        category: (N,) category of each product.
    """
    if not _attentions(network):
        return network
    network = copy.deepcopy(network)
    for part in _attentions(network):
        part.set_category(category)
    return network


def _attentions(network: torch.nn.Module) -> list[CategoryAttention]:
    return [part for part in network.modules() if isinstance(part, CategoryAttention)]
