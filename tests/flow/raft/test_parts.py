"""Upsampling and the recurrent unit against their formulas, and properties of the whole network."""

import pytest
import torch

from geo3d.flow.raft.architecture import FULL, REDUCED, SMALL
from geo3d.flow.raft.model import Raft
from geo3d.flow.raft.update import ConvGRU, UpdateBlock
from geo3d.flow.raft.upsampling import bilinear_upsampling, convex_upsampling


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_convex_upsampling_is_a_weighted_mean_of_neighbours():
    flow, logits = random(2, 2, 3, 4), random(2, 576, 3, 4, seed=1)
    found = convex_upsampling(flow, logits)
    assert found.shape == (2, 2, 24, 32)
    for n in range(2):
        for row in range(24):
            for column in range(32):
                y, x, v, u = row // 8, column // 8, row % 8, column % 8
                weights = torch.softmax(logits[n, 8 * v + u :: 64, y, x], 0)
                total = torch.zeros(2)
                for k in range(9):
                    j, i = y + k // 3 - 1, x + k % 3 - 1
                    if 0 <= j < 3 and 0 <= i < 4:
                        total += weights[k] * 8 * flow[n, :, j, i]
                torch.testing.assert_close(found[n, :, row, column], total)


def test_a_constant_flow_is_upsampled_to_eight_times_itself():
    flow = torch.tensor([1.5, -0.25]).reshape(1, 2, 1, 1).expand(1, 2, 6, 7)
    expected = 8 * flow[:, :, :1, :1]
    inner = convex_upsampling(flow, random(1, 576, 6, 7))[:, :, 8:-8, 8:-8]
    torch.testing.assert_close(inner, expected.expand_as(inner))
    fine = bilinear_upsampling(flow)
    assert fine.shape == (1, 2, 48, 56)
    torch.testing.assert_close(fine, expected.expand_as(fine))


def test_bilinear_upsampling_keeps_the_corners():
    flow = random(1, 2, 5, 6)
    corners = bilinear_upsampling(flow)[:, :, :: 8 * 5 - 1, :: 8 * 6 - 1]
    torch.testing.assert_close(corners, 8 * flow[:, :, ::4, ::5])


@pytest.mark.parametrize("separable", [False, True])
def test_state_of_the_recurrent_unit(separable):
    unit = ConvGRU(6, 5, separable)
    h, x = torch.tanh(random(2, 6, 7, 9)), random(2, 5, 7, 9, seed=1)
    following = unit(h, x)
    assert following.shape == h.shape
    assert following.abs().max() < 1.0  # between the old state and tanh
    for name in ("convz1", "convz2") if separable else ("convz",):
        unit.get_submodule(name).bias.data.fill_(-100.0)
    torch.testing.assert_close(unit(h, x), h)  # a closed gate keeps the state


def test_reach_of_the_recurrent_unit():
    for separable, cells in ((False, 2), (True, 4)):  # a kernel's half for r, and again for q
        unit = ConvGRU(1, 1, separable)
        h = random(1, 1, 15, 15)
        x = torch.zeros(1, 1, 15, 15, requires_grad=True)
        (slope,) = torch.autograd.grad(unit(h, x)[0, 0, 7, 7], x)
        reached = slope[0, 0].nonzero() - 7
        assert reached.abs().amax(0).tolist() == [cells, cells]


@pytest.mark.parametrize("architecture", [FULL, SMALL, REDUCED])
def test_shapes_of_an_update(architecture):
    update = UpdateBlock(architecture)
    size = 5, 7
    h, change = update(
        random(2, architecture.hidden, *size),
        random(2, architecture.context, *size),
        random(2, architecture.lookup, *size),
        random(2, 2, *size),
    )
    assert h.shape == (2, architecture.hidden, *size) and change.shape == (2, 2, *size)
    weights = update.weights(h)
    assert (
        (weights is None)
        if not architecture.mask
        else (weights is not None and weights.shape == (2, 576, *size))
    )


@pytest.mark.parametrize("on_demand", [False, True])
def test_pairs_of_a_batch_do_not_meet(on_demand):
    torch.manual_seed(0)
    network = Raft(REDUCED).eval()
    images = torch.rand(2, 3, 3, 64, 72)
    with torch.inference_mode():
        together = network(*images, 4, on_demand)[-1]
        alone = [network(images[0, k : k + 1], images[1, k : k + 1], 4, on_demand)[-1] for k in range(3)]
    torch.testing.assert_close(together, torch.cat(alone), rtol=1e-3, atol=1e-3)


def test_every_iteration_is_a_shorter_run():
    torch.manual_seed(0)
    network = Raft(REDUCED).eval()
    images = torch.rand(2, 1, 3, 64, 64)
    with torch.inference_mode():
        every = network(*images, 3, every=True)
        for k, flow in enumerate(every, 1):
            torch.testing.assert_close(network(*images, k)[-1], flow, rtol=1e-4, atol=1e-4)
    assert len(every) == 3
