"""The camera of other models that comes nearest to one: for files and programs that lack its own.

Rays of a grid of pixels are fitted by least squares of the reprojection error; what is told is the largest error
over a finer grid, corners included.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from geo3d.cameras import evaluate
from geo3d.cameras.camera import Camera
from geo3d.cameras.models import MODELS

# From the simplest on; the first that is as good as exact is taken, else the best.
_CANDIDATES = ("FULL_OPENCV", "EUCM", "OPENCV_FISHEYE", "THIN_PRISM_FISHEYE", "RAD_TAN_THIN_PRISM_FISHEYE")
_PERSPECTIVE = ("PINHOLE", "OPENCV", "BROWN_CONRADY_5", "FULL_OPENCV", "BROWN_CONRADY_12")
_EXACT_PX = 1e-3


class ModelFit(NamedTuple):
    """A camera of another model and how far it is off."""

    camera: Camera
    max_error_px: float  # over the pixels that have a ray


def nearest_colmap(camera: Camera) -> ModelFit:
    """The nearest camera of one of COLMAP's models, and its largest error over the image.

    Parameters
    ----------
    camera : Camera
        One of a model of COLMAP's comes back as it is, with error 0.

    Returns
    -------
    ModelFit
        camera, max_error_px.

    Raises
    ------
    ValueError
        When no pixel has a ray.
    """
    if MODELS[camera.model].in_colmap:
        return ModelFit(camera, 0.0)
    fit = nearest_model(camera, _CANDIDATES)
    assert fit is not None
    return fit


def nearest_model(camera: Camera, models: Sequence[str]) -> ModelFit | None:
    """The nearest camera of the given models, and its largest error over the image.

    Parameters
    ----------
    camera : Camera
    models : sequence of str
        Tried in this order; the first that is as good as exact (1e-3 px) is taken, else the best.

    Returns
    -------
    ModelFit or None
        Its error is infinite where the fitted camera is blind for a part of what `camera` sees. None when all of the
        models are perspective ones, and the camera looks more than 84 degrees aside.

    Raises
    ------
    ValueError
        When no pixel has a ray.
    """
    coarse, fine = _samples(camera, 24), _samples(camera, 65)
    if not len(coarse[0]):
        raise ValueError(f"camera: no pixel of this {camera.model} camera has a ray: {camera.params}")
    best: ModelFit | None = None
    for model in models:
        if model in _PERSPECTIVE and coarse[1][:, 2].min() < 0.1:
            continue  # looks more than 84 degrees aside
        fitted = _fit(camera, model, *coarse)
        error = np.linalg.norm(fitted.project(fine[1]) - fine[0], axis=1)
        fit = ModelFit(fitted, float(np.where(np.isnan(error), np.inf, error).max()))
        if best is None or fit.max_error_px < best.max_error_px:
            best = fit
        if fit.max_error_px <= _EXACT_PX:
            break
    return best


def _samples(camera: Camera, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Pixels (N, 2) of a grid over the image and their rays (N, 3)."""
    x, y = np.meshgrid(np.linspace(0.0, camera.width, count), np.linspace(0.0, camera.height, count))
    pixels = np.stack([x.ravel(), y.ravel()], axis=1)
    rays = camera.unproject(pixels)
    seen = ~np.isnan(rays[:, 0])
    return pixels[seen], rays[seen]


def _fit(camera: Camera, name: str, pixels: np.ndarray, rays: np.ndarray) -> Camera:
    """Least squares of the reprojection error over all parameters of the model."""
    from scipy.optimize import least_squares

    model = MODELS[name]
    start = Camera.from_focal(name, camera.width, camera.height, 1.0, camera.prior_focal)
    scale = camera.project_with_jacobians([0.0, 0.0, 1.0]).d_point
    params = np.array(start.params)
    params[:4] = scale[0, 0], scale[1, 1], *camera.principal_point
    if name in ("EUCM", "DOUBLE_SPHERE"):
        params[model.param_names.index("alpha")] = 0.5

    def residuals(p: np.ndarray) -> np.ndarray:
        return (evaluate.project(model, p, rays) - pixels).ravel()

    def jacobian(p: np.ndarray) -> np.ndarray:
        return evaluate.project_with_jacobians(model, p, rays)[2].reshape(-1, len(p))

    low, high = np.full(len(params), -np.inf), np.full(len(params), np.inf)
    low[:2] = 1e-3 * params[:2]
    if name == "EUCM":
        low[4:], high[4:] = (0.0, 1e-6), (1.0, np.inf)
    if name == "DOUBLE_SPHERE":
        low[4:], high[4:] = (-1.0, 0.0), (1.0, 1.0)
    options = {"bounds": (low, high), "x_scale": "jac", "xtol": 1e-14, "ftol": 1e-14, "gtol": 1e-14}
    found = least_squares(residuals, params, jacobian, **options)  # pyright: ignore[reportArgumentType]
    return start.with_params(found.x)
