"""Rectified cameras see a point in one row, whatever the lenses and however they stand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geo3d.cameras import Camera
from geo3d.geometry import SE3, SO3
from geo3d.stereo import RectifyOptions, rectify

PINHOLE = Camera("PINHOLE", 320, 240, [280, 285, 158, 122])
DISTORTED = Camera("OPENCV", 320, 240, [260, 262, 163, 117, -0.2, 0.05, 0.001, -0.002])
FISHEYE = Camera("OPENCV_FISHEYE", 320, 240, [120, 121, 160, 119, 0.02, -0.01, 0.003, 0.0])


def rig(centre, turn=(0.0, 0.0, 0.0)):
    """right_from_left of a right camera at `centre` of the left one's frame, turned by `turn`."""
    rotation = SO3.exp(turn).matrix
    return SE3(rotation, -rotation @ np.asarray(centre, float))


@settings(max_examples=25)
@given(
    st.sampled_from([PINHOLE, DISTORTED, FISHEYE]),
    st.sampled_from([PINHOLE, DISTORTED, FISHEYE]),
    st.tuples(st.floats(0.05, 2.0), st.floats(-0.03, 0.03), st.floats(-0.03, 0.03)),
    st.tuples(*[st.floats(-0.1, 0.1)] * 3),
    st.sampled_from(["bouguet", "fusiello"]),
)
def test_a_point_has_one_row_and_its_depth(left, right, centre, turn, method):
    right_from_left = rig(centre, turn)
    found = rectify(left, right, right_from_left, RectifyOptions(method))
    points = np.random.default_rng(1).uniform([-1, -1, 4], [1, 1, 9], (30, 3)) * found.baseline_m
    one = found.camera.project(points @ found.rectified_from_left.T)
    two = found.camera.project(right_from_left.act(points) @ found.rectified_from_right.T)
    np.testing.assert_allclose(one[:, 1], two[:, 1], atol=1e-8)
    depth = (points @ found.rectified_from_left.T)[:, 2]
    np.testing.assert_allclose(one[:, 0] - two[:, 0], found.focal_px * found.baseline_m / depth, rtol=1e-8)
    np.testing.assert_allclose(found.baseline_m, np.linalg.norm(centre))
    for turned in (found.rectified_from_left, found.rectified_from_right):
        np.testing.assert_allclose(turned @ turned.T, np.eye(3), atol=1e-12)
        assert np.linalg.det(turned) > 0


def test_maps_lead_to_the_photos():
    found = rectify(DISTORTED, FISHEYE, rig([0.2, 0.01, 0.0], [0.01, -0.03, 0.02]))
    assert found.left_valid.all()
    assert found.right_valid.all()
    x, y = 40, 30
    ray = found.camera.unproject([x + 0.5, y + 0.5])
    np.testing.assert_allclose(
        found.left_map[y, x], DISTORTED.project(ray @ found.rectified_from_left), atol=1e-3
    )
    ramp = np.broadcast_to(np.arange(320, dtype=np.float32), (240, 320))
    shown = found.rectify_left(ramp)
    np.testing.assert_allclose(shown, found.left_map[..., 0] - 0.5, atol=0.05)


def test_blank_shows_all_and_knows_where_nothing_is():
    right_from_left = rig([0.2, 0.0, 0.0], [0.0, 0.1, 0.05])
    cut, whole = (rectify(DISTORTED, DISTORTED, right_from_left, RectifyOptions(blank=b)) for b in (0.0, 1.0))
    assert whole.camera.width > cut.camera.width
    assert cut.left_valid.all()
    assert not whole.left_valid.all()


def test_field_of_view_and_scale_are_chosen():
    right_from_left = rig([0.1, 0.0, 0.0])
    narrow = rectify(FISHEYE, FISHEYE, right_from_left, RectifyOptions(fov_deg=60))
    wide = rectify(FISHEYE, FISHEYE, right_from_left, RectifyOptions(fov_deg=110))
    assert np.degrees(narrow.camera.field_of_view()[0]) < 61
    assert np.degrees(wide.camera.field_of_view()[0]) > 80
    half = rectify(FISHEYE, FISHEYE, right_from_left, RectifyOptions(fov_deg=60, scale=0.5))
    assert abs(half.camera.width - 0.5 * narrow.camera.width) <= 2
    np.testing.assert_allclose(half.focal_px, 0.5 * narrow.focal_px)


def test_a_vertical_rig_is_turned_and_said():
    found = rectify(PINHOLE, PINHOLE, rig([0.0, 0.2, 0.0]))
    assert "vertical" in found.notes[0]
    np.testing.assert_allclose(found.rectified_from_left @ [0, 1, 0], [1, 0, 0], atol=1e-12)
    assert not rectify(PINHOLE, PINHOLE, rig([0.2, 0.0, 0.0])).notes


def test_a_rolled_camera_is_said():
    assert any("rolled" in note for note in rectify(PINHOLE, PINHOLE, rig([0.2, 0, 0], [0, 0, 1.0])).notes)


@pytest.mark.parametrize(
    ("right_from_left", "words"),
    [
        (rig([0.0, 0.0, 0.0]), "baseline 0"),
        (rig([-0.2, 0.0, 0.0]), "swapped"),
        (rig([0.01, 0.0, 0.3]), "before the other"),
        (rig([0.2, 0.0, 0.0], [0.0, 2.5, 0.0]), "degrees apart"),
        (rig([0.2, 0.0, 0.0], [0.0, 1.4, 0.0]), "nothing in common|next to nothing"),
    ],
)
def test_pairs_that_cannot_be_rectified_are_refused(right_from_left, words):
    with pytest.raises(ValueError, match=words):
        rectify(PINHOLE, PINHOLE, right_from_left)


@pytest.mark.parametrize("wrong", [{"method": "x"}, {"blank": 2.0}, {"fov_deg": 180.0}, {"scale": 0.0}])
def test_options_are_checked(wrong):
    with pytest.raises(ValueError, match="expected"):
        RectifyOptions(**wrong)
