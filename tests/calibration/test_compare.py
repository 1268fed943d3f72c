"""Two calibrations of one camera differ by nothing once the frames are aligned; what differs is measured in pixels."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geo3d.calibration import CompareOptions, compare
from geo3d.cameras import Camera
from geo3d.geometry import SO3, rotation_angle
from geo3d.optim import RobustLoss
from geo3d.viz.calibration_compare import write_comparison_png

from .common import LENSES


@pytest.mark.parametrize("model", LENSES)
@pytest.mark.parametrize("distance_m", [None, 0.5])
def test_a_camera_does_not_differ_from_itself(model, distance_m):
    found = compare(LENSES[model], LENSES[model], CompareOptions(distance_m))
    assert np.nanmax(found.difference_px) < 1e-6 and found.rotation_deg < 1e-6
    assert np.isfinite(found.difference_px).all() and found.difference_px.shape == (48, 64)


def test_a_shift_of_the_optical_centre_is_a_rotation_to_first_order():
    a = Camera("PINHOLE", 640, 480, [800, 800, 320, 240])
    median, turned = [], []
    for shift in (8.0, 4.0, 2.0):
        found = compare(a, a.with_params([800, 800, 320 + shift, 240]))
        median.append(np.median(found.difference_px))
        turned.append(np.rad2deg(rotation_angle(found.a_from_b.rotation)))
    np.testing.assert_allclose(turned, np.rad2deg(np.array([8, 4, 2]) / 800), rtol=0.15)
    assert median[0] < 0.1 * 8  # the shift itself is gone
    assert median[1] / median[2] == pytest.approx(2, rel=0.1)  # (r / f)^2 of the shift is left, linear in it


@settings(max_examples=15, deadline=None)
@given(st.floats(-6, 6), st.floats(-6, 6), st.floats(0.995, 1.005))
def test_the_alignment_is_the_best_one_and_works_both_ways(dx, dy, zoom):
    a = LENSES["OPENCV"]
    f = a.params * [zoom, zoom, 1, 1, 1, 1, 1, 1] + [0, 0, dx, dy, 0, 0, 0, 0]
    b = a.with_params(f)
    there, back = compare(a, b), compare(b, a)
    both = there.a_from_b.rotation @ back.a_from_b.rotation
    assert rotation_angle(both) < 2e-4
    assert np.median(there.difference_px) == pytest.approx(np.median(back.difference_px), rel=0.1, abs=1e-3)
    unaligned = np.linalg.norm(a.project(b.unproject(there.pixels)) - there.pixels, axis=-1)
    left = np.mean(there.difference_px[there.trusted])
    assert left <= 1.02 * np.mean(unaligned[there.trusted]) + 1e-6
    if np.hypot(dx, dy) > 4:
        assert left < 0.7 * np.mean(unaligned[there.trusted])


@pytest.mark.parametrize("distance_m", [None, 1.0])
def test_no_other_rotation_or_shift_is_better(distance_m):
    a = Camera("PINHOLE", 640, 480, [250, 250, 320, 240])  # wide: equal angles are not equal pixels
    b = a.with_params([252, 252, 335, 228])
    found = compare(a, b, CompareOptions(distance_m))
    pixels = found.pixels[found.trusted]
    points = b.unproject(pixels) * (distance_m or 1.0)

    def cost(turn, shift):
        seen = a.project(points @ (SO3.exp(turn).matrix @ found.a_from_b.rotation).T + shift)
        return np.mean(RobustLoss("soft_l1", 3 * np.median(far)).rho(np.sum((seen - pixels) ** 2, axis=1)))

    far = found.difference_px[found.trusted]
    steps = np.concatenate([np.eye(3), -np.eye(3)]) * 1e-3
    best = cost(np.zeros(3), found.a_from_b.translation)
    assert all(cost(step, found.a_from_b.translation) > best for step in steps)
    if distance_m is not None:
        assert all(cost(np.zeros(3), found.a_from_b.translation + step) > best for step in steps)


def test_a_longer_focal_length_stays_and_grows_outwards():
    a = Camera("PINHOLE", 640, 480, [800, 800, 320, 240])
    found = compare(a, a.with_params([808, 808, 320, 240]))
    radius = np.linalg.norm(found.pixels - [320, 240], axis=-1)
    np.testing.assert_allclose(found.difference_px, radius * (1 - 800 / 808), atol=1e-6)
    assert np.all(
        np.sum(found.shift_px * (found.pixels - [320, 240]), axis=-1) < 0
    )  # a sees it nearer to the middle


def test_at_a_distance_a_longer_focal_length_is_a_step_ahead():
    a = Camera("SIMPLE_PINHOLE", 640, 480, [2000, 320, 240])
    b = a.with_params([2020, 320, 240])
    infinite, near = compare(a, b), compare(a, b, CompareOptions(distance_m=2.0))
    assert np.median(near.difference_px) < 0.05 * np.median(infinite.difference_px)
    assert near.a_from_b.translation[2] == pytest.approx(-2.0 * 0.01, rel=0.1)


def test_models_of_two_families_that_are_the_same_lens():
    a = Camera("OPENCV_FISHEYE", 640, 480, [300, 300, 320, 240, 0, 0, 0, 0])
    b = Camera("SIMPLE_FISHEYE", 640, 480, [300, 320, 240])
    assert np.nanmax(compare(a, b).difference_px) < 1e-6


def test_what_is_off_in_the_corners_has_little_say_in_the_middle():
    a = Camera("OPENCV", 640, 480, [500, 500, 320, 240, -0.1, 0.0, 0, 0])
    b = a.with_params([500, 500, 323, 240, -0.1, 0.02, 0, 0])
    found = compare(a, b)
    far = found.difference_px
    assert far.max() > 5 * np.median(far[found.trusted])


def test_sizes():
    a = Camera("PINHOLE", 640, 480, [800, 800, 320, 240])
    found = compare(a, a.rescaled(1280, 960))
    assert found.rescaled and np.nanmax(found.difference_px) < 1e-6 and "rescaled" in found.describe()[0]
    with pytest.raises(ValueError, match="different shape"):
        compare(a, Camera("PINHOLE", 640, 400, [800, 800, 320, 200]))


def test_pixels_that_one_of_them_does_not_see_are_no_number():
    a = Camera("DIVISION", 640, 480, [300, 300, 320, 240, -0.25])
    b = Camera("EUCM", 640, 480, [300, 300, 320, 240, 0.6, 1.1])
    narrow = Camera(
        "OPENCV", 640, 480, [300, 300, 320, 240, -0.4, 0.0, 0, 0]
    )  # turns back before the corners
    found = compare(narrow, b)
    assert np.isnan(found.difference_px).any() and np.isfinite(np.nanmedian(found.difference_px))
    assert "seen by one of them alone" in found.describe()[-1]
    assert np.isfinite(compare(a, b).difference_px).all()


@pytest.mark.parametrize("changes", [{"distance_m": 0.0}, {"trusted_radius": 0.0}, {"spacing_px": 0}])
def test_options_out_of_range_are_refused(changes):
    with pytest.raises(ValueError, match=next(iter(changes))):
        CompareOptions(**changes)


def test_a_region_of_no_pixels_is_refused():
    with pytest.raises(ValueError, match="trusted"):
        compare(LENSES["OPENCV"], LENSES["OPENCV"], CompareOptions(trusted_radius=0.01))


@pytest.mark.parametrize("other", ["OPENCV", "EUCM", "OPENCV_FISHEYE"])
def test_the_picture_is_a_png(tmp_path, other):
    found = compare(LENSES["OPENCV"], LENSES[other])
    write_comparison_png(tmp_path / "difference.png", found)
    assert (tmp_path / "difference.png").read_bytes().startswith(b"\x89PNG")
    assert [p.name for p in tmp_path.iterdir()] == ["difference.png"]
    assert any("median" in line for line in found.describe())
