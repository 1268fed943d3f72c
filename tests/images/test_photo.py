"""One function reads all photos, and says what is wrong with the ones it cannot."""

import io
import os
import struct
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image

from geo3d.images import (
    PhotoError,
    find_mask,
    find_mask_folder,
    list_photos,
    photo_size,
    read_image,
    read_mask,
    read_photo,
    unused_masks,
)

RNG = np.random.default_rng(0)
COLOURS = cv2.resize(RNG.integers(0, 256, (6, 9, 3), np.uint8), (90, 60), interpolation=cv2.INTER_CUBIC)


def save(path, array=COLOURS, **options):
    image = array if isinstance(array, Image.Image) else Image.fromarray(array)
    image.save(path, **options)
    return path


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_not_applied(tmp_path, orientation):
    exif = Image.Exif()
    exif[274] = orientation
    path = save(tmp_path / "a.jpg", exif=exif, quality=95)
    assert read_image(path).shape == (60, 90, 3)
    assert read_image(path, "gray").shape == (60, 90)
    assert np.abs(read_image(path).astype(int) - COLOURS).mean() < 6


@pytest.mark.parametrize("suffix", ["png", "tif", "bmp", "webp", "ppm"])
def test_lossless_formats(tmp_path, suffix):
    path = save(tmp_path / f"a.{suffix}", **({"lossless": True} if suffix == "webp" else {}))
    np.testing.assert_array_equal(read_image(path), COLOURS)
    luma = COLOURS @ [0.299, 0.587, 0.114]
    assert np.abs(read_image(path, "gray") - luma).max() <= 1


def test_sixteen_bit_colour(tmp_path):
    deep = RNG.integers(0, 65536, (20, 30, 3), np.uint16)
    for suffix in ("png", "tif"):
        path = tmp_path / f"a.{suffix}"
        cv2.imwrite(str(path), deep[..., ::-1])
        np.testing.assert_array_equal(read_image(path, keep_16_bit=True), deep)
        np.testing.assert_array_equal(read_image(path), np.rint(deep / 257).astype(np.uint8))
        assert read_image(path, "gray").dtype == np.uint8


def test_sixteen_bit_grey_and_alpha(tmp_path):
    deep = RNG.integers(0, 65536, (20, 30, 4), np.uint16)
    for suffix in ("png", "tif"):
        path = tmp_path / f"grey.{suffix}"
        cv2.imwrite(str(path), deep[..., 0])
        np.testing.assert_array_equal(read_image(path, "gray", keep_16_bit=True), deep[..., 0])
        assert read_image(path).shape == (20, 30, 3)
    cv2.imwrite(str(tmp_path / "alpha.png"), deep)
    photo = read_photo(tmp_path / "alpha.png", keep_16_bit=True)
    np.testing.assert_array_equal(photo.pixels, deep[..., 2::-1])
    np.testing.assert_array_equal(photo.alpha, deep[..., 3] >> 8)


def test_grey(tmp_path):
    grey = COLOURS[..., 0]
    for suffix in ("png", "jpg"):
        path = save(tmp_path / f"a.{suffix}", grey)
        rgb = read_image(path)
        assert rgb.shape == (60, 90, 3)
        np.testing.assert_array_equal(rgb[..., 0], read_image(path, "gray"))


def test_one_bit(tmp_path):
    path = save(tmp_path / "a.png", Image.fromarray(COLOURS[..., 0]).convert("1"))
    assert set(np.unique(read_image(path))) == {0, 255}


def test_cmyk_jpeg_has_the_colours_of_the_photo(tmp_path):
    path = save(tmp_path / "a.jpg", Image.fromarray(COLOURS).convert("CMYK"), quality=98)
    assert np.abs(read_image(path).astype(int) - COLOURS).mean() < 8
    assert read_image(path, "gray").shape == (60, 90)


def test_palette_with_transparency(tmp_path):
    image = Image.fromarray(np.tile(np.arange(3, dtype=np.uint8), (4, 4)), "P")
    image.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])
    photo = read_photo(save(tmp_path / "a.png", image, transparency=1))
    np.testing.assert_array_equal(photo.pixels[0, :3], [[255, 0, 0], [0, 255, 0], [0, 0, 255]])
    assert photo.alpha is not None
    np.testing.assert_array_equal(photo.alpha[0, :3], [255, 0, 255])


def test_alpha_is_dropped_not_blended_and_comes_back_beside(tmp_path):
    rgba = np.dstack([COLOURS, np.tile(np.arange(90, dtype=np.uint8), (60, 1))])
    photo = read_photo(save(tmp_path / "a.png", rgba))
    np.testing.assert_array_equal(photo.pixels, COLOURS)
    np.testing.assert_array_equal(photo.alpha, rgba[..., 3])
    assert read_photo(save(tmp_path / "b.png")).alpha is None


def test_names_with_spaces_and_other_letters(tmp_path):
    for name in ("日本 語.png", "Übersicht é.png", "снимок.png", "🌿.png"):
        save(tmp_path / name)
        np.testing.assert_array_equal(read_image(tmp_path / name), COLOURS)
    deep = COLOURS.astype(np.uint16) * 257
    (tmp_path / "深.png").write_bytes(cv2.imencode(".png", deep)[1].tobytes())
    assert read_image(tmp_path / "深.png").shape == (60, 90, 3)


@pytest.mark.parametrize("max_size", [16, 33, 45, 89])
def test_reduced_reading_returns_the_exact_scale(tmp_path, max_size):
    photo = read_photo(save(tmp_path / "a.png"), max_size=max_size)
    height, width = photo.pixels.shape[:2]
    assert width == max_size
    assert (photo.width, photo.height) == (90, 60)
    assert photo.scale == (width / 90, height / 60)


def test_reduced_reading_keeps_positions(tmp_path):
    """The centroid of a blob, in the photo's pixels, is the same at every size."""
    y, x = np.mgrid[:240, :320] + 0.5
    blob = np.rint(200 * np.exp(-((x - 101.3) ** 2 + (y - 77.9) ** 2) / 450)).astype(np.uint8)
    path = save(tmp_path / "a.png", blob)
    for max_size in (320, 200, 111):
        photo = read_photo(path, "gray", max_size=max_size)
        v, u = np.mgrid[: photo.pixels.shape[0], : photo.pixels.shape[1]] + 0.5
        weight = photo.pixels / photo.pixels.sum(dtype=float)
        assert (u * weight).sum() / photo.scale[0] == pytest.approx(101.3, abs=0.05)
        assert (v * weight).sum() / photo.scale[1] == pytest.approx(77.9, abs=0.05)


@pytest.mark.parametrize("mode", ["rgb", "gray"])
@pytest.mark.parametrize("max_size", [320, 200, 160, 111, 80, 65, 40])
def test_jpeg_decoded_at_less_than_its_size_is_what_area_averaging_gives(tmp_path, mode, max_size):
    noise = cv2.GaussianBlur(RNG.integers(0, 256, (240, 320, 3), np.uint8), (0, 0), 8)
    picture = cv2.normalize(noise, None, 0, 255, cv2.NORM_MINMAX)
    whole = read_image(save(tmp_path / "a.jpg", picture, quality=95), mode)
    photo = read_photo(tmp_path / "a.jpg", mode, max_size=max_size)
    assert (photo.width, photo.height) == (320, 240)
    assert photo.pixels.shape[1] == max_size
    size = photo.pixels.shape[1::-1]
    assert photo.scale == (size[0] / 320, size[1] / 240)
    off = photo.pixels - cv2.resize(whole, size, interpolation=cv2.INTER_AREA).astype(float)
    assert abs(off.mean()) < 0.2
    assert off.std() < 0.05 * whole.std()


def test_jpeg_whose_size_does_not_divide_is_decoded_whole(tmp_path):
    picture = cv2.resize(COLOURS, (322, 241))
    path = save(tmp_path / "a.jpg", picture)
    photo = read_photo(path, max_size=100)
    assert (photo.width, photo.height) == (322, 241)
    np.testing.assert_array_equal(
        photo.pixels, cv2.resize(read_image(path), (100, 75), interpolation=cv2.INTER_AREA)
    )


def test_no_reduction_needed(tmp_path):
    assert read_photo(save(tmp_path / "a.png"), max_size=90).scale == (1.0, 1.0)


def test_zero_bytes(tmp_path):
    (tmp_path / "a.jpg").touch()
    with pytest.raises(PhotoError, match=r"a\.jpg: the file is empty \(0 bytes\)\. Copy it again"):
        read_image(tmp_path / "a.jpg")


@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "webp"])
@pytest.mark.parametrize("share", [0.02, 0.5, 0.95])
def test_truncated(tmp_path, suffix, share):
    noise = RNG.integers(0, 256, (64, 64, 3), np.uint8)
    path = save(tmp_path / f"a.{suffix}", noise)
    data = path.read_bytes()
    path.write_bytes(data[: max(12, int(len(data) * share))])
    with pytest.raises(PhotoError, match=r"damaged|truncated"):
        read_image(path)


@pytest.mark.parametrize("suffix", ["png", "tif"])
@pytest.mark.parametrize("share", [0.3, 0.9])
def test_truncated_16_bit(tmp_path, suffix, share):
    path = tmp_path / f"a.{suffix}"
    cv2.imwrite(str(path), RNG.integers(0, 65536, (64, 64, 3), np.uint16))
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(PhotoError, match=r"damaged|truncated"):
        read_image(path)


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"hello, this is a text file\n", "a text file"),
        (b"<html><body>404</body></html>", "a text file"),
        (b"%PDF-1.7\n...........", "a PDF document"),
        (b"\x00\x00\x00\x20ftypisom\x00\x00\x02\x00isomiso2mp41", "a video"),
        (b"\x00\x00\x00\x18ftypcrx \x00\x00\x00\x01crx isom", "camera raw"),
        (bytes(range(128, 192)), "an unknown format"),
        (b"\x00" * 500, "an unknown format"),
    ],
)
def test_not_an_image(tmp_path, content, found):
    path = tmp_path / "photo.jpg"
    path.write_bytes(content)
    with pytest.raises(PhotoError, match=found) as caught:
        read_image(path)
    assert str(caught.value).startswith(str(path))
    assert isinstance(caught.value, ValueError)


def test_a_header_that_asks_for_everything_is_refused(tmp_path):
    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", 65000, 65000, 8, 2, 0, 0, 0)
    path = tmp_path / "bomb.png"
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"\0" * 99))
        + chunk(b"IEND", b"")
    )
    with pytest.raises(PhotoError, match="too many pixels"):
        read_image(path)


@pytest.mark.parametrize(
    ("side", "size", "fine"), [(14200, 4_000_000, True), (14200, 99, False), (23000, 90_000_000, False)]
)
def test_photos_of_200_megapixels_are_opened_and_headers_that_lie_are_not(tmp_path, side, size, fine):
    path = save(tmp_path / "a.png")
    data = bytearray(path.read_bytes())
    data[16:24] = struct.pack(">II", side, side)
    data[29:33] = struct.pack(">I", zlib.crc32(bytes(data[12:29])))
    with path.open("wb") as file:
        file.write(data)
        file.truncate(max(size, len(data)))  # zeros, which take no room
    if fine:
        assert photo_size(path) == (side, side)
    else:
        with pytest.raises(PhotoError, match=f"{side}x{side} in a file of .* 500 megapixels"):
            photo_size(path)
    assert Image.MAX_IMAGE_PIXELS == 89478485  # Pillow's own is as it was


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_twelve_bits_stored_in_sixteen_are_not_black(tmp_path, suffix):
    deep = np.linspace(0, 4095, 64 * 48).astype(np.uint16).reshape(48, 64)
    path = tmp_path / f"a.{suffix}"
    cv2.imwrite(str(path), deep)
    np.testing.assert_array_equal(read_image(path, "gray"), np.rint(deep * (255 / 4095)).astype(np.uint8))
    np.testing.assert_array_equal(read_image(path, "gray", keep_16_bit=True), deep)
    deep[0, 0] = 4096  # no longer twelve
    cv2.imwrite(str(path), deep)
    np.testing.assert_array_equal(read_image(path, "gray"), np.rint(deep / 257).astype(np.uint8))


def test_float_image_is_no_photo(tmp_path):
    with pytest.raises(PhotoError, match="float"):
        read_image(save(tmp_path / "a.tif", Image.fromarray(np.ones((9, 9), np.float32))))


def test_heic_without_its_package_says_how_to_install_it(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pillow_heif", None)
    path = tmp_path / "a.heic"
    path.write_bytes(b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic" + b"\0" * 64)
    with pytest.raises(PhotoError, match=r"pip install 'geo3d\[media\]'"):
        read_image(path)


def test_wrong_arguments(tmp_path):
    path = save(tmp_path / "a.png")
    with pytest.raises(ValueError, match="mode"):
        read_image(path, "bgr")  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match="max_size"):
        read_image(path, max_size=0)
    with pytest.raises(FileNotFoundError):
        read_image(tmp_path / "none.png")


def test_list_photos(tmp_path):
    for name in (
        "b/2.JPG",
        "b/10.jpg",
        "a.png",
        "Z.tif",
        "ä/ü ö.jpeg",
        "masks/a.png.png",
        "b/masks/2.jpg",
        ".x.jpg",
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / name).touch()
    for name in (".thumbs/a.jpg", "notes.txt", "b/data.csv", "__MACOSX/a.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / name).touch()
    (tmp_path / "loop").symlink_to(tmp_path)
    assert list_photos(tmp_path) == ["Z.tif", "a.png", "b/10.jpg", "b/2.JPG", "ä/ü ö.jpeg"]
    assert list_photos(tmp_path, recursive=False) == ["Z.tif", "a.png"]
    with pytest.raises(FileNotFoundError, match="no folder"):
        list_photos(tmp_path / "none")
    with pytest.raises(NotADirectoryError):
        list_photos(tmp_path / "a.png")


def test_masks(tmp_path):
    images, masks = tmp_path / "images", tmp_path / "images" / "masks"
    (masks / "sub").mkdir(parents=True)
    keep = np.zeros((60, 90), np.uint8)
    keep[:, 44:] = 255
    save(masks / "a.jpg.png", keep)
    save(masks / "sub" / "b.png", keep[::2, ::2])
    assert find_mask_folder(images) == masks
    assert find_mask_folder(tmp_path / "elsewhere" / "images") is None
    assert find_mask(masks, "a.jpg") == masks / "a.jpg.png"
    assert find_mask(masks, "sub/b.jpg") == masks / "sub" / "b.png"
    assert find_mask(masks, "c.jpg") is None
    np.testing.assert_array_equal(read_mask(masks / "a.jpg.png"), keep > 0)
    np.testing.assert_array_equal(read_mask(masks / "sub" / "b.png", (90, 60)), keep > 0)
    with pytest.raises(PhotoError, match="90x60 for a photo of 60x90"):
        read_mask(masks / "a.jpg.png", (60, 90))
    with pytest.raises(PhotoError, match="for a photo of 4000x6000"):
        read_mask(masks / "a.jpg.png", (60, 90), full_size=(4000, 6000))
    with pytest.raises(ValueError, match="outside"):
        find_mask(masks, "../../../etc/passwd")


@pytest.mark.parametrize(
    ("photo", "mask"),
    [
        ("img.png", "img.png"),
        ("img.jpeg", "img.png"),
        ("img.jpg", "img.jpg"),
        ("img.jpg", "img.jpg.png"),
        ("img.jpg", "img.jpg.tif"),
        ("img.jpg", "img.mask.png"),
        ("foo.png", "foo.png.mask"),
        ("IMG.PNG", "img.png"),
        ("IMG_1.JPG", "IMG_1.jpg.PNG"),
        ("a/b/img.jpg", "a/b/img.webp"),
        ("img.heic.jpg", "img.png"),
        ("img.heic.jpg", "img.heic.png"),
    ],
)
def test_masks_are_found_by_the_rules_of_colmap_and_of_brush(tmp_path, photo, mask):
    path = tmp_path / mask
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    for other in ("img", "img.txt", "img2.png", "other.png", "sub/img.png"):
        (tmp_path / other).parent.mkdir(exist_ok=True)
        if (tmp_path / other) != path:
            (tmp_path / other).touch()
    assert find_mask(tmp_path, photo) == path
    assert unused_masks(tmp_path, [photo]) == sorted({"img2.png", "other.png", "sub/img.png"} - {mask})


def test_the_rule_of_colmap_goes_first_and_masks_that_come_later_are_found(tmp_path):
    assert find_mask(tmp_path, "a.jpg") is None and find_mask(tmp_path, "b/a.jpg") is None
    for i, mask in enumerate(("A.tif", "A.png", "a.jpg.png")):
        (tmp_path / mask).touch()
        os.utime(tmp_path, ns=(0, i))  # file systems count time in steps
        assert find_mask(tmp_path, "a.jpg") == tmp_path / mask


def test_a_mask_of_zeros_and_ones_is_told_and_a_black_one_keeps_nothing(tmp_path):
    save(tmp_path / "ones.png", np.ones((60, 90), np.uint8))
    save(tmp_path / "black.png", np.zeros((60, 90), np.uint8))
    with pytest.raises(PhotoError, match=r"its brightest pixel has the grey value 1.*white \(255\)"):
        read_mask(tmp_path / "ones.png", (90, 60))
    assert not read_mask(tmp_path / "black.png", (90, 60)).any()


def test_masks_beside_the_images(tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "masks").mkdir()
    assert find_mask_folder(tmp_path / "images") == tmp_path / "masks"


def test_in_memory_reading_leaves_no_open_file(tmp_path):
    path = save(tmp_path / "a.png")
    read_image(path)
    path.unlink()
    buffer = io.BytesIO()
    Image.fromarray(COLOURS).save(buffer, "PNG")
    path.write_bytes(buffer.getvalue())
    np.testing.assert_array_equal(read_image(path), COLOURS)
