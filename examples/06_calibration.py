"""A camera from photos of a board: where it is known, and where it is a guess.

Seven dim photos of a bowed checkerboard, all of which keep to the left and the middle of the image. The corners are
found, the lens, the poses and the board's shape are estimated at once, and the uncertainty of the projection is set
beside the true error, which is known here since the photos are made up. Both grow where no board was.
"""

import matplotlib.pyplot as plt
import numpy as np
from figure import ORANGE, save

from geo3d.calibration import (
    CalibrateOptions,
    Checkerboard,
    calibrate,
    find_checkerboard,
    image_grid,
    projection_uncertainty,
)
from geo3d.cameras import Camera
from geo3d.geometry import closest_rotation
from geo3d.synthetic import BoardOptions, board_poses, render_board

truth = Camera("OPENCV", 640, 480, [430, 428, 326, 236, -0.22, 0.06, 1e-3, -5e-4])
printed = BoardOptions(9, 6, 0.03, bow_m=0.002, blur_px=1.5, noise=20.0)
target = Checkerboard(9, 6, 0.03)

poses = [
    pose
    for pose in board_poses(truth, 90, printed, seed=4)
    if truth.project(pose.act(target.points))[:, 0].max() < 400
][:7]
photos = [render_board(truth, pose, printed, seed=k) for k, pose in enumerate(poses)]
found = {f"{k:02d}.png": find_checkerboard(photo.image, target) for k, photo in enumerate(photos)}
found = {name: seen for name, seen in found.items() if seen is not None}

done = calibrate(found, target, truth.width, truth.height, CalibrateOptions("OPENCV"))
grid = image_grid(truth.width, truth.height, 64)
spread = projection_uncertainty(done.fit, done.noise_px, grid).std_px

# Nothing tells how the true camera's axes stand to those of the one that was found: turn one onto the other, where
# corners are.
corners = np.concatenate([seen.pixels for seen in found.values()])
turn = closest_rotation(truth.unproject(corners).T @ done.camera.unproject(corners))
error = np.linalg.norm(truth.project(done.camera.unproject(grid) @ turn.T) - grid, axis=-1)

print(f"{len(found)} photos, {done.rms_px:.3f} px; focal length {done.camera.params[0]:.2f} px, true 430")
print(f"uncertainty {np.median(spread):.2f} px in the median, {spread.max():.1f} px at most")

figure, axes = plt.subplots(1, 3, figsize=(14, 3.9), layout="constrained")
box = (0, truth.width, truth.height, 0)
axes[0].imshow(photos[2].image, cmap="gray", extent=box)
axes[0].scatter(*corners.T, s=2, c=ORANGE, alpha=0.6)
axes[0].set_title("corners of all photos, and one of the photos")
for ax, values, name in (
    (axes[1], spread, "uncertainty of the projection, pixels"),
    (axes[2], error, "true error, pixels"),
):
    picture = ax.imshow(np.clip(values, 0.01, 10), norm="log", vmin=0.02, vmax=2, cmap="magma", extent=box)
    ax.scatter(*corners.T, s=0.4, c="white", alpha=0.25)
    ax.set_title(name)
figure.colorbar(picture, ax=axes[1:], shrink=0.9, format="%g")
for ax in axes:
    ax.set(xlim=(0, truth.width), ylim=(truth.height, 0), xticks=[], yticks=[])
save(figure, __file__)
