from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from repricer.benchmarks import pretraining
from repricer.benchmarks.pretraining import AHEAD, Series, augmented, network_data
from repricer.forecasting.models.lstm_network import Network

HISTORY = 10


@pytest.fixture
def series() -> Series:
    generator = np.random.default_rng(0)
    shape = (6, HISTORY + AHEAD)
    seen = (np.arange(shape[1]) >= np.arange(6)[:, None]).astype(float)
    target = generator.uniform(0, 3, shape) * seen
    return Series(target, seen, generator.normal(size=(*shape, 2)), np.arange(6) % 2)


def test_nothing_that_comes_later_is_read_or_learned_from(series: Series) -> None:
    other = series.target.copy()
    other[:, HISTORY:] += 1.0
    data, changed = (network_data(each, HISTORY) for each in (series, replace(series, target=other)))
    torch.testing.assert_close(data.past[:, :HISTORY], changed.past[:, :HISTORY])
    torch.testing.assert_close(data.centre[:, :HISTORY], changed.centre[:, :HISTORY])
    assert data.valid[:, HISTORY - 1 :].sum() == 0
    # Targets of the last origin that has one: a single week ahead.
    assert data.valid[:, HISTORY - 2].sum(0).tolist() == [6.0, *[0.0] * (AHEAD - 1)]


def test_copies_have_another_past_and_come_after_the_series(series: Series) -> None:
    found = augmented(series, HISTORY, 2, seed=0)
    assert found.target.shape == (18, HISTORY + AHEAD)
    np.testing.assert_array_equal(found.target[:6], series.target)
    assert not np.allclose(found.target[6:12], series.target)
    assert (found.target[found.seen == 0] == 0).all()


@pytest.mark.parametrize("method", [pretraining.masked, pretraining.contrastive])
def test_pretraining_moves_the_encoder_alone(series: Series, method) -> None:
    past = network_data(series, HISTORY).past[:, :HISTORY]
    torch.manual_seed(0)
    network = Network(4, 2, 2, hidden=4, embedding=2, dropout=0.0)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    method(network, past, 3, 0)
    moved = {
        name.partition(".")[0] for name, value in network.state_dict().items() if not torch.equal(value, before[name])
    }
    assert moved == {"encoder"}
