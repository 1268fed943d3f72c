"""`render`: the choice of a backend, arrays and tensors, what autograd makes of it, and its errors."""

import logging
from dataclasses import replace

import numpy as np
import pytest
import torch

from geo3d.gpu import why_not
from geo3d.gpu.backend import best_backend
from geo3d.splat import CpuRasterizer, RenderOptions, render
from tests.splat.scenes import CAMERA, NAMES, POSE, as_tensors, random_gaussians

CPU = RenderOptions(backend="cpu", depth=True, normals=True)
IMAGES = "color", "alpha", "depth", "median_depth", "normals"


def loss_of(images):
    rng = np.random.default_rng(0)
    return sum(
        (getattr(images, n) * torch.tensor(rng.normal(size=getattr(images, n).shape))).sum()
        for n in IMAGES
        if n != "median_depth"
    )


def test_arrays_in_arrays_out_of_any_backend():
    gaussians = random_gaussians(100, degree=2)
    before = render(gaussians, CAMERA, POSE, CPU)
    for options in (replace(CPU, backend="reference"), CPU):
        images = render(gaussians, CAMERA, POSE.matrix4(), options)
        for name in IMAGES:
            found = getattr(images, name)
            assert isinstance(found, np.ndarray) and found.dtype == np.float32
            np.testing.assert_allclose(found, getattr(before, name), atol=1e-3)
    assert render(gaussians, CAMERA, POSE, RenderOptions(backend="cpu")).depth is None


def test_images_stay_when_the_next_is_rendered():
    first = render(random_gaussians(100, seed=1), CAMERA, POSE, CPU)
    kept = first.color.copy()
    render(random_gaussians(100, seed=2), CAMERA, POSE, CPU)
    np.testing.assert_array_equal(first.color, kept)


def test_tensors_are_differentiated_through_the_kernels():
    gaussians = random_gaussians(200, degree=2, seed=4, antialiased=True)
    found = {}
    for backend in ("cpu", "reference"):
        tensors = as_tensors(gaussians, torch.float32 if backend == "cpu" else torch.float64)
        pose = torch.tensor(POSE.matrix4(), requires_grad=True)
        images = render(tensors, CAMERA, pose, replace(CPU, backend=backend))
        assert images.color.dtype == tensors.means.dtype
        assert not images.median_depth.requires_grad
        loss_of(images).backward()
        found[backend] = [*(getattr(tensors, n).grad for n in NAMES), pose.grad]
    for ours, theirs in zip(found["cpu"], found["reference"]):
        assert torch.corrcoef(torch.stack([ours.double().ravel(), theirs.double().ravel()]))[0, 1] > 0.9999
    assert not found["cpu"][-1][3].any()  # the fixed row


def test_graphs_that_live_side_by_side_or_are_used_twice():
    scenes = [as_tensors(random_gaussians(60, seed=s), torch.float32) for s in (1, 2, 3)]
    losses = [loss_of(render(s, CAMERA, POSE, CPU)) for s in scenes]
    for loss in losses:
        loss.backward(retain_graph=True)
    once = [s.means.grad.clone() for s in scenes]
    losses[0].backward()
    torch.testing.assert_close(scenes[0].means.grad, 2 * once[0])
    for scene, gradient in zip(scenes, once):
        again = as_tensors(scene, torch.float32)
        loss_of(render(again, CAMERA, POSE, CPU)).backward()
        torch.testing.assert_close(again.means.grad, gradient)


def test_a_loss_of_the_alpha_alone():
    tensors = as_tensors(random_gaussians(60), torch.float32)
    render(tensors, CAMERA, POSE, RenderOptions(backend="cpu")).alpha.sum().backward()
    assert tensors.logit_opacities.grad.abs().max() > 0
    assert not tensors.sh.grad.any()


def test_gradient_descent_finds_the_camera_back():
    gaussians = as_tensors(random_gaussians(300, degree=0, seed=2), torch.float32, requires_grad=False)
    target = render(gaussians, CAMERA, POSE, RenderOptions(backend="cpu")).color
    shift = torch.tensor([0.05, -0.03, 0.1], requires_grad=True)
    optimiser = torch.optim.Adam([shift], lr=0.01)
    for _ in range(60):
        pose = torch.tensor(POSE.matrix4(), dtype=torch.float32)
        pose[:3, 3] += shift
        loss = (render(gaussians, CAMERA, pose, RenderOptions(backend="cpu")).color - target).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert shift.detach().abs().max() < 0.01


def test_the_choice_is_said_once(caplog):
    best_backend.cache_clear()
    gaussians = random_gaussians(10)
    with caplog.at_level(logging.INFO, "geo3d"):
        images = [render(gaussians, CAMERA, POSE) for _ in range(2)]
    assert len([r for r in caplog.records if "rendering on the" in r.message]) == 1
    assert isinstance(images[0].color, np.ndarray)


@pytest.mark.skipif(why_not() is None, reason="a GPU is here")
def test_cuda_that_cannot_run_says_why():
    with pytest.raises(RuntimeError, match=r'"cuda" cannot run here: .*"cpu" or "auto"'):
        render(random_gaussians(3), CAMERA, POSE, RenderOptions(backend="cuda"))


def test_numbers_that_are_not_finite_are_named():
    gaussians = random_gaussians(20)
    gaussians.log_scales[[3, 5], 1] = np.nan
    for given in (gaussians, as_tensors(gaussians, torch.float32)):
        with pytest.raises(ValueError, match=r"log_scales.* 2 of 20 rows .*row 3"):
            render(given, CAMERA, POSE, CPU)


def test_a_pose_of_another_shape_is_refused():
    with pytest.raises(ValueError, match=r"cam_from_world: expected an SE3 or a \(4, 4\)"):
        render(random_gaussians(3), CAMERA, np.eye(3), CPU)


def test_the_image_of_render_is_that_of_the_rasterizer():
    gaussians = random_gaussians(100)
    expected = CpuRasterizer().forward(gaussians, CAMERA, POSE, CPU)
    np.testing.assert_array_equal(render(gaussians, CAMERA, POSE, CPU).color, expected.color)
