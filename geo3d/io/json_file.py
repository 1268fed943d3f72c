"""JSON from outside: numbers are finite, and what is missing or of another kind is told with its key."""

import json
import math
import os
from pathlib import Path
from typing import Any


def read_json_object(path: str | os.PathLike) -> dict[str, Any]:
    """The object that a JSON file holds.

    Raises
    ------
    ValueError
        If the file is not JSON, is truncated, or holds something else than an object.
    """
    path = Path(path)
    try:
        value = json.loads(path.read_bytes().decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: expected JSON, found {error}; the file is truncated or corrupt") from None
    if not isinstance(value, dict):
        raise ValueError(f"{path}: expected a JSON object, found {type(value).__name__}")
    return value


def finite_number(value: Any, where: str) -> float:
    """`value` as a float.

    Raises
    ------
    ValueError
        If it is no number, or not finite.
    """
    if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300:
        return float(value)
    if isinstance(value, float) and math.isfinite(value):
        return value
    raise ValueError(f"{where}: expected a number, found {str(value)[:60]!r}")


def whole_number(value: Any, where: str) -> int:
    """`value` as an int of up to 2**31; 640.0 is one too.

    Raises
    ------
    ValueError
        If it is not a whole number.
    """
    number = finite_number(value, where)
    if number != int(number) or abs(number) > 2**31:
        raise ValueError(f"{where}: expected a whole number, found {value!r}")
    return int(number)
