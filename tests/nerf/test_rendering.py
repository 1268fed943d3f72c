"""render_rays on fields whose pictures are known: fog, spheres, layers; every way to sample, both backends."""

import math

import numpy as np
import pytest
import torch

from geo3d.cameras import Camera
from geo3d.geometry import SE3, look_at
from geo3d.nerf import (
    EvenSampling,
    FieldOutput,
    HierarchicalSampling,
    MarchOptions,
    OccupancyGrid,
    OccupancySampling,
    ProposalSampling,
    RenderOptions,
    SceneBox,
    Spacing,
    camera_rays,
    render_rays,
)

pytestmark = pytest.mark.usefixtures("one_torch_thread")
BOX = SceneBox((0, 0, 0), 2.0)
RADIUS, RED = 0.6, (0.8, 0.3, 0.1)


def ball(positions, directions):
    """An opaque ball of radius 0.6 about the origin, with a soft skin."""
    distance = positions.norm(dim=-1)
    density = 400 * torch.sigmoid((RADIUS - distance) * 200)
    return FieldOutput(density, positions.new_tensor(RED).expand(len(positions), 3))


def ball_density(positions):
    return ball(positions, None).density


def fog(positions, directions):
    return FieldOutput(torch.full_like(positions[:, 0], 0.7), positions * 0 + 0.25)


def view(near: float = 1.0, far: float = 5.0, dtype=torch.float32, size: int = 21):
    camera = Camera("PINHOLE", size, size, [1.2 * size, 1.2 * size, size / 2, size / 2])
    pose = look_at([0, -3, 0], [0, 0, 0])
    return camera_rays(camera, pose, near=near, far=far).torch(dtype=dtype)


def occupancy() -> OccupancySampling:
    grid = OccupancyGrid(BOX, 32, step=0.02)
    rng = np.random.default_rng(0)
    for _ in range(8):  # cells that the ball just touches are not found by a single look
        grid.update(lambda unit: ball_density(torch.from_numpy(BOX.world_points(unit))).numpy(), rng)
    return OccupancySampling(grid, MarchOptions(smallest_step=0.01))


SAMPLINGS = {
    "even": EvenSampling(400),
    "hierarchical": HierarchicalSampling(48, 64),
    "proposals": ProposalSampling((ball_density, ball_density), (64, 64), 64),
    "occupancy": occupancy(),
}


@pytest.mark.parametrize("backend", ["reference", "cpu"])
@pytest.mark.parametrize("name", sorted(SAMPLINGS))
def test_a_ball_is_where_it_is_however_it_is_sampled(name, backend):
    rays = view()
    options = RenderOptions(SAMPLINGS[name], normals=True, backend=backend)
    seen = render_rays(ball, rays, options, background=(0.0, 0.0, 1.0))
    along = -(rays.origins * rays.directions).sum(-1)
    off = (rays.origins + along[:, None] * rays.directions).norm(dim=-1)
    hit, missed = off < 0.8 * RADIUS, off > 1.2 * RADIUS
    assert hit.sum() > 20 and missed.sum() > 100
    at = along - (RADIUS**2 - off**2).clip(min=0).sqrt()
    torch.testing.assert_close(
        seen.color[hit], torch.tensor(RED).expand(int(hit.sum()), 3), rtol=0, atol=0.02
    )
    torch.testing.assert_close(seen.color[missed], torch.tensor([0, 0, 1.0]).expand(int(missed.sum()), 3))
    for found in (seen.range, seen.median_range):
        assert (found - at)[hit].abs().max() < 0.03
    points = rays.origins + at[:, None] * rays.directions
    assert (seen.normals * points / RADIUS).sum(-1)[hit].min() > 0.99
    assert (seen.alpha <= 1 + 1e-5).all()


def test_fog_is_exact_with_any_number_of_samples():
    for options in (RenderOptions(EvenSampling(1)), RenderOptions(HierarchicalSampling(3, 5))):
        rays = view(near=0.5, far=2.5, dtype=torch.float64)
        seen = render_rays(fog, rays, options, background=torch.ones(3, dtype=torch.float64))
        left = math.exp(-1.4)
        torch.testing.assert_close(seen.color, torch.full_like(seen.color, 0.25 * (1 - left) + left))


@pytest.mark.parametrize("name", sorted(SAMPLINGS))
def test_permuting_the_rays_permutes_the_picture(name):
    rays, order = view(), torch.randperm(21 * 21, generator=torch.Generator().manual_seed(0))
    options = RenderOptions(SAMPLINGS[name])
    one, other = render_rays(ball, rays, options), render_rays(ball, rays[order], options)
    torch.testing.assert_close(one.color[order], other.color, rtol=0, atol=1e-6)
    torch.testing.assert_close(one.range[order], other.range, rtol=0, atol=1e-5)


def test_jitter_repeats_with_its_generator():
    for sampling in SAMPLINGS.values():
        seen = [
            render_rays(ball, view(), RenderOptions(sampling), rng=torch.Generator().manual_seed(4))
            for _ in range(2)
        ]
        assert torch.equal(seen[0].samples.starts, seen[1].samples.starts)
        assert torch.equal(seen[0].color, seen[1].color)
        straight = render_rays(ball, view(), RenderOptions(sampling)).samples
        assert len(straight) != len(seen[0].samples) or not torch.equal(
            straight.starts, seen[0].samples.starts
        )


@pytest.mark.parametrize("backend", ["reference", "cpu"])
def test_a_field_is_fitted_through_it(backend):
    """The density and colour of a fog from the picture of another: the gradient leads there."""
    raw = torch.tensor([-1.0, 0.0, 0.0, 0.0], requires_grad=True)

    def guess(positions, directions):
        density = raw[0].exp().expand(len(positions))
        return FieldOutput(density, torch.sigmoid(raw[1:]).expand(len(positions), 3))

    rays = view(near=0.5, far=2.5, size=5)
    options = RenderOptions(EvenSampling(8), backend=backend)
    wanted = render_rays(
        lambda p, d: FieldOutput(0.7 + 0 * p[:, 0], 0 * p + p.new_tensor(RED)), rays, options
    )
    adam = torch.optim.Adam([raw], 0.1)
    for _ in range(200):
        seen = render_rays(guess, rays, options)
        loss = (seen.color - wanted.color).square().mean() + (seen.range - wanted.range).square().mean()
        adam.zero_grad()
        loss.backward()
        adam.step()
    assert float(raw[0].detach().exp()) == pytest.approx(0.7, abs=0.02)
    torch.testing.assert_close(torch.sigmoid(raw[1:]), torch.tensor(RED), rtol=0, atol=0.03)


def test_coarse_and_proposal_weights_can_be_trained_and_their_places_cannot():
    scale = torch.tensor(0.1, requires_grad=True)

    def thin(positions):
        return scale * ball_density(positions)

    def thin_field(positions, directions):
        return FieldOutput(thin(positions), 0 * positions)

    for sampling in (
        ProposalSampling((thin,), (32,), 16),
        HierarchicalSampling(32, 8, coarse_field=thin_field),
    ):
        seen = render_rays(ball, view(), RenderOptions(sampling))
        assert len(seen.stages) == 1
        assert not seen.samples.starts.requires_grad and not seen.color.requires_grad
        (slope,) = torch.autograd.grad(seen.stages[0].weights.square().sum(), scale)
        assert float(slope) != 0
    assert seen.stages[0].rendering is not None


def test_normals_are_differentiable():
    radius = torch.tensor([0.6, 0.6, 0.5], requires_grad=True)

    def ellipsoid(positions, directions):
        return FieldOutput(30 * torch.sigmoid(10 * (1 - (positions / radius).norm(dim=-1))), 0 * positions)

    seen = render_rays(ellipsoid, view(size=7), RenderOptions(EvenSampling(32), normals=True))
    (slope,) = torch.autograd.grad(seen.normals[:, 2].abs().sum(), radius)
    assert torch.isfinite(slope).all() and slope.abs().max() > 0
    assert not render_rays(
        ball, view(), RenderOptions(normals=True)
    ).normals.requires_grad  # nothing to learn there


def test_a_field_that_wants_cones_is_given_rays_and_samples():
    class Along:
        def along(self, rays, samples):
            width = samples.middles * samples.per_sample(rays.radii)
            return FieldOutput(1e6 * torch.ones_like(width), width[:, None].expand(-1, 3))

        def __call__(self, positions, directions):
            raise AssertionError("the rays are not asked for points")

    rays = view(near=2.0, far=4.0)
    seen = render_rays(Along(), rays, RenderOptions(EvenSampling(1)))
    torch.testing.assert_close(seen.color[:, 0], 3 * rays.radii)


def test_rays_without_samples_show_the_background():
    rays = view()
    away = type(rays)(rays.origins, -rays.directions, rays.near, rays.far, rays.radii, rays.rows)
    sky = render_rays(ball, away, RenderOptions(SAMPLINGS["occupancy"]), lambda d: 0.5 + 0.5 * d)
    assert len(sky.samples) == 0
    torch.testing.assert_close(sky.color, 0.5 + 0.5 * away.directions)
    empty = type(rays)(rays.origins, rays.directions, rays.near, rays.near, rays.radii, rays.rows)
    for name in ("even", "hierarchical", "proposals"):
        seen = render_rays(ball, empty, RenderOptions(SAMPLINGS[name]), torch.ones(3))
        torch.testing.assert_close(seen.color, torch.ones(441, 3))


def test_far_fog_is_seen_in_disparity():
    camera = Camera("PINHOLE", 3, 3, [3, 3, 1.5, 1.5])
    rays = camera_rays(camera, SE3.identity(), near=0, far=1e4)
    spaced = EvenSampling(64, Spacing("disparity", 2.0))

    def beyond(positions, directions):
        return FieldOutput((positions.norm(dim=-1) > 100).float() * 0.1, 0 * positions + 0.5)

    seen = render_rays(beyond, rays, RenderOptions(spaced))
    torch.testing.assert_close(seen.alpha, torch.ones(9), rtol=0, atol=1e-4)
    assert (seen.samples.middles < 2).float().mean() > 0.4


@pytest.mark.parametrize("name", sorted(SAMPLINGS))
def test_no_rays_and_one(name):
    for count in (0, 1):
        seen = render_rays(ball, view()[:count], RenderOptions(SAMPLINGS[name], normals=True))
        assert seen.color.shape == (count, 3) and seen.normals.shape == (count, 3)


@pytest.mark.parametrize("near", [0.3, 7.77, 123.4])
def test_no_place_of_a_ray_is_beyond_its_ends(near):
    def wall(positions, directions):
        return FieldOutput(torch.full_like(positions[:, 0], 1e9), positions)

    spacing = Spacing("disparity")
    for sampling in (
        EvenSampling(8, spacing),
        HierarchicalSampling(8, 8, spacing=spacing),
        ProposalSampling((ball_density,), (8,), 8, spacing=spacing),
    ):
        seen = render_rays(wall, view(near, near + 5), RenderOptions(sampling))
        assert seen.samples.starts.min() >= np.float32(near)
        assert seen.samples.ends.max() <= np.float32(near + 5)
        assert not render_rays(wall, view(near, near), RenderOptions(sampling)).alpha.any()


@pytest.mark.parametrize("name", sorted(SAMPLINGS))
def test_gradients_by_the_field_are_the_differences(name):
    """Of all that is rendered, with the samples where they are."""
    rays = view(dtype=torch.float64, size=3)[3:6]
    options = RenderOptions(SAMPLINGS[name], normals=True)

    def render(radius, color, sky):
        def soft(positions, directions):
            density = 3 * torch.sigmoid((radius - positions.norm(dim=-1)) * 5)
            return FieldOutput(density, color * torch.sigmoid(positions))

        fixed = render_rays(ball, rays, options).samples
        sampling = type("Fixed", (), {"sample": lambda *_: (fixed, ())})()
        seen = render_rays(soft, rays, RenderOptions(sampling, normals=True), lambda d: sky + 0 * d)
        return seen.color, seen.alpha, seen.range, seen.normals, seen.weights

    inputs = (torch.tensor(0.6), torch.tensor([0.9, 0.5, 0.2]), torch.tensor([0.1, 0.2, 0.3]))
    assert torch.autograd.gradcheck(render, [i.double().requires_grad_() for i in inputs], fast_mode=True)


@pytest.mark.parametrize("name", sorted(SAMPLINGS))
def test_what_fields_must_not_give_is_told(name):
    shapes = r"field: expected {} of the shape \(\d+,.*\) in a tensor, from as many positions, got {}"
    for field, message in (
        (lambda p, d: None, "field: expected a FieldOutput, got a NoneType"),
        (lambda p, d: (p[:, 0], p), "field: expected a FieldOutput, got a tuple"),
        (lambda p, d: FieldOutput(p[:, :1], p), shapes.format("density", r"\(\d+, 1\)")),
        (lambda p, d: FieldOutput(p[:, 0], p[:, :2]), shapes.format("color", r"\(\d+, 2\)")),
        (lambda p, d: FieldOutput(p[:, 0].numpy(), p), shapes.format("density", "a ndarray")),
    ):
        with pytest.raises(ValueError, match=message):
            render_rays(field, view(), RenderOptions(SAMPLINGS[name]))
        if name == "hierarchical":
            with pytest.raises(ValueError, match=message):
                render_rays(ball, view(), RenderOptions(HierarchicalSampling(8, 8, coarse_field=field)))
    for proposal in (lambda p: p, lambda p: p[:, :1], lambda p: None, lambda p: 3.0):
        with pytest.raises(ValueError, match="proposal: expected densities of the shape"):
            render_rays(ball, view(), RenderOptions(ProposalSampling((proposal,), (8,))))


def test_what_is_refused():
    with pytest.raises(ValueError, match="backend: expected one of"):
        RenderOptions(backend="gpu")
    with pytest.raises(ValueError, match="backend: the kernels of 'cpu' take float32"):
        render_rays(fog, view(dtype=torch.float64), RenderOptions(backend="cpu"))
    with pytest.raises(ValueError, match=r"field: expected color of the shape \(28224, 3\)"):
        render_rays(lambda p, d: FieldOutput(p[:, 0], p[:, 0]), view())
    with pytest.raises(ValueError, match="sampling: expected one like EvenSampling"):
        RenderOptions("even")
    for behind in (torch.ones(4), torch.ones(5, 3), 1.0, lambda d: d[:, :1]):
        with pytest.raises(
            ValueError, match=r"background: expected three numbers or the shape \(441, 3\), got"
        ):
            render_rays(fog, view(), background=behind)
    with pytest.raises(ValueError, match="count: expected at least 1 interval a ray, got 0"):
        EvenSampling(0)
    with pytest.raises(ValueError, match="one count for each proposal, got 1 proposals and 2 counts"):
        ProposalSampling((ball_density,), (32, 64))
    with pytest.raises(ValueError, match="padding: expected a share"):
        ProposalSampling((ball_density,), (32,), padding=2)
    with pytest.raises(ValueError, match="kind: expected one of range, disparity"):
        Spacing("log")
    with pytest.raises(ValueError, match="scale: expected a length above 0"):
        Spacing("disparity", 0.0)
