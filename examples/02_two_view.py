"""Two photos to a relative pose: features, matches, RANSAC, and how far from the truth.

The five-point solver inside a robust estimator finds the rotation and the direction of the translation between two
photos of a calibrated camera. A point of the one photo lies on a line in the other, its epipolar line; all of these
lines meet where the other camera stands.
"""

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from figure import save
from matplotlib.patches import ConnectionPatch

from geo3d.estimation import RansacOptions, estimate_relative_pose
from geo3d.features import extract, match
from geo3d.geometry import rotation_angle
from geo3d.images import read_image
from geo3d.synthetic import HabitatOptions, render_habitat

with tempfile.TemporaryDirectory() as folder:
    truth = render_habitat(folder, HabitatOptions(path="walk", photos=6))
    names = [truth.names[2], truth.names[3]]
    photos = [read_image(Path(folder) / name) for name in names]
    features = [extract(read_image(Path(folder) / name, "gray")) for name in names]

pairs = match(features[0].descriptors, features[1].descriptors)
x1, x2 = features[0].keypoints[pairs[:, 0]], features[1].keypoints[pairs[:, 1]]
camera = truth.camera
result = estimate_relative_pose(x1, x2, camera, camera, RansacOptions(max_error_px=1.5, seed=0))

true_pose = truth.poses[3] @ truth.poses[2].inverse()
turn = np.degrees(rotation_angle(result.cam2_from_cam1.rotation.T @ true_pose.rotation))
direction = true_pose.translation / np.linalg.norm(true_pose.translation)
off = np.degrees(np.arccos(np.clip(direction @ result.cam2_from_cam1.translation, -1, 1)))
print(
    f"{result.inliers.sum()} of {len(pairs)} matches agree; {turn:.3f} and {off:.3f} degrees from the truth"
)


def epipolar_curve(pixel: np.ndarray) -> np.ndarray:
    """Where the ray of a pixel of photo 1 runs in photo 2: (N, 2), a curve where the lens distorts."""
    depths = np.geomspace(1, 500, 400)[:, None]
    return camera.project(result.cam2_from_cam1.act(depths * camera.unproject(pixel)))


figure, axes = plt.subplots(1, 2, figsize=(12, 4.8), layout="compressed")
for ax, photo in zip(axes, photos):
    ax.imshow(photo, extent=(0, camera.width, camera.height, 0))
    ax.set(xlim=(0, camera.width), ylim=(camera.height, 0), xticks=[], yticks=[])
    ax.spines[:].set_visible(False)
inliers = np.flatnonzero(result.inliers)
chosen = np.random.default_rng(0).choice(inliers, 60, replace=False)
colors = plt.get_cmap("turbo")(x1[chosen, 0] / camera.width)
for row, color in zip(chosen, colors):
    line = ConnectionPatch(
        x1[row], x2[row], "data", "data", axesA=axes[0], axesB=axes[1], color=color, lw=0.8
    )
    line.set_alpha(0.65)
    figure.add_artist(line)
axes[0].scatter(*x1[chosen].T, c=colors, s=16, edgecolors="white", linewidths=0.5, zorder=3)
axes[1].scatter(*x2[chosen].T, c=colors, s=16, edgecolors="white", linewidths=0.5, zorder=3)
for row in chosen[:4]:
    axes[1].plot(*epipolar_curve(x1[row]).T, color="white", lw=1.2, ls="--")
axes[0].set_title(f"{len(pairs)} matches, {len(inliers)} of them agree on one motion (60 drawn)")
axes[1].set_title(f"rotation {turn:.2f}° and direction {off:.2f}° from the truth; dashed: epipolar lines")
save(figure, __file__)
