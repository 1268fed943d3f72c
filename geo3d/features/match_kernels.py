"""Best and second-best neighbour of descriptors in both directions, over inverted lists.

One photo's descriptors lie in lists (`DescriptorIndex`); of the other's, it is said which descriptors search which
list. Every product that this asks for is made once, in tiles, and counts for both photos. An exact search is one in
which every descriptor searches every list. Equal similarities: the lowest number wins of those in
one list. A similarity of 0 is none.
"""

import numpy as np

from geo3d.features.dot_tiles import (
    ITEMS,
    LENGTH,
    QUERIES,
    dot_tile,
    keep_two_largest,
    largest,
    widen,
)
from geo3d.util.jit import njit


@njit(nogil=True)
def search_lists(
    queries: np.ndarray,  # flat (N, 128) uint8
    probes: np.ndarray,  # (P,) int32, rows of queries, list by list
    probe_start: np.ndarray,  # (K + 1,) int64, where those of each list begin
    items: np.ndarray,  # flat, M uint8 descriptors, interleaved
    block_start: np.ndarray,  # (K + 1,) int64, at which block each list begins
    query_state: np.ndarray,  # flat (3, N) int32: largest and second product so far, and item of the largest or -1
    item_state: np.ndarray,  # flat (3, M) int32: the same of the items
) -> None:
    n, m = len(query_state) // 3, len(item_state) // 3
    longest = 0
    for w in range(len(block_start) - 1):
        longest = max(longest, block_start[w + 1] - block_start[w])
    wide_items = np.empty(longest * ITEMS * LENGTH, np.int16)
    wide_queries = np.zeros(QUERIES * LENGTH, np.int16)
    tile = np.empty(QUERIES * ITEMS, np.int32)
    numbers = np.empty(QUERIES, np.int32)
    state = np.empty(3 * QUERIES * ITEMS, np.int32)
    for w in range(len(block_start) - 1):
        first, blocks = block_start[w], block_start[w + 1] - block_start[w]
        if blocks == 0 or probe_start[w] == probe_start[w + 1]:
            continue
        for i in range(blocks * ITEMS):
            widen(items, (first * ITEMS + i) * LENGTH, wide_items, i * LENGTH)
        for start in range(probe_start[w], probe_start[w + 1], QUERIES):
            count = min(QUERIES, probe_start[w + 1] - start)
            for k in range(count):
                numbers[k] = probes[start + k]
                widen(queries, np.int64(numbers[k]) * LENGTH, wide_queries, k * LENGTH)
            wide_queries[count * LENGTH :] = 0  # what is not there is similar to nothing
            state[: 2 * QUERIES * ITEMS] = 0
            for b in range(blocks):
                dot_tile(wide_queries, wide_items, b * ITEMS * LENGTH, tile, 0, ITEMS)
                keep_two_largest(tile, numbers, state, first + b, item_state, (first + b) * ITEMS, m)
            for k in range(count):
                _merge(state, k * ITEMS, query_state, numbers[k], n)


@njit(nogil=True)
def _merge(state: np.ndarray, at: int, query_state: np.ndarray, query: int, n: int) -> None:
    """Take the two largest of each place in a block into those of a query."""
    second = query_state[n + query]
    if largest(state, at) <= second:
        return
    best, where = query_state[query], query_state[2 * n + query]
    for l in range(ITEMS):
        value = state[at + l]
        if value < second or value == 0:
            continue
        item = state[2 * QUERIES * ITEMS + at + l] * ITEMS + l
        if value > best:
            second = max(best, state[QUERIES * ITEMS + at + l])
            best, where = value, item
        else:
            second = value
            if value == best:
                where = min(where, item)
    query_state[query], query_state[n + query], query_state[2 * n + query] = best, second, where


@njit(nogil=True)
def nearest_words(
    descriptors: np.ndarray,  # flat (S, 128) uint8, at least N, a multiple of 8
    words: np.ndarray,  # flat, K interleaved words
    margin: int,
    out: np.ndarray,  # (N, C) int16, out: words of each by falling similarity, filled up with -1
) -> None:
    """The most similar word of each descriptor, and others less similar by at most `margin`, at most C."""
    count = len(out)
    k = len(words) // LENGTH
    wide_words = np.empty(len(words), np.int16)
    wide = np.empty(QUERIES * LENGTH, np.int16)
    similarity = np.empty(QUERIES * k, np.int32)
    for i in range(k):
        widen(words, i * LENGTH, wide_words, i * LENGTH)
    for start in range(0, count, QUERIES):
        for q in range(QUERIES):
            widen(descriptors, (start + q) * LENGTH, wide, q * LENGTH)
        for i in range(0, k, ITEMS):
            dot_tile(wide, wide_words, i * LENGTH, similarity, i, k)
        for q in range(min(QUERIES, count - start)):
            _rank(similarity[q * k : (q + 1) * k], margin, out[start + q])


@njit(nogil=True)
def _rank(similarity: np.ndarray, margin: int, out: np.ndarray) -> None:
    best = np.int32(0)
    for value in similarity:
        best = max(best, value)
    out[:] = -1
    found, limit = 0, best - margin
    for word in range(len(similarity)):
        value = similarity[word]
        if value >= limit:
            place = min(found, len(out) - 1)
            if found == len(out) and similarity[out[place]] >= value:
                continue
            while place > 0 and similarity[out[place - 1]] < value:
                out[place] = out[place - 1]
                place -= 1
            out[place] = word
            found = min(found + 1, len(out))
