"""Lengths with units become metres; a bare number is refused."""

import pytest

from geo3d.util.lengths import parse_grid, parse_length


@pytest.mark.parametrize(
    ("text", "metres"),
    [
        ("25mm", 0.025),
        ("2.5 cm", 0.025),
        ("0.025m", 0.025),
        ("1in", 0.0254),
        (" 25 MM ", 0.025),
        ("22.5mm", 0.0225),
    ],
)
def test_lengths(text, metres):
    assert parse_length(text) == metres


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("25", "25mm"),
        ("25px", "mm, cm, m, in"),
        ("-5mm", "as 25mm"),
        ("0mm", "as 25mm"),
        ("", "as"),
        ("1.2.3mm", "as"),
    ],
)
def test_what_is_no_length_is_refused(text, hint):
    with pytest.raises(ValueError, match=hint):
        parse_length(text)


def test_grids():
    assert parse_grid("9x6") == parse_grid(" 9 X 6") == parse_grid("9×6") == (9, 6)
    for text in ("9", "9x", "9x6x3", "axb"):
        with pytest.raises(ValueError, match="9x6"):
            parse_grid(text)
