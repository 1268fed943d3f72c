"""Photos of a folder as a pinhole camera takes them: pixels, formats, sizes, EXIF, and what cannot be read."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from geo3d.cameras import Camera, pinhole_for, undistort_image, undistort_map
from geo3d.images import PhotoError, read_exif, read_photo, undistort_photo, undistort_photos

CAMERA = Camera("OPENCV", 160, 120, [130, 132, 82, 58, -0.2, 0.03, 2e-3, -1e-3])


def scene(width: int = 160, height: int = 120) -> np.ndarray:
    """A smooth picture, (H, W, 3) uint8, the same at any size."""
    y, x = np.mgrid[0:height, 0:width] + 0.5
    x, y = x / width, y / height
    return np.stack([200 * x + 20, 200 * y + 20, 120 + 60 * np.sin(5 * x)], axis=-1).astype(np.uint8)


def test_pixels_are_those_of_the_map_and_folders_stay(tmp_path: Path) -> None:
    for name in ("a.png", "walk 1/ü.png"):
        path = tmp_path / "in" / name
        path.parent.mkdir(exist_ok=True, parents=True)
        Image.fromarray(scene()).save(path)
    seen = []
    done = undistort_photos(
        tmp_path / "in", tmp_path / "out", CAMERA, pinhole_for, lambda *call: seen.append(call)
    )
    assert done.names == ["a.png", "walk 1/ü.png"] and not done.skipped and not done.resized
    assert done.source == CAMERA and done.camera == pinhole_for(CAMERA)
    assert [call[:2] for call in seen] == [(1, 2), (2, 2)]
    expected = undistort_image(scene(), CAMERA)
    for name in done.names:
        assert np.array_equal(np.asarray(Image.open(tmp_path / "out" / name)), expected)


def test_photos_of_another_size_come_out_the_same(tmp_path: Path) -> None:
    """Half and twice the calibrated size: the same picture, of the size that the largest gives."""
    for name, factor in (("a.png", 1.0), ("b.png", 0.5), ("c.png", 2.0)):
        Image.fromarray(scene(round(160 * factor), round(120 * factor))).save(tmp_path / name)
    done = undistort_photos(tmp_path, tmp_path / "out", CAMERA, pinhole_for)
    assert (done.source.width, done.source.height) == (320, 240) and done.resized == ["a.png", "b.png"]
    assert np.allclose(done.source.focal, 2 * CAMERA.focal)
    found = [
        np.asarray(Image.open(tmp_path / "out" / name)).astype(float) for name in ["a.png", "b.png", "c.png"]
    ]
    inner = slice(8, -8)
    for other in found[:2]:
        assert other.shape == found[2].shape == (done.camera.height, done.camera.width, 3)
        assert np.abs(other - found[2])[inner, inner].max() <= 3


def test_other_proportions_are_refused_by_name(tmp_path: Path) -> None:
    Image.fromarray(scene()).save(tmp_path / "a.png")
    Image.fromarray(scene(120, 160)).save(tmp_path / "turned.png")
    with pytest.raises(ValueError, match=r"turned\.png is 120x160, and the calibration is for 160x120"):
        undistort_photos(tmp_path, tmp_path / "out", CAMERA, pinhole_for)
    assert not (tmp_path / "out").exists()


def test_what_cannot_be_read_is_named_and_left_out(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "empty.jpg").touch()
    with pytest.raises(ValueError, match=r"no photo that can be read, e\.g\. empty\.jpg: the file is empty"):
        undistort_photos(folder, tmp_path / "out", CAMERA, pinhole_for)
    Image.fromarray(scene()).save(folder / "whole.jpg")
    data = (folder / "whole.jpg").read_bytes()
    (folder / "cut.jpg").write_bytes(data[: len(data) // 2])
    done = undistort_photos(folder, tmp_path / "out", CAMERA, pinhole_for)
    assert done.names == ["whole.jpg"] and set(done.skipped) == {"cut.jpg", "empty.jpg"}
    assert "truncated" in done.skipped["cut.jpg"]
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["whole.jpg"]
    (folder / "whole.jpg").unlink()
    with pytest.raises(ValueError, match=r"no photo that can be read, e\.g\."):
        undistort_photos(folder, tmp_path / "again", CAMERA, pinhole_for)


def test_exif_that_still_holds_is_kept(tmp_path: Path) -> None:
    """Orientation is kept and not applied; what was said of the lens and the size goes."""
    exif = Image.Exif()
    exif.update({271: "Maker", 272: "M1", 274: 6, 306: "2024:05:01 10:00:00", 305: "software"})
    exif.get_ifd(0x8769).update(
        {36867: "2024:05:01 09:59:59", 37386: 4.5, 40962: 160, 41989: 28, 37500: b"note"}
    )
    exif.get_ifd(0x8825).update(
        {1: "N", 2: (47.0, 30.0, 0.0), 3: "E", 4: (8.0, 15.0, 0.0), 5: b"\0", 6: 431.5}
    )
    Image.fromarray(scene()).save(tmp_path / "a.jpg", exif=exif, icc_profile=b"profile", quality=95)
    undistort_photos(tmp_path, tmp_path / "out", CAMERA, pinhole_for)
    with Image.open(tmp_path / "out" / "a.jpg") as photo:
        target = pinhole_for(CAMERA)
        assert photo.size == (target.width, target.height)  # as stored, not turned
        assert photo.info["icc_profile"] == b"profile"
        assert 305 not in photo.getexif()
    found, before = read_exif(tmp_path / "out" / "a.jpg"), read_exif(tmp_path / "a.jpg")
    assert (found.make, found.model, found.orientation) == ("Maker", "M1", 6)
    assert found.time == before.time == "2024:05:01 09:59:59" and found.gps == before.gps
    assert found.gps is not None and found.gps.latitude_deg == 47.5
    assert found.focal_mm is None and found.focal_35mm is None and before.focal_35mm == 28


def test_damaged_exif_does_not_lose_the_photo(tmp_path: Path) -> None:
    damaged = b"Exif\0\0MM\0*\0\0\0\x08\xff\xff" + b"\xff" * 40
    Image.fromarray(scene()).save(tmp_path / "a.jpg", exif=damaged)
    assert undistort_photos(tmp_path, tmp_path / "out", CAMERA, pinhole_for).names == ["a.jpg"]


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".webp", ".bmp", ".gif"])
def test_formats_stay(tmp_path: Path, suffix: str) -> None:
    Image.fromarray(scene()).save(tmp_path / f"a{suffix}")
    done = undistort_photos(tmp_path, tmp_path / "out", CAMERA, pinhole_for)
    assert done.names == ["a.gif.png" if suffix == ".gif" else f"a{suffix}"]
    found = read_photo(tmp_path / "out" / done.names[0]).pixels.astype(float)
    expected = undistort_image(read_photo(tmp_path / f"a{suffix}").pixels, CAMERA).astype(float)
    assert np.abs(found - expected).mean() < (2.0 if suffix in (".jpg", ".webp") else 1e-9)


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_sixteen_bits_grey_and_alpha_stay(tmp_path: Path, channels: int, suffix: str) -> None:
    cv2 = pytest.importorskip("cv2")
    image = np.dstack([scene(), np.full((120, 160), 200, np.uint8)]).astype(np.uint16) * 250 + 7
    image = image[..., 0] if channels == 1 else image[..., :channels]
    assert cv2.imwrite(str(tmp_path / f"a{suffix}"), image)
    done = undistort_photos(tmp_path, tmp_path / "out", CAMERA, lambda c: pinhole_for(c, blank=1.0))
    found = cv2.imread(str(tmp_path / "out" / f"a{suffix}"), cv2.IMREAD_UNCHANGED)
    expected = undistort_image(image, CAMERA, done.camera)
    assert found.dtype == np.uint16 and found.shape == expected.shape
    assert np.array_equal(found[..., :3], expected[..., :3])
    if channels == 4:
        assert np.abs(found[..., 3].astype(int) - expected[..., 3]).max() <= 257  # read as 8 bits


def test_blank_pixels_are_transparent_where_there_is_alpha(tmp_path: Path) -> None:
    for mode in ("RGBA", "LA"):
        Image.fromarray(scene()).convert(mode).save(tmp_path / f"{mode}.png")
    done = undistort_photos(tmp_path, tmp_path / "out", CAMERA, lambda c: pinhole_for(c, blank=1.0))
    seen = np.isfinite(undistort_map(CAMERA, done.camera)).all(-1)
    for mode in ("RGBA", "LA"):
        with Image.open(tmp_path / "out" / f"{mode}.png") as photo:
            assert photo.mode == mode
            alpha = np.asarray(photo)[..., -1]
        assert alpha[0, alpha.shape[1] // 2] == 0 and alpha[alpha.shape[0] // 2, alpha.shape[1] // 2] == 255
        assert (alpha[~seen] == 0).all()


def test_one_photo_has_to_be_of_its_size(tmp_path: Path) -> None:
    Image.fromarray(scene()).save(tmp_path / "a.png")
    places = undistort_map(CAMERA, pinhole_for(CAMERA))
    with pytest.raises(ValueError, match=r"a\.png is 160x120, and its camera is for 80x60"):
        undistort_photo(tmp_path / "a.png", tmp_path / "b.png", (80, 60), places)
    (tmp_path / "c.png").write_bytes(b"\x89PNG")
    with pytest.raises(PhotoError, match=r"c\.png"):
        undistort_photo(tmp_path / "c.png", tmp_path / "b.png", (160, 120), places)
    assert not (tmp_path / "b.png").exists()
