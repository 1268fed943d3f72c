"""Lines of JSON that every reader of JSON accepts."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geo3d.util.json_line import json_line

LEAVES = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
)
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20
)


def strict(line: str) -> Any:
    def refuse(word: str) -> None:
        raise ValueError(f"{word} is no JSON")

    return json.loads(line, parse_constant=refuse)


@given(VALUES)
def test_there_and_back(value: Any) -> None:
    line = json_line(value)
    assert line.isascii() and "\n" not in line
    assert strict(line) == value


@pytest.mark.parametrize(
    ("value", "read"),
    [
        (float("nan"), None),
        (np.float64("nan"), None),
        (np.float32("inf"), None),
        ({"a": [1.0, float("-inf")]}, {"a": [1.0, None]}),
        (np.array([[1.0, np.nan]]), [[1.0, None]]),
        ({3: np.int64(4)}, {"3": 4}),
        ((1, np.bool_(True)), [1, True]),
        (Path("a/ü.jpg"), "a/ü.jpg"),
    ],
)
def test_what_json_lacks(value: Any, read: Any) -> None:
    assert strict(json_line(value)) == read
