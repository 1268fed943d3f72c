"""Loops over matches and tracks: joining matches to tracks, and the widest angle under which a point is seen."""

import numpy as np

from geo3d.util.jit import njit


@njit(nogil=True)
def join_matches(ends, view_of):
    """Label keypoints by track; two keypoints of one photo never share a track.

    Matches are taken in the order given. One that would put two keypoints of the same photo into one track
    contradicts those before it and is left out, so the strongest pairs should come first.

    Parameters
    ----------
    ends : (M, 2) int64
        Keypoint numbers (over all photos) of each match.
    view_of : (K,) int64
        Photo of each keypoint number.

    Returns
    -------
    label : (K,) int64
        Smallest keypoint number of the track.
    """
    count = len(view_of)
    root = np.arange(count)
    following = np.arange(count)  # circular list of the members of each track
    size = np.ones(count, np.int64)
    views = view_of.max() + 1 if count else 0
    seen = np.full(views, -1, np.int64)
    for m in range(len(ends)):
        a, b = root[ends[m, 0]], root[ends[m, 1]]
        if a == b:
            continue
        if size[a] < size[b]:
            a, b = b, a
        member = a
        for _ in range(size[a]):
            seen[view_of[member]] = m
            member = following[member]
        conflict = False
        member = b
        for _ in range(size[b]):
            if seen[view_of[member]] == m:
                conflict = True
                break
            member = following[member]
        if conflict:
            continue
        member = b
        for _ in range(size[b]):
            root[member] = a
            member = following[member]
        following[a], following[b] = following[b], following[a]
        size[a] += size[b]
    label = np.full(count, count, np.int64)
    for k in range(count):
        label[root[k]] = min(label[root[k]], k)
    for k in range(count):
        root[k] = label[root[k]]
    return root


@njit(nogil=True)
def widest_angles(points, centres, offsets, obs_view, obs_used):
    """(T,) radians: the largest angle between two rays of the used observations of each track."""
    out = np.zeros(len(points))
    rays = np.empty((0, 3))
    for t in range(len(points)):
        length = offsets[t + 1] - offsets[t]
        if len(rays) < length:
            rays = np.empty((2 * length, 3))
        n = 0
        for k in range(offsets[t], offsets[t + 1]):
            if obs_used[k]:
                x = points[t, 0] - centres[obs_view[k], 0]
                y = points[t, 1] - centres[obs_view[k], 1]
                z = points[t, 2] - centres[obs_view[k], 2]
                norm = np.sqrt(x * x + y * y + z * z)
                if norm > 0.0:
                    rays[n, 0], rays[n, 1], rays[n, 2] = x / norm, y / norm, z / norm
                    n += 1
        least = 1.0
        for i in range(n):
            for j in range(i):
                dot = rays[i, 0] * rays[j, 0] + rays[i, 1] * rays[j, 1] + rays[i, 2] * rays[j, 2]
                least = min(least, dot)
        out[t] = np.arccos(max(least, -1.0))
    return out
