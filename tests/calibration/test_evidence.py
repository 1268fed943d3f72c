"""Evidence holds what a calibration found, for one camera and for each of a rig."""

from dataclasses import replace

import numpy as np
import pytest

from geo3d.calibration import (
    CalibrateOptions,
    Checkerboard,
    Detection,
    FoundBoards,
    HeldOut,
    PhotoMeasures,
    advise,
    calibrate,
    evidence_of,
    evidence_of_rig,
)
from geo3d.calibration.calibrate_rig import calibrate_rig
from geo3d.calibration.coverage import measure_coverage
from geo3d.cameras import Camera
from geo3d.geometry import SE3, SO3
from geo3d.synthetic import BoardOptions, board_poses
from geo3d.viz.calibration_report import (
    CalibrationReportData,
    CameraEntry,
    render_calibration_report,
    rig_entry,
)

from .common import LENSES, TARGET, photograph


def test_residuals_are_those_of_the_fit_and_figures_those_of_the_photos():
    detections, poses = photograph(LENSES["OPENCV"], 12, 0.2, (0.002, 0.0, 0.0))
    rng = np.random.default_rng(0)
    bad = detections["03.jpg"]
    detections["03.jpg"] = Detection(bad.ids, bad.pixels + rng.normal(0, 8, bad.pixels.shape))
    found = FoundBoards(TARGET, 640, 480, detections, {"x.jpg": "no such board is to be seen in it"})
    done = calibrate(detections, TARGET, 640, 480, CalibrateOptions("OPENCV"))
    squared = np.where(np.arange(12) == 3, 64.0, 0.31**2)  # of the photo that is left out too
    tried = [HeldOut(m, 3, 8, squared, 2.3) for m in ("OPENCV", "EUCM")]
    measures = PhotoMeasures({"00.jpg": 1.2}, np.ones((18, 24), bool))
    got = evidence_of(done, found, tried=tried, measures=measures)
    assert got.rms_px == pytest.approx(done.rms_px) and got.held_out_rms_px == pytest.approx(0.31)
    for view, residual in zip(got.views, got.residuals):
        np.testing.assert_allclose(np.linalg.norm(residual, axis=1), done.errors_px[view.name], atol=1e-9)
    assert (
        sorted(got.left_out) == ["03.jpg", "x.jpg"]
        and got.views[0].blur_px == 1.2
        and got.views[1].blur_px is None
    )
    assert 1000 * got.bow_m == pytest.approx(2, abs=0.5)
    assert got.correlations is not None and got.uncertainty_px is not None
    np.testing.assert_allclose(np.diag(got.correlations), 1)
    assert np.abs(got.correlations).max() < 1 + 1e-9 and got.uncertainty_px.shape == (30, 40)
    assert 0.05 < np.median(got.uncertainty_px) < 3  # the focal length is known to half a per cent here
    far = measure_coverage(got).distances_m
    middle = TARGET.points.mean(axis=0)
    truth = [np.linalg.norm(pose.act(middle)) for i, pose in enumerate(poses) if i != 3]
    np.testing.assert_allclose(far, truth, rtol=0.02)


@pytest.mark.parametrize(
    "target", [TARGET, Checkerboard(8, 6, 0.03)]
)  # the second looks the same upside down
def test_each_camera_of_a_rig_has_its_own_poses(target):
    cameras = [LENSES["OPENCV"], Camera("OPENCV", 640, 480, [430, 428, 318, 244, -0.18, 0.04, 0, 0])]
    mounted = SE3(SO3.exp([0.01, -0.05, 0.02]).matrix, np.array([-0.1, 0.002, 0.005]))
    rng = np.random.default_rng(0)
    options = BoardOptions(target.columns, target.rows, target.square_m)
    founds: list[dict[str, Detection]] = [{}, {}]
    for i, pose in enumerate(board_poses(cameras[0], 16, options, margin_px=60, seed=2)):
        for c, at in enumerate((pose, mounted @ pose)):
            pixels = cameras[c].project(at.act(target.points))
            if np.isfinite(pixels).all() and (pixels > 0).all() and (pixels < [640, 480]).all():
                ids = np.arange(len(pixels))
                flipped = c == 1 and i % 2 and target.quarters == (0, 2)
                seen = Detection(ids, (pixels + rng.normal(0, 0.1, pixels.shape))[:: -1 if flipped else 1])
                founds[c][f"{i:02d}.png"] = seen
    alone = [calibrate(found, target, 640, 480, CalibrateOptions("OPENCV", 0)) for found in founds]
    rig = calibrate_rig(alone, founds, target)
    entries = []
    for c, name in enumerate(("left", "right")):
        found = FoundBoards(target, 640, 480, founds[c], {})
        got = evidence_of_rig(rig, c, found, name)
        assert (
            got.rms_px == pytest.approx(0.14, abs=0.03)
            and len(got.views) == len(founds[c])
            and not got.left_out
        )
        assert advise(got).verdicts[0].use == "structure from motion"
        entries.append(CameraEntry(got))
    entry = rig_entry(rig)
    assert len(entry.moments) == len(rig.moments) and entry.dropped == {}
    shared = [m for m in entry.moments if None not in m.photos]
    assert len(shared) > 8 and all(m.rms_px[0] and m.rms_px[0] < 0.3 for m in shared)
    moved = rig_entry(replace(rig, apart={((0, "00.png"), (1, "00.png")): 7.25}))
    assert moved.dropped == {"00.png, 00.png": "they disagree by 7.2 pixels"}
    assert "100.3" in render_calibration_report(CalibrationReportData("rig", entries, entry))
