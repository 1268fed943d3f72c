"""SPZ: within its steps of what was written, by us and by the format's own library; bombs and lies are refused."""

import base64
import gzip
import logging
import struct

import numpy as np
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from geo3d.geometry import quaternion_to_matrix
from geo3d.io import WorldFrame, read_spz, write_spz
from geo3d.io.splat_axes import Y_UP_FROM_WORLD, turned
from geo3d.scene import Gaussians
from tests.io.splats import FRAME, PARTS, assert_same, make_gaussians

# Two Gaussians as Niantic's library (spz 4.0, through splat-transform 2.7.1) packed them, in versions 3 and 4, of
# centres (1, -2, -3) and (-4.5, -0.25, -100) in the file's axes.
NIANTIC = {
    3: (
        "H4sIAAAAAAAAA/NzDw5gZmBgYAJiRh4gIcDA8OA/w4X/DDv+M/z5z3DgZ8PnZQ2RDZM7JzQUrBBIAKo4kKk8cVqCw4KGhgKH"
        "Bw1A4ODgkNCwAABQ+BmrSgAAAA=="
    ),
    4: (
        "TkdTUAQAAAACAAAAAQwABiAAAAAAAAAAAAAAAAAAAAAbAAAAAAAAABIAAAAAAAAACwAAAAAAAAACAAAAAAAAAA8AAAAAAAAA"
        "BgAAAAAAAAAPAAAAAAAAAAYAAAAAAAAAEQAAAAAAAAAIAAAAAAAAABsAAAAAAAAAEgAAAAAAAAAotS/9IBKRAAAAEAAA4P8A"
        "0P8AuP8A/P8AwPkotS/9IAIRAACA8yi1L/0gBjEAAKaAWYCTiSi1L/0gBjEAAJCAcKgQYCi1L/0gCEEAAAAAAMBpI5GWKLUv"
        "/SASkQAAYECggIBwQOCAgICAQEBAYICg"
    ),
}
HEADER = struct.Struct("<4sIIBBBBI12x")


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x.astype(np.float64)))


def axes(g: Gaussians) -> np.ndarray:
    """(N, 3, 3) of unlike lengths, whatever the sign of the quaternion and of the axes."""
    m = quaternion_to_matrix(g.quaternions) * [1, 2, 3]
    return m @ np.swapaxes(m, 1, 2)


def old_file(
    path, version: int, count: int, degree: int = 0, bits: int = 12, body: bytes | None = None
) -> None:
    """A gzip file of version 1 to 3 whose numbers are all zero bytes, or `body`."""
    size = count * (19 + (version >= 3) + 3 * ((degree + 1) ** 2 - 1))
    header = b"NGSP" + struct.pack("<IIBBBB", version, count, degree, bits, 0, 0)
    path.write_bytes(gzip.compress(header + (b"\0" * size if body is None else body)))


@given(st.integers(0, 2**32 - 1), st.integers(0, 40), st.integers(0, 3), st.booleans(), st.booleans())
@settings(max_examples=40)
def test_what_is_written_is_read_within_the_steps_of_the_format(
    tmp_path_factory, seed, count, degree, antialiased, placed
):
    path = tmp_path_factory.mktemp("spz") / "x.spz"
    g, frame = make_gaussians(seed, count, degree, antialiased), FRAME if placed else WorldFrame()
    write_spz(path, g, frame)
    read = read_spz(path)
    found = read.gaussians
    assert read.frame == frame and read.dropped == 0 and found.antialiased == antialiased
    assert found.sh.shape == g.sh.shape and all(getattr(found, name).dtype == np.float32 for name in PARTS)
    if not count:
        return
    assert np.abs(found.means - g.means).max() <= 2**-13 + 1e-6
    assert np.abs(found.log_scales - g.log_scales).max() <= 1 / 32 + 1e-6
    assert np.abs(sigmoid(found.logit_opacities) - sigmoid(g.logit_opacities)).max() <= 0.5 / 255 + 1e-6
    assert np.abs(axes(found) - axes(g)).max() < 0.03
    inside = np.abs(g.sh[:, 0]) < 3.3
    assert np.abs(found.sh[:, 0] - g.sh[:, 0])[inside].max() <= 0.5 / (0.15 * 255) + 1e-6
    # In the file's axes, where it is rounded to steps of 4 of 128.
    a, b = (turned(part, Y_UP_FROM_WORLD).sh[:, 1:] for part in (found, g))
    assert np.abs(a - np.clip(b, -1, 0.99)).max(initial=0) <= 2.5 / 128 + 1e-6


def test_a_second_writing_changes_nothing(tmp_path):
    write_spz(tmp_path / "a.spz", make_gaussians(5, 200, 0))
    once = read_spz(tmp_path / "a.spz").gaussians
    write_spz(tmp_path / "b.spz", once)
    assert_same(read_spz(tmp_path / "b.spz").gaussians, once)


@pytest.mark.parametrize("version", [3, 4])
def test_files_of_the_formats_own_library(tmp_path, version):
    (tmp_path / "x.spz").write_bytes(base64.b64decode(NIANTIC[version]))
    read = read_spz(tmp_path / "x.spz")
    g = read.gaussians
    assert g.means.tolist() == [[1, 3, -2], [-4.5, 100, -0.25]]
    assert g.log_scales.tolist() == [[-1, -2, -3], [0.5, -9, -4]]
    np.testing.assert_allclose(sigmoid(g.logit_opacities), sigmoid(np.array([0, 3.0])), atol=0.5 / 255)
    np.testing.assert_allclose(g.sh[:, 0], [[1, 0, -1], [0, 0.5, 0.25]], atol=0.014)
    # y and z changed sign on the way from PLY to SPZ; the coefficients of degree 1 are those of -y, z, -x.
    file = turned(g, Y_UP_FROM_WORLD)
    expected = [
        [[-0.25, -0.5, 0.25], [0, 0, -0.125], [-0.5, 0.75, 0]],
        [[0, 0, 0], [-0.5] * 3, [-0.25, 0, 0.25]],
    ]
    np.testing.assert_allclose(file.sh[:, 1:], expected, atol=1e-6)
    original = make_gaussians(0, 2)
    original.quaternions[:] = [1, 0, 0, 0], [0.5, -0.5, 0.1, 0.7]
    np.testing.assert_allclose(axes(file), axes(turned(original, np.diag([1.0, -1, -1]))), atol=0.02)
    assert not g.antialiased and read.frame == WorldFrame()


def test_the_layout_by_hand(tmp_path):
    g = make_gaussians(0, 1, 1, antialiased=True)
    g.means[:] = [1.5, -2.25, 0.125]
    g.quaternions[:] = [
        np.sqrt(0.5),
        np.sqrt(0.5),
        0,
        0,
    ]  # the turn back from y up: the file's is the identity
    g.log_scales[:], g.logit_opacities[:], g.sh[:] = [-10, 0, 5.9375], 0, 0
    g.sh[0, 3] = [0.5, -0.5, 0.2]  # along x, which stays
    write_spz(tmp_path / "x.spz", g)
    data = (tmp_path / "x.spz").read_bytes()
    magic, version, count, degree, bits, flags, streams, at = HEADER.unpack_from(data)
    assert (magic, version, count, degree, flags, streams, at) == (b"NGSP", 4, 1, 1, 1, 6, 32)
    at += 16 * streams
    parts = []
    for i in range(streams):
        packed, size = struct.unpack_from("<QQ", data, 32 + 16 * i)
        parts.append(zstandard.ZstdDecompressor().decompress(data[at : at + packed]))
        assert len(parts[-1]) == size
        at += packed
    assert at == len(data)
    step = 2**bits
    fixed = [int.from_bytes(parts[0][3 * i : 3 * i + 3], "little", signed=True) for i in range(3)]
    assert fixed == [1.5 * step, 0.125 * step, 2.25 * step]
    assert list(parts[1]) == [128] and list(parts[2]) == [128] * 3 and list(parts[3]) == [0, 160, 255]
    assert struct.unpack("<I", parts[4])[0] >> 30 == 3  # w is the largest, the others are zero
    assert list(parts[5]) == [128] * 6 + [192, 64, 156]


def test_small_worlds_get_finer_steps_and_wide_ones_coarser(tmp_path):
    for size, step in ((0.01, 2**-22), (100.0, 2**-13), (4e6, 0.5)):
        g = make_gaussians(0, 50, 0)
        g.means *= size / np.abs(g.means).max()
        write_spz(tmp_path / "x.spz", g)
        assert np.abs(read_spz(tmp_path / "x.spz").gaussians.means - g.means).max() <= step * 1.001
    g.means *= 3
    with pytest.raises(ValueError, match=r"up to 2\^23"):
        write_spz(tmp_path / "x.spz", g)


def test_version_2_and_records_of_vendors_are_read(tmp_path):
    body = bytes(18) + bytes([255, 0]) + bytes(6) + bytes([160] * 6) + bytes([255, 0, 128, 128, 128, 128])
    old_file(tmp_path / "x.spz", 2, 2, body=body)
    g = read_spz(tmp_path / "x.spz").gaussians
    assert not g.means.any() and not g.log_scales.any()
    assert g.logit_opacities[0] > 15 and g.logit_opacities[1] < -15
    file = turned(g, Y_UP_FROM_WORLD)
    np.testing.assert_allclose(np.abs(file.quaternions[1]), [1, 0, 0, 0], atol=0.01)
    write_spz(tmp_path / "y.spz", make_gaussians(0, 3, 1), FRAME)
    data = (tmp_path / "y.spz").read_bytes()
    strange = struct.pack("<II", 0xADBE0002, 12) + bytes(12)
    table = struct.unpack_from("<I", data, 16)[0] + len(strange)
    moved = data[:16] + struct.pack("<I", table) + data[20:32] + strange + data[32:]
    (tmp_path / "z.spz").write_bytes(moved)
    read = read_spz(tmp_path / "z.spz")
    assert read.frame == FRAME
    assert_same(read.gaussians, read_spz(tmp_path / "y.spz").gaussians)


def test_degree_4_is_cut_to_3(tmp_path, caplog):
    old_file(tmp_path / "x.spz", 3, 2, degree=4)
    with caplog.at_level(logging.WARNING, "geo3d"):
        assert read_spz(tmp_path / "x.spz").gaussians.sh.shape == (2, 16, 3)
    assert "degree 4" in caplog.text


@pytest.mark.parametrize("count", [40_000_000, 2**32 - 1])
@pytest.mark.parametrize("version", [3, 4])
def test_bombs_are_refused_unexpanded(tmp_path, version, count):
    path = tmp_path / "x.spz"
    if version == 3:
        path.write_bytes(
            gzip.compress(b"NGSP" + struct.pack("<IIBBBB", 3, count, 3, 12, 0, 0) + bytes(1 << 20))
        )
    else:
        streams = [zstandard.ZstdCompressor().compress(bytes(1 << 16))] * 6
        table = b"".join(
            struct.pack("<QQ", len(s), count * w) for s, w in zip(streams, (9, 1, 3, 3, 4, 45), strict=True)
        )
        path.write_bytes(HEADER.pack(b"NGSP", 4, count, 3, 12, 0, 6, 32) + table + b"".join(streams))
    with pytest.raises(ValueError, match=r"claims .* bytes in .* corrupt or a bomb"):
        read_spz(path)


def test_streams_of_another_size_than_said_are_refused(tmp_path):
    path = tmp_path / "x.spz"
    write_spz(path, make_gaussians(0, 5, 0))
    data = path.read_bytes()
    lengths = [struct.unpack_from("<Q", data, 32 + 16 * i)[0] for i in range(5)]
    first = 32 + 16 * 5
    for stream in (
        zstandard.ZstdCompressor().compress(bytes(10**8)),
        zstandard.ZstdCompressor().compress(bytes(44)),
        b"x",
    ):
        forged = (
            data[:32]
            + struct.pack("<QQ", len(stream), 45)
            + data[48:first]
            + stream
            + data[first + lengths[0] :]
        )
        path.write_bytes(forged)
        with pytest.raises(ValueError, match=r"x\.spz: a ZSTD stream"):
            read_spz(path)


@given(st.integers(0, 2**32 - 1), st.sampled_from([3, 4]))
@settings(max_examples=60)
def test_cut_and_scribbled_files_raise_nothing_but_value_error(tmp_path_factory, seed, version):
    path = tmp_path_factory.mktemp("spz") / "x.spz"
    whole, rng = bytearray(base64.b64decode(NIANTIC[version])), np.random.default_rng(seed)
    if seed % 2:
        path.write_bytes(
            whole[: rng.integers(len(whole) - 8)]
        )  # what is missing of a gzip's checksum is not missed
        with pytest.raises(ValueError, match=r"x\.spz"):
            read_spz(path)
        return
    for _ in range(3):
        whole[rng.integers(len(whole))] = rng.integers(256)
    path.write_bytes(whole)
    try:
        read_spz(path)
    except ValueError as error:
        assert "x.spz" in str(error)


def test_other_versions_and_files_are_refused(tmp_path):
    path = tmp_path / "x.spz"
    for content, words in (
        (b"", "expected SPZ"),
        (b"ply\n", "expected SPZ"),
        (gzip.compress(b"hello, no Gaussians"), "version 2 or 3"),
        (HEADER.pack(b"NGSP", 5, 1, 0, 12, 0, 5, 32), "found 5; convert"),
        (HEADER.pack(b"NGSP", 4, 1, 9, 12, 0, 5, 32), "found degree 9"),
        (HEADER.pack(b"NGSP", 4, 1, 0, 40, 0, 5, 32), "40 bits"),
        (HEADER.pack(b"NGSP", 4, 1, 0, 12, 0, 5, 2**32 - 1), "table"),
    ):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=words):
            read_spz(path)
    old_file(path, 1, 2)
    with pytest.raises(ValueError, match=r"version 2 or 3 .* version 1"):
        read_spz(path)
