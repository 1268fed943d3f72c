"""The CPU's kernels against the readable renderer, images and gradients, and what they promise beyond it."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from geo3d.cameras import Camera
from geo3d.geometry import SE3, SH_C0, Sim3
from geo3d.scene import Gaussians
from geo3d.splat import CpuRasterizer, RenderOptions, render
from geo3d.splat.edit import keep, transform
from geo3d.splat.reference import render_reference
from tests.splat.scenes import CAMERA, NAMES, POSE, as_tensors, one_gaussian, random_gaussians, select

EVERYTHING = RenderOptions(background=(0.3, 0.6, 0.1), depth=True, normals=True)
IMAGES = "color", "alpha", "depth", "median_depth", "normals"


def reference(gaussians, camera=CAMERA, pose=POSE, options=EVERYTHING):
    tensors, matrix = as_tensors(gaussians), torch.tensor(pose.matrix4(), requires_grad=True)
    return tensors, matrix, render_reference(tensors, camera, matrix, options)


def slopes(images, seed=0):
    """A random gradient by each image."""
    rng = np.random.default_rng(seed)
    return {n: rng.normal(size=i.shape).astype(np.float32) for n, i in images.items()}


def shown(rendering):
    return {n: np.array(getattr(rendering, n)) for n in IMAGES if getattr(rendering, n) is not None}


def check_images(found, expected):
    for name, image in shown(found).items():
        difference = np.abs(image - getattr(expected, name).detach().numpy())
        # A pixel at which an alpha stands within rounding of 1/255 may fall to either side.
        assert difference.max() < (2 / 255 if name in ("color", "alpha") else 0.05), name
        assert np.quantile(difference, 0.99) < 1e-4, name


def check_gradients(found, tensors, matrix):
    for name in NAMES:
        ours, theirs = getattr(found, name).ravel(), getattr(tensors, name).grad.numpy().ravel()
        assert np.corrcoef(ours, theirs)[0, 1] > 0.9999, name
        np.testing.assert_allclose(ours, theirs, atol=1e-3 * np.abs(theirs).max(), err_msg=name)
    theirs = matrix.grad.numpy()[:3]
    np.testing.assert_allclose(found.pose, theirs, atol=1e-3 * np.abs(theirs).max())


@pytest.mark.parametrize("degree", [0, 1, 2, 3])
@pytest.mark.parametrize("antialiased", [False, True])
def test_color_and_gradients_are_those_of_the_reference(degree, antialiased):
    gaussians = random_gaussians(degree=degree, seed=degree, antialiased=antialiased)
    options = RenderOptions(background=(0.3, 0.6, 0.1))
    tensors, matrix, expected = reference(gaussians, options=options)
    rasterizer = CpuRasterizer()
    found = rasterizer.forward(gaussians, CAMERA, POSE, options)
    assert found.depth is None and found.normals is None
    check_images(found, expected)
    by = slopes(shown(found))
    (
        (expected.color * torch.tensor(by["color"])).sum()
        + (expected.alpha * torch.tensor(by["alpha"])).sum()
    ).backward()
    check_gradients(rasterizer.backward(by["color"], by["alpha"]), tensors, matrix)


def test_depth_and_normals_and_their_gradients_are_those_of_the_reference():
    gaussians = random_gaussians(degree=1, seed=7, antialiased=True)
    tensors, matrix, expected = reference(gaussians)
    rasterizer = CpuRasterizer(absolute_gradients=True)
    found = rasterizer.forward(gaussians, CAMERA, POSE, EVERYTHING)
    check_images(found, expected)
    by = slopes(shown(found))
    names = "color", "alpha", "depth", "normals"
    sum((getattr(expected, n) * torch.tensor(by[n])).sum() for n in names).backward()
    gradients = rasterizer.backward(*(by[n] for n in names))
    check_gradients(gradients, tensors, matrix)
    assert (gradients.mean2d_abs >= np.abs(gradients.mean2d) * 0.9999 - 1e-5).all()
    assert gradients.mean2d_abs.max() > 2 * np.abs(gradients.mean2d).max()


def test_the_gradient_by_the_centre_in_the_image():
    gaussian = one_gaussian((0.1, 0.05, 2.0), scale=0.2)
    rasterizer = CpuRasterizer(absolute_gradients=True)
    by = np.zeros((45, 70, 3), np.float32)
    by[20, 30, 0] = 1  # a single pixel: the absolute gradient is the size of the plain one
    rasterizer.forward(gaussian, CAMERA, SE3.identity())
    gradients = rasterizer.backward(by)
    step = 1e-3  # pixels; the principal point moves the centre and nothing else
    values = []
    for sign in (1, -1):
        camera = CAMERA.with_params(CAMERA.params + np.array([0, 0, sign * step, 0]))
        values.append(
            CpuRasterizer().forward(gaussian, camera, SE3.identity()).color[20, 30, 0].astype(float)
        )
    assert gradients.mean2d[0, 0] == pytest.approx((values[0] - values[1]) / (2 * step), rel=1e-2)
    np.testing.assert_allclose(gradients.mean2d_abs, np.abs(gradients.mean2d), rtol=1e-5)
    assert gradients.visible.all()
    assert gradients.radius_px[0] == pytest.approx(3 * np.sqrt(0.04 * (55 / 2) ** 2 + 0.3), rel=0.02)


@given(st.integers(1, 60), st.integers(1, 60), st.integers(0, 1000), st.floats(-4.0, 0.5), st.floats(10, 200))
@settings(max_examples=25, deadline=None)
def test_any_size_of_image_and_gaussians(width, height, seed, log_scale, focal):
    camera = Camera("PINHOLE", width, height, [focal, 1.1 * focal, 0.4 * width, 0.6 * height])
    gaussians = random_gaussians(50, degree=1, seed=seed, log_scale=log_scale)
    *_, expected = reference(gaussians, camera)
    found = shown(CpuRasterizer().forward(gaussians, camera, POSE, EVERYTHING))
    for name in ("color", "alpha"):
        difference = np.abs(found[name] - getattr(expected, name).detach().numpy())
        assert difference.max() < 2 / 255


def test_reruns_and_numbers_of_threads_give_the_same_bits():
    gaussians = random_gaussians(3000, degree=1, seed=5)
    camera = Camera("PINHOLE", 160, 120, [150, 150, 80, 60])
    by = np.random.default_rng(0).normal(size=(120, 160, 3)).astype(np.float32)
    results = []
    for threads in (1, 2, 3, 3):
        rasterizer = CpuRasterizer(threads)
        image = rasterizer.forward(gaussians, camera, POSE).color.copy()
        results.append(
            [image, *(getattr(rasterizer.backward(by), n).copy() for n in (*NAMES, "pose", "mean2d"))]
        )
    for other in results[1:]:
        for a, b in zip(results[0], other):
            np.testing.assert_array_equal(a, b)


def test_equal_depths_keep_the_order_of_the_gaussians():
    red, green = one_gaussian((0, 0, 1), color=(1, 0, 0)), one_gaussian((0, 0, 1), color=(0, 1, 0))
    for first, second in ((red, green), (green, red)):
        both = Gaussians(*(np.concatenate([getattr(first, n), getattr(second, n)]) for n in NAMES))
        image = CpuRasterizer().forward(both, CAMERA, SE3.identity())
        assert image.color[24, 33].argmax() == (0 if first is red else 1)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_gaussian_that_is_not_finite_is_left_out(name, value):
    gaussians = random_gaussians(50, degree=1)
    spoilt = replace(gaussians, **{name: getattr(gaussians, name).copy()})
    getattr(spoilt, name)[7] = value
    rasterizer = CpuRasterizer()
    image = rasterizer.forward(spoilt, CAMERA, POSE).color.copy()
    gradients = rasterizer.backward(np.ones_like(image))
    assert np.isfinite(image).all()
    assert all(np.isfinite(getattr(gradients, n)).all() for n in (*NAMES, "pose"))
    if name == "logit_opacities" and value == np.inf:
        assert gradients.visible[7]  # an opacity of 1 is one
    elif not (name == "log_scales" and value == -np.inf):  # nor is a point of no extent
        assert not gradients.visible[7]
        rest = np.arange(50) != 7
        without = CpuRasterizer().forward(select(gaussians, rest), CAMERA, POSE).color
        np.testing.assert_array_equal(image, without)


def test_what_drops_out_of_view_has_no_gradient_left():
    gaussians = random_gaussians(200, degree=1)
    rasterizer = CpuRasterizer()
    by = np.ones((45, 70, 3), np.float32)
    rasterizer.forward(gaussians, CAMERA, POSE)
    assert np.abs(rasterizer.backward(by).means).max() > 0
    rasterizer.forward(gaussians, CAMERA, SE3.exp([50.0, 0, 3, 0, 0, 0]))
    gradients = rasterizer.backward(by)
    assert not gradients.visible.any()
    assert all(not getattr(gradients, n).any() for n in (*NAMES, "mean2d", "pose", "radius_px"))
    rasterizer.forward(select(gaussians, slice(0, 90)), CAMERA, POSE)  # fewer: rows mean others now
    fresh = CpuRasterizer()
    fresh.forward(select(gaussians, slice(0, 90)), CAMERA, POSE)
    np.testing.assert_array_equal(rasterizer.backward(by).sh, fresh.backward(by).sh)


def test_lower_degrees_leave_the_rest_out():
    gaussians = random_gaussians(100, degree=3)
    low = replace(gaussians, sh=np.ascontiguousarray(gaussians.sh[:, :4]))
    rasterizer = CpuRasterizer()
    one = rasterizer.forward(gaussians, CAMERA, POSE, RenderOptions(sh_degree=1)).color.copy()
    assert not rasterizer.backward(np.ones_like(one)).sh[:, 4:].any()
    np.testing.assert_array_equal(one, CpuRasterizer().forward(low, CAMERA, POSE).color)


@given(st.integers(0, 1000), st.booleans())
@settings(max_examples=10)
def test_order_and_rigid_motion_change_nothing_and_no_light_is_added(seed, antialiased):
    rng = np.random.default_rng(seed)
    gaussians = random_gaussians(120, degree=3, seed=seed, antialiased=antialiased)
    options = RenderOptions(backend="cpu", background=(1, 1, 1), depth=True)
    image = render(gaussians, CAMERA, POSE, options)
    shuffled = render(keep(gaussians, rng.permutation(120)), CAMERA, POSE, options)
    move = SE3.exp(rng.normal(size=6))
    moved = transform(gaussians, Sim3(np.array(1.0), move.rotation, move.translation))
    along = render(moved, CAMERA, POSE @ move.inverse(), options)
    for name, most in (("color", 1e-4), ("alpha", 1e-4), ("depth", 1e-3)):
        for other in (shuffled, along):
            # Alpha may fall to either side of 1/255, and depths that are equal in float32 keep the order they have.
            assert np.quantile(np.abs(getattr(other, name) - getattr(image, name)), 0.99) < most
    white = replace(gaussians, sh=np.zeros_like(gaussians.sh))
    white.sh[:, 0] = 0.5 / SH_C0
    np.testing.assert_allclose(render(white, CAMERA, POSE, options).color, 1, atol=1e-5)


@pytest.mark.parametrize("mean", [(0, 0, -2.0), (0, 0, 0.005), (9.0, 0, 2.0), (0, -9.0, 2.0)])
def test_what_is_behind_or_beside_the_camera_is_not_seen(mean):
    image = render(one_gaussian(mean), CAMERA, SE3.identity(), RenderOptions(backend="cpu"))
    assert image.alpha.max() == 0 and image.color.max() == 0


def test_no_gaussians():
    image = CpuRasterizer().forward(select(random_gaussians(3), slice(0, 0)), CAMERA, POSE, EVERYTHING)
    np.testing.assert_allclose(image.color, np.broadcast_to((0.3, 0.6, 0.1), (45, 70, 3)), rtol=1e-6)
    assert not image.alpha.any() and not image.depth.any()


def test_too_much_to_sort_is_told_before_the_memory_is_gone():
    huge = random_gaussians(40_000, degree=0, log_scale=3.0)
    camera = Camera("PINHOLE", 2000, 2000, [1500, 1500, 1000, 1000])
    with pytest.raises(MemoryError, match=r"Gaussians cover \d+ tiles .* render it in parts"):
        CpuRasterizer().forward(huge, camera, POSE)


def test_what_the_user_gets_wrong():
    rasterizer = CpuRasterizer()
    with pytest.raises(ValueError, match="forward first"):
        rasterizer.backward(np.zeros((45, 70, 3), np.float32))
    rasterizer.forward(random_gaussians(5), CAMERA, POSE)
    with pytest.raises(ValueError, match=r"d_color: expected the shape \(45, 70, 3\)"):
        rasterizer.backward(np.zeros((70, 45, 3), np.float32))
    with pytest.raises(ValueError, match="rendered neither"):
        rasterizer.backward(np.zeros((45, 70, 3), np.float32), d_depth=np.zeros((45, 70), np.float32))
    for bad in ({"backend": "gpu"}, {"near": 0.0}, {"sh_degree": 4}, {"background": (0, 0)}):
        with pytest.raises(ValueError, match=next(iter(bad))):
            RenderOptions(**bad)
