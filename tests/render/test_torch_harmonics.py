"""The harmonics of torch are those of NumPy, of the tensor's own float type, and have its gradient."""

import numpy as np
import pytest
import torch

from geo3d.geometry import sh_basis
from geo3d.render.torch_harmonics import spherical_harmonics


def directions(count: int = 30) -> torch.Tensor:
    d = torch.randn(count, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return torch.nn.functional.normalize(d, dim=-1)


@pytest.mark.parametrize("degree", [0, 1, 2, 3])
def test_they_are_those_of_numpy(degree):
    d = directions().reshape(5, 6, 3)
    found = spherical_harmonics(d, degree)
    assert found.shape == (5, 6, (degree + 1) ** 2)
    np.testing.assert_allclose(found, sh_basis(d, degree), atol=1e-15)
    assert spherical_harmonics(d.float(), degree).dtype == torch.float32


def test_gradients():
    assert torch.autograd.gradcheck(spherical_harmonics, directions(4).requires_grad_(True))


def test_another_degree_is_refused():
    with pytest.raises(ValueError, match="degree: expected 0, 1, 2 or 3, got 4"):
        spherical_harmonics(directions(), 4)
