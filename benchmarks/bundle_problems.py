"""Problems for bundle adjustment: those of "Bundle Adjustment in the Large", and blocks of aerial photos.

World and camera as everywhere: x right, y down, z forward, `x_cam = R X + t`. Lenses are COLMAP's RADIAL with the
principal point held at 0: focal length and two coefficients.
"""

import bz2
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

BLOCKS = {"block-100": (10, 10, 158_000), "block-300": (15, 20, 538_000)}
"""Rows and columns of photos, and observations."""


@dataclass(frozen=True)
class Problem:
    """Arrays of a problem."""

    rotations: np.ndarray  # (V, 3, 3)
    translations: np.ndarray  # (V, 3)
    view_camera: np.ndarray  # (V,)
    radial: np.ndarray  # (C, 3): f, k1, k2
    points: np.ndarray  # (P, 3)
    obs_view: np.ndarray  # (O,)
    obs_point: np.ndarray  # (O,)
    obs_xy: np.ndarray  # (O, 2)


def load_problem(name: str) -> Problem:
    """A block by its name, else the problem in the file of that name."""
    return make_block(*BLOCKS[name]) if name in BLOCKS else read_problem(Path(name))


def read_problem(path: Path) -> Problem:
    """A problem without the observations that start behind their camera: neither solver would count them there."""
    from geo3d.geometry import SO3

    data = path.read_bytes()
    numbers = np.array((bz2.decompress(data) if path.suffix == ".bz2" else data).split(), np.float64)
    views, points, observations = numbers[:3].astype(int)
    obs, numbers = numbers[3 : 3 + 4 * observations].reshape(-1, 4), numbers[3 + 4 * observations :]
    camera, xyz = numbers[: 9 * views].reshape(-1, 9), numbers[9 * views :].reshape(points, 3)
    turn = np.diag([1.0, -1.0, -1.0])  # its cameras look down -z with y up
    whole = Problem(
        turn @ SO3.exp(camera[:, :3]).matrix,
        camera[:, 3:6] @ turn,
        np.arange(views),
        camera[:, 6:],
        xyz,
        obs[:, 0].astype(np.int64),
        obs[:, 1].astype(np.int64),
        obs[:, 2:] * [1, -1],
    )
    front = in_camera(whole)[:, 2] > 0
    return replace(
        whole, obs_view=whole.obs_view[front], obs_point=whole.obs_point[front], obs_xy=whole.obs_xy[front]
    )


def make_block(rows: int, columns: int, observations: int, seed: int = 0) -> Problem:
    """Photos of a drone over hills, 100 m up in parallel strips with 80 and 70 % overlap, one camera for all.

    A point is found in each photo that shows it with probability 0.35, and in two at least; tracks have 5 photos in
    the mean. Pixels have noise of 0.7 px in x and in y. The start is off by what a first reconstruction
    leaves: 0.2 degrees, 0.3 m, 0.2 m for points, 2 % of the focal length, a lens without distortion.
    """
    from geo3d.geometry import SO3

    rng = np.random.default_rng(seed)
    views, half, height = rows * columns, np.array([2000.0, 1500.0]), 100.0
    radial = np.array([[3000.0, -0.05, 0.01]])
    step = 2 * half * height / radial[0, 0] * [0.3, 0.2]  # across and along the strips
    grid = np.stack(np.meshgrid(np.arange(columns), np.arange(rows)), axis=-1).reshape(-1, 2) * step
    centres = np.column_stack([grid, np.full(views, height)]) + rng.normal(0, [1.0, 1.0, 2.0], (views, 3))
    down = np.diag([1.0, -1.0, -1.0])
    rotations = SO3.exp(np.deg2rad(rng.normal(0, [3.0, 3.0, 5.0], (views, 3)))).matrix @ down
    count = observations // 3  # points to draw, more than the observations wanted
    margin = 0.4 * half * height / radial[0, 0]
    xy = rng.uniform(grid.min(0) - margin, grid.max(0) + margin, (count, 2))
    hills = 5 * np.sin(xy[:, 0] / 23) * np.cos(xy[:, 1] / 31) + rng.gamma(1.0, 2.0, count)
    points = np.column_stack([xy, hills])
    translations = -np.einsum("vij,vj->vi", rotations, centres)
    seen_view, seen_point, seen_xy = [], [], []
    for v in range(views):
        found = np.flatnonzero(rng.random(count) < 0.35)
        pixels = project(points[found] @ rotations[v].T + translations[v], radial)
        inside = (np.abs(pixels) < half).all(axis=1)
        seen_view.append(np.full(np.count_nonzero(inside), v))
        seen_point.append(found[inside])
        seen_xy.append(pixels[inside])
    obs_view, obs_point, obs_xy = (np.concatenate(part) for part in (seen_view, seen_point, seen_xy))
    seen = np.bincount(obs_point, minlength=count)
    total = np.cumsum(np.where(seen >= 2, seen, 0))
    last = int(np.searchsorted(total, observations))  # its track is cut to what is left
    kept = (seen[obs_point] >= 2) & (obs_point <= last)
    obs_view, obs_point, obs_xy = obs_view[kept], obs_point[kept], obs_xy[kept]
    order = np.argsort(obs_point, kind="stable")[:observations]
    used, obs_point = np.unique(obs_point[order], return_inverse=True)
    shaken = SO3.exp(np.deg2rad(0.2) * rng.standard_normal((views, 3))).matrix @ rotations
    moved = centres + rng.normal(0, 0.3, centres.shape)
    return Problem(
        shaken,
        -np.einsum("vij,vj->vi", shaken, moved),
        np.zeros(views, np.int64),
        np.array([[1.02 * radial[0, 0], 0.0, 0.0]]),
        points[used] + rng.normal(0, 0.2, (len(used), 3)),
        obs_view[order],
        obs_point,
        obs_xy[order] + rng.normal(0, 0.7, (len(order), 2)),
    )


def in_camera(p: Problem) -> np.ndarray:
    """(O, 3) observed points in the frames of their cameras."""
    return (
        np.einsum("oij,oj->oi", p.rotations[p.obs_view], p.points[p.obs_point]) + p.translations[p.obs_view]
    )


def project(x: np.ndarray, radial: np.ndarray) -> np.ndarray:
    """(N, 2) pixels of points in front of cameras (N, 3) with lenses (N, 3), or one for all (1, 3)."""
    f, k1, k2 = radial.T
    plane = x[:, :2] / x[:, 2:]
    r2 = (plane**2).sum(1)
    return (f * (1 + r2 * (k1 + r2 * k2)))[:, None] * plane


def evaluate(p: Problem) -> float:
    """Half the sum of squared residuals in px^2; what is behind its camera counts zero."""
    x = in_camera(p)
    front = x[:, 2] > np.finfo(float).eps
    pixels = project(x[front], p.radial[p.view_camera[p.obs_view[front]]])
    return 0.5 * float(((pixels - p.obs_xy[front]) ** 2).sum())
