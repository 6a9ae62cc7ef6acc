"""A whole policy as one small decision tree, and how much of the policy that tree is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.tree import DecisionTreeRegressor, export_text

from ...envs import Outcome, catalogue_of, rollout, seed_for
from ...pricing import MarketView, Policy, feature_names, product_features
from ...scenarios import MarketSpec, load_scenario
from .demand_curve import for_sale

# Rows of a product in a period that a tree is fitted to, and held against, at most.
_ROWS = 200_000
_MOST_MARKETS, _LEAST_MARKETS = 200, 8
# Squared multiples of the regular price that are rounding in single precision.
_CONSTANT = 1e-12


@dataclass(frozen=True)
class SurrogateTree:
    """A tree that says what a policy charges, as a multiple of the product's regular price.

    tree: the fitted regressor on the features of `names`, in this order. fidelity: R² on markets that it was not fitted to;
    1 is the policy itself. rows: prices that it was fitted to.
    """

    policy: str
    tree: DecisionTreeRegressor
    names: list[str]
    fidelity: float
    rows: int

    @property
    def text(self) -> str:
        """The tree as text, a line a rule."""
        return export_text(self.tree, feature_names=self.names, decimals=3)

    def to_dict(self) -> dict[str, Any]:
        """As `explain --tree --json` prints it."""
        weight = dict(zip(self.names, self.tree.feature_importances_.tolist(), strict=True))
        return {
            "policy": self.policy,
            "fidelity": self.fidelity,
            "rows": self.rows,
            "depth": int(self.tree.get_depth()),
            "leaves": int(self.tree.get_n_leaves()),
            "importance": {
                name: share for name, share in sorted(weight.items(), key=lambda item: -item[1]) if share > 0
            },
            "tree": self.text,
        }


def surrogate_tree(policy: Policy, scenario: MarketSpec | str, *, max_depth: int = 4, seed: int = 0) -> SurrogateTree:
    """Fit a decision tree to the prices that a policy charges over its own episodes (Bastani, Kim and Bastani 2017,
    Interpretability via Model Extraction, FAT/ML).

    It sees what a network sees of a product (`pricing.feature_names`), and is fitted on the tuning markets and held against the
    policy on the judging ones. Policies that draw, learn or look back have a tree, too; what the view does not fix lowers the
    fidelity.
    """
    spec = load_scenario(scenario)
    if max_depth < 1:
        raise ValueError(f"max_depth must be at least 1; got {max_depth}; ask for one level or more")
    features, target = _charged(spec, policy, seed_for("tuning", seed))
    tree = DecisionTreeRegressor(max_depth=max_depth, random_state=0).fit(features, target)
    held_out, truth = _charged(spec, policy, seed_for("test", seed))
    names = feature_names(catalogue_of(spec), fixed=_several(spec))
    return SurrogateTree(policy.name, tree, names, _r_squared(truth, tree.predict(held_out)), len(target))


def _several(spec: MarketSpec) -> bool:
    """Whether there is more than one product: what never changes then tells them apart."""
    return len(spec.products.names) > 1


def _charged(spec: MarketSpec, policy: Policy, seed: int) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Features (M, F) and the price charged over the regular price (M,), of every product in every period in which it can be bought."""
    features: list[NDArray[np.float32]] = []
    prices: list[NDArray[np.float32]] = []

    def note(view: MarketView, outcome: Outcome) -> None:
        there = for_sale(spec, view)
        features.append(product_features(view, fixed=_several(spec))[there])
        prices.append((outcome.list_price / view.catalogue.regular_price)[there])

    affordable = _ROWS // (spec.market.horizon_periods * len(spec.products.names))
    rollout(spec, policy, episodes=int(np.clip(affordable, _LEAST_MARKETS, _MOST_MARKETS)), seed=seed, watch=note)
    return np.concatenate(features), np.concatenate(prices).astype(np.float64)


def _r_squared(truth: NDArray[np.float64], said: NDArray[np.float64]) -> float:
    """1 where the policy is a constant that the tree knows."""
    spread = float(((truth - truth.mean()) ** 2).mean())
    error = float(((truth - said) ** 2).mean())
    if spread < _CONSTANT:
        return float(error < _CONSTANT)
    return 1 - error / spread
