"""Gaussian splats from photos: a made-up habitat, reconstructed and then trained for less than a minute.

`geo3d.splat.train` is what `geo3d train SCENE` runs. Every eighth photo is held out of the training; the picture sets
such photos beside what the Gaussians show from their places, and says how far the two are apart.
"""

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from figure import save

import geo3d
from geo3d.images import read_image
from geo3d.splat import TrainingOptions, train
from geo3d.synthetic import HabitatOptions, render_habitat
from geo3d.util.progress import make_progress

with tempfile.TemporaryDirectory() as folder:
    photos, scene = Path(folder) / "photos", Path(folder) / "scene"
    render_habitat(photos, HabitatOptions(path="orbit", photos=24, width=480, height=320))
    geo3d.reconstruct(photos, scene, progress=make_progress())
    options = TrainingOptions(minutes=0.75, budget=40_000)
    report = train(scene, options=options, progress=make_progress())
    pairs = [read_image(report.out / "samples" / f"{Path(view.name).stem}.png") for view in report.held_out]

print(f"{len(report.gaussians):,} Gaussians after {report.steps:,} steps")
figure, axes = plt.subplots(len(pairs), 2, figsize=(10, 3.4 * len(pairs)), layout="constrained")
for row, pair, view in zip(axes, pairs, report.held_out):
    for ax, half, name in zip(row, np.split(pair, 2, axis=1), ("photo, held out", "rendered")):
        ax.imshow(half)
        ax.set_axis_off()
        ax.set_title(name if ax is row[0] else f"{name}: PSNR {view.psnr_db:.1f} dB, SSIM {view.ssim:.3f}")
save(figure, __file__)
