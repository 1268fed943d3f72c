"""Splined lenses found from corners: what no formula has is found, and what no corner shows stays."""

from dataclasses import replace

import numpy as np
import pytest

from geo3d.calibration import CalibrateOptions, Detection, calibrate, choose_model
from geo3d.calibration.board_fit import BoardState, Free, Pull, linearize, residuals_of
from geo3d.calibration.calibrate import observe, start_lenses
from geo3d.calibration.held_out import CANDIDATES
from geo3d.calibration.spline_lens import as_spline, grid_for, hold_splines
from geo3d.calibration.start import start_board
from geo3d.cameras import Camera, Grid
from geo3d.cameras.splined import FAMILY, grid_of
from geo3d.io import read_camera_json, write_camera_json
from geo3d.optim import RobustLoss

from .common import LENSES, TARGET, photograph

GRID = Grid(11, 9, 80)


def over_image(camera, rim=0.0):
    """Pixels all over an image but for its rim, a part of the size."""
    x, y = np.meshgrid(
        np.linspace(rim, 1 - rim, 24) * camera.width, np.linspace(rim, 1 - rim, 18) * camera.height
    )
    return np.stack([x.ravel(), y.ravel()], axis=1)


def apart(one, other, pixels):
    """Root mean square distance of two cameras' pixels, but for a turn between their axes, which nothing tells."""
    rays, same = one.unproject(pixels), other.unproject(pixels)
    u, _, vt = np.linalg.svd(rays.T @ same)
    off = one.project(same @ (u @ vt).T) - pixels
    return np.sqrt(np.mean(np.sum(off**2, axis=1)))


def wavy(px=0.6):
    """A lens with a wave of so many pixels that no formula has."""
    camera = as_spline(LENSES["OPENCV"], GRID)
    j, i = np.divmod(np.arange(GRID.columns * GRID.rows), GRID.columns)
    wave = px / camera.mean_focal * np.stack([np.sin(0.9 * i + 0.4 * j), np.cos(1.1 * j)], axis=1)
    return camera.with_params([*camera.params[:4], *camera.params[4:] + wave.ravel()])


@pytest.mark.parametrize("model", ["PINHOLE", "OPENCV", "OPENCV_FISHEYE", "DIVISION", "EUCM"])
def test_a_spline_is_like_the_lens_that_it_copies(model):
    lens = LENSES[model]
    detections, _ = photograph(lens, 12)
    grid = grid_for(observe(detections, TARGET)[1], lens)
    copy, pixels = as_spline(lens, grid), over_image(lens)
    assert np.abs(copy.project(lens.unproject(pixels)) - pixels).max() < 0.5
    assert np.median(np.abs(copy.project(lens.unproject(pixels)) - pixels)) < 0.05
    assert copy.mean_focal == lens.mean_focal and np.array_equal(copy.principal_point, lens.principal_point)
    assert 8 <= grid.columns <= 20 and grid.fov_x_deg < 359


def test_what_no_formula_has_is_found():
    truth = wavy()
    detections, _ = photograph(truth, 25, 0.02)
    found = calibrate(detections, TARGET, 640, 480, CalibrateOptions(FAMILY, 0))
    plain = calibrate(detections, TARGET, 640, 480, CalibrateOptions("OPENCV_FISHEYE", 0))
    inner = over_image(truth, 0.15)
    assert 4 * apart(truth, found.camera, inner) < apart(truth, plain.camera, inner)
    assert found.rms_px < 0.03 and 3 * found.rms_px < plain.rms_px and not found.left_out
    assert np.isfinite(found.params_std).all() and found.params_std[:4].max() < 1e-3


def test_where_there_are_no_corners_the_lens_stays():
    truth = LENSES["OPENCV_FISHEYE"]
    detections, _ = photograph(truth, 25, 0.1)
    half = {}
    for name, d in detections.items():
        left = d.pixels[:, 0] < 340
        if left.sum() >= 12:
            half[name] = Detection(d.ids[left], d.pixels[left])
    assert len(half) >= 8
    found = calibrate(half, TARGET, 640, 480, CalibrateOptions(FAMILY, 0))
    plain = calibrate(half, TARGET, 640, 480, CalibrateOptions("OPENCV_FISHEYE", 0))
    pixels = over_image(truth)
    assert apart(plain.camera, found.camera, pixels[pixels[:, 0] < 320]) < 0.4
    assert apart(plain.camera, found.camera, pixels) < 1.5


def test_what_is_known_beforehand_counts_in_the_normal_equations():
    detections, poses = photograph(LENSES["OPENCV"], 3, 0.5)
    _, observations = observe(detections, TARGET)
    rng = np.random.default_rng(0)
    root = rng.standard_normal((8, 8))
    camera = LENSES["OPENCV"]
    free = Free(np.arange(8) != 2, False, Pull(camera.params + rng.standard_normal(8), root @ root.T))
    rotations, translations = np.stack([p.rotation for p in poses]), np.stack([p.translation for p in poses])

    state = BoardState(camera, rotations, translations, np.zeros(0))
    system = linearize(observations, state, free, RobustLoss())

    def cost(params):
        residuals = residuals_of(observations, replace(state, camera=camera.with_params(params)))
        away = params - free.pull.rest
        return 0.5 * np.sum(residuals**2) + 0.5 * away @ root @ root.T @ away

    assert system.cost == pytest.approx(cost(camera.params))
    steps = 1e-6 * np.eye(8)[free.params]
    slopes = [(cost(camera.params + d) - cost(camera.params - d)) / 2e-6 for d in steps]
    np.testing.assert_allclose(system.shared_gradient, slopes, rtol=1e-5, atol=1e-3)
    bare = linearize(observations, state, replace(free, pull=None), RobustLoss())
    added, expected = system.shared - bare.shared, (root @ root.T)[np.ix_(free.params, free.params)]
    np.testing.assert_allclose(added, expected, atol=1e-9 * np.abs(bare.shared).max())


def test_of_a_rig_only_the_splined_lenses_are_held():
    splined, plain = as_spline(LENSES["OPENCV"], Grid(6, 5, 80)), LENSES["OPENCV"]
    assert hold_splines([plain, plain]) is None
    held = hold_splines([plain, splined])
    assert held is not None and np.array_equal(held.rest, [*plain.params, *splined.params])
    assert not held.stiffness[:8].any() and np.linalg.eigvalsh(held.stiffness[8:, 8:]).min() > 0
    np.testing.assert_allclose(held.stiffness, held.stiffness.T)


def test_smooth_moves_cost_less_than_rough_ones():
    camera = as_spline(LENSES["PINHOLE"], GRID)
    held = hold_splines([camera])
    assert held is not None
    rng = np.random.default_rng(0)
    j, i = np.divmod(np.arange(99), 11)

    def cost(move):
        move = np.concatenate([np.zeros(4), move.ravel() / np.sqrt(np.mean(move**2))])
        return move @ held.stiffness @ move

    flat, bent, rough = (
        np.stack([i - 5, j - 4], 1),
        np.stack([(i - 5) ** 2, i * j], 1),
        rng.normal(size=(99, 2)),
    )
    assert 100 * cost(flat) < cost(bent) and 10 * cost(bent) < cost(rough)


def test_it_is_chosen_only_when_asked_for_and_by_what_counts():
    assert FAMILY not in CANDIDATES
    detections, _ = photograph(wavy(2.0), 10, 0.05)
    _, observations = observe(detections, TARGET)
    chosen, tried = choose_model(observations, 640, 480, ("OPENCV", FAMILY), 0)
    assert chosen is tried[1] and grid_of(chosen.model) and tried[1].rms_px < 0.8 * tried[0].rms_px
    again = start_lenses(observations, start_board(observations, 640, 480), chosen.model)[0]
    assert again.camera.model == chosen.model
    with pytest.raises(ValueError, match=r"model must be one of .*SPLINED_STEREOGRAPHIC; got 'SPLINED'"):
        CalibrateOptions("SPLINED")


def test_camera_json_keeps_it_and_refuses_a_grid_that_is_too_large(tmp_path):
    camera, path = wavy(), tmp_path / "camera.json"
    write_camera_json(path, camera)
    assert read_camera_json(path).camera == camera
    path.write_text(path.read_text().replace("_Nx=11_", "_Nx=11000_"))
    with pytest.raises(ValueError, match=r"camera\.json: .*2000 at most; got 11000 x 9"):
        read_camera_json(path)
    path.write_text(path.read_text().replace("_Nx=11000_", "_Nx=12_"))
    with pytest.raises(
        ValueError, match=r"camera\.json: expected params fx, fy, cx, cy, x0_0, .*\.\.\., found fx"
    ):
        read_camera_json(path)


def test_a_splined_camera_is_refused_by_name_where_kernels_run():
    with pytest.raises(ValueError, match="a reconstruction can't"):
        _ = Camera.from_focal(GRID.name, 640, 480, 500.0).model_id
