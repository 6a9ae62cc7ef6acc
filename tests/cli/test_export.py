"""`repricer export` says which prices a bundle holds, and whether they are the recommended ones."""

from types import SimpleNamespace

import pytest
from repricer.cli.export import holding_of
from repricer.serving.exporter.holding import holds_line

from .calls import run

BEST = {"recommended": "best-fixed+25%:historical", "holding": {"prices": "best-fixed", "toward_current": 0.25},
        "words": "the best fixed prices, moved 25% of the way back to your current prices"}  # fmt: skip
NONE = {"recommended": None, "holding": {"prices": "current", "toward_current": 0.0}, "words": "your current prices"}


@pytest.mark.parametrize(
    ("asked", "found", "said"),
    [
        (None, None, "the bundle holds the learned prices"),
        (None, BEST, f"the bundle holds {BEST['words']}, which are recommended"),
        ("recommended", BEST, f"the bundle holds {BEST['words']}, which are recommended"),
        (None, NONE, "the bundle holds your current prices: no change is recommended"),
        ("learned", BEST, f"note: the bundle holds the learned prices; recommended: {BEST['words']}"),
        ("learned", NONE, "note: the bundle holds the learned prices; recommended: no change"),
        ("current", NONE, "the bundle holds your current prices: no change is recommended"),
        ("best-fixed", None, "the bundle holds the best fixed prices"),
    ],
)
def test_what_a_bundle_holds_is_said(asked, found, said):
    judged = {"uncertainty": found}
    assert holds_line({"holds": holding_of(asked, judged).to_dict(), "evaluation": judged}) == said


def test_there_is_no_recommendation_without_a_posterior():
    with pytest.raises(ValueError, match="--policy recommended needs a market with a posterior"):
        holding_of("recommended", {"uncertainty": None})


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (("--policy", "best-fixed"), "cannot order units; got the best fixed prices for small-shop"),
        (("--policy", "recommended"), "--policy recommended needs a market with a posterior"),
        (("--policy", "current", "--compress", "small"), "cannot order units; got your current prices"),
        (("--out", "taken"), "taken must be a new path or a bundle to replace"),
        (("--key", "taken/notes.txt"), "taken/notes.txt"),
    ],
)
def test_what_cannot_be_exported_is_refused_before_the_evaluation(make_shop, tmp_path, monkeypatch, asked, said):
    orders = {"replenishment": "action", "max_order_units": 30}
    trained = SimpleNamespace(spec=make_shop(stock=orders), policy=None)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken/notes.txt").write_text("no key", encoding="utf-8")
    monkeypatch.setattr("repricer.cli.export._run", lambda *_: trained)
    monkeypatch.setattr("repricer.evaluation.evaluate", lambda *_, **__: pytest.fail("evaluated"))
    output = run("export", tmp_path, "--out", "bundle", *asked, code=2).output
    assert said in output.replace("\n", " ")
    assert len(output.strip().splitlines()) == 1


def test_a_smaller_policy_is_one_of_learned_prices(make_shop, tmp_path, monkeypatch):
    monkeypatch.setattr("repricer.cli.export._run", lambda *_: SimpleNamespace(spec=make_shop()))
    monkeypatch.setattr("repricer.cli.export._compressed", lambda *_: pytest.fail("compressed"))
    asked = ("--policy", "best-fixed", "--compress", "small")
    said = run("export", tmp_path, "--out", tmp_path / "bundle", *asked, code=2).output
    assert "--compress is for learned prices; got the best fixed prices; give --policy learned" in said
