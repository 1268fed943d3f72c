"""How well a model lies on a georeferenced point cloud, and its cameras at the positions of their photos' GPS.

A model is placed by the similarity that takes its camera centres to the GPS positions, in the reference system of
the cloud; photos far off are left out. From there it is brought onto the cloud by a similarity that minimises
distances to the planes of the nearest points (Chen and Medioni 1992; with scale, 7 parameters). GPS of consumer
drones is off by metres as a whole and by its height above all, so only the second says how good the shape is. A
flat scene leaves little shape to go wrong: read the median distance together with the scale and the residuals.

    gps_m          median horizontal distance of camera centres to GPS after the first similarity
    world_scale    metres a unit of the model by GPS: 1 where the model is in metres itself
    cloud_scale    what the second similarity adds to the scale of the first: 1 where GPS and cloud agree
    cloud_m        median distance of the model's points to the nearest point of the cloud after the second
    cloud_plane_m  median distance to the planes of the nearest points
"""

from pathlib import Path

import numpy as np
from pose_accuracy import Similarity, fit_similarity
from scipy.spatial import KDTree
from scipy.spatial.transform import Rotation

NEIGHBOURS = 16  # of a point of the cloud, for its normal
ROUNDS = 50
OUTLIER = 3.0  # times the median distance: beyond it nothing is pulled


def fit_without_outliers(source: np.ndarray, target: np.ndarray, rounds: int = 10) -> Similarity:
    """`fit_similarity` repeated over what lies within `OUTLIER` times the median residual."""
    fit = fit_similarity(source, target)
    for _ in range(rounds):
        residual = np.linalg.norm(fit(source) - target, axis=1)
        kept = residual <= OUTLIER * np.median(residual)
        fit = fit_similarity(source[kept], target[kept])
    return fit


class Cloud:
    """A point cloud about its centre, with normals where they are asked for."""

    def __init__(self, path: Path):
        import laspy

        data = laspy.read(path)
        self.crs = data.header.parse_crs()
        xyz = np.asarray(data.xyz, np.float64)
        self.origin = xyz.mean(0).round()
        self.points = xyz - self.origin
        self.tree = KDTree(self.points)

    def nearest(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Distances to the nearest points of the cloud, and their rows."""
        return self.tree.query(points)

    def normals(self, rows: np.ndarray) -> np.ndarray:
        """Unit normals at points of the cloud: the direction in which its neighbours spread least."""
        near = self.points[self.tree.query(self.points[rows], k=NEIGHBOURS)[1]]
        spread = near - near.mean(axis=1, keepdims=True)
        return np.linalg.svd(spread, full_matrices=False)[2][:, 2]

    def positions(self, gps: np.ndarray) -> np.ndarray:
        """Latitude, longitude (degrees) and height to the cloud's coordinates, about its centre."""
        from pyproj import Transformer

        to_crs = Transformer.from_crs("EPSG:4326", self.crs, always_xy=True)
        east, north = to_crs.transform(gps[:, 1], gps[:, 0])
        return np.column_stack([east, north, gps[:, 2]]) - self.origin


def refine_on_cloud(points: np.ndarray, cloud: Cloud) -> Similarity:
    """The similarity that brings `points`, already near, onto the planes of the cloud."""
    whole = Similarity(1.0, np.eye(3), np.zeros(3))
    for _ in range(ROUNDS):
        moved = whole(points)
        distance, rows = cloud.nearest(moved)
        kept = distance <= OUTLIER * np.median(distance)
        p, q = moved[kept], cloud.points[rows[kept]]
        n = cloud.normals(rows[kept])
        middle = p.mean(0)
        arm = p - middle
        # n . (p + w x arm + s arm + t - q) = 0
        A = np.column_stack([np.cross(arm, n), (n * arm).sum(1), n])
        step = np.linalg.lstsq(A, ((q - p) * n).sum(1), rcond=None)[0]
        turn, grow = Rotation.from_rotvec(step[:3]).as_matrix(), 1 + step[3]
        whole = Similarity(
            grow * whole.scale,
            turn @ whole.rotation,
            grow * turn @ (whole.shift - middle) + middle + step[4:],
        )
        if np.abs(step).max() < 1e-6:
            break
    return whole


def read_gps(folder: Path, names: list[str]) -> dict[str, np.ndarray]:
    """Latitude, longitude (degrees) and altitude of the photos that have all three."""
    from geo3d.images import read_exif

    found = {name: read_exif(folder / name).gps for name in names}
    return {
        name: np.array([gps.latitude_deg, gps.longitude_deg, gps.altitude_m])
        for name, gps in found.items()
        if gps is not None and gps.altitude_m is not None
    }


def score_on_cloud(model, photos: Path, cloud: Cloud) -> dict[str, float]:
    """Figures of a pycolmap model, see above; none if fewer than three of its photos have GPS."""
    centres = {image.name: image.projection_center() for image in model.images.values() if image.has_pose}
    gps = read_gps(photos, sorted(centres))
    if len(gps) < 3:
        return {}
    names = sorted(gps)
    source, target = np.array([centres[name] for name in names]), np.array([gps[name] for name in names])
    target = cloud.positions(target)
    placed = fit_without_outliers(source, target)
    residuals = placed(source) - target
    points = placed(np.array([point.xyz for point in model.points3D.values()]))
    refined = refine_on_cloud(points, cloud)
    moved = refined(points)
    distance, rows = cloud.nearest(moved)
    plane = np.abs(((moved - cloud.points[rows]) * cloud.normals(rows)).sum(1))
    return {
        "gps_m": float(np.median(np.linalg.norm(residuals[:, :2], axis=1))),
        "world_scale": placed.scale,
        "cloud_scale": float(refined.scale),
        "cloud_m": float(np.median(distance)),
        "cloud_plane_m": float(np.median(plane)),
    }
