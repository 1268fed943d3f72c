"""The 3D filter: how wide, what it leaves, and its gradient."""

from dataclasses import replace

import numpy as np
import pytest

from geo3d.cameras import Camera
from geo3d.geometry import SE3
from geo3d.splat.initialisation import gaussians_at
from geo3d.splat.options import GaussianGradients
from geo3d.splat.refinement import opacities
from geo3d.splat.smoothing import Smoothing

CAMERA = Camera("PINHOLE", 100, 80, [50, 50, 50, 40])
POSES = [SE3(np.eye(3), [0.0, 0.0, distance]) for distance in (2.0, 5.0)]


def cloud():
    rng = np.random.default_rng(0)
    made = gaussians_at(rng.uniform(-0.5, 0.5, (30, 3)), rng.random((30, 3)), 0, opacity=0.7)
    made.log_scales[:] = rng.uniform(-6, -1, (30, 3))
    return made


def test_the_nearest_photo_that_sees_it_says_how_fine_it_may_be():
    smoothing = Smoothing([CAMERA] * 2, POSES)
    smoothing.measure(np.array([[0, 0, 0], [0, 0, 1.0], [3.0, 0, 0], [0, 0, -9.0]], np.float32))
    spread = np.sqrt(smoothing.variance / 0.2)
    # the third is beside the first photo, the last behind both
    np.testing.assert_allclose(spread, [2 / 50, 3 / 50, 5 / 50, 5 / 50], rtol=1e-5)


def test_what_is_fine_gets_the_filter_s_size_and_what_is_coarse_stays():
    smoothing, gaussians = Smoothing([CAMERA] * 2, POSES), cloud()
    smoothing.measure(gaussians.means)
    found = smoothing.apply(gaussians)
    before, after = np.exp(2 * gaussians.log_scales), np.exp(2 * found.log_scales)
    np.testing.assert_allclose(after, before + smoothing.variance[:, None], rtol=1e-4)
    mass = np.sqrt(before.prod(1)) * opacities(gaussians)
    np.testing.assert_allclose(np.sqrt(after.prod(1)) * opacities(found), mass, rtol=1e-3)


@pytest.mark.parametrize("name", ["log_scales", "logit_opacities"])
def test_the_gradient_is_that_of_the_filter(name):
    smoothing, gaussians = Smoothing([CAMERA] * 2, POSES), cloud()
    smoothing.measure(gaussians.means)
    rng = np.random.default_rng(2)
    scales, logits = rng.normal(size=(30, 3)).astype("f4"), rng.normal(size=30).astype("f4")

    def value(g):
        found = smoothing.apply(g)
        return float((scales * found.log_scales).sum() + (logits * found.logit_opacities).sum())

    shapes = (30, 3), (30, 4)
    gradients = GaussianGradients(
        *(np.zeros(s, "f4") for s in shapes), scales.copy(), logits.copy(), None, None, None, None, None
    )
    smoothing.back(gaussians, gradients)
    direction = rng.normal(size=getattr(gaussians, name).shape).astype("f4")
    ends = [
        value(replace(gaussians, **{name: getattr(gaussians, name) + np.float32(s) * direction}))
        for s in (1e-2, -1e-2)
    ]
    found = float((getattr(gradients, name) * direction).sum())
    assert found == pytest.approx((ends[0] - ends[1]) / 2e-2, rel=1e-2, abs=1e-2)
