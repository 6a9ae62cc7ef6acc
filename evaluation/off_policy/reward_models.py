"""The models of off-policy evaluation: the response to prices, and the value of states under a policy."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import LogisticRegression, PoissonRegressor

from ...pricing import product_features
from .price_log import Array, PriceLog

FOLDS = 5
# Very little shrinkage: the columns are standardised.
_PENALTY = 1e-4
_TREES = 30
# Small leaves: a log holds few decisions at each price, and an average over neighbouring prices is
# biased.
_LEAF = 5


def folds_of(market: NDArray[np.int64], count: int) -> NDArray[np.intp]:
    """(D,) fold of each decision; all periods of a market are in one fold."""
    return np.unique(market, return_inverse=True)[1] % count


def predicted_money(log: PriceLog, *asked: Array) -> list[Array]:
    """Expected money (D, N) of every decision at each array of prices (D, N), by a model not fitted
    on its market.

    For each product, a generalised linear model of units given the features and the prices of its
    category, with an intercept and slopes by regime: logit where a decision sells at most one unit,
    else Poisson.
    """
    folds, cost = folds_of(log.market, FOLDS), 0.0
    if log.spec.market.objective == "profit" and log.spec.stock.cost_due == "sold":
        cost = log.spec.products.unit_cost
    units = [np.empty(price.shape) for price in asked]
    for n in range(log.price.shape[1]):
        own = np.flatnonzero(log.spec.category_index == log.spec.category_index[n])
        logged, *rows = (_rows(log, own, price) for price in (log.price, *asked))
        for fold in np.unique(folds):
            held_out = folds == fold
            seen = ~held_out if held_out.sum() < len(log) else held_out
            predicted = _response(logged[seen], log.units[seen, n], [row[held_out] for row in rows])
            for out, mean in zip(units, predicted, strict=True):
                out[held_out, n] = np.minimum(mean, np.maximum(log.view.on_hand[held_out, n], 0))
    return [(price - cost) * out for price, out in zip(asked, units, strict=True)]


def _rows(log: PriceLog, own: NDArray[np.intp], price: Array) -> Array:
    """(D, F) columns: features of the category's products and their prices over the regular prices, also by regime."""
    relative = price[:, own] / log.spec.products.regular_price[own]
    features = product_features(log.view)[:, own].reshape(len(price), -1)
    parts = [features, relative]
    if log.view.regime is not None:
        regime = np.eye(len(log.view.catalogue.regimes))[log.view.regime]
        parts.append((regime[:, :, None] * relative[:, None, :]).reshape(len(price), -1))
    return np.concatenate(parts, axis=1, dtype=np.float64)


def _response(rows: Array, units: Array, asked: list[Array]) -> list[Array]:
    """Mean units at each set of rows `asked`, fitted on rows and units."""
    if (units == units[0]).all():
        return [np.full(len(other), float(units[0])) for other in asked]
    centre, spread = rows.mean(axis=0), rows.std(axis=0)
    moves = spread > 1e-9
    rows, *asked = ((x[:, moves] - centre[moves]) / spread[moves] for x in (rows, *asked))
    if units.max() <= 1:
        logit = LogisticRegression(C=1 / (_PENALTY * len(rows)), solver="newton-cholesky").fit(rows, units > 0)
        return [logit.predict_proba(other)[:, 1] for other in asked]
    model = PoissonRegressor(alpha=_PENALTY, solver="newton-cholesky").fit(rows, np.maximum(units, 0))
    # Far from the data the exponential of a linear predictor is unbounded.
    return [np.minimum(model.predict(other), units.max()) for other in asked]


def state_values(log: PriceLog, target: Array) -> tuple[Array, Array]:
    """Money from each decision of whole episodes to the end, at the logged prices and then the target's, and under the
    target from the start: (E, T, C) each, discounted to the decision's period.

    Backwards, period by period and by category, a random forest is fitted to the money of a decision plus the value of
    the next state under the target. It predicts only markets that it was not fitted on.

    Args:
        log: E markets with a decision in each of T periods.
        target: (D, N) prices of the policy, currency per unit.
    """
    spec = log.spec
    periods = int(spec.market.horizon_periods)
    shape = (len(log) // periods, periods)
    fold = folds_of(log.market, FOLDS).reshape(shape)[:, 0]
    at_logged, at_target = (np.empty((*shape, len(spec.category_names))) for _ in range(2))
    for c in range(len(spec.category_names)):
        own = np.flatnonzero(spec.category_index == c)
        logged, asked = (_rows(log, own, prices).reshape(*shape, -1) for prices in (log.price, target))
        money = log.money[:, own].sum(axis=1).reshape(shape)
        for each in np.unique(fold):
            held_out = fold == each
            seen = ~held_out if not held_out.all() else held_out
            later = np.zeros(len(fold))
            for t in reversed(range(periods)):
                value = money[:, t] + spec.market.discount_factor * later
                now, later = _forest(logged[seen, t], value[seen], [logged[:, t], asked[:, t]])
                at_logged[held_out, t, c], at_target[held_out, t, c] = now[held_out], later[held_out]
    return at_logged, at_target


def _forest(rows: Array, money: Array, asked: list[Array]) -> list[Array]:
    """Mean money at each of the sets of rows `asked`, fitted on rows and money."""
    moves = rows.std(axis=0) > 1e-9
    if not moves.any():
        return [np.full(len(other), money.mean()) for other in asked]
    forest = RandomForestRegressor(_TREES, min_samples_leaf=_LEAF, random_state=0).fit(rows[:, moves], money)
    return [forest.predict(other[:, moves]) for other in asked]
