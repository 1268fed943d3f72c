"""Matches of a house whose opposite facades look alike: some pairs of photos match what is not the same place.

Points lie on the four facades of `make_house`, each with a twin on the opposite one, and a few on the ground and in
the air round the house, which have none. Two photos match by appearance, and verification keeps the larger part that
one rigid scene explains: the points that both see, or the points of the one and their twins of the other. The second
kind is consistent within each pair, and mostly within triangles of photos; only long loops tell.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from geo3d.cameras import Camera
from geo3d.geometry import SE3
from geo3d.synthetic.facades import HEIGHT_M, WIDTH_M, house_poses
from geo3d.synthetic.scenes import default_camera


@dataclass(frozen=True)
class TwinPair:
    """Verified matches of two photos."""

    first: int
    second: int
    matches: np.ndarray  # (M, 2) int64, rows of the keypoints of first and second
    true: bool  # whether they are of the same points, not of twins


@dataclass(frozen=True)
class TwinScene:
    """Photos of the house, their keypoints and what matches.

    Attributes
    ----------
    camera : Camera
        The one of all photos.
    poses : list of SE3
        `cam_from_world`, true.
    points : (P, 3) float64
        World, metres.
    keypoints : list of (N_v, 2) float64
        Pixels, with noise, of the points that a photo sees.
    point_rows : list of (N_v,) int64
        The point of each keypoint.
    pairs : list of TwinPair
    """

    camera: Camera
    poses: list[SE3]
    points: np.ndarray
    keypoints: list[np.ndarray]
    point_rows: list[np.ndarray]
    pairs: list[TwinPair]


def make_twins(
    photos: int = 36,
    span_deg: float = 360.0,
    points: int = 200,
    unique: int = 40,
    noise_px: float = 0.5,
    seed: int = 0,
) -> TwinScene:
    """A walk round the house of twins.

    Parameters
    ----------
    photos : int
        At even distances.
    span_deg : float
        How far round the walk leads; beyond 180 degrees the same views come again.
    points : int
        On each facade.
    unique : int
        Points without a twin, on the ground and in the air.
    noise_px : float
        Standard deviation of the keypoints in x and in y.
    seed : int

    Returns
    -------
    TwinScene

    Raises
    ------
    ValueError
        If a number is out of range.
    """
    if photos < 2 or points < 8 or unique < 0 or not (noise_px >= 0 and 0 < span_deg <= 360):
        raise ValueError(
            "expected photos >= 2, points >= 8, unique >= 0, noise_px >= 0 and span_deg of 0 to 360; got "
            f"{photos=}, {points=}, {unique=}, {noise_px=}, {span_deg=}"
        )
    rng = np.random.default_rng([seed, 23])
    xyz, normals, looks = _points(points, unique, rng)
    camera, poses = default_camera(), house_poses(photos, 0.0, span_deg, seed)
    keypoints, rows = [], []
    for pose in poses:
        pixels = camera.project(pose.act(xyz))
        towards = np.einsum("pi,pi->p", normals, pose.center() - xyz)
        with np.errstate(invalid="ignore"):
            inside = ((pixels >= 0) & (pixels <= [camera.width, camera.height])).all(axis=1)
        row = np.flatnonzero(inside & ((towards > 0) | (normals == 0).all(axis=1)))
        rows.append(row)
        keypoints.append(pixels[row] + noise_px * rng.standard_normal((len(row), 2)))
    pairs = []
    for a in range(photos):
        for b in range(a + 1, photos):
            found = _verified(a, b, rows, looks)
            if len(found.matches) >= 15:
                pairs.append(found)
    return TwinScene(camera, poses, xyz, keypoints, rows, pairs)


def _verified(a: int, b: int, rows: list[np.ndarray], looks: np.ndarray) -> TwinPair:
    """What verification keeps of the matches by appearance."""
    _, i, j = np.intersect1d(looks[rows[a]], looks[rows[b]], return_indices=True)
    same = rows[a][i] == rows[b][j]
    true = np.count_nonzero(same) >= np.count_nonzero(~same)
    return TwinPair(a, b, np.column_stack([i, j])[same == true], bool(true))


def _points(count: int, unique: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Points (P, 3), outward normals (P, 3; zero where seen from anywhere), and what they look like (P,)."""
    half = WIDTH_M / 2
    # Facades are not quite flat: sills and bars stand out.
    patterns = [
        np.column_stack(
            [rng.uniform(-half, half, count), rng.uniform(0, 0.3, count), rng.uniform(0, HEIGHT_M, count)]
        )
        for _ in range(2)
    ]
    xyz, normals = [], []
    for k in range(4):
        turn = np.pi / 2 * k
        right, out = (
            np.array([np.cos(turn), np.sin(turn), 0.0]),
            np.array([np.sin(turn), -np.cos(turn), 0.0]),
        )
        x, depth, z = patterns[k % 2].T
        xyz.append(x[:, None] * right + (half + depth)[:, None] * out + z[:, None] * [0.0, 0.0, 1.0])
        normals.append(np.tile(out, (count, 1)))
    angle, radius = rng.uniform(0, 2 * np.pi, unique), rng.uniform(half + 2.5, half + 4.5, unique)
    around = [
        radius * np.cos(angle),
        radius * np.sin(angle),
        rng.choice([0.0, 1.0], unique) * rng.uniform(0, 4, unique),
    ]
    looks = np.concatenate([np.tile(np.arange(2 * count), 2), 2 * count + np.arange(unique)])
    return (
        np.concatenate([*xyz, np.column_stack(around)]),
        np.concatenate([*normals, np.zeros((unique, 3))]),
        looks,
    )
