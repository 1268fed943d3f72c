"""Loss and optimiser on the GPU, in the emulator, beside those of the CPU."""

import numpy as np
import pytest
import torch

from geo3d.scene import Gaussians
from geo3d.splat.adam import LearningRates, SparseAdam
from geo3d.splat.cuda_adam import CudaAdam
from geo3d.splat.cuda_frame import KERNELS
from geo3d.splat.cuda_loss import photometric_loss
from geo3d.splat.cuda_rasterizer import CudaRasterizer
from geo3d.splat.loss import photometric_loss as cpu_loss
from geo3d.splat.options import GaussianGradients, RenderOptions
from tests.gpu.emulator import COMPILER, EmulatedLauncher
from tests.splat.test_cuda_rasterizer import CAMERA, NAMES, POSE, scene

pytestmark = pytest.mark.skipif(COMPILER is None, reason="needs g++, which compiles the kernels here")

RATES = LearningRates(means=1e-2)


@pytest.mark.parametrize("size", [(37, 53), (16, 16), (5, 7)])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("ssim_weight", [0.0, 0.2, 1.0])
def test_the_loss_is_that_of_the_cpu(size, masked, ssim_weight):
    rng = np.random.default_rng(0)
    image, target = rng.random((2, *size, 3), np.float32)
    target[: size[0] // 2] = image[: size[0] // 2] * 0.9 + 0.05
    mask = (rng.random(size) > 0.3).astype(np.float32) if masked else None
    expected = cpu_loss(image, target, mask, ssim_weight)
    tensors = [None if a is None else torch.from_numpy(a) for a in (image, target, mask)]
    for order in (0, 2):
        found = photometric_loss(EmulatedLauncher(KERNELS, order), *tensors, ssim_weight)
        assert float(found.loss) == pytest.approx(expected.loss, abs=2e-6)
        assert float(found.l1) == pytest.approx(expected.l1, abs=2e-6)
        assert float(found.ssim) == pytest.approx(expected.ssim, abs=2e-6)
        scale = np.abs(expected.d_image).max()
        np.testing.assert_allclose(found.d_image.numpy() / scale, expected.d_image / scale, atol=2e-4)


@pytest.mark.parametrize(
    ("shapes", "weight", "words"),
    [
        (((4, 5, 3), (5, 4, 3), None), 0.2, "image, target"),
        (((4, 5, 3), (4, 5, 3), (5, 4)), 0.2, "mask"),
        (((4, 5, 3), (4, 5, 3), None), 1.5, "ssim_weight"),
    ],
)
def test_a_loss_of_unlike_images_is_refused(shapes, weight, words):
    tensors = [None if shape is None else torch.zeros(shape) for shape in shapes]
    with pytest.raises(ValueError, match=words):
        photometric_loss(EmulatedLauncher(KERNELS), *tensors, weight)


def numpy_copy(g: Gaussians) -> Gaussians:
    return Gaussians(*(getattr(g, name).numpy().copy() for name in NAMES), g.antialiased)


def numpy_gradients(gradients: GaussianGradients) -> GaussianGradients:
    return GaussianGradients(**{k: v.numpy() for k, v in vars(gradients).items()})


def test_steps_are_those_of_the_cpu():
    """Three steps from two poses: some Gaussians are seen by one of them only and count their own steps."""
    g = scene(60, seed=2, antialiased=True)
    ours, theirs = Gaussians(*(getattr(g, n).clone() for n in NAMES), True), numpy_copy(g)
    rasterizer = CudaRasterizer(EmulatedLauncher(KERNELS))
    on_gpu, on_cpu = CudaAdam(ours), SparseAdam(theirs)
    turned = type(POSE).exp([0.9, 0.0, 0.0, 0.0, 0.3, 0.0]) @ POSE
    d_color = torch.from_numpy(np.random.default_rng(1).normal(size=(37, 53, 3)).astype(np.float32))
    for pose in (POSE, turned, POSE):
        rasterizer.forward(ours, CAMERA, pose, RenderOptions(sh_degree=2))
        gradients = rasterizer.backward(d_color)
        assert rasterizer.frame is not None
        d_pose = on_gpu.step(
            rasterizer.launch, ours, rasterizer.frame, rasterizer.image_gradients(d_color), RATES
        )
        assert torch.equal(d_pose, gradients.pose)
        on_cpu.step(theirs, numpy_gradients(gradients), RATES)
        assert np.array_equal(on_gpu.steps.numpy(), on_cpu.steps)
        np.testing.assert_allclose(on_gpu.m.numpy(), on_cpu.m, rtol=1e-4, atol=1e-7 * np.abs(on_cpu.m).max())
        np.testing.assert_allclose(on_gpu.v.numpy(), on_cpu.v, rtol=1e-4, atol=1e-7 * np.abs(on_cpu.v).max())
        for name in NAMES:
            moved = np.abs(getattr(theirs, name) - getattr(g, name).numpy()).max()
            assert moved > 0
            found = getattr(ours, name).numpy()
            np.testing.assert_allclose(found, getattr(theirs, name), atol=1e-3 * moved)
            getattr(theirs, name)[...] = found  # rounding would grow from step to step
    assert set(on_gpu.steps.tolist()) >= {0, 1, 2, 3} or set(on_gpu.steps.tolist()) >= {0, 2, 3}


def test_regularisers_are_gradients_of_mean_opacity_and_scale():
    g = scene(40, seed=6, degree=0)
    rasterizer = CudaRasterizer(EmulatedLauncher(KERNELS))
    rasterizer.forward(g, CAMERA, POSE)
    frame = rasterizer.frame
    assert frame is not None
    gradients = rasterizer.image_gradients(torch.zeros(37, 53, 3))
    adam = CudaAdam(g)
    o, s = torch.sigmoid(g.logit_opacities), torch.exp(g.log_scales)
    adam.step(rasterizer.launch, g, frame, gradients, RATES, opacity_weight=0.3, scale_weight=0.2)
    seen = frame.tile_counts > 0
    expected = 0.1 * torch.cat([0.2 * s, (0.3 * o * (1 - o))[:, None]], 1)
    torch.testing.assert_close(adam.m[seen, 7:11], expected[seen])
    assert not adam.m[~seen].any() and seen.any() and not seen.all()


def test_the_state_follows_a_change_of_the_gaussians():
    g = scene(4, degree=0)
    adam = CudaAdam(g)
    adam.steps += torch.arange(1, 5, dtype=torch.int32)
    adam.m += torch.arange(1.0, 5.0)[:, None]
    adam.rearrange(torch.tensor([2, -1, 0]))
    assert adam.steps.tolist() == [3, 0, 1] and adam.m[:, 0].tolist() == [3.0, 0.0, 1.0]
    with pytest.raises(ValueError, match="expected 3, as the state has, got 4"):
        adam.step(EmulatedLauncher(KERNELS), g, None, None, RATES)


def test_training_brings_a_picture_back():
    """The whole step of a trainer on the GPU's kernels: what was rendered from other colours and places is found."""
    goal = scene(60, seed=11, degree=0, opacity=1.0)
    launch = EmulatedLauncher(KERNELS)
    rasterizer = CudaRasterizer(launch)
    target = rasterizer.forward(goal, CAMERA, POSE, differentiable=False).color
    rng = torch.Generator().manual_seed(0)
    start = Gaussians(*(getattr(goal, name).clone() for name in NAMES))
    start.means += 0.03 * torch.randn(start.means.shape, generator=rng)
    start.sh += 0.3 * torch.randn(start.sh.shape, generator=rng)
    adam, losses = CudaAdam(start), []
    rates = LearningRates(means=4e-3, sh_0=3e-2)
    for _ in range(15):
        image = rasterizer.forward(start, CAMERA, POSE).color
        loss = photometric_loss(launch, image, target)
        adam.step(launch, start, rasterizer.frame, rasterizer.image_gradients(loss.d_image), rates)
        losses.append(float(loss.loss))
    assert losses[-1] < 0.5 * losses[0]
