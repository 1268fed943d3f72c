"""Optional packages: imported where they are used, and a missing one is answered with the line that installs it."""

import importlib
from types import ModuleType

EXTRA = {
    "torch": "torch",
    "pycolmap": "colmap",
    "h5py": "hloc",
    "viser": "view",
    "av": "media",
    "pillow_heif": "media",
    "rasterio": "geo",
    "laspy": "geo",
    "zstandard": "splat",
    "trimesh": "mesh",
    "open3d": "mesh",
    "skimage": "mesh",
    "ray": "cluster",
}
"""Optional package to the extra of pyproject.toml that brings it."""

# shared library named by the loader -> Debian package
_SYSTEM = {
    "libGL.so": "libgl1",
    "libgthread": "libglib2.0-0",
    "libglib": "libglib2.0-0",
    "libusb-1.0": "libusb-1.0-0",
    "libgomp": "libgomp1",
}


def require(name: str) -> ModuleType:
    """Import an optional package or one that needs system libraries (`cv2`, `open3d`).

    Raises
    ------
    ImportError
        With the exact command that installs what is missing.
    """
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        top = name.split(".")[0]
        if error.name != top:
            raise
        what = f"'geo3d[{EXTRA[top]}]'" if top in EXTRA else {"cv2": "opencv-python"}.get(top, top)
        raise ImportError(
            f"{top} is needed here and not installed. Install it: pip install {what}"
        ) from error
    except ImportError as error:
        for library, package in _SYSTEM.items():
            if library in str(error):
                raise ImportError(
                    f"{name} needs the system library {library}. Install it: apt-get install {package}"
                ) from error
        raise
