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


@njit(nogil=True)
def choose_tracks(offsets, obs_view, views, per_view):
    """(T,) bool: tracks of which every view has at least `per_view`, as far as there are as many, the longest first.

    Tracks of equal length are taken in their order.
    """
    tracks = len(offsets) - 1
    longest = 0
    for t in range(tracks):
        longest = max(longest, offsets[t + 1] - offsets[t])
    start = np.zeros(longest + 2, np.int64)
    for t in range(tracks):
        start[longest - (offsets[t + 1] - offsets[t]) + 1] += 1
    start = np.cumsum(start)
    order = np.empty(tracks, np.int64)
    for t in range(tracks):
        bucket = longest - (offsets[t + 1] - offsets[t])
        order[start[bucket]] = t
        start[bucket] += 1
    chosen = np.zeros(tracks, np.bool_)
    count = np.zeros(views, np.int64)
    for t in order:
        wanted = False
        for o in range(offsets[t], offsets[t + 1]):
            if count[obs_view[o]] < per_view:
                wanted = True
        if wanted:
            chosen[t] = True
            for o in range(offsets[t], offsets[t + 1]):
                count[obs_view[o]] += 1
    return chosen


@njit(nogil=True)
def rigid_groups(offsets, obs_view, obs_used, views, min_points):
    """(V,) group of each view, numbered as found, or -1: views whose places hold each other.

    A group starts from the two views that share most tracks. A view joins when it sees at least `min_points` tracks
    that two of the group see: fewer, and its distance from the others, or the scale of what hangs on it, is free.
    """
    tracks = len(offsets) - 1
    start = np.zeros(views + 1, np.int64)
    for t in range(tracks):
        for o in range(offsets[t], offsets[t + 1]):
            if obs_used[o]:
                start[obs_view[o] + 1] += 1
    start = np.cumsum(start)
    at = start[:-1].copy()
    track_of = np.empty(start[-1], np.int64)
    for t in range(tracks):
        for o in range(offsets[t], offsets[t + 1]):
            if obs_used[o]:
                track_of[at[obs_view[o]]] = t
                at[obs_view[o]] += 1
    group = np.full(views, -1)
    common = np.zeros(views, np.int64)
    number = 0
    while True:
        most, first, second = 0, -1, -1
        for v in range(views):
            if group[v] >= 0:
                continue
            common[:] = 0
            for k in range(start[v], start[v + 1]):
                t = track_of[k]
                for o in range(offsets[t], offsets[t + 1]):
                    if obs_used[o] and obs_view[o] > v:
                        common[obs_view[o]] += 1
            for u in range(v + 1, views):
                if group[u] < 0 and common[u] > most:
                    most, first, second = common[u], v, u
        if most < min_points:
            return group
        inside = np.zeros(tracks, np.int64)  # members of the group that see the track
        ready = np.zeros(views, np.int64)  # tracks of a view that two of the group see
        queue = np.empty(views, np.int64)
        queue[0], queue[1] = first, second
        group[first] = group[second] = number
        head, tail = 0, 2
        while head < tail:
            v = queue[head]
            head += 1
            for k in range(start[v], start[v + 1]):
                t = track_of[k]
                inside[t] += 1
                if inside[t] != 2:
                    continue
                for o in range(offsets[t], offsets[t + 1]):
                    u = obs_view[o]
                    if obs_used[o] and group[u] < 0:
                        ready[u] += 1
                        if ready[u] == min_points:
                            group[u] = number
                            queue[tail] = u
                            tail += 1
        number += 1
