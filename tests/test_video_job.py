"""The main job on a video: frames are chosen, brought into the scene once, and reconstructed."""

import os
from dataclasses import replace

import cv2
import numpy as np
import pytest

from geo3d.cameras import Camera
from geo3d.geometry import umeyama
from geo3d.io import ColmapDatabase
from geo3d.options import ReconstructOptions
from geo3d.pipeline import reconstruct
from geo3d.synthetic import house_poses, make_house, photograph_facades

QUICK = ReconstructOptions(quality="low", threads=2, frames=12)
CAMERA = Camera("SIMPLE_RADIAL", 400, 300, [340.0, 200, 150, -0.04])
WALK = house_poses(50, 0, 70)
POSES = [*WALK[:25], *[WALK[25]] * 15, *WALK[25:]]
STOOD, BLURRED = range(25, 40), {5, 6, 44, 50}
os.environ["OPENCV_FFMPEG_LOGLEVEL"] = "-8"  # before FFmpeg first runs, which is for writing here


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """A walk past a house that stops for a while, with a few blurred frames."""
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    writer = cv2.VideoWriter(
        str(path), cv2.CAP_FFMPEG, cv2.VideoWriter_fourcc(*"mp4v"), 30, (CAMERA.width, CAMERA.height)
    )
    for i, frame in enumerate(photograph_facades(make_house(), CAMERA, POSES)):
        writer.write(cv2.blur(frame, (15, 1))[..., ::-1].copy() if i in BLURRED else frame[..., ::-1].copy())
    writer.release()
    return path


def test_a_video_is_reconstructed(clip, tmp_path):
    scene = tmp_path / "scene"
    report = reconstruct(clip, scene, QUICK)
    numbers = [int(name[6:12]) for name in report.photos]
    assert numbers == sorted(numbers) and 8 <= len(numbers) <= 12
    assert not BLURRED & set(numbers) and sum(n in STOOD for n in numbers) <= 2
    (model,) = report.components
    assert len(model.registered()) == len(numbers) and len(model.cameras) == 1
    truth = np.array([POSES[int(model.views[i].name[6:12])].center() for i in model.registered()])
    fit = umeyama(model.centres(), truth)
    assert np.linalg.norm(fit.act(model.centres()) - truth, axis=1).max() < 0.15  # metres, 12 from the house
    assert (scene / "report.html").exists() and sorted(
        p.name for p in (scene / "images").iterdir()
    ) == report.photos

    # Nothing is repeated, and a lost frame comes back.
    stamp = (scene / "images" / report.photos[1]).stat().st_mtime_ns
    again = reconstruct(clip, scene, QUICK)
    assert again.photos == report.photos
    assert (scene / "images" / report.photos[1]).stat().st_mtime_ns == stamp
    (scene / "images" / report.photos[0]).unlink()
    assert reconstruct(clip, scene, replace(QUICK, until_stage="scan")).photos == report.photos

    # Fewer frames take the place of the others.
    fewer = reconstruct(clip, scene, replace(QUICK, frames=3, until_stage="scan"))
    assert len(fewer.photos) <= 3 and sorted(p.name for p in (scene / "images").iterdir()) == fewer.photos
    assert any("--frames" in text for text in fewer.warnings)


def test_neighbours_in_time_are_matched(clip, tmp_path):
    options = replace(QUICK, until_stage="matches", frames=40, max_size=160)
    report = reconstruct(clip, tmp_path / "scene", options)
    with ColmapDatabase(tmp_path / "scene" / "database.db") as database:
        assert len(database.cameras()) == 1
        pairs = len(database.two_view_geometries())
    assert 0 < pairs < len(report.photos) * (len(report.photos) - 1) / 2


def test_a_video_among_photos_is_said_and_one_alone_is_pointed_at(clip, tmp_path):
    photos = tmp_path / "photos"
    photos.mkdir()
    os.link(clip, photos / "clip.mp4")
    with pytest.raises(ValueError, match=r"no photos in .*, but a video, clip\.mp4: give the video itself"):
        reconstruct(photos, tmp_path / "scene")
    for i, image in enumerate(photograph_facades(make_house(), CAMERA, POSES[:2])):
        cv2.imwrite(str(photos / f"{i}.jpg"), image[..., ::-1])
    report = reconstruct(photos, tmp_path / "scene", ReconstructOptions(until_stage="scan"))
    assert report.photos == ["0.jpg", "1.jpg"] and "clip.mp4" in report.warnings[0]


def test_a_broken_video_leaves_nothing_behind(tmp_path):
    (tmp_path / "clip.mp4").write_bytes(b"\x00\x00\x00\x18ftypisom\x00\x00\x02\x00isommp42" + bytes(999))
    with pytest.raises(ValueError, match=r"clip\.mp4: a video that cannot be opened"):
        reconstruct(tmp_path / "clip.mp4", tmp_path / "scene")
    assert not (tmp_path / "scene").exists()
