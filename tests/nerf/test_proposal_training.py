"""The outer measure against its definition, and what the proposal loss asks."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from geo3d.nerf import FieldOutput, ProposalSampling, Rays, RenderOptions, Spacing, render_rays
from geo3d.nerf.proposal_training import histogram_loss, outer_measure, proposal_loss

pytestmark = pytest.mark.usefixtures("one_torch_thread")


def histogram(rng, rays, intervals, first=0.0, last=1.0, lattice=None):
    """Edges (R, N + 1), some of them met by others on a lattice, and weights (R, N) of a sum of at most 1."""
    edges = np.sort(rng.uniform(first, last, (rays, intervals + 1)), axis=1)
    if lattice:
        edges = np.round(edges * lattice) / lattice  # edges that coincide, intervals without length
    weights = rng.random((rays, intervals)) ** 3
    return torch.from_numpy(edges), torch.from_numpy(weights / weights.sum(1, keepdims=True))


def measured(edges, proposed_edges, proposed_weights):
    """Every pair of intervals looked at."""
    bound = np.zeros((len(edges), edges.shape[1] - 1))
    for r in range(len(edges)):
        for i in range(edges.shape[1] - 1):
            for j in range(proposed_edges.shape[1] - 1):
                shared = min(edges[r, i + 1], proposed_edges[r, j + 1]) - max(
                    edges[r, i], proposed_edges[r, j]
                )
                inside = edges[r, i] < edges[r, i + 1] and shared > 0
                bound[r, i] += proposed_weights[r, j] if inside else 0.0
    return bound


@given(st.integers(0, 10_000), st.integers(1, 9), st.integers(1, 9), st.sampled_from([None, 5, 12]))
@settings(max_examples=100, deadline=None)
def test_the_outer_measure_is_the_sum_over_intervals_that_meet(seed, count, proposed, lattice):
    rng = np.random.default_rng(seed)
    edges, _ = histogram(rng, 4, count, -0.2, 1.2, lattice)
    proposed_edges, weights = histogram(rng, 4, proposed, lattice=lattice)
    if lattice:  # an interval without length holds no weight
        weights = weights * (proposed_edges.diff(dim=-1) > 0)
    found = outer_measure(edges, proposed_edges, weights)
    long = (edges.diff(dim=-1) > 0).numpy()
    np.testing.assert_allclose(
        found.numpy()[long],
        measured(edges.numpy(), proposed_edges.numpy(), weights.numpy())[long],
        atol=1e-12,
    )


@given(st.integers(0, 10_000), st.integers(1, 12), st.integers(1, 12))
@settings(max_examples=50, deadline=None)
def test_a_proposal_that_bounds_the_weights_costs_nothing(seed, count, proposed):
    rng = np.random.default_rng(seed)
    edges, weights = histogram(rng, 3, count)
    assert histogram_loss(edges, weights, edges, weights).item() < 1e-20
    coarse = torch.from_numpy(np.sort(rng.uniform(-1, 2, (3, proposed + 1)), 1))
    coarse[:, 0], coarse[:, -1] = -1, 2
    whole = torch.zeros(3, proposed, dtype=torch.float64)
    for i in range(count):  # each interval of the proposal gets all weight that it touches
        meets = (coarse[:, :-1] < edges[:, i + 1, None]) & (coarse[:, 1:] > edges[:, i, None])
        whole += weights[:, i, None] * meets
    assert histogram_loss(edges, weights, coarse, whole).item() < 1e-20


def test_what_is_above_the_bound_costs_as_the_equation_says():
    edges = torch.tensor([[0.0, 1, 2, 3]], dtype=torch.float64)
    weights = torch.tensor([[0.2, 0.5, 0.1]], dtype=torch.float64)
    proposed_edges = torch.tensor([[0.0, 1.5, 3]], dtype=torch.float64)
    proposed = torch.tensor([[0.05, 0.3]], dtype=torch.float64, requires_grad=True)
    loss = histogram_loss(edges, weights, proposed_edges, proposed)
    assert loss.item() == pytest.approx((0.2 - 0.05) ** 2 / 0.2 + (0.5 - 0.35) ** 2 / 0.5)
    loss.backward()
    first = -2 * (0.2 - 0.05) / 0.2
    second = -2 * (0.5 - 0.35) / 0.5
    np.testing.assert_allclose(proposed.grad, [[first + second, second]])


def test_the_gradient_goes_to_the_proposal_only():
    rng = np.random.default_rng(0)
    edges, weights = histogram(rng, 5, 8)
    proposed_edges, proposed = histogram(rng, 5, 4)
    weights.requires_grad_(True)
    proposed = (0.3 * proposed).requires_grad_(True)
    histogram_loss(edges, weights, proposed_edges, proposed).backward()
    assert weights.grad is None
    assert proposed.grad is not None and (proposed.grad <= 0).all() and (proposed.grad < 0).any()
    assert torch.autograd.gradcheck(
        lambda p: histogram_loss(edges, weights.detach(), proposed_edges, p), proposed
    )


def test_a_proposal_learns_to_cover():
    rng = np.random.default_rng(1)
    edges, weights = histogram(rng, 6, 30)
    proposed_edges = torch.linspace(0, 1, 9, dtype=torch.float64).expand(6, 9)
    logits = torch.zeros(6, 8, dtype=torch.float64, requires_grad=True)
    adam = torch.optim.Adam([logits], 0.1)
    losses = []
    for _ in range(200):
        adam.zero_grad()
        losses.append(histogram_loss(edges, weights, proposed_edges, torch.softmax(logits, -1)))
        losses[-1].backward()
        adam.step()
    assert losses[-1] < 0.2 * losses[0]


def test_of_rays_it_is_the_sum_over_their_proposals():
    """Two proposals of a wall: one knows nothing, one has put all its weight in front of it."""
    wall = lambda p, d: FieldOutput(50.0 * (p[:, 2] > 1.5), torch.ones_like(p))  # noqa: E731
    thin = torch.tensor(0.1, requires_grad=True)
    proposals = (lambda p: thin.expand(len(p)), lambda p: 50.0 * (p[:, 2] < 0.5))
    ends = torch.tensor([[0.0, 0.0, 1.0]]).expand(3, 3)
    rays = Rays(0 * ends, ends, torch.zeros(3), torch.full((3,), 2.0), torch.zeros(3), torch.zeros(3).int())
    sampling = ProposalSampling(proposals, (8, 8), count=16, padding=0.5, spacing=Spacing("range"))
    rendered = render_rays(wall, rays, RenderOptions(sampling))
    found = proposal_loss(rendered)
    parts = []
    for stage in rendered.stages:
        grids = [
            torch.cat([s.starts.view(3, -1), s.ends.view(3, -1)[:, -1:]], 1)
            for s in (rendered.samples, stage.samples)
        ]
        bound = measured(*(g.numpy() for g in grids), stage.weights.detach().view(3, -1).numpy())
        weights = rendered.weights.view(3, -1).numpy()
        parts.append((np.maximum(weights - bound, 0) ** 2 / (weights + 1e-7)).sum(1).mean())
    assert min(parts) > 0.3
    assert found.item() == pytest.approx(sum(parts), rel=1e-4)
    found.backward()
    assert thin.grad is not None and thin.grad < 0
    with pytest.raises(ValueError, match="expected rays sampled by proposals"):
        proposal_loss(render_rays(wall, rays))
    with pytest.raises(ValueError, match="rendered: expected one ray or more, got none"):
        proposal_loss(render_rays(wall, rays[:0], RenderOptions(sampling)))
