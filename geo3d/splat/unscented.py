"""Gaussians through any lens: the unscented transform. Julier and Uhlmann 1997; of splats Wu et al., CVPR 2025 (3DGUT).

Of a Gaussian with the mean t and the axes a_k (columns of R Rq S, camera frame) the points t and t +- sqrt(3) a_k are
projected, to p_0 and p_1 ... p_6, and taken together to an ellipse (alpha 1, beta 2, kappa 0):

    centre      m = sum_{j>0} p_j / 6
    covariance  C = 2 (p_0 - m)(p_0 - m)^T + sum_{j>0} (p_j - m)(p_j - m)^T / 6

Through a linear projection, as an orthographic one, this is exact. Gaussians of which a point has no pixel are left
out. They are sorted by their distance from the camera, since z may be negative; of an orthographic camera by z.

The lenses that kernels know go through geo3d.splat.unscented_kernels; the NumPy functions here serve the others,
orthographic and splined, and are the kernels' reference.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from geo3d.cameras import Camera
from geo3d.geometry import SE3, quaternion_to_matrix
from geo3d.splat import unscented_kernels as kernels
from geo3d.splat.orthographic import OrthographicCamera
from geo3d.util.crew import Crew, everyone

_SPLINED = "SPLINED"
_ROOT = np.sqrt(3.0)
_SIGNS = np.array([1.0, -1.0])
_BLOCK = 4096  # Gaussians at a time: their points stay in the cache


@dataclass(frozen=True)
class SigmaPoints:
    """The Gaussians in the camera frame."""

    means: np.ndarray  # (N, 3)
    axes: np.ndarray  # (N, 3, 3), columns a_k
    turns: np.ndarray  # (N, 3, 3) R Rq
    points: np.ndarray  # (N, 7, 3)


def project_lens(
    camera: Camera | OrthographicCamera,
    cam_from_world: SE3,
    gaussians: tuple,
    near: float,
    crew: Crew | None = None,
) -> np.ndarray:
    """(N, 7) float32 ellipses of `gaussians` (their arrays) for projection_kernels; rows of NaN are not seen.

    Parameters
    ----------
    camera : Camera or OrthographicCamera
    cam_from_world : SE3
    gaussians : tuple of arrays
        Means, quaternions and log_scales come first.
    near : float
        What is nearer to the camera is left out.
    crew : Crew, optional
        Threads; all cores if not given.

    Raises
    ------
    ValueError
        For an EQUIRECTANGULAR camera, whose left and right borders are one.
    """
    if camera.model == "EQUIRECTANGULAR":
        raise ValueError(
            "camera: an EQUIRECTANGULAR image is not rendered at once, since a Gaussian may lie on both of its ends; "
            "render pinhole views to all sides and put them together (geo3d.render has panoramas)"
        )
    if not isinstance(camera, Camera) or camera.model.startswith(_SPLINED):
        return project_by_numpy(camera, cam_from_world, gaussians, near)
    lens = np.empty((len(gaussians[0]), kernels.LENS), np.float32)
    means, quaternions, log_scales = gaussians[:3]
    limit, pose = camera.max_angle, _flat_pose(cam_from_world)
    model, slope = camera.model_id, np.tan(limit) ** 2
    (crew or everyone()).run(
        lambda counter, _: kernels.lens_forward(
            counter, model, camera.params, limit, slope, pose, near, means, quaternions, log_scales, lens
        )
    )
    return lens


def project_by_numpy(
    camera: Camera | OrthographicCamera, cam_from_world: SE3, gaussians: tuple, near: float
) -> np.ndarray:
    """`project_lens`, readable, for any camera."""
    lens = np.empty((len(gaussians[0]), 7), np.float32)
    with np.errstate(all="ignore"):  # what is not finite is not seen
        for start in range(0, len(lens), _BLOCK):
            part = slice(start, start + _BLOCK)
            sigma = _sigma_points(cam_from_world, gaussians, part)
            pixels = camera.project(sigma.points)
            centers = pixels[:, 1:].mean(axis=1)
            d = pixels - centers[:, None]
            x, y = d[..., 0], d[..., 1]
            weights = np.array([2.0, *[1 / 6] * 6])
            xx, xy, yy = (x * x) @ weights, (x * y) @ weights, (y * y) @ weights
            flat = isinstance(camera, OrthographicCamera)
            key = sigma.means[:, 2] if flat else np.linalg.norm(sigma.means, axis=1)
            key = np.where((key >= near) & np.isfinite(pixels).all(axis=(1, 2)), key, np.nan)
            lens[part] = np.column_stack([centers, xx, xy, yy, xx * yy - xy * xy, key])
    return lens


def lens_backward(
    camera: Camera | OrthographicCamera,
    cam_from_world: SE3,
    gaussians: tuple,
    rows: np.ndarray,
    by_ellipse: np.ndarray,
    outputs: dict[str, np.ndarray],
    crew: Crew | None = None,
) -> np.ndarray:
    """Add the gradients through the lens of the Gaussians `rows` to `outputs`; returns that by [R | t], (3, 4).

    Parameters
    ----------
    camera, cam_from_world, gaussians
        As in `project_lens`.
    rows : (V,) int
    by_ellipse : (V, 5)
        Twice the gradient by C (xx, xy, yy), and that by m, of these rows.
    outputs : dict
        Of arrays (N, ...) named "means", "quaternions", "log_scales".
    crew : Crew, optional
        Threads; all cores if not given.
    """
    if not isinstance(camera, Camera) or camera.model.startswith(_SPLINED):
        return backward_by_numpy(camera, cam_from_world, gaussians, rows, by_ellipse, outputs)
    poses = np.zeros((-(-len(rows) // kernels.CHUNK), kernels.POSE))
    means, quaternions, log_scales = gaussians[:3]
    model, pose = camera.model_id, _flat_pose(cam_from_world)
    (crew or everyone()).run(
        lambda counter, _: kernels.lens_gradients(
            counter, model, camera.params, pose, means, quaternions, log_scales, rows, by_ellipse, outputs["means"],
            outputs["quaternions"], outputs["log_scales"], poses,
        )
    )  # fmt: skip
    return poses.sum(axis=0).reshape(3, 4)


def backward_by_numpy(
    camera: Camera | OrthographicCamera,
    cam_from_world: SE3,
    gaussians: tuple,
    rows: np.ndarray,
    by_ellipse: np.ndarray,
    outputs: dict[str, np.ndarray],
) -> np.ndarray:
    """`lens_backward`, readable, for any camera."""
    pose = np.zeros((3, 4))
    rotation = cam_from_world.rotation
    for start in range(0, len(rows), _BLOCK):
        part = rows[start : start + _BLOCK]
        p = by_ellipse[start : start + _BLOCK].astype(np.float64)
        sigma = _sigma_points(cam_from_world, gaussians, part)
        projection = camera.project_with_jacobians(sigma.points)
        d = projection.pixels - projection.pixels[:, 1:].mean(axis=1)[:, None]
        # By C = sum c_j d_j d_j^T: c_j P d_j each (P: twice the gradient); m takes its part of them along.
        weights = np.array([2.0, *[1 / 6] * 6])
        by_c = p[:, [[0, 1], [1, 2]]]
        by_pixels = weights[:, None] * np.einsum("nab,njb->nja", by_c, d)
        by_mean = p[:, 3:] - by_pixels.sum(axis=1)
        by_pixels[:, 1:] += by_mean[:, None] / 6
        by_points = np.einsum("njab,nja->njb", projection.d_point, by_pixels)
        by_means = by_points.sum(axis=1)
        pairs = by_points[:, 1:].reshape(-1, 3, 2, 3)
        by_axes = _ROOT * np.einsum("nksc,s->nck", pairs, _SIGNS)
        scales = np.exp(gaussians[2][part].astype(np.float64))
        by_turns = by_axes * scales[:, None, :]  # by R Rq
        outputs["means"][part] += by_means @ rotation
        outputs["log_scales"][part] += (by_axes * sigma.axes).sum(axis=1)
        to_world = rotation.T @ sigma.turns
        outputs["quaternions"][part] += _quaternion_slopes(gaussians[1][part], rotation.T @ by_turns)
        pose[:, :3] += np.einsum("nab,ncb->ac", by_turns, to_world) + by_means.T @ gaussians[0][part]
        pose[:, 3] += by_means.sum(axis=0)
    return pose


def _flat_pose(cam_from_world: SE3) -> np.ndarray:
    return np.column_stack([cam_from_world.rotation, cam_from_world.translation]).ravel()


def _sigma_points(cam_from_world: SE3, gaussians: tuple, rows: slice | np.ndarray) -> SigmaPoints:
    means, quaternions, log_scales = (array[rows].astype(np.float64) for array in gaussians[:3])
    lengths = np.linalg.norm(quaternions, axis=1)
    usable = np.isfinite(lengths) & (lengths > 0)
    to_world = quaternion_to_matrix(np.where(usable[:, None], quaternions, [1.0, 0, 0, 0]))
    turns = cam_from_world.rotation @ to_world
    axes = turns * np.exp(log_scales)[:, None, :]
    t = means @ cam_from_world.rotation.T + cam_from_world.translation
    t = np.where(usable[:, None], t, np.nan)
    steps = (_SIGNS[:, None] * _ROOT * np.swapaxes(axes, 1, 2)[:, :, None]).reshape(-1, 6, 3)
    points = t[:, None] + np.concatenate([np.zeros((len(t), 1, 3)), steps], axis=1)
    return SigmaPoints(t, axes, turns, points)


def _quaternion_slopes(quaternions: np.ndarray, g: np.ndarray) -> np.ndarray:
    """(N, 4) gradient by quaternions of any length from that by their rotations, (N, 3, 3)."""
    lengths = np.linalg.norm(quaternions.astype(np.float64), axis=1)[:, None]
    unit = quaternions / lengths
    w, x, y, z = unit.T
    dw = x * (g[:, 2, 1] - g[:, 1, 2]) + y * (g[:, 0, 2] - g[:, 2, 0]) + z * (g[:, 1, 0] - g[:, 0, 1])
    dx = y * (g[:, 0, 1] + g[:, 1, 0]) + z * (g[:, 0, 2] + g[:, 2, 0]) + w * (g[:, 2, 1] - g[:, 1, 2])
    dy = x * (g[:, 0, 1] + g[:, 1, 0]) + z * (g[:, 1, 2] + g[:, 2, 1]) + w * (g[:, 0, 2] - g[:, 2, 0])
    dz = x * (g[:, 0, 2] + g[:, 2, 0]) + y * (g[:, 1, 2] + g[:, 2, 1]) + w * (g[:, 1, 0] - g[:, 0, 1])
    dx -= 2 * x * (g[:, 1, 1] + g[:, 2, 2])
    dy -= 2 * y * (g[:, 0, 0] + g[:, 2, 2])
    dz -= 2 * z * (g[:, 0, 0] + g[:, 1, 1])
    slopes = 2 * np.stack([dw, dx, dy, dz], axis=1)
    return (slopes - unit * (slopes * unit).sum(axis=1, keepdims=True)) / lengths
