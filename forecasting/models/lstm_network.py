"""The network of `Lstm` and its training; the only module of this room that imports torch."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from safetensors.torch import load, save
from torch import Tensor, nn

LEVELS = (0.025, 0.1, 0.25, 0.5, 0.75, 0.9, 0.975)
"""Probabilities of the network's quantiles."""

NORMAL = (-1.95996, -1.28155, -0.67449, 0.0, 0.67449, 1.28155, 1.95996)
"""Quantiles of a standard normal at `LEVELS`, the output of the untrained network."""

_MIDDLE = LEVELS.index(0.5)
# (Q - 1, Q) adds the gaps between quantiles on the way from the median.
_QUANTILES = range(len(LEVELS))
_GAPS = torch.tensor([[float(gap < q) - float(gap < _MIDDLE) for q in _QUANTILES] for gap in _QUANTILES[:-1]])
_LEARNING_RATE = 1e-3
_WEIGHT_DECAY = 0.2
_PRODUCTS_A_STEP = 32
_STEPS_AHEAD_A_ORIGIN = 1


@dataclass(frozen=True)
class Data:
    """Tensors of N products, T weeks and H steps ahead.

    Attributes:
        past: (N, T, F) inputs known at the end of each week.
        x: (N, T, K) covariates of each week.
        centre: (N, T, H) base forecast in logs, by last week seen and step; 0 where there is none.
        spread: (N, T, H) its standard deviation.
        target: (N, T) log(1 + demand).
        valid: (N, T, H) 1 where both the base forecast and the demand of its week are known.
        category: (N,) number of the category.
        weight: (N,) weight in the loss.
    """

    past: Tensor
    x: Tensor
    centre: Tensor
    spread: Tensor
    target: Tensor
    valid: Tensor
    category: Tensor
    weight: Tensor

    @property
    def steps(self) -> int:
        """Steps ahead H."""
        return self.centre.shape[2]

    def weeks_ahead(self) -> Tensor:
        """Index of the week of each origin and step (T, H), clipped to the data."""
        weeks = self.target.shape[1]
        return (torch.arange(weeks)[:, None] + torch.arange(1, self.steps + 1)).clamp(max=weeks - 1)


class _SharedDropout(nn.Dropout):
    """Drops a unit for all weeks of a product (Gal and Ghahramani 2016): far fewer random numbers."""

    def forward(self, input: Tensor) -> Tensor:
        shared = input.new_ones(len(input), *[1] * (input.dim() - 2), input.shape[-1])
        return input * super().forward(shared) if self.training else input


class Network(nn.Module):
    """LSTM over the past, then a small decoder for each week ahead (MQ-RNN: Wen et al. 2017).

    Its output is the quantiles at `LEVELS` of the base forecast's error, in units of the forecast's
    deviation. Each week ahead is decoded separately, from the state at the last week seen and the
    covariates of that week.
    """

    def __init__(self, n_past: int, n_x: int, n_categories: int, *, hidden: int, embedding: int, dropout: float):
        super().__init__()
        self.encoder = nn.LSTM(n_past, hidden, batch_first=True)
        self.embedding = nn.Embedding(n_categories, embedding)
        self.dropout = nn.Dropout(dropout)
        inputs = hidden + n_x + embedding + 2
        hidden_layer = nn.Linear(inputs, 24), nn.Tanh(), _SharedDropout(dropout)
        self.decoder = nn.Sequential(*hidden_layer, nn.Linear(24, len(LEVELS)))
        nn.init.normal_(self.embedding.weight, std=0.05)
        # Training starts from the base forecast with normal errors.
        gaps = torch.tensor(NORMAL).diff()
        start = torch.cat([torch.zeros(1), torch.log(torch.expm1(gaps))])
        last = self.decoder[-1]
        assert isinstance(last, nn.Linear)
        nn.init.zeros_(last.weight)
        last.bias.data = start

    def encode(self, past: Tensor) -> Tensor:
        """States (B, T, hidden) after each week."""
        return self.dropout(self.encoder(past)[0])

    def decode(self, state: Tensor, x: Tensor, category: Tensor, step: Tensor, centre: Tensor) -> Tensor:
        """Quantiles (…, Q) for covariates (…, K); the other arguments have no last axis."""
        known = [state, x, self.embedding(category), (step.log() / 2)[..., None], centre[..., None] / 2 - 1.5]
        out = self.decoder(torch.cat(known, dim=-1))
        return out[..., :1] + nn.functional.softplus(out[..., 1:]) @ _GAPS

    def all_ahead(self, data: Data) -> Tensor:
        """Quantiles from every origin to every step (N, T, H, Q)."""
        index = data.weeks_ahead()
        every = torch.arange(data.steps).expand(index.shape)
        return self._ahead(data, torch.arange(len(data.target)), every)

    def _ahead(self, data: Data, products: Tensor, steps: Tensor) -> Tensor:
        """Quantiles for these products (B,) at the step indices of each origin (T, S): (B, T, S, Q)."""
        weeks = data.weeks_ahead().gather(1, steps)
        shape = (len(products), *steps.shape)
        state = self.encode(data.past[products])[:, :, None].expand(*shape, -1)
        category = data.category[products][:, None, None].expand(shape)
        step = (steps + 1.0).expand(shape)
        origins = torch.arange(len(steps))[:, None]
        centre = data.centre[products][:, origins, steps]
        return self.decode(state, data.x[products][:, weeks], category, step, centre)

    def loss(self, data: Data, products: Tensor, steps: Tensor, valid: Tensor) -> Tensor:
        """Mean pinball loss in logs of the valid rows (N, T, H)."""
        pinball, weight = self._pinball(data, products, steps, valid)
        weight = weight * data.weight[products][:, None, None]
        return (pinball * weight).sum() / weight.sum().clamp(min=1e-9)

    def losses(self, data: Data, products: Tensor, steps: Tensor, valid: Tensor) -> Tensor:
        """Mean loss of each product (B,), which depends on no other product."""
        pinball, weight = self._pinball(data, products, steps, valid)
        return (pinball * weight).sum((1, 2)) / weight.sum((1, 2)).clamp(min=1e-9)

    def _pinball(self, data: Data, products: Tensor, steps: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
        """Pinball losses, and which of them count, both (B, T, S)."""
        quantiles = self._ahead(data, products, steps)
        origins = torch.arange(len(steps))[:, None]
        weeks = data.weeks_ahead().gather(1, steps)
        spread = data.spread[products][:, origins, steps]
        error = data.target[products][:, weeks] - data.centre[products][:, origins, steps]
        short = error[..., None] - quantiles * spread[..., None]
        pinball = short @ torch.tensor(LEVELS) - short.clamp(max=0.0).sum(-1)
        return pinball, valid[products][:, origins, steps]


def train(
    data: Data, valid: Tensor, *, steps: int, seed: int, size: dict[str, Any], start: Network | None = None
) -> Network:
    """Train on the valid rows (N, T, H), with a learning rate that falls to 0 along a cosine.

    Args:
        data: the tensors.
        valid: which rows count.
        steps: training steps.
        seed: seed of the weights and of the choice of rows.
        size: further arguments of `Network`.
        start: network whose weights to start from.
    """
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    network = Network(data.past.shape[2], data.x.shape[2], int(data.category.max()) + 1, **size)
    if start is not None:
        network.load_state_dict(start.state_dict())
    optimiser = torch.optim.AdamW(network.parameters(), lr=_LEARNING_RATE, weight_decay=_WEIGHT_DECAY, fused=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    n_products, weeks = data.target.shape
    for _ in range(steps):
        products = torch.randperm(n_products, generator=generator)[:_PRODUCTS_A_STEP]
        ahead = torch.rand(weeks, data.steps, generator=generator).argsort(dim=1)[:, :_STEPS_AHEAD_A_ORIGIN]
        optimiser.zero_grad()
        network.loss(data, products, ahead, valid).backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        schedule.step()
    return network.eval()


def to_text(networks: Sequence[Network], **others: Tensor) -> str:
    """Weights of the networks, and other tensors, as text (base64 of a safetensors file)."""
    states = enumerate(network.state_dict().items() for network in networks)
    weights = {f"{n}/{name}": value for n, state in states for name, value in state}
    return base64.b64encode(save(weights | others)).decode("ascii")


def from_text(text: str) -> tuple[list[Network], dict[str, Tensor]]:
    """Networks, which are not to be trained further, and other tensors that `to_text` wrote."""
    parts: dict[str, dict[str, Tensor]] = {}
    for key, value in load(base64.b64decode(text)).items():
        number, _, name = key.rpartition("/")
        parts.setdefault(number, {})[name] = value
    others = parts.pop("", {})
    networks = []
    for _, weights in sorted(parts.items(), key=lambda part: int(part[0])):
        n_past, (n_categories, embedding) = weights["encoder.weight_ih_l0"].shape[1], weights["embedding.weight"].shape
        hidden = weights["encoder.weight_hh_l0"].shape[1]
        network = Network(n_past, n_past - 2, n_categories, hidden=hidden, embedding=embedding, dropout=0.0)
        network.load_state_dict(weights)
        networks.append(network.eval())
    return networks, others


def to_tensor(values: np.ndarray) -> Tensor:
    """Convert to single precision, with 0 for NaN."""
    return torch.nan_to_num(torch.tensor(values, dtype=torch.float32))


@contextmanager
def reproducible_torch() -> Iterator[None]:
    """Run torch on one thread, so that a seed gives one network, and leave the caller's random state as it was."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng(devices=[]):
            yield
    finally:
        torch.set_num_threads(threads)
