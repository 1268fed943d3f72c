"""CUDA kernels on the CPU: g++ compiles the .cu files with `cuda_emulator.h`, torch CPU tensors are their memory.

`EmulatedLauncher` stands in for `geo3d.gpu.Launcher`. Beyond what a GPU would notice it refuses arguments of another
number or type than the kernel's parameters, and tensors that are not contiguous.
"""

import ctypes
import os
import re
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

import torch

HERE = Path(__file__).parent
COMPILER = shutil.which("g++")
SANITIZE = (
    "-g",
    "-fsanitize=address,undefined",
    "-fno-sanitize-recover=undefined",
    "-fno-omit-frame-pointer",
)

_LETTERS = {
    torch.float32: "f",
    torch.int32: "i",
    torch.int64: "l",
    torch.uint8: "b",
    torch.bool: "b",
}


def kernel_names(source: Path) -> list[str]:
    """Names of the kernels of a .cu file, those that macros define too."""
    command = [str(COMPILER), "-E", "-P", "-x", "c++", "-D__global__=KERNEL", str(source)]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return re.findall(
        r"\bKERNEL\s+void\s+(?:__launch_bounds__\s*\([^()]*(?:\([^()]*\))?[^()]*\)\s*)?(\w+)\s*\(", text
    )


@cache
def _built(source: Path, flags: tuple[str, ...]) -> ctypes.CDLL:
    folder = Path(tempfile.mkdtemp(prefix="geo3d-emulator-"))
    try:
        glue = [f'#include "{HERE / "cuda_emulator.h"}"', f'#include "{source}"']
        for name in kernel_names(source):
            glue.append(
                f'extern "C" const char* run_{name}(int grid, int block, void** arguments, int order) '
                f"{{ return emulator::launch({name}, grid, block, arguments, order); }}\n"
                f'extern "C" const char* signature_{name}() {{ return emulator::signature({name}); }}'
            )
        (folder / "glue.cpp").write_text("\n".join(glue), encoding="utf-8")
        library = folder / "kernels.so"
        command = [str(COMPILER), "-std=c++17", "-O1", "-w", "-shared", "-fPIC", *flags]
        subprocess.run([*command, str(folder / "glue.cpp"), "-o", str(library)], check=True)
        return ctypes.CDLL(str(library))
    finally:
        shutil.rmtree(folder)


class EmulatedLauncher:
    """Runs kernels of `folder` on CPU tensors.

    Parameters
    ----------
    folder : Path
        Where the .cu files are.
    order : int
        Threads of a block ascending (0), descending (1) or shuffled (2).
    """

    device = torch.device("cpu")

    def __init__(self, folder: Path, order: int = 0):
        self.folder, self.order = folder, order
        self.flags = SANITIZE if os.environ.get("GEO3D_EMULATOR_SANITIZE") else ()
        self.launched: set[str] = set()

    def __call__(self, kernel: str, grid: int, block: int, *arguments) -> None:
        """Run `kernel` ("file/name") in `grid` blocks of `block` threads on `arguments`."""
        file, name = kernel.split("/")
        library = _built(self.folder / f"{file}.cu", self.flags)
        signature = getattr(library, f"signature_{name}")
        signature.restype = ctypes.c_char_p
        letters = signature().decode()
        if len(letters) != len(arguments):
            raise TypeError(f"{kernel} takes {len(letters)} arguments, got {len(arguments)}")
        held = [_argument(kernel, i, *pair) for i, pair in enumerate(zip(letters, arguments))]
        pointers = (ctypes.c_void_p * len(held))(
            *[ctypes.cast(ctypes.byref(h), ctypes.c_void_p) for h in held]
        )
        run = getattr(library, f"run_{name}")
        run.restype = ctypes.c_char_p
        self.launched.add(kernel)
        failed = run(grid, block, pointers, self.order) if grid > 0 else None
        if failed:
            raise RuntimeError(f"{kernel}: {failed.decode()}")


def _argument(kernel: str, i: int, letter: str, value):
    if isinstance(value, int) and not isinstance(value, bool) and letter == "I":
        return ctypes.c_int(value)
    if isinstance(value, float) and letter == "F":
        return ctypes.c_float(value)
    if value is None and letter.islower():
        return ctypes.c_void_p(0)
    if isinstance(value, torch.Tensor) and _LETTERS[value.dtype] == letter and value.is_contiguous():
        return ctypes.c_void_p(value.data_ptr())
    raise TypeError(
        f"{kernel}: argument {i} is {getattr(value, 'dtype', value)}, its parameter is of kind {letter}"
    )
