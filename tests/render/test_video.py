"""Videos are opened again: count, size, rate, colours."""

import numpy as np
import pytest

from geo3d.images import read_frames, read_image
from geo3d.render import write_image_sequence, write_png, write_video


def frames(count=12, height=48, width=64):
    y, x = np.mgrid[:height, :width]
    for n in range(count):
        yield np.stack([x / width, y / height, np.full_like(x, n / count, np.float64)], -1).astype(np.float32)


def opened(path):
    av = pytest.importorskip("av")
    with av.open(str(path)) as file:
        stream = file.streams.video[0]
        pictures = [frame.to_ndarray(format="rgb24") for frame in file.decode(stream)]
        return stream, pictures


@pytest.mark.parametrize("fps", [24.0, 30.0, 29.97, 12.5])
def test_a_video_has_its_frames(tmp_path, fps):
    assert write_video(tmp_path / "a.mp4", frames(), fps) == 12
    stream, pictures = opened(tmp_path / "a.mp4")
    assert len(pictures) == 12 and pictures[0].shape == (48, 64, 3)
    assert stream.codec_context.name == "h264" and stream.codec_context.pix_fmt == "yuv420p"
    assert float(stream.average_rate) == pytest.approx(fps, rel=1e-4)
    assert stream.codec_context.colorspace == 1  # BT.709, so that players show the colours that were written
    assert [p.name for p in tmp_path.iterdir()] == ["a.mp4"]


def test_colours_stay(tmp_path):
    """Bars of pure colours, read by a decoder of its own (OpenCV's FFmpeg) as BT.709."""
    bars = np.repeat(np.eye(3, dtype=np.float32), 16, axis=0)[None].repeat(32, axis=0)
    write_video(tmp_path / "a.mp4", [bars] * 5, 25)
    _, pictures = opened(tmp_path / "a.mp4")
    for bar in range(3):
        middle = pictures[2][8:24, 16 * bar + 5 : 16 * bar + 11].reshape(-1, 3).mean(axis=0)
        np.testing.assert_allclose(middle, 255 * np.eye(3)[bar], atol=8)
    read = dict(read_frames(tmp_path / "a.mp4"))
    assert len(read) == 5


def test_odd_sizes_are_filled_up(tmp_path):
    write_video(tmp_path / "a.mp4", frames(3, 47, 63), 30)
    _, pictures = opened(tmp_path / "a.mp4")
    assert pictures[0].shape == (48, 64, 3)
    np.testing.assert_allclose(pictures[0][-1], pictures[0][-2], atol=6)


def test_what_cannot_be_a_video_leaves_nothing(tmp_path):
    with pytest.raises(ValueError, match=r"\.mp4"):
        write_video(tmp_path / "a.avi", frames(), 30)
    with pytest.raises(ValueError, match="one or more"):
        write_video(tmp_path / "a.mp4", [], 30)
    with pytest.raises(ValueError, match="number 1"):
        write_video(tmp_path / "a.mp4", [np.zeros((8, 8, 3)), np.zeros((8, 10, 3))], 30)
    with pytest.raises(ValueError, match="fps"):
        write_video(tmp_path / "a.mp4", frames(), 0)

    def breaks():
        yield np.zeros((8, 8, 3))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_video(tmp_path / "a.mp4", breaks(), 30)
    assert list(tmp_path.iterdir()) == []


def test_frames_are_taken_one_by_one(tmp_path):
    alive = 0

    class Frame(np.ndarray):
        def __del__(self):
            nonlocal alive
            alive -= 1

    def counted():
        nonlocal alive
        for _ in range(20):
            alive += 1
            assert alive <= 3
            yield np.zeros((16, 16, 3), np.uint8).view(Frame)

    assert write_video(tmp_path / "a.mp4", counted(), 30) == 20


def test_a_sequence_of_images(tmp_path):
    assert write_image_sequence(tmp_path / "out", frames(3)) == 3
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["00000.png", "00001.png", "00002.png"]
    expected = list(frames(3))[2]
    np.testing.assert_allclose(read_image(tmp_path / "out" / "00002.png") / 255, expected, atol=0.6 / 255)
    write_image_sequence(tmp_path / "out", frames(2))
    assert len(list((tmp_path / "out").iterdir())) == 2
    (tmp_path / "out" / "notes.txt").touch()
    with pytest.raises(ValueError, match=r"notes\.txt"):
        write_image_sequence(tmp_path / "out", frames(2))


def test_photos_with_numbers_as_names_are_not_replaced(tmp_path):
    for name in ("000000.png", "000001.png"):
        write_png(tmp_path / "photos" / name, next(frames()))
    with pytest.raises(ValueError, match=r"000000\.png"):
        write_image_sequence(tmp_path / "photos", frames(2))
    assert len(list((tmp_path / "photos").iterdir())) == 2


@pytest.mark.parametrize("shape", [(5, 7), (5, 7, 3), (5, 7, 4)])
@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_png_of_every_kind(tmp_path, shape, kind):
    import cv2
    from PIL import Image

    image = np.random.default_rng(0).integers(0, np.iinfo(kind).max, shape).astype(kind)
    write_png(tmp_path / "a.png", image)
    if kind == np.uint8:
        np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "a.png")), image)
    else:
        found = cv2.imread(str(tmp_path / "a.png"), cv2.IMREAD_UNCHANGED)
        np.testing.assert_array_equal(
            found[..., [2, 1, 0, 3][: shape[2]]] if len(shape) > 2 else found, image
        )
