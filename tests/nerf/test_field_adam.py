"""Adam of a field against torch's."""

import numpy as np
import pytest
import torch

from geo3d.nerf.adam import Adam
from geo3d.nerf.adam_kernels import CHUNK

RATES = {"grid": 1e-2, "color_2": 3e-3, "appearance": 1e-3}
SIZES = {"grid": (CHUNK + 777, 2), "color_2": (64, 3), "appearance": (7, 5)}
SPARSE = "grid", "appearance"


def some(rng):
    return {name: rng.normal(size=size).astype(np.float32) for name, size in SIZES.items()}


@pytest.mark.parametrize("betas", [(0.9, 0.99), (0.5, 0.999)])
def test_what_is_touched_in_every_step_moves_as_torch_moves_it(betas):
    rng = np.random.default_rng(0)
    parameters = some(rng)
    tensors = {name: torch.tensor(array, requires_grad=True) for name, array in parameters.items()}
    others = [torch.optim.Adam([tensors[n]], lr=RATES[n], betas=betas, eps=1e-15) for n in SIZES]
    adam = Adam(parameters, betas)
    for _ in range(12):
        gradients = some(rng)
        adam.step(parameters, gradients, RATES)
        for name, other in zip(SIZES, others):
            tensors[name].grad = torch.from_numpy(gradients[name])
            other.step()
    for name in SIZES:
        np.testing.assert_allclose(parameters[name], tensors[name].detach(), rtol=0, atol=2e-6, err_msg=name)


def test_what_has_no_gradient_stays_with_its_moments():
    rng = np.random.default_rng(1)
    parameters, adam = some(rng), None
    adam = Adam(parameters)
    adam.step(parameters, some(rng), RATES)
    before = {name: array.copy() for name, array in {**parameters, **adam.arrays()}.items()}
    gradients = some(rng)
    for name in SPARSE:
        gradients[name][rng.random(SIZES[name]) < 0.7] = 0
        gradients[name][: len(gradients[name]) // 3] = 0
    gradients["color_2"][:] = 0
    adam.step(parameters, gradients, RATES)
    for name in SPARSE:
        still = gradients[name] == 0
        for key, array in (
            (name, parameters[name]),
            (f"m.{name}", adam.m[name]),
            (f"v.{name}", adam.v[name]),
        ):
            np.testing.assert_array_equal(array[still], before[key][still])
            assert (array[~still] != before[key][~still]).mean() > 0.99
    assert (parameters["color_2"] != before["color_2"]).all()  # a network's weights go on with their momentum


def test_a_state_goes_on_where_it_was_written():
    rng = np.random.default_rng(2)
    parameters = some(rng)
    adam = Adam(parameters)
    adam.step(parameters, some(rng), RATES)
    copies = {name: array.copy() for name, array in parameters.items()}
    other = Adam(copies)
    other.restore({name: array.copy() for name, array in adam.arrays().items()})
    gradients = some(rng)
    adam.step(parameters, gradients, RATES)
    other.step(copies, gradients, RATES)
    for name in SIZES:
        np.testing.assert_array_equal(copies[name], parameters[name])


def test_arrays_that_do_not_fit_are_refused():
    parameters = some(np.random.default_rng(3))
    adam = Adam(parameters)
    with pytest.raises(ValueError, match=r"gradients\['color_2'\]: expected C-contiguous float32 \(64, 3\)"):
        adam.step(parameters, {**parameters, "color_2": np.zeros((3, 64), np.float32)}, RATES)
