"""A radiance field from photos: a made-up habitat whose poses are known, trained for less than a minute.

`geo3d.nerf.train` is what `geo3d train SCENE --method nerf` runs. Every eighth photo is held out of the training; the
picture sets such photos beside what the field shows from their places, and how far away it is there.
"""

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from figure import save

from geo3d.images import read_image
from geo3d.nerf import TrainingOptions, model_renderer, train
from geo3d.render import depth_picture, load_views
from geo3d.synthetic import HabitatOptions, render_habitat
from geo3d.util.progress import make_progress

with tempfile.TemporaryDirectory() as folder:
    scene = Path(folder) / "scene"
    options = HabitatOptions(path="orbit", photos=32, width=480, height=320)
    render_habitat(scene / "images", options, truth_folder=scene / "sparse" / "0")
    report = train(scene, options=TrainingOptions(minutes=0.75, downscale=2), progress=make_progress())
    pairs = [read_image(report.out / "samples" / f"{Path(view.name).stem}.png") for view in report.held_out]
    held_out = load_views(scene).held_out

render_view = model_renderer(report.model)
depths = [render_view(view.camera.rescaled(240, 160), view.cam_from_world).median_depth for view in held_out]
print(f"{report.samples / 1e6:.0f} million samples in {report.steps:,} steps")
figure, axes = plt.subplots(len(pairs), 3, figsize=(11, 2.6 * len(pairs)), layout="constrained")
for row, pair, depth, view in zip(axes, pairs, depths, report.held_out):
    photo, rendered = np.split(pair, 2, axis=1)
    for ax, image, name in zip(
        row, (photo, rendered, depth_picture(depth)), ("photo, held out", "rendered", "depth")
    ):
        ax.imshow(image)
        ax.set_axis_off()
        ax.set_title(
            name if ax is not row[1] else f"{name}: PSNR {view.psnr_db:.1f} dB, SSIM {view.ssim:.3f}"
        )
save(figure, __file__)
