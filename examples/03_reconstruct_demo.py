"""The main job in one call: photos of a made-up habitat to camera poses and points, compared with the truth.

`geo3d.reconstruct` is what `geo3d reconstruct PHOTOS -o SCENE` runs. It knows nothing but the photos and their EXIF.
Photos alone tell no scale, so the model is brought onto the true camera centres by a similarity before the errors
are read off. The grey backdrop is the place itself, seen from where the library's own camera looks at the model.
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
from geo3d.synthetic.habitat import make_habitat, render_linear
from geo3d.synthetic.photos import develop, pixel_rays
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
error_mm = 1000 * np.median(np.linalg.norm(centres - true_centres, axis=1))
print(
    f"{len(found)} of {len(truth.names)} photos, {len(points)} points; camera centres {error_mm:.0f} mm off"
)


def pyramid(view: geo3d.View) -> np.ndarray:
    """(11, 3) the pyramid of a photo in the world, 1.3 m high, as one line through its corners and its apex."""
    camera = model.cameras[view.camera_id]
    corners = [[0, 0], [camera.width, 0], [camera.width, camera.height], [0, camera.height]]
    a, b, c, d = camera.unproject(np.array(corners, float))
    apex = np.zeros(3)
    outline = np.stack([a, b, c, d, a, apex, b, c, apex, d, a])
    return to_world.act(view.cam_from_world.inverse().act(1.3 / to_world.scale * outline))


viewer = Camera.from_focal("PINHOLE", 1200, 640, 980)
eye = look_at(np.array([-16.0, -37.0, 25.0]), np.array([0.0, -1.5, 3.2]))
light = render_linear(make_habitat(truth.seed), pixel_rays(viewer, 1), 1, eye, 1 / viewer.mean_focal)
backdrop = 0.55 * develop(light, noise=0, rng=np.random.default_rng(0)).mean(axis=2)

figure = plt.figure(figsize=(12, 7.95), facecolor="#10181c")
top, main = figure.subplots(2, 1, height_ratios=[strip.shape[0] / strip.shape[1], 640 / 1200])
figure.subplots_adjust(0, 0, 1, 1, hspace=0.01)
top.imshow(strip)
main.imshow(backdrop, cmap="gray", vmin=0, vmax=255, extent=(0, 1200, 640, 0))
main.scatter(
    *viewer.project(eye.act(points)).T, s=6, c=points[:, 2], cmap="turbo", vmin=-2, vmax=7, linewidths=0
)
for view in found:
    main.plot(*viewer.project(eye.act(pyramid(view))).T, color=ORANGE, lw=1.3)
counts = f"{len(found)} of {len(truth.names)} photos,  {len(points):,} points"
main.text(20, 618, f"{counts},  cameras {error_mm:.0f} mm from the truth", color="white", fontsize=13)
main.set(xlim=(0, 1200), ylim=(640, 0))
for ax in (top, main):
    ax.set_axis_off()
save(figure, __file__)
