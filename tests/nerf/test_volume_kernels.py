"""The numba kernels are the reference, values and gradients to 1e-5, on random ragged samples."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings

from geo3d.nerf import RaySamples, composite, distortion_loss
from geo3d.nerf import volume_kernels as kernels
from geo3d.nerf.volume_autograd import composite_by_kernels
from tests.nerf.ragged import random_field, random_samples, seeds, tensors

pytestmark = pytest.mark.usefixtures("one_torch_thread")
NAMES = "color", "alpha", "range", "median_range", "weights", "normals"


def case(seed: int, rays: int = 40, most: int = 60):
    """Samples in float32 and the same numbers in float64; densities, colours, background, normals."""
    rng = np.random.default_rng(seed)
    single = random_samples(rng, rays, most, np.float32)
    density, color = random_field(rng, len(single))
    normals = rng.normal(size=(len(single), 3))
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    parts = density, color, rng.random((rays, 3)), normals
    low = [torch.from_numpy(p.astype(np.float32)) for p in parts]
    return (
        tensors(single, torch.float32),
        tensors(single),
        low,
        [p.double() for p in low],
        rng,
    )


@given(seed=seeds)
def test_values_are_the_reference(seed):
    single, double, low, high, _ = case(seed)
    found, expected = (
        composite_by_kernels(low[0], low[1], single, *low[2:]),
        composite(high[0], high[1], double, *high[2:]),
    )
    for name in NAMES[:5]:
        torch.testing.assert_close(
            getattr(found, name).double(), getattr(expected, name), rtol=1e-5, atol=1e-5
        )
    seen = expected.alpha > 1e-3  # of next to nothing the direction is rounding
    torch.testing.assert_close(found.normals.double()[seen], expected.normals[seen], rtol=0, atol=1e-4)


@given(seed=seeds)
def test_gradients_are_the_reference(seed):
    single, double, low, high, rng = case(seed)
    rays, count = len(single.offsets) - 1, len(single)
    factors = [rng.normal(size=s) for s in ((rays, 3), rays, rays, count)]
    gradients = []
    for render, samples, parts in ((composite_by_kernels, single, low), (composite, double, high)):
        inputs = [p.clone().requires_grad_() for p in parts[:3]]
        seen = render(inputs[0], inputs[1], samples, inputs[2])
        shown = seen.color, seen.alpha, seen.range * (seen.alpha > 1e-2), seen.weights
        sum((torch.from_numpy(f).to(s.dtype) * s).sum() for f, s in zip(factors, shown)).backward()
        gradients.append([i.grad.double() for i in inputs])
    for found, expected in zip(*gradients):
        scale = max(1.0, float(expected.abs().max())) if len(expected) else 1.0
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5 * scale)


@given(seed=seeds)
def test_distortion_and_its_gradient_are_the_reference(seed):
    single, double, _, high, rng = case(seed)
    weights = composite(high[0], high[1], double).weights.detach().float()
    scale = rng.random(len(single.offsets) - 1).astype(np.float32)
    losses, slopes = np.empty_like(scale), np.empty(len(single), np.float32)
    arrays = [t.numpy() for t in (single.starts, single.ends, single.offsets, weights)]
    kernels.distortion(*arrays, scale, losses, slopes)
    wanted = weights.double().requires_grad_()
    expected = distortion_loss(wanted, double)
    (torch.from_numpy(scale).double() * expected).sum().backward()
    np.testing.assert_allclose(losses, expected.detach(), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(slopes, wanted.grad, rtol=1e-5, atol=1e-5)


@settings(max_examples=5)
@given(seed=seeds)
def test_a_rerun_and_other_rays_beside_change_no_bit(seed):
    single, _, low, _, _ = case(seed, rays=64)
    once, again = (composite_by_kernels(low[0], low[1], single, low[2]) for _ in range(2))
    end = int(single.offsets[20])
    alone = RaySamples(single.starts[:end], single.ends[:end], single.offsets[:21])
    part = composite_by_kernels(low[0][:end], low[1][:end], alone, low[2][:20])
    for name in NAMES[:4]:
        assert torch.equal(getattr(once, name), getattr(again, name))
        assert torch.equal(getattr(once, name)[:20], getattr(part, name))


def test_empty_rays_show_the_background_and_have_no_gradient():
    none = torch.zeros(0, requires_grad=True)
    samples = RaySamples(torch.zeros(0), torch.zeros(0), torch.zeros(4, dtype=torch.int64))
    background = torch.rand(3, 3, requires_grad=True)
    seen = composite_by_kernels(none, none.reshape(0, 3), samples, background)
    assert torch.equal(seen.color, background)
    assert not seen.alpha.any() and not seen.range.any() and not seen.median_range.any()
    seen.color.sum().backward()
    assert torch.equal(background.grad, torch.ones(3, 3))


def test_thin_samples_keep_their_digits():
    """A thousand samples of opacity 1e-6 each: 1 - exp(-x) would lose half of the digits of float32."""
    edges = torch.linspace(0, 1, 1001)
    samples = RaySamples.dense(edges[None, :-1], edges[None, 1:])
    density = torch.full((1000,), 1e-3)
    seen = composite_by_kernels(density, torch.ones(1000, 3), samples)
    assert float(seen.alpha) == pytest.approx(-np.expm1(-1e-3), rel=1e-6)
