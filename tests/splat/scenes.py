"""Small scenes of Gaussians for the tests of splatting."""

import numpy as np
import torch

from geo3d.cameras import Camera
from geo3d.geometry import SE3
from geo3d.scene import Gaussians

NAMES = "means", "quaternions", "log_scales", "logit_opacities", "sh"
CAMERA = Camera("PINHOLE", 70, 45, [50, 55, 33, 24])
POSE = SE3.exp([0.1, -0.2, 3.0, 0.2, 0.3, 0.1])


def random_gaussians(count=300, degree=3, seed=0, antialiased=False, log_scale=-2.5):
    """NumPy float32, within a cube of two units about the origin."""
    rng = np.random.default_rng(seed)
    arrays = (
        rng.uniform(-1, 1, (count, 3)),
        rng.normal(size=(count, 4)),
        rng.normal(log_scale, 0.5, (count, 3)),
        rng.normal(0, 2, count),
        0.3 * rng.normal(size=(count, (degree + 1) ** 2, 3)),
    )
    return Gaussians(*(a.astype(np.float32) for a in arrays), antialiased=antialiased)


def one_gaussian(mean=(0, 0, 0), scale=0.1, opacity=0.8, color=(0.9, 0.5, 0.2), quaternion=(1, 0, 0, 0)):
    """A single one of degree 0 and a given colour."""
    scales = np.log(np.broadcast_to(scale, 3))
    sh = (np.array(color) - 0.5) / 0.28209479177387814
    arrays = [mean], [quaternion], [scales], [np.log(opacity / (1 - opacity))], [[sh]]
    return Gaussians(*(np.array(a, np.float32) for a in arrays))


def as_tensors(gaussians, dtype=torch.float64, requires_grad=True):
    copies = (torch.as_tensor(getattr(gaussians, n)).detach().to(dtype, copy=True) for n in NAMES)
    return Gaussians(*(c.requires_grad_(requires_grad) for c in copies), antialiased=gaussians.antialiased)


def select(gaussians, rows):
    return Gaussians(*(getattr(gaussians, n)[rows] for n in NAMES), antialiased=gaussians.antialiased)
