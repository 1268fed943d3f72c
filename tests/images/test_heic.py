"""HEIC, as phones write it: read, scanned and converted once, with its EXIF."""

import numpy as np
import pytest
from PIL import Image

from geo3d.images import photo_size, read_exif, read_image
from geo3d.options import ReconstructOptions
from geo3d.pipeline import reconstruct

heif = pytest.importorskip("pillow_heif", reason="pip install pillow-heif")


@pytest.fixture
def photos(tmp_path):
    """Two photos of a phone, and their pixels."""
    folder = tmp_path / "photos"
    folder.mkdir()
    pixels = []
    for i in range(2):
        small = np.random.default_rng(i).integers(0, 256, (6, 8, 3), np.uint8)
        image = Image.fromarray(small).resize((160, 120), Image.Resampling.BICUBIC)
        exif = Image.Exif()
        exif[271], exif[272] = "Apple", "iPhone 12"
        exif.get_ifd(0x8769)[41989] = 26
        heif.from_pillow(image).save(folder / f"IMG_{i}.HEIC", quality=90, exif=exif.tobytes())
        pixels.append(np.asarray(image))
    return folder, pixels


def test_pixels_and_exif(photos):
    folder, pixels = photos
    for i, expected in enumerate(pixels):
        path = folder / f"IMG_{i}.HEIC"
        assert photo_size(path) == (160, 120)
        assert np.abs(read_image(path).astype(int) - expected).mean() < 3
        assert read_image(path, "gray").shape == (120, 160)
        exif = read_exif(path)
        assert (exif.model, exif.focal_35mm) == ("iPhone 12", 26)


def test_a_cut_file_is_refused(photos):
    path = photos[0] / "IMG_0.HEIC"
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(ValueError, match=r"IMG_0\.HEIC: .*(damaged|truncated)"):
        read_image(path)


def test_a_scene_gets_jpegs_that_keep_the_exif(photos, tmp_path):
    scene = tmp_path / "scene"
    options = ReconstructOptions(until_stage="features", quality="low")
    report = reconstruct(photos[0], scene, options)
    assert report.photos == ["IMG_0.HEIC.jpg", "IMG_1.HEIC.jpg"]
    exif = read_exif(scene / "images" / "IMG_0.HEIC.jpg")
    assert (exif.width, exif.height, exif.model, exif.focal_35mm) == (160, 120, "iPhone 12", 26)
    stamp = (scene / "images" / "IMG_0.HEIC.jpg").stat().st_mtime_ns
    reconstruct(
        photos[0], scene, ReconstructOptions(until_stage="features", quality="low", from_stage="scan")
    )
    assert (scene / "images" / "IMG_0.HEIC.jpg").stat().st_mtime_ns == stamp
