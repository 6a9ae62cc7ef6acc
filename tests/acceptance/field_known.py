"""A published experiment of another field, read as ours are: GeoLift's example.

An advertising campaign in Chicago and Portland, 40 American cities, 105 days, published with the package GeoLift (MIT):
a lift of 5.4% by augmented synthetic control, of which chance exceeds the size with a probability of 1.4%, so that its
standard error is 2.2%. The data are not committed: `FIELD_GEOLIFT` names the file, otherwise it is downloaded; to read it
takes the package rdata.
"""

from __future__ import annotations

import functools
import os
import urllib.request
from datetime import timedelta
from pathlib import Path

import pandas as pd
from repricer.data import Tables
from repricer.planning.experiments.effects import Analysis, Power
from repricer.planning.experiments.experiment import Experiment, Group, PlannedExperiment, Reading
from repricer.planning.experiments.reading import MeasuredEffect, read_experiment

from .checks import Skip, check

URL = "https://raw.githubusercontent.com/facebookincubator/GeoLift/main/data/GeoLift_Test.rda"
LIFT, ERROR, TEST, DAYS = 0.054, 0.022, ("chicago", "portland"), 15


def published() -> pd.DataFrame:
    """A row per city and day: location, Y, date."""
    try:
        import rdata
    except ImportError as error:
        raise Skip("needs the package rdata") from error
    file = os.environ.get("FIELD_GEOLIFT")
    try:
        data = Path(file).read_bytes() if file else urllib.request.urlopen(URL, timeout=30).read()
    except OSError as error:
        raise Skip(f"needs GeoLift_Test.rda of the repository GeoLift: {error}") from error
    return rdata.conversion.convert(rdata.parser.parse_data(data))["GeoLift_Test"]


@functools.cache
def read() -> MeasuredEffect:
    """The effect on the last day."""
    table = published()
    dates = pd.to_datetime(table["date"])
    stores, first = tuple(sorted(table["location"].unique())), dates.max() - pd.Timedelta(days=DAYS - 1)
    sales = {"date": dates, "store": table["location"], "product": "Y", "units": table["Y"].astype(float)}
    rows = [
        (store, first + pd.Timedelta(weeks=w), "Y", "Y", "test" if store in TEST else "control", 1.0, 1.0)
        for store in stores
        for w in range(3)
    ]
    columns = ["store", "week", "product", "group", "arm", "price", "planned_price"]
    # A campaign instead of a price: nothing is charged otherwise.
    group = Group("Y", "Y", ("Y",), 0.0, 1.0)
    analysis = Analysis(0.6, 0.8, 0.3, 1, 3 * 7)
    reading = Reading("Y", "units", "arm", ("Y",), analysis, Power(0.1, 0.1))
    begin = first.date()
    facts = ("geolift", "", begin, "stores", 1, 3, 0, 0, stores, (group,), (reading,), {}, "", {}, "", begin, 0.0, {})
    experiment = Experiment(PlannedExperiment(*facts), pd.DataFrame(rows, columns=columns))
    tables = Tables(pd.DataFrame(sales).assign(price_paid=1.0))
    return read_experiment(experiment, tables, until=begin + timedelta(days=DAYS - 1)).effects[0]


@check("field", "GeoLift's example: lift read, off the published 5.4%, in its standard errors", "<=", 1, "s.e.")
def _() -> float:
    return abs(read().effect - LIFT) / ERROR
