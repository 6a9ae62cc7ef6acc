from __future__ import annotations

import base64
import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from click.testing import CliRunner
from repricer.cli.report import command
from repricer.evaluation import Estimate, evaluate
from repricer.evaluation.report import SECTIONS, ReportData, verdict, write_report
from repricer.evaluation.report.verdict import number

FAULTY = re.compile(r"\b(nan|none|inf|undefined)\b", re.IGNORECASE)


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


def test_a_full_report_has_every_section_in_order_and_its_parts(page):
    found = read(page)
    # What needs posterior draws, or protected groups, has its own tests, in test_recommended.py and cli/test_fairness.py.
    expected = [key for key in SECTIONS if key not in ("uncertainty", "list", "groups")]
    assert sections(found) == expected
    assert [attrs["href"] for attrs in found.all("a")[1:]] == [f"#{key}" for key in expected]
    for text in (
        "sarimax",
        "bargain hunters",
        "historical",
        "Lost sales",
        "12,345",
        "corner-shop, version 3",
        "0f3a9c",
        "in 12.0% of baskets",
        "confirmed by Ann",
        "Against prices of rival, over 4 of 6 products (80% of the basket)",
    ):
        assert text in found.text
    drawn = [attrs["alt"] for attrs in found.all("img") if attrs["alt"].startswith("Basket index")]
    ends = "0.980 in the week of 2023-12-25, 1.030 in the week of 2024-01-08, at most 1.020 by the price rules."
    assert drawn[0] == f"Basket index of all stores against prices of rival: {ends}"
    assert found.text.count("Unit cost is 60%") == 1


@pytest.mark.usefixtures("no_pictures")
def test_a_section_stands_only_where_its_data_are(bare, bare_page, fit_report, tmp_path):
    assert sections(read(bare_page)) == ["comparison", "paths", "paid", "made"]
    alone = {"comparison", "paths", "paid", "made"}
    for keys, owned in (
        ({"segments", "recommender"}, {"segments", "shown"}),
        ({"price_response", "trend"}, {"response", "trend"}),
        ({"proof", "assumptions"}, {"forecast", "fidelity", "checks", "assumptions"}),
        ({"category_response"}, {"response"}),
        ({"deals"}, {"response"}),
        ({"unidentified"}, {"checks"}),
        ({"identification_checks"}, {"checks"}),
        ({"dataset", "chosen_forecaster", "segment_rules", "segment_fidelity"}, set()),
    ):
        page = read(write_report(tmp_path / "one.html", replace(bare, fit={key: fit_report[key] for key in keys})))
        assert set(sections(page)) == alone | owned, keys
        assert FAULTY.search(page.text) is None, keys


@pytest.mark.usefixtures("no_pictures")
def test_what_each_rule_costs_is_sorted_with_the_products_that_it_binds(bare, costs, tmp_path):
    page = read(write_report(tmp_path / "one.html", replace(bare, rule_costs=costs)))
    assert "rule_costs" in sections(page)
    assert FAULTY.search(page.text) is None
    assert "No choice: frozen leave Cola at 1.20." in " ".join(page.text.split())
    shown = [page.text.index(one.says) for one in costs.rules]
    assert shown == sorted(shown)
    assert costs.rules[0].products[0].product in page.text


@pytest.mark.usefixtures("no_pictures")
def test_a_number_of_table_rows_is_no_market_trend(bare, fit_report, tmp_path):
    for counted, owned in (("sale lines", {"trend"}), ("rows", set())):
        fit = {"trend": fit_report["trend"] | {"counted": counted}}
        page = read(write_report(tmp_path / "one.html", replace(bare, fit=fit)))
        assert set(sections(page)) == {"comparison", "paths", "paid", "made"} | owned


def test_elasticities_are_those_of_the_market_beside_a_regression(page, fit_report):
    text, first = read(page).text, fit_report["price_response"][1]
    low, high = first["elasticity_interval90"]
    used = f"{number(first['elasticity'])} {number(low)} to {number(high)}"
    assert f"{first['name']} coffee {used} {number(first['raw'])}" in text
    assert "followed demand, by the sales: 12%" in text
    pair = fit_report["cross_elasticities"][0]
    change = (
        f"{number(100 * (0.9 ** pair['elasticity'] - 1), 1)}% {number(100 * (0.9 ** pair['interval90'][1] - 1), 1)}%"
    )
    assert f"{pair['other_name']} {change}" in text


def test_the_checks_say_how_far_the_responses_can_be_believed(page, fit_report):
    text = read(page).text
    assert f"how 1 product responds to its price, so its current price stays: {fit_report['unidentified'][0]}." in text
    assert "Units changed by 0.93 times the prediction (90% interval 0.83 to 1.03;" in text
    assert "cannot have moved them, is 0.03 −0.07 to 0.13 with its 95% interval (p-value 0.550)" in text


@pytest.mark.parametrize("which", ["page", "bare_page"])
def test_it_reads_clean_and_is_accessible(which, request):
    page = read(request.getfixturevalue(which))
    assert FAULTY.search(page.text) is None
    assert page.all("html") == [{"lang": "en"}]
    assert len(page.all("h1")) == 1
    assert len(page.all("caption")) == len(page.all("table"))
    assert all(attrs.get("scope") in ("row", "col", "colgroup") for attrs in page.all("th"))
    ids = [attrs["id"] for _, attrs in page.tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    for attrs in page.all("img"):
        assert len(attrs["alt"]) > 30
        assert FAULTY.search(attrs["alt"]) is None


def test_it_needs_nothing_from_outside_and_no_script(page):
    found = read(page)
    assert not found.all("script")
    for _, attrs in found.tags:
        for name in ("src", "href"):
            assert attrs.get(name, "#").startswith(("#", "data:"))


def test_a_product_name_is_never_markup(full, page):
    found, nasty = read(page), full.comparison.spec.products.names[0]
    assert not found.all("b")
    assert nasty in found.text
    assert any(nasty in attrs["alt"] for attrs in found.all("img"))
    pictures = [base64.b64decode(attrs["src"].partition(",")[2]).decode() for attrs in found.all("img")]
    assert not any("<b>" in picture for picture in pictures)
    assert any('&lt;b&gt;&amp;" $1 off $5' in picture for picture in pictures)


@pytest.mark.usefixtures("no_pictures")
def test_one_episode_gives_no_interval(tmp_path):
    comparison = evaluate("stationary-logit", ["myopic"], episodes=1)
    assert "(one episode gives no interval)" in verdict(comparison, "myopic")
    page = read(write_report(tmp_path / "one.html", ReportData(comparison, learned="myopic")))
    assert "inf" not in page.text.split()


@pytest.mark.usefixtures("no_pictures")
def test_the_limit_is_the_optimum_or_the_bound(page, bare_page, shop, tmp_path):
    comparison = evaluate(shop, ["regular"], episodes=2)
    text = read(write_report(tmp_path / "bounded.html", ReportData(comparison, learned="regular"))).text
    assert comparison.bound is not None
    assert "Share of the upper bound" in text
    assert f"{comparison.row('regular').share_of_bound:.1%}" in text
    assert "Share of the optimum" not in text.partition("Stress")[0]
    assert "upper bound" not in read(page).text, "customers remember its prices"
    text = read(bare_page).text
    assert "Share of the optimum" in text
    assert "100.0%" in text
    assert "upper bound" not in text


def test_segments_have_what_they_pay_and_gain_under_each_policy(full, page):
    text = read(page).text.partition("Prices paid by segment Average")[2].partition("Segments buy")[0]
    for name in (full.learned, "best-fixed", "historical"):
        row = full.comparison.row(name)
        for segment in ("loyal", "bargain hunters"):
            paid, surplus = row.price_paid[segment], row.consumer_surplus[segment]
            assert f"{number(paid)} {number(surplus)}" in text
        assert f"{number(row.segment_price_ratio)} {number(sum(row.consumer_surplus.values()))}" in text


@pytest.mark.usefixtures("no_pictures")
def test_a_learned_policy_is_said_to_be_checked_or_comes_with_warnings(full, page, tmp_path):
    assert "Checked: the learned prices are not constant" in read(page).text
    rows = [
        replace(row, holds_on_fresh=False, vs_best_fixed_fresh=Estimate(0.0, -1.0, 1.0))
        if row.policy == full.learned
        else row
        for row in full.comparison.rows
    ]
    cheat = ReportData(replace(full.comparison, rows=rows), learned=full.learned)
    text = read(write_report(tmp_path / "cheat.html", cheat)).text
    head = text.partition("Comparison")[0]
    assert "; but the gain does not hold on the second test set: keep the fixed prices." in head
    assert "Reasons for caution" in head
    assert "but 0.00% (95% interval" in head
    assert "Checked" not in head
    assert "no policy was trained or tuned on them" not in head
    assert "not on second test set" in text.partition("Comparison")[2]


def test_the_stress_section_says_what_is_worst_and_how_often_the_policy_stays_ahead(page):
    text = read(page).text
    assert "The worst stress for the learned prices is demand-halved, which costs them 52.0% of their profit." in text
    assert "without stress, they earn more under 1, less under 1, about as much under 1 of 3 stresses." in text
    assert "a rival undercuts every price by a tenth" in text
    assert "regime-shift [regimes] is off in this market" in text


def test_the_rules_that_imitate_the_policy_stand_as_they_are(full, page):
    text = page.read_text(encoding="utf-8")
    assert full.tree.replace("<", "&lt;").replace(">", "&gt;") in text
    assert "87.0% of their variance (R²)" in " ".join(text.split())


def test_an_unknown_learned_policy_is_refused(comparison, tmp_path):
    with pytest.raises(ValueError, match=r"learned must be a policy .*got 'nobody'"):
        write_report(tmp_path / "x.html", ReportData(comparison, learned="nobody"))
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("no_pictures")
def test_without_a_learned_policy_the_rules_are_reported(comparison, tmp_path):
    page = read(write_report(tmp_path / "rules.html", ReportData(comparison)))
    assert sections(page) == ["comparison", "paths", "paid", "assumptions", "made"]
    assert "learned (" not in page.text


def test_the_same_data_make_the_same_file(full, page, tmp_path):
    assert write_report(tmp_path / "again.html", full).read_bytes() == page.read_bytes()


@pytest.mark.usefixtures("run", "no_pictures", "short_search")
def test_the_command_evaluates_a_run_and_finds_its_fit(folder, fit_report, tmp_path):
    (folder / "fit.json").write_text(json.dumps({"segments": fit_report["segments"]}), encoding="utf-8")
    line = [str(folder), "--out", str(tmp_path / "new" / "r.html"), "--episodes", "20"]
    result = CliRunner().invoke(command, line)
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("The learned prices ")
    page = read(tmp_path / "new" / "r.html")
    drawn = [
        "comparison",
        "paths",
        "map",
        "rules",
        "shown",
        "paid",
        "learning",
        "segments",
        "stress",
        "assumptions",
        "made",
    ]
    assert sections(page) == drawn
    assert result.stdout.splitlines()[0] in page.text


@pytest.mark.usefixtures("no_pictures")
def test_the_command_prints_one_json_document(run, comparison, folder, tmp_path, monkeypatch):
    monkeypatch.setattr("repricer.cli.report._compare", lambda *_: comparison)
    monkeypatch.setattr("repricer.evaluation.report.write_report", lambda path, _: path)
    result = CliRunner().invoke(command, [str(folder), "--out", str(tmp_path / "r.html"), "--json"])
    document = json.loads(result.stdout)
    assert document["verdict"] == verdict(comparison, run.policy.name)
    assert document["report"] == str(tmp_path / "r.html")
    assert len(document["policies"]) == 4


@pytest.mark.parametrize(
    ("content", "said"), [(None, "--fit must be a file; got "), ("{", "truncated"), ("[]", "got `array`")]
)
@pytest.mark.usefixtures("run")
def test_the_command_refuses_a_faulty_fit_report(folder, tmp_path, content, said):
    if content is not None:
        (tmp_path / "fit.json").write_text(content, encoding="utf-8")
    line = [str(folder), "--out", str(tmp_path / "r.html"), "--fit", str(tmp_path / "fit.json")]
    result = CliRunner().invoke(command, line)
    assert isinstance(result.exception, ValueError)
    assert said in str(result.exception)
