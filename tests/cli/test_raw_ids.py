"""A customer's id appears in nothing that the loop writes: only in the shop's own file. Nor does a key."""

import hashlib
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from repricer.privacy.encryption import content_of

from .calls import document

MARK = "loyalty-card-"
"""How every raw customer id begins."""
SECRET = hashlib.sha256(b"of the tests").hexdigest()
"""What tables and bundle are encrypted with."""
PRODUCTS = pd.DataFrame(
    {"product": list("abcdef"), "category": ["x"] * 3 + ["y"] * 3, "price": [4, 5, 4.5, 3, 3.5, 3.2]}
)


def sales(customers: int = 240, weeks: int = 45) -> pd.DataFrame:
    """A visit a week for most; half of the customers hardly buy but what is reduced."""
    rng = np.random.default_rng(0)
    shape = (weeks, customers, len(PRODUCTS))
    reduced = rng.random((weeks, 1, len(PRODUCTS))) < 0.3
    keen = np.arange(customers)[None, :, None] % 2 == 0
    wanted = np.where(keen & ~reduced, 0.04, 0.2) * np.where(reduced, 1.5, 1.0)
    week, customer, product = np.nonzero(rng.random(shape) < wanted)
    price = PRODUCTS["price"].to_numpy()[product]
    return pd.DataFrame(
        {
            "date": pd.Timestamp("2024-01-01") + pd.to_timedelta(7 * week, unit="D"),
            "product": PRODUCTS["product"].to_numpy()[product],
            "units": 1.0,
            "price_paid": np.where(reduced[week, 0, product], 0.75 * price, price),
            "regular_price": price,
            "customer": [f"{MARK}{number:05d}" for number in customer],
            "basket": [f"{first}-{second}" for first, second in zip(week, customer, strict=True)],
        }
    )


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Every file that import, fit, training, report and export leave, without the shop's own.

    The fit reads tables that are encrypted, which are those of the plain import.
    """
    folder = tmp_path_factory.mktemp("shop")
    os.environ["REPRICER_KEY"] = SECRET
    before = Path.cwd()
    os.chdir(folder)
    sales().to_csv("sales.csv", index=False)
    PRODUCTS[["product", "category"]].to_csv("products.csv", index=False)
    document("data", "import", "--sales", "sales.csv", "--products", "products.csv", "--out", "made/tables")
    document(
        "data", "import", "--sales", "sales.csv", "--products", "products.csv", "--out", "made/hidden", "--encrypt"
    )
    document(
        "fit", "made/hidden", "--out", "made/market", "--forecaster", "moving-average", "--draws", "8", "--weeks", "4"
    )
    document("train", "made/market", "--out", "made/run", "--steps", "500")
    document("report", "made/run", "--out", "made/report.html", "--episodes", "4")
    document("export", "made/run", "--out", "made/bundle", "--encrypt")
    yield [path for path in Path("made").rglob("*") if path.is_file()]
    os.chdir(before)
    del os.environ["REPRICER_KEY"]


def texts(path: Path) -> str:
    """All that a file says: tables decoded, the rest as it stands."""
    if path.suffix == ".enc":
        return content_of(path).decode("utf-8", errors="replace") + path.read_bytes().decode("utf-8", errors="replace")
    if path.suffix == ".parquet":
        return pd.read_parquet(path).to_csv()
    if path.suffix == ".npz":
        with np.load(path) as arrays:
            return " ".join(str(arrays[name].tolist()) for name in arrays)
    return path.read_bytes().decode("utf-8", errors="replace")


def test_no_raw_customer_id_is_written(written):
    assert {path.suffix for path in written} >= {".parquet", ".json", ".html", ".enc"}
    tables = [path for path in written if path.name == "sales.parquet"]
    assert pd.read_parquet(tables[0])["customer"].nunique() > 200
    assert [str(path) for path in written if MARK in texts(path) or MARK in path.name] == []


def test_pseudonyms_stay_in_the_tables(written):
    pseudonyms = pd.read_parquet("made/tables/sales.parquet")["customer"].unique()
    elsewhere = [path for path in written if path.parent.name not in ("tables", "hidden")]
    assert [str(path) for path in elsewhere if any(name in texts(path) for name in pseudonyms[:50])] == []


def test_what_is_encrypted_says_nothing_and_keys_are_in_their_files_alone(written):
    hidden = [path for path in written if path.parent.name in ("hidden", "bundle")]
    assert {path.suffix for path in hidden} == {".enc"}
    words = [*pd.read_parquet("made/tables/sales.parquet")["customer"].unique()[:9], "manifest", "PAR1"]
    assert not [path for path in hidden if any(word.encode() in path.read_bytes() for word in words)]
    secrets = [Path(f"made/{name}.key").read_bytes() for name in ("tables", "hidden")] + [bytes.fromhex(SECRET)]
    others = [path for path in written if path.suffix != ".key"]
    forms = [form for secret in secrets for form in (secret, secret.hex().encode())]
    assert not [str(path) for path in others if any(form in path.read_bytes() for form in forms)]
