"""One place through four lenses: pinhole, barrel distortion, fisheye, panorama.

A camera model takes points of the camera frame to pixels (`project`) and pixels to unit bearings (`unproject`).
Here a renderer asks each model for the bearing of every pixel, and the lines of a globe around the camera, every 15
degrees, are projected on top. Straight lines of the world stay straight in a pinhole camera only.
"""

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from figure import save

from geo3d.cameras import Camera
from geo3d.images import read_image
from geo3d.synthetic import HabitatOptions, render_habitat

LENSES = {
    "PINHOLE, 65 degrees wide": Camera("PINHOLE", 480, 360, [375, 375, 240, 180]),
    "OPENCV, barrel distortion": Camera("OPENCV", 480, 360, [300, 300, 240, 180, -0.22, 0.02, 0, 0]),
    "OPENCV_FISHEYE, beyond 180 degrees": Camera(
        "OPENCV_FISHEYE", 480, 360, [108, 108, 240, 180, 0.01, -0.004, 0, 0]
    ),
    "EQUIRECTANGULAR, all around": Camera("EQUIRECTANGULAR", 640, 320, [640, 320]),
}


def globe_lines() -> list[np.ndarray]:
    """Circles of latitude and longitude as unit vectors (N, 3) of the camera frame, y down."""
    along = np.radians(np.linspace(-180, 180, 721))
    lines = []
    for latitude in np.radians(np.arange(-75, 90, 15)):
        ring = np.cos(latitude)
        lines.append(
            np.stack([ring * np.sin(along), np.full_like(along, np.sin(latitude)), ring * np.cos(along)], -1)
        )
    for longitude in np.radians(np.arange(-180, 180, 15)):
        up = np.linspace(-np.pi / 2, np.pi / 2, 361)
        lines.append(
            np.stack([np.cos(up) * np.sin(longitude), np.sin(up), np.cos(up) * np.cos(longitude)], -1)
        )
    return lines


def photograph(camera: Camera) -> np.ndarray:
    """The habitat as that camera sees it, (H, W, 3) uint8."""
    with tempfile.TemporaryDirectory() as folder:
        options = HabitatOptions(path="walk", photos=1, camera=camera, vignetting=0, gps_sigma_m=None)
        truth = render_habitat(folder, options)
        return read_image(Path(folder) / truth.names[0])


figure, axes = plt.subplots(2, 2, figsize=(10, 7.2), layout="compressed")
for ax, (title, camera) in zip(axes.flat, LENSES.items()):
    ax.imshow(photograph(camera), extent=(0, camera.width, camera.height, 0))
    for line in globe_lines():
        pixels = camera.project(line)
        jump = np.linalg.norm(np.diff(pixels, axis=0, append=pixels[-1:]), axis=1) > camera.width / 2
        pixels[jump] = np.nan  # a panorama is cut open behind the camera
        ax.plot(*pixels.T, color="white", lw=0.6, alpha=0.55)
    ax.set(xlim=(0, camera.width), ylim=(camera.height, 0), xticks=[], yticks=[], title=title)
    wide, high, _ = np.degrees(camera.field_of_view())
    ax.set_xlabel(f"{wide:.0f} x {high:.0f} degrees")
    ax.spines[:].set_visible(False)
save(figure, __file__)
