"""mip-NeRF's field and proposal networks see frusta; through thin cones they are fields of points."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from geo3d.nerf.cones import frustum_gaussians
from geo3d.nerf.contraction import SceneBox
from geo3d.nerf.encoding import integrated_encoding, positional_encoding
from geo3d.nerf.mip import MipField
from geo3d.nerf.network_frame import network_coordinates
from geo3d.nerf.proposal import ProposalField
from geo3d.nerf.published import PublishedField
from geo3d.nerf.radiance_mlp import RadianceShape
from geo3d.nerf.rays import Rays
from geo3d.nerf.samples import RaySamples

pytestmark = pytest.mark.usefixtures("one_torch_thread")

SMALL = RadianceShape(4, 2, layers=3, width=8, skip=2, view_width=6)
BOXES = [SceneBox((0.1, 0.2, -0.3), 4.0), SceneBox((0.1, 0.2, -0.3), 1.0, unbounded=True)]


def cast(count=6, radius=0.01, intervals=5, thickness=0.2):
    """Rays through the box and ragged intervals on them, double."""
    rng = np.random.default_rng(0)
    directions = rng.normal(size=(count, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    rays = Rays(
        rng.uniform(-0.5, 0.5, (count, 3)),
        directions,
        np.zeros(count),
        np.full(count, 4.0),
        np.full(count, radius),
        np.arange(count, dtype=np.int32) % 3,
    )
    counts = rng.integers(0, intervals + 1, count)
    offsets = np.concatenate([[0], np.cumsum(counts)])
    starts = np.concatenate([np.sort(rng.uniform(0.2, 1.5, n)) for n in counts])
    samples = RaySamples(*(torch.from_numpy(v) for v in (starts, starts + thickness, offsets)))
    return rays.torch(), samples


@pytest.mark.parametrize("box", BOXES, ids=["bounded", "unbounded"])
def test_through_a_thin_cone_it_is_a_field_of_points(box):
    rays, samples = cast(radius=1e-8, thickness=1e-8)
    directions = samples.per_sample(rays.directions)
    field, proposal = MipField(box, SMALL).double(), ProposalField(box, 4, 2, 8).double()
    cone, point = field.along(rays, samples), field(samples.positions(rays), directions)
    torch.testing.assert_close(cone.density, point.density)
    torch.testing.assert_close(cone.color, point.color)
    torch.testing.assert_close(proposal.along(rays, samples), proposal(samples.positions(rays)))


def test_a_wide_cone_sees_no_detail():
    rays, samples = cast(radius=2.0)
    seen = frustum_gaussians(BOXES[0], rays, samples)
    encoded = integrated_encoding(seen.means, seen.variances, 10)
    at = network_coordinates(BOXES[0], samples.positions(rays))
    assert encoded[:, 30:].abs().max() < 1e-3 < positional_encoding(at, 10)[:, 30:].abs().min(-1).values.max()


def test_cones_of_a_scene_of_any_size_are_one_scene():
    box = SceneBox((5.0, -3.0, 2.0), 400.0)
    rays, samples = cast()
    field, large = (MipField(b, SMALL).double() for b in (BOXES[0], box))
    small = field.along(rays, samples)
    center, scale = torch.tensor(BOXES[0].center), box.side / BOXES[0].side
    origins = (rays.origins - center) * scale + torch.tensor(box.center)
    far = large.along(
        replace(rays, origins=origins),
        RaySamples(samples.starts * scale, samples.ends * scale, samples.offsets),
    )
    torch.testing.assert_close(far.density * scale, small.density, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(far.color, small.color, rtol=1e-5, atol=1e-6)


def test_outside_of_a_bounded_box_nothing_is():
    """The encoding repeats itself there; the scene must not."""
    outside = torch.tensor([[2.2, 0.2, -0.3], [0.1, -1.9, 0.0], [0.1, 0.2, -0.3]])
    directions = torch.nn.functional.normalize(torch.ones(3, 3), dim=-1)
    for field in (MipField(BOXES[0]), PublishedField(BOXES[0], seed=1)):
        found = field(outside, directions).density
        assert found[:2].tolist() == [0, 0] and found[2] > 0
    assert (ProposalField(BOXES[0])(outside) > 0).tolist() == [False, False, True]
    assert (MipField(BOXES[1])(outside, directions).density > 0).all()


def test_activations_are_the_papers():
    field = MipField(BOXES[0], SMALL)
    raw, reached = torch.linspace(-20, 20, 9), torch.linspace(-40, 40, 9)
    field.mlp.forward = lambda *_: (raw, reached[:, None].expand(9, 3))
    found = field(torch.zeros(9, 3), torch.zeros(9, 3))
    np.testing.assert_allclose(found.density, np.log1p(np.exp(raw.numpy() - 1)) * 2 / 4.0, rtol=1e-5)
    assert found.color.min().item() == pytest.approx(-0.001)
    assert found.color.max().item() == pytest.approx(1.001)


def test_size_as_published():
    """One network of mip-NeRF; a proposal network of 4 layers of 256."""
    mip = sum(p.numel() for p in MipField(BOXES[0]).parameters())
    assert mip == 593_924 + 2 * 36 * 256  # six octaves more, into the first layer and the sixth
    proposal = sum(p.numel() for p in ProposalField(BOXES[0]).parameters())
    assert proposal == (72 * 256 + 256) + 3 * (256 * 256 + 256) + (256 + 1)


def test_a_proposal_of_no_size_is_refused():
    with pytest.raises(
        ValueError, match="levels, layers, width: expected 1 or more of each, got 12, 0 and 256"
    ):
        ProposalField(BOXES[0], layers=0)


def test_the_photo_of_a_ray_chooses_the_appearance():
    shape = replace(SMALL, appearance=2)
    field = MipField(BOXES[0], shape, photos=3).double()
    rays, samples = cast()
    before = field.along(rays, samples)
    assert field.appearance is not None
    field.appearance.vectors.data[2] = 3.0
    after = field.along(rays, samples)
    changed = (before.color != after.color).any(-1)
    assert torch.equal(changed, samples.per_sample(rays.rows) == 2)
    assert torch.equal(before.density, after.density)


@pytest.mark.parametrize("box", BOXES, ids=["bounded", "unbounded"])
def test_gradients_in_double_precision(box):
    field, proposal = MipField(box, SMALL).double(), ProposalField(box, 4, 2, 8).double()
    rays, samples = cast(4)
    starts, ends = samples.starts.requires_grad_(True), samples.ends.requires_grad_(True)
    origins = rays.origins.requires_grad_(True)

    def along(o, a, b):
        cones, intervals = replace(rays, origins=o), RaySamples(a, b, samples.offsets)
        found = field.along(cones, intervals)
        return found.density, found.color, proposal.along(cones, intervals)

    assert torch.autograd.gradcheck(along, (origins, starts, ends))
