"""A decision tree as a network of matrix products, and as text that a manager can read."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from sklearn.tree import DecisionTreeRegressor, export_text

from ..envs import catalogue_of
from ..pricing import feature_names
from ..pricing.wording import feature_words
from .run import Run


class TreeLayers(torch.nn.Module):
    """A fitted tree as comparisons and one matrix product, which every ONNX runtime has.

    The GEMM strategy of Nakandala et al. (2020), A Tensor Compiler for Unified Machine Learning
    Prediction Serving: a leaf counts the splits on its path that a row takes to the right, less
    those that it should not; the count is highest for the row's own leaf.
    """

    feature: torch.Tensor
    threshold: torch.Tensor
    path: torch.Tensor
    rights: torch.Tensor
    values: torch.Tensor

    def __init__(self, tree: DecisionTreeRegressor) -> None:
        super().__init__()
        nodes: Any = tree.tree_
        split = np.flatnonzero(nodes.children_left >= 0)
        leaves = np.flatnonzero(nodes.children_left < 0)
        path = np.zeros((max(len(split), 1), len(leaves)), np.float32)
        for i, node in enumerate(split):
            path[i, np.isin(leaves, _below(nodes, nodes.children_right[node]))] = 1.0
            path[i, np.isin(leaves, _below(nodes, nodes.children_left[node]))] = -1.0
        # A tree of a single leaf keeps one comparison, which decides nothing.
        split = split if len(split) else np.zeros(1, np.intp)
        threshold = nodes.threshold[split].astype(np.float32)
        # Rounded down, a row lies on the same side as in double precision.
        over = threshold > nodes.threshold[split]
        threshold[over] = np.nextafter(threshold[over], np.float32(-np.inf))
        self.register_buffer("feature", torch.from_numpy(np.maximum(nodes.feature[split], 0)).long())
        self.register_buffer("threshold", torch.from_numpy(threshold))
        self.register_buffer("path", torch.from_numpy(path))
        self.register_buffer("rights", torch.from_numpy((path > 0).sum(axis=0).astype(np.float32)))
        self.register_buffer("values", torch.from_numpy(nodes.value[leaves, :, 0].astype(np.float32)))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """(rows, F) to the values of each row's leaf, (rows, columns)."""
        right = (features.index_select(1, self.feature) > self.threshold).float()
        return torch.nn.functional.embedding((right @ self.path - self.rights).argmax(dim=1), self.values)


def _below(nodes: Any, node: int) -> list[int]:
    """A node and all nodes below it."""
    left, right = nodes.children_left[node], nodes.children_right[node]
    return [node] if left < 0 else [*_below(nodes, left), *_below(nodes, right)]


def rules_text(tree: DecisionTreeRegressor, run: Run) -> str:
    """The tree as indented rules, whose leaves hold decoded prices, discounts and scores.

    Args:
        tree: A tree of the run's raw actions; its values are decoded in place.
    """
    catalogue, layout = catalogue_of(run.spec), run.layout
    alone = run.product_wise or catalogue.num_products == 1
    products = [""] if alone else [f"{name}: " for name in catalogue.products]
    periods = range(run.facts["settings"]["history"] - 1, -1, -1)
    inputs = [
        product + feature_words(name) + (f", {ago} periods ago" if ago else "")
        for ago in periods
        for product in products
        for name in feature_names(catalogue, fixed=run.product_wise)
    ]
    values: Any = tree.tree_.value  # pyright: ignore[reportAttributeAccessIssue]
    parts = layout.decode(values.reshape(len(values), len(products), layout.size))
    decoded = [part.reshape(*values.shape[:1], len(products), -1) for part in parts if part is not None]
    values[...] = np.concatenate(decoded, axis=2).reshape(values.shape)
    columns = [
        product + name.replace("_", " ") + (f" ({segment})" if segment else "")
        for product in products
        for name in layout.names
        for segment in (catalogue.segments if name in ("discount", "recommendation") else [None])
    ]
    text = export_text(tree, feature_names=inputs, decimals=3, max_depth=1000)
    head = "\n".join(f"  {i}. {name}" for i, name in enumerate(columns, 1))
    return (
        f"{run.facts['name']} for {run.spec.name}. The conditions are on what the network sees, mostly logarithms of ratios: 0 means "
        "equal, 0.1\nabout 10% more. The price multiplier is over the base price. A leaf holds, in this order:\n"
        f"{head}\n\n{text}"
    )
