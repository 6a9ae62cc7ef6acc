"""What a learner sees of a batch of markets: rows of features in, raw actions out, rewards. All faces share this."""

from __future__ import annotations

from typing import Literal

import numpy as np
from gymnasium.spaces import Box
from numpy.typing import ArrayLike, NDArray

from ..pricing import FEATURE_LIMIT, Action, action_from_parts, product_features
from .market import Market
from .state import Outcome

Reward = Literal["drawn", "expected"]


class Face:
    """One way to look at a batch of E markets.

    product_wise: a row is one product of one market with its own reward (E * N rows); otherwise a row is a market and
    its reward is the whole of it. reward: the drawn money or its expectation given the action (less noise). base_price:
    (N,) what a raw price of zero means, the regular price where left out. reward_scale: multiplies rewards.
    """

    def __init__(
        self,
        market: Market,
        *,
        product_wise: bool = False,
        reward: Reward = "drawn",
        base_price: ArrayLike | None = None,
        reward_scale: float = 1.0,
    ) -> None:
        if reward not in ("drawn", "expected"):
            raise ValueError(f"reward must be 'drawn' or 'expected'; got {reward!r}; choose one of them")
        regular = market.catalogue.regular_price
        self.market, self.product_wise, self.reward, self.reward_scale = market, product_wise, reward, reward_scale
        self.base_price = np.array(regular if base_price is None else base_price, dtype=np.float32)
        if self.base_price.shape != regular.shape:
            raise ValueError(
                f"base_price must have one price a product, shape {regular.shape}; got {self.base_price.shape}; mend it"
            )
        self.layout = market.spec.action_layout(self.base_price)
        columns = 1 if product_wise else regular.size
        features = product_features(market.view).shape[-1]
        self.rows_per_market = regular.size if product_wise else 1
        self.observation_space = Box(-FEATURE_LIMIT, FEATURE_LIMIT, (columns * features,), np.float32)
        self.action_space = Box(-1.0, 1.0, (columns * self.layout.size,), np.float32)

    @property
    def num_rows(self) -> int:
        """Rows of an observation: E, or E * N product-wise."""
        return self.market.num_markets * self.rows_per_market

    def observe(self) -> NDArray[np.float32]:
        """(rows, features) of the present view."""
        return product_features(self.market.view).reshape(self.num_rows, -1)

    def action(self, raw: ArrayLike) -> Action:
        """Raw numbers in [-1, 1], (rows, columns), to an action of E markets; a NaN counts as zero."""
        raw = np.nan_to_num(np.asarray(raw, dtype=np.float32), nan=0.0, posinf=1.0, neginf=-1.0)
        parts = self.layout.decode(raw.reshape(self.market.num_markets, -1, self.layout.size))
        return action_from_parts(parts, self.base_price, self.market.num_markets)

    def step(self, raw: ArrayLike) -> Outcome:
        """One period under raw actions, with the charges that product-wise credit needs."""
        return self.market.step(self.action(raw), credit_price=self.base_price if self.product_wise else None)

    def rewards(self, outcome: Outcome) -> NDArray[np.float32]:
        """(rows,) reward of a period. Product-wise, what a product took from the others is charged to it."""
        money = self.market.money(outcome, expected=self.reward == "expected")
        rows = (money - outcome.charge).reshape(-1) if self.product_wise else money.sum(axis=1)
        return rows * np.float32(self.reward_scale)

    def info(self, outcome: Outcome) -> dict[str, NDArray]:
        """What happened, for `info`: (E, N) arrays in currency or units; `shown` is (E, K) product numbers."""
        kinds = ("list_price", "paid", "units", "lost", "trail", "shown")
        money = ("revenue", "profit", "expected_revenue", "expected_profit")
        return {name: getattr(outcome, name) for name in kinds + money}
