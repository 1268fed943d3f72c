"""Other lenses than pinholes: the unscented transform, and the orthographic camera."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from geo3d.cameras import Camera
from geo3d.geometry import SE3
from geo3d.splat import CpuRasterizer, OrthographicCamera, RenderOptions, render
from geo3d.splat.reference import render_reference
from geo3d.splat.unscented import backward_by_numpy, lens_backward, project_by_numpy, project_lens
from geo3d.util.crew import Crew
from tests.splat.scenes import CAMERA, NAMES, POSE, as_tensors, one_gaussian, random_gaussians

EVERYTHING = RenderOptions(backend="cpu", background=(0.3, 0.6, 0.1), depth=True, normals=True)
LENSES = {
    "fisheye": Camera("OPENCV_FISHEYE", 70, 45, [20, 21, 33, 24, 0.02, -0.01, 0.003, 0.001]),
    "wide": Camera("EUCM", 70, 45, [20, 21, 33, 24, 0.6, 1.1]),
    "distorted": Camera("OPENCV", 70, 45, [50, 55, 33, 24, 0.05, -0.02, 0.003, 0.001]),
    "orthographic": OrthographicCamera(70, 45, 18.0, (33.0, 24.0)),
}


def arrays(gaussians):
    return tuple(getattr(gaussians, n) for n in NAMES)


@pytest.mark.parametrize("lens", LENSES)
def test_images_and_gradients_are_those_of_the_reference(lens):
    gaussians = random_gaussians(200, degree=1, seed=3, antialiased=lens != "wide", log_scale=-2.3)
    tensors, matrix = as_tensors(gaussians), torch.tensor(POSE.matrix4(), requires_grad=True)
    expected = render_reference(tensors, LENSES[lens], matrix, EVERYTHING)
    rasterizer = CpuRasterizer()
    found = rasterizer.forward(gaussians, LENSES[lens], POSE, EVERYTHING)
    rng = np.random.default_rng(1)
    slopes, loss = [], torch.tensor(0.0)
    for name in ("color", "alpha", "depth", "normals"):
        ours, theirs = getattr(found, name), getattr(expected, name)
        difference = np.abs(ours - theirs.detach().numpy())
        assert difference.max() < (2 / 255 if name in ("color", "alpha") else 0.05), name
        assert np.quantile(difference, 0.99) < 1e-4, name
        slopes.append(rng.normal(size=ours.shape).astype(np.float32))
        loss = loss + (theirs * torch.tensor(slopes[-1])).sum()
    assert found.alpha.max() > 0.5
    loss.backward()
    gradients = rasterizer.backward(*slopes)
    for name in NAMES:
        ours, theirs = getattr(gradients, name), getattr(tensors, name).grad.numpy()
        np.testing.assert_allclose(ours, theirs, atol=1e-3 * np.abs(theirs).max(), err_msg=name)
    theirs = matrix.grad.numpy()[:3]
    np.testing.assert_allclose(gradients.pose, theirs, atol=1e-3 * np.abs(theirs).max())


@given(st.floats(-0.5, 0.5), st.floats(-0.3, 0.3), st.integers(0, 1000))
@settings(max_examples=20, deadline=None)
def test_a_small_gaussian_through_a_pinhole_is_the_pinholes(x, y, seed):
    rng = np.random.default_rng(seed)
    mean = np.array([2 * x, 2 * y, 2.0])
    errors = []
    for scale in (0.04, 0.02):  # twice as small: the next order is four times as small
        shape = scale * np.array([1, 0.6, 0.3])
        gaussian = one_gaussian(mean, shape, quaternion=rng.normal(size=4))
        rng = np.random.default_rng(seed)
        u, v, xx, xy, yy, *_ = project_lens(CAMERA, SE3.identity(), arrays(gaussian), 0.01)[0].astype(float)
        fx, fy, cx, cy = CAMERA.params
        jacobian = np.array([[fx, 0, -fx * x], [0, fy, -fy * y]]) / 2
        turn = SE3.from_quaternion_translation(gaussian.quaternions[0], np.zeros(3)).rotation
        exact = jacobian @ turn @ np.diag(shape**2) @ turn.T @ jacobian.T
        errors.append(
            [
                np.hypot(u - fx * x - cx, v - fy * y - cy),
                np.abs(exact - [[xx, xy], [xy, yy]]).max() / exact.max(),
            ]
        )
    assert errors[0][0] < 0.1 and errors[0][1] < 0.02
    assert np.all(np.array(errors[1]) < 0.35 * np.array(errors[0]) + 1e-4)


@pytest.mark.parametrize("lens", LENSES)
@pytest.mark.parametrize("mean", [(0.3, 0.2, 1.5), (-1.0, 0.4, 1.2)])
def test_the_ellipse_is_that_of_many_points_through_the_lens(lens, mean):
    gaussian = one_gaussian(mean, (0.12, 0.05, 0.1), quaternion=(0.9, 0.2, -0.3, 0.1))
    u, v, xx, xy, yy, *_ = project_lens(LENSES[lens], SE3.identity(), arrays(gaussian), 0.01)[0]
    turn = SE3.from_quaternion_translation(gaussian.quaternions[0], np.zeros(3)).rotation
    draws = np.random.default_rng(0).normal(size=(400_000, 3)) * [0.12, 0.05, 0.1]
    pixels = LENSES[lens].project(np.array(mean) + draws @ turn.T)
    np.testing.assert_allclose([u, v], pixels.mean(axis=0), atol=0.05)
    np.testing.assert_allclose([[xx, xy], [xy, yy]], np.cov(pixels.T), atol=0.03 * np.cov(pixels.T).max())


def test_a_fisheye_sees_behind_itself():
    lens = Camera("OPENCV_FISHEYE", 200, 200, [50, 50, 100, 100, 0, 0, 0, 0])
    mean = np.array([np.sin(1.8), 0, np.cos(1.8)])  # 103 degrees off the axis
    image = render(one_gaussian(mean, 0.05), lens, SE3.identity(), EVERYTHING)
    row, column = np.unravel_index(image.alpha.argmax(), image.alpha.shape)
    assert (column, row) == (190, 99) or (column, row) == (189, 99) or (column, row) == (190, 100)
    assert image.depth[row, column] == pytest.approx(np.cos(1.8), rel=1e-4)


def test_a_distorted_image_is_the_undistorted_one_distorted():
    distorted = Camera("SIMPLE_RADIAL", 120, 90, [100, 60, 45, -0.15])
    gaussians = random_gaussians(300, degree=0, seed=1, log_scale=-3.0)
    ours = render(gaussians, distorted, POSE, EVERYTHING).color
    wide = Camera("PINHOLE", 360, 270, [200, 200, 180, 135])
    plain = render(gaussians, wide, POSE, EVERYTHING).color
    rows, columns = np.mgrid[:90, :120] + 0.5
    there = wide.project(distorted.unproject(np.stack([columns, rows], -1)))
    nearest = plain[tuple(np.clip(there[..., ::-1].astype(int), 0, [269, 359]).reshape(-1, 2).T)].reshape(
        90, 120, 3
    )
    assert np.corrcoef(ours.ravel(), nearest.ravel())[0, 1] > 0.97


def test_orthographic_size_does_not_depend_on_the_distance():
    camera = OrthographicCamera(101, 101, scale_px=40.0)
    images = [
        render(one_gaussian((0, 0, z), 0.3), camera, SE3.identity(), EVERYTHING).alpha for z in (1.0, 50.0)
    ]
    np.testing.assert_allclose(images[0], images[1], atol=1e-6)
    x = (np.arange(101) - 50) / 40
    expected = 0.8 * np.exp(-0.5 * x**2 / (0.3**2 + 0.3 / 40**2))
    np.testing.assert_allclose(images[0][50], np.where(expected < 1 / 255, 0, expected), atol=1e-4)


def test_orthographic_colours_are_seen_along_the_axis():
    gaussians = random_gaussians(1, degree=3)
    camera = OrthographicCamera(64, 64, scale_px=10.0)
    colours = []
    for x in (-2.0, 2.0):
        one = replace(
            gaussians, means=np.array([[x, 0, 5]], np.float32), logit_opacities=np.full(1, 9, np.float32)
        )
        image = render(one, camera, SE3.identity(), EVERYTHING)
        colours.append(image.color[tuple(np.argwhere(image.alpha == image.alpha.max())[0])])
    np.testing.assert_allclose(colours[0], colours[1], atol=1e-4)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_numbers_that_are_not_finite_are_left_out(value):
    gaussians = random_gaussians(50, degree=0)
    for name in NAMES:
        spoilt = replace(gaussians, **{name: getattr(gaussians, name).copy()})
        getattr(spoilt, name)[3] = value
        rasterizer = CpuRasterizer()
        image = rasterizer.forward(spoilt, LENSES["fisheye"], POSE).color.copy()
        assert np.isfinite(image).all()
        assert np.isfinite(rasterizer.backward(np.ones_like(image)).means).all()


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="EQUIRECTANGULAR"):
        render(random_gaussians(3), Camera.from_focal("EQUIRECTANGULAR", 80, 40, 1.0), POSE, EVERYTHING)
    with pytest.raises(ValueError, match="scale_px: expected a number above 0"):
        OrthographicCamera(10, 10, 0.0)


@pytest.mark.parametrize("lens", ["fisheye", "wide", "distorted"])
@pytest.mark.parametrize("threads", [1, 3])
def test_the_kernels_compute_what_numpy_does(lens, threads):
    rng, camera = np.random.default_rng(5), LENSES[lens]
    gaussians = random_gaussians(1300, degree=0, seed=4, log_scale=-1.5)
    gaussians.means[:200] = rng.normal(size=(200, 3)) * 3  # around the camera and behind it
    gaussians.quaternions[:] *= rng.uniform(0.3, 3.0, (1300, 1)).astype(np.float32)
    gaussians.quaternions[7] = 0.0
    gaussians.means[8, 1] = np.inf
    gaussians.log_scales[9, 2] = np.nan
    given = arrays(gaussians)
    ours = project_lens(camera, POSE, given, 0.2, Crew(threads))
    theirs = project_by_numpy(camera, POSE, given, 0.2)
    seen = np.isfinite(theirs[:, 6])
    np.testing.assert_array_equal(np.isfinite(ours[:, 6]), seen)
    assert np.count_nonzero(seen) > 1000 and not seen[[7, 8, 9]].any()
    np.testing.assert_allclose(ours[seen], theirs[seen], rtol=1e-5, atol=1e-5)
    rows = np.flatnonzero(seen)
    slopes = rng.normal(size=(len(rows), 5)).astype(np.float32)
    found = []
    for backward, crew in ((lens_backward, (Crew(threads),)), (backward_by_numpy, ())):
        outputs = {name: np.zeros_like(array) for name, array in zip(NAMES, given[:3])}
        pose = backward(camera, POSE, given, rows, slopes, outputs, *crew)
        found.append((*outputs.values(), pose))
    for one, other in zip(*found):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5 * np.abs(other).max())
