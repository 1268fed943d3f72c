"""The main job on real photographs whose poses are known: Herz-Jesus-P8 (Strecha et al. 2008), reduced.

A pair's error is the larger of its rotation error and of the angle between its directions of translation; the area
under the curve of the share of pairs below a threshold is 1 when all are exact.
"""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from geo3d.geometry import SE3, rotation_angle
from geo3d.options import ReconstructOptions
from geo3d.pipeline import reconstruct
from geo3d.scene import Reconstruction

pytestmark = pytest.mark.realdata


def read_strecha_pose(path: Path) -> SE3:
    """Lines 5 to 7 are the rotation world_from_cam, line 8 the centre of the camera."""
    rows = [list(map(float, line.split())) for line in path.read_text().splitlines() if line.strip()]
    rotation = np.array(rows[4:7]).T
    return SE3(rotation, -rotation @ np.array(rows[7]))


def pair_errors_deg(model: Reconstruction, truth: dict[str, SE3]) -> np.ndarray:
    """Error of every pair of photos; 180 where one is not registered."""
    found = {view.name: view.cam_from_world for view in model.views.values()}
    names = sorted(truth)
    errors = []
    for i, a in enumerate(names):
        for b in names[i + 1 :]:
            one, two = found.get(a), found.get(b)
            if one is None or two is None:
                errors.append(180.0)
                continue
            relative, true = two @ one.inverse(), truth[b] @ truth[a].inverse()
            t, u = relative.translation, true.translation
            between = np.arccos(np.clip(t @ u / np.linalg.norm(t) / np.linalg.norm(u), -1, 1))
            turned = rotation_angle(relative.rotation @ true.rotation.T)
            errors.append(float(np.degrees(max(turned, between))))
    return np.sort(errors)


def area_under_curve(errors: np.ndarray, threshold: float) -> float:
    """Mean over [0, threshold] of the share of errors below, linear between the errors."""
    x = np.concatenate([[0.0], errors])
    y = np.arange(len(x)) / len(errors)
    last = np.searchsorted(x, threshold)
    return float(np.trapezoid([*y[:last], y[last - 1]], [*x[:last], threshold]) / threshold)


def test_area_under_curve() -> None:
    assert area_under_curve(np.zeros(10), 0.5) == pytest.approx(1)
    assert area_under_curve(np.full(10, 180.0), 0.5) == 0
    assert area_under_curve(np.array([0.25, 180.0]), 0.5) == pytest.approx((0.25 / 2 + 0.25) * 0.5 / 0.5)


@pytest.fixture(scope="module")
def herz_jesus(real_data: Path) -> tuple[Path, dict[str, SE3], tuple[float, ...]]:
    folder = real_data / "sfm" / "Herz-Jesus-P8"
    if not folder.is_dir():
        pytest.skip(f"{folder} is not there")
    truth = {f.stem: read_strecha_pose(f) for f in sorted((folder / "gt_cameras").glob("*.camera"))}
    k = np.loadtxt(folder / "K.txt")  # pixel centres at integers: add 0.5
    return folder / "images", truth, (k[0, 0], k[1, 1], k[0, 2] + 0.5, k[1, 2] + 0.5)


def test_known_calibration(herz_jesus, tmp_path: Path) -> None:
    photos, truth, params = herz_jesus
    options = ReconstructOptions(
        camera_model="PINHOLE", camera_params=params, fix_intrinsics=True, max_size=800
    )
    report = reconstruct(photos, tmp_path / "scene", options)
    assert [len(model.registered()) for model in report.components] == [8]
    errors = pair_errors_deg(report.components[0], truth)
    assert area_under_curve(errors, 0.5) > 0.78
    assert tuple(report.components[0].cameras[1].params) == params


def test_unknown_calibration(herz_jesus, tmp_path: Path) -> None:
    """These photos carry no EXIF: the focal length has to be found."""
    photos, truth, params = herz_jesus
    report = reconstruct(photos, tmp_path / "scene", ReconstructOptions(max_size=800))
    model = report.components[0]
    assert len(model.registered()) == 8
    assert model.cameras[1].mean_focal == pytest.approx(params[0], rel=0.03)
    assert area_under_curve(pair_errors_deg(model, truth), 3.0) > 0.8


def test_drone_photos_stand_on_earth(real_data: Path, tmp_path: Path) -> None:
    photos = real_data / "sfm" / "brighton-drone" / "images"
    if not photos.is_dir():
        pytest.skip(f"{photos} is not there")
    report = reconstruct(photos, tmp_path / "scene", ReconstructOptions(quality="medium"))
    record = report.georeference
    (placement,) = record["models"]
    residuals = placement["photo_residuals"]
    assert record["utm"]["epsg"] == 32615 and len(residuals["photos"]) == 18
    assert residuals["horizontal_median_m"] < 0.6 and residuals["vertical_median_m"] < 0.6
    assert placement["scale_std"] < 0.01 and not any(p["outlier"] for p in residuals["photos"])
    assert any("bowl" in warning for warning in report.warnings)
    (model,) = report.components
    above = model.centres()[:, 2].mean() - np.median(model.points.xyz[:, 2])
    assert 30 < above < 55  # flown 40 m above the take-off point


@pytest.mark.slow
def test_a_flight_that_looks_down_stays_near_the_focal_length_of_exif(
    real_data: Path, tmp_path: Path
) -> None:
    photos = real_data / "sfm" / "brighton-drone" / "images"
    if not photos.is_dir():
        pytest.skip(f"{photos} is not there")
    (tmp_path / "half").mkdir()
    for path in sorted(photos.iterdir()):
        with Image.open(path) as photo:
            small = photo.resize((photo.width // 2, photo.height // 2))
            small.save(tmp_path / "half" / path.name, quality=92, exif=photo.getexif())
    report = reconstruct(tmp_path / "half", tmp_path / "scene", ReconstructOptions(quality="low"))
    camera = report.components[0].cameras[1]
    assert camera.mean_focal / camera.width == pytest.approx(0.585, rel=0.05)
