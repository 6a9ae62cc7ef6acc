from __future__ import annotations

import base64

import numpy as np
import pytest
from repricer.serving import StateError
from repricer.serving.recurrent_state import RecurrentLayout, RecurrentText

LSTM = RecurrentText(RecurrentLayout({"hidden": (1, 3), "cell": (1, 3)}), 2, b"12345678")
NOTES = tuple(np.arange(6, dtype=np.float32).reshape(2, 1, 3) + 10 * i for i in range(2))


def test_notes_come_back_as_they_were_written() -> None:
    for got, wanted in zip(LSTM.read(LSTM.write(NOTES, 4), 5) or (), NOTES, strict=True):
        np.testing.assert_array_equal(got, wanted)


def test_an_episode_opens_without_notes() -> None:
    assert LSTM.read(None, 0) is None
    with pytest.raises(StateError, match="period 0 starts an episode"):
        LSTM.read(LSTM.write(NOTES, 4), 0)


def test_a_window_opens_with_the_first_row_and_an_lstm_with_zeros() -> None:
    rows = np.array([[1, 2], [3, 4]], np.float32)
    (window,) = RecurrentLayout({"window": (3, 2)}).initial_state(rows)
    np.testing.assert_array_equal(window, np.stack([rows] * 3, axis=1))
    assert RecurrentLayout.of((window,)) == RecurrentLayout({"window": (3, 2)})
    assert [state.tolist() for state in LSTM.layout.initial_state(rows)] == [np.zeros((2, 1, 3)).tolist()] * 2


def test_a_policy_that_does_not_look_back_takes_no_notes() -> None:
    plain = RecurrentText(None, 2, b"12345678")
    assert plain.read(None, 3) is None
    with pytest.raises(StateError, match="has no recurrent state"):
        plain.read("", 3)


def other(text: str, place: int, content: bytes) -> str:
    raw = bytearray(base64.b64decode(text))
    raw[place : place + len(content)] = content
    return base64.b64encode(bytes(raw)).decode()


GOOD = LSTM.write(NOTES, 4)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (None, "got none"),
        (3, "got something else"),
        ("", "got something else"),
        (GOOD[:-4], "got something else"),
        (GOOD + "AAAA", "got something else"),
        ("?" + GOOD[1:], "got something else"),
        ("\u00e9" + GOOD[1:], "got something else"),
        (["A"] * len(GOOD), "got something else"),
        (other(GOOD, 0, b"8"), "from an answer of this bundle"),
        (LSTM.write(NOTES, 3), "got that of period 3"),
        (other(GOOD, 12, np.float32(np.nan).tobytes()), "finite numbers"),
        (other(GOOD, 32, np.float32(np.inf).tobytes()), "finite numbers"),
    ],
)
def test_what_is_no_note_of_the_period_before_is_refused(text: object, line: str) -> None:
    with pytest.raises(StateError, match=line) as caught:
        LSTM.read(text, 5)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "shapes", [{}, {"hidden": (1, 3)}, {"window": (0, 3)}, {"window": (2,)}, {"window": (2, 1 << 40)}, {"x": (1, 1)}]
)
def test_other_layouts_are_refused(shapes: dict[str, tuple[int, ...]]) -> None:
    with pytest.raises(ValueError, match="memory must be"):
        RecurrentLayout(shapes)
