"""The fast field against the one in PyTorch: values, gradients, and that nothing depends on the threads."""

import numpy as np
import pytest
import torch

from geo3d.nerf.cpu_field import CpuField
from geo3d.nerf.hash_grid import encode, hash_grid_field
from geo3d.util.crew import Crew
from tests.nerf.field_cases import SHAPES, FieldCase, field_case, reference


def assert_close(found: np.ndarray, expected: np.ndarray, name: str, tolerance: float = 1e-5) -> None:
    """Within `tolerance` of the array's largest number."""
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance * np.abs(expected).max(), err_msg=name)


@pytest.mark.parametrize("name", SHAPES)
def test_values_and_gradients_are_those_of_the_reference(name):
    case = field_case(name)
    field = CpuField(case.shape, case.parameters)
    density, color = field.forward(*case.inputs)
    expected_density, expected_color, expected = reference(case)
    np.testing.assert_allclose(density, expected_density, rtol=1e-5)
    np.testing.assert_allclose(color, expected_color, rtol=0, atol=1e-5)
    found = field.backward(case.d_density, case.d_color, positions=True)
    assert set(found) == set(expected)
    for key, gradient in found.items():
        # A slope is a difference of neighbours times the resolution, which also magnifies the rounding.
        assert_close(gradient, expected[key], key, 1e-5 if key != "positions" else 1e-4)


def loss(case: FieldCase, tensors: dict, x: torch.Tensor) -> torch.Tensor:
    rows = None if case.rows is None else torch.from_numpy(case.rows)
    density, color = hash_grid_field(case.shape, tensors, x, torch.from_numpy(case.directions).double(), rows)
    d_density, d_color = torch.from_numpy(case.d_density), torch.from_numpy(case.d_color)
    return (density * d_density).sum() + (color * d_color).sum()


@pytest.mark.parametrize("name", ["odd sizes", "appearance"])
def test_gradients_are_those_of_finite_differences_in_double_precision(name):
    """Along a random direction of each array: central differences of the loss."""
    case = field_case(name, count=200)
    field = CpuField(case.shape, case.parameters)
    field.forward(*case.inputs)
    found = field.backward(case.d_density, case.d_color, positions=True)
    tensors = {key: torch.from_numpy(array).double() for key, array in case.parameters.items()}
    tensors["positions"] = torch.from_numpy(case.positions).double()
    rng = np.random.default_rng(1)
    for key, gradient in found.items():
        if key == "appearance":
            continue  # the mean, for samples of no photo, is held
        direction = rng.choice([-1.0, 1.0], gradient.shape)
        step = 1e-8
        ends = []
        for sign in (-1, 1):
            moved = {**tensors, key: tensors[key] + sign * step * torch.from_numpy(direction)}
            ends.append(loss(case, moved, moved["positions"]).item())
        slope = (ends[1] - ends[0]) / (2 * step)
        scale = np.abs(gradient).sum()
        assert abs((gradient * direction).sum() - slope) < 1e-5 * scale, key


@pytest.mark.parametrize("count", [0, 1, 95, 96, 97, 1000])
def test_any_number_of_samples(count):
    case = field_case("appearance", count=max(count, 1))
    field = CpuField(case.shape, case.parameters)
    assert case.rows is not None
    density, color = field.forward(case.positions[:count], case.directions[:count], case.rows[:count])
    assert density.shape == (count,) and color.shape == (count, 3)
    gradients = field.backward(case.d_density[:count], case.d_color[:count], positions=True)
    assert gradients["positions"].shape == (count, 3)
    for key, gradient in gradients.items():
        assert np.isfinite(gradient).all() and (count > 0 or not gradient.any()), key


def test_samples_do_not_see_each_other():
    """Each sample's values are the same wherever it stands among the others."""
    case = field_case("odd sizes")
    field = CpuField(case.shape, case.parameters)
    density, color = (array.copy() for array in field.forward(*case.inputs))
    order = np.random.default_rng(0).permutation(len(density))
    mixed_density, mixed_color = field.forward(case.positions[order], case.directions[order])
    np.testing.assert_array_equal(mixed_density, density[order])
    np.testing.assert_array_equal(mixed_color, color[order])
    np.testing.assert_array_equal(field.density(case.positions), density)


@pytest.mark.parametrize("name", ["as Instant-NGP", "appearance"])
def test_results_are_the_same_to_the_bit_in_every_run_and_with_any_threads(name):
    case = field_case(name, count=5000)
    runs = []
    for threads in (1, 2, 5, 5):
        field = CpuField(case.shape, case.parameters, Crew(threads))
        outputs = [array.copy() for array in field.forward(*case.inputs)]
        gradients = field.backward(case.d_density, case.d_color, positions=True)
        runs.append([*outputs, *(gradient.copy() for gradient in gradients.values())])
    for run in runs[1:]:
        for first, other in zip(runs[0], run):
            np.testing.assert_array_equal(first, other)


def test_a_field_moves_with_its_parameters():
    case = field_case("odd sizes", count=50)
    field = CpuField(case.shape, case.parameters)
    before = field.forward(*case.inputs)[1].copy()
    case.parameters["color_2"] *= -1
    np.testing.assert_allclose(field.forward(*case.inputs)[1], 1 - before, atol=1e-6)


def test_positions_outside_and_nan_are_held():
    case = field_case("as Instant-NGP", count=1)
    field = CpuField(case.shape, case.parameters)
    points = np.array([[-1e30, 0.5, 2.0], [np.nan, 0.5, 1.0], [0.0, 0.5, np.inf], [0, 0.5, 1]], np.float32)
    assert len(np.unique(field.density(points))) == 1
    directions = np.array([[0, 0, 1]] * 4, np.float32)
    field.forward(points, directions)
    d = field.backward(np.ones(4, np.float32), np.ones((4, 3), np.float32), positions=True)["positions"]
    assert np.isfinite(d).all() and d[0, 0] == 0 and d[0, 2] == 0 and d[0, 1] != 0


@pytest.mark.parametrize("name", ["grid", "density_0", "density_1", "color_0", "color_1", "color_2"])
def test_a_field_that_has_broken_shows_it(name):
    """What is no number among the parameters is not held to one: a loss of it is none either."""
    case = field_case("odd sizes", count=200)
    field = CpuField(case.shape, case.parameters)
    case.parameters[name][:] = np.nan
    density, color = field.forward(*case.inputs)
    assert np.isnan(color).all()
    assert np.isnan(density).all() == (not name.startswith("color"))


def test_samples_of_no_photo_get_the_mean_appearance():
    case = field_case("appearance", count=20)
    field = CpuField(case.shape, case.parameters)
    unknown = field.forward(case.positions, case.directions)[1].copy()
    case.parameters["appearance"][:] = case.parameters["appearance"].mean(0)
    rows = np.full(20, 2, np.int32)
    np.testing.assert_allclose(field.forward(case.positions, case.directions, rows)[1], unknown, atol=1e-6)


def test_gradients_are_there_once_and_for_as_many_samples():
    case = field_case("odd sizes", count=10)
    field = CpuField(case.shape, case.parameters)
    field.forward(*case.inputs)
    with pytest.raises(ValueError, match="d_density: expected 10, as many as the last forward kept, got 5"):
        field.backward(case.d_density[:5], case.d_color[:5])
    field.backward(case.d_density, case.d_color)
    with pytest.raises(ValueError, match="as many as the last forward kept"):
        field.backward(case.d_density, case.d_color)
    field.forward(*case.inputs, keep=False)
    with pytest.raises(ValueError, match="as many as the last forward kept"):
        field.backward(case.d_density, case.d_color)


def test_samples_that_do_not_fit_are_refused():
    case = field_case("appearance", count=10)
    field = CpuField(case.shape, case.parameters)
    with pytest.raises(ValueError, match=r"unit_positions: expected float32 \(10, 3\), got float64"):
        field.density(case.positions.astype(float))
    with pytest.raises(ValueError, match=r"directions: expected float32 \(10, 3\), got float32 \(9, 3\)"):
        field.forward(case.positions, case.directions[:9])
    with pytest.raises(ValueError, match=r"directions: expected float32 \(10, 3\), got float64"):
        field.forward(case.positions, case.directions.astype(float))
    field.forward(case.positions, case.directions)
    with pytest.raises(ValueError, match=r"d_color: expected float32 \(10, 3\), got float32 \(10, 2\)"):
        field.backward(case.d_density, case.d_color[:, :2])
    with pytest.raises(ValueError, match=r"rows: expected .* of -1 to 3"):
        field.forward(case.positions, case.directions, np.full(10, 4, np.int32))


def test_features_of_the_grid_alone():
    case = field_case("as Instant-NGP")
    field = CpuField(case.shape, case.parameters)
    count = len(case.positions)
    features = field._encoded(case.positions).reshape(16, -1)[:, :count].T
    grid = torch.from_numpy(case.parameters["grid"]).double()
    expected = encode(case.shape, grid, torch.from_numpy(case.positions).double())
    assert_close(features, expected.numpy(), "features")
