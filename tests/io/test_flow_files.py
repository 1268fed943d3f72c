"""Files of optical flow: what is written comes back, other programs agree, and hostile files are refused."""

import struct

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geo3d.io import read_flow, write_flow, write_pfm, write_png16

RNG = np.random.default_rng(0)


def some_flow(height=7, width=9, scale=30.0):
    flow = RNG.normal(0, scale, (height, width, 2)).astype(np.float32)
    flow[2, 3] = np.nan
    return flow


@pytest.mark.parametrize(
    ("ending", "step"), [(".flo", 0.0), (".pfm", 0.0), (".png", 1 / 128), (".PNG", 1 / 128)]
)
def test_what_is_written_comes_back(tmp_path, ending, step):
    flow = some_flow()
    assert write_flow(tmp_path / f"a{ending}", flow) == 0
    found = read_flow(tmp_path / f"a{ending}")
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, flow, atol=step + 1e-9)
    assert [path.name for path in tmp_path.iterdir()] == [f"a{ending}"]


@given(height=st.integers(1, 6), width=st.integers(1, 6), seed=st.integers(0, 99))
@settings(max_examples=25, deadline=None)
def test_any_size_comes_back(tmp_path_factory, height, width, seed):
    flow = np.random.default_rng(seed).uniform(-500, 500, (height, width, 2)).astype(np.float32)
    folder = tmp_path_factory.mktemp("flow")
    for ending in (".flo", ".pfm", ".png"):
        write_flow(folder / f"a{ending}", flow)
        np.testing.assert_allclose(read_flow(folder / f"a{ending}"), flow, atol=1 / 120)


def test_opencv_reads_and_writes_the_same_flo(tmp_path):
    flow = some_flow()
    write_flow(tmp_path / "a.flo", flow)
    theirs = cv2.readOpticalFlow(str(tmp_path / "a.flo"))
    known = np.isfinite(flow)
    np.testing.assert_array_equal(theirs[known], flow[known])
    assert (theirs[~known] > 1e9).all()
    cv2.writeOpticalFlow(str(tmp_path / "b.flo"), theirs)
    np.testing.assert_array_equal(read_flow(tmp_path / "b.flo"), flow)


def test_kittis_png_is_as_its_development_kit_says(tmp_path):
    flow = some_flow()
    write_flow(tmp_path / "a.png", flow)
    red, green, blue = np.moveaxis(cv2.imread(str(tmp_path / "a.png"), cv2.IMREAD_UNCHANGED)[..., ::-1], 2, 0)
    assert red.dtype == np.uint16
    np.testing.assert_array_equal(blue > 0, np.isfinite(flow[..., 0]))
    known = blue > 0
    u, v = (red.astype(float) - 2**15) / 64, (green.astype(float) - 2**15) / 64
    np.testing.assert_allclose(np.stack([u, v], axis=2)[known], flow[known], atol=1 / 128)


def test_what_a_png_can_not_hold_is_counted(tmp_path):
    flow = np.zeros((3, 4, 2), np.float32)
    flow[0, 0, 0], flow[1, 1, 1], flow[2, 2, 0] = 600.0, -513.0, 511.9
    assert write_flow(tmp_path / "a.png", flow) == 2
    found = read_flow(tmp_path / "a.png")
    assert np.isnan(found[0, 0]).all()
    assert np.isnan(found).sum() == 4


@pytest.mark.parametrize("value", [np.nan, np.inf, 1.7e9, -2e9])
def test_unknown_in_one_part_is_unknown(tmp_path, value):
    flow = np.zeros((4, 5, 2), np.float32)
    flow[1, 2, 1] = value
    for ending in (".flo", ".pfm"):
        write_flow(tmp_path / f"a{ending}", flow)
        found = read_flow(tmp_path / f"a{ending}")
        assert np.isnan(found[1, 2]).all()
        assert np.isnan(found).sum() == 2


def png_claiming(width, height):
    """The head of a 16-bit RGB PNG of a size, and nothing else."""
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sIIBB", 13, b"IHDR", width, height, 16, 2) + bytes(40)


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("a.flo", b"", "expected a .flo file"),
        ("a.flo", b"PIEH" + bytes(3), "expected a .flo file"),
        ("a.flo", b"PFEH" + bytes(100), "expected a .flo file"),
        ("a.flo", struct.pack("<4sii", b"PIEH", 0, 5), "positive size"),
        ("a.flo", struct.pack("<4sii", b"PIEH", -3, -3) + bytes(72), "positive size"),
        ("a.flo", struct.pack("<4sii", b"PIEH", 2**31 - 1, 2**31 - 1) + bytes(80), "truncated or corrupt"),
        ("a.flo", struct.pack("<4sii", b"PIEH", 2, 2) + bytes(33), "need 32 bytes, found 33"),
        ("a.png", b"", "expected a PNG"),
        ("a.png", b"nothing of the kind" + bytes(40), "expected a PNG"),
        ("a.png", png_claiming(100_000, 100_000), "claims 100000x100000"),
        ("a.png", png_claiming(10, 10), "can't be decoded"),
        ("a.pfm", b"PF\n99999 99999\n-1.0\n" + bytes(24), "truncated or corrupt"),
        ("a.tif", b"II*", "ends with .flo, .png, .pfm"),
    ],
)
def test_hostile_files_are_refused(tmp_path, name, data, message):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(ValueError, match=message) as error:
        read_flow(tmp_path / name)
    assert str(tmp_path / name) in str(error.value)


def test_files_of_other_things_are_refused(tmp_path):
    write_pfm(tmp_path / "disparity.pfm", np.zeros((4, 5)))
    with pytest.raises(ValueError, match="three channels"):
        read_flow(tmp_path / "disparity.pfm")
    write_png16(tmp_path / "disparity.png", np.ones((4, 5)), 256.0)
    with pytest.raises(ValueError, match="three channels of 16 bits, found 16 bits and PNG's colour type 0"):
        read_flow(tmp_path / "disparity.png")
    with pytest.raises(FileNotFoundError):
        read_flow(tmp_path / "none.flo")


@pytest.mark.parametrize("ending", [".flo", ".png", ".pfm"])
def test_what_is_no_flow_is_not_written(tmp_path, ending):
    for wrong in (np.zeros((4, 5)), np.zeros((4, 5, 3)), np.zeros((0, 5, 2))):
        with pytest.raises(ValueError, match="expected"):
            write_flow(tmp_path / f"a{ending}", wrong)
    assert not list(tmp_path.iterdir())
    with pytest.raises(ValueError, match="ends with"):
        write_flow(tmp_path / "a.txt", np.zeros((4, 5, 2)))
