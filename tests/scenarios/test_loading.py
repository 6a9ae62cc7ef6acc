import numpy as np
import pytest
from repricer.scenarios import MarketSpec, ScenarioError, load_scenario, registered, save_scenario, spec_from_table
from repricer.scenarios.loading import gymnasium_id


@pytest.mark.parametrize("name", list(registered()))
def test_every_registered_scenario_loads_and_round_trips(name, tmp_path):
    spec = load_scenario(name)
    assert spec.name == name
    assert spec.sources
    assert spec.traps
    assert spec.summary.endswith(".")
    save_scenario(spec, tmp_path)
    assert_same(load_scenario(tmp_path), spec)


def test_gymnasium_ids_of_registered_scenarios_differ():
    ids = {gymnasium_id(name) for name in registered()} | {gymnasium_id("market")}
    assert len(ids) == len(registered()) + 1


def test_a_full_scenario_round_trips_through_its_files(shop, tmp_path):
    save_scenario(shop, tmp_path)
    assert_same(load_scenario(tmp_path), shop)
    assert_same(load_scenario(tmp_path / "scenario.toml"), shop)


def test_a_market_of_an_earlier_version_has_its_history_in_three_sections(shop, tmp_path):
    past = {"past_price": [[4.0, 5.0, 3.0]], "past_units": [[9, 8, 7]], "rival_price": [4.5, 0, 0], "charged_low": 2.0}
    history = {"price": 4.0, "units": 6.0, "funding": 0.1, **past, "zones": 3, "unidentified": ["a"]}
    save_scenario(shop, tmp_path)
    with (tmp_path / "scenario.toml").open("a") as file:
        file.write("\n[history]\nzones = 3\nunidentified = ['a']\n")
    with np.load(tmp_path / "scenario.npz") as arrays:
        own = {
            f"history.{key}": np.array(part) for key, part in history.items() if key not in ("zones", "unidentified")
        }
        np.savez(tmp_path / "scenario.npz", **{**arrays, **own})
    found = load_scenario(tmp_path)
    assert (found.plan.price == 4).all()
    assert (found.plan.units == 6).all()
    assert (found.plan.funding == 0.1).all()
    assert (found.past.price.tolist(), found.past.units.tolist()) == ([[4, 5, 3]], [[9, 8, 7]])
    assert (found.past.last_rival_price.tolist(), found.past.charged_low.tolist()) == ([4.5, 0, 0], [2, 2, 2])
    assert (found.evidence.zones, found.evidence.unidentified) == (3, ("a",))
    save_scenario(found, tmp_path / "again")
    assert_same(load_scenario(tmp_path / "again"), found)
    assert "history" not in (tmp_path / "again" / "scenario.toml").read_text()


def test_what_a_market_does_not_say_is_not_written(tmp_path):
    save_scenario(load_scenario("stationary-logit"), tmp_path)
    text = (tmp_path / "scenario.toml").read_text()
    assert "[past]" not in text
    assert "[evidence]" not in text


def assert_same(one: MarketSpec, two: MarketSpec) -> None:
    for name in MarketSpec.__dataclass_fields__:
        a, b = getattr(one, name), getattr(two, name)
        if hasattr(a, "__dataclass_fields__"):
            for key in a.__dataclass_fields__:
                left, right = getattr(a, key), getattr(b, key)
                if key == "price_ladder" and left is not None:
                    left, right = left.steps, right.steps
                np.testing.assert_array_equal(left, right, err_msg=f"{name}.{key}")
        else:
            assert a == b, name


def test_arrays_are_spread_frozen_and_validated(shop):
    assert shop.arrivals.rate.shape == (8, 2)
    assert shop.stock.initial_units.tolist() == [25, 25, 25]
    with pytest.raises(ValueError, match="read-only"):
        shop.arrivals.rate[0] = 1


def test_missing_parts_are_named():
    with pytest.raises(ScenarioError, match=r"market.horizon_periods is missing; it is T, periods"):
        spec_from_table({"name": "x", "version": 1, "market": {}})
    with pytest.raises(ScenarioError, match="version is missing; it is a whole number that rises with every change"):
        spec_from_table({"name": "x", "market": {"horizon_periods": 3}})
    with pytest.raises(ScenarioError, match="products is missing"):
        spec_from_table({"name": "x", "version": 1, "market": {"horizon_periods": 3}})


def test_unknown_names_and_broken_files(tmp_path):
    with pytest.raises(ScenarioError, match="did you mean 'stationary-logit'"):
        load_scenario("stationery-logit")
    broken = tmp_path / "x.toml"
    broken.write_text("name = ", encoding="utf-8")
    with pytest.raises(ScenarioError, match="syntax error"):
        load_scenario(broken)


def test_arrays_beside_the_file_are_read_without_pickle(shop, tmp_path):
    save_scenario(shop, tmp_path)
    arrays = tmp_path / "scenario.npz"
    np.savez(arrays, **{"arrivals.rate": np.array([object()])}, allow_pickle=True)
    with pytest.raises(ScenarioError, match=r"scenario.npz must hold plain arrays; got: .*pickle") as caught:
        load_scenario(tmp_path)
    assert "\n" not in str(caught.value)
    arrays.write_bytes(b"PK\x03\x04 no archive")
    with pytest.raises(ScenarioError, match=r"scenario.npz must hold plain arrays"):
        load_scenario(tmp_path)
    np.savez(arrays, rate=np.ones(2))
    with pytest.raises(ScenarioError, match=r"scenario.npz must name its arrays section.key; got 'rate'"):
        load_scenario(tmp_path)


def test_what_the_file_says_wins_over_the_arrays_beside_it(shop, tmp_path):
    path = save_scenario(shop.with_changes(prices={"floor": 0.5, "ceiling": 90.0}), tmp_path)
    assert (load_scenario(tmp_path).prices.floor == 0.5).all()
    path.write_text(path.read_text(encoding="utf-8").replace("[prices]", "[prices]\nfloor = 0.75"), encoding="utf-8")
    spec = load_scenario(tmp_path)
    assert (spec.prices.floor == 0.75).all()
    assert (spec.prices.ceiling == 90.0).all()


def test_any_text_survives_the_file(shop, tmp_path):
    odd = 'a "quoted" \\ line,\ttabbed\nand more: é, \x7f, \x01'
    save_scenario(shop.with_changes(market={"currency": 'crème "brûlée"'}), tmp_path)
    assert load_scenario(tmp_path).market.currency == 'crème "brûlée"'
    save_scenario(MarketSpec(**{**vars_of(shop), "summary": odd}), tmp_path)
    assert load_scenario(tmp_path).summary == odd


def vars_of(spec: MarketSpec) -> dict:
    return {name: getattr(spec, name) for name in MarketSpec.__dataclass_fields__}


@pytest.mark.parametrize(
    ("sections", "words"),
    [
        ({"markett": {"objective": "profit"}}, "got 'markett'; did you mean 'market'"),
        ({"market": {"horizon": 3}}, "market.horizon is no known key; did you mean 'market.horizon_periods'"),
        ({"market": 3}, "with_changes takes a dict for a section of small-shop; got market=3"),
        ({"name": {"a": 1}}, "got 'name'; known are market, products"),
    ],
)
def test_a_change_of_something_that_does_not_exist_is_refused(shop, sections, words):
    with pytest.raises(ScenarioError, match=words):
        shop.with_changes(**sections)


@pytest.mark.parametrize("path", ["no/such", "missing.toml"])
def test_a_missing_path_is_called_one(path):
    with pytest.raises(ScenarioError, match=f"got '?{path}'?, which does not exist; check the path"):
        load_scenario(path)


def test_a_folder_without_a_scenario_is_called_one(tmp_path):
    with pytest.raises(ScenarioError, match=r"must be a folder with scenario\.toml; got .* without one"):
        load_scenario(tmp_path)
    for name in ("b", "a"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "scenario.toml").touch()
    with pytest.raises(ScenarioError, match=r"without one; name one of those in it: \S+a, \S+b$"):
        load_scenario(tmp_path)


def test_a_fit_of_zones_that_was_interrupted_is_called_unfinished(tmp_path):
    (tmp_path / "north").mkdir()
    for name in ("scenario.toml", "fit.json"):
        (tmp_path / "north" / name).touch()
    with pytest.raises(
        ScenarioError, match=r"must be a finished fit; .* only \S+north are there; run the same .* again"
    ):
        load_scenario(tmp_path)
    (tmp_path / "zones.json").touch()
    with pytest.raises(ScenarioError, match="name one of those in it"):
        load_scenario(tmp_path)


def test_a_ladder_is_changed_as_a_list_or_a_range():
    spec = load_scenario("stationary-logit")
    listed = spec.with_changes(prices={"price_ladder": [5.0, 6.0, 8.0]})
    assert listed.guardrails.allowed_prices().tolist() == [5.0, 6.0, 8.0]
    ranged = spec.with_changes(prices={"price_ladder": {"start": 5, "stop": 8, "step": 1}})
    assert ranged.guardrails.allowed_prices().tolist() == [5.0, 6.0, 7.0, 8.0]
    with pytest.raises(ValueError, match="price_ladder must rise strictly"):
        spec.with_changes(prices={"price_ladder": [5.0, 4.0]})
