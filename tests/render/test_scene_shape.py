"""What cameras look at, which way is up, and from where a scene was seen."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geo3d.geometry import SE3, SO3, look_at
from geo3d.render import scene_shape
from tests.render.paths import moved, ring, some_motion


def test_a_ring_of_cameras():
    shape = scene_shape(ring(12), up=np.array([0, 0, 2.0]))
    np.testing.assert_allclose(shape.focus, [1, 2, 0.5], atol=0.01)
    np.testing.assert_allclose(shape.radii, 4, atol=0.01)
    np.testing.assert_allclose(shape.heights, 1.5, atol=0.01)
    assert shape.distance == pytest.approx(np.hypot(4, 1.5), abs=0.01)
    np.testing.assert_allclose(np.diff(np.unwrap(shape.azimuths)), np.pi / 6, atol=0.01)
    assert shape.azimuths[0] == pytest.approx(0.0, abs=1e-12)
    assert shape.arc() is None


@given(seed=st.integers(0, 1000))
def test_up_and_focus_turn_with_the_world(seed):
    """Up of level photos is found in any world; what is found moves with it."""
    rng = np.random.default_rng(seed)
    poses = ring(9) + ring(5, height=3.0)
    shaken = [SE3(SO3.exp(rng.normal(0, 0.02, 3)).matrix, np.zeros(3)) @ pose for pose in poses]
    motion = some_motion(seed)
    plain, turned = scene_shape(shaken), scene_shape(moved(shaken, motion))
    np.testing.assert_allclose(turned.focus, motion.act(plain.focus), atol=1e-8)
    np.testing.assert_allclose(turned.up, motion.rotation @ plain.up, atol=1e-8)
    assert plain.up[2] > 0.999
    np.testing.assert_allclose(turned.radii, plain.radii, atol=1e-8)


def test_up_of_photos_from_above():
    """Straight down, in lanes there and back: the tops of the photos cancel, and the sky is behind the cameras."""
    poses = [
        look_at([x, y, 20.0], [x, y, 0.0], (0, 1 if x % 2 else -1, 0)) for x in range(4) for y in range(4)
    ]
    shape = scene_shape(poses, points=np.random.default_rng(0).normal(0, 1, (50, 3)))
    assert shape.up[2] > 0.999
    assert shape.arc() is None
    assert abs(shape.focus[2]) < 8


def test_up_of_a_scene_seen_from_one_side():
    poses = [look_at([x, -5.0, 1 + z], [x, 0.0, 0.5]) for x in (-1, 0, 1) for z in (-0.5, 0, 0.5)]
    assert scene_shape(poses).up[2] > 0.95


def test_parallel_axes_have_a_focus_ahead():
    poses = [look_at([x, 0.0, 0.0], [x, 10.0, 0.0]) for x in (-1.0, 1.0)]
    points = np.array([[0.0, 7.0, 0.0]] * 5)
    np.testing.assert_allclose(scene_shape(poses, points=points).focus, [0, 7, 0], atol=1e-6)
    assert scene_shape(poses).focus[1] > 0.5
    assert scene_shape(poses[:1]).focus[1] > 0.5


def test_the_arc_that_cameras_cover():
    shape = scene_shape(ring(8, first=np.radians(300), last=np.radians(400)), up=np.array([0, 0, 1.0]))
    begin, end = shape.arc()
    assert end - begin == pytest.approx(np.radians(100), abs=0.03)
    middle = shape.point(4, 0, (begin + end) / 2) - shape.focus
    assert np.arctan2(middle[1], middle[0]) == pytest.approx(np.radians(350 - 360), abs=0.03)
    narrow = scene_shape(ring(3, first=0.0, last=0.2), up=np.array([0, 0, 1.0])).arc()
    assert narrow[1] - narrow[0] == pytest.approx(np.radians(20))


def test_cameras_that_look_away_from_each_other():
    outward = [look_at([np.cos(a), np.sin(a), 0], [3 * np.cos(a), 3 * np.sin(a), 0]) for a in np.arange(6)]
    with pytest.raises(ValueError, match="look away from each other"):
        scene_shape(outward)
    with pytest.raises(ValueError, match="poses"):
        scene_shape([])
