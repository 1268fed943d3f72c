"""The readable renderer against closed forms, invariances and finite differences."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from geo3d.geometry import SE3, SO3
from geo3d.scene import Gaussians
from geo3d.splat import RenderOptions
from geo3d.splat.reference import render_reference
from tests.splat.scenes import CAMERA, NAMES, POSE, as_tensors, one_gaussian, random_gaussians, select

EVERYTHING = RenderOptions(background=(0.3, 0.6, 0.1), depth=True, normals=True)
IMAGES = "color", "alpha", "depth", "median_depth", "normals"


def render(gaussians, pose=POSE, options=EVERYTHING, camera=CAMERA):
    with torch.no_grad():
        matrix = torch.tensor(pose.matrix4())
        return render_reference(as_tensors(gaussians), camera, matrix, options)


def test_one_gaussian_is_the_closed_form():
    gaussian = one_gaussian(mean=(0.2, -0.1, 2.0), scale=0.1, opacity=0.8)
    image = render(gaussian, SE3.identity())
    fx, fy, cx, cy = CAMERA.params
    x, y, z = gaussian.means[0].astype(float)
    jacobian = np.array([[fx / z, 0, -fx * x / z**2], [0, fy / z, -fy * y / z**2]])
    covariance = 0.01 * jacobian @ jacobian.T + 0.3 * np.eye(2)
    columns, rows = np.meshgrid(np.arange(70) + 0.5, np.arange(45) + 0.5)
    d = np.stack([columns - (fx * x / z + cx), rows - (fy * y / z + cy)], -1)
    alpha = 0.8 * np.exp(-0.5 * np.einsum("hwi,ij,hwj->hw", d, np.linalg.inv(covariance), d))
    alpha[alpha < 1 / 255] = 0
    assert 0.5 < alpha.max() < 0.8 and (alpha == 0).mean() > 0.5
    np.testing.assert_allclose(image.alpha, alpha, atol=1e-6)
    expected = alpha[..., None] * [0.9, 0.5, 0.2] + (1 - alpha[..., None]) * [0.3, 0.6, 0.1]
    np.testing.assert_allclose(image.color, expected, atol=1e-6)
    np.testing.assert_allclose(image.depth, np.where(alpha > 0, z, 0), atol=1e-6)
    np.testing.assert_allclose(image.median_depth, np.where(alpha >= 0.5, z, 0), atol=1e-6)


def test_two_layers_are_blended_front_to_back():
    near, far = one_gaussian((0, 0, 1), 1.0, 0.6, (1, 0, 0)), one_gaussian((0, 0, 2), 2.0, 0.9, (0, 1, 0))
    both = Gaussians(*(np.concatenate([getattr(far, n), getattr(near, n)]) for n in NAMES))
    image = render(both, SE3.identity())
    a, b = (render(g, SE3.identity()).alpha[24, 33].item() for g in (near, far))
    expected = a * np.array([1, 0, 0]) + (1 - a) * b * np.array([0, 1, 0])
    expected += (1 - a) * (1 - b) * np.array([0.3, 0.6, 0.1])
    np.testing.assert_allclose(image.color[24, 33], expected, atol=1e-6)
    np.testing.assert_allclose(image.depth[24, 33], (a + 2 * (1 - a) * b) / (1 - (1 - a) * (1 - b)))
    assert image.median_depth[24, 33] == 1


@given(st.integers(0, 1000))
@settings(max_examples=10, deadline=None)
def test_the_order_of_the_gaussians_does_not_matter(seed):
    gaussians = random_gaussians(40, seed=seed)
    shuffled = select(gaussians, np.random.default_rng(seed).permutation(40))
    one, other = render(gaussians), render(shuffled)
    for name in IMAGES:
        torch.testing.assert_close(getattr(one, name), getattr(other, name))


@given(st.integers(0, 1000))
@settings(max_examples=10, deadline=None)
def test_a_rigid_motion_of_scene_and_camera_changes_nothing(seed):
    rng = np.random.default_rng(seed)
    motion = SE3.exp(rng.normal(size=6))
    gaussians = random_gaussians(40, degree=0, seed=seed)
    turned = np.array(
        [(SO3(motion.rotation) @ SO3.from_quaternion(q)).quaternion() for q in gaussians.quaternions]
    )
    moved = replace(
        gaussians,
        means=motion.act(gaussians.means.astype(float)).astype(np.float32),
        quaternions=turned.astype(np.float32),
    )
    one, other = render(gaussians), render(moved, POSE @ motion.inverse())
    for name in IMAGES:
        torch.testing.assert_close(getattr(one, name), getattr(other, name), atol=2e-3, rtol=0)


@pytest.mark.parametrize("antialiased", [False, True])
def test_gradients_are_those_of_finite_differences(antialiased):
    gaussians = as_tensors(random_gaussians(6, seed=3, antialiased=antialiased, log_scale=-1.5))
    pose = torch.tensor(POSE.matrix4(), requires_grad=True)
    weights = torch.tensor(np.random.default_rng(0).normal(size=(45, 70)))

    def loss(*parameters):
        *parts, matrix = parameters
        image = render_reference(
            Gaussians(*parts, antialiased=antialiased), CAMERA, matrix, replace(EVERYTHING, near=0.02)
        )
        # Soft thresholds stand in no smooth loss: weigh the edge pixels, whose alpha jumps at 1/255, with nothing.
        inside = (image.alpha > 0.05).detach()
        channels = image.color.sum(-1) + image.depth + image.normals[..., 0] - image.normals[..., 2]
        return torch.where(inside, weights * (channels + image.alpha), 0.0).sum()

    inputs = [*(getattr(gaussians, n) for n in NAMES), pose]
    loss(*inputs).backward()
    rng = np.random.default_rng(1)
    for k, tensor in enumerate(inputs):
        direction = torch.tensor(rng.normal(size=tensor.shape))
        if k == len(inputs) - 1:
            direction[3] = 0
        step = 1e-6
        values = []
        for sign in (1, -1):
            changed = [t.detach() + (sign * step * direction if j == k else 0) for j, t in enumerate(inputs)]
            values.append(loss(*changed).item())
        assert tensor.grad is not None
        slope = (tensor.grad * direction).sum().item()
        assert (values[0] - values[1]) / (2 * step) == pytest.approx(slope, rel=2e-4, abs=1e-5)


@given(st.integers(0, 1000), st.booleans())
@settings(max_examples=10, deadline=None)
def test_energy_is_not_above_one(seed, antialiased):
    gaussians = random_gaussians(60, degree=0, seed=seed, antialiased=antialiased, log_scale=-1.0)
    white = replace(gaussians, sh=np.full_like(gaussians.sh, 0.5 / 0.28209479177387814))
    image = render(white, options=RenderOptions(background=(1, 1, 1)))
    np.testing.assert_allclose(image.color, 1, atol=1e-6)  # white before white: all light is there once
    assert image.alpha.min() >= 0 and image.alpha.max() < 1


@pytest.mark.parametrize("mean", [(0, 0, -2.0), (0, 0, 0.005), (9.0, 0, 2.0), (0, -9.0, 2.0)])
def test_what_is_behind_or_beside_the_camera_is_not_seen(mean):
    image = render(one_gaussian(mean), SE3.identity())
    assert image.alpha.max() == 0
    np.testing.assert_allclose(image.color, np.broadcast_to((0.3, 0.6, 0.1), (45, 70, 3)))
