"""The point under a click, and the distance between two."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geo3d.cameras import Camera
from geo3d.viz.viewer_measure import distance_text, pick
from geo3d.viz.viewer_scene import load_viewer_scene
from tests.viz.viewer_scenes import write_scene_folder

CAMERA = Camera("PINHOLE", 800, 600, [600.0, 600.0, 400.0, 300.0])
FOV = 2 * np.arctan(300 / 600)


def ray(pixel: tuple[float, float]) -> np.ndarray:
    return CAMERA.unproject(np.array(pixel)) * 3.7  # of any length


@given(st.integers(0, 2**32 - 1), st.floats(-2, 2), st.floats(-2, 2))
def test_a_click_beside_a_lone_point_finds_it(seed: int, dx: float, dy: float) -> None:
    rng = np.random.default_rng(seed)
    depth = rng.uniform(0.1, 100)
    pixel = rng.uniform([10, 10], [790, 590])
    point = CAMERA.unproject(pixel) * depth
    assert pick(point[None], np.zeros(3), ray(pixel + np.array([dx, dy])), 600, FOV) == 0
    assert pick(point[None], np.zeros(3), ray(pixel + 15), 600, FOV) is None
    assert pick(-point[None], np.zeros(3), ray(pixel), 600, FOV) is None  # behind the eye


def test_the_nearest_to_the_eye_hides_the_others() -> None:
    here = ray((400, 300))
    points = np.stack([9 * here, 2 * here, 5 * here])
    assert pick(points, np.zeros(3), here, 600, FOV) == 1


def test_a_point_under_the_click_goes_before_one_beside_it() -> None:
    points = np.stack([ray((407, 300)), 5 * ray((400, 300))])
    assert pick(points, np.zeros(3), ray((400, 300)), 600, FOV) == 1


def test_no_points() -> None:
    assert pick(np.zeros((0, 3)), np.zeros(3), ray((1, 1)), 600, FOV) is None


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        (None, "13.00 units; the scale is arbitrary"),
        ({"metres": False}, "13.00 units; level 5.00, height +12.00; the scale is arbitrary"),
        ({"metres": True}, "13.00 m; level 5.00, height +12.00"),
        (
            {"metres": True, "models": [{"sparse": 0, "source": "gps", "scale_std": 0.0125}]},
            "13.00 m; level 5.00, height +12.00; scale ± 1.2 %",
        ),
    ],
)
def test_distance_in_words(tmp_path: Path, place: dict | None, expected: str) -> None:
    write_scene_folder(tmp_path, place=place)
    scene = load_viewer_scene(tmp_path)
    assert distance_text(scene, np.array([1.0, 1, 1]), np.array([4.0, 5, 13])) == expected


@pytest.mark.parametrize(
    ("length", "expected"),
    [(0.0, "0 m"), (0.001234, "0.001234 m"), (1234.5678, "1235 m"), (98765.4, "98765 m")],
)
def test_four_digits(tmp_path: Path, length: float, expected: str) -> None:
    write_scene_folder(tmp_path, place={"metres": True})
    scene = load_viewer_scene(tmp_path)
    assert distance_text(scene, np.zeros(3), np.array([length, 0, 0])).split(";")[0] == expected
