"""Two stages: candidates by taste, then the chance of each purchase from everything known of customer and product."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import csr_array, vstack
from sklearn.ensemble import HistGradientBoostingClassifier
from threadpoolctl import threadpool_limits

from .ease import Ease
from .factorisation import Als
from .pairs import Columns, PairFeatures
from .recommend import Purchases, Recommender, batches

# Trees that learned in one season follow its fashions; the odds times this power of the taste score hold on to taste.
_TASTE_POWER = 0.5
# Below any chance that the trees give.
_FILL = 1e-5
_LARGEST_SAMPLE = 5000
_ROUNDS = {"bought": 150, "new": 150}
_LEAVES = {"bought": 31, "new": 8}
_LEARNING_RATE = 0.06

Pairs = tuple[NDArray[np.intp], NDArray[np.intp], Columns]


class Blend(Recommender):
    """The chance that a customer buys a product in the weeks to come: l(d, profile) of the design.

    Candidates are the products that a customer bought (the `most_bought` recently most frequent ones) and the
    `most_new` best of EASE^R among the others (two stages as in Covington, Adams, Sargin 2016). The chance of each
    comes from gradient-boosted trees, one ensemble for repeated and one for first purchases, on the features of
    `PairFeatures`: own rhythm, taste by EASE^R and by ALS, the product's demand and renewal, category, store, price, and the
    taste of the customer's segment. They learn what happened in the last `target_weeks` of the sales from what was known
    before; the features are then made anew from all sales. A higher demand never lowers a product's score.

    All customers are scored during the fit. Other products follow by popularity.

    Args:
        attributes: canonical products, whose `category` is used; or None.
        segments: customer -> segment, such as `Segmentation.labels_`; or None.
        demand: product -> units per week expected in the weeks to come, such as a forecast's mean; None, or no number,
            takes the mean of the last four weeks, which is also what the trees learn with.
        target_weeks: weeks to predict; the sales must cover three times as many.
        max_products: products of the model, at most: those with the most sale lines, as for EASE^R.
        most_bought: candidates a customer among the products bought.
        most_new: candidates a customer among the others.
        regularisation: of EASE^R.
        min_samples_leaf: pairs in a leaf of the trees.
        seed: of the customers drawn, where there are more than 5,000 to learn from.
    """

    needs: ClassVar[tuple[str, ...]] = ("customer", "product", "date")

    def __init__(
        self,
        attributes: pd.DataFrame | None = None,
        *,
        segments: pd.Series | None = None,
        demand: pd.Series | None = None,
        target_weeks: int = 8,
        max_products: int = 6_000,
        most_bought: int = 300,
        most_new: int = 150,
        regularisation: float = 1000.0,
        min_samples_leaf: int = 300,
        seed: int = 0,
    ):
        self.attributes = attributes
        self.segments = segments
        self.demand = demand
        self.target_weeks = target_weeks
        self.max_products = max_products
        self.most_bought = most_bought
        self.most_new = most_new
        self.regularisation = regularisation
        self.min_samples_leaf = min_samples_leaf
        self.seed = seed

    def _learn(self, history: Purchases) -> None:
        history = history.most_bought(self.max_products)
        self.products_, self.purchases_ = history.products, history.total()
        dates = history.lines["date"]
        weeks = ((dates.max() - dates.min()).days + 1) / 7
        if self.target_weeks < 1 or weeks < 3 * self.target_weeks:
            raise ValueError(
                f"sales must cover 3 times target_weeks (1 or more); got {weeks:.0f} weeks for target_weeks "
                f"{self.target_weeks}; lower it or take Ease"
            )
        # Where other work keeps a core busy, the threads of the trees would wait for each other, many times over.
        with threadpool_limits(1, "openmp"):
            self._trees = self._fit_trees(history, dates.max() - pd.Timedelta(weeks=self.target_weeks))
            features = self._features(history, dates.max(), self.demand)
            customers = np.arange(len(self.customers_))
            parts = [self._chances_of(features, customers[part]) for part in batches(len(customers))]
        self._chances = vstack(parts, format="csr")
        buyers = self.purchases_.count_nonzero(axis=0)
        self._fill = (_FILL * buyers / buyers.max()).astype(np.float32)

    def _fit_trees(self, history: Purchases, cut: pd.Timestamp) -> dict[str, Any]:
        """Learn what happened after `cut`, the last day that the features know of."""
        day_after = cut + pd.Timedelta(days=1)
        earlier = self._features(history.between(None, day_after), cut, None)
        later = history.between(day_after, None).total().sign().astype(bool)
        rows = self._sample(earlier, later)
        return {kind: self._classifier(kind, earlier, later, rows, pick) for kind, pick in self._picks(earlier).items()}

    def _score(self, rows: NDArray[np.intp]) -> NDArray[np.float32]:
        chances = self._chances[rows].toarray()
        return np.where(chances > 0, chances, self._fill)

    def _features(self, history: Purchases, end: pd.Timestamp, demand: pd.Series | None) -> PairFeatures:
        categories = None
        if self.attributes is not None:
            categories = self.attributes.set_index("product")["category"]
        taste = Ease(regularisation=self.regularisation, max_products=self.max_products).fit_history(history)
        second = Als(seed=self.seed).fit_history(history)
        return PairFeatures(history, end, taste, second, categories=categories, segments=self.segments, demand=demand)

    def _picks(self, features: PairFeatures) -> dict[str, Callable[[NDArray[np.intp]], Pairs]]:
        return {
            "bought": lambda rows: features.bought(rows, self.most_bought),
            "new": lambda rows: features.candidates(rows, self.most_new),
        }

    def _sample(self, earlier: PairFeatures, later: csr_array) -> NDArray[np.intp]:
        """Customers to learn from: those who bought on both sides of the cut."""
        both = np.flatnonzero((np.diff(earlier.counts.indptr) > 0) & (np.diff(later.indptr) > 0))
        if not len(both):
            raise ValueError(
                f"sales: no customer bought both in the last {self.target_weeks} weeks and before; take Ease"
            )
        drawn = np.random.default_rng(self.seed).permutation(both)[:_LARGEST_SAMPLE]
        return np.sort(drawn)

    def _classifier(
        self,
        kind: str,
        earlier: PairFeatures,
        later: csr_array,
        rows: NDArray[np.intp],
        pick: Callable[[NDArray[np.intp]], Pairs],
    ) -> Any:
        """Trees fitted on the pairs, or the share of purchases where all or none of the pairs were bought."""
        tables, answers, names = [], [], []
        for part in batches(len(rows)):
            i, p, columns = pick(rows[part])
            tables.append(np.column_stack(list(columns.values())))
            answers.append(later[rows[part]].toarray()[i, p])
            names = list(columns)
        table, answer = np.concatenate(tables), np.concatenate(answers)
        if not 0 < answer.sum() < len(answer):
            return float(np.clip(answer.mean() if len(answer) else 0.0, 0.01, 0.99))
        trees = HistGradientBoostingClassifier(
            learning_rate=_LEARNING_RATE,
            max_iter=_ROUNDS[kind],
            max_leaf_nodes=_LEAVES[kind],
            min_samples_leaf=self.min_samples_leaf,
            l2_regularization=1.0,
            monotonic_cst=[int(name == "demand") for name in names],
            early_stopping=False,  # pyright: ignore[reportArgumentType]
            random_state=self.seed,
        )
        return trees.fit(table, answer)

    def _chances_of(self, features: PairFeatures, rows: NDArray[np.intp]) -> csr_array:
        """Chances of all candidates of some customers: sparse array `rows` x products."""
        chances = np.zeros((len(rows), len(self.products_)), np.float32)
        for kind, pick in self._picks(features).items():
            i, p, columns = pick(rows)
            if len(i):
                odds = _odds(self._trees[kind], columns)
                if kind == "new":
                    odds *= np.maximum(columns["taste_relative"], 1e-3) ** _TASTE_POWER
                chances[i, p] = np.maximum(odds / (1 + odds), 2 * _FILL)
        return csr_array(chances)


def _odds(trees: Any, columns: Columns) -> NDArray[np.float64]:
    if isinstance(trees, float):
        # Nothing to learn from: by taste alone.
        return trees / (1 - trees) * np.exp(np.clip(columns["taste"], -5, 5))
    chance = trees.predict_proba(np.column_stack(list(columns.values())))[:, 1]
    return chance / (1 - chance)
