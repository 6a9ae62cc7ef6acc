"""Does self-supervision help a network with short histories? WAPE by weeks of history, on The Complete Journey.

`python -m repricer.benchmarks.pretraining`: the network of the forecaster `Lstm` on a moving average,
trained from scratch; with an encoder that first learned from all series, by masking or by contrast;
and with augmented series. A setting is chosen on some products and weeks; the table is of others.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import nn

from ..data import load_complete_journey, product_weeks
from ..forecasting import MovingAverage
from ..forecasting.models import lstm_network
from ..forecasting.models.base import check_rows
from ..forecasting.models.weekly_design import WeeklyDesign

WEEKS = (4, 8, 16, 39)
SEEDS = 3
PRODUCTS, OTHERS = 200, 1800
AHEAD = 4
CHOOSING, JUDGING = (36,), (40, 46)
"""Weeks of the data set after which forecasts begin: for choosing a setting, with 8 weeks of history, and for judging."""
CHOOSING_WITH = 8
SETTINGS = {"masked": (300, 1000), "contrastive": (300, 1000), "augmented": (1, 3)}
"""Steps of pre-training, or copies of each series, among which is chosen."""
BASE, SCRATCH = "no network", "from scratch"
_STEPS, _SIZE = 300, {"hidden": 8, "embedding": 2, "dropout": 0.3}
_BATCH, _RATE = 128, 3e-3
_MEAN_OF = 8
# Of a normal statistic: an effect so many standard errors large is seen in four of five comparisons at 5%.
_SEEN = 2.8


@dataclass(frozen=True)
class Series:
    """N products in T weeks: log(1 + units), where it is known, covariates (N, T, K) and categories."""

    target: NDArray[np.float64]
    seen: NDArray[np.float64]
    x: NDArray[np.float64]
    category: NDArray[np.int64]

    def of(self, rows: Any, weeks: slice = slice(None)) -> Series:
        return Series(self.target[rows, weeks], self.seen[rows, weeks], self.x[rows, weeks], self.category[rows])


@functools.cache
def shop() -> Series:
    """Weeks 2 to 52 of the products with the most sale lines, the most first."""
    tables, _ = load_complete_journey(key=b"for this benchmark only")
    assert tables.products is not None
    top = tables.sales["product"].value_counts().index[: PRODUCTS + OTHERS]
    panel = product_weeks(tables, products=tables.products[tables.products["product"].isin(top)])
    model = MovingAverage().fit(panel)
    weekly = WeeklyDesign.of(model._prepare(check_rows(panel, ["product", "week", "units"], name="panel")))
    order = weekly.products.get_indexer(top[top.isin(weekly.products)])
    x = weekly.x.copy()
    x[..., weekly.carried] = 0.0  # not known ahead
    category = pd.factorize(model.covariates_.category.loc[weekly.products], sort=True)[0]
    return Series(weekly.target, weekly.seen, x, category).of(order)


def network_data(series: Series, history: int) -> lstm_network.Data:
    """What the network reads, scaled by the first `history` weeks; later weeks are never targets."""
    target, seen = series.target, series.seen
    past = seen[:, :history, None]
    centre_x = (series.x[:, :history] * past).sum(1) / np.maximum(past.sum(1), 1.0)
    deviation = np.sqrt((((series.x[:, :history] - centre_x[:, None]) * past) ** 2).sum((0, 1)) / max(past.sum(), 1.0))
    x = np.clip((series.x - centre_x[:, None]) / np.where(deviation > 1e-6, deviation, np.inf), -4, 4)
    base = _moving_mean(target, seen)
    error = np.zeros_like(target)
    error[:, 1:] = target[:, 1:] - base[:, :-1]
    known = seen.copy()
    known[:, 0] = 0
    spread = max(float(error[:, :history][known[:, :history] > 0].std()), 0.1)
    error = np.clip(np.where(known > 0, error / spread, 0.0), -4, 4)
    weeks, (count, length) = np.arange(target.shape[1]), target.shape
    ahead = weeks[:, None] + np.arange(1, AHEAD + 1)
    valid = (seen[:, np.minimum(ahead, length - 1)] > 0) & (ahead < history) & (seen.cumsum(1) > 0)[..., None]
    units = (np.expm1(target) * seen)[:, :history].sum(1) / np.maximum(seen[:, :history].sum(1), 1.0)
    tensor = lstm_network.to_tensor
    return lstm_network.Data(
        past=tensor(np.concatenate([error[..., None], known[..., None], x], axis=2)),
        x=tensor(x),
        centre=tensor(np.repeat(base[..., None], AHEAD, axis=2)),
        spread=torch.full((count, length, AHEAD), spread),
        target=tensor(target),
        valid=tensor(valid),
        category=torch.from_numpy(series.category).long(),
        weight=tensor(np.sqrt(units / units.mean())),
    )


def _moving_mean(target: NDArray[np.float64], seen: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean of the last eight known weeks, up to each week; 0 before the first."""
    total, count = (np.cumsum(part, axis=1) for part in (target * seen, seen))
    for part in (total, count):
        part[:, _MEAN_OF:] -= part[:, :-_MEAN_OF].copy()
    return total / np.maximum(count, 1.0)


def masked(network: lstm_network.Network, past: torch.Tensor, steps: int, seed: int) -> None:
    """Let the encoder guess a quarter of the weeks, whose errors are hidden from it."""
    head = nn.Linear(network.encoder.hidden_size, 1)

    def loss(rows: torch.Tensor) -> torch.Tensor:
        hidden = (torch.rand(rows.shape[:2]) < 0.25) * rows[..., 1]
        given = torch.cat([rows[..., :2] * (1 - hidden)[..., None], rows[..., 2:]], dim=2)
        wrong = head(network.encoder(given)[0])[..., 0] - rows[..., 0]
        return (wrong**2 * hidden).sum() / hidden.sum().clamp(min=1.0)

    _pretrain([*network.encoder.parameters(), *head.parameters()], past, loss, steps, seed)


def contrastive(network: lstm_network.Network, past: torch.Tensor, steps: int, seed: int) -> None:
    """Let the encoder tell a disturbed series from all others (InfoNCE: van den Oord et al. 2018)."""
    head = nn.Linear(network.encoder.hidden_size, 16)

    def view(rows: torch.Tensor) -> torch.Tensor:
        scale = 1 + 0.2 * torch.randn(len(rows), 1)
        error = rows[..., 0] * scale + 0.2 * torch.randn(rows.shape[:2])
        stays = (torch.rand(rows.shape[:2]) > 0.2) * rows[..., 1]
        given = torch.cat([(error * stays)[..., None], stays[..., None], rows[..., 2:]], dim=2)
        return nn.functional.normalize(head(network.encoder(given)[0].mean(1)), dim=1)

    def loss(rows: torch.Tensor) -> torch.Tensor:
        alike = view(rows) @ view(rows).T / 0.2
        return nn.functional.cross_entropy(alike, torch.arange(len(rows)))

    _pretrain([*network.encoder.parameters(), *head.parameters()], past, loss, steps, seed)


def _pretrain(
    weights: list[nn.Parameter], past: torch.Tensor, loss: Callable[[torch.Tensor], torch.Tensor], steps: int, seed: int
) -> None:
    generator, optimiser = torch.Generator().manual_seed(seed), torch.optim.Adam(weights, lr=_RATE)
    falling = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    for _ in range(steps):
        optimiser.zero_grad()
        loss(past[torch.randperm(len(past), generator=generator)[:_BATCH]]).backward()
        optimiser.step()
        falling.step()


def augmented(series: Series, history: int, copies: int, seed: int) -> Series:
    """The series and copies of them: scaled, jittered, and half of each past at another speed.

    Window warping: Le Guennec, Malinowski and Tavenard (2016), Data Augmentation for Time Series
    Classification using Convolutional Neural Networks.
    """
    generator, parts = np.random.default_rng(seed), [series]
    length, half = series.target.shape[1], max(history // 2, 2)
    for _ in range(copies):
        scaled = series.target + generator.uniform(-0.5, 0.5, (len(series.target), 1))
        target = np.maximum(scaled + 0.15 * generator.standard_normal(scaled.shape), 0.0) * (series.seen > 0)
        weeks = np.arange(length)
        start = generator.integers(0, max(history - half, 0) + 1)
        speed = generator.choice([0.5, 2.0])
        window = np.linspace(start, min(start + half, history) - 1, max(round(half * speed), 1)).round().astype(int)
        warped = np.concatenate([weeks[:start], window, weeks[start + half : history]])[-history:]
        # What is too short begins later: its first weeks are unknown.
        first = np.full(history - len(warped), warped[0])
        index = np.concatenate([first, warped, weeks[history:]])
        seen = series.seen[:, index].copy()
        seen[:, : len(first)] = 0.0
        parts.append(Series(target[:, index] * seen, seen, series.x[:, index], series.category))
    return Series(*(np.concatenate([getattr(p, name) for p in parts]) for name in Series.__dataclass_fields__))


def errors(origin: int, history: int, rows: slice, method: str, setting: int, seed: int) -> NDArray[np.float64]:
    """(2, products) absolute errors and units of the weeks ahead, in units sold.

    Args:
        origin: The last week of the data set that is known.
        history: Weeks of history.
        method: `BASE`, `SCRATCH` or one of `SETTINGS`.
    """
    window = slice(origin - 1 - history, origin - 1 + AHEAD)
    everything, own = shop().of(slice(None), window), shop().of(rows, window)
    data, start = network_data(own, history), None
    with lstm_network.reproducible_torch():
        torch.manual_seed(seed)
        if method in ("masked", "contrastive"):
            categories = int(data.category.max()) + 1
            start = lstm_network.Network(data.past.shape[2], data.x.shape[2], categories, **_SIZE)
            past = network_data(everything, history).past[:, :history]
            {"masked": masked, "contrastive": contrastive}[method](start, past, setting, seed)
        taught = data
        if method == "augmented":
            taught = network_data(augmented(own, history, setting, seed), history)
        network = lstm_network.train(taught, taught.valid, steps=_STEPS, seed=seed, size=_SIZE, start=start)
        with torch.no_grad():
            middle = network.all_ahead(data)[:, history - 1, :, len(lstm_network.LEVELS) // 2].numpy()
    moved = 0.0 if method == BASE else data.spread[:, history - 1].numpy() * middle
    base = data.centre[:, history - 1].numpy() + moved
    wanted, known = np.expm1(own.target[:, history:]), own.seen[:, history:]
    return np.stack([(np.abs(np.expm1(base) - wanted) * known).sum(1), (wanted * known).sum(1)])


def table(*, weeks: Sequence[int] = WEEKS, say: Callable[[str], None] = lambda _: None) -> list[dict[str, Any]]:
    """A row for each length of history and method; `change` is of the WAPE over that from scratch."""
    first, second = slice(0, PRODUCTS, 2), slice(1, PRODUCTS, 2)
    chosen, found = {}, []
    for method, settings in SETTINGS.items():
        tried = {s: _wape(_errors(CHOOSING, CHOOSING_WITH, first, method, s, 1)) for s in settings}
        chosen[method] = min(tried, key=lambda s, tried=tried: tried[s])
        say(f"{method}: {tried}")
    for history in weeks:
        scratch = _errors(JUDGING, history, second, SCRATCH, 0, SEEDS)
        base = _errors(JUDGING, history, second, BASE, 0, 1)
        rows = [(BASE, 0, {"wape": _wape(base)}), (SCRATCH, 0, {"wape": _wape(scratch)})]
        for method, setting in chosen.items():
            rows.append(
                (method, setting, _compared(_errors(JUDGING, history, second, method, setting, SEEDS), scratch))
            )
        found += [{"weeks": history, "method": method, "setting": setting, **row} for method, setting, row in rows]
        say(str(found[-len(rows) :]))
    return found


def _errors(
    origins: Sequence[int], history: int, rows: slice, method: str, setting: int, seeds: int
) -> NDArray[np.float64]:
    """(seeds, 2, products) of `errors`, over the origins."""
    every = [[errors(o, history, rows, method, setting, s) for o in origins] for s in range(seeds)]
    return np.array(every).sum(axis=1)


def _wape(found: NDArray[np.float64]) -> float:
    return float((found[:, 0].sum(1) / found[:, 1].sum(1)).mean())


def _compared(found: NDArray[np.float64], scratch: NDArray[np.float64]) -> dict[str, float]:
    """WAPE, its change, and the standard error of that over products and over seeds."""
    ratio = found[:, 0].sum(1) / scratch[:, 0].sum(1) - 1
    # Linearised ratio of sums, with the seeds averaged first.
    mean, base = found[:, 0].mean(0), scratch[:, 0].mean(0)
    left = (mean - base - (mean.sum() / base.sum() - 1) * base) / base.sum()
    products, seeds = float(np.sqrt((left**2).sum())), float(ratio.std(ddof=1) / len(ratio) ** 0.5)
    error = float(np.hypot(products, seeds))
    return {"wape": _wape(found), "change": float(ratio.mean()), "error": error, "visible": _SEEN * error}


def main() -> None:
    """Print the table."""
    print("| weeks | method | setting | WAPE | against scratch | standard error | smallest effect seen |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for row in table(say=lambda line: print(line, file=sys.stderr, flush=True)):
        change = [f"{row[name]:{form}}" if name in row else "" for name, form in _COLUMNS.items()]
        print(
            f"| {row['weeks']} | {row['method']} | {row['setting'] or ''} | {row['wape']:.3f} | {' | '.join(change)} |"
        )


_COLUMNS = {"change": "+.1%", "error": ".1%", "visible": ".1%"}


if __name__ == "__main__":
    main()
