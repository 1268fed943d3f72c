"""Options that contradict each other are refused when they are made, and every stage has one name."""

import dataclasses
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
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
        ({"calib": Path("k.txt"), "camera_model": ""}, "calib already says"),
        ({"max_size": 10}, "max_size is 10"),
        ({"max_size": 100.5}, "max_size is 100.5.*whole number"),
        ({"max_size": True}, "max_size is True"),
        ({"threads": 0}, "threads is 0"),
        ({"threads": 1.5}, "threads is 1.5.*whole number"),
        ({"seed": -1}, "seed is -1.*at least 0"),
        ({"seed": 1.5}, "seed is 1.5"),
        ({"seed": None}, "seed is None"),
        ({"quality": "best"}, "quality is 'best'; choose one of low, medium, high"),
        ({"matching": "foo"}, "matching is 'foo'.*sequential"),
        ({"matching": ["gps"]}, "matching is"),
        ({"gps_radius_m": 0}, "gps_radius_m is 0; expected metres"),
        ({"gps_radius_m": "far"}, "gps_radius_m is 'far'; expected metres"),
        (
            {"gps_radius_m": 50, "matching": "sequential"},
            "gps_radius_m is of no use when matching is 'sequential'",
        ),
        (
            {"pairs": Path("p.txt"), "matching": "gps"},
            "pairs already says what is compared; leave out matching 'gps'",
        ),
        ({"pairs": Path("p.txt"), "gps_radius_m": 9.0}, "gps_radius_m is of no use when pairs"),
        ({"camera_per": "x"}, "camera_per is 'x'.*folder"),
        ({"fix_intrinsics": "no"}, "fix_intrinsics is 'no'"),
        ({"calib": 3}, "calib is 3.*path"),
        ({"calib": ""}, "calib is ''"),
        ({"pairs": b"p.txt"}, "pairs is b'p.txt'"),
        ({"gcp": 3}, "gcp is 3.*path"),
        ({"distance": ["a.jpg b.jpg 3"]}, "distance is 'a.jpg b.jpg 3'; expected two names and metres"),
        ({"distance": [("a", "b", 0.0)]}, "positive metres"),
        ({"distance": [("a", "a", 2.0)]}, "two different names"),
        ({"marker_size_m": 0.0}, "marker_size_m is 0.0; expected metres"),
        ({"distance": [("a", "b", "long")]}, "'long' is no number of metres"),
        (
            {"distance": [("a", "b", "5,0")]},
            "'5,0' is no number of metres .a point stands before the fraction",
        ),
        (
            {"camera_model": "FOO"},
            "'FOO', which is not a COLMAP model; choose one of SIMPLE_PINHOLE, PINHOLE",
        ),
        ({"camera_model": ""}, "not a COLMAP model"),
        ({"camera_model": ["PINHOLE"]}, "not a COLMAP model"),
        ({"camera_model": "DOUBLE_SPHERE"}, "not a COLMAP model"),
        (
            {"camera_model": "PINHOLE", "camera_params": (1.0, 2.0, 3.0)},
            "has 3 numbers; PINHOLE takes 4: fx, fy",
        ),
        ({"camera_model": "PINHOLE", "camera_params": ()}, "camera_params is"),
        ({"camera_model": "PINHOLE", "camera_params": (1.0, 2.0, 3.0, float("nan"))}, "finite"),
        ({"camera_model": "PINHOLE", "camera_params": "1234"}, "camera_params is '1234'"),
        ({"camera_model": "PINHOLE", "camera_params": (-1.0, 2.0, 3.0, 3.0)}, "camera_params: the focal"),
    ],
)
def test_what_cannot_be_is_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        ReconstructOptions(**changes)


def test_models_that_colmap_lacks_are_not_offered() -> None:
    with pytest.raises(ValueError) as caught:
        ReconstructOptions(camera_model="DOUBLE_SPHERE")
    assert "BROWN" not in str(caught.value) and "EUCM" in str(caught.value)


def test_what_comes_in_another_type_is_converted() -> None:
    options = ReconstructOptions(
        pairs="p.txt",  # pyright: ignore[reportArgumentType]
        camera_model="PINHOLE",
        camera_params=np.array([8, 8, 4, 3]),  # pyright: ignore[reportArgumentType]
        seed=np.int64(3),  # pyright: ignore[reportArgumentType]
    )
    assert options == ReconstructOptions(
        pairs=Path("p.txt"), camera_model="PINHOLE", camera_params=(8.0, 8.0, 4.0, 3.0), seed=3
    )
    assert type(options.seed) is int and options.camera_params is not None
    assert all(type(value) is float for value in options.camera_params)
    assert ReconstructOptions(calib="K.txt").calib == Path("K.txt")  # pyright: ignore[reportArgumentType]


def test_the_defaults_load_nothing_heavy() -> None:
    code = (
        "import sys, geo3d.options; geo3d.options.ReconstructOptions();"
        "assert not {'numpy', 'numba'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


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
