"""Photos of a stream: reduction, alpha, masks, distortion, order, memory."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from geo3d.cameras import Camera, undistort_image
from geo3d.geometry import SE3
from geo3d.images import PhotoError
from geo3d.render import PhotoStream, PosedView


def view_of(path, pixels, camera=None, mask=None) -> PosedView:
    Image.fromarray(pixels).save(path)
    height, width = pixels.shape[:2]
    camera = camera or Camera("PINHOLE", width, height, [width, width, width / 2, height / 2])
    return PosedView(path.name, camera, SE3.identity(), path, mask)


def noise(height, width, channels=3, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels), np.uint8)


def blocks(values, factor):
    """Means over blocks: area averaging by a whole factor."""
    height, width = values.shape[0] // factor, values.shape[1] // factor
    return values.reshape(height, factor, width, factor, -1).mean(axis=(1, 3))


def test_a_whole_photo_is_what_the_file_holds(tmp_path):
    pixels = noise(20, 30)
    with PhotoStream([view_of(tmp_path / "a.png", pixels)]) as stream:
        photo = stream[0]
    assert photo.color.dtype == np.float32
    np.testing.assert_allclose(photo.color, pixels / 255.0, atol=1e-6)
    assert photo.alpha is None and photo.mask is None
    assert (photo.camera.width, photo.camera.height) == (30, 20)


def test_reduced_photos_are_means_and_their_cameras_exact(tmp_path):
    pixels = noise(64, 96)
    camera = Camera("SIMPLE_PINHOLE", 96, 64, [100, 47, 33])
    with PhotoStream([view_of(tmp_path / "a.png", pixels, camera)], scale=0.25) as stream:
        photo = stream[0]
        assert stream.camera(0) == photo.camera
    np.testing.assert_allclose(photo.color, blocks(pixels / 255.0, 4), atol=1 / 255)
    assert photo.camera.model == "PINHOLE"
    np.testing.assert_allclose(photo.camera.params, [25, 25, 47 / 4, 33 / 4], rtol=1e-12)


def test_odd_sizes_scale_each_axis_by_itself(tmp_path):
    camera = Camera("SIMPLE_PINHOLE", 101, 67, [100, 50.5, 33.5])
    with PhotoStream([view_of(tmp_path / "a.png", noise(67, 101), camera)], scale=0.5) as stream:
        photo = stream[0]
    height, width = photo.color.shape[:2]
    assert (width, height) == (photo.camera.width, photo.camera.height)
    np.testing.assert_allclose(photo.camera.focal, [100 * width / 101, 100 * height / 67], rtol=1e-12)
    np.testing.assert_allclose(photo.camera.principal_point, [width / 2, height / 2], rtol=1e-12)


def test_jpeg_and_png_are_reduced_to_nearly_the_same(tmp_path):
    y, x = np.mgrid[:128, :192]
    pixels = np.stack([x, y, 255 - x], -1).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "b.jpg", quality=98)
    png = view_of(tmp_path / "a.png", pixels)
    jpeg = PosedView("b.jpg", png.camera, png.cam_from_world, tmp_path / "b.jpg")
    with PhotoStream([png, jpeg], scale=0.25) as stream:
        np.testing.assert_allclose(stream[0].color, stream[1].color, atol=0.02)
        assert stream[0].camera == stream[1].camera


def test_alpha_is_multiplied_before_it_is_averaged(tmp_path):
    pixels = noise(64, 64, 4)
    pixels[..., 3][pixels[..., 3] < 128] = 0
    background = (1.0, 0.5, 0.0)
    with PhotoStream([view_of(tmp_path / "a.png", pixels)], 0.25, background) as stream:
        photo = stream[0]
    values = pixels / 255.0
    alpha = blocks(values[..., 3:], 4)
    expected = blocks(values[..., :3] * values[..., 3:], 4) + (1 - alpha) * background
    assert photo.alpha is not None
    np.testing.assert_allclose(photo.alpha, alpha[..., 0], atol=0.6 / 255)
    np.testing.assert_allclose(photo.color, expected, atol=0.6 / 255)


def test_black_background_gives_premultiplied_colours(tmp_path):
    view = view_of(tmp_path / "a.png", noise(32, 32, 4))
    with PhotoStream([view]) as black, PhotoStream([view], background=(1, 1, 1)) as white:
        assert black[0].alpha is not None
        other = black[0].color + (1 - black[0].alpha[..., None])
        np.testing.assert_allclose(white[0].color, other, atol=1.5 / 255)


def test_a_distorted_photo_is_seen_by_a_pinhole_camera(tmp_path):
    y, x = np.mgrid[:120, :160] / 10.0
    pixels = (127 + 100 * np.stack([np.sin(x), np.sin(y), np.cos(x + y)], -1)).astype(np.uint8)
    camera = Camera("OPENCV", 160, 120, [150, 152, 79, 61, -0.1, 0.02, 0.001, -0.002])
    with PhotoStream([view_of(tmp_path / "a.png", pixels, camera)]) as stream:
        photo = stream[0]
    assert photo.camera.model == "PINHOLE"
    assert photo.color.shape == (photo.camera.height, photo.camera.width, 3)
    np.testing.assert_allclose(photo.color, undistort_image(pixels, camera) / 255.0, atol=1e-6)
    assert photo.mask is None or photo.mask.mean() > 0.98


@pytest.mark.parametrize("scale", [1.0, 0.37])
def test_a_point_keeps_its_place_through_distortion_and_reduction(tmp_path, scale):
    """A bright blob is in the photo of the stream where that photo's camera projects the point."""
    camera = Camera("SIMPLE_RADIAL", 400, 300, [350, 201, 149, 0.12])
    point = np.array([0.31, -0.22, 1.0])
    u, v = camera.project(point)
    y, x = np.mgrid[:300, :400] + 0.5
    blob = 255 * np.exp(-0.5 * ((x - u) ** 2 + (y - v) ** 2) / 5.0**2)
    pixels = np.repeat(blob[..., None], 3, axis=2).astype(np.uint8)
    with PhotoStream([view_of(tmp_path / "a.png", pixels, camera)], scale) as stream:
        photo = stream[0]
    weight = photo.color[..., 0].astype(np.float64) ** 2
    y, x = np.mgrid[: photo.camera.height, : photo.camera.width] + 0.5
    found = [(weight * x).sum() / weight.sum(), (weight * y).sum() / weight.sum()]
    np.testing.assert_allclose(found, photo.camera.project(point), atol=0.06)


def test_masks_follow_their_photo(tmp_path):
    mask = np.zeros((60, 80), np.uint8)
    mask[:, 40:] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    plain = view_of(tmp_path / "a.png", noise(60, 80), mask=tmp_path / "mask.png")
    lens = Camera("SIMPLE_RADIAL", 80, 60, [80, 40, 30, -0.05])
    bent = view_of(tmp_path / "b.png", noise(60, 80), lens, tmp_path / "mask.png")
    with PhotoStream([plain, bent], scale=0.5) as stream:
        first, second = stream[0].mask, stream[1].mask
    assert first is not None and first.dtype == bool and first.shape == (30, 40)
    np.testing.assert_array_equal(first, np.arange(40)[None] >= np.full((30, 1), 20))
    assert second is not None
    middle = stream.camera(1).principal_point[0]
    columns = np.arange(second.shape[1]) + 0.5
    np.testing.assert_array_equal(second[10], columns > middle)


@pytest.fixture
def many(tmp_path):
    return [view_of(tmp_path / f"{i}.png", noise(40, 60, 3, i)) for i in range(10)]


def test_any_order_and_any_budget_give_the_same_photos(many):
    order = [3, 3, 0, 9, 1, 3, 8, 2, 2, 7, 4, 6, 5, 0]
    with PhotoStream(many) as plain:
        expected = [plain[i].color for i in order]
    for budget in (0, 40_000, 1 << 30):
        with PhotoStream(many, cache_bytes=budget) as stream:
            found = list(stream.in_order(order))
        assert [i for i, _ in found] == order
        assert all(np.array_equal(photo.color, e) for (_, photo), e in zip(found, expected))


def test_the_budget_is_held_to(many):
    one = 40 * 60 * 3
    budget = 8 * one
    with PhotoStream(many, cache_bytes=budget) as stream:
        for _ in range(3):
            for _ in stream.in_order(range(10)):
                assert stream.kept_bytes <= 0.75 * budget
        assert stream.kept_bytes == 6 * one


@given(budget=st.integers(0, 500_000), ahead=st.integers(1, 12))
def test_memory_of_what_is_decoded_ahead(tmp_path_factory, budget, ahead):
    """What is kept and what waits are together within the budget, or one waits."""
    folder = tmp_path_factory.getbasetemp() / "ahead"
    folder.mkdir(exist_ok=True)
    views = [view_of(folder / f"{i}.png", np.full((20, 30, 3), i, np.uint8)) for i in range(6)]
    started = 0

    def order():
        nonlocal started
        for index in range(6):
            started += 1
            yield index

    with PhotoStream(views, cache_bytes=budget) as stream:
        for taken, _ in enumerate(stream.in_order(order(), ahead), start=1):
            waiting = started - taken
            assert waiting <= 1 or stream.kept_bytes + waiting * 20 * 30 * 3 <= budget


def test_an_endless_order_is_followed_as_it_comes(many):
    with PhotoStream(many) as stream:
        first = list(itertools.islice(stream.in_order(itertools.cycle([1, 2])), 5))
    assert [i for i, _ in first] == [1, 2, 1, 2, 1]


def test_a_damaged_photo_is_named_when_its_turn_comes(many):
    data = many[2].photo.read_bytes()
    many[2].photo.write_bytes(data[: len(data) // 2])
    with PhotoStream(many) as stream:
        photos = stream.in_order([0, 1, 2])
        assert [next(photos)[0], next(photos)[0]] == [0, 1]
        with pytest.raises(PhotoError, match=r"2\.png"):
            next(photos)


def test_damaged_photos_are_passed_over_and_told_once(many):
    for number in (0, 2):
        data = many[number].photo.read_bytes()
        many[number].photo.write_bytes(data[: len(data) // 2])
    told = []
    with PhotoStream(many, leave_out=lambda view, error: told.append((view.name, str(error)))) as stream:
        found = list(itertools.islice(stream.in_order(itertools.cycle(range(len(many)))), 3 * len(many)))
        assert 0 not in dict(found) and 2 not in dict(found)
        assert [index for index, _ in found[:3]] == [1, 3, 4]
    assert [name for name, _ in told] == [many[0].name, many[2].name]
    assert all("damaged or truncated" in error for _, error in told)


def test_an_endless_order_ends_when_no_photo_can_be_read(many):
    for view in many:
        view.photo.write_bytes(b"")
    told = []
    with PhotoStream(many, leave_out=lambda view, error: told.append(view)) as stream:
        assert not list(stream.in_order(itertools.cycle(range(len(many)))))
    assert len(told) == len(many)


def test_a_photo_that_was_exchanged_is_refused(many):
    Image.new("RGB", (30, 20)).save(many[0].photo)
    with PhotoStream(many) as stream, pytest.raises(ValueError, match=r"30x20.*60x40"):
        stream[0]


@pytest.mark.parametrize("scale", [0.0, -1.0, 1.5, float("nan"), 0.1])
def test_scales_that_leave_nothing(many, scale):
    with pytest.raises(ValueError, match="scale"):
        PhotoStream(many, scale=scale)


def test_a_background_is_a_colour(many):
    with pytest.raises(ValueError, match="background"):
        PhotoStream(many, background=(255, 255, 255))
