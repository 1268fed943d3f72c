"""What is known of a lens before its photos: soft bounds that hold where the photos say nothing.

In standard deviations about the camera that the mapping starts with:

    focal length      5 % when it is from EXIF or given (35 mm equivalents are rounded to half a millimetre, and the
                      lens' own figure is nominal); none when it is a guess
    principal point   1.5 % of the longer side
    distortion        0.2 for radial terms, 0.005 for tangential ones and prisms

Photos that determine a parameter at all do so far better; a nadir-only flight, whose height and focal length are one,
stays near what EXIF says.
"""

from __future__ import annotations

import numpy as np

from geo3d.cameras import MODELS, Camera

FOCAL = 0.05
PRINCIPAL_POINT = 0.015
RADIAL = 0.2
DECENTRING = 0.005


def lens_prior(start: Camera, camera: Camera) -> tuple[np.ndarray, np.ndarray]:
    """Means and standard deviations of a camera's parameters.

    Parameters
    ----------
    start : Camera
        What was known before the photos were looked at; `prior_focal` says whether its focal length is a guess.
    camera : Camera
        As it is now, maybe of a richer model.

    Returns
    -------
    means, sigmas : (n_params,) arrays
        Sigmas are infinite where nothing is known.
    """
    info, known = MODELS[camera.model], dict(zip(start.param_names, start.params))
    first_radial = known.get("k", known.get("k1", 0.0))
    means, sigmas = np.zeros(len(camera.params)), np.full(len(camera.params), np.inf)
    for i, name in enumerate(info.param_names):
        if i in info.focal_params:
            means[i] = start.focal[1 if name == "fy" else 0]
            sigmas[i] = FOCAL * means[i] if start.prior_focal else np.inf
        elif i in info.principal_params:
            means[i] = start.principal_point[0 if name == "cx" else 1]
            sigmas[i] = PRINCIPAL_POINT * max(camera.width, camera.height)
        elif i in info.distortion_params and name[0] in "kps":
            means[i] = known.get(name, first_radial if name in ("k", "k1") else 0.0)
            sigmas[i] = RADIAL if name[0] == "k" else DECENTRING
    return means, sigmas
