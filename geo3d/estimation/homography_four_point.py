"""Homography of four points: `d2 ~ H d1` for rays or homogeneous pixels (4, 3). Closed form, no linear system.

H maps the projective frame p0, p1, p2 (with p3 as unit point) to q0, q1, q2 (q3):
`H = sum_i q_i  [q_j q_k q_3] / [p_j p_k p_3]  (p_j x p_k)^T` with triple products [...] (Hartley and Zisserman,
section 4.1; Semple and Kneebone).
"""

import numpy as np

from geo3d.util.jit import njit


@njit(nogil=True)
def four_point_homography(p, q, h):
    """H (9,) of the points p, q (4, 3), unit norm, positive depth at all four; False for three in line or a flip."""
    for i in range(9):
        h[i] = 0.0
    for i in range(3):
        j, k = (i + 1) % 3, (i + 2) % 3
        x = p[j, 1] * p[k, 2] - p[j, 2] * p[k, 1]
        y = p[j, 2] * p[k, 0] - p[j, 0] * p[k, 2]
        z = p[j, 0] * p[k, 1] - p[j, 1] * p[k, 0]
        below = x * p[3, 0] + y * p[3, 1] + z * p[3, 2]
        above = (
            (q[j, 1] * q[k, 2] - q[j, 2] * q[k, 1]) * q[3, 0]
            + (q[j, 2] * q[k, 0] - q[j, 0] * q[k, 2]) * q[3, 1]
            + (q[j, 0] * q[k, 1] - q[j, 1] * q[k, 0]) * q[3, 2]
        )
        if abs(below) < 1e-12 or abs(above) < 1e-12:
            return False
        f = above / below
        for r in range(3):
            h[3 * r] += f * q[i, r] * x
            h[3 * r + 1] += f * q[i, r] * y
            h[3 * r + 2] += f * q[i, r] * z
    norm = 0.0
    for i in range(9):
        norm += h[i] * h[i]
    if not norm > 0.0:
        return False
    norm = 1.0 / np.sqrt(norm)
    sign = 0.0
    for i in range(4):
        along = 0.0
        for r in range(3):
            along += q[i, r] * (h[3 * r] * p[i, 0] + h[3 * r + 1] * p[i, 1] + h[3 * r + 2] * p[i, 2])
        if i == 0:
            sign = 1.0 if along > 0.0 else -1.0
        if not along * sign > 0.0:
            return False
    for i in range(9):
        h[i] *= norm * sign
    return True


@njit(nogil=True)
def four_point_homographies(d1, d2, samples):
    """Homographies (K, 9) of the samples (B, 4), rows of d1, d2 (N, 3)."""
    matrices = np.empty((len(samples), 9))
    p, q = np.empty((4, 3)), np.empty((4, 3))
    count = 0
    for s in range(len(samples)):
        for i in range(4):
            for j in range(3):
                p[i, j] = d1[samples[s, i], j]
                q[i, j] = d2[samples[s, i], j]
        count += four_point_homography(p, q, matrices[count])
    return matrices[:count]
