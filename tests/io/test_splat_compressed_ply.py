"""Compressed PLY: within its steps of what was written; files of splat-transform; what does not fit is refused."""

import base64

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geo3d.geometry import quaternion_to_matrix
from geo3d.io import WorldFrame, read_compressed_ply, read_splat_ply, write_compressed_ply
from geo3d.io.splat_order import by_place, rows
from geo3d.scene import Gaussians
from tests.io.splats import FRAME, PARTS, make_gaussians

# The body of two Gaussians with centres (1, 2, 3) and (-4.5, 0.25, 100), packed by splat-transform 2.7.1.
PLAYCANVAS = base64.b64decode(
    "AACQwAAAgD4AAEBAAACAPwAAAEAAAMhCAACAvwAAEMEAAIDAAAAAPwAAAMAAAEDAAAAAPwAAAD+LIl8+XTdIP68bJD/XDRI/"
    "APj//wACCCD//x8AgAAA//8HAABIWpL2AADg//P//wCIgHCQgJh4hICAkHiAkICAkIg="
)
NAMES = [f"{e}_{n}" for part in ("xyz", "s", "rgb") for e in ("min", "max")
         for n in (("scale_x", "scale_y", "scale_z") if part == "s" else part)]  # fmt: skip


def header(
    chunks: int = 1, count: int = 2, rest: int = 9, sh_count: int | None = None, bounds=NAMES
) -> bytes:
    lines = ["ply", "format binary_little_endian 1.0", f"element chunk {chunks}"]
    lines += [f"property float {name}" for name in bounds]
    lines += [f"element vertex {count}"]
    lines += [f"property uint packed_{name}" for name in ("position", "rotation", "scale", "color")]
    if rest:
        lines += [f"element sh {count if sh_count is None else sh_count}"]
        lines += [f"property uchar f_rest_{i}" for i in range(rest)]
    return "\n".join([*lines, "end_header", ""]).encode()


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x.astype(np.float64)))


def axes(g: Gaussians) -> np.ndarray:
    m = quaternion_to_matrix(g.quaternions) * [1, 2, 3]
    return m @ np.swapaxes(m, 1, 2)


@given(st.integers(0, 2**32 - 1), st.integers(0, 600), st.integers(0, 3), st.booleans(), st.booleans())
@settings(max_examples=40)
def test_what_is_written_is_read_within_the_steps_of_the_format(
    tmp_path_factory, seed, count, degree, antialiased, placed
):
    path = tmp_path_factory.mktemp("ply") / "x.compressed.ply"
    g, frame = make_gaussians(seed, count, degree, antialiased), FRAME if placed else WorldFrame()
    write_compressed_ply(path, g, frame)
    read = read_compressed_ply(path)
    found, expected = read.gaussians, rows(g, by_place(g))
    assert read.frame == frame and read.dropped == 0 and found.antialiased == antialiased
    assert found.sh.shape == g.sh.shape and all(getattr(found, name).dtype == np.float32 for name in PARTS)
    if not count:
        return
    for name in ("means", "log_scales"):
        a, b = getattr(found, name), getattr(expected, name)
        for start in range(0, count, 256):  # half a step between the bounds of the chunk
            part = slice(start, start + 256)
            step = 0.5 * np.ptp(b[part], axis=0) / [2047, 1023, 2047]
            assert (np.abs(a[part] - b[part]) <= step + 1e-5).all()
    assert (
        np.abs(sigmoid(found.logit_opacities) - sigmoid(expected.logit_opacities)).max() <= 0.5 / 255 + 1e-6
    )
    assert np.abs(found.sh[:, 1:] - np.clip(expected.sh[:, 1:], -4, 4)).max(initial=0) <= 0.5 / 32 + 1e-6
    assert np.abs(axes(found) - axes(expected)).max() < 0.03


def test_files_of_splat_transform(tmp_path):
    (tmp_path / "x.compressed.ply").write_bytes(header() + PLAYCANVAS)
    g = read_compressed_ply(tmp_path / "x.compressed.ply").gaussians
    np.testing.assert_allclose(g.means, [[1, 2, 3], [-4.5, 0.25, 100]], atol=1e-5)
    np.testing.assert_allclose(g.log_scales, [[-1, -2, -3], [0.5, -9, -4]], atol=1e-5)
    np.testing.assert_allclose(g.sh[:, 0], [[1, 0, -1], [0, 0.5, 0.25]], atol=1e-5)
    # +0.5 of 8/256: the middle of the step that holds the number
    rest = np.array(
        [[[0.25, 0.5, -0.25], [0, 0, 0.125], [-0.5, 0.75, 0]], [[0, 0, 0], [0.5] * 3, [-0.25, 0, 0.25]]]
    )
    np.testing.assert_allclose(g.sh[:, 1:], rest + 1 / 64, atol=1e-6)
    np.testing.assert_allclose(sigmoid(g.logit_opacities), sigmoid(np.array([0, 3.0])), atol=0.5 / 255)
    expected = make_gaussians(0, 2)
    expected.quaternions[:] = [1, 0, 0, 0], [0.5, -0.5, 0.1, 0.7]
    np.testing.assert_allclose(axes(g), axes(expected), atol=0.02)


def test_ours_is_theirs_to_the_bit(tmp_path):
    sh = np.array([[[1, 0, -1], [0.25, 0.5, -0.25], [0, 0, 0.125], [-0.5, 0.75, 0]],
                   [[0, 0.5, 0.25], [0, 0, 0], [0.5, 0.5, 0.5], [-0.25, 0, 0.25]]], np.float32)  # fmt: skip
    parts = (
        [[1, 2, 3], [-4.5, 0.25, 100]],
        [[1, 0, 0, 0], [0.5, -0.5, 0.1, 0.7]],
        [[-1, -2, -3], [0.5, -9, -4]],
        [0, 3],
    )
    g = Gaussians(*(np.array(part, np.float32) for part in parts), sh)
    write_compressed_ply(tmp_path / "x.compressed.ply", rows(g, np.array([1, 0])))
    ours = (tmp_path / "x.compressed.ply").read_bytes().partition(b"end_header\n")[2]
    # The order of two far Gaussians is nobody's rule: compare as a set of rows, the bounds as they are.
    words, theirs = (np.frombuffer(b[72:104], "<u4").reshape(2, 4) for b in (ours, PLAYCANVAS))
    np.testing.assert_allclose(
        np.frombuffer(ours[:72], "<f4"), np.frombuffer(PLAYCANVAS[:72], "<f4"), rtol=1e-6
    )
    assert sorted(words.tolist()) == sorted(theirs.tolist())
    assert sorted([ours[104:113], ours[113:]]) == sorted([PLAYCANVAS[104:113], PLAYCANVAS[113:]])


def test_old_files_without_bounds_of_colour(tmp_path):
    old = np.frombuffer(PLAYCANVAS[:48] + PLAYCANVAS[72:104], np.uint8)
    (tmp_path / "x.ply").write_bytes(header(rest=0, bounds=NAMES[:12]) + old.tobytes())
    g = read_compressed_ply(tmp_path / "x.ply").gaussians
    assert g.sh_degree == 0
    colors = 0.5 + 0.28209479 * g.sh[:, 0]
    np.testing.assert_allclose(colors, [[1, 0, 0], [0, 1, 1]], atol=1e-6)


def test_morton_order_keeps_neighbours_together():
    g = make_gaussians(0, 4096)
    order = by_place(g)
    assert sorted(order) == list(range(4096))
    steps = np.linalg.norm(np.diff(g.means[order], axis=0), axis=1)
    assert steps.mean() < 0.35 * np.linalg.norm(np.diff(g.means, axis=0), axis=1).mean()
    assert np.array_equal(by_place(rows(g, order)), np.arange(4096))
    corners = make_gaussians(0, 8)
    corners.means[:] = [[i & 1, i >> 1 & 1, i >> 2] for i in range(8)]
    assert by_place(corners).tolist() == list(range(8))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (header(chunks=2) + PLAYCANVAS + bytes(72), "need 1 chunks, found 2"),
        (header(count=10**12, chunks=10**12) + PLAYCANVAS, "truncated"),
        (header(count=10**12) + PLAYCANVAS, "truncated"),
        (header(sh_count=1) + PLAYCANVAS, "expected 9, 24 or 45 bytes"),
        (header(rest=8) + PLAYCANVAS, "expected 9, 24 or 45 bytes"),
        (header(bounds=[*NAMES[:5], "other", *NAMES[6:]]) + PLAYCANVAS, "expected bounds"),
        (header().replace(b"uint packed_scale", b"float packed_scale") + PLAYCANVAS, "packed words"),
        (
            b"ply\nformat ascii 1.0\nelement vertex 0\nproperty float x\nend_header\n",
            "expected a compressed PLY",
        ),
        (b"", "not PLY"),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path, content, words):
    (tmp_path / "x.ply").write_bytes(content)
    with pytest.raises(ValueError, match=words) as caught:
        read_compressed_ply(tmp_path / "x.ply")
    assert "x.ply" in str(caught.value)


def test_the_reader_of_plain_ones_says_what_it_is(tmp_path):
    write_compressed_ply(tmp_path / "x.ply", make_gaussians(0))
    with pytest.raises(ValueError, match="compressed PLY"):
        read_splat_ply(tmp_path / "x.ply")


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=40)
def test_cut_and_scribbled_files_raise_nothing_but_value_error(tmp_path_factory, seed):
    path, rng = tmp_path_factory.mktemp("ply") / "x.ply", np.random.default_rng(seed)
    whole = bytearray(header() + PLAYCANVAS)
    if seed % 2:
        path.write_bytes(whole[: rng.integers(len(whole))])
        with pytest.raises(ValueError, match=r"x\.ply"):
            read_compressed_ply(path)
        return
    for _ in range(3):
        whole[rng.integers(len(whole))] = rng.integers(256)
    path.write_bytes(whole)
    try:
        read_compressed_ply(path)
    except ValueError as error:
        assert "x.ply" in str(error)
