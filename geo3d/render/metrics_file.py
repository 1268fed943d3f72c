"""metrics.json beside the result of a training: how good it is, what was trained, and whether it was finished."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from geo3d.render.evaluation import ViewQuality
from geo3d.util.files import read_json_object, write_text

_NAME = "metrics.json"


def write_metrics(out: Path, held_out: Sequence[ViewQuality], told: Mapping[str, Any]) -> None:
    """Write OUT/metrics.json: each view held out, the means of all, and what is `told` beside.

    Parameters
    ----------
    out : Path
    held_out : sequence of ViewQuality
    told : mapping
        What JSON can hold; with `finished`, `key` and `options` for `finished_metrics`.
    """

    def mean(values: list[float | None]) -> float | None:
        known = [value for value in values if value is not None]
        return float(np.mean(known)) if known else None

    record = {
        "psnr_db": mean([view.psnr_db for view in held_out]),
        "ssim": mean([view.ssim for view in held_out]),
        "lpips": mean([view.lpips for view in held_out]),
        "held_out": [asdict(view) for view in held_out],
        **told,
    }
    write_text(out / _NAME, json.dumps(record, indent=1))


def finished_metrics(
    out: Path, result: str, key: str, length: Mapping[str, Any]
) -> tuple[dict[str, Any] | None, bool]:
    """What metrics.json tells of this very training, if it was finished; and whether another one was, in its place.

    Parameters
    ----------
    out : Path
    result : str
        Name of the file that has to be there too.
    key : str
        Of the training.
    length : mapping
        The options that say when it ends.
    """
    try:
        told = read_json_object(out / _NAME)
        if told.get("finished") is not True or not (out / result).is_file():
            return None, False
        same = told["key"] == key and all(told["options"][name] == value for name, value in length.items())
        return (told, True) if same else (None, True)
    except (KeyError, TypeError):  # not of ours, or damaged: it says nothing
        return None, False
