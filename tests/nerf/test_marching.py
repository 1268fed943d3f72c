"""Rays march through an occupancy grid: all that is occupied is sampled, nothing else, and the grid remembers."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geo3d.cameras import Camera
from geo3d.geometry import look_at
from geo3d.nerf import MarchOptions, OccupancyGrid, Rays, SceneBox, camera_rays
from geo3d.nerf.marching_kernels import FARTHEST, _contracted_leap, _widest, empty_distances

N = 16
seeds = st.integers(0, 2**32 - 1)


def grid_of(occupied: np.ndarray, box: SceneBox) -> OccupancyGrid:
    """A grid with just these cells."""
    grid = OccupancyGrid(box, len(occupied), step=1.0)
    grid.restore(np.where(occupied, 100.0, 0.0).astype(np.float32).ravel())
    return grid


def random_case(seed: int, unbounded: bool = False):
    rng = np.random.default_rng(seed)
    box = SceneBox(tuple(rng.normal(size=3)), rng.uniform(0.5, 4), unbounded)
    occupied = rng.random((N, N, N)) < rng.choice([0.003, 0.03, 0.3, 1.0])
    eye = np.array(box.center) + box.side * rng.uniform(-1, 1, 3) * rng.choice([0.2, 1.0, 2.0])
    pose = look_at(eye, np.array(box.center) + 0.2 * box.side * rng.normal(size=3))
    rays = camera_rays(Camera("PINHOLE", 9, 7, [8, 8, 4.5, 3.5]), pose, near=0.05, far=6 * box.side)
    return rng, box, occupied, grid_of(occupied, box), rays


def cells(positions: np.ndarray) -> tuple[np.ndarray, ...]:
    return tuple(np.clip((positions * N).astype(int), 0, N - 1).T)


@given(seed=seeds, unbounded=st.booleans())
def test_samples_are_in_order_where_they_say(seed, unbounded):
    rng, box, _, grid, rays = random_case(seed, unbounded)
    options = MarchOptions(smallest_step=0.01, cone_angle=0.02 if unbounded else rng.choice([0.0, 0.02]))
    found = grid.march(rays, options, rng.random(len(rays), np.float32))
    s = found.samples
    assert s.offsets[0] == 0 and s.offsets[-1] == len(s)
    np.testing.assert_array_equal(found.rays, s.ray_indices())
    np.testing.assert_array_equal(found.directions, s.per_sample(rays.directions))
    np.testing.assert_allclose(found.positions, box.unit_positions(s.positions(rays)), atol=2e-5)
    assert np.all(s.lengths > 0)
    assert np.all(s.starts >= rays.near[found.rays]) and np.all(s.ends <= rays.far[found.rays])
    same = found.rays[1:] == found.rays[:-1]
    assert np.all(s.starts[1:][same] >= s.ends[:-1][same] - 1e-5 * s.ends[:-1][same])
    longest = np.maximum(options.smallest_step * box.side, options.cone_angle * s.starts * 1.03)
    assert np.all(s.lengths <= longest * (1 + 1e-3))


@given(seed=seeds, unbounded=st.booleans())
def test_what_is_passed_is_sampled_and_what_is_empty_is_not(seed, unbounded):
    """Against a walk along the ray in tiny steps."""
    rng, box, occupied, grid, rays = random_case(seed, unbounded)
    step = 0.01
    jitter = rng.random(len(rays), np.float32)
    found = grid.march(rays, MarchOptions(smallest_step=step), jitter)
    t = np.arange(0.05, 6 * box.side, 0.1 * step * box.side)
    unit = box.unit_positions(rays.origins[:, None] + t[:, None] * rays.directions[:, None])
    inside = np.all((unit > 0) & (unit < 1), -1)
    full = inside & occupied[cells(unit.reshape(-1, 3))].reshape(inside.shape)
    length = full.sum(1) * 0.1 * step * box.side
    sampled = np.bincount(found.rays, found.samples.lengths, len(rays))
    runs = (np.diff(full.astype(int), axis=1) != 0).sum(1) + 1
    # Each run of occupied cells is sampled to within a step at either end.
    assert np.all(np.abs(sampled - length) <= (runs + 1) * step * box.side * 1.05)
    # A middle in an empty cell is at most the rounding of one that is on its border.
    own = occupied[cells(found.positions)]
    whole = np.isclose(found.samples.lengths, step * box.side, rtol=1e-3)
    near_border = np.abs(found.positions * N - np.round(found.positions * N)).min(1) < 1e-3
    assert np.all(own | near_border | ~whole)


def test_over_random_phases_the_mean_length_is_what_is_occupied():
    occupied = np.zeros((N, N, N), bool)
    occupied[5:8], occupied[11] = True, True
    grid = grid_of(occupied, SceneBox())
    many = 20_000
    one = Rays(*(np.tile(a, (many, 1)).astype(np.float32) for a in ([[-1, 0.5, 0.5]], [[1, 0, 0]])),
               *(np.full(many, v, np.float32) for v in (0, 9, 0)), np.full(many, -1, np.int32))  # fmt: skip
    jitter = np.random.default_rng(0).random(many, np.float32)
    found = grid.march(one, MarchOptions(smallest_step=0.03), jitter)
    assert found.samples.lengths.sum() / many == pytest.approx(4 / N, rel=0.01)
    spread, _ = np.histogram(found.positions[:, 0], bins=24, range=(5 / N, 8 / N))
    assert spread.min() > 0.85 * spread.mean()


@settings(max_examples=20)
@given(seed=seeds, unbounded=st.booleans())
def test_a_ray_is_marched_alone_as_among_others(seed, unbounded):
    rng, _, _, grid, rays = random_case(seed, unbounded)
    options = MarchOptions(smallest_step=0.01, cone_angle=0.02)
    jitter = rng.random(len(rays), np.float32)
    first = grid.march(rays, options, jitter)
    own = first.rays == 11
    starts, ends = first.samples.starts[own].copy(), first.samples.ends[own].copy()
    alone = grid.march(rays[11:12], options, jitter[11:12]).samples
    np.testing.assert_array_equal(alone.starts, starts)
    np.testing.assert_array_equal(alone.ends, ends)


@given(seed=seeds, most=st.integers(1, 9))
def test_a_march_that_was_stopped_goes_on_where_it_was(seed, most):
    _, _, _, grid, rays = random_case(seed)
    whole = grid.march(rays, MarchOptions(smallest_step=0.02))
    counts, ranges = whole.samples.counts.copy(), whole.samples.middles.copy()
    stopped = grid.march(rays, MarchOptions(smallest_step=0.02, max_samples=most))
    np.testing.assert_array_equal(stopped.samples.counts, np.minimum(counts, most))
    part, more = stopped.samples.counts.copy(), np.isfinite(stopped.stopped)
    assert np.all(more[counts > most])
    near = np.where(more, stopped.stopped, rays.far)
    rest = grid.march(Rays(rays.origins, rays.directions, near, rays.far, rays.radii, rays.rows),
                      MarchOptions(smallest_step=0.02))  # fmt: skip
    # Float32 holds the range of the stop: a middle on the border of a cell may fall on its other side.
    assert np.abs(part + rest.samples.counts - counts).max() <= 2
    assert abs(int((part + rest.samples.counts).sum()) - len(ranges)) <= max(3, 0.02 * len(ranges))


@given(seed=seeds, room=st.floats(1e-3, 0.5))
def test_a_leap_in_contracted_space_stays_within_its_room(seed, room):
    """Wherever it starts outside of the box; and one that stays on its side of the box is no timid one."""
    rng = np.random.default_rng(seed)
    space = SceneBox(unbounded=True)
    for _ in range(20):
        origin, direction = 0.5 + rng.normal(size=3) * rng.choice([0.3, 3.0]), rng.normal(size=3)
        at = origin + rng.uniform(0, 30) * direction
        if np.abs(at - 0.5).max() <= 0.5:
            continue
        leap = _contracted_leap(tuple(at), tuple(direction), _widest(tuple(origin), tuple(direction)), room)
        assert leap > 0
        along = at + np.linspace(0, min(leap, 1e4), 200)[:, None] * direction
        moved = 4 * np.abs(space.unit_positions(along) - space.unit_positions(at)).max()
        assert moved <= room * (1 + 1e-9)
    ahead = (1.0, 0.0, 0.0)
    straight = _contracted_leap((10.0, 0.5, 0.5), ahead, _widest((0.5, 0.5, 0.5), ahead), 0.02)
    moved = 4 * (
        space.unit_positions(np.array([10 + straight, 0.5, 0.5]))
        - space.unit_positions(np.array([10.0, 0.5, 0.5]))
    )
    assert moved[0] == pytest.approx(0.02)


@given(seed=seeds)
def test_distances_are_those_to_the_nearest_occupied_cell(seed):
    rng = np.random.default_rng(seed)
    occupied = rng.random((12, 12, 12)) < rng.choice([0.0, 0.002, 0.02, 0.5])
    found = empty_distances(occupied)
    full = np.argwhere(occupied)
    every = np.argwhere(np.ones_like(occupied))
    expected = np.full(len(every), FARTHEST)
    if len(full):
        expected = np.minimum(expected, np.abs(every[:, None] - full[None]).max(-1).min(1))
    np.testing.assert_array_equal(found.ravel(), expected)


@settings(max_examples=10)
@given(seed=seeds, far=st.sampled_from([1e9, 1e20, np.inf]), step=st.sampled_from([0.01, 10.0]))
def test_rays_without_end_end_where_the_cube_of_all_space_does(seed, far, step):
    """Past that the contracted place stands still, and what was marched there would never be left."""
    _, _, _, grid, rays = random_case(seed, unbounded=True)
    options = MarchOptions(smallest_step=step, max_samples=50)
    found = grid.march(Rays(*(rays.origins, rays.directions, rays.near, np.full_like(rays.far, far)),
                            *(rays.radii, rays.rows)), options)  # fmt: skip
    assert np.isfinite(found.samples.ends).all() and np.isfinite(found.positions).all()
    distant = Rays(rays.origins + 1e18, rays.directions, rays.near, rays.far + np.inf, rays.radii, rays.rows)
    for box in (SceneBox(unbounded=True), SceneBox()):
        OccupancyGrid(box, N).march(distant, options)  # no step counts there


def test_rays_that_meet_nothing_have_no_samples():
    box = SceneBox((0, 0, 0), 2.0)
    rays = camera_rays(Camera("PINHOLE", 4, 4, [4, 4, 2, 2]), look_at([0, -5, 0], [0, 0, 0]))
    assert len(grid_of(np.zeros((N, N, N), bool), box).march(rays).samples) == 0
    full = grid_of(np.ones((N, N, N), bool), box)
    assert len(full.march(rays).samples) > 0
    away = camera_rays(Camera("PINHOLE", 4, 4, [4, 4, 2, 2]), look_at([0, -5, 0], [0, -9, 0]))
    found = full.march(away)
    assert len(found.samples) == 0 and found.samples.offsets.tolist() == [0] * 17
    assert len(full.march(away[:0]).samples) == 0


def test_a_grid_that_knows_nothing_is_occupied_and_forgets_what_has_gone():
    grid = OccupancyGrid(SceneBox(), 16, step=0.01)
    assert grid.share == 1
    rng = np.random.default_rng(0)

    def half(positions: np.ndarray) -> np.ndarray:
        return np.where(positions[:, 0] < 0.5, 5.0, 0.0)

    grid.update(half, rng)
    assert np.array_equal(grid.occupied, np.indices((16, 16, 16))[0] < 8)
    for _ in range(400):
        grid.update(lambda p: np.where(p[:, 1] < 0.5, 5.0, 0.0), rng, cells=2000)
    assert np.array_equal(grid.occupied, np.indices((16, 16, 16))[1] < 8)
    other = OccupancyGrid(SceneBox(), 16, step=0.01)
    other.restore(grid.densities)
    assert np.array_equal(other.occupied, grid.occupied)


def test_thin_cells_are_empty_unless_all_are_thin():
    rng = np.random.default_rng(0)
    for strong in (True, False):
        grid = OccupancyGrid(SceneBox(), 16, step=0.01, thickness=0.01)  # empty below a density of 1
        grid.update(lambda p: np.where(p[:, 2] < 0.5, 100.0 if strong else 0.05, 0.04), rng)  # noqa: B023
        assert np.array_equal(grid.occupied, np.indices((16, 16, 16))[2] < 8)


def test_the_same_seed_looks_at_the_same_places():
    grids = [OccupancyGrid(SceneBox(), 16) for _ in range(2)]
    for grid in grids:
        rng = np.random.default_rng(5)
        for _ in range(3):
            grid.update(lambda p: 1000 * p[:, 0] * p[:, 1], rng, cells=700)
    np.testing.assert_array_equal(grids[0].densities, grids[1].densities)


def test_what_is_refused():
    with pytest.raises(ValueError, match="resolution: expected a multiple of 4, got 10"):
        OccupancyGrid(SceneBox(), 10)
    with pytest.raises(ValueError, match=r"densities: expected the shape \(64,\)"):
        OccupancyGrid(SceneBox(), 4).restore(np.zeros(5, np.float32))
    with pytest.raises(ValueError, match="smallest_step and largest_step"):
        MarchOptions(smallest_step=0.1, largest_step=0.05)
    with pytest.raises(ValueError, match="cone_angle"):
        MarchOptions(cone_angle=1.5)
    with pytest.raises(ValueError, match="max_samples: expected at least 1"):
        MarchOptions(max_samples=0)
    for sizes in ({"step": 0.0}, {"thickness": -1.0}):
        with pytest.raises(ValueError, match="step, thickness: expected numbers above 0"):
            OccupancyGrid(SceneBox(), 4, **sizes)
    grid, rays = OccupancyGrid(SceneBox(), 4), random_case(0)[-1]
    with pytest.raises(ValueError, match=r"jitter: expected the shape \(63,\), one of each ray, got \(3,\)"):
        grid.march(rays, jitter=np.zeros(3, np.float32))
    with pytest.raises(
        ValueError, match=r"density: expected the shape \(64,\) for as many positions, got \(64, 1\)"
    ):
        grid.update(lambda p: p[:, :1], np.random.default_rng(0))
