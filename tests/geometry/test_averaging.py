"""Averages of rotations: exact, invariant, and unmoved by outliers where they promise it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geo3d.geometry import SO3, average_rotations, rotation_angle

seeds = st.integers(0, 2**32 - 1)
both = st.booleans()
fast = settings(deadline=None, max_examples=25)


def cloud(seed, count=15, spread_rad=0.3):
    """Rotations scattered about a random one."""
    rng = np.random.default_rng(seed)
    centre = SO3.exp(rng.normal(size=3) * 2)
    return centre.matrix, (centre @ SO3.exp(spread_rad * rng.normal(size=(count, 3)))).matrix


def apart(a, b):
    return float(rotation_angle(a.T @ b))


@fast
@given(seeds, both)
def test_of_equal_rotations(seed, robust):
    r, _ = cloud(seed)
    assert apart(average_rotations(np.stack([r] * 4), robust=robust), r) < 1e-12
    assert apart(average_rotations(r[None], robust=robust), r) < 1e-12


@fast
@given(seeds, both)
def test_does_not_depend_on_frames_order_or_scale_of_weights(seed, robust):
    _, r = cloud(seed)
    rng = np.random.default_rng(seed)
    w = rng.uniform(0.1, 2, len(r))
    average = average_rotations(r, w, robust=robust)
    a, b = SO3.exp(rng.normal(size=(2, 3))).matrix
    order = rng.permutation(len(r))
    assert apart(average_rotations(a @ r @ b, w, robust=robust), a @ average @ b) < 1e-7
    assert apart(average_rotations(r[order], w[order], robust=robust), average) < 1e-7
    assert apart(average_rotations(r, 5 * w, robust=robust), average) < 1e-7
    inverse = average_rotations(np.swapaxes(r, -1, -2), w, robust=robust)
    assert apart(inverse.T, average) < 1e-7


@fast
@given(seeds, both)
def test_a_weight_is_a_count(seed, robust):
    _, r = cloud(seed, count=5)
    counts = np.array([1, 2, 3, 1, 2])
    repeated = average_rotations(np.repeat(r, counts, axis=0), robust=robust)
    assert apart(average_rotations(r, counts, robust=robust), repeated) < 1e-7
    first_three = average_rotations(r, [1, 1, 1, 0, 0], robust=robust)
    assert apart(first_three, average_rotations(r[:3], robust=robust)) < 1e-7


@fast
@given(seeds)
def test_each_minimises_its_cost(seed):
    _, r = cloud(seed)
    rng = np.random.default_rng(seed)

    def chordal(m):
        return np.sum((m - r) ** 2)

    def geodesic(m):
        return np.sum(rotation_angle(m.T @ r))

    for cost, robust in ((chordal, False), (geodesic, True)):
        best = average_rotations(r, robust=robust)
        for step in (0.3, 1e-2, 1e-3):
            moved = best @ SO3.exp(step * rng.normal(size=3)).matrix
            assert cost(best) <= cost(moved) + 1e-9


@fast
@given(seeds)
def test_median_ignores_outliers(seed):
    centre, good = cloud(seed, count=30, spread_rad=1e-4)
    rng = np.random.default_rng(seed)
    # all to one side: the worst that 40 % can do
    bad = centre @ SO3.exp([1.5, 0, 0] + 0.1 * rng.normal(size=(20, 3))).matrix
    r = rng.permutation(np.concatenate([good, bad]))
    assert apart(average_rotations(r, robust=True), centre) < 1e-3
    assert apart(average_rotations(r), centre) > 0.3


def test_median_of_exact_majority_is_exact():
    r, _ = cloud(3)
    others = SO3.exp(np.random.default_rng(0).normal(size=(4, 3))).matrix
    assert apart(average_rotations(np.concatenate([np.stack([r] * 6), others]), robust=True), r) < 1e-12


def test_mean_without_a_unique_answer_is_refused():
    with pytest.raises(ValueError, match="no unique mean"):
        average_rotations(SO3.exp([[0, 0, 0], [np.pi, 0, 0]]).matrix)


@pytest.mark.parametrize(
    "rotations, weights",
    [
        (np.zeros((0, 3, 3)), None),
        (np.eye(3), None),
        (np.eye(4)[None], None),
        (np.full((2, 3, 3), np.nan), None),
        (np.stack([np.eye(3)] * 2), [1.0]),
        (np.stack([np.eye(3)] * 2), [1.0, -1.0]),
        (np.stack([np.eye(3)] * 2), [0.0, 0.0]),
        (np.stack([np.eye(3)] * 2), [1.0, np.nan]),
    ],
)
@pytest.mark.parametrize("robust", [False, True])
def test_wrong_input_is_refused(rotations, weights, robust):
    with pytest.raises(ValueError, match="expected"):
        average_rotations(rotations, weights, robust=robust)
