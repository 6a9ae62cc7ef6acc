"""A fit over shops that share no rows: as good as one of all rows, better than alone, and not stopped by a shop that fails.

`python -m repricer.benchmarks.federated` prints the errors of more kinds of shops.
"""

from __future__ import annotations

import asyncio
import functools
import json
import os
import signal
import subprocess
import sys
import tempfile
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
from repricer.benchmarks.federated import FAMILIES, SHOPS, errors, federated, panels, shop_tables
from repricer.benchmarks.loopback import free_port
from repricer.data import import_tables, product_weeks, save_tables
from repricer.forecasting.federated.gathering import NONCE
from repricer.forecasting.federated.masking import Masks
from repricer.forecasting.federated.messages import Channel, Join, Round

from .checks import check

_PRODUCTS, _WEEKS, _SETS = 4, (16,) * SHOPS, 3
_KEY = b"pseudonyms of federated shops"
_RUN = [sys.executable, "-m", "repricer.cli", "federate"]


@functools.cache
def _found() -> pd.DataFrame:
    """Mean WAPE of each set of five small shops with 16 weeks of history, by way of fitting."""
    some = [errors(panels(family, 10 * n, _PRODUCTS, _WEEKS)) for family in FAMILIES for n in range(_SETS)]
    return pd.DataFrame([rows.mean() for rows in some])


@check("trust", "a federated fit of 5 small shops, its WAPE over that of the pooled fit (mean of 12 sets)", "<=", 1.05)
def against_pooled() -> float:
    return float((_found()["federated"] / _found()["pooled"]).mean())


@check("trust", "a federated fit of 5 small shops, its WAPE over that of each alone (mean of 12 sets)", "<=", 0.999)
def against_alone() -> float:
    return float((_found()["federated"] / _found()["alone"]).mean())


async def _rogue(port: int, line_key: bytes, day: date) -> None:
    """Join, and answer the first round with NaN."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    channel = Channel(reader, writer, line_key, await reader.readexactly(NONCE))
    await channel.send(Join("nan", Masks("nan").public, day, day, 7))
    await channel.receive(Round, 120)
    body = b'{"type":"masked","number":NaN,"words":""}'
    writer.write(len(body).to_bytes(4) + channel._tag(body) + body)
    await reader.read()


def _until(lines: subprocess.Popen[str], wanted: str) -> None:
    assert lines.stderr is not None
    while wanted not in (line := lines.stderr.readline()):
        assert line, f"the coordinator ended before it said {wanted}"


@check("trust", "a federated fit with a shop killed and one that sends NaN: both named, the rest's fit (1)", "==", 1)
def goes_on() -> float:
    with tempfile.TemporaryDirectory() as place:
        folder, pasts = Path(place), {}
        for n in range(SHOPS):
            (folder / f"files-{n}").mkdir()
            tables, paths = shop_tables("clean", n, _PRODUCTS, _WEEKS[n]), {}
            for name in ("sales", "products"):
                paths[name] = folder / f"files-{n}" / f"{name}.csv"
                getattr(tables, name).to_csv(paths[name], index=False)
            kept = import_tables(paths, key=_KEY)
            save_tables(*kept, folder / f"shop-{n}")
            pasts[f"shop-{n}"] = product_weeks(kept[0])
        return float(_goes_on(folder, pasts))


def _goes_on(folder: Path, pasts: dict[str, pd.DataFrame]) -> bool:
    port = free_port()
    environment = os.environ | {"SHOPS_KEY": "07" * 32}
    common = ["--shops-key", "env:SHOPS_KEY", "--wait", "120"]
    start = functools.partial(
        subprocess.Popen, env=environment, text=True, stderr=subprocess.PIPE, stdout=subprocess.PIPE
    )

    def join(name: str, dataset: Path) -> subprocess.Popen[str]:
        words = [
            "join",
            str(dataset),
            "--to",
            f"127.0.0.1:{port}",
            "--name",
            name,
            "--out",
            str(folder / f"{name}.json"),
        ]
        return start([*_RUN, *words, *common])

    words = ["serve", "--shops", str(SHOPS + 2), "--port", str(port), "--out", str(folder / "all.json"), "--json"]
    serving = start([*_RUN, *words, *common])
    _until(serving, "waiting for")
    doomed = join("doomed", folder / "shop-0")
    _until(serving, "'doomed' is here")
    doomed.send_signal(signal.SIGKILL)
    others = [join(name, folder / name) for name in pasts]
    asyncio.run(_rogue(port, b"\x07" * 32, pasts["shop-0"]["week"].max().date()))
    out, said = serving.communicate(timeout=120)
    codes = [other.wait(timeout=120) for other in others]
    doomed.wait()
    document, known = json.loads(out), federated(pasts)
    named = [sum(f"shop '{name}' is left out" in line for line in said.splitlines()) for name in ("doomed", "nan")]
    same = np.allclose(document["common"]["mean"], known.mean, rtol=1e-9, atol=1e-12)
    given = [json.loads((folder / f"{name}.json").read_text())["common"] == document["common"] for name in pasts]
    return codes == [0] * SHOPS and serving.returncode == 0 and named == [1, 1] and same and all(given)
