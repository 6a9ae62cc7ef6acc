"""The law on prices over ten million simulated decisions for each jurisdiction, judged by a checker of its own.

The checker is written from the statutes, not from the package: it keeps every price that was charged, and looks at what was
announced, what segments pay and what notices say. From the package it takes markets and answers alone.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from repricer import Market
from repricer.pricing import Action
from repricer.scenarios import MarketSpec, ScenarioError, spec_from_table
from repricer.scenarios.price_section import LawSection

from .checks import check

DECISIONS, MARKETS, PRODUCTS, PERIODS, DAYS = 10_000_000, 2_500, 20, 40, 7
NEW_YORK = "THIS PRICE WAS SET BY AN ALGORITHM USING YOUR PERSONAL DATA"
PERISHABLE = np.arange(PRODUCTS) < 4


def market(*jurisdictions: str, **own: Any) -> MarketSpec:
    """Weeks of a shop with personal discounts and competitors."""
    rng, names = np.random.default_rng(7), tuple(f"product {n}" for n in range(PRODUCTS))
    regular = rng.uniform(2, 20, PRODUCTS).round(2)
    rivals = {"names": ["rival"], "regular_price": regular[:1], "quality": 2.0, "price_sensitivity": 0.5}
    spec = spec_from_table(
        {
            "name": "law",
            "version": 1,
            "market": {"horizon_periods": PERIODS, "period": "week"},
            "products": {"names": names, "regular_price": regular},
            "arrivals": {"rate": 30.0, "segments": ["thrifty", "loyal"], "segment_share": 0.5},
            "demand": {"quality": 3.0, "price_sensitivity": [[0.8], [0.4]]},
            "competitors": rivals,
            "prices": {"floor": 0.4 * regular, "ceiling": 1.6 * regular, "tick": 0.01, "max_discount": 0.3},
        }
    )
    given = {"competitor_source": "own-observation", "perishable": names[:4], **own}
    return replace(spec, law=LawSection(jurisdictions, **given))


def decisions(spec: MarketSpec, seed: int) -> Iterator[tuple[Any, Any, Any]]:
    """Whatever a policy may ask for: prices that fall, stay and rise, and discounts. Gives the price that was announced
    as reduced, the guarded action and the outcome of every period.
    """
    rng, sold, regular = np.random.default_rng(seed), 0, spec.products.regular_price
    while sold < DECISIONS:
        shop = Market(spec, num_markets=MARKETS, seed=int(rng.integers(1 << 30)))
        yield None, None, shop
        for _ in range(PERIODS):
            now, shape = shop.view.list_price, (MARKETS, PRODUCTS)
            moved = now * rng.choice([0.7, 0.9, 0.97, 1.0, 1.0, 1.0, 1.03, 1.2], shape)
            asked = np.where(rng.random(shape) < 0.15, regular, moved).astype(np.float32)
            share = np.where(rng.random((*shape, 2)) < 0.5, rng.uniform(0, 0.4, (*shape, 2)), 0).astype(np.float32)
            action = Action(asked, discount=share)
            guarded = spec.guardrails.apply(action, shop.view)
            outcome = shop.step(action)
            sold += asked.size
            yield shop.view.prior_price, guarded, outcome


@functools.cache
def announcements(progressive: bool) -> Counter[str]:
    """Breaches of article 6a of Directive 98/6/EC, paragraphs 1 to 3 and 5, and how much was announced."""
    spec, found, back = market("EU", "NY", "MD", "CA", progressive=progressive), Counter[str](), -(-30 // DAYS)
    charged, runs, ran = [], np.empty(0), np.empty(0, bool)
    for stated, guarded, outcome in decisions(spec, 1):
        if guarded is None:
            charged = [outcome.state.list_price.copy()] * back
            # The prior price by the law of the reduction that runs, and whether one was announced the week before.
            runs, ran = np.full((MARKETS, PRODUCTS), np.nan), np.zeros((MARKETS, PRODUCTS), bool)
            continue
        price, before = outcome.list_price.copy(), charged[-1]
        lowest = np.min(charged[-back:], axis=0)
        own = np.where(PERISHABLE, before, lowest)
        lowered, kept = price < before - 0.005, np.abs(price - before) < 0.005
        # Paragraph 2: the 30 days end where the reduction is applied; 5: the first application, where it is increased.
        first = (ran & kept) | (ran & lowered & progressive)
        runs = np.where(first, runs, own)
        announced = np.isfinite(stated)
        found["announced"] += int(announced.sum())
        found["with another prior price"] += int((announced & (np.abs(stated - runs) > 0.005)).sum())
        found["not below its prior price"] += int((announced & (price > stated - 0.005)).sum())
        found["neither lowered nor going on"] += int((announced & ~lowered & ~(ran & kept)).sum())
        found["not announced though lowered below the lowest"] += int(
            (~announced & lowered & (price < own - 0.005)).sum()
        )
        found["said otherwise to the policy"] += int((~np.isclose(stated, guarded.prior_price, equal_nan=True)).sum())
        found["charged otherwise than given"] += int((np.abs(price - guarded.price) > 0.005).sum())
        found["decisions"] += price.size
        found["personal, in a food store of Maryland too"] += int((guarded.discount > 0).sum())
        ran = announced
        charged = [*charged[-back:], price]
    return found


def breaches(found: Counter[str]) -> int:
    """All that the checker counted beside what it looked at."""
    return sum(count for name, count in found.items() if name not in ("announced", "decisions", "personal"))


@functools.cache
def personal(*jurisdictions: str, **own: Any) -> Counter[str]:
    """What segments pay and which notices stand beside it: by the law, a price with a discount for anyone is personal."""
    spec, found = market(*jurisdictions, **own), Counter[str]()
    law = spec.guardrails.law
    assert law is not None
    for _, guarded, outcome in decisions(spec, 2):
        if guarded is None:
            continue
        paid = guarded.price[..., None] * (1 - guarded.discount)
        differs = (np.abs(paid - guarded.price[..., None]) > 0.004).any(axis=-1)
        found["decisions"] += guarded.price.size
        found["personal"] += int(differs.sum())
        found["personal without a mark"] += int((differs & ~guarded.personal).sum())
        charged = np.abs(outcome.paid - outcome.list_price) > 0.004
        found["paid otherwise though all pay the list price"] += int((charged & ~differs).sum())
        if "MD" in jurisdictions and own.get("food_store", True):
            found["personal in a food store of Maryland"] += int(differs.sum()) + int(charged.sum())
    sentences = law.notices()
    found["without New York's sentence"] += int("NY" in jurisdictions and sentences.get("NY") != NEW_YORK)
    found["without the Union's notice"] += int(
        "EU" in jurisdictions
        and "personalised on the basis of automated decision-making" not in sentences.get("EU", "")
    )
    return found


@functools.cache
def answers() -> Counter[str]:
    """The same of the service's answers, as a shop reads them: JSON of a bundle for all but Maryland."""
    import json
    import tempfile
    from pathlib import Path

    from repricer.serving import Predictor, example_state, export, load_bundle
    from repricer.tests.serving.conftest import make_run

    spec, found = market("EU", "NY", "CA"), Counter[str]()
    with tempfile.TemporaryDirectory() as folder:
        bundle = load_bundle(export(make_run(spec, product_wise=True), Path(folder) / "bundle"))
    manifest, predictor, rng = bundle.manifest, Predictor(bundle), np.random.default_rng(3)
    source, audited = (manifest["law"]["competitors"] or {}).get("source"), manifest.get("competition", {})
    found["without provenance"] += source != "own-observation"
    found["without an audit"] += not (audited.get("audit") or audited.get("no_audit"))
    while found["decisions"] < 100_000:
        state, named = example_state(bundle.catalogue), rng.choice(["", "EU", "NY", "CA"])
        for item in state["products"]:
            low = item["list_price"] = round(item["list_price"] * float(rng.uniform(0.7, 1.3)), 2)
            item["lowest_price_30_days"] = round(low * float(rng.choice([0.8, 0.95, 1.0])), 2)
        answer = json.loads(predictor.price(state | ({"jurisdiction": str(named)} if named else {})).to_json())
        for item, asked in zip(answer["prices"], state["products"], strict=True):
            found["decisions"] += 1
            differs, notices = any(share > 0 for share in item["discounts"].values()), item["notices"]
            found["personal"] += differs
            if named in ("", "NY"):
                found["without New York's sentence"] += differs != (notices.get("NY") == NEW_YORK)
            if named in ("", "EU"):
                found["without the Union's notice"] += differs != ("personalised" in notices.get("EU", ""))
            lowest, reduced = asked["lowest_price_30_days"], item["price"] < asked["list_price"] - 1e-9
            announces = reduced and item["price"] < lowest - 1e-4
            if item["product"] in spec.law.perishable:
                lowest, announces = asked["list_price"], reduced
            found["announced"] += announces
            found["announced otherwise"] += (item["prior_lowest_price"] is not None) != announces
            if announces and item["prior_lowest_price"] is not None:
                found["from another price"] += abs(item["prior_lowest_price"] - lowest) > 1e-4
                share = 1 - item["price"] / lowest
                found["of another size"] += not share - 1.1e-4 <= item["reduction"] <= share + 1e-9
    return found


@check(
    "rules",
    "All four jurisdictions, 10 million decisions: breaches of article 6a, personal prices",
    "==",
    0,
    "breaches",
)
def _() -> float:
    found = announcements(False)
    assert found["decisions"] >= DECISIONS, found
    assert found["announced"] > 100_000, found
    return breaches(found)


@check("rules", "The same where a member state has progressive reductions", "==", 0)
def _() -> float:
    found = announcements(True)
    assert found["announced"] > announcements(False)["announced"] / 2, found
    return breaches(found)


@check(
    "rules", "New York and the Union, 10 million decisions: personal prices without their notice", "==", 0, "breaches"
)
def _() -> float:
    found = personal("NY", "EU")
    assert found["decisions"] >= DECISIONS, found
    assert found["personal"] > 1_000_000, found
    return breaches(found)


@check("rules", "Maryland, food store, 10 million decisions: personal prices", "==", 0, "prices")
def _() -> float:
    found = personal("MD", "NY")
    assert found["decisions"] >= DECISIONS, found
    return breaches(found) + found["personal"]


@check(
    "rules",
    "California, 10 million decisions: breaches, with markets of shared or unnamed data that are not refused",
    "==",
    0,
)
def _() -> float:
    found = personal("CA")
    assert found["decisions"] >= DECISIONS, found
    accepted = 0
    for source in ("shared", "not-stated"):
        try:
            market("CA", competitor_source=source)
            accepted += 1
        except ScenarioError:
            continue
    return breaches(found) + accepted


@check(
    "rules",
    "Answers of the service, 100,000: notices, reductions and provenance that are not as the law has them",
    "==",
    0,
)
def _() -> float:
    found = answers()
    assert min(found["personal"], found["announced"]) > 5_000, found
    return breaches(found)
