"""Photos of two cameras in one folder are told from those of one camera, by EXIF, names, or corners alone."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from geo3d.calibration import FoundBoards, PhotoFiles, find_boards, mixed_cameras
from geo3d.cameras import Camera

from .common import LENSES, TARGET, photograph

BOW = [0.001, -0.0005, 0.0003]
REAL = Path(__file__).parents[3] / "shared/data/calib"


def boards(detections, photos=None):
    return FoundBoards(TARGET, 640, 480, detections, {}, photos)


def changed(lens, zoom=1.0, shift=(0, 0)):
    """A lens zoomed, or its principal point elsewhere, as another specimen's is."""
    params = LENSES[lens].params.copy()
    params[:2] *= zoom
    params[2:4] += shift
    return Camera(lens, 640, 480, params)


def named(detections, pattern):
    return {pattern.format(i): found for i, found in enumerate(detections.values())}


@pytest.mark.parametrize(
    ("lens", "other"),
    [
        ("OPENCV_FISHEYE", {"shift": (12, 5)}),
        ("OPENCV_FISHEYE", {"zoom": 1.03}),
        ("OPENCV", {"zoom": 1.3}),
        ("PINHOLE", {"zoom": 1.8}),
    ],
)
def test_two_cameras_are_told_apart_with_and_without_their_names(lens, other):
    a = photograph(LENSES[lens], 14, 0.2, BOW, seed=1)[0]
    b = photograph(changed(lens, **other), 10, 0.2, BOW, seed=2)[0]
    by_name = mixed_cameras(boards(named(a, "front_{:02d}.jpg") | named(b, "rear_{:02d}.jpg")))
    assert by_name is not None and by_name.by == "names"
    assert [len(group) for group in by_name.groups] == [14, 10]
    assert "14 like front_00.jpg (f " in by_name.message and "10 like rear_00.jpg (f " in by_name.message
    assert "'front_*' 'rear_*' --rig" in by_name.message
    order = np.random.default_rng(0).permutation(24)
    every = [*a.values(), *b.values()]
    shuffled = {f"{i:04d}.jpg": every[k] for i, k in enumerate(order)}
    unnamed = mixed_cameras(boards(shuffled))
    assert unnamed is not None and unnamed.by == "corners"
    assert {int(name[:4]) for name in unnamed.groups[0]} == set(np.flatnonzero(order < 14))
    assert "--rig" not in unnamed.message


@pytest.mark.parametrize("lens", ["OPENCV", "OPENCV_FISHEYE", "PINHOLE", "EUCM"])
@pytest.mark.parametrize("shape", [(), BOW])
def test_one_camera_is_one_also_under_two_names(lens, shape):
    found = photograph(LENSES[lens], 20, 0.2, shape, seed=5)[0]
    assert mixed_cameras(boards(found)) is None
    halves = list(found.items())
    first, second = (
        named(dict(part), pattern) for part, pattern in ((halves[:10], "a{}.jpg"), (halves[10:], "b{}.jpg"))
    )
    assert mixed_cameras(boards(first | second)) is None


def test_few_photos_do_not_tell():
    a, b = (photograph(changed("OPENCV", zoom), 4, 0.2, seed=1)[0] for zoom in (1.0, 1.5))
    assert mixed_cameras(boards(named(a, "a{}.jpg") | named(b, "b{}.jpg"))) is None


@pytest.mark.parametrize(
    ("tags", "words"),
    [
        (({"model": "One"}, {"model": "Two"}), "(One) and 2 like 4.jpg (Two)"),
        (({"model": "One", "serial": "17"}, {"model": "One", "serial": "18"}), "(One 17) and 2 like 4.jpg (One 18)"),
        (({"model": "One", "focal": 24}, {"model": "One", "focal": 35}), "(One, 24 mm) and 2 like 4.jpg (One, 35 mm)"),
        (({"model": "One", "focal": 24}, {"model": "One", "focal": 24.1}), None),
        (({"model": "One", "focal": 24}, {"model": "One"}), None),
        (({"model": "One"}, {}), None),
        (({}, {}), None),
    ],
)  # fmt: skip
def test_exif_tells(tags, words, tmp_path):
    for i in range(6):
        image, exif = Image.new("L", (64, 48)), Image.Exif()
        own = tags[i >= 4]
        if "model" in own:
            exif[272] = own["model"]
        exif.get_ifd(0x8769).update({n: own[k] for n, k in ((42033, "serial"), (37386, "focal")) if k in own})
        image.save(tmp_path / f"{i}.jpg", exif=exif)
    found = photograph(LENSES["OPENCV"], 6, 0.2)[0]
    files = PhotoFiles(str(tmp_path), {f"{i}.jpg": tmp_path / f"{i}.jpg" for i in range(6)})
    mixed = mixed_cameras(boards(named(found, "{}.jpg"), files))
    if words is None:
        assert mixed is None
    else:
        assert mixed is not None and mixed.by == "EXIF" and words in mixed.message


@pytest.mark.slow
@pytest.mark.skipif(not REAL.is_dir(), reason="the photos of real boards are not here")
@pytest.mark.parametrize("name", ["stereo", "fisheye_stereo"])
def test_real_pairs(name):
    found = find_boards(REAL / name)
    mixed = mixed_cameras(found)
    assert mixed is not None and [len(group) for group in mixed.groups] == [29, 29]
    for side in ("left", "right"):
        assert mixed_cameras(find_boards(str(REAL / name / f"{side}*"), found.target)) is None
