"""The main job in one call: photos of a made-up habitat to camera poses and points, compared with the truth.

`geo3d.reconstruct` is what `geo3d reconstruct PHOTOS -o SCENE` runs. It knows nothing but the photos (the focal
length in their EXIF is one of them). Photos alone tell no scale, so the model is brought onto the true camera
centres by a similarity before the errors are read off.
"""

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from figure import ORANGE, save

import geo3d
from geo3d.cameras import Camera
from geo3d.geometry import umeyama
from geo3d.images import read_image
from geo3d.synthetic import HabitatOptions, look_at, render_habitat
from geo3d.util.progress import make_progress

with tempfile.TemporaryDirectory() as folder:
    photos, scene = Path(folder) / "photos", Path(folder) / "scene"
    truth = render_habitat(photos, HabitatOptions(path="orbit", photos=16))
    report = geo3d.reconstruct(photos, scene, progress=make_progress())
    strip = np.concatenate([read_image(photos / name) for name in truth.names[:12:2]], axis=1)

model = report.components[0]
found = [model.views[i] for i in model.registered()]
true_pose = dict(zip(truth.names, truth.poses))
true_centres = np.array([true_pose[view.name].center() for view in found])
to_world = umeyama(model.centres(), true_centres)
centres, points = to_world.act(model.centres()), to_world.act(model.points.xyz)
errors_mm = 1000 * np.linalg.norm(centres - true_centres, axis=1)
print(
    f"{len(found)} of {len(truth.names)} photos, {len(points)} points; centres {np.median(errors_mm):.0f} mm off"
)

# A picture of points and cameras is a photo too: the library's own camera looks at them.
viewer = Camera.from_focal("PINHOLE", 1200, 640, 900)
eye = look_at(np.array([-19.0, -27.0, 17.0]), np.array([0.0, 0.5, 1.5]))


def frustum(view: geo3d.View) -> np.ndarray:
    """(8, 3) the pyramid of a photo in the world, as one line through its corners and its apex."""
    camera = model.cameras[view.camera_id]
    corners = [[0, 0], [camera.width, 0], [camera.width, camera.height], [0, camera.height]]
    rays = camera.unproject(np.array(corners, float))
    rays = 1.4 / to_world.scale * rays / rays[:, 2:]
    apex = np.zeros((1, 3))
    outline = np.concatenate([rays, rays[:1], apex, rays[1:2], rays[2:3], apex, rays[3:4]])
    return to_world.act(view.cam_from_world.inverse().act(outline))


figure = plt.figure(figsize=(12, 8.4), facecolor="#10181c")
top, main = figure.subplots(2, 1, height_ratios=[strip.shape[0] / strip.shape[1], 640 / 1200])
figure.subplots_adjust(0, 0, 1, 1, hspace=0.01)
top.imshow(strip)
in_view = eye.act(points)
order = np.argsort(-in_view[:, 2])
order = order[in_view[order, 2] > 1]
pixels = viewer.project(in_view[order])
size = 3.2 * (30 / in_view[order, 2]) ** 2
main.scatter(*pixels.T, s=size, c=model.points.color[order] / 255, linewidths=0)
for view in found:
    main.plot(*viewer.project(eye.act(frustum(view))).T, color=ORANGE, lw=0.9, alpha=0.9)
main.text(
    24,
    616,
    f"{len(found)} of {len(truth.names)} photos   {len(points):,} points   "
    f"camera centres {np.median(errors_mm):.0f} mm from the truth (median)",
    color="white",
    fontsize=13,
)
main.set(xlim=(0, 1200), ylim=(640, 0))
for ax in (top, main):
    ax.set_axis_off()
save(figure, __file__)
