from typing import get_args

from repricer.forecasting.selected import candidates
from repricer.planning.market_folder import ForecasterName


def test_every_forecaster_can_be_asked_for():
    assert [*get_args(ForecasterName)] == ["selected", *candidates()]
