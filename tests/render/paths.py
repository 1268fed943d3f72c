"""Scenes of cameras that several tests of paths look at."""

import numpy as np

from geo3d.cameras import Camera
from geo3d.geometry import SE3, SO3, look_at

CAMERA = Camera("PINHOLE", 64, 48, [60, 60, 32, 24])


def ring(count: int, focus=(1.0, 2.0, 0.5), radius=4.0, height=1.5, first=0.0, last=2 * np.pi) -> list[SE3]:
    """Cameras around a point that look at it; z is up."""
    turn = np.linspace(first, last, count, endpoint=last - first < 6)
    eyes = np.array(focus) + np.stack(
        [radius * np.cos(turn), radius * np.sin(turn), np.full(count, height)], 1
    )
    return [look_at(eye, focus) for eye in eyes]


def moved(poses: list[SE3], motion: SE3) -> list[SE3]:
    """The same cameras in a world moved by `motion`."""
    back = motion.inverse()
    return [pose @ back for pose in poses]


def some_motion(seed: int) -> SE3:
    rng = np.random.default_rng(seed)
    return SE3(SO3.exp(rng.normal(0, 1.5, 3)).matrix, rng.normal(0, 5, 3))
