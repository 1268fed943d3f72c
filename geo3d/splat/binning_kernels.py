"""Which Gaussians reach which tile, front to back: a sort by depth, then a stable counting sort by tile.

A tile takes `TILE` x `TILE` pixels. An instance is one Gaussian in one tile: those that the ellipse's extent over the
tile's columns of pixels reaches, no others. Equal depths keep the order of the Gaussians. Nothing depends on the
number of threads.
"""

import math

import numpy as np

from geo3d.splat.projection_kernels import CHUNK, FALL, KEY, REACH, RECORD, SLOPE, TILE, TOP, U, V
from geo3d.util.jit import njit
from geo3d.util.lanes import next_item, prefetch

f4 = np.float32

DIGIT = 11  # bits of a digit of the sort

_OPTIONS = {"nogil": True, "error_model": "numpy", "_nrt": False}
_INLINE = {**_OPTIONS, "forceinline": True}


@njit(**_OPTIONS)
def sort_by_depth(records, radius, seen, bits, keys, order, spare_keys, spare_order, counts):
    """Rows of the Gaussians that are seen, nearest first, into `order`.

    `bits` (16 N,) are the records seen as uint32: depths above 0 have the order of their bits. `seen` is the count of
    each chunk, `counts` (3, 2^DIGIT) scratch.
    """
    counts[:] = 0
    n = 0
    mask = (1 << DIGIT) - 1
    for chunk in range(seen.shape[0]):
        if seen[chunk] > 0:
            for i in range(chunk * CHUNK, min((chunk + 1) * CHUNK, radius.shape[0])):
                if radius[i] > f4(0):
                    key = bits[i, KEY]
                    spare_keys[n], spare_order[n] = key, i
                    counts[0, key & mask] += 1
                    counts[1, (key >> DIGIT) & mask] += 1
                    counts[2, key >> (2 * DIGIT)] += 1
                    n += 1
    for digit in range(3):
        start = 0
        for value in range(1 << DIGIT):
            start, counts[digit, value] = start + counts[digit, value], start
    _scatter(n, 0, counts[0], spare_keys, spare_order, keys, order)
    _scatter(n, DIGIT, counts[1], keys, order, spare_keys, spare_order)
    _scatter(n, 2 * DIGIT, counts[2], spare_keys, spare_order, keys, order)


@njit(**_OPTIONS)
def _scatter(n, shift, starts, keys, order, new_keys, new_order):
    mask = (1 << DIGIT) - 1
    for k in range(n):
        digit = (keys[k] >> shift) & mask
        place = starts[digit]
        starts[digit] = place + 1
        new_keys[place], new_order[place] = keys[k], order[k]


@njit(**_OPTIONS)
def split_instances(order, count, box, parts, bounds, regions):
    """Cut `order[:count]` into parts of about equal numbers of tiles in their boxes.

    Part p takes order[bounds[p] : bounds[p + 1]] and instances from regions[p] on; regions[-1] is room enough for all.
    """
    total = 0
    for k in range(count):
        i = order[k]
        total += (box[i, 1] - box[i, 0]) * (box[i, 3] - box[i, 2])
    bounds[0], regions[0] = 0, 0
    part, running = 1, 0
    for k in range(count):
        while part < parts and running * parts >= part * total:
            bounds[part], regions[part] = k, running
            part += 1
        i = order[k]
        running += (box[i, 1] - box[i, 0]) * (box[i, 3] - box[i, 2])
    for rest in range(part, parts + 1):
        bounds[rest], regions[rest] = count, total


@njit(**_INLINE)
def rows_reached(record, left, right):
    """Lowest and highest dy that the ellipse reaches over dx in [left, right]; low > high if it does not get there."""
    down = min(max(record[TOP], left), right)
    up = min(max(-record[TOP], left), right)
    inside = record[REACH] - record[FALL] * down * down
    if not inside >= f4(0):
        return f4(1), f4(0)
    high = record[SLOPE] * down + math.sqrt(inside)
    low = record[SLOPE] * up - math.sqrt(max(record[REACH] - record[FALL] * up * up, f4(0)))
    return low, high


@njit(**_OPTIONS)
def list_tiles(counter, order, bounds, regions, records, box, columns, tiles, first, last, histograms):
    """The tile of every instance, part by part; counts of each part and tile into `histograms` (parts, tiles)."""
    flat = records.reshape(-1)
    part = next_item(counter)
    while part < histograms.shape[0]:
        histogram = histograms[part]
        histogram[:] = 0
        e = regions[part]
        for k in range(bounds[part], bounds[part + 1]):
            prefetch(flat, RECORD * np.int64(order[min(k + 8, bounds[part + 1] - 1)]))
            i = order[k]
            record = records[i]
            first[i] = e
            for column in range(box[i, 0], box[i, 1]):
                left = f4(column * TILE) + f4(0.5) - record[U]
                low, high = rows_reached(record, left, left + f4(TILE - 1))
                if low <= high:
                    low = max(record[V] + low - f4(0.5), f4(box[i, 2] * TILE))
                    high = min(record[V] + high - f4(0.5), f4(box[i, 3] * TILE - 1))
                    for row in range(math.ceil(low) // TILE, math.floor(high) // TILE + 1):
                        tile = row * columns + column
                        tiles[e] = tile
                        histogram[tile] += 1
                        e += 1
            last[i] = e
        part = next_item(counter)


@njit(**_OPTIONS)
def tile_starts(histograms, starts):
    """Counts (parts, tiles) become places of each part's first instance; `starts` (tiles + 1,) those of the tiles."""
    place = 0
    for tile in range(histograms.shape[1]):
        starts[tile] = place
        for part in range(histograms.shape[0]):
            place, histograms[part, tile] = place + histograms[part, tile], place
    starts[histograms.shape[1]] = place


@njit(**_OPTIONS)
def place_instances(counter, order, bounds, first, last, tiles, places, ids, place):
    """Sort the instances: `ids` the Gaussian of each place, `place` the place of each instance."""
    part = next_item(counter)
    while part < places.shape[0]:
        following = places[part]
        for k in range(bounds[part], bounds[part + 1]):
            i = order[k]
            for e in range(first[i], last[i]):
                p = following[tiles[e]]
                following[tiles[e]] = p + 1
                ids[p] = i
                place[e] = p
        part = next_item(counter)
