"""DP-SGD: the epsilon asked for is the epsilon spent, gradients are each product's own, and the network works as any."""

import numpy as np
import pytest
import torch
from repricer.forecasting import Lstm, example_panel
from repricer.forecasting.models import lstm_network
from repricer.forecasting.models.lstm_private import train_private
from repricer.privacy.noise import noise_of_sums

SIZE = {"hidden": 3, "embedding": 2, "dropout": 0.0}


@pytest.fixture(scope="module")
def data() -> lstm_network.Data:
    generator = torch.Generator().manual_seed(0)
    n, weeks, ahead = 6, 8, 2

    def normal(*shape):
        return torch.randn(*shape, generator=generator)

    return lstm_network.Data(
        past=normal(n, weeks, 5),
        x=normal(n, weeks, 3),
        centre=torch.ones(n, weeks, ahead),
        spread=torch.ones(n, weeks, ahead),
        target=normal(n, weeks) + 3,
        valid=torch.ones(n, weeks, ahead),
        category=torch.arange(n) % 2,
        weight=torch.ones(n),
    )


def trained(data, epsilon, steps=4):
    with lstm_network.reproducible_torch():
        return train_private(data, data.valid, epsilon=epsilon, delta=1e-12, steps=steps, seed=0, size=SIZE)


def test_the_accountant_spends_what_was_asked_and_less_epsilon_is_more_noise(data):
    loose, tight = trained(data, 8.0), trained(data, 1.0)
    assert 7.9 < loose.epsilon <= 8.0
    assert 0.98 < tight.epsilon <= 1.0
    # Four steps are one sum with half of their noise.
    assert tight.noise_multiplier == pytest.approx(2 * noise_of_sums(1.0, 1e-12), rel=0.03)


def test_the_network_is_a_plain_one_afterwards_and_a_seed_gives_one(data):
    first, again = trained(data, 4.0).network, trained(data, 4.0).network
    assert type(first.encoder) is torch.nn.LSTM
    (copy,), _ = lstm_network.from_text(lstm_network.to_text([first]))
    with torch.no_grad():
        np.testing.assert_array_equal(first.all_ahead(data), again.all_ahead(data))
        np.testing.assert_allclose(first.all_ahead(data), copy.all_ahead(data), atol=1e-6)


@pytest.mark.filterwarnings("ignore:Optimal order is the smallest")
def test_without_noise_to_speak_of_it_learns(data):
    start = lstm_network.Network(5, 3, 2, **SIZE)
    network = trained(data, 1e6, steps=40).network
    everyone, next_ = torch.arange(6), torch.zeros(8, 1, dtype=torch.long)
    with torch.no_grad():
        assert (
            network.losses(data, everyone, next_, data.valid).sum()
            < 0.98 * start.losses(data, everyone, next_, data.valid).sum()
        )


def test_a_products_loss_depends_on_no_other_product(data):
    network, next_ = lstm_network.Network(5, 3, 2, **SIZE), torch.zeros(8, 1, dtype=torch.long)
    with torch.no_grad():
        alone = network.losses(data, torch.tensor([2]), next_, data.valid)
        among = network.losses(data, torch.arange(6), next_, data.valid)[2:3]
    np.testing.assert_allclose(alone, among, rtol=1e-5)


def test_the_forecaster_reports_its_epsilon_and_forecasts():
    panel = example_panel(n_products=3, n_weeks=32)
    weeks = np.sort(panel["week"].unique())
    history, future = panel[panel["week"] < weeks[-4]], panel[panel["week"] >= weeks[-4]]
    model = Lstm(epsilon=4.0, hidden=3).fit(history)
    assert model.privacy_ is not None
    assert 3.5 < model.privacy_["epsilon"] <= 4.0
    assert len(model.networks_) == 1
    forecast = model.predict(future.drop(columns="units"))
    assert np.isfinite(forecast.select_dtypes("number")).all(axis=None)
    # Its networks are taken along as they are: nothing is spent again.
    again = model.refitted(history)
    assert again.kept_networks() == model.kept_networks()
    assert again.privacy_ == model.privacy_
    # One that does not fit the panel is replaced by none, as nobody pays for another.
    assert model.set_params(kept="").fit(history).kept_networks() is None
    with pytest.raises(ValueError, match="must be a number above 0; got -1"):
        Lstm(epsilon=-1.0).fit(history)
