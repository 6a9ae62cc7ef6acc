"""One declaration of what is observed: a module that forgets a part of it cannot be imported."""

import inspect

import pytest
from repricer.envs import catalogue_of, observation
from repricer.envs.kernels import learner
from repricer.pricing import QUANTITIES, features, observed, shapley
from repricer.scenarios import load_scenario
from repricer.serving import market_state
from repricer.serving.bundle import codec


def imported(module, source):
    """Run the source of a module, as an import does."""
    space = {"__name__": module.__name__, "__package__": module.__package__, "__file__": module.__file__}
    exec(compile(source, module.__file__, "exec"), space)


@pytest.mark.parametrize(
    ("module", "part", "instead"),
    [
        pytest.param(features, '    "since_change": Feature(', '    "no_change": Feature(', id="a feature's formula"),
        pytest.param(features, '    "log_price": Feature(', '    "price": Feature(', id="another's"),
        pytest.param(learner, '@fills("since_change")', "", id="its compiled loop"),
        pytest.param(learner, '@fills("regime", "log_loyalty")', '@fills("regime")', id="one of a loop's two"),
        pytest.param(
            observation, '"periods_since_change": StatePlace(', '"since": StatePlace(', id="a quantity's place"
        ),
        pytest.param(observation, '"due": StatePlace(', '"overdue": StatePlace(', id="another's"),
        pytest.param(codec, '"forecast_units": "TN", ', "", id="the shape of a catalogue's array"),
        pytest.param(shapley, '"past changes": "', '"changes": "', id="the words of an explanation"),
        pytest.param(market_state, '{"memory", "capacity"}', '{"memory"}', id="what a service is not told"),
        pytest.param(observed, "drawn=lambda draw, _: draw.stock(),", "", id="numbers for a test of a service"),
        pytest.param(observed, 'fact="rivals"', 'fact="rivalry"', id="the fact of a catalogue"),
    ],
)
def test_a_forgotten_part_is_an_error_at_import(module, part, instead):
    source = inspect.getsource(module)
    assert source.count(part) == 1
    imported(module, source)
    with pytest.raises(ImportError, match=r"must have .* add it"):
        imported(module, source.replace(part, instead))


def test_whatever_becomes_a_feature_is_explained():
    for quantity in QUANTITIES.values():
        assert quantity.meaning
        assert not quantity.features or quantity.group, f"{quantity.name} is not explained"


@pytest.mark.parametrize("name", ["grocery", "regimes", "lead-times"])
def test_facts_say_what_is_observed(name):
    catalogue = catalogue_of(load_scenario(name))
    seen = {name for name, quantity in QUANTITIES.items() if quantity.fact and quantity.observed(catalogue)}
    assert ("regime" in seen) == bool(catalogue.regimes)
    assert ("due" in seen) == (catalogue.due_periods > 0)
