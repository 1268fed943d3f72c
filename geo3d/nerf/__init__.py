"""Neural radiance fields: rays, samples along them, volume rendering, fields and their training.

Names are imported when they are first used: options of the command line are read without numba and torch.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from geo3d.nerf.contraction import SceneBox
    from geo3d.nerf.occupancy import MarchedRays, MarchOptions, OccupancyGrid
    from geo3d.nerf.rays import Rays, camera_rays
    from geo3d.nerf.samples import RaySamples

_LAZY = {
    "MarchOptions": "occupancy",
    "MarchedRays": "occupancy",
    "OccupancyGrid": "occupancy",
    "RaySamples": "samples",
    "Rays": "rays",
    "SceneBox": "contraction",
    "camera_rays": "rays",
}

__all__ = [
    "MarchOptions",
    "MarchedRays",
    "OccupancyGrid",
    "RaySamples",
    "Rays",
    "SceneBox",
    "camera_rays",
]


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(importlib.import_module(f"geo3d.nerf.{_LAZY[name]}"), name)
    raise AttributeError(f"module 'geo3d.nerf' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
