"""Smaller policies: bytes, parameters, latency and share of the gain kept, for every method.

`python -m repricer.benchmarks.light [RUN ...]`: of run folders, or of `bench-100` and three textbook
markets, on which it trains first. One thread; batches in
CPU seconds.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pandas as pd
from numpy.typing import NDArray
from onnxruntime.quantization import quantize_dynamic

from ..agents import Run, load_run, train
from ..agents.compression import METHODS, compressed, parameters, states
from ..pricing import ActionParts, NetworkPolicy
from ..serving.exporter.compression import kept
from ..serving.exporter.export import setup_of
from ..serving.exporter.onnx_graph import PolicyGraph
from .customers import markdown
from .timing import median_seconds, rates

MARKETS = ("bench-100", "gallego-van-ryzin", "reference-price", "segment-prices")
MANY = 10_000
LEARNED = "learned"
INT8 = "int8"


def table(folders: Sequence[str | Path] = (), *, steps: int = 400_000, **effort: Any) -> list[dict[str, Any]]:
    """One row for each market and method; `effort` is that of `compressed`, and `leaves`."""
    runs = [load_run(folder) for folder in folders] or [train(name, steps=steps, seed=0) for name in MARKETS]
    return [row for run in runs for row in _rows(run, effort)]


def _rows(run: Run, effort: dict[str, Any]) -> Iterator[dict[str, Any]]:
    students = {LEARNED: run} | {method: compressed(run, method, **effort)[0] for method in METHODS}
    models = {name: _model(student) for name, student in students.items()}
    seen = states(run, run, 5_000, 0).numpy()
    models[INT8] = _int8(models[LEARNED])
    calls = {name: _session(model) for name, model in models.items()}
    speeds = dict(zip(calls, _rates(list(calls.values()), seen), strict=True))
    for name, call in calls.items():
        student = students.get(name)
        policy = _quantised(run, call) if student is None else student.policy
        yield {
            "market": run.spec.name,
            "method": name,
            "parameters": parameters((student or run).actor),
            "bytes": len(models[name]),
            "one_us": 1e6 * median_seconds(lambda call=call: call(seen[:1])),
            "many_us": 1e6 * MANY / speeds[name],
            **kept(run, policy),
        }


def batch_rates(*runs: Run) -> list[float]:
    """Rows per CPU second through each run's network, `MANY` at a time."""
    return _rates([_session(_model(run)) for run in runs], states(runs[0], runs[0], 5_000, 0).numpy())


def _rates(calls: list[Any], rows: NDArray[np.float32]) -> list[float]:
    many = rows[np.arange(MANY) % len(rows)]

    def work(call: Any) -> Callable[[], int]:
        return lambda: MANY * sum(len(call(many)) > 0 for _ in range(50))

    return rates(*map(work, calls))


def _model(run: Run) -> bytes:
    return PolicyGraph(run.actor, setup_of(run.spec, run.policy)).to_onnx()


def _session(model: bytes) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return lambda rows: session.run(None, {"features": rows})


def _int8(model: bytes) -> bytes:
    """The model with weights of eight bits; what flows between layers is quantised while it runs."""
    with tempfile.TemporaryDirectory() as folder:
        before = Path(folder) / "before.onnx"
        after = Path(folder) / "after.onnx"
        before.write_bytes(model)
        quantize_dynamic(before, after)
        return after.read_bytes()


def _quantised(run: Run, call: Any) -> NetworkPolicy:
    """The policy around a session, which a bundle would refuse: its operators are not allowed there."""
    policy: Any = run.policy
    names = policy.layout.names
    return replace(policy, forward=lambda rows: ActionParts(**dict(zip(names, call(rows), strict=True))))


def show(rows: list[dict[str, Any]]) -> str:
    """The table as it is printed."""
    found = pd.DataFrame(rows)
    gain = found["kept"].map("{:.1%}".format) + " ± " + found["kept_se"].map("{:.1%}".format)
    forms = {"parameters": "{:,}", "bytes": "{:,}", "one_us": "{:.1f}", "many_us": "{:,.0f}", "money_kept": "{:.2%}"}
    columns = {name: found[name].map(form.format) for name, form in forms.items()}
    columns["gain kept"] = gain.where(found["kept_of"].str.startswith("the gain"), "")
    return markdown(found[["market", "method"]].assign(**columns))


if __name__ == "__main__":
    print(show(table(sys.argv[1:])))
