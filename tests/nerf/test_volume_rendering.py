"""Volume rendering obeys its formulas: Beer-Lambert, opaque slabs, splitting, permutation, gradients."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from geo3d.nerf import RaySamples, composite, distortion_loss, ray_weights
from geo3d.nerf.volume_autograd import composite_by_kernels
from tests.nerf.ragged import random_field, random_samples, seeds, tensors

pytestmark = pytest.mark.usefixtures("one_torch_thread")


def scene(seed: int):
    """Random samples, densities and colours in float64."""
    rng = np.random.default_rng(seed)
    samples = tensors(random_samples(rng))
    density, color = random_field(rng, len(samples))
    return samples, torch.from_numpy(density), torch.from_numpy(color), rng


@given(seed=seeds)
def test_it_is_the_formula(seed):
    """Interval by interval, as it is written."""
    samples, density, color, _ = scene(seed)
    seen = composite(density, color, samples, torch.tensor([0.2, 0.4, 0.6], dtype=torch.float64))
    for ray in range(len(samples.offsets) - 1):
        light, image = 1.0, np.zeros(3)
        for i in range(samples.offsets[ray], samples.offsets[ray + 1]):
            alpha = 1 - math.exp(-float(density[i] * (samples.ends[i] - samples.starts[i])))
            assert seen.weights[i] == pytest.approx(light * alpha, abs=1e-12)
            image += light * alpha * color[i].numpy()
            light *= 1 - alpha
        np.testing.assert_allclose(seen.color[ray], image + light * np.array([0.2, 0.4, 0.6]), atol=1e-12)
        assert float(seen.alpha[ray]) == pytest.approx(1 - light, abs=1e-12)


@given(seed=seeds)
def test_weights_sum_to_at_most_one(seed):
    samples, density, color, _ = scene(seed)
    seen = composite(density, color, samples)
    assert (seen.weights >= 0).all()
    assert (seen.alpha <= 1 + 1e-12).all()
    assert torch.equal(seen.weights, ray_weights(density, samples))


@given(
    density=st.floats(1e-4, 50),
    length=st.floats(1e-2, 20),
    start=st.floats(0, 5),
    cuts=st.lists(st.floats(0, 1), max_size=10),
)
def test_a_constant_medium_is_beer_lambert_however_it_is_cut(density, length, start, cuts):
    edges = start + length * torch.tensor(sorted([0.0, *cuts, 1.0]), dtype=torch.float64)
    samples = RaySamples.dense(edges[None, :-1], edges[None, 1:])
    sigma = torch.full((len(samples),), density, dtype=torch.float64)
    seen = composite(sigma, torch.ones(len(samples), 3, dtype=torch.float64), samples)
    left = math.exp(-density * length)
    assert float(seen.alpha) == pytest.approx(1 - left, rel=1e-9)
    mean = start + 1 / density - length * left / -math.expm1(-density * length)
    assert float(seen.range) == pytest.approx(mean, rel=1e-6, abs=1e-8)
    median = start + math.log(2) / density if left <= 0.5 else 0.0
    assert float(seen.median_range) == pytest.approx(median, rel=1e-9)


@given(at=st.floats(0.5, 3), front=st.floats(0, 0.4))
def test_an_opaque_slab_shows_its_color_and_range(at, front):
    starts = torch.tensor([[0.1, at, at + 0.5]], dtype=torch.float64)
    ends = torch.tensor([[0.1 + front, at + 0.5, at + 1]], dtype=torch.float64)
    density = torch.tensor([0.0, 1e9, 1e9], dtype=torch.float64)
    color = torch.tensor([[1.0, 0, 0], [0.1, 0.6, 0.3], [0, 0, 1]], dtype=torch.float64)
    normals = torch.tensor([[1.0, 0, 0], [0, 0.6, -0.8], [0, 0, 1]], dtype=torch.float64)
    seen = composite(density, color, RaySamples.dense(starts, ends), torch.ones(3).double(), normals)
    torch.testing.assert_close(seen.color[0], color[1])
    assert float(seen.alpha) == pytest.approx(1)
    assert float(seen.range) == pytest.approx(at, abs=1e-8)
    assert float(seen.median_range) == pytest.approx(at, abs=1e-8)
    torch.testing.assert_close(seen.normals[0], normals[1])


@given(seed=seeds)
def test_splitting_intervals_changes_nothing(seed):
    samples, density, color, rng = scene(seed)
    part = torch.from_numpy(rng.random(len(samples)))
    middle = samples.starts + part * samples.lengths
    halves = RaySamples(
        torch.stack([samples.starts, middle], 1).reshape(-1),
        torch.stack([middle, samples.ends], 1).reshape(-1),
        2 * samples.offsets,
    )
    whole = composite(density, color, samples)
    split = composite(density.repeat_interleave(2), color.repeat_interleave(2, 0), halves)
    for name in ("color", "alpha", "range", "median_range"):
        torch.testing.assert_close(getattr(whole, name), getattr(split, name), rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(whole.weights, split.weights.view(-1, 2).sum(1))
    weights = whole.weights  # spread evenly over its interval, each has the same distortion as its parts
    parts = torch.stack([part * weights, (1 - part) * weights], 1).reshape(-1)
    torch.testing.assert_close(distortion_loss(weights, samples), distortion_loss(parts, halves))


@given(seed=seeds)
def test_permuting_the_rays_permutes_the_result(seed):
    samples, density, color, rng = scene(seed)
    rays = len(samples.offsets) - 1
    order = rng.permutation(rays)
    rows = [torch.arange(int(samples.offsets[r]), int(samples.offsets[r + 1])) for r in order]
    take = torch.cat(rows)
    offsets = torch.tensor([0, *np.cumsum([len(r) for r in rows])])
    shuffled = RaySamples(samples.starts[take], samples.ends[take], offsets)
    background = torch.from_numpy(rng.random((rays, 3)))
    one = composite(density, color, samples, background)
    other = composite(density[take], color[take], shuffled, background[order])
    for name in ("color", "alpha", "range", "median_range"):
        torch.testing.assert_close(getattr(one, name)[order], getattr(other, name), rtol=0, atol=1e-14)
    torch.testing.assert_close(
        distortion_loss(one.weights, samples)[order], distortion_loss(other.weights, shuffled)
    )


def test_empty_rays_show_the_background():
    none = torch.zeros(0, dtype=torch.float64)
    samples = RaySamples(none, none, torch.zeros(4, dtype=torch.int64))
    background = torch.rand(3, 3, dtype=torch.float64)
    seen = composite(none, none.reshape(0, 3), samples, background)
    assert torch.equal(seen.color, background)
    for image in (seen.alpha, seen.range, seen.median_range):
        assert torch.equal(image, torch.zeros(3, dtype=torch.float64))
    nobody = RaySamples(none, none, torch.zeros(1, dtype=torch.int64))
    assert composite(none, none.reshape(0, 3), nobody).color.shape == (0, 3)


@settings(max_examples=10)
@given(seed=seeds)
def test_gradients_are_the_differences(seed):
    rng = np.random.default_rng(seed)
    samples = tensors(random_samples(rng, rays=4, most=5))
    density, color = random_field(rng, len(samples))
    inputs = (
        torch.from_numpy(np.minimum(density, 40.0) + 0.01).requires_grad_(),
        torch.from_numpy(color).requires_grad_(),
        torch.rand(4, 3, dtype=torch.float64).requires_grad_(),
        samples.starts.requires_grad_(),
        samples.ends.requires_grad_(),
    )

    def render(density, color, background, starts, ends):
        packed = RaySamples(starts, ends, samples.offsets)
        seen = composite(density, color, packed, background)
        return seen.color, seen.alpha, seen.range, distortion_loss(seen.weights, packed)

    if len(samples):
        assert torch.autograd.gradcheck(render, inputs, eps=1e-6, atol=1e-5, rtol=1e-4)


@given(seed=seeds)
def test_distortion_is_its_double_sum(seed):
    samples, density, _, _ = scene(seed)
    weights, middles = ray_weights(density, samples), samples.middles
    found = distortion_loss(weights, samples)
    for ray in range(len(found)):
        own = slice(int(samples.offsets[ray]), int(samples.offsets[ray + 1]))
        w, m = weights[own], middles[own]
        pairs = (w[:, None] * w[None] * (m[:, None] - m[None]).abs()).sum()
        expected = pairs + (w**2 * samples.lengths[own]).sum() / 3
        assert float(found[ray]) == pytest.approx(float(expected), abs=1e-12)


def test_what_is_not_one_of_each_sample_is_refused():
    samples = RaySamples(torch.zeros(3), torch.ones(3), torch.tensor([0, 3]))
    one, three = torch.ones(3), torch.ones(3, 3)
    for render in (composite, composite_by_kernels):
        with pytest.raises(
            ValueError, match=r"density: expected the shape \(3,\), one of each sample, got \(3, 1\)"
        ):
            render(one[:, None], three, samples)
        with pytest.raises(
            ValueError, match=r"color: expected the shape \(3, [C3]\), one of each sample, got \(2, 3\)"
        ):
            render(one, three[:2], samples)
    with pytest.raises(ValueError, match=r"density: expected the shape \(3,\)"):
        ray_weights(three, samples)
    with pytest.raises(ValueError, match=r"weights: expected the shape \(3,\)"):
        distortion_loss(torch.ones(4), samples)


def test_normals_of_nothing_are_none_and_teach_nothing():
    samples = RaySamples.dense(torch.zeros(2, 1), torch.ones(2, 1))
    for render in (composite, composite_by_kernels):
        density = torch.tensor([0.0, 1.0], requires_grad=True)
        normals = torch.tensor([[0.0, 0.6, 0.8], [0.0, 0.0, 1.0]])
        seen = render(density, torch.ones(2, 3), samples, normals=normals)
        assert seen.normals is not None
        torch.testing.assert_close(seen.normals, torch.tensor([[0.0, 0, 0], [0, 0, 1]]))
        (slope,) = torch.autograd.grad(seen.normals.sum(), density)
        assert slope.tolist() == [0, 0]


def test_very_opaque_and_very_thin_have_finite_gradients():
    density = torch.tensor([0.0, 1e-30, 1e-3, 1e4, 1e30], requires_grad=True)
    ends = torch.arange(1.0, 6.0)[None]
    seen = composite(density, torch.ones(5, 3), RaySamples.dense(ends - 1, ends))
    (seen.color.sum() + seen.range.sum()).backward()
    assert torch.isfinite(density.grad).all()
