"""From pixels back to rays, and the angle up to which there is one ray a pixel.

A radial model is inverted along its radius (`radius`) or in closed form. Where a tangential or prism part bends the
radii, that gives the first guess for Newton's method on the unit sphere: with J (2, 3) the derivative by the ray, the
shortest step J^T (J J^T)^-1 residual is tangent to the sphere, because J ray = 0. Steps that do not reduce the
residual, or leave the cone in which the model is one to one, are halved. What does not converge so is followed from
the optical axis: the pixel moves in a straight line from there to the one asked for, in steps small enough that
Newton keeps up. Inside the cone J has full rank, so that this path exists until it leaves the cone, and then the
pixel has no ray.
"""

import numpy as np

from geo3d.cameras.evaluate import project, project_with_d_point, within
from geo3d.cameras.models import CameraModel

_AZIMUTHS = 48
_ANGLES = 128
_CHUNK = 16384  # pixels a pass, to bound the memory


def max_angle(model: CameraModel, params: np.ndarray) -> float:
    """Angle from the axis up to which the model is one to one in every direction, radians.

    The bound of the radial part, lowered to where det of the Jacobian first changes its sign on 48 azimuths.
    """
    with np.errstate(all="ignore"):
        radial = model.max_angle(params)
    if not model.warped(params):
        return radial
    azimuth = np.linspace(0.0, 2.0 * np.pi, _AZIMUTHS, endpoint=False)
    theta = np.linspace(0.0, radial, _ANGLES + 1)[1:-1]
    turned = ~(_orientation(model, params, theta[:, None], azimuth) > 0.0)
    if not turned.any():
        return radial
    first = int(np.argmax(turned.any(axis=1)))
    low, high = (0.0 if first == 0 else theta[first - 1]), theta[first]
    azimuth = azimuth[turned[first]]
    while high - low > 1e-12:
        middle = 0.5 * (low + high)
        if np.all(_orientation(model, params, np.array([[middle]]), azimuth) > 0.0):
            low = middle
        else:
            high = middle
    return float(low)


def _orientation(
    model: CameraModel, params: np.ndarray, theta: np.ndarray, azimuth: np.ndarray
) -> np.ndarray:
    """Positive where the image is not mirrored: (du/dray x dv/dray) . ray, of the shape of theta and azimuth."""
    sine = np.sin(theta)
    rays = np.stack(
        np.broadcast_arrays(sine * np.cos(azimuth), sine * np.sin(azimuth), np.cos(theta)), axis=-1
    )
    flat = rays.reshape(-1, 3)
    _, d_point = project_with_d_point(model, params, flat)
    turn = np.einsum("ni,ni->n", np.cross(d_point[:, 0], d_point[:, 1]), flat)
    return turn.reshape(rays.shape[:-1])


def unproject(
    model: CameraModel,
    params: np.ndarray,
    pixels: np.ndarray,
    focal: np.ndarray,
    principal_point: np.ndarray,
    limit: float,
) -> np.ndarray:
    """Unit rays (N, 3) of pixels (N, 2); NaN for a pixel that no direction within `limit` of the axis reaches."""
    warped = model.warped(params)
    radial_limit = model.max_angle(params) if warped else limit
    result = np.empty((len(pixels), 3))
    with np.errstate(all="ignore"):
        for start in range(0, len(pixels), _CHUNK):
            part = pixels[start : start + _CHUNK]
            a, b = ((part - principal_point) / focal).T
            rays = model.lift(params, a, b, radial_limit).T
            rays = rays / np.linalg.norm(rays, axis=1, keepdims=True)
            if warped:
                rays = _unwarp(model, params, part, rays, limit)
            inside = within(rays[:, 0], rays[:, 1], rays[:, 2], limit)
            result[start : start + _CHUNK] = np.where(inside[:, None], rays, np.nan)
    return result


def _unwarp(
    model: CameraModel, params: np.ndarray, pixels: np.ndarray, guess: np.ndarray, limit: float
) -> np.ndarray:
    """Rays (N, 3) of a warped model from a first guess whose rows may be NaN."""
    axis = np.array([0.0, 0.0, 1.0])
    # The guess may lie beyond the cone where the ray does not.
    usable = within(guess[:, 0], guess[:, 1], guess[:, 2], limit)
    rays = np.where(usable[:, None], guess, axis)
    rays, solved = _newton(model, params, pixels, rays, limit, 50)
    missing = np.flatnonzero(~solved & np.isfinite(pixels).all(axis=1))
    rays[~solved] = np.nan
    if len(missing):
        rays[missing] = _follow(model, params, pixels[missing], limit)
    return rays


def _newton(
    model: CameraModel, params: np.ndarray, pixels: np.ndarray, rays: np.ndarray, limit: float, steps: int
) -> tuple[np.ndarray, np.ndarray]:
    """Damped Newton's method for all rows at once: rays (N, 3) and which have converged (N,)."""
    rays = rays.copy()
    solved = np.zeros(len(rays), bool)
    active = np.arange(len(rays))
    damping = np.ones(len(rays))
    at, d_point = project_with_d_point(model, params, rays)
    residual = pixels - at
    tolerance = 1e-14 * (np.abs(pixels).sum(axis=1) + np.abs(params[:2]).max())
    for _ in range(steps):
        size = np.linalg.norm(residual, axis=1)
        close = size <= tolerance[active]
        solved[active[close]] = True
        keep = ~close & np.isfinite(size)
        active, residual, d_point, size = active[keep], residual[keep], d_point[keep], size[keep]
        if not len(active):
            break
        trial = _step(rays[active], d_point, residual, damping[active])
        at, d_trial = project_with_d_point(model, params, trial)
        new = pixels[active] - at
        new_size = np.linalg.norm(new, axis=1)
        better = (new_size < size) & within(trial[:, 0], trial[:, 1], trial[:, 2], limit)
        # Rounding ends the descent a few units above the tolerance.
        stalled = ~better & (size <= 1e4 * tolerance[active])
        solved[active[stalled]] = True
        rays[active[better]] = trial[better]
        damping[active] = np.where(better, np.minimum(1.0, 4.0 * damping[active]), 0.25 * damping[active])
        residual = np.where(better[:, None], new, residual)[~stalled]
        d_point = np.where(better[:, None, None], d_trial, d_point)[~stalled]
        active = active[~stalled]
    return rays, solved


def _step(rays: np.ndarray, d_point: np.ndarray, residual: np.ndarray, damping: np.ndarray) -> np.ndarray:
    """Unit rays after the step J^T (J J^T)^-1 residual, shortened by the damping."""
    u, v = d_point[:, 0], d_point[:, 1]
    uu, uv, vv = (u * u).sum(1), (u * v).sum(1), (v * v).sum(1)
    scale = damping / (uu * vv - uv * uv)
    along_u = scale * (vv * residual[:, 0] - uv * residual[:, 1])
    along_v = scale * (uu * residual[:, 1] - uv * residual[:, 0])
    moved = rays + along_u[:, None] * u + along_v[:, None] * v
    return moved / np.linalg.norm(moved, axis=1, keepdims=True)


def _follow(model: CameraModel, params: np.ndarray, pixels: np.ndarray, limit: float) -> np.ndarray:
    """Rays (N, 3) by following the image's straight line from the optical axis; NaN where it leaves the cone."""
    rays = np.tile([0.0, 0.0, 1.0], (len(pixels), 1))
    origin = project(model, params, rays[:1])
    done = np.zeros(len(pixels))  # part of the line behind us
    stride = np.full(len(pixels), 0.25)
    active = np.arange(len(pixels))
    while len(active):
        ahead = np.minimum(1.0, done[active] + stride[active])
        targets = origin + ahead[:, None] * (pixels[active] - origin)
        trial, arrived = _newton(model, params, targets, rays[active], limit, 8)
        rays[active[arrived]] = trial[arrived]
        done[active[arrived]] = ahead[arrived]
        stride[active] *= np.where(arrived, 2.0, 0.25)
        active = active[(done[active] < 1.0) & (stride[active] > 1e-7)]
    return np.where((done >= 1.0)[:, None], rays, np.nan)
