"""A study continues where it was killed, mixes no settings, and its figures are right by hand."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner
from repricer.benchmarks.uplift import FAMILIES, StudySettings, draw_shop, run_study, study, summarise
from repricer.benchmarks.uplift.shop import fitted_files, write_files
from repricer.benchmarks.uplift.study import PredictedGain, assess_shop, displayed, plot_gains, realised
from repricer.cli import bench, main
from repricer.jobs import store


def row(seed=0, predicted=0.1, realised=0.12, interval=(0.05, 0.15), share=0.99, **more):
    """A result with a profit of 100 at regular prices."""
    earned = {
        "regular": 100.0,
        "own": 90.0,
        "recommended": 100 * (1 + realised),
        "optimum": 100 * (1 + realised) / share,
    }
    return {
        "truth": "clean",
        "seed": seed,
        "predicted": predicted,
        "realised": realised,
        "interval90": list(interval),
        "optimal": (1 + realised) / share - 1,
        "share_of_optimum": share,
        "regular_share": share / (1 + realised),
        "own_share": 0.9 * share / (1 + realised),
        "own_half": 0.08,
        "other_half": 0.06,
        "earned": earned,
        "refused": False,
        "may_follow_demand": False,
        "elasticity": 2.0 + seed,
        "outside_share": 0.5,
        "cpu_seconds": 9.0,
    } | more


@pytest.fixture
def assessed(monkeypatch):
    """The seeds that were assessed, by a stand-in that takes no time."""
    seeds = []

    def one(settings, seed):
        seeds.append(seed)
        return row(seed=seed, truth=settings.truth)

    monkeypatch.setattr(study, "assess_shop", one)
    monkeypatch.setattr(store, "results", lambda jobs, place, scratch: ((job, job.run(scratch)) for job in jobs))
    return seeds


def test_a_killed_study_continues_with_the_shops_that_are_left(assessed, tmp_path):
    def killed(shop, done, total):
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_study(StudySettings("clean"), range(5), tmp_path, on_shop=killed)
    assert assessed == [0, 1, 2]
    seen = []
    rows = run_study(
        StudySettings("clean"), range(5), tmp_path, on_shop=lambda shop, done, total: seen.append((done, total))
    )
    assert assessed == [0, 1, 2, 3, 4]
    assert [shop["seed"] for shop in rows] == [0, 1, 2, 3, 4]
    assert seen == [(done, 5) for done in range(1, 6)]


@pytest.mark.parametrize("change", [{"steps": 1}, {"bounds": "default"}, {"weeks": 52}, {"forecaster": "sarimax"}])
def test_a_changed_setting_is_not_mixed_with_old_results(assessed, tmp_path, change):
    run_study(StudySettings("clean"), [0, 1], tmp_path)
    run_study(replace(StudySettings("clean"), **change), [0, 1], tmp_path)
    assert assessed == [0, 1, 0, 1]


def test_a_change_of_the_code_is_not_mixed_with_old_results(assessed, tmp_path, monkeypatch):
    run_study(StudySettings("clean"), [0], tmp_path)
    monkeypatch.setattr("repricer.benchmarks.uplift.study.code_fingerprint", lambda *_: "other")
    run_study(StudySettings("clean"), [0], tmp_path)
    assert assessed == [0, 0]


def test_an_unfinished_file_is_never_left(assessed, tmp_path, monkeypatch):
    monkeypatch.setattr(study, "assess_shop", lambda settings, seed: {"seed": seed, "not": object()})
    with pytest.raises(TypeError):
        run_study(StudySettings("clean"), [0], tmp_path)
    assert not list((tmp_path / "results").iterdir())


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"truth": "sunny"}, "truth must be one of clean, .*; got 'sunny'"),
        ({"truth": "clean", "products": 13}, "products must be one of 12, 30; got '13'"),
        ({"truth": "clean", "bounds": "wide"}, "bounds must be one of default, free, charged, .*; got 'wide'"),
        ({"truth": "clean", "forecaster": "oracle"}, "forecaster must be one of selected, .*; got 'oracle'"),
        ({"truth": "clean", "steps": 0}, "steps must be 1 or more; got 0"),
    ],
)
def test_settings_that_are_not_allowed_are_refused(given, message):
    with pytest.raises(ValueError, match=message):
        StudySettings(**given)


def test_a_study_of_no_shops_is_refused(tmp_path):
    with pytest.raises(ValueError, match="shops must be 1 or more; got 0"):
        run_study(StudySettings("clean"), [], tmp_path)


def test_figures_by_hand():
    rows = [
        row(0, predicted=0.10, realised=0.12, interval=(0.05, 0.15), share=0.99),
        row(1, predicted=0.20, realised=-0.05, interval=(0.0, 0.4), share=0.80, may_follow_demand=True),
        row(2, predicted=0.00, realised=-0.15, interval=(-0.1, 0.1), share=0.70, refused=True),
        row(3, predicted=0.10, realised=0.30, interval=(0.05, 0.15), share=0.97),
        row(4, predicted=0.10, realised=-0.12, interval=(-0.2, 0.3), share=0.75),
    ]
    found = summarise(rows)
    assert found["shops"] == 5
    assert found["predicted"] == pytest.approx(0.10)
    assert found["realised"] == pytest.approx(0.02)
    assert found["over_prediction"] == pytest.approx(0.08)
    assert found["absolute_error"] == pytest.approx((0.02 + 0.25 + 0.15 + 0.20 + 0.22) / 5)
    assert (found["covered"], found["below"], found["above"]) == (2, 2, 1)
    assert found["worst_share"] == 0.70
    optimal = [1.12 / 0.99, 0.95 / 0.80, 0.85 / 0.70, 1.30 / 0.97, 0.88 / 0.75]
    assert found["share_of_best_gain"] == pytest.approx(0.02 / (sum(optimal) / 5 - 1))
    assert found["worst_realised"] == -0.15
    # A shop that keeps its current prices cannot lose by the recommendation.
    assert (found["lose_to_regular"], found["lose_to_own"], found["refused"], found["named"]) == (2, 1, 1, 1)
    assert (found["far_below_own"], found["losses"]) == (2, 3)
    # Errors over the half-widths of the four shops with a change: 0.02 of 0.05, 0.25 of 0.2, 0.2 of 0.05 and 0.22 of 0.3.
    assert found["interval_factor"] == pytest.approx(np.quantile([0.4, 1.25, 4.0, 0.22 / 0.3], 0.9))
    errors = np.array([-0.02, 0.25, 0.15, -0.2, 0.22])
    assert found["over_prediction_se"] == pytest.approx(errors.std(ddof=1) / 5**0.5)
    assert (found["own_half"], found["other_half"], found["half_kept"]) == pytest.approx((0.08, 0.06, 0.75))
    assert summarise([row(0, own_half=0.0, other_half=0.0)])["half_kept"] == 0


def test_the_plot_shows_shops_inside_and_outside_their_intervals():
    rows = [row(0), row(1, realised=0.4)]
    found = plot_gains(rows, "clean")
    assert b"within the 90% interval" in found.svg
    assert "1 of 2 within" in found.alt
    assert plot_gains(rows, "clean") == found


@pytest.fixture(scope="module")
def shop():
    return draw_shop("clean", seed=6, weeks=52)


@pytest.fixture(scope="module")
def files(shop, tmp_path_factory):
    return write_files(shop, tmp_path_factory.mktemp("shop"))


@pytest.fixture(scope="module")
def spec(files):
    return fitted_files(files, StudySettings("clean", bounds="free"), seed=0).spec


class TestRealised:
    def test_prices_are_charged_in_the_weeks_and_the_order_of_the_fitted_market(self, shop, spec):
        names = list(spec.products.names)
        order = [names.index(name) for name in displayed(shop)]
        prices = np.repeat((0.9 * np.asarray(spec.products.regular_price))[None], spec.market.horizon_periods, axis=0)
        found = realised(shop, spec, PredictedGain("some", prices, 0.1, 0.0, 0.2))
        first = (np.datetime64(spec.market.first_day) - np.datetime64("2022-01-03")).astype(int) // 7
        regular = np.asarray(spec.products.regular_price)[order]
        expected = [shop.realised(np.asarray(p), first=first, horizon=len(prices)) for p in (0.9 * regular, regular)]
        assert found["realised"] == pytest.approx(expected[0] / expected[1] - 1)
        assert found["covered"] == (0.0 <= found["realised"] <= 0.2)
        assert found["share_of_optimum"] < 1
        assert found["share_of_optimum"] / found["regular_share"] == pytest.approx(1 + found["realised"])

    def test_no_change_is_charged_as_the_shops_own_prices(self, shop, spec):
        found = realised(shop, spec, PredictedGain("historical", None, 0.0, -0.1, 0.1))
        assert found["refused"]
        assert found["share_of_optimum"] == found["own_share"]


def test_bounds_are_those_asked_for(spec, tmp_path):
    files = write_files(draw_shop("clean", seed=1, weeks=52), tmp_path)  # where it pays to leave what was charged
    others = {
        name: fitted_files(files, StudySettings("clean", bounds=name), seed=0).spec
        for name in ("charged", "charged+10%")
    }
    reach = {
        bounds: np.array([market.guardrails.low, market.guardrails.high]) / market.products.regular_price
        for bounds, market in (others | {"free": spec}).items()
    }
    np.testing.assert_allclose(reach["free"], np.repeat([[0.5], [1.3]], 12, axis=1), rtol=0.01)
    np.testing.assert_allclose(reach["charged"][1], 1, rtol=0.01)
    assert (reach["charged"][0] > 0.6).all()
    # No further than pays.
    low, high = reach["charged+10%"] / reach["charged"]
    assert ((low >= 0.89) & (low <= 1)).all()
    assert ((high >= 1) & (high <= 1.11)).all()
    assert (high > low).all()


def test_gains_of_shops_with_deals_are_over_their_current_prices(tmp_path):
    shop = draw_shop("regular-and-deal", seed=2, weeks=60)
    market = fitted_files(write_files(shop, tmp_path), StudySettings("regular-and-deal", bounds="default"), seed=0).spec
    found = realised(shop, market, PredictedGain("historical", None, 0.0, 0.0, 0.0))
    assert found["realised"] == 0
    assert found["covered"]
    assert found["own_share"] < found["earned"]["calendar"] / found["earned"]["optimum"] < 1
    assert found["optimal"] == pytest.approx(found["earned"]["optimum"] / found["earned"]["own"] - 1)


def test_a_shop_without_a_market_is_named():
    with pytest.raises(ValueError, match="clean shop 3: sales must cover at least"):
        assess_shop(StudySettings("clean", weeks=8), seed=3)


def test_a_shop_from_its_files_to_its_realised_gain():
    found = assess_shop(StudySettings("clean", weeks=52, steps=2_000, episodes=20), seed=0)
    assert found["share_of_optimum"] > found["regular_share"]
    assert found["interval90"][0] <= found["predicted"] <= found["interval90"][1]
    assert found["optimal"] >= found["realised"] > 0
    assert 0 < found["other_half"] != found["own_half"] > 0
    assert json.loads(json.dumps(found)) == found


class TestCommand:
    def test_help_names_every_family(self):
        assert ", ".join(FAMILIES) == bench._FAMILIES

    def test_prints_one_document_and_resumes(self, assessed, tmp_path):
        command = ["bench", "uplift", "--shops", "4", "--seed", "7", "--jobs", "1", "--out", str(tmp_path), "--json"]
        first, second = (CliRunner().invoke(main, command) for _ in range(2))
        assert first.exit_code == second.exit_code == 0, first.output
        document = json.loads(first.stdout)
        assert json.loads(second.stdout) == document
        assert assessed == [7, 8, 9, 10]
        assert document["summary"]["shops"] == 4
        assert document["settings"]["truth"] == "clean"
        assert (tmp_path / "clean-12-free.svg").exists()

    def test_prints_a_table(self, assessed, tmp_path):
        command = ["bench", "uplift", "--shops", "3", "--jobs", "1", "--out", str(tmp_path)]
        text = CliRunner().invoke(main, command, env={"COLUMNS": "200"}).stdout
        for part in ("predicted", "realised", "+12.0%", "3 (0, 0)", "forecaster moving-average"):
            assert part in text

    def test_wrong_input_is_refused_in_one_line(self, tmp_path):
        result = CliRunner().invoke(main, ["bench", "uplift", "--truth", "sunny", "--out", str(tmp_path)])
        assert result.exit_code == 2
        assert "truth must be one of clean, " in result.stderr
