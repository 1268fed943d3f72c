"""The depth of sparse points as a loss: its gradient against differences, and where it leads."""

from dataclasses import replace

import numpy as np

from geo3d.cameras import Camera
from geo3d.geometry import SE3
from geo3d.splat.depth_prior import DepthPrior
from geo3d.splat.initialisation import gaussians_at
from geo3d.splat.options import GaussianGradients

CAMERA = Camera("PINHOLE", 40, 30, [40, 40, 20, 15])
POSE = SE3.exp([0.1, -0.1, 0.0, 0.02, -0.03, 0.01])


def wall(z=3.0, seed=0):
    """Gaussians on a plane before the camera, and points on another behind it."""
    rng = np.random.default_rng(seed)
    local = np.c_[rng.uniform(-1.8, 1.8, 300), rng.uniform(-1.4, 1.4, 300), np.full(300, z)]
    return gaussians_at(POSE.inverse().act(local), np.full((300, 3), 0.5), 0, opacity=0.6)


def zeros(gaussians):
    n = len(gaussians)
    shapes = (n, 3), (n, 4), (n, 3), (n,), gaussians.sh.shape
    return GaussianGradients(
        *(np.zeros(s, np.float32) for s in shapes), np.zeros((3, 4)), np.ones(n, bool), np.ones(n), None
    )


def points(z):
    local = np.stack(np.meshgrid(np.linspace(-0.8, 0.8, 7), np.linspace(-0.6, 0.6, 6), [z]), -1).reshape(
        -1, 3
    )
    return POSE.inverse().act(local)


def test_the_loss_is_the_relative_error():
    prior = DepthPrior(1.0)
    gaussians = wall()
    assert prior.add(zeros(gaussians), gaussians, CAMERA, POSE, points(3.0)) < 1e-4
    found = prior.add(zeros(gaussians), gaussians, CAMERA, POSE, points(4.0))
    np.testing.assert_allclose(found, 0.25, atol=1e-3)


def test_the_gradient_is_that_of_the_loss():
    prior, gaussians, seen = DepthPrior(1.0), wall(), points(3.5)
    rng = np.random.default_rng(1)
    gaussians.means[:] += rng.normal(0, 0.1, gaussians.means.shape).astype(np.float32)
    gradients = zeros(gaussians)
    prior.add(gradients, gaussians, CAMERA, POSE, seen)
    for name, step in (("means", 2e-3), ("logit_opacities", 1e-2), ("log_scales", 2e-3)):
        value = getattr(gaussians, name)
        direction = rng.normal(size=value.shape).astype(np.float32)
        ends = []
        for sign in (1, -1):
            moved = replace(gaussians, **{name: value + np.float32(sign * step) * direction})
            ends.append(prior.add(zeros(gaussians), moved, CAMERA, POSE, seen))
        numeric = (ends[0] - ends[1]) / (2 * step)
        analytic = float((getattr(gradients, name) * direction).sum())
        np.testing.assert_allclose(analytic, numeric, rtol=0.05, atol=2e-3)


def test_points_that_are_not_in_the_picture_say_nothing():
    prior, gaussians = DepthPrior(1.0), wall()
    gradients = zeros(gaussians)
    assert prior.add(gradients, gaussians, CAMERA, POSE, points(-3.0)) == 0.0
    assert prior.add(gradients, gaussians, CAMERA, POSE, np.zeros((0, 3))) == 0.0
    assert not gradients.means.any()
