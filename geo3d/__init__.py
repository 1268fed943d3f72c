"""geo3d: from photographs to measured 3D.

>>> import geo3d
>>> camera = geo3d.Camera("PINHOLE", 640, 480, [800, 800, 320, 240])
>>> camera.project([0.5, 0.5, 5.0]).tolist()
[400.0, 320.0]
"""

import sys

# pycolmap exports a zlib of its own; Python's zlib, when it is first loaded after pycolmap, mixes the two
# and aborts the process in deflateEnd. Loaded before it, all is well - so load it first, or say so.
if "pycolmap" in sys.modules and (
    "zlib" not in sys.modules or list(sys.modules).index("zlib") > list(sys.modules).index("pycolmap")
):
    raise ImportError(
        "pycolmap was imported before geo3d and before Python's zlib, and the process would abort at the "
        "first use of zlib. Put `import geo3d` (or `import zlib`) above `import pycolmap`."
    )
import importlib
import zlib  # noqa: F401
from typing import TYPE_CHECKING

__version__ = "0.1.0"

# Public names at the top; each is imported when it is first used, so that `import geo3d` stays instant.
_LAZY = {
    "Camera": "geo3d.cameras",
    "Reconstruction": "geo3d.scene",
    "View": "geo3d.scene",
    "SE3": "geo3d.geometry",
    "SO3": "geo3d.geometry",
    "Sim3": "geo3d.geometry",
    "reconstruct": "geo3d.pipeline",
    "ReconstructOptions": "geo3d.pipeline",
}

__all__ = [
    "SE3",
    "SO3",
    "Camera",
    "ReconstructOptions",
    "Reconstruction",
    "Sim3",
    "View",
    "__version__",
    "reconstruct",
]

if TYPE_CHECKING:
    from geo3d.cameras import Camera as Camera
    from geo3d.geometry import SE3 as SE3
    from geo3d.geometry import SO3 as SO3
    from geo3d.geometry import Sim3 as Sim3
    from geo3d.pipeline import ReconstructOptions as ReconstructOptions
    from geo3d.pipeline import reconstruct as reconstruct
    from geo3d.scene import Reconstruction as Reconstruction
    from geo3d.scene import View as View


def __getattr__(name: str):
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'geo3d' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
