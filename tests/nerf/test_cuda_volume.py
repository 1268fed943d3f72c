"""Volume rendering and loss of the GPU, in the emulator, beside the reference and autograd."""

from itertools import pairwise

import numpy as np
import pytest
import torch

from geo3d.nerf.cuda_field import GRADIENT_SCALE, KERNELS
from geo3d.nerf.cuda_marching import CudaSamples
from geo3d.nerf.cuda_volume import composite, composite_loss
from geo3d.nerf.samples import RaySamples
from geo3d.nerf.volume_rendering import composite as reference
from geo3d.nerf.volume_rendering import distortion_loss
from tests.gpu.emulator import COMPILER, EmulatedLauncher

pytestmark = pytest.mark.skipif(COMPILER is None, reason="needs g++, which compiles the kernels here")

COUNTS = (0, 1, 31, 32, 33, 0, 100, 5)


def ragged(seed: int = 0, thickness: float = 0.1):
    """Samples of COUNTS, densities, colours; on the way of each ray are gaps."""
    rng = np.random.default_rng(seed)
    offsets = np.concatenate([[0], np.cumsum(COUNTS)])
    total = int(offsets[-1])
    lengths, gaps = rng.uniform(0.01, 0.03, total), rng.uniform(0, 0.02, total)
    ends = np.concatenate([0.5 + np.cumsum(lengths[a:b] + gaps[a:b]) for a, b in pairwise(offsets)])
    tensor = lambda a: torch.tensor(a, dtype=torch.float32)  # noqa: E731
    starts, ends = tensor(ends - lengths), tensor(ends)
    density = tensor(rng.exponential(thickness / 0.02, total))
    owners = torch.tensor(np.repeat(np.arange(len(COUNTS)), COUNTS), dtype=torch.int32)
    samples = CudaSamples(
        starts,
        ends,
        torch.zeros(total, 3),
        owners,
        torch.tensor(offsets),
        torch.tensor([total], dtype=torch.int32),
    )
    parts = (
        rng.random((total, 3)),
        rng.random((len(COUNTS), 3)),
        rng.random((len(COUNTS), 3)),
        rng.random(len(COUNTS)),
    )
    return samples, density, *(tensor(part) for part in parts)


@pytest.mark.parametrize("thickness", [0.01, 0.1, 3.0])
def test_what_rays_show_is_that_of_the_reference(thickness):
    samples, density, color, background, _, _ = ragged(thickness=thickness)
    found = composite(EmulatedLauncher(KERNELS, 2), samples, density, color, background)
    expected = reference(
        density, color, RaySamples(samples.starts, samples.ends, samples.offsets), background
    )
    for name in ("color", "alpha", "range", "median_range"):
        torch.testing.assert_close(
            getattr(found, name), getattr(expected, name), rtol=2e-5, atol=2e-5, msg=name
        )


@pytest.mark.parametrize("huber", [0.0, 0.1])
@pytest.mark.parametrize("distortion", [0.0, 0.3])
@pytest.mark.parametrize("thickness", [0.02, 0.2])
def test_loss_and_gradients_are_those_of_autograd(huber, distortion, thickness):
    samples, density, color, background, target, opacity = ragged(1, thickness)
    found = composite_loss(
        EmulatedLauncher(KERNELS, 2), samples, density, color, background, target, opacity,
        huber=huber, distortion=distortion, least_light=0.0,
    )  # fmt: skip
    first, second = (a.double().requires_grad_(True) for a in (density, color))
    packed = RaySamples(samples.starts.double(), samples.ends.double(), samples.offsets)
    shown = reference(first, second, packed, background.double())
    wanted = target.double() + (1 - opacity.double())[:, None] * background.double()
    if huber > 0:
        losses = torch.nn.functional.huber_loss(shown.color, wanted, reduction="none", delta=huber) / huber
    else:
        losses = (shown.color - wanted) ** 2
    squeezed = RaySamples(
        packed.starts / (1 + packed.starts), packed.ends / (1 + packed.ends), packed.offsets
    )
    losses = losses.mean(1) + distortion * distortion_loss(shown.weights, squeezed)
    torch.testing.assert_close(found.losses.double(), losses.detach(), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found.color.double(), shown.color.detach(), rtol=1e-5, atol=1e-5)
    losses.sum().backward()
    for ours, leaf in ((found.d_density, first), (found.d_color, second)):
        assert leaf.grad is not None
        scale = leaf.grad.abs().max()
        torch.testing.assert_close(
            ours.double() / GRADIENT_SCALE / scale, leaf.grad / scale, rtol=0, atol=2e-5
        )


def test_with_exposures_photos_are_compared_with_what_they_would_show():
    samples, density, color, background, target, opacity = ragged(3, thickness=0.1)
    rng = torch.Generator().manual_seed(0)
    exposures = torch.eye(3, 4).repeat(3, 1, 1) + 0.2 * torch.randn(3, 3, 4, generator=rng)
    rows = torch.arange(len(COUNTS), dtype=torch.int32) % 3
    found = composite_loss(
        EmulatedLauncher(KERNELS, 2), samples, density, color, background, target, opacity, exposures, rows,
        distortion=0.1, least_light=0.0,
    )  # fmt: skip
    first, second, third = (a.double().requires_grad_(True) for a in (density, color, exposures))
    packed = RaySamples(samples.starts.double(), samples.ends.double(), samples.offsets)
    shown = reference(first, second, packed, background.double())
    matrices = third[rows.long()]
    changed = torch.einsum("rij,rj->ri", matrices[..., :3], shown.color) + matrices[..., 3]
    changed.retain_grad()
    wanted = target.double() + (1 - opacity.double())[:, None] * background.double()
    squeezed = RaySamples(
        packed.starts / (1 + packed.starts), packed.ends / (1 + packed.ends), packed.offsets
    )
    losses = torch.nn.functional.huber_loss(changed, wanted, reduction="none", delta=0.1).mean(1) / 0.1
    losses = losses + 0.1 * distortion_loss(shown.weights, squeezed)
    torch.testing.assert_close(found.losses.double(), losses.detach(), rtol=1e-4, atol=1e-5)
    losses.sum().backward()
    ours = found.d_density / GRADIENT_SCALE, found.d_color / GRADIENT_SCALE, found.d_changed
    for gradient, leaf in zip(ours, (first, second, changed)):
        assert leaf.grad is not None
        scale = leaf.grad.abs().max()
        torch.testing.assert_close(gradient.double() / scale, leaf.grad / scale, rtol=0, atol=2e-5)
    torch.testing.assert_close(found.color.double(), shown.color.detach(), rtol=1e-5, atol=1e-5)


def test_dark_samples_and_rays_without_room_are_left_out():
    samples, density, color, background, target, _ = ragged(2, thickness=1.0)
    launch = EmulatedLauncher(KERNELS)
    whole = composite_loss(launch, samples, density, color, background, target)
    light = torch.exp(
        -torch.cat([torch.zeros(1), (density * (samples.ends - samples.starts))[97:196].cumsum(0)])
    )
    dark = light < 1e-4
    assert dark.any() and not whole.d_color[97:197][dark].any() and not whole.d_density[97:197][dark].any()
    assert whole.d_color[97:197][~dark].all()
    room = 150
    cut = CudaSamples(
        samples.starts[:room], samples.ends[:room], samples.positions[:room], samples.rays[:room], samples.offsets,
        samples.count,
    )  # fmt: skip
    part = composite_loss(launch, cut, density[:room].clone(), color[:room].clone(), background, target)
    assert torch.equal(part.losses[:6], whole.losses[:6]) and not part.losses[6:].any()
    assert torch.equal(part.d_density[:97], whole.d_density[:97])
    assert not part.d_density[97:].any() and not part.d_color[97:].any() and not part.color[6:].any()


@pytest.mark.parametrize("what", ["density", "color"])
def test_what_is_no_number_shows_in_the_loss(what):
    """Of the ray that has it, and of no other."""
    samples, density, color, background, target, _ = ragged()
    broken = density if what == "density" else color
    broken[int(samples.offsets[4]) + 20] = torch.nan
    found = composite_loss(EmulatedLauncher(KERNELS), samples, density, color, background, target)
    shown = composite(EmulatedLauncher(KERNELS), samples, density, color, background)
    expected = torch.arange(len(COUNTS)) == 4
    assert torch.equal(found.losses.isnan(), expected)
    assert torch.equal(shown.color.isnan().any(1), expected)
    assert found.d_density.isnan().any()
