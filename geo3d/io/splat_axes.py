"""Gaussians moved as a whole, and the axes of formats whose y axis is up.

The world of a scene has z up (x east, y north where it is on Earth); glTF and SPZ have x right, y up, z backward:

    x_file = R x_world,      R = [[1, 0, 0], [0, 0, 1], [0, -1, 0]]
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from geo3d.geometry import Sim3, matrix_to_quaternion, quaternion_multiply, sh_rotation
from geo3d.scene import Gaussians

Y_UP_FROM_WORLD = np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])
"""(3, 3) rotation that brings z up to y up."""


def turned(gaussians: Gaussians, rotation: ArrayLike) -> Gaussians:
    """`gaussians` (of NumPy arrays) turned about the origin by `rotation` (3, 3): centres, axes and colours.

    Raises
    ------
    ValueError
        If it is no rotation.
    """
    g = gaussians
    turn = np.asarray(rotation, np.float64)
    quaternion, wigner = matrix_to_quaternion(turn), sh_rotation(turn, g.sh_degree)
    n, k, _ = g.sh.shape
    # one product of (3 N, K) with (K, K), instead of N small ones
    colours = g.sh.transpose(0, 2, 1).reshape(3 * n, k) @ wigner.T.astype(g.sh.dtype)
    return Gaussians(
        (g.means @ turn.T).astype(g.means.dtype),
        quaternion_multiply(quaternion, g.quaternions).astype(g.quaternions.dtype),
        g.log_scales,
        g.logit_opacities,
        np.ascontiguousarray(colours.reshape(n, 3, k).transpose(0, 2, 1)),
        g.antialiased,
    )


def moved(gaussians: Gaussians, new_from_old: Sim3) -> Gaussians:
    """`gaussians` (of NumPy arrays) under one similarity: centres, axes, sizes and colours.

    Raises
    ------
    ValueError
        If `new_from_old` holds several, or its matrix is no rotation.
    """
    if new_from_old.scale.shape != ():
        raise ValueError(f"new_from_old: expected one similarity, got {new_from_old.scale.shape}")
    g = turned(gaussians, new_from_old.rotation)
    return Gaussians(
        new_from_old.act(gaussians.means).astype(gaussians.means.dtype),
        g.quaternions,
        g.log_scales + np.log(new_from_old.scale).astype(g.log_scales.dtype),
        g.logit_opacities,
        g.sh,
        g.antialiased,
    )
