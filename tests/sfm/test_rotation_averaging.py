"""Rotation averaging: exact among wrong edges, the same in any frame and numbering, components apart."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geo3d.geometry import SO3, rotation_angle
from geo3d.sfm import RotationAveragingOptions, average_relative_rotations


def random_rotations(rng, count):
    return SO3.exp(rng.standard_normal((count, 3)) * rng.uniform(0, 2, (count, 1))).matrix


def problem(rng, views=30, degree=8, wrong=0.0, noise_deg=0.0):
    """Truth and a connected random graph of relative rotations, of which a share is random."""
    truth = random_rotations(rng, views)
    chain = np.column_stack([np.arange(views - 1), np.arange(1, views)])
    others = rng.integers(0, views, (views * degree // 2, 2))
    pairs = np.unique(np.concatenate([chain, others[others[:, 0] != others[:, 1]]]), axis=0)
    first, second = pairs.T
    noise = SO3.exp(np.radians(noise_deg) * rng.standard_normal((len(first), 3))).matrix
    relative = noise @ truth[second] @ np.swapaxes(truth[first], 1, 2)
    bad = rng.random(len(first)) < wrong
    relative[bad] = random_rotations(rng, int(bad.sum()))
    return truth, first, second, relative, bad


def errors_deg(found, truth):
    """Angles to the truth after turning the world so that the first view agrees."""
    return np.degrees(rotation_angle(found @ found[0].T @ truth[0] @ np.swapaxes(truth, 1, 2)))


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 1000))
def test_exact_without_noise(seed):
    truth, first, second, relative, _ = problem(np.random.default_rng(seed))
    result = average_relative_rotations(first, second, relative, np.ones(len(first)), len(truth))
    assert errors_deg(result.rotations, truth).max() < 1e-6
    assert result.edges.all() and result.errors.max() < 1e-8 and not result.component.any()


@pytest.mark.parametrize("seed", range(5))
def test_exact_among_a_third_of_wrong_edges(seed):
    truth, first, second, relative, bad = problem(np.random.default_rng(seed), 40, 16, wrong=0.3)
    result = average_relative_rotations(first, second, relative, np.ones(len(first)), len(truth))
    assert errors_deg(result.rotations, truth).max() < 1e-5
    assert np.array_equal(result.edges, ~bad)


def test_noise_is_averaged_and_wrong_edges_do_not_pull():
    truth, first, second, relative, bad = problem(np.random.default_rng(1), 60, 20, wrong=0.2, noise_deg=1.0)
    result = average_relative_rotations(first, second, relative, np.ones(len(first)), len(truth))
    assert errors_deg(result.rotations, truth).max() < 1.5  # three coordinates, each 1 degree, over 20 edges
    assert not result.edges[bad].any() and result.edges[~bad].mean() > 0.99


@settings(deadline=None, max_examples=10)
@given(st.integers(0, 1000))
def test_numbering_and_direction_of_edges_do_not_matter(seed):
    rng = np.random.default_rng(seed)
    truth, first, second, relative, _ = problem(rng, 12, noise_deg=2.0)
    weights = rng.uniform(1, 2, len(first))
    plain = average_relative_rotations(first, second, relative, weights, len(truth)).rotations
    turned = average_relative_rotations(
        second, first, np.swapaxes(relative, 1, 2), weights, len(truth)
    ).rotations
    name = rng.permutation(len(truth))
    named = average_relative_rotations(name[first], name[second], relative, weights, len(truth)).rotations[
        name
    ]
    for other in (turned, named):
        relative_error = plain @ plain[0].T @ other[0] @ np.swapaxes(other, 1, 2)
        assert np.degrees(rotation_angle(relative_error)).max() < 1e-5


def test_components_are_told_apart_largest_first():
    rng = np.random.default_rng(3)
    small, large = problem(rng, 5), problem(rng, 9)
    first = np.concatenate([small[1], large[1] + 5])
    second = np.concatenate([small[2], large[2] + 5])
    relative = np.concatenate([small[3], large[3]])
    result = average_relative_rotations(first, second, relative, np.ones(len(first)), 15)
    assert result.component.tolist() == [1] * 5 + [0] * 9 + [2]
    assert errors_deg(result.rotations[:5], small[0]).max() < 1e-6
    assert errors_deg(result.rotations[5:14], large[0]).max() < 1e-6


def test_a_wrong_bridge_splits_what_it_joined():
    rng = np.random.default_rng(4)
    truth, first, second, relative, _ = problem(rng, 10)
    # Two bridges between two copies that contradict each other: at most one can stay.
    first2, second2 = (
        np.append(np.append(first, first + 10), [0, 5]),
        np.append(np.append(second, second + 10), [10, 15]),
    )
    bridges = np.stack([truth[0] @ truth[0].T, SO3.exp([1.0, 0, 0]).matrix])
    result = average_relative_rotations(
        first2, second2, np.concatenate([relative, relative, bridges]), np.ones(len(first2)), 20
    )
    assert result.edges[:-2].all() and result.edges[-2:].sum() <= 1
    assert errors_deg(result.rotations[:10], truth).max() < 1e-5


def test_wrong_input_is_refused():
    one = np.eye(3)[None]
    with pytest.raises(ValueError, match="rows of 0 to 1"):
        average_relative_rotations(np.array([0]), np.array([2]), one, np.ones(1), 2)
    with pytest.raises(ValueError, match="weights must be positive"):
        average_relative_rotations(np.array([0]), np.array([1]), one, np.zeros(1), 2)
    with pytest.raises(ValueError, match="shapes"):
        average_relative_rotations(np.array([0]), np.array([1]), np.eye(3), np.ones(1), 2)
    with pytest.raises(ValueError, match="max_error_deg"):
        RotationAveragingOptions(max_error_deg=0)
