"""Loops over the triangles of a view graph."""

import numpy as np

from geo3d.util.jit import njit


@njit(nogil=True)
def list_triangles(first, second, views):
    """Triangles of an undirected graph, each once.

    Returns
    -------
    triangles : (T, 3) int64
        Rows of the edges between a and b, b and c, a and c, for views a < b < c, in their order.
    signs : (T, 3) bool
        Whether the edge is given from the lower view to the higher.
    """
    edges = len(first)
    start = np.zeros(views + 1, np.int64)
    for e in range(edges):
        start[min(first[e], second[e]) + 1] += 1
    start = np.cumsum(start)
    at = start[:-1].copy()
    upper = np.empty(edges, np.int64)  # edges by their lower view
    for e in range(edges):
        low = min(first[e], second[e])
        upper[at[low]] = e
        at[low] += 1
    edge_to = np.full(views, -1)
    triangles, signs = np.empty((0, 3), np.int64), np.empty((0, 3), np.bool_)
    for filling in range(2):
        count = 0
        for a in range(views):
            for i in range(start[a], start[a + 1]):
                edge_to[max(first[upper[i]], second[upper[i]])] = upper[i]
            for i in range(start[a], start[a + 1]):
                ab = upper[i]
                b = max(first[ab], second[ab])
                for j in range(start[b], start[b + 1]):
                    bc = upper[j]
                    ac = edge_to[max(first[bc], second[bc])]
                    if ac < 0:
                        continue
                    if filling == 1:
                        triangles[count, 0], triangles[count, 1], triangles[count, 2] = ab, bc, ac
                        signs[count, 0] = first[ab] < second[ab]
                        signs[count, 1] = first[bc] < second[bc]
                        signs[count, 2] = first[ac] < second[ac]
                    count += 1
            for i in range(start[a], start[a + 1]):
                edge_to[max(first[upper[i]], second[upper[i]])] = -1
        if filling == 0:
            triangles, signs = np.empty((count, 3), np.int64), np.empty((count, 3), np.bool_)
    return triangles, signs


@njit(nogil=True)
def drop_by_loops(triangles, closed, strength):
    """(E,) bool: edges that are left when those that loops accuse more than they acquit are taken out one by one.

    A triangle counts for or against each of its edges by the strength of the weaker of the other two, as long as
    these are both in. The edge with the largest surplus of accusations goes first.
    """
    edges = len(strength)
    keep = np.ones(edges, np.bool_)
    alive = np.ones(len(triangles), np.bool_)
    credit, blame = np.zeros(edges), np.zeros(edges)
    start = np.zeros(edges + 1, np.int64)
    for t in range(len(triangles)):
        for k in range(3):
            start[triangles[t, k] + 1] += 1
            weight = min(strength[triangles[t, (k + 1) % 3]], strength[triangles[t, (k + 2) % 3]])
            if closed[t]:
                credit[triangles[t, k]] += weight
            else:
                blame[triangles[t, k]] += weight
    start = np.cumsum(start)
    at = start[:-1].copy()
    of_edge = np.empty(3 * len(triangles), np.int64)
    for t in range(len(triangles)):
        for k in range(3):
            of_edge[at[triangles[t, k]]] = t
            at[triangles[t, k]] += 1
    while True:
        worst, most = -1, 0.0
        for e in range(edges):
            if keep[e] and blame[e] - credit[e] > most:
                worst, most = e, blame[e] - credit[e]
        if worst < 0:
            return keep
        keep[worst] = False
        for i in range(start[worst], start[worst + 1]):
            t = of_edge[i]
            if not alive[t]:
                continue
            alive[t] = False
            for k in range(3):
                weight = min(strength[triangles[t, (k + 1) % 3]], strength[triangles[t, (k + 2) % 3]])
                if closed[t]:
                    credit[triangles[t, k]] -= weight
                else:
                    blame[triangles[t, k]] -= weight
