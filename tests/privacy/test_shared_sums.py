"""Sums by files in a folder: exact, without showing a part, and ended in one line by whatever is wrong."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from repricer.privacy.shared_sums import FederationError, Masks, SharedFolder, unmasked

KEY = bytes(32)
NAMES = ("east", "north", "west")


def meet(folder, work=lambda shared, name: None, *, names=NAMES, shops=None, wait=20.0, **own):
    """What each shop's work with the folder returns or raises; `own` are arguments of one shop, by name."""

    def one(name):
        arguments = {"about": "visits", "wait": wait} | own.get(name, {})
        try:
            with SharedFolder(
                folder, arguments.pop("key", KEY), name=name, shops=shops or len(names), **arguments
            ) as shared:
                return work(shared, name)
        except FederationError as error:
            return error

    with ThreadPoolExecutor(len(names)) as pool:
        return dict(zip(names, pool.map(one, names), strict=True))


def test_each_learns_the_sums_and_what_the_others_tell(tmp_path):
    def work(shared, name):
        own = np.array([len(name), 0.5])
        return shared.sum(own).tolist(), shared.sum(own[:1]).tolist(), shared.facts

    facts = {name: {"first": number} for number, name in enumerate(NAMES)}
    found = meet(tmp_path, work, **{name: {"facts": facts[name]} for name in NAMES})
    assert list(found.values()) == [([13.0, 1.5], [13.0], facts)] * 3


def test_what_a_shop_writes_looks_random_and_cancels():
    shops = [Masks(name) for name in NAMES]
    keys = {shop.name: shop.public for shop in shops}
    values = [np.full(500, value) for value in (1.0, 2.5, -7.25)]
    parts = [shop.masked(own, 3, keys) for shop, own in zip(shops, values, strict=True)]
    np.testing.assert_array_equal(unmasked(parts), -3.75)
    for part in parts:
        bits = np.unpackbits(np.frombuffer(part, np.uint8)).mean()
        assert abs(bits - 0.5) < 0.01
    assert abs(unmasked(parts[:2])).min() > 1e6
    assert shops[0].masked(values[0], 4, keys) != parts[0]
    for wrong in (np.nan, np.inf, 1e13):
        with pytest.raises(FederationError, match="finite"):
            shops[0].masked(np.array([wrong]), 5, keys)


def test_a_shop_that_gives_up_ends_the_others_at_once(tmp_path):
    def work(shared, name):
        return shared.sum(np.array([np.nan if name == "north" else 1.0]))

    found = meet(tmp_path, work, wait=120.0)
    assert "its sums must be finite" in str(found["north"])
    for name in ("east", "west"):
        assert str(found[name]) == "shop 'north' gave up; begin again, without it if need be, in a new folder"


def test_a_silent_shop_is_named(tmp_path):
    found = meet(tmp_path, lambda shared, name: name == "north" or shared.sum(np.ones(2)), wait=1.0)
    for name in ("east", "west"):
        assert "shop 'north' must write north.1 within 1 s; got none" in str(found[name])


def test_a_file_that_was_changed_or_is_of_another_fit_does_not_count(tmp_path):
    for earlier in (False, True):
        folder = tmp_path / str(earlier)
        folder.mkdir()

        def changed(shared, name, folder=folder, earlier=earlier):
            if name == "north":
                body = (tmp_path / "False" / "north.1").read_bytes() if earlier else bytes(64)
                (folder / "north.1").write_bytes(body)
                return None
            return shared.sum(np.ones(2))

        found = meet(folder, changed)
        for name in ("east", "west"):
            assert "north.1 was not made with this key for this fit" in str(found[name])


@pytest.mark.parametrize(
    ("own", "words"),
    [
        ({"key": b"1" * 32}, "was not made with this key"),
        ({"about": "sales"}, "all shops must sum the same"),
    ],
)
def test_who_does_not_fit_ends_it_before_any_sum_is_written(tmp_path, own, words):
    found = meet(tmp_path, lambda shared, name: shared.sum(np.ones(2)), wait=2.0, north=own)
    assert all(isinstance(error, FederationError) for error in found.values())
    assert words in str(found["east"])
    assert not [path for path in tmp_path.iterdir() if path.suffix == ".1" and path.stem in ("east", "west")]


def test_others_numbers_are_refused(tmp_path):
    found = meet(tmp_path, lambda shared, name: shared.sum(np.ones(2 + (name == "north"))))
    assert all("all shops must add as many numbers" in str(error) for error in found.values())


def test_a_key_that_stands_under_two_names_is_refused(tmp_path, monkeypatch):
    made = Masks("copy")
    monkeypatch.setattr(
        "repricer.privacy.shared_sums.Masks.__init__", lambda self, name: vars(self).update(vars(made), name=name)
    )
    found = meet(tmp_path)
    assert all("keys of their own; got one twice" in str(error) for error in found.values())


def test_what_is_wrong_from_the_start(tmp_path):
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "east.shop").touch()
    many = tmp_path / "many"
    many.mkdir()
    for folder, name, shops, words in (
        (tmp_path, "east", 2, "shops must be 3 or more"),
        (tmp_path, "s 2", 3, "name must be 1 to 40 letters"),
        (tmp_path / "none", "east", 3, "must meet in a folder that all reach; got .*none, which is none"),
        (tmp_path / "used", "east", 3, "must be new for each fit; got shop 'east' in it"),
        (tmp_path, "east", 3, "3 shops must come within 0 s; got east"),
    ):
        with pytest.raises(FederationError, match=words):
            SharedFolder(folder, KEY, name=name, shops=shops, about="visits", wait=0.0)
    found = meet(many, names=(*NAMES, "south"), shops=3, wait=1.0)
    assert any("3 shops must come; got 4" in str(error) for error in found.values())
