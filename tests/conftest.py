import functools
import gc
import importlib
import os
import pickle
import sys
from collections.abc import Callable
from pathlib import Path

# Before the first fit: worker processes would each import all libraries anew.
os.environ.setdefault("LOKY_MAX_CPU_COUNT", "1")

import pytest
from repricer.scenarios import MarketSpec, spec_from_table

# Where the market's loops are compiled, which takes a minute on a fresh machine, and where they are needed afterwards;
# the longest files first, so that no worker has one left when the others are done.
_COMPILES = "envs/test_properties.py"
_NEED_IT = (
    "test_docstrings.py",
    "benchmarks",
    "fitting",
    "cli",
    "planning",
    "docs",
    "agents",
    "serving",
    "evaluation",
    "optimum",
    "envs",
    "scenarios",
    "jobs",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """One file compiles the market first, while the other workers have tests that need none: none compiles it again.

    That holds as long as no file makes, simulates or solves a market while it is collected, which every worker does.
    """

    def turn(item: pytest.Item) -> int:
        place = item.path.relative_to(Path(__file__).parent)
        if place.as_posix() == _COMPILES:
            return 0
        return 2 + _NEED_IT.index(place.parts[0]) if place.parts[0] in _NEED_IT else 1

    items.sort(key=turn)


def pytest_sessionstart() -> None:
    """Up to an eighth of the time went into looking for garbage among what stays: libraries and collected tests."""
    gc.set_threshold(50_000, 20, 20)


def pytest_collection_finish() -> None:
    gc.collect()
    gc.freeze()


def shop_table(**changes) -> dict:
    """Two categories, three products, two segments, everything on."""
    table = {
        "name": "small-shop",
        "version": 1,
        "market": {"horizon_periods": 8, "objective": "profit"},
        "products": {
            "names": ["a", "b", "c"],
            "category": ["x", "x", "y"],
            "regular_price": [4.0, 5.0, 3.0],
            "unit_cost": [2.0, 3.0, 1.0],
        },
        "arrivals": {
            "rate": [30.0, 20.0],
            "segments": ["loyal", "thrifty"],
            "segment_share": [[0.6, 0.4], [0.3, 0.7]],
            "overdispersion": [0.1, 0.0, 0.3],
        },
        "demand": {
            "quality": [[3.0, 3.5, 2.0], [4.0, 4.0, 3.0]],
            "price_sensitivity": [[0.6, 0.6, 0.8], [1.2, 1.1, 1.4]],
        },
        "reference_price": {"memory": 0.7, "gain": 0.5, "loss": 1.0},
        "recommendation": {
            "lift": 0.4,
            "candidates": [[1, 1, 0], [1, 1, 1]],
            "affinity": [[0.2, 0.9, 0.1], [0.5, 0.1, 0.6]],
        },
        "stock": {
            "initial_units": 25,
            "replenishment": "order-up-to",
            "order_up_to_units": 25,
            "lead_time_periods": 2,
            "holding_cost": 0.02,
            "lost_sale_cost": 0.1,
        },
        "prices": {"floor": [2.0, 2.5, 1.5], "ceiling": [6.0, 8.0, 5.0], "tick": 0.01, "max_discount": 0.2},
    }
    for section, values in changes.items():
        table[section] = None if values is None else {**table.get(section, {}), **values}
    return {section: content for section, content in table.items() if content is not None}


@functools.cache
def _shop(changes: bytes) -> MarketSpec:
    return spec_from_table(shop_table(**pickle.loads(changes)))


@pytest.fixture(scope="session")
def make_shop():
    """One object for each shop: its best fixed prices, bound and optimum are kept by its object."""
    return lambda **changes: _shop(pickle.dumps(changes))


@pytest.fixture(scope="session")
def shop(make_shop) -> MarketSpec:
    return make_shop()


# Where markets are fitted; the trend itself is tested in `forecasting`, with all its trees.
_FIT = ("fitting", "cli", "benchmarks", "planning", "serving")
# Where the demand of a fitted market is judged, with all its candidate models.
_DEMAND = (("fitting", "demand"), ("benchmarks",), ("planning",))


@pytest.fixture(scope="module", autouse=True)
def short_fits(request: pytest.FixtureRequest):
    """A fitted market's trend grows forests of 4 trees instead of 100, and one memory of deals is tried instead of three,
    where neither is judged: they are half of a fit's time.
    """
    place = request.path.relative_to(Path(__file__).parent).parts
    with pytest.MonkeyPatch.context() as patch:
        if place[0] in _FIT:
            from repricer.fitting import fit_split
            from repricer.forecasting import MarketTrend

            patch.setattr(fit_split, "MarketTrend", functools.partial(MarketTrend, n_estimators=4))
        if place[0] in _FIT and not any(place[: len(room)] == room for room in _DEMAND):
            patch.setattr("repricer.fitting.demand.candidate_models.MEMORIES", (0.7,))
        yield


# Where runs are trained, but how they open is not judged.
_TRAIN = ("test_docstrings.py", "benchmarks", "cli", "planning", "serving")


@pytest.fixture(scope="module", autouse=True)
def short_openings(request: pytest.FixtureRequest):
    """A training imitates its opening in a tenth of the updates: they are most of a short training's time."""
    with pytest.MonkeyPatch.context() as patch:
        if request.path.relative_to(Path(__file__).parent).parts[0] in _TRAIN:
            patch.setattr("repricer.agents.cloning._BATCHES", 5)
        yield


# Where best fixed prices are only computed on the way to something else.
_SEARCH = ("cli", "serving")
_searches = {"short": False}


@pytest.fixture(scope="module", autouse=True)
def short_searches(request: pytest.FixtureRequest):
    """Best fixed prices after a third of their search, in whole rooms: no other room gets those that were kept."""
    short = request.path.relative_to(Path(__file__).parent).parts[0] in _SEARCH
    with pytest.MonkeyPatch.context() as patch:
        if short or _searches["short"]:
            from repricer.agents import classical

            if short != _searches["short"]:
                classical.best_fixed.cache_clear()
                _searches["short"] = short
            if short:
                patch.setattr(classical, "_GENERATIONS", (7, 3))
        yield


@pytest.fixture
def short_search(monkeypatch: pytest.MonkeyPatch):
    """Best fixed prices after a third of their search, for shops of a test's own: they are kept by their object."""
    monkeypatch.setattr("repricer.agents.classical._GENERATIONS", (7, 3))


@pytest.fixture
def key() -> bytes:
    return b"a key for tests only"


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str, str], Path]:
    """Write a text file into the test's own folder."""

    def write_text(name: str, text: str) -> Path:
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return write_text


@pytest.fixture
def no_pictures(monkeypatch: pytest.MonkeyPatch):
    """For reports of which only the text is read: plots are made, but not laid out and written, most of their time."""
    monkeypatch.setattr("matplotlib.figure.Figure.savefig", lambda *_, **__: None)


def pytest_runtest_setup() -> None:
    """Torch's exporter makes its tables of operators anew for each network, for most of the time: here they are kept."""
    registration = sys.modules.get("torch.onnx._internal.exporter._registration")
    if registration is None or isinstance(vars(registration.ONNXRegistry)["from_torchlib"], staticmethod):
        return
    made = functools.cache(registration.ONNXRegistry.from_torchlib)
    registration.ONNXRegistry.from_torchlib = staticmethod(made)
    operators = importlib.import_module("torch._export.utils")
    operators._materialize_cpp_cia_ops = functools.cache(operators._materialize_cpp_cia_ops)
