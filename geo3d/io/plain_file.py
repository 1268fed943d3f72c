"""YAML, XML and JSON from outside as plain dictionaries, lists and text: nothing in a file is run or allocated ahead.

Tags, types and merge keys mean nothing here, so OpenCV's `!!opencv-matrix` is a dictionary of rows, cols, dt and data.
Numbers are text until `numbers` reads them. OpenCV's first line `%YAML:1.0`, which is no YAML, is left out.
"""

import math
import os
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import yaml

from geo3d.io.json_file import read_json_object

LARGEST_BYTES = 8 << 20  # a calibration has some kilobytes; with all its detections a few hundred
_MOST_NUMBERS = 1000


def read_text(path: str | os.PathLike) -> str:
    """The text of a file of at most 8 MiB.

    Raises
    ------
    ValueError
        If it is larger, or not UTF-8.
    """
    path = Path(path)
    size = path.stat().st_size
    if size > LARGEST_BYTES:
        raise ValueError(f"{path}: expected a calibration of at most 8 MiB, found {size / 2**20:.0f} MiB")
    try:
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path}: expected text in UTF-8, found {error.reason} at byte {error.start}"
        ) from None


def read_plain(path: str | os.PathLike) -> dict[str, Any]:
    """The mapping at the top of a `.yaml` or `.yml`, `.xml` or `.json` file.

    Raises
    ------
    ValueError
        If the file is damaged, nested too deeply, or holds something else.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix == ".json":
        return read_json_object(path)
    text = read_text(path)
    found = _xml(text, path) if suffix == ".xml" else _yaml(text, path)
    if not isinstance(found, dict) and found:
        raise ValueError(f"{path}: expected keys with values, found {str(found)[:60]!r}")
    return found or {}


def _yaml(text: str, path: Path) -> Any:
    if text.startswith("%YAML:"):
        text = text.partition("\n")[2]
    try:
        # The base loader makes text, lists and dictionaries only. (libyaml's crashes on deep nesting.)
        return yaml.load(text, yaml.BaseLoader)
    except (yaml.YAMLError, ValueError) as error:
        raise ValueError(
            f"{path}: expected YAML, found {' '.join(str(error).split())}; the file is truncated or corrupt"
        ) from None
    except RecursionError:
        raise ValueError(f"{path}: expected a calibration, found YAML nested too deeply") from None


def _xml(text: str, path: Path) -> Any:
    if "<!" in text.replace("<!--", ""):
        raise ValueError(f"{path}: expected plain XML, found a declaration; entities are refused")
    try:
        return _element(ElementTree.fromstring(text.encode()))
    except ElementTree.ParseError as error:
        raise ValueError(f"{path}: expected XML, found {error}; the file is truncated or corrupt") from None
    except RecursionError:
        raise ValueError(f"{path}: expected a calibration, found XML nested too deeply") from None


def _element(element: ElementTree.Element) -> Any:
    """A dictionary of what is inside, a list where all of it is `_` (OpenCV's list), or the text."""
    inside = [(child.tag, _element(child)) for child in element]
    if inside and all(tag == "_" for tag, _ in inside):
        return [value for _, value in inside]
    return dict(inside) if inside else (element.text or "").strip().strip('"')


def numbers(value: Any, where: str) -> list[float]:
    """The numbers of a value: one number, a list, a list of rows, text with spaces between, or a matrix's `data`.

    Raises
    ------
    ValueError
        If it is something else, or a number is not finite.
    """
    if isinstance(value, dict) and "data" in value:
        value = value["data"]
    found: list[float] = []
    for row in value if isinstance(value, list) else [value]:
        for item in row if isinstance(row, list) else [row]:
            found += [_number(word, where) for word in (item.split() if isinstance(item, str) else [item])]
            if len(found) > _MOST_NUMBERS:  # a YAML file of some bytes can repeat a list any number of times
                raise ValueError(f"{where}: expected some numbers, found more than {_MOST_NUMBERS}")
    return found


def _number(word: Any, where: str) -> float:
    if isinstance(word, str | int | float) and not isinstance(word, bool):
        try:
            found = float(word)
        except (ValueError, OverflowError):
            found = math.nan
        if math.isfinite(found):
            return found
    raise ValueError(f"{where}: expected finite numbers, found {str(word)[:60]!r}")


def counted(value: Any, count: int, where: str) -> list[float]:
    """`numbers`, if there are so many.

    Raises
    ------
    ValueError
        If there are more or fewer.
    """
    found = numbers(value, where)
    if len(found) != count:
        raise ValueError(f"{where}: expected {count} numbers, found {len(found)}")
    return found


def image_size(value: Any, where: str) -> tuple[int, int]:
    """Width and height in pixels, whole and positive.

    Raises
    ------
    ValueError
        If they are not.
    """
    width, height = counted(value, 2, where)
    if not all(n == int(n) and 0 < n < 2**31 for n in (width, height)):
        raise ValueError(f"{where}: expected width and height in pixels, found {width:g} and {height:g}")
    return int(width), int(height)
