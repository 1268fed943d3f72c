"""SOG: within its steps of what was written; its images by hand; bombs and lies are refused."""

import io
import json
import tracemalloc
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from geo3d.geometry import quaternion_to_matrix
from geo3d.io import WorldFrame, read_sog, write_sog
from geo3d.io.splat_codebooks import number_codebook, row_codebook
from geo3d.io.splat_order import by_place, rows
from geo3d.scene import Gaussians
from tests.io.splats import FRAME, make_gaussians


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x.astype(np.float64)))


def axes(g: Gaussians) -> np.ndarray:
    m = quaternion_to_matrix(g.quaternions) * [1, 2, 3]
    return m @ np.swapaxes(m, 1, 2)


def entries(path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def repacked(path, files: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> None:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in files.items():
            archive.writestr(name, content)


def webp(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(buffer, "WEBP", lossless=True, exact=True)
    return buffer.getvalue()


@given(st.integers(0, 2**32 - 1), st.integers(0, 400), st.integers(0, 3), st.booleans(), st.booleans())
@settings(max_examples=20)
def test_what_is_written_is_read_within_the_steps_of_the_format(
    tmp_path_factory, seed, count, degree, antialiased, placed
):
    path = tmp_path_factory.mktemp("sog") / "x.sog"
    g, frame = make_gaussians(seed, count, degree, antialiased), FRAME if placed else WorldFrame()
    write_sog(path, g, frame)
    read = read_sog(path)
    found, expected = read.gaussians, rows(g, by_place(g))
    assert read.frame == frame and read.dropped == 0 and found.antialiased == antialiased
    if not count:
        return
    assert found.sh.shape == g.sh.shape
    step = np.ptp(np.sign(g.means) * np.log1p(np.abs(g.means)), axis=0) / 65535
    assert (np.abs(found.means - expected.means) <= 0.51 * step * (1 + np.abs(expected.means)) + 1e-6).all()
    assert np.abs(found.log_scales - expected.log_scales).max() < 0.06
    assert (
        np.abs(sigmoid(found.logit_opacities) - sigmoid(expected.logit_opacities)).max() <= 0.5 / 255 + 1e-6
    )
    assert np.abs(axes(found) - axes(expected)).max() < 0.1
    assert np.abs(found.sh - expected.sh).max() < 0.06


def test_the_same_gaussians_make_the_same_file(tmp_path):
    for name in ("a.sog", "b.sog"):
        write_sog(tmp_path / name, make_gaussians(0, 50), FRAME)
    assert (tmp_path / "a.sog").read_bytes() == (tmp_path / "b.sog").read_bytes()


def test_the_images_by_hand(tmp_path):
    book = [float(i) for i in range(256)]
    meta = {
        "version": 2, "count": 2, "antialias": True,
        "means": {"mins": [-1, 0, 0], "maxs": [1, 2, 65535], "files": ["l", "u"]},
        "scales": {"codebook": [-b / 32 for b in book], "files": ["s"]}, "quats": {"files": ["q"]},
        "sh0": {"codebook": book, "files": ["c"]},
        "shN": {"count": 2, "bands": 1, "codebook": [b / 256 for b in book], "files": ["p", "n"]},
    }  # fmt: skip
    grid = np.zeros((2, 1, 4))
    grid[..., 3] = 255
    low, high, scale, quat, color, label = (grid.copy() for _ in range(6))
    low[:, 0, :3] = [[0, 255, 2], [255, 0, 0]]
    high[:, 0, :3] = [[0, 255, 0], [255, 0, 0]]
    scale[:, 0, :3] = [[0, 32, 64], [255, 0, 1]]
    quat[:, 0] = [[127.5, 127.5, 127.5, 252], [255, 127.5, 127.5, 253]]
    color[:, 0] = [[1, 2, 3, 255], [4, 5, 6, 51]]
    label[:, 0, :2] = [[1, 0], [0, 0]]
    palette = np.zeros((1, 192, 4))
    palette[0, :6, :3] = np.arange(18).reshape(6, 3)
    images = {"l": low, "u": high, "s": scale, "q": quat, "c": color, "n": label, "p": palette}
    repacked(
        tmp_path / "x.sog",
        {"meta.json": json.dumps(meta).encode(), **{n: webp(i) for n, i in images.items()}},
    )
    g = read_sog(tmp_path / "x.sog").gaussians
    e = np.e
    np.testing.assert_allclose(g.means, [[1 - e, e**2 - 1, e**2 - 1], [e - 1, 0, 0]], atol=1e-5)
    np.testing.assert_allclose(g.log_scales, [[0, -1, -2], [-255 / 32, 0, -1 / 32]], atol=1e-6)
    np.testing.assert_allclose(g.quaternions, [[1, 0, 0, 0], [np.sqrt(0.5), np.sqrt(0.5), 0, 0]], atol=0.01)
    assert g.sh[:, 0].tolist() == [[1, 2, 3], [4, 5, 6]]
    np.testing.assert_allclose(
        g.sh[:, 1:] * 256, [np.arange(9, 18).reshape(3, 3), np.arange(9).reshape(3, 3)]
    )
    np.testing.assert_allclose(sigmoid(g.logit_opacities), [1, 0.2], atol=1e-6)
    assert g.antialiased


def test_codebooks_of_few_values_are_exact_and_of_many_good():
    rng = np.random.default_rng(0)
    few = rng.normal(size=200).astype(np.float32)
    values = few[rng.integers(0, 200, (500, 3))]
    book, labels = number_codebook(values)
    assert book.shape == (256,) and np.array_equal(book[labels], values)
    many = np.append(rng.normal(size=20_000), 40.0).astype(np.float32)  # an outlier does not spoil the rest
    book, labels = number_codebook(many)
    error = np.abs(book[labels] - many)
    assert (np.diff(book) >= 0).all() and error.max() < 0.3 and error.mean() < 0.008
    table = rng.normal(size=(50, 9)).astype(np.float32)
    book, labels = row_codebook(table[rng.integers(0, 50, 400)], 100)
    assert len(book) == 50
    clusters = table[rng.integers(0, 50, 4000)] + rng.normal(0, 1e-3, (4000, 9)).astype(np.float32)
    book, labels = row_codebook(clusters, 64)
    assert len(book) <= 64 and np.abs(book[labels] - clusters).max() < 0.02
    book, labels = row_codebook(np.ones((300, 9), np.float32), 64)
    assert len(book) == 1 and not labels.any()


def forged(path, change) -> None:
    write_sog(path, make_gaussians(0, 30, 1))
    files = entries(path)
    meta = json.loads(files["meta.json"])
    change(meta, files)
    repacked(path, {**files, "meta.json": json.dumps(meta).encode()})


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda m, f: m.update(count=10**9), "a bomb"),
        (lambda m, f: m.update(count=10**5), "pixels for 100,000 values"),
        (lambda m, f: m.update(count=-1), "and -1"),
        (lambda m, f: m.update(version=1), "version 2"),
        (lambda m, f: m["means"].update(files=["../../etc/passwd", "x"]), "is not in it"),
        (lambda m, f: m["means"].update(mins=["x", 0, 0]), "expected 3 numbers"),
        (lambda m, f: m["scales"].update(codebook=[0.0] * 255), "expected 256 numbers"),
        (lambda m, f: m.pop("quats"), "corrupt"),
        (lambda m, f: m["shN"].update(count=5), "a label is"),
        (lambda m, f: m["shN"].update(bands=7), "expected 1 to 3 bands"),
        (lambda m, f: m["shN"].update(count=10**6), "centroids"),
        (lambda m, f: m["shN"].update(bands=2, count=20), "columns"),
        (lambda m, f: f.update({"sh0.webp": b"RIFFxxxx"}), "cannot be read"),
        (lambda m, f: f.update({"sh0.webp": webp(np.zeros((3000, 3000, 4)))}), "3000x3000 pixels"),
        (lambda m, f: f.update({"meta.json": b"{"}) or m.clear(), "corrupt"),
    ],
)
def test_what_lies_is_refused(tmp_path, change, words):
    forged(tmp_path / "x.sog", change)
    with pytest.raises(ValueError, match=words) as caught:
        read_sog(tmp_path / "x.sog")
    assert "x.sog" in str(caught.value)


def test_a_zip_bomb_is_refused_unexpanded(tmp_path):
    repacked(tmp_path / "x.sog", {"meta.json": b" " * (1 << 28)}, zipfile.ZIP_DEFLATED)
    with pytest.raises(ValueError, match="a bomb"):
        read_sog(tmp_path / "x.sog")


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2])
def test_a_zip_bomb_that_claims_little_is_refused_unexpanded(tmp_path, method):
    with zipfile.ZipFile(tmp_path / "x.sog", "w", method) as archive:
        archive.writestr("meta.json", b" " * (1 << 28))
        archive.filelist[0].file_size = 1000  # what the directory at the end of the file claims
    tracemalloc.start()
    with pytest.raises(ValueError, match=r"x\.sog"):
        read_sog(tmp_path / "x.sog")
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 1 << 24


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=40)
def test_cut_and_scribbled_files_raise_nothing_but_value_error(tmp_path_factory, seed):
    path, rng = tmp_path_factory.mktemp("sog") / "x.sog", np.random.default_rng(seed)
    write_sog(path, make_gaussians(0, 5, 1))
    whole = bytearray(path.read_bytes())
    if seed % 2:
        path.write_bytes(whole[: rng.integers(len(whole))])
        with pytest.raises(ValueError, match=r"x\.sog"):
            read_sog(path)
        return
    for _ in range(4):
        whole[rng.integers(len(whole))] = rng.integers(256)
    path.write_bytes(whole)
    try:
        read_sog(path)
    except ValueError as error:
        assert "x.sog" in str(error)
