"""What commands are told about a calibration target: its kind, its lengths, and the target made of them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import TYPE_CHECKING, Literal

from geo3d.cli.common import OptionalLength, OptionalNumber, OptionalWord, UsageError

if TYPE_CHECKING:
    from geo3d.calibration import Target

Kind = Literal["checkerboard", "charuco", "aprilgrid", "circles", "asymmetric-circles"]

# kind -> the flags that it needs and those that it may have
_FLAGS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "checkerboard": (("square",), ()),
    "charuco": (("square",), ("marker", "dictionary", "legacy")),
    "aprilgrid": (("tag",), ("gap",)),
    "circles": (("spacing",), ("diameter",)),
    "asymmetric-circles": (("spacing",), ("diameter",)),
}
_EXAMPLE = {"square": "25mm", "tag": "25mm", "spacing": "20mm"}
_DICTIONARY = "DICT_5X5_250"
_MARKER = 0.75  # of a square
_GAP = 0.3  # of a tag: Kalibr's
_DISC = 0.6  # of the distance between neighbouring centres


@dataclass(frozen=True, kw_only=True)
class TargetFlags:
    """Lengths of a target; which are needed depends on its kind."""

    square: OptionalLength = None
    """Edge of a square, with its unit (checkerboard, charuco)."""

    marker: OptionalLength = None
    """Edge of a marker (charuco); by default 3/4 of a square."""

    dictionary: OptionalWord = None
    """OpenCV's dictionary of markers (charuco); by default DICT_5X5_250."""

    legacy: bool = False
    """The layout of OpenCV before 4.6 (charuco)."""

    tag: OptionalLength = None
    """Edge of a tag (aprilgrid)."""

    gap: OptionalNumber = None
    """Gap between two tags as a share of a tag, Kalibr's tagSpacing (aprilgrid); by default 0.3."""

    spacing: OptionalLength = None
    """Between centres (circles), or between rows (asymmetric-circles, as OpenCV has it)."""

    diameter: OptionalLength = None
    """Of a disc (circles, asymmetric-circles); by default 0.6 of the distance between neighbours."""


def check_flags(flags: TargetFlags, kind: Kind) -> None:
    """Refuse lengths that are missing, and those of other kinds."""
    needed, possible = _FLAGS[kind]
    for name in needed:
        if getattr(flags, name) is None:
            raise UsageError(f"{kind} needs --{name}, as --{name} {_EXAMPLE[name]}")
    every = dict.fromkeys(name for lists in _FLAGS.values() for group in lists for name in group)
    for name in every:
        if getattr(flags, name) not in (None, False) and name not in needed + possible:
            kinds = [kind for kind, lists in _FLAGS.items() if name in lists[0] + lists[1]]
            raise UsageError(f"--{name} does not go with {kind}; it is for {' and '.join(kinds)}")


def make_target(flags: TargetFlags, kind: Kind, size: tuple[int, int]) -> Target:
    """The target, or a UsageError in the words of the command line."""
    from geo3d.calibration import AprilGrid, CharucoBoard, Checkerboard, CircleGrid

    columns, rows = size
    try:
        if flags.square is not None:
            if kind == "checkerboard":
                return Checkerboard(columns, rows, flags.square)
            marker = flags.marker or _MARKER * flags.square
            name = _dictionary(flags.dictionary or _DICTIONARY)
            return CharucoBoard(columns, rows, flags.square, marker, name, flags.legacy)
        if flags.tag is not None:
            return AprilGrid(columns, rows, flags.tag, _GAP if flags.gap is None else flags.gap)
        assert flags.spacing is not None
        asymmetric = kind == "asymmetric-circles"
        nearest = flags.spacing * (2**0.5 if asymmetric else 1)
        diameter = flags.diameter or round(_DISC * nearest, 4)
        return CircleGrid(columns, rows, flags.spacing, diameter, asymmetric)
    except ValueError as error:
        raise UsageError(_in_flags(str(error))) from None


def with_unit(flags: TargetFlags, kind: Kind) -> TargetFlags:
    """The flags with the length that the kind needs, 1 m where it is not given."""
    (needed,) = _FLAGS[kind][0]
    found = flags if getattr(flags, needed) is not None else replace(flags, **{needed: 1.0})
    check_flags(found, kind)
    return found


def kind_of(target: Target) -> Kind:
    """By what commands call it."""
    from geo3d.calibration import AprilGrid, CharucoBoard, CircleGrid

    if isinstance(target, CharucoBoard):
        return "charuco"
    if isinstance(target, AprilGrid):
        return "aprilgrid"
    if isinstance(target, CircleGrid):
        return "asymmetric-circles" if target.asymmetric else "circles"
    return "checkerboard"


def with_lengths(target: Target, flags: TargetFlags) -> Target:
    """A target that was guessed, of squares, tags or a spacing of 1 m, with the lengths given."""
    from geo3d.calibration import AprilGrid, CharucoBoard, Checkerboard, CircleGrid

    check_flags(with_unit(flags, kind_of(target)), kind_of(target))
    try:
        if isinstance(target, Checkerboard):
            return replace(target, square_m=flags.square or 1.0)
        if isinstance(target, CharucoBoard):
            square = flags.square or 1.0
            return replace(target, square_m=square, marker_m=flags.marker or square * target.marker_m)
        if isinstance(target, AprilGrid):
            return replace(
                target, tag_m=flags.tag or 1.0, spacing=target.spacing if flags.gap is None else flags.gap
            )
        assert isinstance(target, CircleGrid)
        spacing = flags.spacing or 1.0
        return replace(target, spacing_m=spacing, diameter_m=flags.diameter or spacing * target.diameter_m)
    except ValueError as error:
        raise UsageError(_in_flags(str(error))) from None


def _dictionary(word: str) -> str:
    from geo3d.calibration.targets import MARKERS

    names = {name.lower(): name for name in MARKERS}
    known = word.lower() if word.lower().startswith("dict_") else f"dict_{word.lower()}"
    if known in names:
        return names[known]
    close = get_close_matches(known, names, n=1)
    hint = f"did you mean {names[close[0]]}?" if close else f"it is one of {', '.join(MARKERS)}"
    raise UsageError(f"--dictionary {word}: OpenCV has none of that name; {hint}")


def _in_flags(message: str) -> str:
    """A message of the targets with the flags of the command line for their fields."""
    for field, flag in {
        "square_m": "--square",
        "marker_m": "--marker",
        "tag_m": "--tag",
        "spacing_m": "--spacing",
        "diameter_m": "--diameter",
        "spacing is": "--gap is",
    }.items():
        message = message.replace(field, flag)
    return message
