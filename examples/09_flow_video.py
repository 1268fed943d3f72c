"""Flow for a video: what is shaken is held steady, points are followed, and frames are made between frames.

A made-up scene in motion is filmed by a hand that trembles. The motion of the camera is found from what most of the
picture does, whatever moves before it, and taken out by a window that follows the smoothest path. Points are followed
until they are hidden. The frame between two is compared with the one that a camera takes there.
"""

import cv2
import matplotlib.pyplot as plt
import numpy as np
from figure import INK, save

from geo3d.flow import (
    camera_motion,
    follow_points,
    interpolate,
    interpolation_error,
    plan_stabilisation,
)
from geo3d.synthetic import FlowPairOptions, make_flow_scene
from geo3d.viz.flow_trails import Trails

COUNT, BORDER = 24, 40
options = FlowPairOptions(
    width=480, height=360, layers=5, thin=0, max_motion_px=5.0, rotation_deg=1.0, zoom=0.01, patches=0.3
)
scene = make_flow_scene(options, seed=4)
film = [scene.image(float(time)) for time in range(COUNT)]

rng = np.random.default_rng(0)
shakes = np.cumsum(rng.normal(0.0, 3.0, (COUNT, 2)), axis=0)
shakes = np.clip(shakes - shakes.mean(axis=0), -BORDER, BORDER)
size = (options.width - 2 * BORDER, options.height - 2 * BORDER)
shaken = [
    cv2.getRectSubPix(frame, size, (options.width / 2 - 0.5 + x, options.height / 2 - 0.5 + y))
    for frame, (x, y) in zip(film, shakes)
]

motion = camera_motion(shaken)
plan = plan_stabilisation(motion)
print(f"shake {plan.shake_px:.2f} px, {plan.left_px:.3f} px are left, {100 * plan.crop:.0f} % is seen")

trails = Trails()
for tracked in follow_points(shaken):
    picture = trails.draw(tracked.pixels, tracked.ids, tracked.points)

first, second, truth = film[0], scene.image(2.0), film[1]
between = interpolate(first, second, 0.5)
blended = ((first.astype(float) + second) / 2.0).round().astype(np.uint8)
errors = [interpolation_error(image, truth).rms for image in (blended, between)]
print(f"between: {errors[1]:.1f} grey levels from the truth, blended {errors[0]:.1f}")

figure, axes = plt.subplots(2, 3, figsize=(13.5, 7.0), layout="constrained")
panels = {
    "points followed through the shaken clip": picture,
    "the frame between two: blended": blended,
    "by the flow both ways": between,
}
for ax, (title, panel) in zip(axes.flat[:3], panels.items()):
    ax.imshow(panel)
    ax.set_title(title)
    ax.set_axis_off()

middle = np.array([*size, 2.0]) / 2.0
path, steady = [middle[:2]], []
for step in motion.steps:
    moved = step @ [*path[-1], 1.0]
    path.append(moved[:2] / moved[2])
for place, warp in zip(path, plan.frame_from_output):
    shown = np.linalg.inv(warp) @ [*place, 1.0]
    steady.append(shown[:2] / shown[2])
for ax, axis, name in zip(axes.flat[3:5], (0, 1), "xy"):
    ax.plot(np.array(path)[:, axis] - middle[axis], color="#b0bec5", label="shaken")
    ax.plot(np.array(steady)[:, axis] - middle[axis], color="#00897b", lw=2, label="steady")
    ax.set(xlabel="frame", ylabel=f"{name} of the background, px", box_aspect=0.7)
    ax.legend()

ax = axes.flat[5]
ax.bar(["blended", "by flow"], errors, color=["#b0bec5", "#00897b"], edgecolor=INK)
ax.set(ylabel="error of the frame between, grey levels", box_aspect=0.7)
save(figure, __file__)
