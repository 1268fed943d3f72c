"""Frames of a video: sharp ones that overlap, as the sensor stored them; what is no video is refused."""

import os
import struct

import cv2
import numpy as np
import pytest
from PIL import Image, ImageOps

from geo3d.images import (
    FrameOptions,
    VideoError,
    bring_frames,
    choose_frames,
    measure_frames,
    read_exif,
    read_frames,
    read_video_info,
    select_frames,
)

os.environ["OPENCV_FFMPEG_LOGLEVEL"] = "-8"  # before FFmpeg first runs, which is for writing here
SIZE = (320, 240)
RNG = np.random.default_rng(5)
TREMBLE = 2.0  # pixels


def wallpaper(height=300, width=4000):
    layers = [
        k**0.5 * cv2.resize(RNG.standard_normal((height // k + 2, width // k + 2, 3)), (width, height))
        for k in (4, 8, 16, 32)
    ]
    return np.clip(128 + 22 * sum(layers), 0, 255).astype(np.uint8)


WALL = wallpaper()


def film(path, places, blurred=(), fourcc="mp4v", fps=30.0):
    """Write a video of a camera that slides along a wall, at these pixels."""
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter_fourcc(*fourcc), fps, SIZE)
    assert writer.isOpened()
    for i, x in enumerate(places):
        frame = cv2.getRectSubPix(WALL, SIZE, (float(x) + SIZE[0] / 2, 150.0))
        writer.write(cv2.blur(frame, (19, 1)) if i in blurred else frame)
    writer.release()
    return path


def turned(source, target, matrix):
    """Copy an MP4 with another display matrix in its track header (ISO/IEC 14496-12, tkhd version 0)."""
    data = bytearray(source.read_bytes())
    at = data.index(b"tkhd") + 4 + 40
    assert struct.unpack(">9i", data[at : at + 36])[0] == 1 << 16
    data[at : at + 36] = struct.pack(">9i", *(v << 16 for v in matrix), 0, 0, 0, 1 << 30)
    target.write_bytes(data)
    return target


STOPS = np.concatenate(
    [
        np.full(30, 20.0) + RNG.normal(0, TREMBLE, 30),  # on the spot, trembling
        20 + 3.0 * np.arange(100),  # walking
        np.full(40, 320.0) + RNG.normal(0, TREMBLE, 40),  # on the spot again
        320 + 12.0 * np.arange(60),  # faster
    ]
)
BLURRED = {50, 51, 52, 80, 110, 185, 186}


@pytest.fixture(scope="module")
def walk(tmp_path_factory):
    return film(tmp_path_factory.mktemp("video") / "walk.mp4", STOPS, BLURRED)


def test_travel_is_the_shift_of_the_picture(walk):
    measures = measure_frames(walk)
    assert measures.read == len(STOPS) and (measures.numbers == np.arange(len(STOPS))).all()
    truth = (STOPS - STOPS[0]) / SIZE[0]
    assert np.abs(measures.travel - truth).max() < 0.03
    blurred = np.isin(np.arange(len(STOPS)), list(BLURRED))
    assert measures.blur_px[blurred].min() > 2 * measures.blur_px[~blurred].max()


def test_chosen_frames_are_sharp_and_evenly_spaced(walk):
    chosen = choose_frames(walk)
    assert not chosen.warnings and not BLURRED & set(chosen.numbers)
    steps = np.diff(STOPS[chosen.numbers] / SIZE[0])
    # 3.2 widths at 0.06, and nothing twice where the camera stood.
    assert (
        40 < len(chosen.numbers) < 60
        and steps.max() < 0.16
        and np.median(steps) == pytest.approx(0.06, abs=0.02)
    )
    standing = [n for n in chosen.numbers if 130 <= n < 170]
    assert len(standing) <= 2
    assert choose_frames(walk) == chosen


def test_a_long_video_is_spaced_wider_and_that_is_said(walk):
    chosen = choose_frames(walk, FrameOptions(max_frames=10))
    assert 8 <= len(chosen.numbers) <= 10 and not BLURRED & set(chosen.numbers)
    assert "--frames" in chosen.warnings[0] and "walk.mp4" in chosen.warnings[0]


def test_a_video_that_shows_little_is_spaced_closer(tmp_path):
    slow = film(tmp_path / "slow.mp4", 1.0 * np.arange(90))
    assert 12 <= len(choose_frames(slow).numbers) <= 40


def test_blurred_frames_stay_where_nothing_else_shows_the_place():
    travel = np.arange(40) * 0.06
    blur = np.full(40, 0.6)
    blur[[5, 20, 21, 22, 23, 24, 25]] = 3.0
    rows, spacing = select_frames(travel, blur, FrameOptions())
    kept = set(rows.tolist())
    assert spacing == 0.06 and 5 not in kept and kept & {20, 21, 22, 23, 24, 25}
    assert np.diff(travel[rows]).max() <= 0.06 * 3.5


def test_standing_still_is_refused(tmp_path):
    still = film(tmp_path / "still.mp4", 30 + RNG.normal(0, 0.4, 40))
    with pytest.raises(VideoError, match=r"still\.mp4: nothing moves in its 40 frames\. Film while you walk"):
        choose_frames(still)


def test_a_cut_from_one_place_to_another_loses_neither(tmp_path):
    cut = film(tmp_path / "cut.mp4", [*range(0, 90, 3), *range(2000, 2090, 3)])
    numbers = choose_frames(cut).numbers
    assert min(numbers) < 10 and sum(n >= 30 for n in numbers) >= 3


def test_frames_of_high_rates_are_looked_at_thirty_times_a_second(tmp_path):
    fast = film(tmp_path / "fast.mp4", 0.7 * np.arange(120), fps=120.0)
    measures = measure_frames(fast)
    assert (np.diff(measures.numbers) == 4).all()


@pytest.mark.parametrize(
    ("matrix", "orientation"),
    [((0, 1, 0, -1, 0), 6), ((-1, 0, 0, 0, -1), 3), ((0, -1, 0, 1, 0), 8)],
)
def test_rotation_is_not_applied_but_kept(walk, tmp_path, matrix, orientation):
    video = turned(walk, tmp_path / "turned.mp4", matrix)
    info = read_video_info(video)
    assert (info.width, info.height, info.orientation) == (*SIZE, orientation)
    _, plain = next(read_frames(walk))
    _, frame = next(read_frames(video))
    np.testing.assert_array_equal(frame, plain)
    # EXIF's orientation asks for what a player does.
    player = cv2.VideoCapture(str(video), cv2.CAP_FFMPEG)
    upright = player.read()[1][..., ::-1]
    (name,) = bring_frames(video, [0], tmp_path / "images", tmp_path / "brought.json")
    with Image.open(tmp_path / "images" / name) as photo:
        shown = np.asarray(ImageOps.exif_transpose(photo))
    assert shown.shape == upright.shape and np.abs(shown.astype(int) - upright).mean() < 4
    assert read_exif(tmp_path / "images" / name).orientation == orientation


def test_frames_are_written_once_and_replace_those_before(walk, tmp_path):
    images, record = tmp_path / "images", tmp_path / "brought.json"
    assert bring_frames(walk, [0, 7, 110], images, record) == [
        "frame_000000.jpg",
        "frame_000007.jpg",
        "frame_000110.jpg",
    ]
    with Image.open(images / "frame_000007.jpg") as photo:
        written = np.asarray(photo)
    frame = dict(read_frames(walk, {7}))[7]
    assert written.shape == frame.shape and np.abs(written.astype(int) - frame).mean() < 2
    (images / "mine.jpg").write_bytes(b"")
    bring_frames(walk, [7, 8], images, record)
    assert sorted(p.name for p in images.iterdir()) == ["frame_000007.jpg", "frame_000008.jpg", "mine.jpg"]
    (images / "frame_000009.jpg").write_bytes(b"not ours")
    with pytest.raises(ValueError, match=r"frame_000009\.jpg is not the same file"):
        bring_frames(walk, [9], images, record)
    assert (images / "frame_000009.jpg").read_bytes() == b"not ours"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", r"empty \(0 bytes\)"),
        (b"hello, this is no video at all\n", "not a video .a text file."),
        (b"#EXTM3U\n#EXTINF:1,\nhttp://example.org/a.ts\n", "not a video .a text file."),
        (b"ffconcat version 1.0\nfile /etc/passwd\n", "not a video .a text file."),
        (b"\xff\xd8\xff\xe0" + b"\0" * 99, "not a video .JPEG."),
        (b"\x00\x00\x00\x18ftypisom\x00\x00\x02\x00isommp42" + b"\0" * 4000, "cannot be opened"),
        (bytes(range(128, 192)) * 9, "not a video"),
    ],
)
def test_what_is_no_video(tmp_path, content, words, capfd):
    path = tmp_path / "clip.mp4"
    path.write_bytes(content)
    with pytest.raises(VideoError, match=words):
        choose_frames(path)
    assert capfd.readouterr() == ("", "")


def test_a_video_that_was_not_copied_to_its_end(walk, tmp_path):
    (tmp_path / "half.mp4").write_bytes(walk.read_bytes()[:-9000])  # its index is at the end
    with pytest.raises(VideoError, match="damaged, not copied to its end"):
        read_video_info(tmp_path / "half.mp4")
    whole = film(tmp_path / "whole.avi", STOPS[30:130], fourcc="MJPG").read_bytes()
    (tmp_path / "half.avi").write_bytes(whole[: len(whole) // 2])
    chosen = choose_frames(tmp_path / "half.avi")
    assert "half.avi breaks off after frame" in chosen.warnings[0] and len(chosen.numbers) > 5
    (tmp_path / "one.avi").write_bytes(whole[:20_000])
    with pytest.raises(VideoError, match=r"frames? can be read|cannot be opened"):
        choose_frames(tmp_path / "one.avi")


def test_damage_in_the_middle_costs_what_is_damaged(walk, tmp_path, capfd):
    data = bytearray(walk.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 3000] = RNG.integers(0, 256, 3000).astype(np.uint8).tobytes()
    (tmp_path / "hit.mp4").write_bytes(data)
    assert len(choose_frames(tmp_path / "hit.mp4").numbers) > 20
    assert capfd.readouterr() == ("", "")


def test_a_damaged_frame_is_passed_over(tmp_path):
    """Each frame of Motion JPEG stands alone: one that is overwritten costs itself only."""
    film(tmp_path / "whole.avi", 20.0 + 3.0 * np.arange(12), fourcc="MJPG")
    data = bytearray((tmp_path / "whole.avi").read_bytes())
    starts = [i for i in range(len(data) - 3) if data[i : i + 3] == b"\xff\xd8\xff"]
    assert len(starts) == 12
    data[starts[5] : starts[5] + 2000] = bytes(2000)
    (tmp_path / "hit.avi").write_bytes(data)
    whole, hit = (dict(read_frames(tmp_path / name)) for name in ("whole.avi", "hit.avi"))
    assert list(whole) == list(range(12)) and list(hit) == [n for n in range(12) if n != 5]
    assert all((hit[n] == whole[n]).all() for n in hit)
    assert list(dict(read_frames(tmp_path / "hit.avi", last=7))) == [0, 1, 2, 3, 4, 6, 7]


@pytest.mark.parametrize(
    "wrong", [{"max_frames": 1}, {"spacing": 0.0}, {"wanted_frames": 0}, {"blur_ratio": 1.0}]
)
def test_wrong_options(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        FrameOptions(**wrong)
