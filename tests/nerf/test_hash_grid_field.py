"""The hash-grid field as a torch module: the formulas' values and gradients, and what trains."""

import copy

import numpy as np
import pytest
import torch

from geo3d.nerf import FieldShape, HashGridField, MarchOptions, NerfModel, SceneBox, density_grid
from geo3d.nerf.field_parameters import parameter_shapes
from geo3d.nerf.hash_grid import hash_grid_field
from tests.nerf.field_cases import field_case

pytestmark = pytest.mark.usefixtures("one_torch_thread")

BOXES = {"bounded": SceneBox((1.0, -2.0, 0.5), 3.0), "unbounded": SceneBox((1.0, -2.0, 0.5), 3.0, True)}


def module_of(case, box, backend="auto"):
    photos = len(case.parameters.get("appearance", ()))
    field = HashGridField(box, case.shape, photos, backend=backend)
    field.load_state_dict({name: torch.from_numpy(array) for name, array in case.parameters.items()})
    return field


def inputs_of(case, box):
    """World positions and directions, rows."""
    rows = None if case.rows is None else torch.from_numpy(case.rows)
    world = box.world_points(torch.from_numpy(case.positions).double().clamp(0.01, 0.99)).float()
    return world, torch.from_numpy(case.directions), rows


def relative(found, expected):
    found, expected = found.detach().double(), expected.detach().double()
    return float((found - expected).norm() / expected.norm())


@pytest.mark.parametrize("box", BOXES.values(), ids=BOXES)
@pytest.mark.parametrize("name", ["as Instant-NGP", "appearance", "odd sizes"])
def test_values_and_gradients_are_those_of_the_formulas(name, box):
    """In double precision from the same unit positions: gradients jump at the border of a cell."""
    case = field_case(name, count=300)
    world, directions, rows = inputs_of(case, box)
    d_density, d_color = torch.from_numpy(case.d_density), torch.from_numpy(case.d_color)
    field, x = module_of(case, box, "cpu"), world.clone().requires_grad_(True)
    density, color = field(x, directions, rows).density, field(x, directions, rows).color
    torch.autograd.backward([density.log(), color], [d_density, d_color])
    found = {"positions": x.grad, **{key: p.grad for key, p in field.named_parameters()}}

    tensors = {key: torch.from_numpy(a).double().requires_grad_(True) for key, a in case.parameters.items()}
    x = world.clone().requires_grad_(True)
    unit = box.unit_positions(x).double()
    exact, exact_color = hash_grid_field(case.shape, tensors, unit, directions.double(), rows)
    assert relative(density, exact / box.side) < 1e-5 and relative(color, exact_color) < 1e-5
    torch.autograd.backward([exact.log(), exact_color], [d_density.double(), d_color.double()])
    for key, leaf in {"positions": x, **tensors}.items():
        assert relative(found[key], leaf.grad) < 1e-5, key
    same = module_of(case, box, "reference")(world, directions, rows)
    assert relative(same.density, density) < 1e-5 and relative(same.color, color) < 1e-5


def test_two_evaluations_are_differentiated_together_and_twice():
    """Though the kernels use their memory again."""
    case, box = field_case("odd sizes", count=100), BOXES["bounded"]
    world, directions, _ = inputs_of(case, box)
    field = module_of(case, box, "cpu")
    parts = [slice(0, 30), slice(30, 100)]
    whole = field(world, directions).color.square().sum()
    expected = torch.autograd.grad(whole, list(field.parameters()))
    colors = torch.cat([field(world[part], directions[part]).color for part in parts])
    loss = colors.square().sum()
    for _ in range(2):
        found = torch.autograd.grad(loss, list(field.parameters()), retain_graph=True)
        for a, b in zip(found, expected):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def test_directions_that_require_a_gradient_get_it():
    case, box = field_case("odd sizes", count=20), BOXES["bounded"]
    world, directions, _ = inputs_of(case, box)
    directions.requires_grad_(True)
    field = module_of(case, box)
    field(world, directions).color.sum().backward()
    assert directions.grad is not None and directions.grad.abs().max() > 0
    with pytest.raises(
        ValueError, match=r"directions that require no gradient.*and directions that do; use 'ref"
    ):
        module_of(case, box, "cpu")(world, directions)
    with pytest.raises(ValueError, match=r"got torch.float32 on cpu, torch.float64 on cpu; use 'reference'"):
        module_of(case, box, "cpu")(world.double(), directions.detach())


def test_parameters_that_were_changed_between_are_refused():
    case, box = field_case("odd sizes", count=20), BOXES["bounded"]
    field = module_of(case, box)
    loss = field(*inputs_of(case, box)).color.sum()
    with torch.no_grad():
        field.color_2.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_it_is_empty_outside_of_its_box_and_takes_no_samples():
    field = HashGridField(BOXES["bounded"])
    directions = torch.tensor([[0.0, 0.0, 1.0]]).expand(2, 3)
    inside, outside = field(torch.tensor([[1.0, -2.0, 0.5], [9.0, 9.0, 9.0]]), directions).density.detach()
    assert inside == pytest.approx(1 / 3, rel=1e-2) and outside == 0
    nothing = field(torch.zeros(0, 3), torch.zeros(0, 3))
    (nothing.density.sum() + nothing.color.sum()).backward()
    assert nothing.color.shape == (0, 3) and field.grid.grad.abs().max() == 0


def test_copies_are_fields_of_their_own():
    field = HashGridField(SceneBox(), FieldShape(levels=2, log2_entries=8))
    at, directions = torch.full((1, 3), 0.4), torch.tensor([[1.0, 0.0, 0.0]])
    before = field(at, directions).color
    other = copy.deepcopy(field)
    with torch.no_grad():
        other.color_2.zero_()
    assert torch.equal(other(at, directions).color, torch.full((1, 3), 0.5))
    assert torch.equal(field(at, directions).color, before)


def test_a_trained_field_goes_in():
    case, box = field_case("odd sizes", count=1), BOXES["unbounded"]
    everywhere = np.full(8**3, 100.0, np.float32)
    model = NerfModel(case.shape, case.parameters, box, 0.0, 9.0, MarchOptions(1 / 64), everywhere, 0.01)
    grid = density_grid(model, voxel=box.side / 5)
    places = np.stack(np.meshgrid(*[np.arange(5)] * 3, indexing="ij"), -1).reshape(-1, 3)
    at = torch.from_numpy(grid.origin + grid.voxel * places).float()
    found = module_of(case, box)(at, torch.tensor([[0.0, 0.0, 1.0]]).expand(len(at), 3)).density
    np.testing.assert_allclose(found.detach(), grid.density.reshape(-1), rtol=2e-4)


def test_names_and_shapes_are_those_of_the_trained_field():
    shape = FieldShape(levels=2, log2_entries=8, appearance=3)
    found = {name: tuple(p.shape) for name, p in HashGridField(SceneBox(), shape, 5).named_parameters()}
    assert found == parameter_shapes(shape, 5)
    with pytest.raises(ValueError, match="photos: expected 1 or more with an appearance of 3 numbers, got 0"):
        HashGridField(SceneBox(), shape)
    with pytest.raises(ValueError, match="backend: expected one of auto, reference, cpu, got 'fast'"):
        HashGridField(SceneBox(), backend="fast")
