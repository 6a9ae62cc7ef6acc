"""Priors from a file: what it leaves out stays, what is wrong is named."""

import pytest
from repricer.fitting.demand import Priors


def load(tmp_path, text):
    path = tmp_path / "priors.toml"
    path.write_text(text)
    return Priors.load(path)


def test_a_file_changes_what_it_names(tmp_path):
    assert load(tmp_path, "elasticity = 3.0\noutside = 0.4\npromotion = 0") == Priors(
        elasticity=3.0, outside=0.4, promotion=0
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("elasticty = 2", "got 'elasticty'; did you mean 'elasticity'"),
        ("outside = 1.2", "outside must be a number between 0 and 1; got 1.2"),
        ("promotion = true", "promotion must be a number; got True"),
        ("elasticity = -2.3", "elasticity must be a number above 0; got -2.3"),
        ('trend_spread = "wide"', "trend_spread must be a number above 0; got 'wide'"),
        ("elasticity =", "must be TOML in UTF-8"),
        (
            "[category_priors.spices]\nlastin = 2",
            "priors of 'spices' must hold known names; got 'lastin'; did you mean 'lasting'",
        ),
        ("[category_priors.spices]\nlasting = -2", "priors of 'spices': lasting must be a number above 0; got -2"),
        ("[category_priors.spices]\nfollow_demand = 0.5", "must hold known names; got 'follow_demand'"),
        ("category_priors = 3", "category_priors must be tables by category; got 3; write a table such as"),
        ("[category_priors]\nspices = 2", "priors of 'spices' must be a table of names and numbers; got 2"),
    ],
)
def test_a_mistake_is_named(tmp_path, text, message):
    with pytest.raises(ValueError, match=message):
        load(tmp_path, text)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ValueError, match="which does not exist"):
        Priors.load(tmp_path / "none.toml")


def test_a_category_has_priors_of_its_own(tmp_path):
    found = load(tmp_path, 'lasting = 2\n[category_priors."soft drinks"]\nlasting = 2.5\ncategory = 0.7')
    assert found.of("soft drinks") == Priors(lasting=2.5, category=0.7)
    assert found.of("tea") == Priors(lasting=2)
    found.check_categories(["tea", "soft drinks"])
    with pytest.raises(ValueError, match="got 'soft drinks'; did you mean 'soft drink'"):
        found.check_categories(["tea", "soft drink"])
