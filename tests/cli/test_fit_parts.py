"""A catalogue that is too large for one market: fitted in parts, learned by one policy, priced in one list."""

import json
import shutil

import numpy as np
import pytest
from click.testing import CliRunner
from repricer.benchmarks.uplift import draw_shop
from repricer.benchmarks.uplift.shop import write_files
from repricer.cli import main
from repricer.data import load_tables
from repricer.fitting import Privacy
from repricer.planning.market_folder import fit_key
from repricer.privacy.ledger import PrivacyLedger
from repricer.scenarios import load_scenario
from repricer.serving import load_bundle
from repricer.serving.price_list.files import read_list

from .calls import document, run

FIT = ["--forecaster", "moving-average", "--draws", "40", "--weeks", "3", "--holdout", "4", "--json"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("parts")
    paths = write_files(draw_shop("clean", 41_000, weeks=60), folder)
    run("data", "import", "--sales", paths["sales"], "--products", paths["products"], "--out", folder / "tables")
    found = run("fit", folder / "tables", "--out", folder / "market", "--at-once", "6", *FIT).stdout
    assert list(json.loads(found)["parts"]) == ["part-1", "part-2"]
    return folder


def test_a_part_is_a_market_of_whole_categories_which_says_what_the_market_of_all_says(folder):
    run("fit", folder / "tables", "--out", folder / "whole", *FIT)
    whole = load_scenario(folder / "whole")
    parts = [load_scenario(folder / "market" / part) for part in ("part-1", "part-2")]
    categories = json.loads((folder / "market" / "parts.json").read_text())
    assert [set(part.products.category) for part in parts] == [set(c) for c in categories.values()]
    assert sorted(sum((part.products.ids for part in parts), ())) == sorted(whole.products.ids)
    for part in parts:
        at = [whole.products.ids.index(product) for product in part.products.ids]
        np.testing.assert_allclose(part.products.regular_price, whole.products.regular_price[at])
        # What a category has in common with others is estimated from those of its part.
        np.testing.assert_allclose(part.demand.price_sensitivity, whole.demand.price_sensitivity[:, at], rtol=0.35)


def test_the_same_command_fits_only_the_parts_that_are_missing(folder):
    market, names = folder / "market", ("scenario.npz", "scenario.toml")
    before = (market / "part-1" / "scenario.npz").stat().st_mtime_ns
    fitted = {name: (market / "part-2" / name).read_bytes() for name in names}
    shutil.rmtree(market / "part-2")
    run("fit", folder / "tables", "--out", market, "--at-once", "6", *FIT)
    assert (market / "part-1" / "scenario.npz").stat().st_mtime_ns == before
    assert {name: (market / "part-2" / name).read_bytes() for name in names} == fitted


def test_a_part_whose_fit_was_interrupted_is_not_taken_for_fitted(folder, monkeypatch):
    # Other options: part 1 is fitted again, though it is there.
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    key = folder / "market" / "part-1" / "part.json"
    before = key.read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr("repricer.planning.market_folder.fit_to_folder", interrupted)
        words = ["fit", folder / "tables", "--out", folder / "market", "--at-once", "6", *FIT, "--widen", "0.3"]
        assert CliRunner().invoke(main, list(map(str, words))).exit_code == 130
    assert not key.exists()
    assert not (folder / "market" / "parts.json").exists()
    key.write_bytes(before)
    run("fit", folder / "tables", "--out", folder / "market", "--at-once", "6", *FIT)


def test_a_part_is_fitted_again_under_other_shares_of_epsilon_and_another_round_of_the_shops(folder, tmp_path):
    tables, shared = load_tables(folder / "tables"), tmp_path / "shared.json"

    def key(shares, common):
        shared.write_text(common)
        options = {"shared": shared, "privacy": Privacy(1.0, PrivacyLedger(tmp_path), shares)}
        return fit_key(tables, tables.products, "market", options)

    assert key({}, "{}") == key({}, "{}")
    assert len({key({}, "{}"), key({"counts": 0.5}, "{}"), key({}, '{"shops": 4}')}) == 3


def test_one_policy_learns_in_the_parts_and_one_list_prices_all_products(folder):
    how = ["--steps", "2000", "--set", "validation_episodes=16", "--set", "num_envs=4", "--set", "n_steps=8", "--json"]
    facts = json.loads(run("train", folder / "market", "--out", folder / "run", *how).stdout)
    assert facts["assortments"] == ["market-part-2 1"]
    out = folder / "prices.csv"
    words = ["prices", folder / "market", "--policy", folder / "run", "--out", out, "--draws", "4"]
    said = run(*words).stdout
    assert "all stores, part-1\n" in said
    assert "all stores, part-2\n" in said
    rows = read_list(out)
    assert {row.zone for row in rows} == {"all stores"}
    assert len({row.product_id for row in rows}) * 3 == len(rows) == 12 * 3
    assert document(*words)["products"] == 12
    bundle = folder / "bundle"
    run("export", folder / "run", "--scenario", folder / "market" / "part-2", "--out", bundle, "--policy", "learned")
    exported = load_bundle(bundle)
    assert exported.catalogue.products == load_scenario(folder / "market" / "part-2").products.names
    listed = folder / "part-2.csv"
    run("prices", folder / "market" / "part-2", "--policy", bundle, "--out", listed, "--draws", "4")
    assert [row.product_id for row in read_list(listed)] == [row.product_id for row in rows[18:]]
