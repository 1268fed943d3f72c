"""Disparity to depth and points; files of maps."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geo3d.cameras import Camera
from geo3d.io import read_pfm, read_png16, write_pfm, write_png16
from geo3d.stereo import depth_to_points, disparity_errors, disparity_to_depth


@given(st.floats(0.5, 500), st.floats(100, 5000), st.floats(0.01, 10), st.floats(-0.4, 100))
def test_depth_is_focal_times_baseline_by_disparity(d, focal, baseline, offset):
    found = disparity_to_depth(np.array([d]), focal, baseline, offset, sigma_px=0.1)
    np.testing.assert_allclose(found.depth * (d + offset), focal * baseline)
    step = 1e-6
    further = disparity_to_depth(np.array([d - step]), focal, baseline, offset)
    np.testing.assert_allclose((further.depth - found.depth) / step * 0.1, found.sigma, rtol=1e-3)


def test_what_is_not_in_front_has_no_depth():
    found = disparity_to_depth([np.nan, 0.0, -3.0, np.inf, 4.0], 800, 0.1, sigma_px=1.0)
    assert np.isnan(found.depth).tolist() == [True, True, True, True, False]
    assert np.isnan(found.sigma).tolist() == [True, True, True, True, False]


@pytest.mark.parametrize(
    "wrong",
    [
        {"focal_px": 0.0},
        {"baseline_m": -1.0},
        {"offset_px": np.nan},
        {"sigma_px": -1.0},
        {"focal_px": np.nan},
    ],
)
def test_wrong_numbers_are_refused(wrong):
    with pytest.raises(ValueError, match="expected"):
        disparity_to_depth([1.0], **({"focal_px": 800.0, "baseline_m": 0.1} | wrong))


def test_points_project_to_their_pixels():
    camera = Camera("PINHOLE", 40, 30, [50, 50, 21, 14])
    depth = np.random.default_rng(0).uniform(1, 9, (30, 40))
    depth[3, 4], depth[0, 0] = np.nan, np.inf
    points, pixels = depth_to_points(depth, camera)
    assert len(points) == 30 * 40 - 2
    np.testing.assert_allclose(camera.project(points), pixels + 0.5, atol=1e-9)
    np.testing.assert_allclose(points[:, 2], depth[pixels[:, 1], pixels[:, 0]])
    assert len(depth_to_points(depth, camera, every=10)[0]) == 3 * 4 - 1
    with pytest.raises(ValueError, match="40x30"):
        depth_to_points(depth[:-1], camera)


@given(st.integers(1, 9), st.integers(1, 9), st.booleans(), st.integers(0, 99))
def test_pfm_comes_back(tmp_path_factory, height, width, colour, seed):
    path = tmp_path_factory.mktemp("pfm") / "a.pfm"
    shape = (height, width, 3) if colour else (height, width)
    values = np.random.default_rng(seed).normal(size=shape).astype(np.float32)
    values.flat[0] = np.nan
    write_pfm(path, values)
    np.testing.assert_array_equal(read_pfm(path), values)


def test_pfm_of_both_byte_orders_has_its_first_row_at_the_bottom(tmp_path):
    for scale, order in ((b"-1.0", "<f4"), (b"1", ">f4")):
        path = tmp_path / "a.pfm"
        path.write_bytes(b"Pf\n2 2\n" + scale + b"\n" + np.array([3, 4, 1, 2], order).tobytes())
        np.testing.assert_array_equal(read_pfm(path), [[1, 2], [3, 4]])


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"P6\n2 2\n255\n",
        b"Pf\n2 2\n0\n" + bytes(16),
        b"Pf\n2 2\n-1\n" + bytes(15),
        b"Pf\n2 2\n-1\n" + bytes(17),
        b"Pf\n999999999 999999999\n-1\n" + bytes(16),
        b"Pf\n0 2\n-1\n",
        b"Pf\n2 2\n1.2.3\n" + bytes(16),
    ],
)
def test_a_damaged_pfm_is_refused(tmp_path, data):
    path = tmp_path / "a.pfm"
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r"a\.pfm"):
        read_pfm(path)


@given(st.integers(0, 99), st.sampled_from([1.0, 256.0, 1000.0]))
def test_png_comes_back_to_half_a_step(tmp_path_factory, seed, scale):
    path = tmp_path_factory.mktemp("png") / "a.png"
    values = np.random.default_rng(seed).uniform(1.0, 60.0, (7, 5)).astype(np.float32)
    values[0, 0], values[1, 1], values[2, 2], values[3, 3] = np.nan, np.inf, -1.0, 1e9
    assert write_png16(path, values, scale) == 1
    back = read_png16(path, scale)
    unknown = np.eye(7, 5, dtype=bool)
    unknown[4, 4] = False
    np.testing.assert_array_equal(np.isnan(back), unknown)
    np.testing.assert_allclose(back[~unknown], values[~unknown], atol=0.5001 / scale, rtol=1e-6)


def test_a_damaged_png_is_refused(tmp_path):
    path = tmp_path / "a.png"
    write_png16(path, np.full((20, 30), 7.0), 1.0)
    whole = path.read_bytes()
    huge = whole[:16] + (90_000).to_bytes(4, "big") * 2 + whole[24:]
    for data in (b"", b"x" * 60, whole[:40], whole[:24] + b"\x08" + whole[25:], huge):
        path.write_bytes(data)
        with pytest.raises(ValueError, match=r"a\.png"):
            read_png16(path, 1.0)


def test_errors_are_middleburys():
    truth = np.array([[10.0, 10.0, 10.0, 10.0, np.inf, np.nan]])
    found = np.array([[10.6, 13.0, 10.0, np.nan, 3.0, 3.0]])
    errors = disparity_errors(found, truth)
    assert errors.density == 0.75
    assert (errors.bad_05, errors.bad_1, errors.bad_2, errors.bad_4) == (2 / 3, 1 / 3, 1 / 3, 0.0)
    np.testing.assert_allclose([errors.average_px, errors.rms_px], [1.2, np.sqrt((0.36 + 9) / 3)])
    np.testing.assert_allclose(errors.a50_px, 0.6)
    with pytest.raises(ValueError, match="no pixel"):
        disparity_errors(found, np.full_like(truth, np.nan))
