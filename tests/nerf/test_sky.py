"""A learned background depends on the direction alone and can be any soft sky."""

import pytest
import torch

from geo3d.nerf.sky import LearnedSky

pytestmark = pytest.mark.usefixtures("one_torch_thread")


def directions(count, seed=0):
    d = torch.randn(count, 3, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.normalize(d, dim=-1)


def dome(d):
    """Blue above, brown below, a warm spot to the east."""
    height = torch.sigmoid(8 * d[:, 2:])
    spot = torch.exp(20 * (d[:, :1] - 1))
    blue, brown, warm = (torch.tensor(c) for c in ([0.4, 0.6, 0.9], [0.3, 0.25, 0.2], [0.5, 0.3, 0.0]))
    return (height * blue + (1 - height) * brown + spot * warm).clamp(0, 1)


def test_it_learns_a_dome():
    sky = LearnedSky()
    adam = torch.optim.Adam(sky.parameters(), 5e-3)
    for step in range(300):
        d = directions(512, step + 1)
        adam.zero_grad()
        (sky(d) - dome(d)).square().mean().backward()
        adam.step()
    d = directions(2000)
    error = (sky(d) - dome(d)).square().mean().sqrt()
    assert error < 0.02


def test_opposite_ends_of_an_axis_may_differ():
    ends = torch.tensor([[0.0, 0, 1], [0, 0, -1]])
    found = LearnedSky()(ends)
    assert ((found >= 0) & (found <= 1)).all()
    assert (found[0] - found[1]).abs().max() > 1e-3


def test_gradients():
    sky = LearnedSky(2, 6).double()
    assert torch.autograd.gradcheck(sky, directions(3).double().requires_grad_(True))
