"""Options that contradict each other are refused when they are made, and every stage has one name."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from geo3d.options import STAGES, ReconstructOptions


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"from_stage": "middle"}, "from_stage is 'middle'"),
        ({"until_stage": "end"}, "until_stage is 'end'"),
        ({"from_stage": "poses", "until_stage": "scan"}, "comes after"),
        ({"calib": Path("k.txt"), "camera_model": "PINHOLE"}, "calib already says"),
        ({"calib": Path("k.txt"), "camera_params": (1.0,), "camera_model": "PINHOLE"}, "calib already says"),
        ({"camera_params": (800.0, 800.0, 320.0, 240.0)}, "needs camera_model"),
        ({"max_size": 10}, "max_size is 10"),
        ({"threads": 0}, "threads is 0"),
    ],
)
def test_what_cannot_be_is_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        ReconstructOptions(**changes)


@pytest.mark.parametrize("first", range(len(STAGES)))
@pytest.mark.parametrize("last", range(len(STAGES)))
def test_stages_run_forwards(first: int, last: int) -> None:
    if first > last:
        with pytest.raises(ValueError):
            ReconstructOptions(from_stage=STAGES[first], until_stage=STAGES[last])
    else:
        ReconstructOptions(from_stage=STAGES[first], until_stage=STAGES[last])


def test_options_cannot_be_changed_later() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        ReconstructOptions().seed = 1  # pyright: ignore[reportAttributeAccessIssue]
