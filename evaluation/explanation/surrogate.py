"""A small decision tree that imitates a policy, and how closely it does so."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.tree import DecisionTreeRegressor, export_text

from ...envs import Outcome, catalogue_of, rollout, seed_for
from ...pricing import MarketView, Policy, feature_names, product_features
from ...pricing.wording import feature_words
from ...scenarios import MarketSpec, load_scenario
from .demand_curve import for_sale

# The most rows, one per product and period, that a tree is fitted on and tested on.
_ROWS = 200_000
_MOST_MARKETS, _LEAST_MARKETS = 200, 8
# Variance, in squared multiples of the regular price, that is rounding in single precision.
_CONSTANT = 1e-12
# A rule that lowers the variance by less tells prices apart that read the same.
_SAME = 1e-7


@dataclass(frozen=True)
class SurrogateTree:
    """A decision tree for the prices of a policy, as multiples of the products' regular prices.

    Attributes:
        policy: Name of the policy.
        tree: The fitted regressor.
        names: Names of its features, in order.
        fidelity: R² on episodes that it was not fitted on; 1 where it reproduces the policy.
        rows: Number of prices that it was fitted on.

    Example:
        >>> from repricer.evaluation import named_policy, surrogate_tree
        >>> from repricer.scenarios import load_scenario
        >>> spec = load_scenario("stationary-logit")
        >>> surrogate_tree(named_policy("fixed:9", spec), spec).names[:2]
        ['time_left', 'log_periods_left']
    """

    policy: str
    tree: DecisionTreeRegressor
    names: list[str]
    fidelity: float
    rows: int

    @property
    def text(self) -> str:
        """The tree as text, one rule per line."""
        text = export_text(self.tree, feature_names=list(map(feature_words, self.names)), decimals=3)
        return re.sub(r"value: \[(.+?)\]", lambda leaf: f"{float(leaf[1]):.1%} of the regular price", text)

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
    """Fit a decision tree to the prices that a policy charges over its own episodes.

    Bastani, Kim and Bastani (2017), Interpretability via Model Extraction, FAT/ML. The tree uses
    the features of a product (`pricing.feature_names`); it is fitted on the tuning seeds and tested
    on the test seeds. Policies that draw, learn or have a recurrent state can be imitated too;
    variation that the features do not determine lowers the fidelity.

    Args:
        policy: The policy.
        scenario: A market, or the name or path of one.
        max_depth: Levels of the tree.
        seed: Selects the tuning and test seeds.

    Raises:
        ValueError: For less than one level.

    Example:
        >>> from repricer.evaluation import named_policy, surrogate_tree
        >>> from repricer.scenarios import load_scenario
        >>> spec = load_scenario("stationary-logit")
        >>> surrogate_tree(named_policy("fixed:9", spec), spec).fidelity
        1.0
    """
    spec = load_scenario(scenario)
    if max_depth < 1:
        raise ValueError(f"max_depth must be at least 1; got {max_depth}; ask for one level or more")
    features, target = _charged(spec, policy, seed_for("tuning", seed))
    tree = DecisionTreeRegressor(max_depth=max_depth, min_impurity_decrease=_SAME, random_state=0).fit(features, target)
    held_out, actual = _charged(spec, policy, seed_for("test", seed))
    names = feature_names(catalogue_of(spec), fixed=_several(spec))
    return SurrogateTree(policy.name, tree, names, _r_squared(actual, tree.predict(held_out)), len(target))


def _several(spec: MarketSpec) -> bool:
    """Whether there is more than one product: the fixed features then distinguish them."""
    return len(spec.products.names) > 1


def _charged(spec: MarketSpec, policy: Policy, seed: int) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Features (M, F) and price over regular price (M,), of every product in every period in which it can be bought."""
    features: list[NDArray[np.float32]] = []
    prices: list[NDArray[np.float32]] = []

    def note(view: MarketView, outcome: Outcome) -> None:
        there = for_sale(spec, view)
        features.append(product_features(view, fixed=_several(spec))[there])
        prices.append((outcome.list_price / view.catalogue.regular_price)[there])

    affordable = _ROWS // (spec.market.horizon_periods * len(spec.products.names))
    rollout(spec, policy, episodes=int(np.clip(affordable, _LEAST_MARKETS, _MOST_MARKETS)), seed=seed, watch=note)
    return np.concatenate(features), np.concatenate(prices).astype(np.float64)


def _r_squared(actual: NDArray[np.float64], predicted: NDArray[np.float64]) -> float:
    """R²; 1 for a constant policy that the tree reproduces."""
    spread = float(((actual - actual.mean()) ** 2).mean())
    error = float(((actual - predicted) ** 2).mean())
    if spread < _CONSTANT:
        return float(error < _CONSTANT)
    return 1 - error / spread
