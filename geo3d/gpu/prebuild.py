"""Compiles every CUDA kernel of the package for the wheel: `python -m geo3d.gpu.prebuild`, before `python -m build`.

Without it the wheel holds the sources only, and NVRTC compiles them on first use.
"""

from __future__ import annotations

import sys
from pathlib import Path

from geo3d.gpu.compile import ARCHITECTURES, compile_into, prebuilt_path


def kernel_sources() -> list[Path]:
    """All .cu files of the package."""
    return sorted(Path(__file__).parents[1].rglob("*.cu"))


def prebuild() -> int:
    """Write the cubins of all kernels and architectures beside their sources, in place of older ones; their bytes."""
    total = 0
    for source in kernel_sources():
        wanted = {prebuilt_path(source, architecture): architecture for architecture in ARCHITECTURES}
        for old in (source.parent / "cubins").glob(f"{source.stem}-*.cubin"):
            if old not in wanted:
                old.unlink()
        total += sum(len(compile_into(path, source, number)) for path, number in wanted.items())
    return total


if __name__ == "__main__":
    size = prebuild()
    sys.stdout.write(
        f"{len(kernel_sources())} files for {len(ARCHITECTURES)} architectures, {size / 1e6:.1f} MB\n"
    )
