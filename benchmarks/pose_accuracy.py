"""How good a COLMAP model is: poses against the true ones, reprojection errors, tracks.

Poses are world to camera. The error of a pair of photos is the larger of the angle of its relative rotation and the
angle between its translation directions, degrees; a pair of which a photo is not registered counts as 180. `auc_T`
is the area under the recall curve of these errors up to T degrees, over T (Sarlin et al. 2020). `centre_mm` is the
median distance of the camera centres after a similarity alignment (Umeyama 1991).
"""

import zlib  # noqa: F401  # pycolmap brings a zlib of its own; Python's has to be loaded first
from dataclasses import dataclass
from pathlib import Path

import numpy as np

Poses = dict[str, tuple[np.ndarray, np.ndarray]]  # photo: (R, t)
AUC_DEG = (0.1, 0.5, 1)


def read_truth(folder: Path) -> Poses:
    """Poses of `NAME.camera` files: lines 5 to 7 camera-to-world rotation, line 8 centre in metres."""
    truth = {}
    for path in sorted(folder.glob("*.camera")):
        rows = [[float(x) for x in line.split()] for line in path.read_text().splitlines() if line.strip()]
        rotation = np.array(rows[4:7]).T
        truth[path.name.removesuffix(".camera")] = (rotation, -rotation @ np.array(rows[7]))
    return truth


def angle_deg(rotation: np.ndarray) -> float:
    return float(np.degrees(np.arccos(np.clip((np.trace(rotation) - 1) / 2, -1, 1))))


def pair_errors(found: Poses, truth: Poses) -> np.ndarray:
    """Sorted errors of all pairs of true poses, degrees."""
    names, errors = sorted(truth), []
    for i, first in enumerate(names):
        for second in names[i + 1 :]:
            if first not in found or second not in found:
                errors.append(180.0)
                continue
            (R, t), (true_R, true_t) = (relative(poses[first], poses[second]) for poses in (found, truth))
            cosine = t @ true_t / (np.linalg.norm(t) * np.linalg.norm(true_t) + 1e-12)
            direction = np.degrees(np.arccos(np.clip(cosine, -1, 1)))
            errors.append(max(angle_deg(R @ true_R.T), float(direction)))
    return np.sort(errors)


def relative(first, second) -> tuple[np.ndarray, np.ndarray]:
    """Pose of the second camera as seen from the first."""
    R = second[0] @ first[0].T
    return R, second[1] - R @ first[1]


def recall_auc(errors: np.ndarray, limit: float) -> float:
    """Area under the piecewise linear recall curve through (0, 0) and (error k, k / n), to `limit`, over it."""
    below = errors[errors < limit]
    recall = np.arange(len(below) + 1) / len(errors)
    return float(np.trapezoid(np.append(recall, recall[-1]), np.concatenate([[0.0], below, [limit]])) / limit)


@dataclass(frozen=True)
class Similarity:
    """`y = scale R x + shift`."""

    scale: float
    rotation: np.ndarray  # (3, 3)
    shift: np.ndarray  # (3,)

    def __call__(self, points: np.ndarray) -> np.ndarray:
        return self.scale * points @ self.rotation.T + self.shift


def fit_similarity(source: np.ndarray, target: np.ndarray) -> Similarity:
    """Least squares of the distances (Umeyama 1991)."""
    a, b = source.mean(0), target.mean(0)
    U, D, Vt = np.linalg.svd((target - b).T @ (source - a))
    signs = np.array([1.0, 1.0, np.sign(np.linalg.det(U @ Vt))])
    rotation = U * signs @ Vt
    scale = float((D * signs).sum() / ((source - a) ** 2).sum())
    return Similarity(scale, rotation, b - scale * rotation @ a)


def centre_distances(found: Poses, truth: Poses) -> np.ndarray:
    """Distances of the camera centres after the best similarity, in units of the truth."""
    names = [name for name in truth if name in found]
    a, b = (np.array([-R.T @ t for R, t in (poses[n] for n in names)]) for poses in (found, truth))
    return np.linalg.norm(fit_similarity(a, b)(a) - b, axis=1)


def largest_model(folder: Path):
    """The pycolmap model with the most images at or below `folder`, or None."""
    import pycolmap

    found = [path.parent for path in sorted(folder.rglob("images.bin"))]
    models = [pycolmap.Reconstruction(path) for path in found]
    return max(models, key=lambda model: model.num_reg_images(), default=None)


def reprojection_errors(model) -> np.ndarray:
    """Pixels, of every observation of the model."""
    errors = []
    for image in model.images.values():
        if not image.has_pose:
            continue
        seen = [point for point in image.points2D if point.has_point3D()]
        if seen:
            world = np.array([model.points3D[point.point3D_id].xyz for point in seen])
            pixels = image.camera.img_from_cam(image.cam_from_world() * world, check_cheirality=False)
            errors.append(np.linalg.norm(pixels - np.array([point.xy for point in seen]), axis=1))
    return np.concatenate(errors) if errors else np.zeros(0)


def score_poses(found: Poses, truth: Poses | None) -> dict[str, float]:
    """Figures that need true poses; none without."""
    if not truth:
        return {}
    errors = pair_errors(found, truth)
    figures = {f"auc_{limit}": recall_auc(errors, limit) for limit in AUC_DEG}
    if len(found.keys() & truth.keys()) >= 3:
        figures["centre_mm"] = 1000 * float(np.median(centre_distances(found, truth)))
    return figures


def score_model(model, truth: Poses | None) -> dict[str, float]:
    """Figures of a pycolmap model."""
    images = [image for image in model.images.values() if image.has_pose]
    poses = [image.cam_from_world() for image in images]
    found = {i.name: (p.rotation.matrix(), p.translation) for i, p in zip(images, poses, strict=True)}
    errors = reprojection_errors(model)
    return {
        "registered": len(found),
        **score_poses(found, truth),
        "reproj_px": float(errors.mean()),
        "points": model.num_points3D(),
        "track_length": len(errors) / max(1, model.num_points3D()),
    }
