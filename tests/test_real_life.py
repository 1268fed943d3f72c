"""The main job on photos as people take them: turned phones, bursts, zoom, blur, EXIF that is wrong."""

import math

import cv2
import numpy as np
import pytest
from PIL import Image

from geo3d.cameras import Camera
from geo3d.geometry import SE3, SO3, rotation_angle, umeyama
from geo3d.options import ReconstructOptions
from geo3d.pipeline import reconstruct
from geo3d.synthetic import house_poses, make_house, photograph_facades

CAMERA = Camera("SIMPLE_RADIAL", 400, 300, [340.0, 200, 150, -0.04])
TELE = Camera("SIMPLE_RADIAL", 400, 300, [650.0, 200, 150, -0.02])
QUICK = ReconstructOptions(quality="low", threads=2)
HOUSE = make_house()


def save(path, pixels, focal_px=CAMERA.mean_focal, orientation=1, quality=93):
    """Write a photo with the EXIF of a phone."""
    exif = Image.Exif()
    exif[271], exif[272], exif[274] = "Maker", "Phone", orientation
    exif.get_ifd(0x8769)[41989] = round(focal_px / math.hypot(400, 300) * math.hypot(36, 24))
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(np.ascontiguousarray(pixels)).save(path, quality=quality, subsampling=0, exif=exif)


def turned(pose, quarters):
    """The pose of a camera that is turned counterclockwise about its axis, as seen from behind."""
    c, s = [(1, 0), (0, 1), (-1, 0), (0, -1)][quarters % 4]
    turn = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1.0]])
    return SE3(turn @ pose.rotation, turn @ pose.translation)


def errors(model, truth):
    """Errors of the camera centres, metres (the house is 12 away), and of the rotations, degrees."""
    views = [model.views[i] for i in model.registered()]
    centres = np.array([truth[v.name].center() for v in views])
    fit = umeyama(model.centres(), centres)
    off = np.linalg.norm(fit.act(model.centres()) - centres, axis=1)
    angles = [
        rotation_angle(v.cam_from_world.rotation @ fit.rotation.T @ truth[v.name].rotation.T) for v in views
    ]
    return off, np.degrees(angles)


def test_turned_phones_and_photos_turned_by_an_editor(tmp_path):
    truth = {}
    for i, pose in enumerate(house_poses(12, 0, 75)):
        name, kind = f"{i:02d}.jpg", i % 4
        held = turned(pose, [0, 1, 2, 1][kind])
        (pixels,) = photograph_facades(HOUSE, CAMERA, [held], seed=i)
        if kind == 3:  # the pixels are upright now, and the EXIF says so
            pixels, held = np.rot90(pixels), turned(held, -1)
        truth[name] = held
        save(tmp_path / "photos" / name, pixels, orientation=[1, 6, 3, 1][kind])
    report = reconstruct(tmp_path / "photos", tmp_path / "scene", QUICK)
    (model,) = report.components
    off, angles = errors(model, truth)
    assert len(off) == 12 and off.max() < 0.05 and angles.max() < 0.3
    assert sorted((c.width, c.height) for c in model.cameras.values()) == [(300, 400), (400, 300)]


def test_turning_on_the_spot_is_refused_with_advice(tmp_path):
    (middle,) = house_poses(1, 30, 30)
    for i, angle in enumerate(np.linspace(-0.15, 0.15, 5)):
        turn = SO3.exp([0.0, angle, 0.0]).matrix
        pose = SE3(turn @ middle.rotation, turn @ middle.translation)
        (pixels,) = photograph_facades(HOUSE, CAMERA, [pose], seed=i)
        save(tmp_path / "photos" / f"{i}.jpg", pixels)
    with pytest.raises(ValueError, match=r"5 photos show no depth.*a step sideways"):
        reconstruct(tmp_path / "photos", tmp_path / "scene", QUICK)
    assert not (tmp_path / "scene" / "sparse").exists()


def test_bursts_do_not_spoil_the_model(tmp_path):
    rng = np.random.default_rng(1)
    truth = {}
    for i, pose in enumerate(house_poses(5, 0, 36)):
        for k in range(3):
            shaken = SE3(pose.rotation, pose.translation + rng.normal(0, 0.003, 3))
            (pixels,) = photograph_facades(HOUSE, CAMERA, [shaken], seed=10 * i + k)
            truth[f"{i}_{k}.jpg"] = shaken
            save(tmp_path / "photos" / f"{i}_{k}.jpg", pixels, quality=93 - 10 * k)
    (model,) = reconstruct(tmp_path / "photos", tmp_path / "scene", QUICK).components
    off, angles = errors(model, truth)
    assert len(off) == 15 and off.max() < 0.02 and angles.max() < 0.3
    assert np.median(model.points.track_lengths) >= 3


@pytest.mark.slow
@pytest.mark.parametrize("zoomed", [False, True])
def test_three_of_twenty_photos_with_a_wrong_focal_length(tmp_path, zoomed):
    truth = {}
    for i, pose in enumerate(house_poses(20, 0, 120)):
        odd, name = i in (4, 9, 15), f"{i:02d}.jpg"
        (pixels,) = photograph_facades(HOUSE, TELE if odd and zoomed else CAMERA, [pose], seed=i)
        truth[name] = pose
        wrong = 2.1 * CAMERA.mean_focal if odd and not zoomed else CAMERA.mean_focal
        save(tmp_path / "photos" / name, pixels, focal_px=wrong)
    report = reconstruct(tmp_path / "photos", tmp_path / "scene", QUICK)
    (model,) = report.components
    off, _ = errors(model, truth)
    assert len(off) == 20 and off.max() < 0.05
    said = " ".join(report.warnings)
    assert all(name in said for name in ("04.jpg", "09.jpg", "15.jpg"))
    expected = TELE if zoomed else CAMERA
    assert model.cameras[model.view_named("09.jpg").camera_id].mean_focal == pytest.approx(
        expected.mean_focal, rel=0.02
    )


def test_a_blurred_photo_is_named_and_a_photo_of_another_place_does_no_harm(tmp_path):
    poses = house_poses(9, 0, 60)
    for i, pixels in enumerate(photograph_facades(HOUSE, CAMERA, poses)):
        save(tmp_path / "photos" / f"{i}.jpg", cv2.blur(pixels, (31, 31)) if i == 4 else pixels)
    other = photograph_facades(make_house(seed=9), CAMERA, house_poses(2, 10, 20))
    for i, pixels in enumerate(other):
        save(tmp_path / "photos" / f"{i}_elsewhere.jpg", pixels)
    report = reconstruct(tmp_path / "photos", tmp_path / "scene", QUICK)
    model = report.components[0]
    off, _ = errors(model, {f"{i}.jpg": pose for i, pose in enumerate(poses)})
    assert len(off) == 8 and off.max() < 0.05
    reason, advice = report.unregistered["4.jpg"]
    assert "blurred" in reason and "steady hand" in advice
    elsewhere = [v.name for m in report.components[1:] for v in m.views.values()]
    assert all(
        name in elsewhere or name in report.unregistered for name in ("0_elsewhere.jpg", "1_elsewhere.jpg")
    )
