"""The matching kernel equals the formula, and matching has the symmetries it must have."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geo3d.features import MatchOptions, match, match_reference, root_sift


def descriptors(rng, count, distinct=None):
    """RootSIFT of random histograms; `distinct` fewer makes equal rows, so that ties occur."""
    raw = rng.gamma(0.5, 40.0, (distinct or count, 128))
    return root_sift(raw)[rng.integers(0, len(raw), count)] if distinct else root_sift(raw)


def disturbed(rng, base, noise):
    return root_sift(np.clip(base.astype(float) ** 2 + rng.normal(0, noise, base.shape), 0, None))


@st.composite
def two_photos(draw):
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    n, m = draw(st.integers(0, 300)), draw(st.integers(0, 300))
    shared = min(n, m, draw(st.integers(0, 300)))
    a = descriptors(rng, n, draw(st.sampled_from([None, 5])) if n else None)
    b = descriptors(rng, m)
    b[rng.permutation(m)[:shared]] = disturbed(rng, a[:shared], draw(st.sampled_from([0, 300, 3000])))
    return rng, a, b


options = st.builds(
    MatchOptions,
    ratio=st.sampled_from([0.6, 0.8, 0.95, 1.0]),
    max_distance=st.sampled_from([0.3, 0.7, 3.0]),
    mutual=st.booleans(),
)


@settings(deadline=None, max_examples=50)
@given(two_photos(), options)
def test_equals_the_reference(photos, options):
    _, a, b = photos
    np.testing.assert_array_equal(match(a, b, options), match_reference(a, b, options))


def test_equals_the_reference_over_many_blocks():
    rng = np.random.default_rng(3)
    a = descriptors(rng, 1500)
    b = np.concatenate([disturbed(rng, a[::2], 1000), descriptors(rng, 2100, distinct=700)])
    matches = match(a, b)
    np.testing.assert_array_equal(matches, match_reference(a, b))
    assert len(matches) > 700


@settings(deadline=None, max_examples=30)
@given(two_photos(), options.filter(lambda o: o.mutual))
def test_swapping_the_photos_swaps_the_matches(photos, options):
    _, a, b = photos
    if len(np.unique(a, axis=0)) < len(a) and options.ratio == 1:
        return  # equal descriptors: which of them is the nearest depends on the order
    swapped = match(b, a, options)[:, ::-1]
    np.testing.assert_array_equal(match(a, b, options), swapped[np.argsort(swapped[:, 0])])


@settings(deadline=None, max_examples=30)
@given(two_photos())
def test_permuting_the_features_permutes_the_matches(photos):
    rng, a, b = photos
    p, q = rng.permutation(len(a)), rng.permutation(len(b))
    permuted = match(a[p], b[q])
    back = np.stack([p[permuted[:, 0]], q[permuted[:, 1]]], axis=1)
    np.testing.assert_array_equal(match(a, b), back[np.argsort(back[:, 0])])


@settings(deadline=None, max_examples=30)
@given(two_photos(), options)
def test_no_feature_is_matched_twice(photos, options):
    _, a, b = photos
    matches = match(a, b, options)
    assert len(np.unique(matches[:, 0])) == len(matches)
    if options.mutual:
        assert len(np.unique(matches[:, 1])) == len(matches)


def test_a_photo_matches_itself_everywhere():
    a = descriptors(np.random.default_rng(1), 400)
    np.testing.assert_array_equal(match(a, a), np.repeat(np.arange(400)[:, None], 2, axis=1))


def test_nothing_to_match():
    a = descriptors(np.random.default_rng(1), 5)
    none = np.zeros((0, 128), np.uint8)
    for x, y in ((a, none), (none, a), (none, none)):
        assert match(x, y).shape == (0, 2)
        assert match(x, y).dtype == np.uint32


def test_wrong_arguments():
    a = descriptors(np.random.default_rng(1), 5)
    with pytest.raises(ValueError, match=r"d1 must be \(N, 128\) uint8"):
        match(a.astype(np.float32), a)
    with pytest.raises(ValueError, match="d2"):
        match(a, a[:, :64])
    with pytest.raises(ValueError, match="ratio"):
        MatchOptions(ratio=1.2)
    with pytest.raises(ValueError, match="max_distance"):
        MatchOptions(max_distance=0)


def test_root_sift_has_unit_norm_and_keeps_the_hellinger_kernel():
    raw = np.random.default_rng(0).integers(0, 120, (50, 128)).astype(np.float32)
    quantised = root_sift(raw)
    assert quantised.dtype == np.uint8
    np.testing.assert_allclose(np.linalg.norm(quantised.astype(float), axis=1), 512, atol=2)
    share = raw.astype(float) / raw.sum(axis=1, keepdims=True)
    hellinger = np.sqrt(share[0] * share[1]).sum()
    assert quantised[0].astype(int) @ quantised[1].astype(int) / 512**2 == pytest.approx(hellinger, abs=0.01)


def test_root_sift_of_an_empty_histogram_and_of_a_single_bin():
    raw = np.zeros((2, 128))
    raw[1, 7] = 200
    np.testing.assert_array_equal(root_sift(raw).max(axis=1), [0, 255])
