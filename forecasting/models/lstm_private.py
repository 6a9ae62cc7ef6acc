"""Training of `Lstm`'s network under differential privacy: noisy sums of the products' cut gradients (DP-SGD)."""

from __future__ import annotations

import warnings
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from .lstm_network import Data, Network

_LEARNING_RATE = 1e-3
_LONGEST_GRADIENT = 1.0
# Orders of Renyi divergence: the best one is far above the usual ones where epsilon and delta are small.
_ORDERS = np.geomspace(1.01, 1e4, 300).tolist()
# Every step takes every product: with few of them, samples would cost as much as the noise that they save.
_SHARE_A_STEP = 1.0


class PrivateTraining(NamedTuple):
    """A network, and what its weights may tell.

    Attributes:
        network: The trained network.
        epsilon: What was spent, by the accountant.
        noise_multiplier: Deviation of the noise in units of the longest gradient.
    """

    network: Network
    epsilon: float
    noise_multiplier: float


def train_private(
    data: Data, valid: Tensor, *, epsilon: float, delta: float, steps: int, seed: int, size: dict[str, Any]
) -> PrivateTraining:
    """DP-SGD (Abadi et al. 2016) by Opacus: the weights hardly depend on any one product's history.

    The noise comes from torch's generator, so that a seed gives one
    network; who knows the seed can take the noise away.

    Args:
        valid: which rows (N, T, H) count.
        epsilon: what all steps together may cost.
        delta: probability with which epsilon may fail to hold.
        seed: seed of weights, sampling and noise.
        size: further arguments of `Network`.

    Raises:
        ValueError: epsilon is not a number above 0.
    """
    if not 0 < epsilon < float("inf"):
        raise ValueError(f"epsilon of a network must be a number above 0; got {epsilon:g}; write 4")
    from opacus import GradSampleModule
    from opacus.accountants import RDPAccountant
    from opacus.accountants.utils import get_noise_multiplier
    from opacus.layers import DPLSTM
    from opacus.optimizers import DPOptimizer

    torch.manual_seed(seed)
    network = Network(data.past.shape[2], data.x.shape[2], int(data.category.max()) + 1, **size)
    encoder = DPLSTM(network.encoder.input_size, network.encoder.hidden_size, batch_first=True)
    encoder.load_state_dict(network.encoder.state_dict())
    plain, network.encoder = network.encoder, encoder  # pyright: ignore[reportAttributeAccessIssue]
    noise = get_noise_multiplier(
        target_epsilon=epsilon,
        target_delta=delta,
        sample_rate=_SHARE_A_STEP,
        steps=steps,
        accountant="rdp",
        epsilon_tolerance=epsilon / 100,
        alphas=_ORDERS,
    )
    accountant = RDPAccountant()
    # Its hooks give the gradient of each product; the loss is called on the network itself.
    hooked = GradSampleModule(network, batch_first=True, loss_reduction="sum")
    optimiser = DPOptimizer(
        torch.optim.Adam(network.parameters(), lr=_LEARNING_RATE),
        noise_multiplier=noise,
        max_grad_norm=_LONGEST_GRADIENT,
        expected_batch_size=len(data.target),
    )
    optimiser.attach_step_hook(accountant.get_optimizer_hook_fn(sample_rate=_SHARE_A_STEP))
    with warnings.catch_warnings():
        # The inputs need no gradient, as in any training.
        warnings.filterwarnings("ignore", "Full backward hook is firing")
        for _ in range(steps):
            # Each product counts by its own mean loss, at one random step ahead for each origin.
            ahead = torch.rand(data.target.shape[1], data.steps).argsort(dim=1)[:, :1]
            optimiser.zero_grad()
            network.losses(data, torch.arange(len(data.target)), ahead, valid).sum().backward()
            optimiser.step()
    hooked.remove_hooks()
    plain.load_state_dict(encoder.state_dict())
    network.encoder = plain
    return PrivateTraining(network.eval(), float(accountant.get_epsilon(delta, alphas=_ORDERS)), float(noise))
