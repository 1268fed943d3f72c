"""A small world with exact pictures: three coloured balls, seen by cameras around them."""

import numpy as np
from PIL import Image

from geo3d.cameras import Camera
from geo3d.geometry import look_at
from geo3d.io import write_transforms
from geo3d.nerf import camera_rays
from geo3d.scene import Reconstruction, View

CAMERA = Camera("PINHOLE", 40, 32, [42, 42, 20, 16])
CENTERS = np.array([[0.0, 0.0, 0.0], [0.5, 0.3, 0.2], [-0.4, 0.2, -0.3]])
RADII = np.array([0.45, 0.3, 0.25])
COLORS = np.array([[0.9, 0.2, 0.1], [0.1, 0.8, 0.2], [0.2, 0.3, 0.9]])


def poses(count):
    """Cameras on a ring that rises and sinks."""
    turns = 2 * np.pi * np.arange(count) / count
    places = 2.5 * np.stack([np.cos(turns), np.sin(turns), 0.3 + 0.4 * np.sin(2 * turns)], axis=1)
    return [look_at(place, [0.0, 0.0, 0.0]) for place in places]


def picture(camera, pose):
    """(H, W, 3) colour before black and (H, W) alpha: the nearest ball, brighter where it faces up."""
    rays = camera_rays(camera, pose)
    nearest = np.full(len(rays), np.inf)
    color = np.zeros((len(rays), 3))
    for center, radius, hue in zip(CENTERS, RADII, COLORS):
        to = center - rays.origins
        along = np.einsum("ri,ri->r", to, rays.directions)
        left = radius**2 - (np.einsum("ri,ri->r", to, to) - along**2)
        t = along - np.sqrt(np.maximum(left, 0))
        hit = (left > 0) & (t < nearest)
        normal = (rays.origins[hit] + t[hit, None] * rays.directions[hit] - center) / radius
        color[hit] = hue * (0.7 + 0.3 * normal[:, 2:])
        nearest[hit] = t[hit]
    size = (camera.height, camera.width)
    return color.reshape(*size, 3), np.isfinite(nearest).reshape(size).astype(float)


def write_scene(folder, count=16, alpha=True, camera=CAMERA, backdrop=0.5):
    """Photos and transforms.json: RGBA, or before a grey `backdrop`."""
    (folder / "images").mkdir(parents=True)
    views = {}
    for k, pose in enumerate(poses(count)):
        color, there = picture(camera, pose)
        if alpha:
            image = np.concatenate([color, there[..., None]], axis=2)
        else:
            image = color + (1 - there[..., None]) * backdrop
        name = f"{k:02d}.png"
        Image.fromarray((np.clip(image, 0, 1) * 255 + 0.5).astype(np.uint8)).save(folder / "images" / name)
        views[k + 1] = View(name, 1, pose)
    write_transforms(Reconstruction({1: camera}, views), folder / "transforms.json")
    return folder
