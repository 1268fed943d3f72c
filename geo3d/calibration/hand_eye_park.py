"""Hand-eye calibration by logarithms: A X = X B, first the rotation, then the translation.

With alpha = log(R_A) and beta = log(R_B), `R_A R_X = R_X R_B` is `alpha = R_X beta`: the rotation with the least sum of
`|alpha - R_X beta|^2` is the one nearest to the sum of `alpha beta^T`. Then `(R_A - I) t_X = R_X t_B - t_A` is linear.
Park and Martin, "Robot sensor calibration: solving AX = XB on the Euclidean group", 1994.
"""

from __future__ import annotations

import numpy as np

from geo3d.calibration.hand_eye_motions import Motions
from geo3d.geometry import SE3, SO3, closest_rotation


def hand_eye_park(motions: Motions) -> SE3:
    """X from motions about two axes at least.

    Parameters
    ----------
    motions : Motions
        Two or more.
    """
    alpha, beta = SO3(motions.hand.rotation).log(), SO3(motions.eye.rotation).log()
    rotation = closest_rotation(alpha.T @ beta)
    system = (motions.hand.rotation - np.eye(3)).reshape(-1, 3)
    right = motions.eye.translation @ rotation.T - motions.hand.translation
    return SE3(rotation, np.linalg.lstsq(system, right.ravel(), rcond=None)[0])
