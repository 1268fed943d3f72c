"""Sparse Adam against torch's, row by row."""

import numpy as np
import pytest
import torch

from geo3d.splat import GaussianGradients, LearningRates, SparseAdam
from tests.splat.scenes import NAMES, random_gaussians

RATES = LearningRates(means=1e-3, sh_0=2.5e-3, sh_rest=1e-4)


def gradients_of(count, seed, visible):
    arrays = {n: getattr(random_gaussians(count, seed=seed), n) for n in NAMES}
    none = np.zeros(0, np.float32)
    return GaussianGradients(**arrays, pose=none, visible=visible, radius_px=none, mean2d=none)


def test_each_row_moves_as_torch_moves_it_in_the_steps_that_see_it():
    count, steps = 1500, 5
    rng = np.random.default_rng(0)
    seen = rng.random((steps, count)) < 0.6
    gaussians = random_gaussians(count)
    start = {n: getattr(gaussians, n).copy() for n in NAMES}
    adam = SparseAdam(gaussians)
    everything = [gradients_of(count, 10 + k, seen[k]) for k in range(steps)]
    for gradients in everything:
        adam.step(gaussians, gradients, RATES)
    np.testing.assert_array_equal(adam.steps, seen.sum(axis=0))
    for pattern in ([True] * steps, [False] * steps, seen[:, 0], seen[:, 1]):
        rows = np.flatnonzero((seen == np.array(pattern)[:, None]).all(axis=0))
        for name in NAMES:
            parts = [slice(None)] if name != "sh" else [slice(0, 1), slice(1, None)]
            for k, part in enumerate(parts):
                rate = getattr(RATES, name if name != "sh" else ("sh_0", "sh_rest")[k])
                pick = (rows, part) if name == "sh" else (rows,)
                value = torch.tensor(start[name][pick], requires_grad=True)
                other = torch.optim.Adam([value], lr=rate, eps=1e-15)
                for gradients, is_seen in zip(everything, pattern):
                    if is_seen:
                        value.grad = torch.tensor(getattr(gradients, name)[pick])
                        other.step()
                np.testing.assert_allclose(
                    getattr(gaussians, name)[pick], value.detach().numpy(), atol=3e-6, err_msg=name
                )


def test_rearranging_moves_the_state_along():
    gaussians = random_gaussians(6)
    adam = SparseAdam(gaussians)
    adam.step(gaussians, gradients_of(6, 1, np.ones(6, bool)), RATES)
    m, v = adam.m.copy(), adam.v.copy()
    adam.rearrange(np.array([4, 0, -1, 0]))
    np.testing.assert_array_equal(adam.steps, [1, 1, 0, 1])
    np.testing.assert_array_equal(adam.m, [m[4], m[0], 0 * m[0], m[0]])
    np.testing.assert_array_equal(adam.v, [v[4], v[0], 0 * v[0], v[0]])


def test_what_does_not_fit_is_refused():
    gaussians = random_gaussians(6)
    adam = SparseAdam(gaussians)
    with pytest.raises(ValueError, match="expected 6, as the state has, got 5"):
        adam.step(random_gaussians(5), gradients_of(5, 1, np.ones(5, bool)), RATES)
    gaussians.means = gaussians.means.astype(float)
    with pytest.raises(ValueError, match="means: expected C-contiguous float32"):
        adam.step(gaussians, gradients_of(6, 1, np.ones(6, bool)), RATES)
