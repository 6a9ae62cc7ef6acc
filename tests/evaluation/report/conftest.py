"""A report with every section, and one with none that can be left out."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import pytest
from repricer.agents import train
from repricer.evaluation import Comparison, Estimate, evaluate
from repricer.evaluation.report import ReportData, write_report
from repricer.evaluation.rule_costs import rule_costs
from repricer.scenarios import MarketSpec, load_scenario, spec_from_table
from repricer.serving.price_list.image import IndexPath, KeyItem

NASTY = '<b>&" $1 off $5'


def market() -> MarketSpec:
    """Six products in two categories and two segments, as a fitted market has them."""
    weeks, regular = 12, np.array([2.5, 3.0, 4.0, 1.2, 1.6, 2.2])
    season = np.sin(np.arange(weeks) / 2)[:, None]
    history = regular * (1 - 0.2 * (np.add.outer(np.arange(weeks), np.arange(6)) % 4 == 0))
    return spec_from_table(
        {
            "name": "corner-shop",
            "version": 3,
            "summary": "A made-up shop.",
            "assumptions": ["Unit cost is 60% of the regular price."],
            "market": {
                "horizon_periods": weeks,
                "period": "week",
                "first_day": "2024-01-01",
                "currency": "USD",
                "objective": "profit",
            },
            "products": {
                "names": [NASTY, "Espresso beans, dark roast, 1 kg", "Decaf", "Cola", "Lemonade", "Tonic"],
                "category": ["coffee"] * 3 + ["soft drinks"] * 3,
                "regular_price": regular,
                "unit_cost": 0.6 * regular,
            },
            "arrivals": {
                "rate": 60 + 20 * np.hstack([season, -season]),
                "segments": ["loyal", "bargain hunters"],
                "segment_share": [[0.6, 0.4], [0.3, 0.7]],
                "overdispersion": 0.1,
            },
            "demand": {"quality": [[4.0] * 6, [5.0] * 6], "price_sensitivity": [2.0 / regular, 4.0 / regular]},
            "reference_price": {"memory": 0.7, "gain": 0.5, "loss": 1.0},
            "recommendation": {"lift": 0.5, "candidates": np.ones((2, 6)), "affinity": [range(6), range(6, 0, -1)]},
            "stock": {
                "initial_units": 40,
                "replenishment": "order-up-to",
                "order_up_to_units": 40,
                "lead_time_periods": 1,
            },
            "plan": {"price": history, "units": np.full((weeks, 6), 8.0)},
            "prices": {"floor": 0.65 * regular, "ceiling": 1.6 * regular, "tick": 0.01, "max_discount": 0.2},
        }
    )


_PARTS = {
    "dataset": {
        "fingerprint": "0f3a9c",
        "rows": 12345,
        "weeks": ["2023-01-02", "2023-12-25"],
        "products": 30,
        "import": ["sales: 12,400 rows read, 12,345 kept"],
    },
    "chosen_forecaster": "sarimax",
    "category_response": [
        {"category": "coffee", "elasticity": -0.9, "se": 0.15, "outside_share": 0.42, "outside_share_se": 0.1,
         "shock": 0.05, "first_stage_f": None},
        {"category": "soft drinks", "elasticity": -0.4, "se": 0.2, "outside_share": 0.05, "outside_share_se": 0.1,
         "shock": 0.0, "first_stage_f": None},
    ],
    "prices_follow_demand": 0.12,
    "unidentified": [NASTY],
    "identification_checks": {
        "lead_price": {"pooled": {"products": 31, "effect": 0.03, "se": 0.05, "p_value": 0.55}, "categories": []},
    },
    "deals": {"memory": 0.7, "probability": 0.93, "utility": {"mean": 0.41, "se": 0.12},
              "units": {"mean": 1.2, "se": 0.1}, "dip": {"mean": 0.3, "se": 0.05}},
    "regular_prices": [
        {"category": "coffee", "moves": 120, "stores": 8, "relative": -1.8, "relative_interval90": [-2.6, -1.1],
         "relative_prior_share": 0.4, "total": -0.5, "total_interval90": [-0.9, -0.2], "total_prior_share": 0.87},
    ],
    "segments": [
        {"name": "loyal", "customers": 812, "share": 0.41, "spend_per_week": 31.2, "elasticity": -1.2,
         "elasticity_se": 0.1},
        {"name": "bargain hunters", "customers": 1170, "share": 0.59, "spend_per_week": 12.9, "elasticity": -2.9,
         "elasticity_se": 0.2},
    ],
    "segment_rules": "|--- discount_share <= 0.31\n|   |--- class: loyal\n|--- discount_share >  0.31\n",
    "segment_fidelity": 0.93,
    "recommender": {"recall_at_20": 0.31, "popularity_recall_at_20": 0.22},
    "assumptions": ["Lost sales are not made up for elsewhere.", "Unit cost is 60% of the regular price."],
}  # fmt: skip
"""The parts of a fit report that are the same for all products."""

_PROOF = {
    "first_day": "2023-10-02",
    "last_day": "2023-12-24",
    "weeks": 12,
    "backtest": [
        {"forecaster": "sarimax", "wape": 0.31, "mase": 0.82, "cover80": 0.79, "cover95": 0.94, "failures": 0,
         "seconds": 12.3},
        {"forecaster": "seasonal-naive", "wape": 0.44, "mase": 1.07, "cover80": None, "cover95": float("nan"),
         "failures": 2, "seconds": 0.2},
    ],
    "price_changes": {
        "moved_by": 0.1,
        "pooled": {"changes": 3, "products": 3, "slope": 0.93, "slope_se": 0.06, "slope_interval90": [0.83, 1.03],
                   "r2": 0.5, "coverage90": 0.88},
        "categories": [
            {"category": "coffee", "changes": 3, "products": 3, "slope": 0.93, "slope_se": 0.06,
             "slope_interval90": [0.83, 1.03], "r2": 0.5, "coverage90": 0.88},
            {"category": "soft drinks", "changes": 0, "products": 0, "slope": None, "slope_se": None,
             "slope_interval90": None, "r2": None, "coverage90": None},
        ],
        "changes": [
            {"product": f"p{i}", "category": "coffee", "week": "2024-01-08", "price_change": -0.2, "predicted": p,
             "realised": r, "units": [4.0, 7.0]}
            for i, (p, r) in enumerate([(0.5, 0.6), (-0.4, -0.2), (1.2, 0.9)])
        ],
    },
}  # fmt: skip
"""The same of its proof."""


def _by_week(weeks: list[str], traffic: np.ndarray) -> dict:
    """The parts of a fit report that are drawn by week."""
    return {
        "trend": {
            "score": 24.1, "naive": 31.5, "weeks": weeks[:52], "history": traffic[:52].tolist(),
            "forecast_weeks": weeks[52:], "traffic": traffic[52:].tolist(), "low": (traffic[52:] - 60).tolist(),
            "high": (traffic[52:] + 60).tolist(),
        },
        "sales_by_week": {
            "weeks": weeks[:52], "units": traffic[:52].tolist(), "forecast_weeks": weeks[48:52],
            "forecast": traffic[47:51].tolist(),
        },
        "prices_by_week": {
            "weeks": weeks[52:], "recent_weeks": weeks[40:52], "planned": [2.9] * 12, "recent": [2.8] * 12,
            "year_ago": [2.7] * 12,
        },
    }  # fmt: skip


@pytest.fixture(scope="session")
def fit_report() -> dict:
    """A fit report with every part in it."""
    draws = np.random.default_rng(0)
    products = [
        {"product": f"p{i}", "name": name, "category": "coffee" if i < 15 else "soft drinks"}
        for i, name in enumerate([NASTY, *(f"Product number {i} with a long name" for i in range(1, 30))])
    ]
    shrunk, raw = -1.8 + 0.4 * draws.standard_normal(30), -1.8 + draws.standard_normal(30)
    raw[3] = 6.0
    weeks = [str(np.datetime64("2023-01-02") + 7 * i) for i in range(64)]
    traffic = 900 + 80 * np.sin(np.arange(64) / 8) + 20 * draws.standard_normal(64)
    return _PARTS | {
        "price_response": [
            row | {"elasticity": s, "elasticity_se": 0.2, "elasticity_interval90": [s - 0.3, s + 0.35],
                   "outside_share": 0.4, "outside_share_se": 0.1, "outside_share_interval90": [0.2, 0.6],
                   "raw": r, "raw_se": 0.7, "shrunk": s, "shrunk_se": 0.2, "implausible": bool(r > 0)}
            for row, r, s in zip(products, raw.tolist(), shrunk.tolist(), strict=True)
        ]
        + [{"product": "p30", "name": None, "category": "coffee", "elasticity": -1.7, "elasticity_se": 0.4,
            "elasticity_interval90": [-2.4, -1.1], "raw": None, "raw_se": None, "shrunk": -1.7,
            "shrunk_se": 0.4, "implausible": False}],
        "cross_elasticities": [
            {"product": "p0", "other": other["product"], "category": "coffee", "name": NASTY, "other_name": other["name"],
             "elasticity": e, "interval90": [e - 0.1, e + 0.2]}
            for other, e in zip(products[1:15], np.linspace(0.9, 0.2, 14).tolist(), strict=True)
        ],
        **_by_week(weeks, traffic),
        "proof": _PROOF | {
            "fidelity": {
                "wape": 0.23,
                "benchmark_wape": 0.25,
                "calibration": {"pit": [0.14, 0.09, 0.08, 0.1, 0.09, 0.1, 0.09, 0.08, 0.1, 0.13], "p_value": 0.012,
                                "cover80": 0.77, "cover95": 0.93},
                "products": [
                    row | {"actual_units": float(u), "simulated_units": float(u * f)}
                    for row, u, f in zip(products, draws.gamma(2, 80, 30), draws.normal(1, 0.15, 30), strict=True)
                ],
            },
        },
    }  # fmt: skip


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("runs") / "run"


@pytest.fixture(scope="session")
def run(folder):
    settings = {"num_envs": 8, "validation_episodes": 16, "evaluations": 3, "net_arch": [16], "batch_size": 1536}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("repricer.agents.cloning._BATCHES", 5)  # how it opens is not judged
        return train(market(), steps=9216, settings=settings, out=folder)


@pytest.fixture(scope="session")
def comparison(run) -> Comparison:
    return evaluate(run.spec, [run.policy, "myopic", "historical"], episodes=40)


@dataclass(frozen=True)
class StressRow:
    """What the report reads of a row of the stress table."""

    stress: str
    meaning: str
    policy: str
    objective: Estimate
    loss: Estimate
    vs_fixed: Estimate
    share_of_optimum: float | None


@dataclass(frozen=True)
class StressTable:
    rows: list[StressRow]
    skipped: dict[str, str]


@pytest.fixture(scope="session")
def stress(run) -> StressTable:
    """The learned policy and the best fixed prices under three stresses, one of which it loses."""
    rows = []
    for stress, meaning, loss, gap in (
        ("demand-halved", "half the customers come", 0.52, 40.0),
        ("rival-undercuts", "a rival undercuts every price by a tenth, from the first period on", 0.21, -12.0),
        ("supply-late", "orders take two periods more", 0.04, 3.0),
    ):
        near = Estimate(loss, loss - 0.01, loss + 0.01)
        for policy, ahead, share in ((run.policy.name, gap, 0.91), ("best-fixed", 0.0, None)):
            money = Estimate(900 * (1 - loss) + ahead, 880 * (1 - loss), 920 * (1 - loss) + ahead)
            rows.append(StressRow(stress, meaning, policy, money, near, Estimate(ahead, ahead - 5, ahead + 5), share))
    return StressTable(rows, {"regime-shift": "[regimes] is off in this market"})


@pytest.fixture(scope="session")
def costs():
    """What the rules of the shop cost with ample stock, one of them without a choice."""
    return rule_costs(
        market().with_changes(stock={"initial_units": np.inf, "replenishment": "none"}, prices={"frozen": ("Cola",)})
    )


@pytest.fixture(scope="session")
def full(run, comparison, fit_report, stress, costs) -> ReportData:
    return ReportData(
        comparison,
        run,
        run.policy.name,
        fit_report,
        timings=[{"stage": "fit", "seconds": 71.0}, {"stage": "training", "seconds": 12.5}],
        stress=stress,
        tree="|--- units on hand <= 12\n|   |--- price / regular price: 1.21\n|--- units on hand >  12\n|   |--- 0.98\n",
        tree_fidelity=0.87,
        rule_costs=costs,
        key_items=(
            KeyItem(
                id="7", name=NASTY, score=0.91, reasons=("in 12.0% of baskets",), status="confirmed", decided_by="Ann"
            ),
            KeyItem(id="8", name="Cola", score=0.5),
        ),
        price_index=(index("rival", (None, 0.98, 1.01, 1.03), 1.02), index("month", (0.99, 1.0, 1.0, 1.0), None)),
    )


def index(reference: str, values: tuple[float | None, ...], bound: float | None) -> IndexPath:
    """The path of two past weeks and two of the list."""
    weeks = tuple(date(2023, 12, 18) + timedelta(weeks=n) for n in range(4))
    own = {"zone": "all stores", "products": 6, "known": 4, "coverage": 0.8, "weeks": weeks, "past": 2, "bound": bound}
    return IndexPath(reference=reference, base=f"prices of {reference}", index=values, **own)


@pytest.fixture(scope="session")
def bare() -> ReportData:
    spec = load_scenario("stationary-logit")
    return ReportData(evaluate(spec, ["myopic", "optimum"], episodes=20), learned="optimum")


@pytest.fixture(scope="session")
def page(full, tmp_path_factory):
    return write_report(tmp_path_factory.mktemp("report") / "full.html", full)


@pytest.fixture(scope="session")
def bare_page(bare, tmp_path_factory):
    return write_report(tmp_path_factory.mktemp("report") / "bare.html", bare)
