"""March and occupancy grid of the GPU, in the emulator, beside those of the CPU."""

import numpy as np
import pytest
import torch

from geo3d.nerf.contraction import SceneBox
from geo3d.nerf.cuda_field import KERNELS, CudaField
from geo3d.nerf.cuda_marching import CudaOccupancy
from geo3d.nerf.field_parameters import FieldShape, initial_parameters
from geo3d.nerf.occupancy import MarchOptions, OccupancyGrid
from geo3d.nerf.rays import Rays
from tests.gpu.emulator import COMPILER, EmulatedLauncher

pytestmark = pytest.mark.skipif(COMPILER is None, reason="needs g++, which compiles the kernels here")

BOXES = {
    "unit": SceneBox(),
    "elsewhere": SceneBox((3.0, -2.0, 1.0), 4.0),
    "unbounded": SceneBox((0.5, 0.0, 0.0), 0.7, unbounded=True),
}


def random_rays(box: SceneBox, count: int = 300, seed: int = 0) -> Rays:
    """From around the box to near its middle; the first along an axis, the second past the box."""
    rng = np.random.default_rng(seed)
    origins = np.array(box.center) + box.side * rng.normal(size=(count, 3))
    aims = np.array(box.center) + 0.4 * box.side * rng.normal(size=(count, 3))
    directions = aims - origins
    origins[0], directions[0] = np.array(box.center) - [box.side, 0, 0], [1.0, 0.0, 0.0]
    origins[1], directions[1] = np.array(box.center) + np.array([0, 2 * box.side, 0]), [1.0, 0.0, 0.0]
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    near = rng.uniform(0, 0.3 * box.side, count)
    far = np.full(count, 20 * box.side if box.unbounded else np.inf)
    single = lambda a: np.asarray(a, np.float32)  # noqa: E731
    radii, rows = np.zeros(count, np.float32), np.full(count, -1, np.int32)
    return Rays(single(origins), single(directions), single(near), single(far), radii, rows)


def grids(box: SceneBox, n: int = 24, seed: int = 1) -> tuple[OccupancyGrid, CudaOccupancy]:
    """Some boxes of cells, and single cells."""
    rng = np.random.default_rng(seed)
    densities = np.where(rng.random((n, n, n)) < 0.01, 100.0, 0.0)
    densities[8:13, 5:14, 7:10] = 100.0
    densities[0, 0, 0] = -1.0
    cpu, gpu = OccupancyGrid(box, n), CudaOccupancy(EmulatedLauncher(KERNELS), box, n)
    cpu.restore(densities.ravel().astype(np.float32))
    gpu.restore(densities.ravel().astype(np.float32))
    return cpu, gpu


@pytest.mark.parametrize("box", BOXES.values(), ids=BOXES)
@pytest.mark.parametrize("jittered", [False, True])
def test_samples_are_those_of_the_cpu(box, jittered):
    cpu, gpu = grids(box)
    assert np.array_equal(cpu._empty, gpu.empty.numpy())
    np.testing.assert_allclose(gpu._box[5:], cpu._corners)
    options = MarchOptions(0.01 * box.side, 2.0 * box.side, 0.02 if box.unbounded else 0.0, 200)
    in_sides = MarchOptions(0.01, 2.0, options.cone_angle, 200)
    rays = random_rays(box)
    jitter = np.random.default_rng(2).random(len(rays), np.float32) if jittered else None
    expected = cpu.march(rays, in_sides, jitter)
    found = gpu.march(rays.torch(), options, None, None if jitter is None else torch.from_numpy(jitter))
    counts = found.offsets.diff().numpy()
    same = counts == expected.samples.counts
    assert same.mean() > 0.97 and int(found.count) == counts.sum() > 300
    assert np.abs(counts - expected.samples.counts).max() <= 2
    ours, theirs = same[found.rays.numpy()], same[expected.rays]
    # A ray that just touches a cell may pass it in single and meet it in double precision.
    close = np.abs(found.positions.numpy()[ours] - expected.positions[theirs]).max(1) < 1e-4
    assert close.mean() > 0.98
    close = np.abs(found.starts.numpy()[ours] - expected.samples.starts[theirs]) < 1e-4 * box.side
    assert close.mean() > 0.98
    np.testing.assert_allclose(
        (found.ends - found.starts).numpy()[ours][close],
        expected.samples.lengths[theirs][close],
        rtol=1e-3,
    )


def test_what_does_not_fit_is_cut_off():
    _, gpu = grids(BOXES["unit"])
    rays, options = random_rays(BOXES["unit"]).torch(), MarchOptions(0.01)
    whole, part = gpu.march(rays, options, None), gpu.march(rays, options, 100)
    assert torch.equal(whole.offsets, part.offsets) and torch.equal(whole.count, part.count)
    for name in ("starts", "ends", "positions", "rays"):
        assert torch.equal(getattr(whole, name)[:100], getattr(part, name)), name


def test_a_ray_that_cannot_move_on_ends():
    box = SceneBox(unbounded=True)
    gpu = CudaOccupancy(EmulatedLauncher(KERNELS), box, 8)
    gpu.restore(np.zeros(512, np.float32))
    one = lambda *v: torch.tensor([v], dtype=torch.float32)  # noqa: E731
    number = lambda v: torch.tensor([v], dtype=torch.float32)  # noqa: E731
    rays = Rays(
        one(0.5, 0.5, 0.5), one(0.0, 0.0, 1.0), number(0.0), number(np.inf), number(0.0), torch.tensor([-1])
    )
    assert int(gpu.march(rays, MarchOptions(0.01), None).count) == 0


def test_cells_remember_the_densities_of_the_field():
    shape = FieldShape(levels=2, log2_entries=8, coarsest=2, finest=4)
    parameters = initial_parameters(shape)
    parameters["grid"] = np.random.default_rng(0).normal(0, 1, parameters["grid"].shape).astype(np.float32)
    launch = EmulatedLauncher(KERNELS)
    field, grid = CudaField(shape, parameters, launch), CudaOccupancy(launch, SceneBox(), 16, thickness=1.0)
    assert not grid.empty.any()
    grid.update(field, seed=1)
    corner = torch.stack(torch.meshgrid(*[torch.arange(16.0)] * 3, indexing="ij"), -1).reshape(-1, 3)
    middle = field.density((corner + 0.5) / 16)
    assert torch.corrcoef(torch.stack([middle.log(), grid.densities.log()]))[0, 1] > 0.95
    assert 0.2 < (grid.empty == 0).float().mean() < 0.8
    before = grid.densities.clone()
    grid.update(field, seed=2, cells=600, decay=0.5)
    changed = grid.densities != before
    assert 300 < changed.sum() < 600
    assert (grid.densities[changed] >= 0.25 * before[changed]).all()
    chosen, places = torch.empty(600, dtype=torch.int32), torch.empty(600, 3)
    launch("occupancy/draw_cells", 3, 256, 600, 16, -1, 3, grid.empty, chosen, places)
    assert torch.equal((places * 16).floor() @ torch.tensor([256.0, 16.0, 1.0]), chosen.float())
    hit = grid.empty.reshape(-1)[chosen.long()] == 0
    assert hit[300:].all() and not hit[:300].all()
