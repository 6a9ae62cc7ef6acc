"""Price rules of all priorities, drawn at random: against solvers that share no code with them, in simulator, list and
service, and their time in the service."""

from __future__ import annotations

import functools
import json
import tempfile
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from repricer.envs import Market, catalogue_of
from repricer.pricing import Action, Catalogue, Guardrails, MarketView, StockTable
from repricer.pricing.price_rules.overrides import allowed_path
from repricer.scenarios import MarketSpec, ScenarioError, spec_from_table
from repricer.serving import Bundle, Predictor, export, load_bundle
from repricer.tests.pricing.price_rules.drawn_rules import SWITCHES, drawn_set
from repricer.tests.pricing.price_rules.test_rule_sets import GRIDS, check_rule_sets

from .checks import check

PRICES, CASES, MARKETS, PATHS, PERIODS = 10_000_000, 10_000, 5_000, 60, 6


@functools.cache
def fuzzed() -> Counter[str]:
    """The counts of ten million prices; raises where a rule that could be kept was not."""
    return check_rule_sets(sets=PRICES // (4 * MARKETS), markets=MARKETS, seed=56)


@check("rules", "fuzzed prices that keep every rule that can be kept with all stronger ones", ">=", PRICES, "prices")
def kept() -> float:
    return fuzzed()["prices"]


@check("rules", "rules that were missed, by at most 1% more than a solver's least amount", ">=", CASES, "cases")
def least() -> float:
    return check_rule_sets(sets=1, markets=64, seed=560, solved=CASES)["solved"]


def drawn_market(rng: np.random.Generator) -> MarketSpec | None:
    """A market of four products with a random set of rules; None where the rules are refused."""
    on = {name for name in SWITCHES if name not in ("planned_price", "max_changes") and rng.random() < 0.35}
    rules = drawn_set(rng, str(rng.choice(GRIDS)), on)
    names = list("abcd")
    same = ("floor", "ceiling", "minimum_margin", "minimum_advertised_price", "tick", "max_change", "direction")
    same += ("index_names", "index_weights", "index_at_most", "priority", "rival_at_least", "rival_at_most")
    prices = {key: rules[key] for key in same if key in rules}
    prices |= {f"price_{key}": rules[key] for key in ("ladder", "endings") if key in rules}
    prices["frozen"] = [name for name, held in zip(names, rules.get("frozen", [False] * 4), strict=True) if held]
    prices["line_order"] = [[names[n] for n in line] for line in rules.get("lines", ())]
    for key, name, share in (("gaps", "price_gaps", "gap_shares"), ("packs", "packs", "pack_shares")):
        if pairs := rules.get(key, ()):
            prices |= {name: [[names[a], names[b]] for a, b, _ in pairs], share: [pair[2] for pair in pairs]}
    rivals = {"names": [f"rival {name}" for name in names], "product": names, "rule": "undercut:0.1"}
    rivals |= {"regular_price": rng.uniform(2, 15, 4), "unit_cost": 0.1, "quality": 1.0, "price_sensitivity": 0.6}
    table = {
        "name": "drawn",
        "version": 1,
        "market": {"horizon_periods": PERIODS, "first_day": "2018-01-01", "period": "week"},
        "products": {"names": names, "regular_price": rng.uniform(2, 15, 4).round(2), "unit_cost": rules["unit_cost"]},
        "arrivals": {"rate": 30.0},
        "demand": {"quality": 3.0, "price_sensitivity": 0.6},
        "stock": {"initial_units": 1e6},
        "prices": prices,
    }
    try:
        return spec_from_table(table | ({"competitors": rivals} if "rival_price" in on else {}))
    except ScenarioError:
        return None


def state(bundle: Bundle, view: MarketView) -> dict[str, Any]:
    """The first market of a view, as a client of the service would state it."""
    columns = {key: getattr(view, key) for key in ("list_price", "on_hand", "reference_price", "last_units")}
    columns |= {} if view.competitor_price is None else {"competitor_price": view.competitor_price}
    rows = [{"product": name} for name in bundle.catalogue.products]
    for key, column in columns.items():
        for row, number in zip(rows, column[0].tolist(), strict=True):
            row[key] = number if np.isfinite(number) else None
    return json.loads(json.dumps({"period": int(view.period[0]), "products": rows}))


@functools.cache
def agreement() -> tuple[float, int]:
    """The largest difference of prices of simulator, list and service, currency per unit; how many were compared."""
    rng, worst, count = np.random.default_rng(5600), 0.0, 0
    with tempfile.TemporaryDirectory() as folder:
        while count < PATHS * PERIODS * 4:
            if (spec := drawn_market(rng)) is None:
                continue
            asked = rng.uniform(0.5, 20, (PERIODS, 4)).round(2)
            own = tuple(column.reshape(PERIODS, 1, 1, 1) for column in asked.astype(np.float32).T)
            policy = StockTable(own, tuple((n,) for n in range(4)))
            market, charged = Market(spec), []
            bundle = load_bundle(export(policy, Path(folder) / str(count), scenario=spec))
            predictor, before = Predictor(bundle), spec.initial_price[None]
            for _ in range(PERIODS):
                view = market.view
                served = [item.price for item in predictor.price(state(bundle, view)).prices]
                charged.append(market.step(policy.act(view)).list_price[0])
                worst = max(worst, float(np.abs(np.array(served) - charged[-1]).max()))
            if spec.competitors is None:
                # No price is planned; those that must not change are.
                held = False if spec.guardrails.frozen is None else spec.guardrails.frozen
                regular = np.where(held, before, np.full_like(asked, np.nan))
                listed = allowed_path(spec.guardrails, catalogue_of(spec), asked, regular, before)[0]
                worst = max(worst, float(np.abs(listed - charged).max()))
            count += PERIODS * 4
    return worst, count


@check("rules", "prices of simulator, list and service under drawn rules, apart by", "<=", 0.005, "currency")
def apart() -> float:
    return agreement()[0]


@check(
    "rules", "rules of every kind on 30 products in the service, ranges, ties and a basket", "<=", 30, "µs a product"
)
def microseconds() -> float:
    """CPU time of the price rules and of what gave way, for one state, as the service applies them; the median of 200."""
    size, rng = 30, np.random.default_rng(1)
    now = np.sort(rng.uniform(3, 6, (1, size)).round(2)).astype(np.float32)
    nothing = np.zeros((1, size), np.float32)
    catalogue = Catalogue(
        products=tuple(f"p{n}" for n in range(size)),
        segments=("all",),
        category=np.zeros(size, int),
        regular_price=now[0],
        unit_cost=now[0] / 3,
        segment_elasticity=np.full((1, size), -2, np.float32),
        segment_units=np.ones((1, size), np.float32),
        forecast_units=np.ones((3, size), np.float32),
        change_window_periods=4,
    )
    view = MarketView(catalogue, np.zeros(1, int), now, now, nothing, nothing, nothing)
    view = replace(view, competitor_price=now * np.float32(1.05), changes=rng.integers(0, 3, (1, size)))
    rules = Guardrails(
        floor=np.full(size, 1.0),
        ceiling=np.full(size, 9.0),
        unit_cost=np.full(size, 1.0),
        minimum_margin=0.1,
        minimum_advertised_price=np.full(size, 1.5),
        tick=0.01,
        max_change=0.15,
        max_changes=2,
        change_window_periods=4,
        rival_at_least=np.full(size, 0.9),
        rival_at_most=np.full(size, 1.15),
        lines=tuple(tuple(range(n, n + 3)) for n in range(0, 18, 3)),
        packs=tuple((n, n + 1, 2.0) for n in range(18, 28)),
        gaps=((28, 29, 1.0),),
        index_names=("rival",),
        index_weights=1 / (1.05 * now.astype(np.float64).sum()) * np.ones((1, size)),
        index_at_most=np.array([0.95]),
    )
    times = []
    for _ in range(200):
        asked = Action((now * rng.uniform(0.8, 1.25, now.shape)).astype(np.float32))
        start = time.process_time()
        rules.apply(asked, view).gave_way  # noqa: B018
        times.append(time.process_time() - start)
    return float(np.median(times)) / size * 1e6
