"""Supervised deep pricing: a demand network fitted on a log, and a price network that uses it.

Price p = f(x, y, z, w) and demand d = g(x, y, z, w, p) are networks over the learner's features. f
maximises the money that g predicts for one period, so it ignores how a sale affects later periods.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from stable_baselines3.common.policies import BasePolicy
from torch.nn.functional import relu, softplus

from ...envs import LearnerView
from ...pricing.action_layout import price_multiplier
from ..actor import actor_of
from ..cloning import minimise
from ..logged_data import LoggedData
from ..networks import FeaturesExtractor, normalise_features
from ..settings import Settings

_KNOTS = 8
_LEAST_VARIATION = 0.02
_HELD_OUT = 5  # one in five markets
_OUTSIDE = 10.0


class DemandNetwork(torch.nn.Module):
    """Mean units of a row's P products, given its features and raw prices.

    The log of demand falls in the product's own raw price (its log price) as a concave, piecewise
    linear function, whose slopes are outputs of a network. Exponential, linear and logit demand are
    of this form; constant elasticity is its limit. Prices of other products shift it by constant
    elasticities.
    """

    def __init__(self, learner_view: LearnerView, settings: Settings) -> None:
        super().__init__()
        self.products = 1 if learner_view.product_wise else learner_view.base_price.size
        rnn_size = settings.rnn_size if settings.network == "rnn" else 0
        self.features = FeaturesExtractor(learner_view.observation_space, settings.history, rnn_size)  # pyright: ignore[reportArgumentType]
        widths = (self.features.features_dim, *settings.net_arch)
        layers: list[torch.nn.Module] = []
        for before, after in pairwise(widths):
            layers += [torch.nn.Linear(before, after), torch.nn.ReLU()]
        self.layers = torch.nn.Sequential(*layers, torch.nn.Linear(widths[-1], self.products * (1 + _KNOTS)))
        self.cross = torch.nn.Parameter(torch.zeros(self.products, self.products))
        self.knots: torch.Tensor
        self.register_buffer("knots", torch.linspace(-1, 1, _KNOTS + 1)[:-1])

    def forward(self, features: torch.Tensor, raw: torch.Tensor) -> torch.Tensor:
        """(rows, P) log of mean units.

        Args:
            features: (rows, F).
            raw: (rows, P) raw prices in [-1, 1].
        """
        numbers = self.layers(self.features(features)).reshape(len(raw), self.products, 1 + _KNOTS)
        falls = (softplus(numbers[..., 1:]) * relu(raw[..., None] - self.knots)).sum(dim=-1)
        others = self.cross * (1 - torch.eye(self.products))
        return numbers[..., 0] - falls + raw @ others.T


class LoggedRows(NamedTuple):
    """Rows of a log.

    Attributes:
        features: (rows, F).
        raw: (rows, P) raw prices.
        units: (rows, P) units sold.
        base_price: (rows, P) currency per unit.
        unit_cost: (rows, P) currency per unit.
        low: (rows, P) lowest raw price tried in the log.
        high: (rows, P) highest raw price tried in the log.
    """

    features: torch.Tensor
    raw: torch.Tensor
    units: torch.Tensor
    base_price: torch.Tensor
    unit_cost: torch.Tensor
    low: torch.Tensor
    high: torch.Tensor


def learn_prices(
    policy: BasePolicy, learner_view: LearnerView, log: LoggedData, settings: Settings, seed: int
) -> dict[str, Any]:
    """Set the weights of a deterministic policy to those of the price network.

    Demand is fitted by Poisson likelihood on four fifths of the log's markets (of its periods if it
    has fewer than five markets) and evaluated on the rest. Prices stay between the first and the
    last percentile of those that the log tried for a product. All other columns of an action stay
    at zero.

    Returns:
        Figures of the fit.

    Raises:
        ValueError: The prices in the log hardly vary.
    """
    sales, held_out = _rows_of(log, learner_view)
    demand = DemandNetwork(learner_view, settings)
    if settings.normalise:
        normalise_features(demand, log.features)

    def surprise(s: LoggedRows) -> torch.Tensor:
        return -_likelihood(demand(s.features, s.raw), s.units).mean()

    minimise(surprise, demand.parameters(), _select(sales, ~held_out), settings.clone_epochs, seed)
    demand.requires_grad_(False)
    minimise(
        _shortfall(policy, demand, sales, learner_view), policy.parameters(), sales, settings.clone_epochs, seed + 1
    )
    return _fit_figures(demand, sales, held_out, learner_view)


def _shortfall(
    policy: BasePolicy, demand: DemandNetwork, sales: LoggedRows, learner_view: LearnerView
) -> Callable[[LoggedRows], torch.Tensor]:
    """The loss of the price network: minus predicted money, plus penalties."""
    layers, price, logs = (
        actor_of(policy, learner_view).layers,
        _price_columns(learner_view),
        learner_view.layout.slopes,
    )
    other = torch.from_numpy(np.setdiff1d(np.arange(price.size * learner_view.layout.size), price))
    scale = (sales.units * sales.base_price).sum(dim=1).mean()

    def loss(s: LoggedRows) -> torch.Tensor:
        raw = layers(s.features)
        asked = raw[:, price]
        inside = torch.minimum(torch.maximum(asked, s.low), s.high)
        money = (s.base_price * price_multiplier(inside, *logs) - s.unit_cost) * demand(s.features, inside).exp()
        stays = _OUTSIDE * (asked - inside).square().sum(dim=1).mean() + raw[:, other].square().sum(dim=1).mean()
        return stays - money.sum(dim=1).mean() / scale

    return loss


def _rows_of(log: LoggedData, learner_view: LearnerView) -> tuple[LoggedRows, torch.Tensor]:
    """The rows of the log, and which of them are held out."""
    periods, rows, products = log.units.shape
    raw = log.actions[..., _price_columns(learner_view)]
    by_product = raw.reshape(-1, learner_view.base_price.size)
    variation = float(np.log(price_multiplier(by_product, *learner_view.layout.slopes)).std(axis=0).mean())
    if variation < _LEAST_VARIATION:
        raise ValueError(
            f"the prices of a log must vary by {_LEAST_VARIATION:.0%} or more to identify their effect on demand; got {variation:.1%} "
            f"in the log of {log.source}; log a policy that explores, such as random"
        )
    spec = learner_view.market.scenario
    cost = spec.products.unit_cost if spec.market.objective == "profit" else np.zeros_like(learner_view.base_price)
    low, high = np.quantile(by_product, [0.01, 0.99], axis=0)
    markets = rows // learner_view.rows_per_market

    def spread(facts: NDArray) -> torch.Tensor:
        return torch.from_numpy(np.tile(facts, (periods * markets, 1)).reshape(-1, products).astype(np.float32))

    held_out = np.zeros((periods, markets), dtype=bool)
    if markets >= _HELD_OUT:
        held_out[:, -(markets // _HELD_OUT) :] = True
    else:
        held_out[-max(1, periods // _HELD_OUT) :] = True
    held_out = np.repeat(held_out, learner_view.rows_per_market, axis=1)
    flat = (
        torch.from_numpy(part.reshape(-1, part.shape[-1]).astype(np.float32)) for part in (log.features, raw, log.units)
    )
    return LoggedRows(*flat, *(spread(f) for f in (learner_view.base_price, cost, low, high))), torch.from_numpy(
        held_out.reshape(-1)
    )


def _price_columns(learner_view: LearnerView) -> NDArray[np.intp]:
    """(P,) the raw columns of a row that are prices."""
    return np.arange(1 if learner_view.product_wise else learner_view.base_price.size) * learner_view.layout.size


def _select(sales: LoggedRows, rows: torch.Tensor) -> LoggedRows:
    return LoggedRows(*(part[rows] for part in sales))


def _likelihood(log_mean: torch.Tensor, units: torch.Tensor) -> torch.Tensor:
    """Poisson log likelihood."""
    return units * log_mean - log_mean.exp() - torch.lgamma(units + 1)


def _fit_figures(
    demand: DemandNetwork, sales: LoggedRows, held_out: torch.Tensor, learner_view: LearnerView
) -> dict[str, Any]:
    """Held-out log likelihood per product-period, of the network and of each product's mean."""
    rest, held = _select(sales, ~held_out), _select(sales, held_out)
    products = learner_view.base_price.size
    mean = rest.units.reshape(-1, products).mean(dim=0).clamp(min=1e-6).log()
    found = _likelihood(demand(held.features, held.raw), held.units)
    constant = _likelihood(mean, held.units.reshape(-1, products))
    return {
        "rows": len(sales.units),
        "held_out_log_likelihood": float(found.mean()),
        "held_out_log_likelihood_of_means": float(constant.mean()),
    }
