"""Several kinds of promotions as one covariate: each weighed by what it sold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from ...data.panel.promotion_kinds import PROMOTION, column_of, kinds_in
from .partial_means import noise_variance, without_means

# Mean and standard deviation of a kind's effect in all stores, in log units, before sales are seen; of log prices.
_EFFECT = 0.3
_EFFECT_SPREAD = 0.5
_ELASTICITY = -2.3
_ELASTICITY_SPREAD = 2.0


def with_promotion_index(panel: pd.DataFrame) -> pd.DataFrame:
    """A panel with the weighed sum of its kinds of promotions as `promotion`; without kinds as it is.

    Args:
        panel: As `repricer.data.product_weeks` returns it.

    Example:
        >>> from repricer.forecasting import example_panel
        >>> panel = example_panel()
        >>> with_promotion_index(panel) is panel
        True
    """
    return PromotionIndex.of(panel).applied(panel)


@dataclass(frozen=True)
class PromotionIndex:
    """Weights of the kinds of promotions, relative to that of the strongest.

    Attributes:
        weights: The weight of each kind, in [0, 1]; none where a panel tells no kinds apart.

    Example:
        >>> rows = pd.DataFrame({"promotion": [1.0, 1.0], "promotion: display": [1.0, 0.0], "promotion: mailer": [0.0, 1.0]})
        >>> PromotionIndex({"display": 1.0, "mailer": 0.25}).applied(rows)["promotion"].tolist()
        [1.0, 0.25]
    """

    weights: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def of(cls, history: pd.DataFrame) -> PromotionIndex:
        """The weights by a regression of log units on the log price and the kinds, with product and week effects.

        Coefficients are shrunk towards one value for all kinds; one below 0 has no weight.

        Args:
            history: A panel, as `repricer.data.product_weeks` returns it.
        """
        kinds = kinds_in(history)
        if not kinds:
            return cls()
        known = (history["units"] > 0) & (history["price"] > 0)
        if "stockout" in history:
            known &= ~history["stockout"].fillna(False).astype(bool)
        rows = history[known]
        shares = [rows[column_of(kind)].fillna(0.0).to_numpy(float) for kind in kinds]
        y, price = (np.log(rows[name].to_numpy(float)) for name in ("units", "price"))
        effects = [pd.factorize(rows[name])[0] for name in ("product", "week")]
        several = len(rows["product"].unique()) > 1
        left = without_means(np.column_stack([y, price, *shares]), effects[: 1 + several])
        mean = np.array([_ELASTICITY, *[_EFFECT] * len(kinds)])
        spread = np.array([_ELASTICITY_SPREAD, *[_EFFECT_SPREAD] * len(kinds)])
        x = left[:, 1:]
        y = left[:, 0]
        prior = noise_variance(y, x) / spread**2
        coefficients = np.linalg.solve(x.T @ x + np.diag(prior), x.T @ y + prior * mean)
        effect = np.maximum(coefficients[1:], 0.0)
        weight = effect / effect.max() if effect.any() else np.ones(len(kinds))
        return cls(dict(zip(kinds, weight.tolist(), strict=True)))

    def applied(self, rows: pd.DataFrame) -> pd.DataFrame:
        """The rows with the weighed sum of the kinds as `promotion`; as they are where they, or the weights, tell none apart.

        Args:
            rows: Rows of a panel, past or to come.
        """
        found = [(weight, rows[column]) for kind, weight in self.weights.items() if (column := column_of(kind)) in rows]
        if not found:
            return rows
        return rows.assign(**{PROMOTION: sum(weight * share.fillna(0.0) for weight, share in found)})
