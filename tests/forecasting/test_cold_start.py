"""New products are forecast from attributes, and from texts and vectors as far as these tell."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from repricer.cli import main
from repricer.data import DataError, Tables, import_tables, load_tables, product_weeks, save_tables
from repricer.forecasting import Newcomers
from repricer.forecasting.cold_start import established, forecast_new
from repricer.forecasting.product_vectors import meaning_vectors, nearest, own_vectors, scaled, word_vectors

WEEKS, SIZE = 14, 48


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """48 jams and teas; every second name has `organic`, which triples the units, in names alone."""
    folder = tmp_path_factory.mktemp("shop")
    rng = np.random.default_rng(0)
    ids = [f"p{number:02d}" for number in range(SIZE)]
    organic = np.arange(SIZE) % 2 == 0
    shelf = np.where(np.arange(SIZE) % 4 < 2, "jam", "tea")
    names = [
        f"{'Organic' if o else 'Simple'} {rng.choice(['fig', 'plum'])} {c}" for o, c in zip(organic, shelf, strict=True)
    ]
    products = pd.DataFrame({"product": ids, "category": shelf, "name": names})
    products.to_csv(folder / "products.csv", index=False)
    price = rng.choice([2.0, 2.5, 3.0], SIZE)
    days = pd.DataFrame({"date": pd.date_range("2024-01-01", periods=7 * WEEKS)})
    rows = pd.DataFrame({"product": ids, "regular_price": price, "mean": np.where(organic, 6.0, 2.0)}).merge(
        days, how="cross"
    )
    rows["units"] = rng.poisson(rows.pop("mean"))
    off = np.where(rng.random(len(rows)) < 0.2, 0.8, 1.0)
    rows["price_paid"] = rows["regular_price"] * off
    rows[rows["units"] > 0].to_csv(folder / "sales.csv", index=False)
    new = pd.DataFrame({"product": ["n1", "n2"], "category": "jam", "regular_price": 2.5})
    new.assign(name=["Organic fig jam", "Simple fig jam"]).to_csv(folder / "new.csv", index=False)
    tables, report = import_tables({name: folder / f"{name}.csv" for name in ("sales", "products")}, key=b"k" * 32)
    save_tables(tables, report, folder / "tables")
    return folder


@pytest.fixture(scope="module")
def tables(shop: Path) -> Tables:
    return load_tables(shop / "tables")


def run(shop: Path, *words: str) -> dict:
    given = ["newcomers", str(shop / "tables"), "--products", str(shop / "new.csv"), *words]
    result = CliRunner().invoke(main, given)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout) if "--json" in words else {"text": result.stdout}


def test_words_tell_new_products_apart_and_attributes_do_not(shop: Path) -> None:
    told = run(shop, "--json")
    organic, simple = told["products"]
    assert told["weights"]["words"] > 0
    assert 2.2 < organic["mean"] / simple["mean"] < 4.0
    assert organic["low"] < 42.0 < organic["high"]
    alone = [row["mean"] for row in run(shop, "--text", "none", "--json")["products"]]
    assert alone[0] == pytest.approx(alone[1])


def test_nearest_are_of_the_category_and_the_words(shop: Path, tables: Tables) -> None:
    assert tables.products is not None
    names = tables.products.set_index("product")["name"]
    for row in run(shop, "--json")["products"]:
        wanted = "Organic fig jam" if row["product"] == "n1" else "Simple fig jam"
        assert {names[row[f"nearest_{rank}"]] for rank in (1, 2, 3)} == {wanted}


def test_the_table_names_what_is_used(shop: Path) -> None:
    noise = pd.DataFrame(np.random.default_rng(1).normal(size=(SIZE, 3)), columns=list("xyz"))
    noise.assign(product=[f"p{number:02d}" for number in range(SIZE)]).to_csv(shop / "noise.csv", index=False)
    said = run(shop, "--vectors", str(shop / "noise.csv"), "--out", str(shop / "out.csv"))["text"]
    assert "words: used, weight" in said
    assert "vectors: not used; they tell nothing beside category and price" in said
    assert list(pd.read_csv(shop / "out.csv")["product"]) == ["n1", "n2"]


def test_words_that_no_product_has_are_named(shop: Path, tables: Tables) -> None:
    new = pd.read_csv(shop / "new.csv").assign(name=["Organic kiwi jam", "Simple plum jam"])
    assert forecast_new(tables, new).unseen == {"n1": ["kiwi"]}


def test_own_vectors_tell(shop: Path, tables: Tables) -> None:
    ids = [*(f"p{number:02d}" for number in range(SIZE)), "n1", "n2"]
    picture = pd.DataFrame({"product": ids, "v1": [*(np.arange(SIZE) % 2 == 0), False, True]}).astype({"v1": float})
    found = forecast_new(tables, pd.read_csv(shop / "new.csv"), text=None, vectors=own_vectors(picture))
    first, second = found.units["mean"]
    assert 2.2 < second / first < 4.0


def test_without_further_columns_newcomers_are_as_before(tables: Tables) -> None:
    panel = product_weeks(tables)
    ahead = (
        panel.tail(3).assign(week=panel["week"].max() + pd.Timedelta(days=7)).drop(columns=["units", "traffic"]).tail(1)
    )
    empty = Newcomers([pd.DataFrame(index=panel["product"].unique())]).fit(panel).predict(ahead)
    pd.testing.assert_frame_equal(Newcomers().fit(panel).predict(ahead), empty)


def test_words_never_seen_are_near_those_of_like_meaning() -> None:
    vectors = meaning_vectors(pd.Series({"a": "luxury jam", "b": "premium jam", "c": "dish soap", "d": ""})).to_numpy()
    assert vectors[0] @ vectors[1] > vectors[0] @ vectors[2] + 0.3
    assert not vectors[3].any()


def test_many_words_are_reduced_and_vectors_scaled() -> None:
    rng = np.random.default_rng(0)
    texts = pd.Series([" ".join(f"w{n}" for n in rng.integers(0, 300, 30)) for _ in range(250)])
    vectors = word_vectors(texts)
    assert vectors.shape == (250, 200)
    known = vectors.index[:100]
    assert (scaled(vectors, known).loc[known] ** 2).sum(axis=1).mean() == pytest.approx(1.0)
    assert word_vectors(pd.Series(["one", "two"])).shape == (2, 0)


def test_another_category_is_told_by_price_and_vectors() -> None:
    known = pd.DataFrame({"product": ["a", "b"], "category": ["jam", "tea"], "regular_price": [2.0, 2.1]})
    new = pd.DataFrame({"product": ["n"], "category": ["soap"], "regular_price": [2.0]})
    assert list(nearest(known, new)["nearest"]) == ["a", "b"]
    vectors = pd.DataFrame({"v": [0.0, 1.0, 1.0]}, index=["a", "b", "n"])
    assert nearest(known, new, [vectors], count=1)["nearest"][0] == "b"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"regular_price": ["x", "2"]}, "regular_price must be above 0; got 'x'"),
        ({"product": ["n1", "n1"]}, "a product must be named once; got 'n1'"),
        ({"product": ["n1", "p01"]}, "a product must not have been sold; got 'p01'"),
        ({"category": ["jam", None]}, "product and category must be given; got 'n2'"),
    ],
)
def test_a_wrong_row_is_named(shop: Path, tables: Tables, change: dict, message: str) -> None:
    with pytest.raises(DataError, match=message):
        forecast_new(tables, pd.read_csv(shop / "new.csv", dtype=str).assign(**change))


def test_wrong_tables_are_refused(shop: Path, tables: Tables) -> None:
    new = pd.read_csv(shop / "new.csv", dtype=str)
    with pytest.raises(DataError, match="got no category among product"):
        forecast_new(tables, new[["product"]])
    with pytest.raises(DataError, match="need the table of products"):
        forecast_new(Tables(tables.sales), new)
    with pytest.raises(DataError, match="need 5 that sell since 12 weeks"):
        forecast_new(Tables(tables.sales[tables.sales["date"] < "2024-03-01"], tables.products), new)
    with pytest.raises(DataError, match="established products or more; got 0"):
        forecast_new(tables, new, vectors=own_vectors(pd.DataFrame({"product": ["?"], "v": [1.0]})))
    with pytest.raises(DataError, match="got 'red' in v"):
        own_vectors(pd.DataFrame({"product": ["a"], "v": ["red"]}))
    with pytest.raises(DataError, match="got 'a' twice"):
        own_vectors(pd.DataFrame({"product": ["a", "a"], "v": [1.0, 2.0]}))
    with pytest.raises(DataError, match="must have product and numbers"):
        own_vectors(pd.DataFrame({"v": [1.0]}))


def test_a_stray_date_makes_no_product_an_old_one(tables: Tables) -> None:
    stray = tables.sales.head(1).assign(date=pd.Timestamp("2034-01-01"))
    later = Tables(pd.concat([tables.sales, stray]), tables.products)
    pd.testing.assert_frame_equal(established(later)[1], established(tables)[1])
