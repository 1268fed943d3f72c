"""Dense correspondence: depth from two photos of a place, what moved by itself, and a view that is turned and larger.

Guided matching looks for each pixel on its epipolar line in another photo of the hut, and gives a depth with its
deviation. The camera's own motion is told from a board that moves. PatchMatch finds a photo again in one that was
turned by 40 degrees and magnified. What is true is known each time.
"""

import cv2
import matplotlib.pyplot as plt
import numpy as np
from figure import save

from geo3d.cameras import Camera
from geo3d.flow import (
    EpipolarGeometry,
    flow_to_depth,
    guided_flow,
    optical_flow,
    patch_match,
    separate_motion,
    warp_backward,
)
from geo3d.synthetic import MovingCameraOptions, habitat_view, look_at, make_moving_camera_pair
from geo3d.synthetic.habitat import make_habitat, render_depth
from geo3d.synthetic.rays import pixel_rays

# Depth from two photos whose poses are known
camera = Camera.from_focal("PINHOLE", 480, 360, 420)
poses = [look_at(np.array([x, -14.0, 3.2]), np.array([0.0, 0.0, 1.6])) for x in (-3.0, -1.8)]
photos = [habitat_view(camera, pose, samples=3) for pose in poses]
motion = poses[1] @ poses[0].inverse()
found = guided_flow(*photos, EpipolarGeometry.from_cameras(camera, camera, motion))
depth = flow_to_depth(found.flow, camera, camera, motion, sigma_px=0.2)
truth = render_depth(make_habitat(0), pixel_rays(camera, 1), poses[0]).reshape(360, 480)
known = np.isfinite(depth.depth) & np.isfinite(truth)
apart = np.abs(depth.depth - truth)[known]
off = 100 * np.median(apart / truth[known])
print(f"depth of {100 * known.mean():.0f} % of the pixels, off by {off:.1f} % in the median")
print(f"{100 * (apart < 2 * depth.sigma[known]).mean():.0f} % within two standard deviations")

# What moved by itself, from a moving camera
pair = make_moving_camera_pair(
    MovingCameraOptions(480, 360, (0.15, 0.02, 0.05), movers=1, mover_m=(0.02, -0.1, 0.0)), seed=3
)
ego = separate_motion(optical_flow(pair.image0, pair.image1, method="fast"))
iou = (ego.moving & pair.moving).sum() / (ego.moving | pair.moving).sum()
print(f"what moves: {ego.model}, overlap with the truth {iou:.2f}")
shown = np.where(pair.moving[..., None], pair.image0, pair.image0 // 3)
outline = cv2.findContours(ego.moving.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)[0]
shown = cv2.drawContours(np.ascontiguousarray(shown), outline, -1, (255, 255, 255), 2)

# A photo that is turned and magnified
small = cv2.resize(photos[0], (320, 240), interpolation=cv2.INTER_AREA)
turn = cv2.getRotationMatrix2D((160, 120), 40, 1.4)
turned = cv2.warpAffine(small, turn, (320, 240), flags=cv2.INTER_CUBIC)
again = patch_match(small, turned)
places = np.stack(np.meshgrid(np.arange(320), np.arange(240)), axis=-1)
wrong = np.linalg.norm(again.flow - (places @ turn[:, :2].T + turn[:, 2] - places), axis=2)
print(f"turned: {100 * np.isfinite(wrong).mean():.0f} % found, median error {np.nanmedian(wrong):.2f} px")
back = warp_backward(turned / np.float32(255), again.flow)

figure, axes = plt.subplots(2, 4, figsize=(13.5, 5.4), layout="constrained")
colors = {"cmap": "turbo", "vmin": 0.01, "vmax": 0.15}  # of the inverse depth
panels = [
    ("a photo of the hut", photos[0], {}),
    ("another, 1.2 m to the right", photos[1], {}),
    (f"depth (red is near), {off:.1f} % off", 1 / depth.depth, colors),
    ("true depth", np.where(np.isfinite(truth), 1 / truth, np.nan), colors),
    ("from a moving camera, a board moves", pair.image0, {}),
    ("bright: moves; white line: found", shown, {}),
    ("the first photo, turned and magnified", turned, {}),
    ("brought back: what was found of it", np.nan_to_num(back, nan=1.0), {}),
]
for ax, (title, picture, settings) in zip(axes.flat, panels):
    ax.imshow(picture, **settings)
    ax.set_title(title)
    ax.set_axis_off()
save(figure, __file__)
