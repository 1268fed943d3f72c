"""Lengths and sizes as people write them: `25mm`, `2.5 cm`, `1in`; `9x6`."""

import re
from fractions import Fraction

_METRES = {"mm": Fraction("0.001"), "cm": Fraction("0.01"), "m": Fraction(1), "in": Fraction("0.0254")}


def parse_length(text: str) -> float:
    """Metres of a length with its unit: mm, cm, m or in.

    Raises
    ------
    ValueError
        Without a unit, or if it is no positive length.

    Examples
    --------
    >>> parse_length("25mm"), parse_length("1in")
    (0.025, 0.0254)
    """
    found = re.fullmatch(r"\s*(\d+\.?\d*|\.\d+)\s*([a-z]*)\s*", text.lower())
    if not found or not Fraction(found[1]):
        raise ValueError(f"expected a length as 25mm, got {text!r}")
    if not found[2]:
        raise ValueError(f"{text!r} has no unit: write {text.strip()}mm, or cm, m, in")
    if found[2] not in _METRES:
        raise ValueError(f"{text!r}: the unit {found[2]!r} is not one of mm, cm, m, in")
    return float(Fraction(found[1]) * _METRES[found[2]])


def parse_grid(text: str) -> tuple[int, int]:
    """Columns and rows of a grid written as `9x6`.

    Raises
    ------
    ValueError
        If it is anything else.
    """
    found = re.fullmatch(r"\s*([0-9]+)\s*[x×,*]\s*([0-9]+)\s*", text.lower())
    if not found:
        raise ValueError(f"expected columns and rows as 9x6, got {text!r}")
    return int(found[1]), int(found[2])
