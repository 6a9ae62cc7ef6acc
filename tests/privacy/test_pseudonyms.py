from __future__ import annotations

import hashlib
import hmac

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from repricer.data import pseudonymise
from repricer.privacy import PrivacyError


def by_rfc_2104(raw: bytes, key: bytes) -> str:
    padded = key.ljust(64, b"\0")
    inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in padded) + raw).digest()
    return "c_" + hashlib.sha256(bytes(byte ^ 0x5C for byte in padded) + inner).hexdigest()[:16]


def test_rfc_4231_test_case_1():
    assert pseudonymise(pd.Series(["Hi There"]), b"\x0b" * 20).tolist() == ["c_b0344c61d8db3853"]


@given(st.lists(st.text(min_size=1), min_size=1), st.binary(min_size=16, max_size=64))
def test_agrees_with_two_other_ways(ids, key):
    made = pseudonymise(pd.Series(ids, dtype="object"), key).tolist()
    assert made == [by_rfc_2104(raw.encode(), key) for raw in ids]
    assert made == ["c_" + hmac.new(key, raw.encode(), "sha256").hexdigest()[:16] for raw in ids]


def test_keeps_index_name_and_what_is_missing(key):
    ids = pd.Series(["7", None, "7", "8"], index=[4, 2, 9, 1], name="customer")
    made = pseudonymise(ids, key)
    assert made.index.equals(ids.index)
    assert made.name == "customer"
    assert made.isna().tolist() == [False, True, False, False]
    assert made[4] == made[9] != made[1]


def test_number_and_text_of_the_same_id_agree(key):
    assert pseudonymise(pd.Series([900]), key).equals(pseudonymise(pd.Series(["900"]), key))


def test_another_key_gives_other_pseudonyms(key):
    ids = pd.Series(np.arange(100).astype(str))
    assert not set(pseudonymise(ids, key)) & set(pseudonymise(ids, key + b"!"))


def test_short_key_is_refused():
    with pytest.raises(PrivacyError, match="at least 16 bytes; got 15"):
        pseudonymise(pd.Series(["7"]), b"x" * 15)
