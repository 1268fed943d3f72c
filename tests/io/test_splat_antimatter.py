""".splat: 32 bytes a Gaussian, largest first; the world lies beside it."""

import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geo3d.geometry import quaternion_to_matrix
from geo3d.io import WorldFrame, read_antimatter_splat, write_antimatter_splat
from geo3d.io.splat_order import by_importance, rows
from tests.io.splats import FRAME, make_gaussians


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x.astype(np.float64)))


@given(st.integers(0, 2**32 - 1), st.integers(0, 40), st.integers(0, 3), st.booleans(), st.booleans())
@settings(max_examples=30)
def test_what_is_written_is_read_within_the_steps_of_the_format(
    tmp_path_factory, seed, count, degree, antialiased, placed
):
    path = tmp_path_factory.mktemp("splat") / "x.splat"
    g, frame = make_gaussians(seed, count, degree, antialiased), FRAME if placed else WorldFrame()
    write_antimatter_splat(path, g, frame)
    assert path.stat().st_size == 32 * count
    read = read_antimatter_splat(path)
    found, expected = read.gaussians, rows(g, by_importance(g))
    assert read.frame == frame and found.antialiased == antialiased and found.sh_degree == 0
    assert np.array_equal(found.means, expected.means)
    if not count:
        return
    np.testing.assert_allclose(found.log_scales, expected.log_scales, atol=1e-5)
    assert (
        np.abs(sigmoid(found.logit_opacities) - sigmoid(expected.logit_opacities)).max() <= 0.5 / 255 + 1e-6
    )
    colors = (np.clip(0.5 + 0.28209479 * part.sh[:, 0], 0, 1) for part in (found, expected))
    np.testing.assert_allclose(*colors, atol=0.5 / 255 + 1e-6)
    turns = (quaternion_to_matrix(part.quaternions) for part in (found, expected))
    np.testing.assert_allclose(*turns, atol=0.04)
    volume = np.exp(found.log_scales.sum(1)) * sigmoid(expected.logit_opacities)
    assert (np.diff(volume) <= 1e-5 * volume[:-1]).all()


def test_a_row_by_hand(tmp_path):
    row = struct.pack("<6f8B", 1, 2, 3, 0.5, 1, 2, 255, 0, 51, 128, 128, 255, 128, 128)
    (tmp_path / "x.splat").write_bytes(row)
    g = read_antimatter_splat(tmp_path / "x.splat").gaussians
    assert g.means.tolist() == [[1, 2, 3]]
    np.testing.assert_allclose(np.exp(g.log_scales), [[0.5, 1, 2]], rtol=1e-6)
    np.testing.assert_allclose(0.5 + 0.28209479 * g.sh[0, 0], [1, 0, 0.2], atol=1e-6)
    np.testing.assert_allclose(quaternion_to_matrix(g.quaternions[0]), np.diag([1, -1, -1]), atol=1e-6)
    assert sigmoid(g.logit_opacities)[0] == pytest.approx(128 / 255, abs=1e-6)


def test_a_world_beside_an_earlier_file_does_not_stay(tmp_path):
    g = make_gaussians(0, 3)
    write_antimatter_splat(tmp_path / "x.splat", g, FRAME)
    write_antimatter_splat(tmp_path / "x.splat", g)
    assert read_antimatter_splat(tmp_path / "x.splat").frame == WorldFrame()
    assert [p.name for p in tmp_path.iterdir()] == ["x.splat"]


def test_other_sizes_are_refused_and_rows_that_are_no_gaussians_left_out(tmp_path):
    (tmp_path / "x.splat").write_bytes(bytes(33))
    with pytest.raises(ValueError, match=r"x\.splat: expected 32 bytes a Gaussian, found 33"):
        read_antimatter_splat(tmp_path / "x.splat")
    good = struct.pack("<6f8B", 0, 0, 0, 1, 1, 0, 0, 0, 0, 255, 255, 128, 128, 128)
    bad = struct.pack("<6f8B", np.nan, 0, 0, 1, 1, 1, 0, 0, 0, 255, 255, 128, 128, 128)
    still = struct.pack("<6f8B", 0, 0, 0, 1, 1, 1, 0, 0, 0, 255, 128, 128, 128, 128)
    (tmp_path / "x.splat").write_bytes(bad + good + still)
    read = read_antimatter_splat(tmp_path / "x.splat")
    assert read.dropped == 2 and len(read.gaussians) == 1
