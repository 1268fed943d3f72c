"""Cameras found from corners of boards: exactly without noise, unbiased with it, refused where undetermined."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geo3d.calibration import CalibrateOptions, Detection, calibrate
from geo3d.calibration.board_fit import BoardState, Free, fit_board, linearize, residuals_of
from geo3d.calibration.calibrate import observe
from geo3d.calibration.start import place_boards, plane_pose, start_board, zhang_focal
from geo3d.cameras import Camera
from geo3d.geometry import SE3, SO3, rotation_angle
from geo3d.optim import RobustLoss

from .common import LENSES, TARGET, photograph

BOW = (0.002, -0.001, 0.0005)


@pytest.mark.parametrize("model", LENSES)
def test_without_noise_the_camera_is_found_exactly(model):
    truth = LENSES[model]
    detections, poses = photograph(truth, shape=BOW)
    found = calibrate(detections, TARGET, 640, 480, CalibrateOptions(model))
    assert found.rms_px < 1e-6 and not found.left_out and found.corners_left_out == 0
    grid = np.stack(np.meshgrid(np.linspace(40, 600, 8), np.linspace(40, 440, 6)), axis=-1)
    np.testing.assert_allclose(found.camera.unproject(grid), truth.unproject(grid), atol=1e-6)
    np.testing.assert_allclose(found.camera.params, truth.params, rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(found.shape, BOW, atol=1e-8)
    for rotation, translation, pose in zip(found.rotations, found.translations, poses):
        assert rotation_angle(rotation.T @ pose.rotation) < 1e-6
        np.testing.assert_allclose(translation, pose.translation, rtol=1e-5, atol=1e-7)


def test_with_noise_errors_are_as_large_as_the_deviations_say():
    truth = LENSES["OPENCV"]
    scaled = []
    for seed in range(12):
        detections, _ = photograph(truth, 12, 0.3, BOW, seed)
        found = calibrate(detections, TARGET, 640, 480, CalibrateOptions("OPENCV"))
        scaled.append((found.camera.params - truth.params) / found.params_std)
        assert found.rms_px == pytest.approx(0.3 * np.sqrt(2), rel=0.1)
    assert 0.6 < np.sqrt(np.mean(np.square(scaled))) < 1.5
    assert np.abs(np.mean(scaled, axis=0)).max() < 1.2  # of 12: four standard deviations


def test_the_order_of_photos_and_the_frame_of_the_board_do_not_matter():
    detections, _ = photograph(LENSES["OPENCV_FISHEYE"], 8, 0.2)
    options = CalibrateOptions("OPENCV_FISHEYE", 0)
    one = calibrate(detections, TARGET, 640, 480, options)
    renamed = {f"{90 - int(name[:2])}": found for name, found in detections.items()}
    two = calibrate(renamed, TARGET, 640, 480, options)
    np.testing.assert_allclose(two.camera.params, one.camera.params, rtol=1e-5, atol=1e-6)
    last = len(TARGET.points) - 1  # the board turned by half a turn
    turned = {n: Detection(np.arange(last + 1), d.pixels[::-1]) for n, d in detections.items()}
    three = calibrate(turned, TARGET, 640, 480, options)
    np.testing.assert_allclose(three.camera.params, one.camera.params, rtol=1e-5, atol=1e-6)


def test_a_wrong_photo_and_wrong_corners_are_left_out_and_counted():
    truth = LENSES["OPENCV"]
    detections, _ = photograph(truth, 12, 0.1)
    rng = np.random.default_rng(0)
    bad = detections["03.jpg"]
    detections["03.jpg"] = Detection(bad.ids, bad.pixels + rng.normal(0, 8, bad.pixels.shape))
    for name in ("05.jpg", "07.jpg"):
        detections[name].pixels[4] += 6
    found = calibrate(detections, TARGET, 640, 480, CalibrateOptions("OPENCV", 0))
    assert list(found.left_out) == ["03.jpg"] and found.corners_left_out == 2
    assert len(found.names) == 11 and found.errors_px["05.jpg"][4] > 7  # counted all the same
    np.testing.assert_allclose(found.camera.params[:4], truth.params[:4], atol=1.5)


UNDETERMINED = {
    "straight on": [((0, 0, 0), (0.01 * i, 0, 0.5 + 0.1 * i)) for i in range(5)],
    "straight on, at one distance": [((0, 0, 0), (0.02 * i - 0.04, 0.01 * i, 0.6)) for i in range(5)],
    "straight on, turned in its plane": [((0, 0, 0.4 * i), (0.01 * i, 0, 0.5 + 0.1 * i)) for i in range(5)],
    "at one tilt": [((0.5, 0.2, 0), (0.03 * i - 0.06, 0.02 * i, 0.5 + 0.07 * i)) for i in range(5)],
    "in one plane": [((0.5, 0, 0), (0.03 * i - 0.06, 0, 0.6)) for i in range(5)],
    "the same photo": [((0.5, 0.2, 0), (0, 0, 0.5))] * 5,
}


@pytest.mark.parametrize("noise_px", [0, 0.1])
@pytest.mark.parametrize("how", UNDETERMINED)
def test_photos_that_do_not_determine_a_camera_are_refused(how, noise_px):
    camera, rng = LENSES["PINHOLE"], np.random.default_rng(0)
    middle = TARGET.points.mean(axis=0)
    detections = {}
    for i, (turn, shift) in enumerate(UNDETERMINED[how]):
        pixels = camera.project((TARGET.points - middle) @ SO3.exp(np.array(turn)).matrix.T + shift)
        pixels += noise_px * rng.standard_normal(pixels.shape)
        detections[f"{i}.jpg"] = Detection(np.arange(len(pixels)), pixels)
    with pytest.raises(ValueError, match="do not determine the camera"):
        calibrate(detections, TARGET, 640, 480, CalibrateOptions("PINHOLE", 0))


def test_with_noise_a_focal_length_is_off_to_either_side_alike():
    off = []
    for seed in range(12):
        detections, _ = photograph(LENSES["EUCM"], 8, 0.2, BOW, seed)
        found = calibrate(detections, TARGET, 640, 480, CalibrateOptions("EUCM"))
        off.append((found.camera.params[:4] - LENSES["EUCM"].params[:4]) / found.params_std[:4])
    assert np.abs(np.mean(off, axis=0)).max() < 4 / np.sqrt(len(off))  # four standard errors


def test_too_few_photos_and_options_out_of_range_are_refused():
    detections, _ = photograph(LENSES["PINHOLE"], 2)
    with pytest.raises(ValueError, match="2 photos show the board"):
        calibrate(detections, TARGET, 640, 480)
    with pytest.raises(ValueError, match="model"):
        CalibrateOptions("PINHOLES")
    with pytest.raises(ValueError, match="shape_terms"):
        CalibrateOptions(shape_terms=13)
    with pytest.raises(ValueError, match="nothing to calibrate"):
        CalibrateOptions("EQUIRECTANGULAR")


@pytest.mark.parametrize("model", LENSES)
def test_normal_equations_are_those_of_finite_differences(model):
    detections, poses = photograph(LENSES[model], 3, 0.5)
    _, observations = observe(detections, TARGET)
    state = BoardState(
        LENSES[model],
        np.stack([p.rotation for p in poses]),
        np.stack([p.translation for p in poses]),
        1e-4 * np.arange(-5, 7),
    )
    free = Free(np.ones(len(state.camera.params), bool))
    loss = RobustLoss("soft_l1", 0.7)
    system = linearize(observations, state, free, loss)

    def cost(params=0.0, shape=0.0, turn=None, shift=0.0):
        rotations, translations = state.rotations.copy(), state.translations.copy()
        if turn is not None:
            rotations[1] = SO3.exp(turn).matrix @ rotations[1]
        translations[1] = translations[1] + shift
        camera = Camera(model, 640, 480, state.camera.params + params)
        moved = BoardState(camera, rotations, translations, state.shape + shape)
        return 0.5 * loss.rho(np.sum(residuals_of(observations, moved) ** 2, axis=1)).sum()

    def slope(of, size, step):
        return [(of(step * e) - of(-step * e)) / (2 * step) for e in np.eye(size)]

    count = len(state.camera.params)
    expected = [*slope(lambda d: cost(params=d), count, 1e-6), *slope(lambda d: cost(shape=d), 12, 1e-7)]
    np.testing.assert_allclose(system.shared_gradient, expected, rtol=1e-4, atol=1e-3)
    expected = [*slope(lambda d: cost(turn=d), 3, 1e-6), *slope(lambda d: cost(shift=d), 3, 1e-7)]
    np.testing.assert_allclose(system.group_gradient[1], expected, rtol=1e-4, atol=1e-3)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000))
def test_pose_of_a_plane(seed):
    rng = np.random.default_rng(seed)
    pose = SE3(SO3.exp(rng.uniform(-0.8, 0.8, 3)).matrix, [*rng.uniform(-0.2, 0.2, 2), 0.6])
    seen = pose.act(TARGET.points)
    rotation, translation = plane_pose(TARGET.points, seen / np.linalg.norm(seen, axis=1, keepdims=True))
    np.testing.assert_allclose(rotation, pose.rotation, atol=1e-7)
    np.testing.assert_allclose(translation, pose.translation, atol=1e-7)


def test_zhang_finds_the_focal_length_of_a_pinhole():
    camera = Camera("SIMPLE_PINHOLE", 640, 480, [520, 320, 240])
    detections, _ = photograph(camera, 5)
    assert zhang_focal(observe(detections, TARGET)[1], 640, 480) == pytest.approx(520, rel=1e-6)


@pytest.mark.parametrize("model", ["PINHOLE", "OPENCV", "OPENCV_FISHEYE", "DOUBLE_SPHERE"])
def test_the_start_is_near(model):
    detections, _ = photograph(LENSES[model], 8, 0.3)
    _, observations = observe(detections, TARGET)
    start = start_board(observations, 640, 480)
    error = np.linalg.norm(residuals_of(observations, start), axis=1)
    assert np.median(error) < 1.5 and start.camera.mean_focal == pytest.approx(
        LENSES[model].mean_focal, rel=0.35
    )
    placed = place_boards(observations, start.camera)
    assert placed is not None
    none = Free(np.zeros(len(start.camera.params), bool), False)
    assert fit_board(observations, placed, none).summary.converged
