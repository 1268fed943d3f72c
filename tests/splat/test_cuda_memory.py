"""A step of training on the GPU takes the memory that is written down, and what does not fit is said before."""

import weakref

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from geo3d.cameras import Camera
from geo3d.geometry import SE3
from geo3d.scene import Gaussians
from geo3d.splat.adam import LearningRates
from geo3d.splat.cuda_adam import CudaAdam
from geo3d.splat.cuda_frame import KERNELS
from geo3d.splat.cuda_loss import photometric_loss
from geo3d.splat.cuda_memory import check_gpu_memory, step_bytes
from geo3d.splat.cuda_rasterizer import CudaRasterizer
from tests.gpu.emulator import COMPILER, EmulatedLauncher


class Peak(TorchDispatchMode):
    """Largest sum of the storages of tensors that are alive after any operation."""

    def __init__(self):
        super().__init__()
        self.alive, self.bytes = weakref.WeakSet(), 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        self.alive.update(t for t in tree_leaves(out) if isinstance(t, torch.Tensor))
        held = {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in self.alive}
        self.bytes = max(self.bytes, sum(held.values()))
        return out


@pytest.mark.skipif(COMPILER is None, reason="needs g++, which compiles the kernels here")
@pytest.mark.parametrize(
    ("count", "size", "log_scale"),
    [(6000, (64, 48), -5.0), (300, (64, 48), -1.0), (50, (320, 240), -4.0)],
    ids=["Gaussians", "instances", "pixels"],
)
def test_a_step_takes_what_is_written_down(count, size, log_scale):
    rng = np.random.default_rng(0)
    parts = (
        rng.uniform(-1, 1, (count, 3)), rng.normal(size=(count, 4)), np.full((count, 3), log_scale),
        rng.normal(size=count), rng.normal(size=(count, 16, 3)) * 0.2,
    )  # fmt: skip
    width, height = size
    camera = Camera("PINHOLE", width, height, [width, width, width / 2, height / 2])
    pose = SE3(np.eye(3), [0.0, 0.0, 3.0])
    rasterizer = CudaRasterizer(EmulatedLauncher(KERNELS))
    with Peak() as peak:
        g = Gaussians(*(torch.tensor(p, dtype=torch.float32) for p in parts))
        adam, target = CudaAdam(g), torch.rand(height, width, 3)
        before = peak.bytes
        for _ in range(2):
            image = rasterizer.forward(g, camera, pose).color
            loss = photometric_loss(rasterizer.launch, image, target)
            gradients = rasterizer.image_gradients(loss.d_image)
            adam.step(rasterizer.launch, g, rasterizer.frame, gradients, LearningRates())
            del image, loss, gradients
    assert rasterizer.frame is not None
    budget = step_bytes(count, len(rasterizer.frame.instances), width * height)
    buckets = 4 * 4 * 256 * rasterizer.frame.tiles  # each tile's last bucket is not full
    assert before < peak.bytes <= budget + buckets
    assert peak.bytes > 0.6 * budget


def test_a_million_gaussians_fit_in_three_gigabytes():
    assert step_bytes(1_000_000, 10_000_000, 1600 * 1066) < 3e9


def test_a_budget_that_does_not_fit_is_refused_with_one_that_does():
    check_gpu_memory(1_000_000, 2_000_000, 4 << 30)
    with pytest.raises(
        MemoryError, match=r"5,000,000 Gaussians.*8.0 GiB are free there; a budget of ([\d,]+)"
    ) as told:
        check_gpu_memory(5_000_000, 2_000_000, 8 << 30)
    fits = int(str(told.value).split("a budget of ")[1].split(" ")[0].replace(",", ""))
    check_gpu_memory(fits, 2_000_000, 8 << 30)
    with pytest.raises(MemoryError, match="reduce the photos more"):
        check_gpu_memory(1000, 100_000_000, 1 << 30)
