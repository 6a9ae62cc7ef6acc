"""A market with known elasticities, whose prices may follow demand, and how well they are found again."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from repricer.forecasting import PriceResponse

MEAN = -2.2


def simulate(
    seed: int,
    *,
    endogenous: bool,
    between: float = 0.4,
    n_products: int = 40,
    n_weeks: int = 104,
    n_categories: int = 4,
    pass_through: float = 1.0,
) -> tuple[pd.DataFrame, pd.Series]:
    """Weekly panel and the true elasticities: MEAN, plus N(0, between²) by category, plus N(0, .4²) by product.

    Prices follow a unit cost that changes in 15% of the weeks, a shop-wide shock of the week and promotions.
    Endogenous prices also rise by 30% of the demand shock of the same product and week, which nobody records; the
    unit cost is in the panel then.
    """
    rng = np.random.default_rng([seed, 7])
    shape = (n_products, n_weeks)
    category = np.arange(n_products) % n_categories
    elasticity = MEAN + rng.normal(0, between, n_categories)[category] + rng.normal(0, 0.4, n_products)
    cost = np.cumsum(rng.normal(0, 0.12, shape) * (rng.random(shape) < 0.15), axis=1)
    shock, week = rng.normal(0, 0.25, shape), rng.normal(0, 0.2, n_weeks)
    promotion = np.where(rng.random(shape) < 0.2, np.log(rng.uniform(0.65, 0.9, shape)), 0.0)
    log_price = rng.normal(1, 0.5, n_products)[:, None] + pass_through * cost + promotion + 0.3 * week
    log_price += 0.3 * shock * endogenous
    log_units = rng.normal(5, 1, n_products)[:, None] + week + elasticity[:, None] * (log_price - 1) + shock
    names = [f"p{number:03d}" for number in range(n_products)]
    columns = {
        "product": np.repeat(names, n_weeks),
        "week": np.tile(pd.date_range("2022-01-03", periods=n_weeks, freq="7D"), n_products),
        "category": np.repeat([f"c{number}" for number in category], n_weeks),
        "units": np.exp(log_units).ravel(),
        "price": np.exp(log_price).ravel(),
        "traffic": 1000.0,
    }
    if endogenous:
        columns["unit_cost"] = 0.6 * np.exp(1 + cost).ravel()
    return pd.DataFrame(columns), pd.Series(elasticity, index=names)


@dataclass(frozen=True)
class Recovery:
    """Relative biases and coverages of nominal 95% intervals over many simulated shops.

    `bias`, `coverage`: of `raw`, `shrunk` and `pooled`. `least_squares_bias`: of the pooled coefficient without instruments.
    """

    bias: dict[str, float]
    coverage: dict[str, float]
    least_squares_bias: float
    count: int


def recover(seeds: range, *, endogenous: bool, between: float = 0.4) -> Recovery:
    """Simulate and estimate once a seed. The pooled truth is MEAN, which the products' elasticities are drawn around."""
    tables, pooled, plain = [], [], []
    for seed in seeds:
        panel, truth = simulate(seed, endogenous=endogenous, between=between)
        model = PriceResponse().fit(panel)
        tables.append(model.elasticity_.set_index("product").assign(truth=truth))
        pooled.append((model.pooled_.coefficient, model.pooled_.se))
        plain.append(model.identification_.fixed_effects.coefficient)
    table, (coefficient, se) = pd.concat(tables), np.array(pooled).T
    error = {name: table[name] - table["truth"] for name in ("raw", "shrunk")}
    coverage = {name: _inside(values, table[f"{name}_se"]) for name, values in error.items()}
    return Recovery(
        bias={name: float(values.mean() / MEAN) for name, values in error.items()}
        | {"pooled": coefficient.mean() / MEAN - 1},
        coverage=coverage | {"pooled": _inside(pd.Series(coefficient - MEAN), pd.Series(se))},
        least_squares_bias=float(np.mean(plain) / MEAN - 1),
        count=len(table),
    )


def _inside(error: pd.Series, se: pd.Series) -> float:
    known = error.notna()
    return float((error[known].abs() < 1.96 * se[known]).mean())
