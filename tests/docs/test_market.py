"""The tables of the market page and of the scenario files are those that the code gives, and leave nothing out."""

import importlib.util
import re
import sys
from dataclasses import fields
from pathlib import Path

import gymnasium
import numpy as np
import pytest
from repricer.pricing import (
    FIXED_FEATURES,
    MARKET_FEATURES,
    MOVING_FEATURES,
    SEGMENT_FEATURES,
    UNCERTAINTY_FEATURES,
)
from repricer.pricing.price_rules.rule_formulas import ALWAYS, in_order
from repricer.scenarios import STRESSES, MarketSpec, price_section, registered, sections, shop_sections

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "market.md").read_text(encoding="utf-8")
SCENARIO_FILES = (ROOT / "docs" / "scenario_files.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def generate():
    described = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    module = importlib.util.module_from_spec(described)
    sys.modules["generate"] = module
    described.loader.exec_module(module)
    yield module
    del sys.modules["generate"]


@pytest.mark.parametrize(
    ("page", "marker"),
    [
        ("docs/data.md", "dictionary"),
        ("docs/market.md", "features"),
        ("docs/market.md", "rules"),
        ("docs/market.md", "scenarios"),
        ("docs/market.md", "stresses"),
        ("docs/profiles.md", "features"),
        ("docs/scenario_files.md", "sections"),
        ("docs/serving.md", "state"),
        ("docs/serving.md", "outcome"),
        ("docs/serving.md", "settings"),
    ],
)
def test_the_tables_are_up_to_date(generate, page, marker):
    old = (ROOT / page).read_text(encoding="utf-8")
    fresh = generate.filled(page, old, marker, generate.PAGES[page][marker]())
    assert fresh == old, f"the table of {marker} in {page} is old: run docs/generate.py"


def test_a_page_without_its_markers_is_refused(generate):
    with pytest.raises(ValueError, match=r"page\.md must hold the markers sections:begin and sections:end once; got 0"):
        generate.filled("page.md", "no markers", "sections", "text")


def test_every_key_of_every_section_stands_on_the_page():
    parts = dict(re.findall(r"### `\[(\w+)\]`[^\n]*\n(.*?)(?=### |<!-- sections:end)", SCENARIO_FILES, flags=re.DOTALL))
    known = vars(sections) | vars(price_section) | vars(shop_sections)
    kinds = {item.name: known.get(str(item.type).removesuffix(" | None")) for item in fields(MarketSpec)}
    kinds = {name: kind for name, kind in kinds.items() if kind is not None}
    assert list(parts) == list(kinds)
    for name, kind in kinds.items():
        rows = re.findall(r"^\| `(\w+)` \|", parts[name], flags=re.MULTILINE)
        assert rows == [key.name for key in fields(kind)]


def test_every_feature_scenario_and_stress_stands_on_the_page():
    named = set(re.findall(r"^\| `([\w-]+)` \|", PAGE, flags=re.MULTILINE))
    own = {name for name, source in registered().items() if isinstance(source, Path)}
    features = {*MOVING_FEATURES, *MARKET_FEATURES, *FIXED_FEATURES, *SEGMENT_FEATURES, *UNCERTAINTY_FEATURES}
    assert own | features | set(STRESSES) <= named


def test_every_price_rule_stands_on_the_page_in_its_order():
    table = PAGE.partition("<!-- rules:begin")[2].partition("<!-- rules:end")[0]
    assert re.findall(r"^\| `(\w+)` \|", table, flags=re.MULTILINE) == [*in_order({}), *ALWAYS]


def test_info_has_the_names_of_the_page():
    env = gymnasium.make("repricer/Grocery-v0")
    env.reset(seed=0)
    info = env.step(np.zeros(env.action_space.shape, np.float32))[-1]
    table = PAGE.partition("## What `info` carries")[2].partition("## ")[0]
    named = [
        name for row in re.findall(r"^\| (`.*?) \|", table, flags=re.MULTILINE) for name in re.findall(r"`(\w+)`", row)
    ]
    assert sorted(named) == sorted(info)


def test_the_readme_shows_what_a_reader_of_the_demo_needs_in_60_lines():
    shown = (
        (ROOT / "README.md").read_text(encoding="utf-8").partition("<!-- demo:begin")[2].partition("<!-- demo:end")[0]
    )
    printed = shown.partition("```text\n")[2].partition("\n```")[0].splitlines()
    assert len(printed) <= 60
    for said in (
        "rows read",
        "WAPE on the held-out weeks",
        "against best fixed",
        "Verdict: ",
        "--verbose shows the rest",
    ):
        assert any(said in line for line in printed)
