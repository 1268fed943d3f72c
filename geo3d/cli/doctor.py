"""`geo3d doctor`: what is installed, what works, and the line that installs what is missing."""

from __future__ import annotations

import ctypes.util
import importlib
import importlib.metadata
import os
import platform
import shutil
import sys
from dataclasses import dataclass

import geo3d
from geo3d.cli.common import Common, Session
from geo3d.gpu import why_not
from geo3d.util.jit import kernel_cache
from geo3d.util.require import require
from geo3d.util.threads import cpu_count


@dataclass(frozen=True, kw_only=True)
class Options(Common):
    """Versions, threads, GPU, optional packages and system libraries, each with the line that installs it."""


@dataclass(frozen=True)
class Check:
    """One line of the answer."""

    group: str
    name: str
    state: str  # "ok", "missing" (optional) or "broken" (needed)
    text: str


_CORE = {
    "numpy": "numpy",
    "scipy": "scipy",
    "numba": "numba",
    "threadpoolctl": "threadpoolctl",
    "cv2": "opencv-python",
    "PIL": "pillow",
    "matplotlib": "matplotlib",
    "rich": "rich",
    "tyro": "tyro",
    "pooch": "pooch",
    "pyproj": "pyproj",
    "yaml": "pyyaml",
}
# module -> (distribution, extra, what it is for)
_OPTIONAL = {
    "torch": ("torch", "torch", "radiance fields, GPU"),
    "cuda.core": ("cuda-core", "cuda", "own CUDA kernels"),
    "pycolmap": ("pycolmap", "colmap", "comparison with COLMAP"),
    "h5py": ("h5py", "hloc", "features and matches of hloc"),
    "viser": ("viser", "view", "viewer in the browser"),
    "av": ("av", "media", "videos of rendered views"),
    "pillow_heif": ("pillow-heif", "media", "HEIC photos"),
    "rasterio": ("rasterio", "geo", "GeoTIFF"),
    "laspy": ("laspy", "geo", "LAS and LAZ"),
    "zstandard": ("zstandard", "splat", "SPZ files of splats"),
    "trimesh": ("trimesh", "mesh", "meshes"),
    "open3d": ("open3d", "mesh", "meshes"),
    "skimage": ("scikit-image", "mesh", "meshes of radiance fields"),
    "ray": ("ray", "cluster", "several machines"),
}


def checks() -> list[Check]:
    """All checks, in the order in which they are shown."""
    return [*_platform(), *_core(), *_threading(), *_gpu(), *_optional()]


def _platform() -> list[Check]:
    python = platform.python_version()
    state = "ok" if (3, 11) <= sys.version_info[:2] <= (3, 13) else "broken"
    libc = " ".join(platform.libc_ver())
    return [
        Check("system", "geo3d", "ok", geo3d.__version__),
        Check(
            "system",
            "python",
            state,
            f"{python} ({sys.executable})" + ("" if state == "ok" else "; 3.11 to 3.13 needed"),
        ),
        Check("system", "platform", "ok", f"{platform.system()} {platform.machine()} {libc}"),
    ]


def _core() -> list[Check]:
    found = []
    for module, distribution in _CORE.items():
        try:
            require(module)
            found.append(Check("core", distribution, "ok", _version(distribution)))
        except ImportError as error:
            found.append(Check("core", distribution, "broken", " ".join(str(error).split())))
    return found


def _version(distribution: str) -> str:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        # opencv-python-headless and the like bring the same module under another name
        return "installed under another name"


def _threading() -> list[Check]:
    found = [
        Check("threads", "cores", "ok", f"{cpu_count()} for this process, {os.cpu_count()} in the machine")
    ]
    from threadpoolctl import threadpool_info

    for pool in threadpool_info():
        name = f"{pool['internal_api']} {pool.get('version') or ''}".strip()
        found.append(Check("threads", pool["user_api"], "ok", f"{name}, {pool['num_threads']} threads"))
    folder = kernel_cache()
    kept = shutil.disk_usage(folder)
    found.append(Check("threads", "kernel cache", "ok", f"{folder} ({kept.free / 1e9:.0f} GB free)"))
    return found


def _gpu() -> list[Check]:
    if ctypes.util.find_library("cuda") is None:  # torch, which takes seconds to load, has nothing to add
        return [Check("gpu", "NVIDIA", "missing", "no driver found; everything runs on the CPU")]
    reason = why_not()
    if reason is not None:
        return [Check("gpu", "NVIDIA", "missing", f"not used: {reason}")]
    torch = importlib.import_module("torch")
    return [
        Check("gpu", f"GPU {i}", "ok", f"{torch.cuda.get_device_name(i)}, our CUDA kernels can run")
        for i in range(torch.cuda.device_count())
    ]


def _optional() -> list[Check]:
    found = []
    for module, (distribution, extra, use) in _OPTIONAL.items():
        try:
            version = importlib.metadata.version(distribution)
        except importlib.metadata.PackageNotFoundError:
            found.append(Check("extras", module, "missing", f"{use}: pip install 'geo3d[{extra}]'"))
            continue
        if module == "open3d" and ctypes.util.find_library("usb-1.0") is None:
            found.append(Check("extras", module, "missing", "needs libusb: apt-get install libusb-1.0-0"))
            continue
        found.append(Check("extras", module, "ok", f"{version} ({use})"))
    return found


def run(options: Options, session: Session) -> int:
    """Print the checks; exit code 1 when something that is needed does not work."""
    found = checks()
    broken = [check for check in found if check.state == "broken"]
    if session.json:
        session.result(checks=[vars(check) for check in found], broken=len(broken))
        return 1 if broken else 0
    mark = {"ok": "ok", "missing": "--", "broken": "!!"}
    group = ""
    for check in found:
        if check.group != group:
            group = check.group
            session.say(f"\n{group}")
        session.say(f"  {mark[check.state]}  {check.name:<14} {check.text}")
    session.say()
    if broken:
        session.say(
            f"{len(broken)} of the packages that geo3d needs do not work; see the lines with !! above."
        )
    else:
        session.say("Everything that geo3d needs is here. Lines with -- are optional.")
    return 1 if broken else 0
