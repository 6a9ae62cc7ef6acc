"""Synthetic categories with known parameters."""

import numpy as np
import pandas as pd
import torch
from repricer.fitting.demand import (
    CategoryData,
    CategoryModel,
    CategoryPosterior,
    FittedDemand,
    LastingResponse,
    Priors,
    RememberedPrice,
    SalesGrids,
)


def prices(generator, weeks: int, products: int) -> np.ndarray:
    """(W, J) prices over the regular price: one in five is reduced by 8 to 35%."""
    reduced = generator.random((weeks, products)) < 0.2
    return np.where(reduced, 1 - generator.uniform(0.08, 0.35, (weeks, products)), 1.0)


def drawn_category(
    seed: int, weeks: int = 92, products: int = 6, shock: float = 0.0
) -> tuple[CategoryData, np.ndarray]:
    """A category whose parameters are drawn from the prior, and those parameters."""
    generator, priors = np.random.default_rng(seed), Priors()
    price = prices(generator, weeks, products)[None]
    units = np.exp(generator.normal(3.0, 0.6, products))
    model = CategoryModel(CategoryData(np.broadcast_to(units, price.shape), price), priors)
    theta = generator.normal(model.layout.mean, model.layout.spread)
    theta[model.layout.level] = np.log(units)
    mean = np.exp(model.log_mean(torch.as_tensor(theta)).numpy() + shock * generator.standard_normal((weeks, 1)))
    sold = generator.poisson(mean * generator.gamma(1 / 0.08, 0.08, mean.shape)).astype(float)
    return CategoryData(sold, price), theta


def shares_within(bought, share, target, rounds=200):
    """(K, J) products' shares of each segment's purchases, fitted to the products' total shares."""
    within = bought / bought.sum(axis=1, keepdims=True)
    for _ in range(rounds):
        within = within * target / (share @ within)
        within /= within.sum(axis=1, keepdims=True)
    return within


def certain(data: CategoryData, elasticity, outside: float, effects: list, draws: int) -> CategoryPosterior:
    """The posterior of a category whose draws all are these parameters."""
    model = CategoryModel(data, Priors())
    theta, at = model.layout.mean.copy(), model.layout
    theta[at.product] = np.log(-elasticity) - theta[at.category]
    theta[at.outside] = np.log(outside / (1 - outside))
    theta[at.effects] = effects
    return CategoryPosterior(
        model=model,
        mode=theta,
        draws=np.tile(theta, (draws, 1)),
        alpha=np.ones(len(elasticity)),
        shock=np.zeros(4),
        shock_spread=0.0,
        log_evidence=0.0,
        converged=True,
    )


def four_weeks(units: np.ndarray, effects: int, **segments: np.ndarray) -> CategoryData:
    """Four weeks of these units a week at regular prices, with further effects that never show."""
    flat = np.ones((1, 4, len(units)))
    return CategoryData(
        units=flat * units,
        price=flat,
        week_features=np.zeros((4, 3)),
        feature_spread=np.ones(3),
        effects=np.zeros((effects, *flat.shape)),
        effect_mean=np.zeros(effects),
        effect_spread=np.ones(effects),
        **segments,
    )


def known_demand(
    products: pd.DataFrame,
    units,
    regular,
    elasticity,
    outside,
    *,
    effects=None,
    segments=None,
    draws=3,
    deals=None,
    memory=0.7,
):
    """`FittedDemand` whose draws all are these parameters. segments: ((K, N) purchases, (K,) response); deals: what a
    price below the remembered one adds to utility and to units, and one above takes from units.
    """
    category, names = pd.factorize(products["category"])
    effects, posteriors, shares = effects or {}, [], []
    for c in range(len(names)):
        here = np.flatnonzero(category == c)
        bought, response = (
            (np.ones((1, len(here))), np.ones(1)) if segments is None else (segments[0][:, here], segments[1])
        )
        share = bought.sum(axis=1) / bought.sum()
        within = shares_within(bought, share, np.asarray(units)[here] / np.asarray(units)[here].sum())
        data = four_weeks(
            np.asarray(units)[here],
            len(effects),
            segment_share=share,
            segment_response=response / (response @ share),
            within=within,
        )
        posteriors.append(certain(data, np.asarray(elasticity)[here], outside[c], list(effects.values()), draws))
        shares.append(share)
    return FittedDemand(
        products=tuple(products["product"]),
        category=category.astype(np.intp),
        names=tuple(names),
        regular_price=np.asarray(regular, float),
        segment_share=np.array(shares),
        effects=tuple(effects),
        weeks=pd.date_range("2017-01-02", periods=4, freq="7D"),
        posteriors=tuple(posteriors),
        likeliest=tuple(posteriors),
        candidates={"one response": (1.0, 1.0)},
        lasting=(LastingResponse(),) * len(names),
        remembered=None if deals is None else RememberedPrice(memory),
        deals=np.tile(np.array(deals or (0.0, 0.0, 0.0))[:, None], (draws, 1, len(products))),
        first_stage_f=np.full(len(names), np.nan),
        suspects=(),
        suspected=np.zeros((draws, len(names), 0)),
    )


def grids_of(units: np.ndarray, price: np.ndarray, regular: np.ndarray, **more) -> SalesGrids:
    """(G, W, N) units and prices as `SalesGrids`."""
    values = {"promotions": {}, "unit_cost": None, "holiday": None} | more
    return SalesGrids(
        weeks=pd.date_range("2016-01-04", periods=units.shape[1], freq="7D"),
        units=units,
        price=price,
        regular=np.broadcast_to(regular, price.shape),
        sold_out=np.zeros(units.shape, bool),
        stores=tuple(str(g) for g in range(len(units))),
        **values,
    )
