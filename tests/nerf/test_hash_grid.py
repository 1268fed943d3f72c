"""The hash-grid field in PyTorch: what its formulas promise."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from geo3d.nerf.field_parameters import FieldShape, check_parameters, initial_parameters, parameter_shapes
from geo3d.nerf.hash_grid import encode, hash_grid_field
from tests.nerf.field_cases import SHAPES, field_case


def test_levels_grow_geometrically_and_hash_where_vertices_do_not_fit():
    shape = FieldShape()
    assert shape.resolutions[0] == 16 and shape.resolutions[-1] == 1024
    exact = 16 * 64 ** (np.arange(8) / 7)
    assert all(0 <= n - resolution < 1 for n, resolution in zip(exact + 1e-6, shape.resolutions))
    assert shape.hashed == tuple((n + 1) ** 3 > 1 << 17 for n in shape.resolutions)
    assert shape.level_starts[-1] + shape.level_entries[-1] == parameter_shapes(shape)["grid"][0]


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=20, deadline=None)
def test_dense_levels_reproduce_what_is_linear(seed):
    """Trilinear interpolation of a linear function's values at the vertices is that function."""
    rng = np.random.default_rng(seed)
    shape = FieldShape(levels=2, log2_entries=12, coarsest=3, finest=7)
    slope = torch.from_numpy(rng.normal(size=(3, 2)))
    grid = torch.zeros(parameter_shapes(shape)["grid"], dtype=torch.float64)
    for level, n in enumerate(shape.resolutions):
        z, y, x = np.mgrid[: n + 1, : n + 1, : n + 1].reshape(3, -1) / n
        first = shape.level_starts[level]
        grid[first : first + len(x)] = torch.from_numpy(np.stack([x, y, z], 1)) @ slope
    points = torch.from_numpy(rng.random((50, 3)))
    found = encode(shape, grid, points)
    np.testing.assert_allclose(found, torch.cat([points @ slope] * 2, 1), atol=1e-12)


def test_hashed_levels_follow_the_published_primes():
    shape = FieldShape(levels=1, log2_entries=8, coarsest=100, finest=100)
    assert shape.hashed == (True,)
    grid = torch.arange(512, dtype=torch.float64).reshape(256, 2)
    for vertex in ((3, 5, 7), (99, 0, 42), (100, 100, 100)):
        x, y, z = vertex
        entry = (x ^ (y * 2654435761) % 2**32 ^ (z * 805459861) % 2**32) % 256
        found = encode(shape, grid, torch.tensor([vertex], dtype=torch.float64) / 100)
        np.testing.assert_allclose(found, [[2 * entry, 2 * entry + 1]], atol=1e-6)


def test_features_are_continuous_across_cells_and_held_outside():
    case = field_case("odd sizes")
    grid = torch.from_numpy(case.parameters["grid"]).double()
    border = torch.tensor([[k / 16, 0.3, 0.6] for k in range(1, 16)], dtype=torch.float64)
    step = torch.tensor([1e-9, 0.0, 0.0])
    jump = encode(case.shape, grid, border + step) - encode(case.shape, grid, border - step)
    assert jump.abs().max() < 1e-5
    outside = torch.tensor([[-0.2, 0.5, 1.7]], dtype=torch.float64)
    face = torch.tensor([[0.0, 0.5, 1.0]], dtype=torch.float64)
    np.testing.assert_array_equal(encode(case.shape, grid, outside), encode(case.shape, grid, face))


@pytest.mark.parametrize("name", ["one dense level", "appearance"])
def test_gradients_are_those_of_finite_differences(name):
    case = field_case(name, count=6)
    tensors = {key: torch.from_numpy(array).double() for key, array in case.parameters.items()}
    x, d = torch.from_numpy(case.positions).double(), torch.from_numpy(case.directions).double()
    rows = None if case.rows is None else torch.from_numpy(case.rows).clamp(min=0)
    names = list(tensors)

    def field(x, *values):
        density, color = hash_grid_field(case.shape, dict(zip(names, values)), x, d, rows)
        return torch.log(density), color

    inputs = [x.requires_grad_(), *(tensor.requires_grad_() for tensor in tensors.values())]
    assert torch.autograd.gradcheck(field, inputs, eps=1e-7, atol=1e-5, rtol=1e-4, fast_mode=True)


def test_a_density_beyond_the_limit_stays_finite_and_can_fall():
    shape = FieldShape(levels=1, coarsest=4, finest=4, width=16)
    parameters = {k: torch.from_numpy(v).double() for k, v in initial_parameters(shape).items()}
    parameters["grid"] = torch.ones_like(parameters["grid"])
    parameters["density_0"] = torch.ones_like(parameters["density_0"])
    parameters["density_1"] = torch.full_like(parameters["density_1"], 10.0).requires_grad_()
    x = torch.full((1, 3), 0.5, dtype=torch.float64)
    density, _ = hash_grid_field(shape, parameters, x, torch.tensor([[0.0, 0.0, 1.0]], dtype=torch.float64))
    assert density.item() == pytest.approx(np.exp(15.0))
    (slope,) = torch.autograd.grad(density, parameters["density_1"])
    assert (slope[:, 0] > 0).all()


def test_initial_values_are_those_of_instant_ngp():
    parameters = initial_parameters(FieldShape(appearance=3), photos=5, seed=3)
    assert 0.99e-4 < np.abs(parameters["grid"]).max() <= 1e-4
    for name in ("density_0", "density_1", "color_0", "color_1", "color_2"):
        limit = np.sqrt(6 / sum(parameters[name].shape))
        assert 0.95 * limit < np.abs(parameters[name]).max() <= limit
    assert not parameters["appearance"].any()
    again = initial_parameters(FieldShape(appearance=3), photos=5, seed=3)
    other = initial_parameters(FieldShape(appearance=3), photos=5, seed=4)
    np.testing.assert_array_equal(again["grid"], parameters["grid"])
    assert (other["grid"] != parameters["grid"]).mean() > 0.9


@pytest.mark.parametrize("name", SHAPES)
def test_initial_parameters_fit_their_shape(name):
    shape, photos = SHAPES[name]
    check_parameters(shape, initial_parameters(shape, photos=photos))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"levels": 0}, "levels: expected 1 to 16, got 0"),
        ({"finest": 8}, "finest: expected 16 to 65536, got 8"),
        ({"width": 20}, "width: expected a multiple of 16, got 20"),
        ({"sh_degree": 4}, "sh_degree: expected 0 to 3, got 4"),
    ],
)
def test_sizes_out_of_range_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        FieldShape(**change)


def test_parameters_that_do_not_fit_are_refused():
    shape = FieldShape(log2_entries=8)
    good = initial_parameters(shape)
    with pytest.raises(ValueError, match="expected grid, density_0"):
        check_parameters(shape, {"grid": good["grid"]})
    with pytest.raises(ValueError, match=r"parameters\['color_2'\]: expected float32 \(64, 3\), got float64"):
        check_parameters(shape, {**good, "color_2": good["color_2"].astype(float)})
