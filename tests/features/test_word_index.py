"""Matching by visual words finds what exact matching finds; the kernels equal their references."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geo3d.features import (
    SiftOptions,
    extract,
    index_descriptors,
    match,
    match_indexed,
    match_overlapping,
    root_sift,
    visual_words,
)
from geo3d.features.dot_tiles import (
    ITEMS,
    LENGTH,
    QUERIES,
    dot_tile,
    dot_tile_reference,
    interleave,
    keep_two_largest,
    keep_two_largest_reference,
    largest,
    widen,
)
from geo3d.features.learn_words import dead_leaves, learn_words, main
from geo3d.util.jit import njit


@njit()
def one_tile(queries, items, numbers, query_state, block, item_state):
    wide_queries, wide_items = np.empty(QUERIES * LENGTH, np.int16), np.empty(ITEMS * LENGTH, np.int16)
    for q in range(QUERIES):
        widen(queries, q * LENGTH, wide_queries, q * LENGTH)
    for i in range(ITEMS):
        widen(items, i * LENGTH, wide_items, i * LENGTH)
    tile = np.empty(QUERIES * ITEMS, np.int32)
    dot_tile(wide_queries, wide_items, 0, tile, 0, ITEMS)
    keep_two_largest(tile, numbers, query_state, block, item_state, 0, ITEMS)
    return tile, largest(tile, ITEMS)


@settings(max_examples=20)
@given(st.integers(0, 2**32), st.sampled_from([2, 256]))
def test_a_tile_equals_the_reference(seed, span):
    rng = np.random.default_rng(seed)
    queries, items = (rng.integers(0, span, (n, LENGTH)).astype(np.uint8) for n in (QUERIES, ITEMS))
    numbers = rng.integers(0, 1000, QUERIES).astype(np.int32)
    by_query, by_item = (rng.integers(0, 128 * span, (3, n, ITEMS)).astype(np.int32) for n in (QUERIES, 1))
    expected = dot_tile_reference(queries, items)
    for_queries, for_items = by_query.copy(), by_item.copy()
    for q in range(QUERIES):
        keep_two_largest_reference(expected[q : q + 1], [7], *for_queries[:, q])
    keep_two_largest_reference(expected, numbers, *for_items[:, 0])
    by_query, by_item = by_query.ravel(), by_item.ravel()
    tile, most = one_tile(queries.ravel(), interleave(items), numbers, by_query, 7, by_item)
    np.testing.assert_array_equal(tile.reshape(QUERIES, ITEMS), expected)
    assert most == expected[1].max()
    np.testing.assert_array_equal(by_query.reshape(for_queries.shape), for_queries)
    np.testing.assert_array_equal(by_item.reshape(for_items.shape), for_items)


@pytest.fixture(scope="module")
def two_photos():
    """Descriptors of an image, and of a view of it from aside."""
    image = dead_leaves(np.random.default_rng(1000), 512, 2000)
    corners = np.float32([[0, 0], [512, 0], [512, 512], [0, 512]])
    there = np.float32([[30, 60], [470, 10], [440, 500], [60, 420]])
    other = cv2.warpPerspective(image, cv2.getPerspectiveTransform(corners, there), (512, 512))
    noise = np.random.default_rng(0).normal(0, 3, other.shape)
    other = np.clip(np.rint(other + noise), 0, 255).astype(np.uint8)
    return [extract(photo, SiftOptions(max_features=3000)).descriptors for photo in (image, other)]


def shares(found, exact):
    """Share of the exact matches that were found, and of what was found that is exact or of a point without one."""
    both = set(map(tuple, found.tolist())) & set(map(tuple, exact.tolist()))
    known = np.isin(found[:, 0], exact[:, 0])
    right = np.array([tuple(pair) in both for pair in found[known].tolist()])
    return len(both) / len(exact), right.mean(), 1 - known.mean()


def test_finds_what_exact_search_finds(two_photos):
    a, b = two_photos
    exact, found = match(a, b), match_indexed(index_descriptors(a), index_descriptors(b))
    recall, right, extra = shares(found, exact)
    assert len(exact) > 300
    assert recall > 0.97
    assert right == 1  # the same neighbour where both find one
    assert extra < 0.05  # the rival that exact search sees was not in the lists


def test_photos_that_do_not_overlap_are_given_up(two_photos):
    a, b = (index_descriptors(photo) for photo in two_photos)
    elsewhere = index_descriptors(root_sift(np.random.default_rng(0).gamma(0.5, 40, (3000, 128))))
    assert match_overlapping(a, elsewhere) is None
    np.testing.assert_array_equal(match_overlapping(a, b), match_indexed(a, b))


def test_finds_what_exact_search_finds_of_descriptors_as_no_photo_has_them():
    rng = np.random.default_rng(5)
    a = np.minimum(rng.gamma(0.4, 40, (2000, 128)), 255).astype(np.uint8)
    b = np.clip(a[rng.permutation(2000)] + rng.normal(0, 4, a.shape), 0, 255).astype(np.uint8)
    recall, right, _ = shares(match_indexed(index_descriptors(a), index_descriptors(b)), match(a, b))
    assert recall > 0.95 and right == 1


def test_the_order_of_the_photos_and_of_the_features_hardly_matters(two_photos):
    a, b = two_photos
    found = match_indexed(index_descriptors(a), index_descriptors(b))
    back = match_indexed(index_descriptors(b), index_descriptors(a))[:, ::-1]
    assert shares(back, found)[0] > 0.97
    p = np.random.default_rng(0).permutation(len(a))
    permuted = match_indexed(index_descriptors(a[p]), index_descriptors(b))
    rows = np.stack([p[permuted[:, 0]], permuted[:, 1]], axis=1)
    np.testing.assert_array_equal(rows[np.argsort(rows[:, 0])], found)


def test_each_descriptor_is_once_in_the_list_of_its_nearest_word_which_it_searches(two_photos):
    descriptors, words = two_photos[0], visual_words()
    index = index_descriptors(descriptors)
    assert sorted(index.rows[index.rows >= 0]) == list(range(len(descriptors)))
    np.testing.assert_array_equal(
        index.descriptors[index.rows >= 0], descriptors[index.rows[index.rows >= 0]]
    )
    assert not index.descriptors[index.rows < 0].any()
    np.testing.assert_array_equal(index.blocks, interleave(index.descriptors))
    similarity = index.descriptors.astype(int) @ words.astype(int).T
    for w in range(0, len(words), 16):
        listed = np.arange(16 * index.block_start[w], 16 * index.block_start[w + 1])
        listed = listed[index.rows[listed] >= 0]
        assert np.all(similarity[listed, w] == similarity[listed].max(axis=1))
        searching = index.probes[index.probe_start[w] : index.probe_start[w + 1]]
        assert not set(listed) & set(searching) and len(set(searching)) == len(searching)
        assert np.all(similarity[searching, w] > similarity[searching].max(axis=1) - 0.051 * 512**2)


def test_few_descriptors_and_none():
    a = root_sift(np.random.default_rng(0).integers(0, 90, (3, 128)))
    none = np.zeros((0, 128), np.uint8)
    np.testing.assert_array_equal(
        match_indexed(index_descriptors(a), index_descriptors(a)), [[0, 0], [1, 1], [2, 2]]
    )
    for x, y in ((a, none), (none, a), (none, none)):
        assert match_indexed(index_descriptors(x), index_descriptors(y)).shape == (0, 2)


def test_words_of_one_s_own(two_photos):
    a, b = two_photos
    words = learn_words(np.concatenate([a, b]), 64, seed=3)
    np.testing.assert_array_equal(words, learn_words(np.concatenate([a, b]), 64, seed=3))
    np.testing.assert_allclose(np.linalg.norm(words.astype(float), axis=1), 512, atol=6)
    found = match_indexed(index_descriptors(a, words), index_descriptors(b, words))
    assert shares(found, match(a, b))[0] > 0.97
    with pytest.raises(ValueError, match="same words, got 64 and 256"):
        match_indexed(index_descriptors(a, words), index_descriptors(b))


def test_wrong_arguments():
    with pytest.raises(ValueError, match=r"descriptors must be \(N, 128\) uint8"):
        index_descriptors(np.zeros((4, 128), np.float32))
    with pytest.raises(ValueError, match="multiple of 16"):
        index_descriptors(np.zeros((4, 128), np.uint8), np.zeros((3, 128), np.uint8))
    with pytest.raises(ValueError, match="multiple of 16"):
        learn_words(np.zeros((4, 128), np.uint8), 16)


@pytest.mark.slow
def test_the_words_are_those_that_the_recipe_makes(tmp_path):
    main(str(tmp_path / "words.npy"))
    made, stored = (words.astype(float) for words in (np.load(tmp_path / "words.npy"), visual_words()))
    nearest = (made @ stored.T / 512**2).max(axis=1)
    assert np.median(nearest) > 0.97  # 1 where nothing else in SIFT or OpenCV has changed
