"""The loop closes: sales of a known market, without customers, come in as tables, and the fit finds the market again."""

import json

import numpy as np
import pandas as pd
import pytest
import repricer
from repricer.agents import best_fixed
from repricer.data import ImportReport, Tables, save_tables
from repricer.envs import Market, catalogue_of, expected_units, rollout
from repricer.evaluation import SalesRecorder, evaluate, fidelity
from repricer.evaluation.uncertainty import plan_beside_past
from repricer.fitting import Assumptions, ShopRules, fit, refit
from repricer.forecasting import MovingAverage, PooledRegression, Selected, candidates
from repricer.forecasting.models.lstm import Lstm
from repricer.pricing import FixedPrice, PricePath
from repricer.scenarios import load_scenario, save_scenario
from repricer.scenarios.fields import ScenarioError


@pytest.fixture(scope="module")
def truth():
    from repricer.scenarios import spec_from_table

    regular = np.array([4.0, 5.0, 4.5, 3.0, 3.5, 3.2])
    return spec_from_table(
        {
            "name": "truth",
            "version": 1,
            "market": {"horizon_periods": 60},
            "products": {"names": list("abcdef"), "category": ["x"] * 3 + ["y"] * 3, "regular_price": regular},
            "arrivals": {"rate": [400.0, 300.0]},
            "demand": {"quality": [[2.4, 2.4, 2.4, 2.2, 2.2, 2.2]], "price_sensitivity": [(3.0 / regular).tolist()]},
            "prices": {"floor": regular * 0.5, "ceiling": regular * 1.5},
        }
    )


@pytest.fixture(scope="module")
def sales(truth):
    """Each product is at its regular price or 25% below it, by turns of its own."""
    reduced = np.random.default_rng(1).random((60, 6)) < 0.35
    path = truth.products.regular_price * np.where(reduced, 0.75, 1.0)
    recorder = SalesRecorder(truth)
    rollout(truth, PricePath(path), episodes=1, seed=4, watch=recorder)
    return recorder.sales()


@pytest.fixture(scope="module")
def fitted(truth, sales):
    chosen = pd.DataFrame({"product": list("abcdef"), "category": ["x"] * 3 + ["y"] * 3})
    known = chosen.assign(unit_cost=[1.0, np.nan, 1.0, 1.0, 1.0, 1.0])
    # All candidates of the default; how well the network learns, its own tests show.
    few = candidates() | {"lstm": Lstm(steps=20, seeds=1)}
    return fit(Tables(sales, known), chosen, name="again", forecaster=Selected(few, horizon=4))


def test_the_market_knows_the_weeks_before_it(sales, fitted):
    """The last twelve of 60 weeks, and those of the plan a year ago; a year before the last are not all there."""
    past, week = fitted.spec.past, (sales["date"] - sales["date"].min()).dt.days // 7
    spans = [week.between(48, 59), week.between(8, 19)]
    for row, span in enumerate(spans):
        own = sales[span].groupby("product")
        assert past.units[row] == pytest.approx(own["units"].sum().to_numpy())
        assert past.revenue[row].sum() == pytest.approx((sales["units"] * sales["price_paid"])[span].sum())
    assert len(past.units) == 2
    assert past.deals.mean() == pytest.approx(0.35, abs=0.15)
    assert fitted.spec.evidence.regular_moves == 0
    assert fitted.spec.evidence.proof_bias is None
    planned, last, ago = plan_beside_past(fitted.spec)
    assert planned["units"] == pytest.approx(last["units"], rel=0.15)
    assert planned["on_deal"] == pytest.approx(ago["on_deal"], abs=0.02)


def test_the_market_is_found_again(truth, fitted):
    spec, report, _ = fitted
    assert spec.market.horizon_periods == 12
    assert spec.market.ending == "truncated"
    again, before = catalogue_of(spec), catalogue_of(truth)
    np.testing.assert_allclose(again.forecast_units.mean(axis=0), before.forecast_units[0], rtol=0.15)
    np.testing.assert_allclose(again.segment_elasticity, before.segment_elasticity, rtol=0.2)
    assert report["chosen_forecaster"] == "selected"
    assert spec.market.objective == "revenue"  # one cost is not known
    assert report["revenue_without_costs"] == ["b"]
    assert spec.num_draws == 200
    assert spec.evidence.follows_demand == report["prices_follow_demand"] < 0.3
    assert spec.evidence.follows_demand_before == report["prices_follow_demand_before"] == pytest.approx(0.04)
    low, high = np.quantile(
        np.array([spec.draw(m).demand.price_sensitivity[0] for m in range(0, 200, 4)]), [0.01, 0.99], axis=0
    )
    assert ((low < 3.0 / spec.products.regular_price) & (3.0 / spec.products.regular_price < high)).all()
    assert not any(row["implausible"] for row in report["price_response"])
    assert all(row["identified"] and row["reason"] is None for row in report["price_response"])
    assert report["unidentified"] == []


@pytest.mark.parametrize(
    ("rules", "said"),
    [
        ({"floor": 4.0, "ceiling": 3.0}, "prices.floor must be at most prices.ceiling; got 4 over 3 for 'a'"),
        ({"minimum_margin": 0.9}, r"prices: guardrails must leave at least one allowed price.*product 'a' got floor"),
    ],
)
def test_rules_that_leave_no_price_are_refused_before_anything_is_fitted(sales, rules, said):
    chosen, steps = pd.DataFrame({"product": list("abcdef"), "category": ["x"] * 3 + ["y"] * 3}), []
    assumptions = Assumptions.under(ShopRules.of({"shop": rules}))
    with pytest.raises(ScenarioError, match=said):
        fit(Tables(sales), chosen, forecaster=MovingAverage(), assumptions=assumptions, on_step=steps.append)
    assert steps == []


def test_the_report_says_how_far_the_responses_can_be_believed(fitted):
    checks, changes = fitted[1]["identification_checks"], fitted[1]["proof"]["price_changes"]
    assert abs(checks["lead_price"]["pooled"]["effect"]) < 3 * checks["lead_price"]["pooled"]["se"]
    low, high = changes["pooled"]["slope_interval90"]
    assert low < 1 < high
    assert changes["pooled"]["changes"] == len(changes["changes"]) > 20
    pairs = fitted[1]["cross_elasticities"]
    assert {(row["name"], row["other_name"]) for row in pairs[:2]} == {("a", "b"), ("a", "c")}
    assert all(row["elasticity"] > 0 for row in pairs)


def test_a_product_whose_price_does_not_move_its_units_keeps_its_price(truth, sales):
    chosen = pd.DataFrame({"product": list("abcdef"), "category": ["x"] * 3 + ["y"] * 3})
    units = np.random.default_rng(4).poisson(sales["units"].median(), len(sales))
    deaf = sales.assign(units=sales["units"].where(sales["product"] != "e", units))
    spec, report, _ = fit(Tables(deaf, chosen), chosen, name="again", forecaster=MovingAverage())
    assert report["unidentified"] == list(spec.prices.frozen) == ["e"]
    assert "e" in spec.assumptions[0]
    row = next(row for row in report["price_response"] if row["product"] == "e")
    assert not row["identified"]
    assert row["reason"]


@pytest.fixture(scope="module")
def held(sales):
    """The market in which two products of x, one of them reduced in turns, and one of y are not priced."""
    chosen = pd.DataFrame({"product": list("abcdef"), "category": ["x"] * 3 + ["y"] * 3})
    chosen["held"] = [None, "it is too new", "its price hardly moves", None, None, "it is too new"]
    return fit(Tables(sales, chosen), chosen, name="again", forecaster=MovingAverage())


def test_what_is_not_priced_keeps_its_plan_and_sells_what_is_forecast(held):
    spec, report, proof = held
    assert spec.prices.frozen == ("b", "c", "f")
    assert spec.prices.frozen_because["b"] == "it is too new"
    assert report["held"] == {"it is too new": ["b", "f"], "its price hardly moves": ["c"]}
    assert report["unidentified"] == []
    assert report["revenue_modelled"] == 1.0
    assert 0.4 < report["revenue_priced"] < 0.6
    plan = spec.plan.price
    assert (plan[:, 1] < 5.0).any(), "the plan has deals of it"
    run = rollout(spec, best_fixed(spec), episodes=1, seed=0)
    np.testing.assert_allclose(run.price_path[:, [1, 2, 5]], plan[:, [1, 2, 5]], rtol=1e-6)
    # The proof knows it too, where the past's own prices are the plan's.
    assert proof.prices.frozen == spec.prices.frozen
    assert fidelity(proof)["wape"] < 0.25
    record = report["refit"]["products"]
    assert [row["held"] for row in record] == [
        None,
        "it is too new",
        "its price hardly moves",
        None,
        None,
        "it is too new",
    ]


def test_what_is_not_priced_takes_and_gives_customers_and_leaves_the_other_responses_alone(truth, sales, held):
    """Cross effects are those of the true market; without the substitutes, there are none of them."""
    chosen = pd.DataFrame({"product": list("abcdef"), "category": ["x"] * 3 + ["y"] * 3})
    alone = fit(Tables(sales, chosen), chosen.iloc[[0, 3, 4]], name="alone", forecaster=MovingAverage())
    spec, regular = held.spec, truth.products.regular_price
    true = catalogue_of(truth).segment_elasticity[0][[0, 3, 4]]
    rows = [[row for row in each.report["price_response"] if row["product"] in "ade"] for each in (held, alone)]
    with_held, without = (np.array([row["elasticity"] for row in own]) for own in rows)
    spread = np.array([row["elasticity_se"] for row in rows[1]])
    # Not further from the truth, nor from what they are without them, than chance takes them.
    assert (np.abs(with_held - true) < 2 * spread).all()
    assert (np.abs(with_held - without) < spread).all()
    dearer = regular * np.array([1.1, 1, 1, 1, 1, 1])

    def moved(market, price):
        after, before = (expected_units(market, 0, each)[0].sum(axis=0) for each in (price, regular))
        return after - before

    taken, lost = moved(spec, dearer)[[1, 2]].sum(), -moved(spec, dearer)[0]
    right = moved(truth, dearer)
    assert taken / lost == pytest.approx(right[[1, 2]].sum() / -right[0], abs=0.1)
    assert taken / lost > 0.3


def test_a_folder_keeps_what_is_not_priced(held, tmp_path):
    names = dict(zip("abcdef", ["a", 'Tea "b" 1/2', "c.c", "d", "e", "f = f"], strict=True))
    because = held.spec.prices.frozen_because | {"b": 'it is "new"', "c": "it costs 2 £"}
    renamed = {names[name]: why for name, why in because.items()}
    prices = {"frozen": tuple(renamed), "frozen_because": renamed, "bounds_from_sales": ()}
    sections = {"products": {"names": tuple(names.values())}, "evidence": {"unidentified": ()}}
    spec = held.spec.with_changes(prices=prices, **sections)
    again = load_scenario(save_scenario(spec, tmp_path).parent)
    assert again.prices.frozen_because == renamed
    assert again.guardrails.follows_plan.tolist() == [False, True, True, False, False, True]


def test_a_refit_keeps_what_is_not_priced(sales, held):
    chosen = pd.DataFrame({"product": list("abcdef"), "category": ["x"] * 3 + ["y"] * 3})
    again = refit(Tables(sales, chosen), json.loads(json.dumps(held.report["refit"]))).spec
    assert again.prices.frozen_because == held.spec.prices.frozen_because
    assert again.prices.frozen_as_planned


def test_the_market_follows_the_data_and_its_proof_is_in_the_past(fitted, sales):
    spec, report, proof = fitted
    assert sales["date"].max() == pd.Timestamp("2002-02-18")
    assert spec.calendar.to_dict() == {"first_day": "2002-02-25", "period_days": 7, "periods": 12}
    assert (report["first_day"], report["last_day"]) == ("2002-02-25", "2002-05-19")
    assert spec.plan.units is None
    assert proof.calendar.labels[0] == report["proof"]["first_day"] == "2001-12-03"
    assert report["proof"]["last_day"] == "2002-02-24"
    assert proof.plan.units.shape == (12, 6)
    assert proof.market.ending == "terminated"
    # With a year of history, the current prices repeat those of the same weeks a year ago.
    year_ago = sales[sales["date"].between("2001-02-26", "2001-05-14")].pivot(
        index="date", columns="product", values="price_paid"
    )
    np.testing.assert_allclose(spec.plan.price, year_ago.to_numpy().round(2))
    assert report["plan"] == list(spec.assumptions[:2])
    assert "same weeks a year ago" in spec.assumptions[0]


def test_it_sells_what_was_sold_in_the_weeks_kept_out(fitted):
    figures = fidelity(fitted.proof)
    assert figures["wape"] < 0.15
    assert abs(figures["bias"]) < 0.1


def test_without_customers_nothing_is_personal(fitted):
    spec, report, _ = fitted
    assert spec.arrivals.segments == ("everyone",)
    assert spec.recommendation is None
    assert spec.prices.max_discount == 0
    assert "segments" not in report
    assert spec.products.names == tuple("abcdef")
    assert spec.products.unit_cost[:2].tolist() == [1.0, 0.65 * spec.products.regular_price[1]]
    assert any("name no customers" in line for line in spec.assumptions)


def test_the_fitted_market_can_be_priced(fitted):
    spec = fitted.spec
    found = best_fixed(spec)
    assert isinstance(found, FixedPrice)
    assert Market(spec).catalogue.num_products == 6
    rows = evaluate(spec, ["historical", "regular"], episodes=50, draws=20)
    assert rows.row("best-fixed").value >= rows.row("regular").value


def test_a_folder_of_imported_tables_is_enough(truth, sales, fitted, tmp_path):
    known = pd.DataFrame({"product": list("abcdef"), "category": ["x"] * 3 + ["y"] * 3})
    report = ImportReport(read={"sales": len(sales)}, kept={"sales": len(sales)}, dropped={"sales": {}})
    save_tables(Tables(sales, known), report, tmp_path / "My Shop")
    steps = []
    market = repricer.fit(tmp_path / "My Shop", weeks=8, forecaster=MovingAverage(), draws=20, on_step=steps.append)
    assert market.spec.name == "my-shop"
    assert market.spec.market.horizon_periods == 8
    assert sorted(market.spec.products.names) == list("abcdef")
    assert market.report["chosen_forecaster"] == "moving-average"
    assert market.report.keys() == fitted.report.keys() - {"selection", "chosen_by_product"}
    assert steps == ["demand forecasters and customers", "price response, proof and the weeks to come"]


def test_seventeen_weeks_of_which_one_was_closed_tell_prices_but_no_season(truth, sales):
    """And one product came after three weeks, another went before the end."""
    products = pd.DataFrame({"product": list("abcdefg"), "category": ["x"] * 3 + ["y"] * 4})
    first = sales["date"].min()
    week = (sales["date"] - first).dt.days // 7
    went = sales[(sales["product"] == "a") & (week < 12)].assign(product="g")
    short = pd.concat([sales[(week < 17) & ((sales["product"] != "f") | (week > 2))], went]).sort_values("date")
    short = short[(short["date"] - first).dt.days // 7 != 6]
    spec, report, proof = fit(Tables(short, products), name="short", forecaster=MovingAverage(), draws=20)
    assert sorted(spec.products.names) == list("abcdef")
    assert sum(report["not_priced"].values()) == 1
    assert proof.market.horizon_periods == 4
    assert spec.market.first_day == f"{first + pd.Timedelta(weeks=17):%Y-%m-%d}"
    assert list(spec.assumptions[:5]) == report["plan"]
    season, held, closed, *_ = report["plan"]
    assert "cover 17 weeks, less than a year: no season" in season
    assert "the last 4 weeks rather than 12, to leave 13 to fit" in held
    assert (
        f"sold nothing, or less than 30% of the usual, in 1 of the weeks (from {first + pd.Timedelta(weeks=6):%Y-%m-%d})"
        in closed
    )
    known = catalogue_of(truth).segment_elasticity[0]
    by_product = {row["product"]: row["elasticity_interval90"] for row in report["price_response"]}
    intervals = np.array([by_product[product] for product in "abcdef"])
    assert ((intervals[:, 0] < known) & (known < intervals[:, 1])).sum() >= 5
    assert fidelity(proof, episodes=50)["wape"] < 0.25


def test_a_history_of_less_than_twelve_weeks_is_refused(sales):
    products = pd.DataFrame({"product": ["a", "b", "c"], "name": ["a", "b", "c"], "category": "x"})
    early = sales[sales["date"] < "2001-03-19"]
    with pytest.raises(ValueError, match=r"sales must cover at least 12 weeks; got 11; add history"):
        fit(Tables(early, products), products, name="short")


def test_promotions_that_nobody_recorded_cannot_be_decided(sales):
    chosen = pd.DataFrame({"product": list("abcdef"), "category": ["x"] * 3 + ["y"] * 3})
    with pytest.raises(ValueError, match="promotions must be recorded"):
        fit(Tables(sales, chosen), chosen, name="again", forecaster=MovingAverage(), promotions=True)


def test_promotions_leave_prices_their_own_response(truth, sales, fitted):
    """A promotion that weighs half as much again in the choice comes with most reductions: prices must not get its share."""
    chosen = pd.DataFrame({"product": list("abcdef"), "category": ["x"] * 3 + ["y"] * 3})
    reduced, rng = sales["price_paid"] < sales["regular_price"], np.random.default_rng(5)
    promoted = np.where(reduced, rng.random(len(sales)) < 0.8, rng.random(len(sales)) < 0.2)
    category = sales["product"].map(dict(zip(chosen["product"], chosen["category"], strict=True)))
    # Those whom a promotion draws, of the customers who came, leave the other products and the outside option.
    come = float(np.mean(truth.arrivals.rate))
    drawn = (sales["units"] * np.where(promoted, 0.5, 0.0)).groupby([sales["date"], category]).transform("sum") / come
    lifted = sales.assign(units=np.round(sales["units"] * np.where(promoted, 1.5, 1.0) / (1 + drawn)))
    rows = sales[promoted]
    promotions = pd.DataFrame({"start_date": rows["date"], "product": rows["product"], "kind": "display"})
    tables = Tables(lifted, chosen, promotions=promotions)
    spec, report, _ = fit(tables, chosen, name="again", forecaster=PooledRegression(), promotions=True, draws=50)
    known = catalogue_of(truth).segment_elasticity[0].mean()
    assert np.mean([row["elasticity"] for row in report["price_response"]]) == pytest.approx(known, rel=0.15)
    assert report["exposure_effect"]["coefficient"] == pytest.approx(np.log(1.5), abs=0.1)
    assert report["exposure_effect"]["utility"] == pytest.approx(np.log(1.5), abs=0.1)
    assert spec.promotion is not None
    assert spec.plan.promotion.max() == 1
    assert fitted[0].promotion is None


def test_the_market_says_which_tables_it_was_fitted_on(sales, fitted):
    tables = Tables(sales, pd.DataFrame({"product": list("abcdef"), "unit_cost": [1.0, np.nan, 1.0, 1.0, 1.0, 1.0]}))
    own = fitted[0].evidence.tables_sha256
    assert len(own) == 64
    assert tables.fingerprint() != own  # without the categories
    assert tables.fingerprint() == Tables(sales.copy(), tables.products).fingerprint()
    changed = sales.assign(units=sales["units"].where(sales.index != sales.index[7], 99))
    assert Tables(changed, tables.products).fingerprint() != tables.fingerprint()


def test_it_prints_short_and_is_a_table_and_plain_data(fitted):
    assert len(repr(fitted)) < 150
    table = fitted.to_frame().set_index("name")
    assert set(table.index) <= set(fitted.spec.products.names)
    assert (table["elasticity"] < 0).all()
    assert fitted.to_dict()["first_day"] == str(fitted.spec.market.first_day)
