"""Decisions and what then sold are sales tables again: serve, sell, export, judge from the log, fit."""

from __future__ import annotations

import json
import warnings
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from repricer.cli import main
from repricer.envs import Outcome, rollout
from repricer.evaluation import read_log
from repricer.pricing import Action, FixedPrice, MarketView
from repricer.scenarios import MarketSpec, save_scenario, spec_from_table
from repricer.serving import Bundle, DecisionLog, Predictor, PriceAnswer, export, load_bundle
from repricer.serving.decision import Decision
from repricer.serving.decision_log.outcomes import ReportedOutcome as Told
from repricer.serving.http.app import create_app
from repricer.serving.product_prices import ProductPrice

from .conftest import make_run

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # which HTTP client the test client would rather have
    from starlette.testclient import TestClient

HOLDOUT = 0.5
MARKETS = 120


@pytest.fixture(scope="module")
def shop() -> MarketSpec:
    """Two products that replace each other and one of another category, four weeks, on a ladder."""
    return spec_from_table(
        {
            "name": "loop-shop",
            "version": 1,
            "market": {"horizon_periods": 4, "objective": "profit"},
            "products": {
                "names": ["a", "b", "c"],
                "category": ["x", "x", "y"],
                "regular_price": [3.0, 4.0, 5.0],
                "unit_cost": 1.0,
            },
            "arrivals": {"rate": 15.0},
            "demand": {"quality": 3.0, "price_sensitivity": 0.8},
            "prices": {"price_ladder": [2.0, 3.0, 4.0, 5.0, 6.0]},
        }
    )


@pytest.fixture(scope="module")
def bundle(shop: MarketSpec, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export(make_run(shop, product_wise=True), tmp_path_factory.mktemp("loop") / "bundle")


class Served:
    """A policy of the simulated market that asks the service, with a holdout that keeps the regular prices.

    Who answers is drawn for a whole market. A product that both would price alike has its price for certain.
    """

    name = "served"

    def __init__(self, bundle: Bundle, client: TestClient, log: DecisionLog) -> None:
        self.client, self.log = client, log
        self.held_out = np.random.default_rng(5).random(MARKETS) < HOLDOUT
        usual: Any = FixedPrice(np.array([3.0, 4.0, 5.0], dtype=np.float32))
        self.own, self.usual = Predictor(bundle), Predictor(replace(bundle, policy=usual))

    def act(self, view: MarketView) -> Action:
        asked = [self.ask(view, e) for e in range(view.num_markets)]
        for _, recorded in asked:
            recorded.result()
        prices = [[price.price for price in answer.prices] for answer, _ in asked]
        return Action(np.array(prices, dtype=np.float32))

    def ask(self, view: MarketView, e: int) -> tuple[PriceAnswer, Future[Any]]:
        state = {"market": f"store {e}", "period": int(view.period[0]), "products": []}
        for n, name in enumerate(view.catalogue.products):
            columns = {key: float(getattr(view, key)[e, n]) for key in ("list_price", "reference_price", "last_units")}
            state["products"].append({"product": name, "on_hand": None, **columns})
        own, other = self.own.price(state), self.usual.price(state)
        first, second = (other, own) if self.held_out[e] else (own, other)
        chances = {
            p.product: 1.0 if p.price == q.price else 0.5 for p, q in zip(first.prices, second.prices, strict=True)
        }
        arm = "fallback" if self.held_out[e] else "policy"
        name = f"{e}-{view.period[0]}"
        return first, self.log.submit_decisions([(name, Decision(state, first, arm, chances, []))])

    def sold(self, view: MarketView, outcome: Outcome) -> None:
        """Tell the service what the simulated market bought."""
        day = f"2024-01-{1 + 7 * int(view.period[0]):02d}"
        told = [
            {
                "request_id": f"{e}-{view.period[0]}",
                "product": name,
                "units": float(outcome.units[e, n]),
                "date": day,
            }
            for e in range(view.num_markets)
            for n, name in enumerate(view.catalogue.products)
        ]
        assert self.client.post("/v1/outcomes", json={"outcomes": told}).json()["new"] == len(told)


@pytest.fixture(scope="module")
def table(shop: MarketSpec, bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The exported log of 120 stores over four weeks."""
    folder = tmp_path_factory.mktemp("served")
    log = DecisionLog(folder / "decisions.db")
    with TestClient(create_app(bundle, log=folder / "decisions.db")) as client:
        served = Served(load_bundle(bundle), client, log)
        rollout(shop, served, episodes=MARKETS, seed=9, watch=served.sold)
    log.close()
    facts = said("log", "export", folder / "decisions.db", "--out", folder / "sales.csv")
    assert (facts["rows"], facts["episodes"], facts["left_out"]) == (MARKETS * 4 * 3, MARKETS, 0)
    return folder / "sales.csv"


def said(*arguments: Any) -> Any:
    result = CliRunner().invoke(main, [*map(str, arguments), "--json"])
    assert result.exit_code == 0, result.output + str(result.exception)
    return json.loads(result.stdout)


def test_the_log_holds_what_the_simulation_knows(table: Path, shop: MarketSpec) -> None:
    log = read_log(shop, table)
    assert len(log) == MARKETS * 4
    np.testing.assert_allclose(log.money, log.units * (log.price - 1))
    assert set(np.unique(log.propensity)) <= {0.5, 1.0}
    # Later weeks see what the week before sold.
    later = log.view.period > 0
    np.testing.assert_array_equal(log.view.last_units[later], log.units[:-1][later[1:]])


def test_a_judgement_from_the_log_covers_the_truth(table: Path, shop: MarketSpec, bundle: Path, tmp_path: Path) -> None:
    save_scenario(shop, tmp_path / "shop")
    document = said("evaluate", tmp_path / "shop", "--policy", bundle, "--from-log", table)
    (found,) = document["policies"]
    truth = rollout(shop, load_bundle(bundle).policy, episodes=20_000, seed=77).objective.mean()
    assert 0.4 < found["matched_share"] < 0.95
    for name, estimate in found["estimates"].items():
        low, high = estimate["ci95"]
        assert low < truth < high, name
        assert high - low < 0.5 * truth, name
    # The weights are one in the mean: the products of a category were drawn together, and where both arms agree, not at all.
    assert found["estimates"]["ips"]["mean"] == pytest.approx(found["estimates"]["snips"]["mean"], rel=0.2)


def test_fit_reads_the_table(tmp_path: Path) -> None:
    """A year of one shop's log, in which prices moved and sales followed."""
    log, generator = DecisionLog(tmp_path / "decisions.db"), np.random.default_rng(3)
    names, waiting, reports = ("a", "b", "c", "d"), [], []
    for week in range(52):
        price = 4.0 * generator.choice([0.75, 1.0, 1.0], size=4)
        units = generator.poisson(60 * (price / 4) ** -2.0)
        given = [
            ProductPrice(n, float(p), float(p), {}, None, None, None, []) for n, p in zip(names, price, strict=True)
        ]
        answer = PriceAnswer("rule", "none", "shop 1", week, None, None, given, {}, None, 0.0)
        state = {"products": [{"product": n, "list_price": 4.0, "on_hand": None} for n in names]}
        waiting.append(log.submit_decisions([(str(week), Decision(state, answer, "policy", 1.0, []))]))
        day = str(np.datetime64("2023-01-02") + 7 * week)
        told = [Told(n, float(u), request_id=str(week), date=day) for n, u in zip(names, units, strict=True)]
        reports.append(told)
    for future in waiting:
        future.result()
    for told in reports:
        log.record_outcomes(told)
    log.close()
    (tmp_path / "products.csv").write_text("product,category\na,x\nb,x\nc,y\nd,y\n")
    said("log", "export", tmp_path / "decisions.db", "--out", tmp_path / "sales.parquet")
    tables = ("--sales", tmp_path / "sales.parquet", "--products", tmp_path / "products.csv")
    imported = said("data", "import", *tables, "--out", tmp_path / "tables")
    assert imported["kept"]["sales"] == 52 * 4
    fitted = said("fit", tmp_path / "tables", "--out", tmp_path / "market", "--forecaster", "moving-average")
    assert -3 < fitted["scores"]["median_elasticity"] < -1
