"""One line of JSON (RFC 8259) for another program: NaN and infinity, which JSON lacks, are null.

Only ASCII is written, so that the line is valid whatever the encoding of the terminal.
"""

import json
import math
from typing import Any


def json_line(value: Any) -> str:
    """`value` as JSON; arrays become lists, and what JSON has no word for (a path) becomes text.

    >>> json_line({"error_px": float("nan"), "params": (800.0, 0.5)})
    '{"error_px": null, "params": [800.0, 0.5]}'
    """
    return json.dumps(_plain(value), allow_nan=False)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if value is None or isinstance(value, str | bool | int):
        return value
    return _plain(value.tolist()) if hasattr(value, "tolist") else str(value)
