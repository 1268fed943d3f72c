"""The kernels of the hash-grid field, in the emulator, beside the reference."""

import numpy as np
import pytest
import torch

from geo3d.nerf.cuda_field import GRADIENT_SCALE, KERNELS, PIECES, WEIGHTS, CudaField
from geo3d.nerf.field_parameters import FieldShape, initial_parameters
from geo3d.nerf.hash_grid import encode, hash_grid_field, spherical_harmonics, truncated_exp
from tests.gpu.emulator import COMPILER, EmulatedLauncher

pytestmark = pytest.mark.skipif(COMPILER is None, reason="needs g++, which compiles the kernels here")

SHAPE = FieldShape(levels=6, log2_entries=9, coarsest=3, finest=40)
SCENES = {
    "six levels": SHAPE,
    "sixteen levels": FieldShape(levels=16, log2_entries=10, coarsest=2, finest=64),
}


def lively(shape: FieldShape, seed: int = 0) -> dict[str, np.ndarray]:
    """Parameters as in the middle of a training: halves, so that both sides start from the same numbers."""
    found = initial_parameters(shape, seed=seed)
    rng = np.random.default_rng(seed)
    found["grid"] = rng.normal(0, 0.5, found["grid"].shape)
    return {name: a.astype(np.float16).astype(np.float32) for name, a in found.items()}


def samples(count: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(seed)
    positions = rng.uniform(-0.02, 1.02, (count, 3))
    directions = rng.normal(size=(count, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    return torch.tensor(positions, dtype=torch.float32), torch.tensor(directions, dtype=torch.float32)


def in_halves(shape: FieldShape, tensors: dict, positions: torch.Tensor, directions: torch.Tensor):
    """The reference with activations rounded to halves, so that the same neurons are on; gradients pass through."""

    def halved(t: torch.Tensor) -> torch.Tensor:
        return t + (t.half().to(t.dtype) - t).detach()

    hidden = halved(torch.relu(halved(encode(shape, tensors["grid"], positions)) @ tensors["density_0"]))
    raw = hidden @ tensors["density_1"]
    hidden = halved(torch.cat([raw, spherical_harmonics(directions)], -1))
    hidden = halved(torch.relu(hidden @ tensors["color_0"]))
    hidden = halved(torch.relu(hidden @ tensors["color_1"]))
    return truncated_exp(raw[:, 0]), torch.sigmoid(hidden @ tensors["color_2"])


def relative(a: torch.Tensor, b: torch.Tensor) -> float:
    return float((a.double() - b.double()).norm() / b.double().norm())


def gradient_of(leaf: torch.Tensor) -> torch.Tensor:
    assert leaf.grad is not None
    return leaf.grad


@pytest.mark.parametrize("order", [0, 2])
@pytest.mark.parametrize("shape", SCENES.values(), ids=SCENES)
def test_density_and_colour_are_those_of_the_reference(shape, order):
    parameters = lively(shape)
    field = CudaField(shape, parameters, EmulatedLauncher(KERNELS, order))
    positions, directions = samples(90)
    density, color = field.forward(positions, directions)
    tensors = {name: torch.from_numpy(a) for name, a in parameters.items()}
    expected = hash_grid_field(shape, tensors, positions, directions)
    torch.testing.assert_close(density, expected[0], rtol=1e-2, atol=2e-3)
    torch.testing.assert_close(color, expected[1], rtol=0, atol=4e-3)
    torch.testing.assert_close(field.density(positions), density)


def test_features_are_those_of_the_reference():
    parameters = lively(SHAPE)
    field = CudaField(SHAPE, parameters, EmulatedLauncher(KERNELS))
    positions, _ = samples(300)
    pairs = field.encode(positions, torch.tensor([300], dtype=torch.int32))
    found = pairs.view(torch.float16).reshape(SHAPE.levels, 300, 2).transpose(0, 1).reshape(300, -1).float()
    expected = encode(SHAPE, torch.from_numpy(parameters["grid"]), positions)
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("shape", SCENES.values(), ids=SCENES)
def test_gradients_are_those_of_autograd(shape):
    """Three tiles of samples on two blocks; the last is not full."""
    parameters = lively(shape)
    field = CudaField(shape, parameters, EmulatedLauncher(KERNELS, 2))
    positions, directions = samples(290)
    density, _ = field.forward(positions, directions)
    rng = np.random.default_rng(1)
    d_density = torch.from_numpy(rng.normal(size=290).astype(np.float32)) / density
    d_color = torch.from_numpy(rng.normal(size=(290, 3)).astype(np.float32))
    d_positions = torch.zeros(290, 3)
    field.backward(d_density * GRADIENT_SCALE, d_color * GRADIENT_SCALE, d_positions)

    tensors = {name: torch.from_numpy(a).double().requires_grad_(True) for name, a in parameters.items()}
    x = positions.double().requires_grad_(True)
    reference = in_halves(shape, tensors, x, directions.double())
    (reference[0] @ d_density.double() + (reference[1] * d_color.double()).sum()).backward()
    assert relative(field.d_grid / GRADIENT_SCALE, gradient_of(tensors["grid"])) < 2e-3
    at = 0
    for name in WEIGHTS:
        expected = gradient_of(tensors[name])
        found = field.d_weights[at : at + expected.numel()].view(expected.shape)
        assert relative(found / GRADIENT_SCALE, expected) < 2e-3, name
        at += expected.numel()
    assert at == len(field.d_weights)
    assert relative(d_positions / GRADIENT_SCALE, gradient_of(x)) < 2e-3


def test_samples_beyond_the_count_are_left_alone():
    field = CudaField(SHAPE, lively(SHAPE), EmulatedLauncher(KERNELS))
    positions, directions = samples(200)
    whole = field.forward(positions[:70], directions[:70])
    field.backward(torch.ones(70), torch.ones(70, 3))
    expected = field.d_grid.clone(), field.d_weights.clone()
    field.d_grid.zero_()
    field.d_weights.zero_()
    positions[70:] = torch.nan
    counts = torch.tensor([70], dtype=torch.int32)
    rays = torch.arange(200, dtype=torch.int32)
    part = field.forward(positions, directions, rays, counts)
    field.backward(torch.full((200,), 1.0), torch.ones(200, 3))
    assert torch.equal(part[0][:70], whole[0]) and torch.equal(part[1][:70], whole[1])
    torch.testing.assert_close(field.d_grid, expected[0])
    torch.testing.assert_close(field.d_weights, expected[1])


def test_directions_are_those_of_the_samples_rays():
    field = CudaField(SHAPE, lively(SHAPE), EmulatedLauncher(KERNELS))
    positions, directions = samples(40)
    rays = torch.tensor([3, 1, 1, 0] * 10, dtype=torch.int32)
    found = field.forward(positions, directions[:4].contiguous(), rays)[1]
    assert torch.equal(found, field.forward(positions, directions[rays.long()])[1])


def test_parameters_are_views_by_name():
    parameters = lively(SHAPE)
    field = CudaField(SHAPE, parameters, EmulatedLauncher(KERNELS))
    for name, tensor in field.parameters().items():
        assert torch.equal(tensor, torch.from_numpy(parameters[name])), name
    field.parameters()["color_2"].zero_()
    field.refresh()
    positions, directions = samples(20)
    assert torch.equal(field.forward(positions, directions)[1], torch.full((20, 3), 0.5))


def test_other_networks_are_refused():
    with pytest.raises(ValueError, match="width: the GPU's kernels are made for 64, got 32"):
        CudaField(FieldShape(width=32), initial_parameters(FieldShape(width=32)), EmulatedLauncher(KERNELS))


def test_kernels_and_python_agree_on_the_layout():
    lines = (KERNELS / "network.h").read_text().splitlines()
    places: dict[str, int] = {}
    for line in lines:
        if (line.startswith("#define ") and ("D0" in line or "PIECES" in line)) or line.startswith(
            "#define C"
        ):
            name, value = line.removeprefix("#define ").split("/*")[0].split(maxsplit=1)
            if "(" not in name:
                places[name] = eval(value, {}, dict(places))
    assert places["PIECES"] == PIECES


@pytest.mark.parametrize("name", ["grid", *WEIGHTS])
def test_a_field_that_has_broken_shows_it(name):
    """What is no number among the parameters is not held to one: neither density, colour nor gradients are any."""
    parameters = lively(SHAPE)
    parameters[name][:] = np.nan
    field = CudaField(SHAPE, parameters, EmulatedLauncher(KERNELS))
    density, color = field.forward(*samples(40))
    assert color.isnan().all()
    assert density.isnan().all() == (not name.startswith("color"))
    field.backward(torch.ones(40), torch.ones(40, 3))
    assert field.d_weights.isnan().any()
