from __future__ import annotations

import base64
import json
import re
import shutil
import subprocess
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from click.testing import CliRunner
from matplotlib.image import imread
from repricer.agents import train
from repricer.cli.report import command
from repricer.evaluation import Comparison, Estimate, evaluate
from repricer.evaluation.plots import fidelity_plot, interval_plot
from repricer.evaluation.report import SECTIONS, ReportData, verdict, write_report
from repricer.scenarios import MarketSpec, load_scenario, spec_from_table

NASTY = '<b>&" $1 off $5'
FAULTY = re.compile(r"\b(nan|none|inf|undefined)\b", re.IGNORECASE)
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


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
            "market": {"horizon_periods": weeks, "period": "week", "currency": "USD", "objective": "profit"},
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
            "history": {"price": history, "units": np.full((weeks, 6), 8.0), "first_day": "2024-01-01"},
            "prices": {"floor": 0.65 * regular, "ceiling": 1.6 * regular, "tick": 0.01, "max_discount": 0.2},
        }
    )


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
    return {
        "dataset": {
            "fingerprint": "0f3a9c",
            "rows": 12345,
            "weeks": [weeks[0], weeks[51]],
            "products": 30,
            "import": ["sales: 12,400 rows read, 12,345 kept"],
        },
        "backtest": [
            {"forecaster": "sarimax", "wape": 0.31, "mase": 0.82, "cover80": 0.79, "cover95": 0.94, "failures": 0,
             "seconds": 12.3},
            {"forecaster": "seasonal-naive", "wape": 0.44, "mase": 1.07, "cover80": None, "cover95": float("nan"),
             "failures": 2, "seconds": 0.2},
        ],
        "chosen_forecaster": "sarimax",
        "price_response": [
            row | {"raw": r, "raw_se": 0.7, "shrunk": s, "shrunk_se": 0.2, "implausible": bool(r > 0)}
            for row, r, s in zip(products, raw.tolist(), shrunk.tolist(), strict=True)
        ]
        + [{"product": "p30", "name": None, "category": "coffee", "raw": None, "raw_se": None, "shrunk": -1.7,
            "shrunk_se": 0.4, "implausible": False}],
        "category_response": [
            {"category": "coffee", "elasticity": -0.9, "se": 0.15, "outside_share": 0.42, "clamped": False},
            {"category": "soft drinks", "elasticity": -0.4, "se": 0.2, "outside_share": 0.05, "clamped": True},
        ],
        "reference_effect": {"coefficient": 0.41, "se": 0.12, "memory": 0.7, "used": True},
        "segments": [
            {"name": "loyal", "customers": 812, "share": 0.41, "spend_per_week": 31.2, "elasticity": -1.2,
             "elasticity_se": 0.1},
            {"name": "bargain hunters", "customers": 1170, "share": 0.59, "spend_per_week": 12.9, "elasticity": -2.9,
             "elasticity_se": 0.2},
        ],
        "segment_rules": "|--- discount_share <= 0.31\n|   |--- class: loyal\n|--- discount_share >  0.31\n",
        "segment_fidelity": 0.93,
        "trend": {
            "score": 24.1, "naive": 31.5, "weeks": weeks[:52], "history": traffic[:52].tolist(),
            "forecast_weeks": weeks[52:], "traffic": traffic[52:].tolist(), "low": (traffic[52:] - 60).tolist(),
            "high": (traffic[52:] + 60).tolist(),
        },
        "recommender": {"recall_at_20": 0.31, "popularity_recall_at_20": 0.22},
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
        "assumptions": ["Lost sales are not made up for elsewhere.", "Unit cost is 60% of the regular price."],
    }  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("runs") / "run"


@pytest.fixture(scope="module")
def run(folder):
    settings = {"num_envs": 8, "validation_episodes": 16, "evaluations": 6, "net_arch": [16], "batch_size": 1536}
    return train(market(), steps=9000, settings=settings, out=folder)


@pytest.fixture(scope="module")
def comparison(run) -> Comparison:
    return evaluate(run.spec, [run.policy, "myopic", "historical"], episodes=40)


@pytest.fixture(scope="module")
def full(run, comparison) -> ReportData:
    timings = [{"stage": "fit", "seconds": 71.0}, {"stage": "training", "seconds": 12.5}]
    return ReportData(comparison, run, run.policy.name, fit_report(), timings)


@pytest.fixture(scope="module")
def bare() -> ReportData:
    spec = load_scenario("stationary-logit")
    return ReportData(evaluate(spec, ["myopic", "optimum"], episodes=20), learned="optimum")


@pytest.fixture(scope="module")
def page(full, tmp_path_factory):
    return write_report(tmp_path_factory.mktemp("report") / "full.html", full)


class Page(HTMLParser):
    """Checks nesting while reading, and keeps what the tests ask for."""

    VOID = ("meta", "link", "img", "br")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open, self.tags, self.words = [], [], []
        self.feed(text)
        self.close()
        assert not self.open, f"left open: {self.open}"

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def all(self, tag: str) -> list[dict]:
        return [attrs for name, attrs in self.tags if name == tag]


def read(path) -> Page:
    return Page(path.read_text(encoding="utf-8"))


def sections(page: Page) -> list[str]:
    return [attrs["id"] for attrs in page.all("section")]


def with_gap(comparison: Comparison, policy: str, low: float, high: float, **changes) -> Comparison:
    """The comparison with another paired difference, in percent of the best fixed prices."""
    scale = comparison.row("best-fixed").objective.mean / 100
    gap = Estimate((low + high) / 2 * scale, low * scale, high * scale)
    rows = [replace(row, vs_best_fixed=gap, **changes) if row.policy == policy else row for row in comparison.rows]
    return replace(comparison, rows=rows)


def test_a_full_report_has_every_section_in_order_and_its_parts(page):
    found = read(page)
    assert sections(found) == list(SECTIONS)
    assert [attrs["href"] for attrs in found.all("a")[1:]] == [f"#{key}" for key in SECTIONS]
    for text in (
        "sarimax",
        "bargain hunters",
        "historical",
        "Lost sales",
        "12,345",
        "corner-shop, version 3",
        "0f3a9c",
    ):
        assert text in found.text
    assert found.text.count("Unit cost is 60%") == 1


def test_a_section_stands_only_where_its_data_are(bare, tmp_path):
    owner = {
        "dataset": None,
        "backtest": "forecast",
        "chosen_forecaster": None,
        "price_response": "response",
        "category_response": "response",
        "reference_effect": "response",
        "segments": "segments",
        "segment_rules": None,
        "segment_fidelity": None,
        "trend": "trend",
        "recommender": "shown",
        "fidelity": "fidelity",
        "assumptions": "assumptions",
    }
    for key, part in fit_report().items():
        page = read(write_report(tmp_path / "one.html", replace(bare, fit={key: part})))
        assert set(sections(page)) == {"comparison", "paths", "made"} | ({owner[key]} - {None}), key
        assert FAULTY.search(page.text) is None, key
    assert sections(read(write_report(tmp_path / "bare.html", bare))) == ["comparison", "paths", "made"]


@pytest.mark.parametrize("which", ["full", "bare"])
def test_it_reads_clean_and_is_accessible(which, request, tmp_path):
    path = write_report(tmp_path / "report.html", request.getfixturevalue(which))
    page = read(path)
    assert FAULTY.search(page.text) is None
    assert page.all("html") == [{"lang": "en"}]
    assert len(page.all("h1")) == 1
    assert len(page.all("caption")) == len(page.all("table"))
    assert all(attrs.get("scope") in ("row", "col") for attrs in page.all("th"))
    ids = [attrs["id"] for _, attrs in page.tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    for attrs in page.all("img"):
        assert len(attrs["alt"]) > 30
        assert FAULTY.search(attrs["alt"]) is None
    for attrs in page.all("svg"):
        assert attrs["aria-label"]
    assert path.stat().st_size < 6e6


def test_it_needs_nothing_from_outside_and_no_script(page):
    found = read(page)
    assert not found.all("script")
    for _, attrs in found.tags:
        for name in ("src", "href"):
            assert attrs.get(name, "#").startswith(("#", "data:"))


def test_a_product_name_is_never_markup(page):
    found = read(page)
    assert not found.all("b")
    assert NASTY in found.text
    assert any(NASTY in attrs["alt"] for attrs in found.all("img"))
    pictures = [base64.b64decode(attrs["src"].partition(",")[2]).decode() for attrs in found.all("img")]
    assert not any("<b>" in picture for picture in pictures)
    assert any('&lt;b&gt;&amp;" $1 off $5' in picture for picture in pictures)


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [
        (1.6, 2.6, "earn 2.1% more profit than the best fixed prices (95% interval 1.6% to 2.6%)."),
        (-0.3, 0.5, "cannot be told apart from the best fixed prices: the difference in profit is 0.1% (95% interval "
         "-0.3% to 0.5%); keep the fixed prices."),
        (-1.6, -0.8, "earn 1.2% less profit than the best fixed prices (95% interval 0.8% to 1.6%); keep the fixed"),
        (0.003, 0.005, "earn 0.004% more profit than the best fixed prices (95% interval 0.003% to 0.005%)."),
    ],
)  # fmt: skip
def test_the_verdict_follows_the_interval(comparison, run, low, high, said):
    name = run.policy.name
    assert verdict(with_gap(comparison, name, low, high), name).startswith(f"The learned prices {said}")


def test_the_verdict_speaks_of_the_optimum_and_of_history(comparison, run, bare):
    assert "They reach 100.0% of the exact optimum." in verdict(bare.comparison, "optimum")
    told = verdict(with_gap(comparison, "historical", -9.0, -7.0), run.policy.name)
    assert "The historical prices earn 8.0% less profit than the best fixed prices" in told
    assert verdict(comparison, None).startswith("No learned prices were judged; the best fixed prices earn ")


def test_the_verdict_flags_a_constant(comparison, run):
    name = run.policy.name
    said = verdict(with_gap(comparison, name, 1, 2, price_changes=0.0), name)
    assert "In truth they are a constant: no list price ever changes, only personal discounts do." in said
    said = verdict(with_gap(comparison, name, 1, 2, price_changes=1.0, at_bound_share=0.995), name)
    assert "In truth they are a constant: 99.5% of the prices stand at a bound" in said
    assert "constant" not in verdict(with_gap(comparison, name, 1, 2, price_changes=1.0, at_bound_share=0.1), name)


def test_one_episode_gives_no_interval(tmp_path):
    comparison = evaluate("stationary-logit", ["myopic"], episodes=1)
    assert "(one episode gives no interval)" in verdict(comparison, "myopic")
    page = read(write_report(tmp_path / "one.html", ReportData(comparison, learned="myopic")))
    assert "inf" not in page.text.split()


def test_losses_are_compared_in_money(comparison, run):
    rows = [replace(row, objective=Estimate(-50.0, -60.0, -40.0)) for row in comparison.rows]
    rows = [replace(row, vs_best_fixed=Estimate(3.0, 2.0, 4.0)) for row in rows]
    assert "earn 3.0 USD more profit" in verdict(replace(comparison, rows=rows), run.policy.name)


def test_an_unknown_learned_policy_is_refused(comparison, tmp_path):
    with pytest.raises(ValueError, match=r"learned must be a policy .*got 'nobody'"):
        write_report(tmp_path / "x.html", ReportData(comparison, learned="nobody"))
    assert not list(tmp_path.iterdir())


def test_without_a_learned_policy_the_rules_are_reported(comparison, tmp_path):
    page = read(write_report(tmp_path / "rules.html", ReportData(comparison)))
    assert sections(page) == ["comparison", "paths", "assumptions", "made"]
    assert "learned (" not in page.text


def test_the_same_data_make_the_same_file(full, page, tmp_path):
    assert write_report(tmp_path / "again.html", full).read_bytes() == page.read_bytes()


def test_dots_outside_the_axis_become_arrows_with_their_figure():
    plot = interval_plot(
        ["a", "b"], [2.0, -40.0], [1.0, -41.0], [3.0, -39.0], label="gain", strong=[True, False], room=1
    )
    assert "-40.0" in base64.b64decode(plot.source.partition(",")[2]).decode().replace("\u2212", "-")
    assert "b -40.00 (95% interval -41.00 to -39.00)" in plot.alt


def test_an_empty_plot_is_refused():
    with pytest.raises(AssertionError, match="empty plot"):
        interval_plot(["a"], [np.nan], [np.nan], [np.nan], label="gain", strong=[True])


@pytest.mark.usefixtures("run")
def test_the_command_judges_a_run_and_finds_its_fit(folder, tmp_path):
    (folder / "fit.json").write_text(json.dumps(fit_report()), encoding="utf-8")
    line = [str(folder), "--out", str(tmp_path / "new" / "r.html"), "--episodes", "20"]
    result = CliRunner().invoke(command, line)
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("The learned prices ")
    page = read(tmp_path / "new" / "r.html")
    assert sections(page) == list(SECTIONS)
    assert result.stdout.splitlines()[0] in page.text


def test_the_command_prints_one_json_document(run, comparison, folder, tmp_path, monkeypatch):
    monkeypatch.setattr("repricer.cli.report._judge", lambda *_: comparison)
    result = CliRunner().invoke(command, [str(folder), "--out", str(tmp_path / "r.html"), "--json"])
    document = json.loads(result.stdout)
    assert document["verdict"] == verdict(comparison, run.policy.name)
    assert document["report"] == str(tmp_path / "r.html")
    assert len(document["policies"]) == 4


@pytest.mark.parametrize(("content", "said"), [(None, "not there"), ("{", "syntax error"), ("[]", "got list")])
@pytest.mark.usefixtures("run")
def test_the_command_refuses_a_faulty_fit_report(folder, tmp_path, content, said):
    if content is not None:
        (tmp_path / "fit.json").write_text(content, encoding="utf-8")
    line = [str(folder), "--out", str(tmp_path / "r.html"), "--fit", str(tmp_path / "fit.json")]
    result = CliRunner().invoke(command, line)
    assert isinstance(result.exception, ValueError)
    assert said in str(result.exception)


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium here to take a screenshot with")
@pytest.mark.parametrize("width", [1280, 500])
def test_a_browser_draws_it(page, tmp_path, width):
    target = tmp_path / "shot.png"
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--hide-scrollbars"]
    flags += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
    flags += [f"--user-data-dir={tmp_path / 'profile'}", f"--screenshot={target}", f"--window-size={width},6000"]
    subprocess.run([CHROMIUM, *flags, page.as_uri()], check=True, capture_output=True, timeout=60)
    picture = imread(target)[..., :3]
    assert picture.shape[1] == width
    ink = (picture < 0.95).any(axis=2)
    assert 0.02 < ink.mean() < 0.6
    assert not ink[:, -4:].all(axis=1).any()
    accent = np.abs(picture - np.array([0x0B, 0x5F, 0xA5]) / 255).max(axis=2) < 0.02
    assert accent.sum() > 2000


def test_figures_on_a_wide_range_are_plain():
    products = [{"actual_units": 10.0**power, "simulated_units": 11.0**power} for power in range(1, 5)]
    picture = fidelity_plot(products)
    text = base64.b64decode(picture.source.partition(",")[2]).decode("utf-8")
    assert "mathdefault" not in text
    assert ">1k<" in text
