"""The header of the CUDA kernels, compiled by gcc in double precision, beside the reference, numba and differences."""

import ctypes
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch

from geo3d.geometry import sh_basis
from geo3d.nerf.contraction import SceneBox, contract
from geo3d.nerf.cuda_field import KERNELS
from geo3d.nerf.field_parameters import FieldShape
from geo3d.nerf.hash_grid import encode, truncated_exp
from geo3d.nerf.occupancy import MarchOptions, OccupancyGrid
from geo3d.nerf.volume_rendering import _mean_place
from tests.nerf.test_cuda_marching import BOXES, random_rays

GCC = shutil.which("gcc")
pytestmark = pytest.mark.skipif(GCC is None, reason="needs gcc, which compiles the header here")


@pytest.fixture(scope="module")
def probe(tmp_path_factory):
    library = tmp_path_factory.mktemp("probe") / "probe.so"
    source = Path(__file__).with_name("field_math_probe.c")
    flags = ["-std=c99", "-pedantic", "-Wall", "-Wextra", "-Werror", "-O1", "-shared", "-fPIC", "-DNF_DOUBLE"]
    subprocess.run([str(GCC), *flags, f"-I{KERNELS}", str(source), "-lm", "-o", str(library)], check=True)
    loaded = ctypes.CDLL(str(library))

    def call(name: str, *arguments) -> None:
        held = [
            a if isinstance(a, int) else np.ascontiguousarray(a).ctypes.data_as(ctypes.c_void_p)
            for a in arguments
        ]
        getattr(loaded, f"probe_{name}")(*held)

    return call


@pytest.mark.parametrize("level", [0, 1, 2])
def test_corners_are_those_of_the_reference_and_their_slopes_differences(probe, level):
    """The first two levels have an entry a vertex, the last shares them."""
    shape = FieldShape(levels=3, log2_entries=11, coarsest=4, finest=30)
    assert shape.hashed == (False, False, True)
    rng = np.random.default_rng(level)
    positions = np.vstack([rng.uniform(-0.1, 1.1, (60, 3)), np.eye(3), np.ones((1, 3)), np.zeros((1, 3))])
    grid = rng.normal(size=(sum(shape.level_entries), 2))
    table = np.array(
        [
            shape.resolutions[level],
            shape.level_starts[level],
            shape.level_entries[level],
            shape.hashed[level],
        ],
        np.int32,
    )

    def features(at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        rows, weights, slopes = (
            np.empty((len(at), 8), np.int32),
            np.empty((len(at), 8)),
            np.empty((len(at), 8, 3)),
        )
        probe("corners", len(at), table, at, rows, weights, slopes)
        return (weights[..., None] * grid[rows]).sum(1), np.einsum("nia,nif->nfa", slopes, grid[rows])

    found, slopes = features(positions)
    expected = encode(shape, torch.from_numpy(grid), torch.from_numpy(positions))[
        :, 2 * level : 2 * level + 2
    ]
    np.testing.assert_allclose(found, expected, atol=1e-12)
    inside = rng.uniform(0.01, 0.99, (60, 3))
    _, slopes = features(inside)
    for axis in range(3):
        step = 1e-7 * np.eye(3)[axis]
        difference = (features(inside + step)[0] - features(inside - step)[0]) / 2e-7
        assert np.mean(np.abs(difference - slopes[..., axis]) < 1e-5) > 0.99, "but where a cell ends"


def test_harmonics_are_those_of_the_geometry(probe):
    directions = np.random.default_rng(0).normal(size=(50, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    found = np.empty((50, 16))
    probe("harmonics", 50, directions, found)
    np.testing.assert_allclose(found, sh_basis(directions, 3), atol=1e-14)


def test_the_contraction_is_that_of_the_box(probe):
    points = np.random.default_rng(1).normal(0.5, 2.0, (200, 3))
    found = np.empty((200, 3))
    probe("contract", 200, points, found)
    np.testing.assert_allclose(found, [contract(*point) for point in points], atol=1e-15)
    np.testing.assert_allclose(found, SceneBox(unbounded=True).unit_positions(points), atol=1e-15)


def test_scalars_are_those_of_the_formulas(probe):
    x = np.concatenate([np.geomspace(1e-6, 50, 300), [0.0, 0.03, 0.5]])
    out = np.empty((len(x), 6))
    probe("scalars", len(x), x, np.array([0.1]), out)
    np.testing.assert_allclose(out[:, 0], -np.expm1(-x), rtol=1e-7)
    np.testing.assert_allclose(out[:, 1], _mean_place(torch.from_numpy(x)), rtol=1e-9)
    off = torch.tensor(x - 1.0, requires_grad=True)
    for column, loss in (
        (2, torch.nn.functional.huber_loss(off, torch.zeros_like(off), reduction="none", delta=0.1) / 0.1),
        (4, off**2),
    ):
        (slope,) = torch.autograd.grad(loss.sum(), off)
        np.testing.assert_allclose(out[:, column], loss.detach(), atol=1e-13)
        np.testing.assert_allclose(out[:, column + 1], slope, atol=1e-12)


def test_activations_are_those_of_the_field(probe):
    x = np.linspace(-40.0, 20.0, 200)
    out = np.empty((200, 3))
    probe("activations", 200, x, out)
    raw = torch.tensor(x, requires_grad=True)
    density = truncated_exp(raw)
    (slope,) = torch.autograd.grad(density.sum(), raw)
    for column, expected in enumerate((density.detach(), slope, torch.sigmoid(raw.detach()))):
        np.testing.assert_allclose(out[:, column], expected, rtol=1e-12)


def test_activations_of_what_is_no_number_are_none(probe):
    out = np.zeros((1, 3))
    probe("activations", 1, np.array([np.nan]), out)
    assert np.isnan(out).all()


@pytest.mark.parametrize("box", BOXES.values(), ids=BOXES)
def test_the_march_is_that_of_the_cpu(probe, box):
    n, most = 24, 200
    densities = np.where(np.random.default_rng(1).random(n**3) < 0.02, 100.0, 0.0).astype(np.float32)
    grid = OccupancyGrid(box, n)
    grid.restore(densities)
    rays, jitter = random_rays(box), np.random.default_rng(2).random(300, np.float32)
    cone = 0.02 if box.unbounded else 0.0
    expected = grid.march(rays, MarchOptions(0.01, 2.0, cone, most), jitter)
    numbers = np.array([*box.center, box.side, box.unbounded, *grid._corners], np.float64)
    lengths = np.array([cone, 0.01 * box.side, 2.0 * box.side])
    double = [np.asarray(a, np.float64) for a in (rays.origins, rays.directions, rays.near, rays.far, jitter)]
    counts, begins = np.empty(300, np.int32), np.full((300, most), np.nan)
    probe("march", 300, numbers, n, *double, lengths, grid._empty, most, counts, begins)
    assert np.array_equal(counts, expected.samples.counts) and counts.sum() > 300
    whole = (expected.samples.lengths > 0.0099 * box.side) & (expected.samples.starts > 1e-6)
    starts = begins[~np.isnan(begins)]
    close = np.abs(starts - expected.samples.starts)[whole] < 1e-5 * box.side
    assert close.mean() > 0.98, "but those that are cut where the ray begins"


def test_random_numbers_are_even_and_apart(probe):
    out = np.empty((20_000, 3))
    probe("random", 20_000, out)
    assert out.min() >= 0 and out.max() < 1 and len(np.unique(out)) > 59_000
    counts = np.histogramdd(out, bins=5, range=[(0, 1)] * 3)[0]
    assert abs(np.sqrt(((counts - 160) ** 2 / 160).mean()) - 1) < 0.25, "as a Poisson distribution is"
