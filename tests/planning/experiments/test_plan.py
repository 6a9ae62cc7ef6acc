"""Plans of experiments: within rules and risk, the same for the same seed, and what was tested before is left alone."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from repricer.planning.experiments.experiment import Experiment, load_experiment
from repricer.planning.experiments.plan import plan_experiment
from repricer.planning.experiments.value import PriceTest, drawn_outcomes, value_of_experiment
from repricer.scenarios import MarketSpec, save_scenario
from repricer.scenarios.sections import Posterior
from repricer.scenarios.shop_sections import PastSection, PlanSection

from ...cli.calls import document, run

FIRST = pd.Timestamp("2024-07-01")
PRICE = {"a": 4.0, "b": 5.0, "c": 3.0}


@pytest.fixture(scope="module")
def spec(make_shop) -> MarketSpec:
    shop = make_shop(
        market={
            "horizon_periods": 8,
            "period": "week",
            "period_days": 7,
            "first_day": str(FIRST.date()),
            "objective": "profit",
        },
        prices={"tick": 0.05, "max_change": 0.15, "floor": [2.5, 2.5, 1.5], "ceiling": [6.0, 8.0, 3.1]},
        recommendation=None,
        reference_price=None,
    )
    random = np.random.default_rng(0)
    factors = np.exp(0.4 * random.standard_normal((60, 1)) + 0.3 * random.standard_normal((60, 3)))
    return replace(shop, posterior=Posterior(draws=60, arrivals=1.0, sensitivity=factors))


def sales_of(stores: int, level: float = 1.0) -> pd.DataFrame:
    random = np.random.default_rng(1)
    days = pd.date_range(FIRST - pd.Timedelta(days=182), FIRST - pd.Timedelta(days=1))
    frames = [
        pd.DataFrame(
            {
                "date": days,
                "store": f"store-{store}",
                "product": product,
                "units": random.poisson(60, len(days)).astype(float),
                "price_paid": price * (level if store == 0 else 1.0),
                "regular_price": price * (level if store == 0 else 1.0),
            }
        )
        for store in range(stores)
        for product, price in PRICE.items()
    ]
    return pd.concat(frames, ignore_index=True)


@pytest.fixture(scope="module", autouse=True)
def few_assignments():
    """The boundaries, which are tested by themselves, come of a tenth of the assignments."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("repricer.planning.experiments.effects._REDRAWS", 120)
        yield


@pytest.fixture(scope="module")
def planned(spec: MarketSpec) -> Experiment:
    return plan_experiment(spec, sales_of(6), weeks=4, seed=3, design="stores")


def test_calendar_keeps_the_rules_and_has_one_price_per_product_store_and_week(planned: Experiment) -> None:
    calendar = planned.calendar
    assert not calendar.duplicated(["store", "week", "product"]).any()
    tested = calendar[calendar["arm"] == "test"]
    control = calendar[calendar["arm"] == "control"]
    assert (control["price"] == control["planned_price"]).all()
    change = (tested["price"] / tested["planned_price"] - 1).abs()
    assert change.between(0.01, 0.15 + 1e-6).all()  # the largest change that the shop allows
    assert np.allclose(20 * calendar["price"], np.round(20 * calendar["price"]))
    assert (tested["price"][tested["product"] == "c"] <= 3.1).all()
    assert planned.plan.worth["money_at_risk"] <= planned.plan.loss_limit
    assert planned.plan.loss_limit == pytest.approx(0.01 * planned.plan.worth["planned_money"])
    for group in planned.plan.groups:
        own = tested[tested["group"] == group.name]
        assert group.change == pytest.approx((own["price"] / own["planned_price"] - 1).mean(), abs=1e-4)


def test_same_seed_same_plan_and_the_folder_gives_it_back(planned: Experiment, spec: MarketSpec, tmp_path) -> None:
    again = plan_experiment(spec, sales_of(6), weeks=4, seed=3, design="stores")
    assert again.plan.digest == planned.plan.digest
    again.save(tmp_path / "plan")
    found = load_experiment(tmp_path / "plan")
    assert found.plan == planned.plan
    assert (found.arms == planned.arms).all()
    assert plan_experiment(spec, sales_of(6), weeks=4, seed=4, design="stores").plan.digest != planned.plan.digest


def test_random_choice_tests_as_many_products_within_the_risk(planned: Experiment, spec: MarketSpec) -> None:
    other = plan_experiment(spec, sales_of(6), weeks=4, seed=3, design="stores", choice="random")
    counts = [sum(len(group.products) for group in one.plan.groups) for one in (planned, other)]
    assert counts[1] <= counts[0]
    assert other.plan.worth["money_at_risk"] <= other.plan.loss_limit
    assert other.plan.worth["information"] <= planned.plan.worth["information"] + 1.0


def test_stores_that_tested_a_product_are_not_asked_again_at_once(planned: Experiment, spec: MarketSpec) -> None:
    before = planned.calendar.assign(week=planned.calendar["week"] - pd.Timedelta(weeks=5))
    again = plan_experiment(spec, sales_of(8), weeks=4, design="stores", earlier=[Experiment(planned.plan, before)])
    tested = [
        set(one[one["arm"] == "test"][["store", "product"]].itertuples(index=False, name=None))
        for one in (before, again.calendar)
    ]
    assert tested[1]
    assert not tested[0] & tested[1]


def test_a_store_keeps_its_own_price_level(spec: MarketSpec) -> None:
    calendar = plan_experiment(spec, sales_of(6, level=0.9), weeks=4).calendar
    usual = calendar[calendar["arm"] == "control"].groupby(["store", "product"])["planned_price"].first()
    shares = usual.loc["store-0"] / usual.loc["store-1"]
    assert shares.between(0.87, 0.93).all()


def test_frozen_products_are_left_out_with_the_reason(spec: MarketSpec) -> None:
    held = spec.with_changes(prices={"frozen": ("a",)})
    found = plan_experiment(held, sales_of(6), weeks=4)
    assert "no rule lets it move" in found.plan.left_out["a"]
    assert "a" not in set(found.calendar["product"])
    # A fitted market has the prices planned by week, and simulates frozen products at one.
    weekly = replace(held, plan=PlanSection(price=np.tile(list(PRICE.values()), (8, 1))))
    assert "a" not in set(plan_experiment(weekly, sales_of(6), weeks=4).calendar["product"])


def test_a_test_goes_one_step_beyond_what_was_charged_at_the_price_of_not_knowing(spec: MarketSpec) -> None:
    price = np.array(list(PRICE.values()))
    spec = spec.with_changes(prices={"max_change": 0.3, "floor": 0.5 * price, "ceiling": 2 * price})
    charged = {
        "plan": PlanSection(price=np.tile(price, (8, 1))),
        "past": PastSection(charged_low=0.95 * price, charged_high=price),
    }
    plan = plan_experiment(replace(spec, **charged), sales_of(6), weeks=4, risk=0.2)
    tested = plan.calendar[plan.calendar["arm"] == "test"]
    share = tested["price"] / tested["product"].map(PRICE)
    assert share.between(0.95 * 0.9 - 1e-6, 1.1 + 1e-6).all()
    # Where higher prices pay under all draws, a test of them was free of risk, at any price.
    inelastic = Posterior(draws=60, arrivals=1.0, sensitivity=np.full((60, 3), 0.1))
    spec = replace(spec, posterior=inelastic, **charged)
    tests = [PriceTest((0,), np.full((8, 1), share * PRICE["a"])) for share in (0.97, 1.05, 1.1)]
    outcomes = drawn_outcomes(spec, tests, weeks=4)
    assert (outcomes.losses[:, 1:] < 0).all()
    within, step, more = (value_of_experiment(outcomes, [n], np.ones((3, 2))).money_at_risk for n in range(3))
    assert outcomes.unknown[0] == 0 < within
    assert 0 < step < more


@pytest.mark.parametrize("options", [{"weeks": 1}, {"weeks": 4, "block_weeks": 4}])
def test_without_a_second_block_every_store_keeps_its_arm(spec: MarketSpec, options: dict) -> None:
    assert plan_experiment(spec, sales_of(8), risk=0.5, **options).plan.design == "stores"


def test_one_store_switches_by_week(spec: MarketSpec) -> None:
    found = plan_experiment(spec, sales_of(1).drop(columns="store"), weeks=4)
    assert (found.plan.design, found.plan.block_weeks, len(found.plan.stores)) == ("switchback", 1, 1)
    assert (found.arms.sum(axis=-1) == 2).all()


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"weeks": 9}, "weeks must lie in 1 to 8"),
        ({"risk": 0.0}, "risk and changes must be shares"),
        ({"changes": (0.001,)}, "an experiment needs a price that the rules let move; got none in small-shop"),
        ({"block_weeks": 3}, "weeks must be whole blocks of 3 weeks; got 4"),
        ({"choice": "random", "risk": 1e-6}, "a test must be worth more than it costs, with at most 0.0% of the money"),
    ],
)
def test_wrong_input_is_one_line(spec: MarketSpec, options: dict, line: str) -> None:
    with pytest.raises(ValueError, match=line) as caught:
        plan_experiment(spec, sales_of(4), **({"weeks": 4} | options))
    assert "\n" not in str(caught.value)


def test_sales_that_end_long_before_the_market_are_refused(spec: MarketSpec) -> None:
    sales = sales_of(4)
    with pytest.raises(
        ValueError, match=r"sales must reach up to 2024-07-01, the first day of .* got 2024-05-31 as their last"
    ):
        plan_experiment(spec, sales[sales["date"] < "2024-06-01"])


def test_two_stores_that_tell_nothing_apart_are_refused_in_one_line(spec: MarketSpec) -> None:
    with pytest.raises(ValueError, match=r"an experiment needs stores that tell its effects from chance; got 2"):
        plan_experiment(spec, sales_of(2))


def test_command_writes_the_folder_and_the_log_holds_its_hash(spec: MarketSpec, tmp_path) -> None:
    from repricer.data.storage import save_tables
    from repricer.data.tables import ImportReport, Tables

    sales, log = sales_of(6), tmp_path / "log.db"
    save_tables(Tables(sales), ImportReport({}, {}, {}), tmp_path / "tables")
    market = save_scenario(spec, tmp_path / "market").parent
    plan = ("experiment", "plan", market, "--design", "stores")
    words = (*plan, "--log", log, "--by", "Ann", "--out")
    found = document(*words, tmp_path / "plan")
    assert sorted(path.name for path in (tmp_path / "plan").iterdir()) == ["calendar.csv", "plan.json", "plan.svg"]
    assert load_experiment(tmp_path / "plan").plan.digest == found["sha256"]
    assert document("log", "verify", log)["events"] == 1
    assert "must have a name of its own" in run(*words, tmp_path / "other", "--seed", 1, code=2).output
    assert not (tmp_path / "other").exists()
    assert "--out must be a new folder" in run(*words, tmp_path / "plan", code=2).output
    shown = run(*plan, "--out", tmp_path / "again").stdout
    for part in (
        "Where: 6 stores",
        "When: 2024-07-01, 4 weeks",
        "What it may cost",
        "What it is worth",
        "When it stops",
    ):
        assert part in shown


def test_a_market_of_zones_has_an_experiment_in_each_in_which_one_is_worth_it(spec: MarketSpec, tmp_path) -> None:
    from repricer.data.storage import save_tables
    from repricer.data.tables import ImportReport, Tables

    save_tables(Tables(sales_of(9)), ImportReport({}, {}, {}), tmp_path / "tables")
    held = spec.with_changes(prices={"frozen": tuple(PRICE)})
    stores = {"north": range(4), "south": range(4, 8), "held": range(8, 9)}
    zones = {name: [f"store-{n}" for n in own] for name, own in stores.items()}
    for name in zones:
        folder = save_scenario(held if name == "held" else spec, tmp_path / "market" / name).parent
        (folder / "fit.json").write_text(json.dumps({"refit": {"zone": {"name": name, "stores": zones}}}))
    (tmp_path / "market" / "zones.json").write_text(json.dumps(zones))
    words = ("experiment", "plan", tmp_path / "market", "--design", "stores", "--weeks", 1, "--name", "autumn")
    found = document(*words, "--out", tmp_path / "autumn")["zones"]
    assert list(found) == ["north", "south"]
    for name in found:
        plan = load_experiment(tmp_path / "autumn" / name).plan
        assert (plan.name, plan.stores) == (f"autumn-{name}", tuple(zones[name]))
    assert not (tmp_path / "autumn" / "held").exists()
