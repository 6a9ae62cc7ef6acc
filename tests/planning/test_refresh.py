"""A bundle is refreshed from newer tables, all or nothing."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from repricer.agents import Run, best_fixed
from repricer.agents.posterior import cautious_prices
from repricer.cli import main
from repricer.data import ImportReport, save_tables
from repricer.fitting import Assumptions, Priors, refit
from repricer.fitting.customers import Customers
from repricer.fitting.fit_split import FitOptions
from repricer.fitting.refit import fit_record
from repricer.forecasting import MovingAverage
from repricer.planning.refresh import _changes, refresh
from repricer.privacy.encryption import change_folder, secret
from repricer.scenarios import goal_market
from repricer.serving import BundleError, Predictor, StateError, example_state, export, load_bundle
from repricer.serving.bundle.files import own_key_paths
from repricer.serving.exporter.export import reasons_to_train
from repricer.serving.exporter.holding import Holding

from ..fitting.test_refit import CHOSEN, shop
from ..serving.conftest import make_run


@pytest.fixture(scope="module")
def run() -> Run:
    record = fit_record(
        FitOptions("shop", "revenue", "currency", Assumptions(), Priors(), draws=6, promotions=False, seed=0),
        CHOSEN,
        MovingAverage(),
        Customers(("everyone",), -np.ones(1), np.ones((1, 4)), None, None, {}),
        None,
        used="moving-average",
        weeks=4,
        first_day="2023-11-06",
        trend="moving average",
    )
    made = make_run(refit(shop(44), record).spec, product_wise=True)
    return replace(made, facts=made.facts | {"settings": {"base_price": "best-fixed", "history": 1}}, refit=record)


@pytest.fixture(scope="module")
def exported(run: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export(run, tmp_path_factory.mktemp("refresh") / "bundle")


@pytest.fixture
def path(exported: Path, tmp_path: Path) -> Path:
    """A copy, with its key."""
    copied = tmp_path / "bundle"
    shutil.copytree(exported, copied)
    for one, other in zip(own_key_paths(exported), own_key_paths(copied), strict=True):
        shutil.copy(one, other)
    return copied


def test_the_same_network_prices_the_weeks_after_newer_tables(path: Path) -> None:
    old, network = load_bundle(path), (path / "policy.onnx").read_bytes()
    found = refresh(path, shop(46))
    new = load_bundle(path, public_key=own_key_paths(path)[1])
    assert new.digest == found.bundle.digest != old.digest
    assert (path / "policy.onnx").read_bytes() == network
    assert new.catalogue.calendar is not None
    assert new.catalogue.calendar.labels == ["2023-11-20", "2023-11-27", "2023-12-04", "2023-12-11"]
    assert not np.array_equal(new.catalogue.forecast_units, old.catalogue.forecast_units)
    np.testing.assert_allclose(new.policy.base_price, best_fixed(found.spec).price)
    assert [row["product"] for row in found.price_response] == list(found.spec.products.ids)
    assert all(row["identified"] or row["reason"] for row in found.price_response)
    state = example_state(new.catalogue)
    assert Predictor(new).price(state).date == "2023-11-20"
    with pytest.raises(StateError, match="date must be 2023-11-20 to 2023-12-17"):
        Predictor(new).price(state | {"date": "2023-11-06"})
    assert new.manifest["refreshed"]["from"] == old.digest
    assert new.manifest["check"] == old.manifest["check"]
    assert new.manifest["data"] != old.manifest["data"]
    again = refresh(path, shop(47))
    assert again.before == found.before
    assert again.bundle.manifest["refreshed"]["from"] == new.digest


def test_cautious_prices_stay_cautious(run: Run, tmp_path: Path) -> None:
    facts = run.facts | {"settings": run.facts["settings"] | {"risk": "cvar:0.25"}}
    found = refresh(export(replace(run, facts=facts), tmp_path / "bundle"), shop(46))
    fixed = best_fixed(found.spec).price
    wanted = cautious_prices(goal_market(found.spec), fixed, 0.25)
    assert not np.allclose(wanted, fixed)
    np.testing.assert_allclose(found.bundle.policy.base_price, wanted)


def test_prices_that_were_not_learned_are_found_anew(run: Run, tmp_path: Path) -> None:
    path = export(run, tmp_path / "bundle", holding=Holding("best-fixed"))
    found = refresh(path, shop(46), weeks=3)
    answer = Predictor(found.bundle).price(example_state(found.bundle.catalogue))
    proposed = [item.proposed for item in answer.prices]
    np.testing.assert_allclose(proposed, best_fixed(found.spec).price, rtol=1e-6)
    assert found.bundle.catalogue.horizon == 3


def test_a_refresh_that_fails_leaves_the_bundle(path: Path) -> None:
    before, tables = load_bundle(path).digest, shop(46)
    with pytest.raises(ValueError, match="got none of c"):
        refresh(path, replace(tables, sales=tables.sales[tables.sales["product"] != "c"]))
    assert load_bundle(path).digest == before
    assert sorted(item.name for item in path.parent.iterdir()) == ["bundle", "bundle.key.pem", "bundle.pub.pem"]


def test_a_bundle_without_the_record_of_its_fit_is_refused(one_path: Path) -> None:
    with pytest.raises(BundleError, match="must hold the record of its fit to be refreshed; got none; export it from"):
        refresh(one_path, shop(46))


def test_products_that_came_or_went_are_named(run: Run) -> None:
    tables, record = shop(50), run.refit
    assert record is not None
    assert _changes(tables, record) == []
    sales = tables.sales
    last = sales["date"].max()
    sales = sales[(sales["product"] != "c") | (sales["date"] < "2023-11-06")]
    new = sales[sales["date"] == last].head(1).assign(product="e", units=9e3)
    products = tables.products.merge(new[["product"]].assign(category="x", name="E"), how="outer")
    found = _changes(replace(tables, sales=pd.concat([sales, new]), products=products), record)
    assert found == [
        "no sales in the last 4 weeks: C",
        "new products that sell more than some of the priced ones: E",
    ]


def test_products_come_and_go_in_the_zone_of_the_fit(run: Run) -> None:
    tables, record = shop(50), run.refit
    assert record is not None
    zone = {"name": "zone-1", "stores": {"zone-1": ["here"], "zone-2": ["there"]}}
    last = tables.sales["date"].max()
    # Another zone still sells one product, and sells much of a new one.
    left = (tables.sales["product"] == "c") & (tables.sales["date"] > last - pd.Timedelta(weeks=6))
    new = tables.sales[tables.sales["date"] == last].head(1).assign(product="e", units=9e3, store="there")
    sales = pd.concat([tables.sales.assign(store=np.where(left, "there", "here")), new])
    products = tables.products.merge(new[["product"]].assign(category="x"), how="outer")
    found = _changes(replace(tables, sales=sales, products=products), record | {"zone": zone})
    assert found == ["no sales in the last 4 weeks: C"]


def test_a_stray_date_ends_no_product(run: Run) -> None:
    tables, record = shop(50), run.refit
    assert record is not None
    stray = tables.sales.head(1).assign(date=pd.Timestamp("2034-01-01"))
    assert _changes(replace(tables, sales=pd.concat([tables.sales, stray])), record) == []


def gains(best: float, own: float, risk: float = 0.0) -> dict[str, Any]:
    spread = {"best": (best - 0.01, best + 0.01), "own": (own - 0.01, own + 0.01)}
    return {
        "vs_best_fixed": {"relative": {"mean": best, "interval90": spread["best"]}, "interval90": spread["best"]},
        "vs_own": {"relative": {"mean": own, "interval90": spread["own"]}, "loss_probability": risk},
    }


@pytest.mark.parametrize(
    ("now", "outside", "learned", "said"),
    [
        (gains(0.025, 0.1), {}, True, None),
        (
            gains(0.015, 0.1),
            {},
            True,
            "the learned prices earn +1.5% against the best fixed prices of these weeks; it was",
        ),
        (gains(0.015, 0.1), {}, False, None),
        (gains(0.03, 0.0, 0.4), {}, False, "the held prices have a 40% chance of earning less than the current prices"),
        (gains(0.03, 0.1), {"log_stock": 0.2}, True, "in a share of product-periods: "),
        (gains(0.03, 0.1), {"log_stock": 0.2}, False, None),
        (None, {}, True, None),
        (gains(-0.03, 0.1), {}, False, None),
    ],
)
def test_it_says_when_to_train_again(now: Any, outside: Any, learned: bool, said: str | None) -> None:
    found = reasons_to_train(now, gains(0.03, 0.1), outside, learned=learned)
    assert len(found) == (said is not None)
    assert said is None or said in found[0]


def test_the_command(path: Path, tmp_path: Path) -> None:
    tables, market = shop(46), tmp_path / "market"
    rows = len(tables.sales)
    save_tables(tables, ImportReport({"sales": rows}, {"sales": rows}, {"sales": {}}), tmp_path / "shop")
    asked = ["refresh", str(path), "--tables", str(tmp_path / "shop"), "--out", str(tmp_path / "new")]
    result = CliRunner().invoke(main, [*asked, "--market", str(market), "--json"])
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    assert document["calendar"]["first_day"] == "2023-11-20"
    assert document["digest"] == load_bundle(tmp_path / "new").digest != load_bundle(path).digest
    assert {"scenario.toml", "fit.json"} <= {item.name for item in market.iterdir()}
    text = CliRunner().invoke(main, asked).stdout
    assert "the learned prices for 2023-11-20 to 2023-12-17" in text
    assert "against the best fixed prices" in text


def test_an_encrypted_bundle_stays_encrypted(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REPRICER_KEY", "0a" * 32)
    change_folder(path, secret())
    found = refresh(path, shop(46))
    assert {file.suffix for file in path.iterdir()} == {".enc"}
    assert load_bundle(path).digest == found.bundle.digest
