import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from repricer.fitting import catalogue_parts


@given(st.lists(st.integers(1, 40), min_size=1, max_size=30), st.integers(2, 100))
def test_parts_share_no_category_hold_every_product_once_and_are_no_larger_than_asked(sizes, most):
    category = np.repeat([f"c{i}" for i in range(len(sizes))], sizes)
    products = pd.DataFrame({"product": [f"p{i}" for i in range(len(category))], "category": category})
    parts = catalogue_parts(products, most)
    assert pd.concat(parts.values())["product"].tolist() == products["product"].tolist()
    assert sum(part["category"].nunique() for part in parts.values()) == len(sizes)
    assert all(len(part) <= max(most, max(sizes)) for part in parts.values())
    assert list(parts) == ([""] if len(parts) == 1 else [f"part-{i + 1}" for i in range(len(parts))])


def test_parts_are_of_about_the_same_size():
    products = pd.DataFrame({"product": range(10_008), "category": np.arange(10_008) // 6})
    sizes = [len(part) for part in catalogue_parts(products, 1000).values()]
    assert len(sizes) == 11
    assert min(sizes) > 0.95 * max(sizes)


def test_categories_whose_products_a_price_rule_links_are_in_one_part():
    products = pd.DataFrame({"product": list("abcdefgh"), "category": list("uuvvwwxx")})
    products["name"] = "product " + products["product"]
    assert len(catalogue_parts(products, 2)) == 4
    parts = catalogue_parts(products, 2, links=[("a", "product h"), ("product c", "e"), ("b", "unpriced")])
    assert ["".join(part["product"]) for part in parts.values()] == ["abgh", "cdef"]
    parts = catalogue_parts(products, 2, links=[("a", "h"), ("c", "e"), ("d", "b")])
    assert ["".join(part["product"]) for part in parts.values()] == ["abcdefgh"]


def test_a_part_needs_room_for_two_products():
    with pytest.raises(ValueError, match="room for 2 products or more; got 1; raise it"):
        catalogue_parts(pd.DataFrame({"product": ["a", "b"], "category": "x"}), 1)
