"""Fields learn a small scene from a few photos, and show it from where no photo was taken."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch

from geo3d.cameras import Camera
from geo3d.geometry import look_at
from geo3d.nerf import (
    FieldOutput,
    FieldShape,
    HashGridField,
    HierarchicalSampling,
    LearnedSky,
    MipField,
    ProposalField,
    ProposalSampling,
    PublishedNerf,
    RadianceShape,
    Rays,
    RenderOptions,
    SceneBox,
    Spacing,
    camera_rays,
    proposal_loss,
    render_rays,
)
from geo3d.nerf.samplers import EvenSampling

pytestmark = pytest.mark.usefixtures("one_torch_thread")

BOX = SceneBox((0.0, 0.0, 0.0), 2.0)
CAMERA = Camera("PINHOLE", 24, 24, [30, 30, 12, 12])
SHAPE = RadianceShape(5, 2, layers=4, width=48, skip=2, view_width=24)
SKY = torch.tensor([0.9, 0.95, 1.0])


def blobs(positions, directions):
    """A red, a green and a blue ball with soft edges."""
    centers = torch.tensor([[0.45, 0.0, -0.1], [-0.3, 0.35, 0.0], [-0.2, -0.4, 0.15]])
    inside = torch.sigmoid(20 * (0.35 - torch.cdist(positions, centers)))
    return FieldOutput(10 * inside.sum(-1), (0.1 + 0.8 * inside).clamp(0, 1))


def sky(directions):
    return SKY * (0.75 + 0.25 * directions[:, 2:])


def photos(angles, row=0):
    """Rays of all pixels of cameras in a ring, and what they show."""
    eyes = [np.array([3 * np.cos(a), 3 * np.sin(a), 1.2 + 0.6 * np.sin(3 * a)]) for a in angles]
    parts = [BOX.clip(camera_rays(CAMERA, look_at(eye, np.zeros(3)), far=9)).torch() for eye in eyes]
    names = ("origins", "directions", "near", "far", "radii", "rows")
    rays = Rays(*(torch.cat([getattr(p, n) for p in parts]) for n in names))
    return rays, render_rays(blobs, rays, RenderOptions(EvenSampling(200)), sky).color


@dataclass
class Learner:
    """What is trained: modules, how they are rendered, and the loss beside that of the colours."""

    modules: list
    sampling: object
    extra: object
    background: object = sky
    rate: float = 5e-3

    def render(self, rays, rng=None):
        return render_rays(self.modules[0], rays, RenderOptions(self.sampling), self.background, rng)


def published():
    nerf = PublishedNerf(BOX, SHAPE)
    sampling = HierarchicalSampling(16, 16, nerf.coarse)
    return Learner(
        [nerf.fine, nerf.coarse],
        sampling,
        lambda seen, colors: (seen.stages[0].rendering.color - colors).square().mean(),
    )


def mip():
    sampling = HierarchicalSampling(16, 16)
    return Learner(
        [MipField(BOX, SHAPE)],
        sampling,
        lambda seen, colors: 0.1 * (seen.stages[0].rendering.color - colors).square().mean(),
    )


def by_proposals():
    """A field that learns its background too, sampled where a network of 24 units says."""
    proposal, learned = ProposalField(BOX, 5, 2, 24), LearnedSky(2, 16)
    sampling = ProposalSampling((proposal,), (32,), 16, spacing=Spacing("range"))
    return Learner(
        [MipField(BOX, SHAPE), proposal, learned], sampling, lambda seen, _: proposal_loss(seen), learned
    )


def hash_grid():
    shape = FieldShape(levels=4, log2_entries=12, coarsest=4, finest=32, width=32, geometry=7, sh_degree=1)
    return Learner([HashGridField(BOX, shape)], EvenSampling(32), lambda seen, _: 0.0, rate=2e-2)


@pytest.mark.parametrize("make", [published, mip, by_proposals, hash_grid])
def test_it_learns_a_scene(make):
    rays, colors = photos(np.arange(12) * (2 * np.pi / 12))
    hidden, truth = photos([0.27, 2.3, 4.4])
    learner, rng = make(), torch.Generator().manual_seed(0)
    parameters = [p for module in learner.modules for p in module.parameters()]
    adam = torch.optim.Adam(parameters, learner.rate)
    steps = 150
    schedule = torch.optim.lr_scheduler.ExponentialLR(adam, 0.1 ** (1 / steps))

    def psnr():
        with torch.no_grad():
            return -10 * torch.log10((learner.render(hidden).color - truth).square().mean()).item()

    before = psnr()
    for _ in range(steps):
        chosen = torch.randint(len(rays), (160,), generator=rng)
        seen = learner.render(rays[chosen], rng)
        loss = (seen.color - colors[chosen]).square().mean() + learner.extra(seen, colors[chosen])
        adam.zero_grad()
        loss.backward()
        adam.step()
        schedule.step()
    assert before < 20 and psnr() > 26
