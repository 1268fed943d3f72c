"""The kernels once more, compiled with the sanitizers of g++: every access to memory is checked."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.gpu.emulator import COMPILER

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(COMPILER is None, reason="needs g++, which compiles the kernels here"),
]

ROOT = Path(__file__).parents[2]
BEYOND = r"""
extern "C" __global__ void beyond(int *a) { if (threadIdx.x == 63) a[64] = 1; }
extern "C" __global__ void beyond_shared(int *a) {
  __shared__ int held[64];
  held[threadIdx.x + a[0]] = 1;
  __syncthreads();
  a[threadIdx.x] = held[threadIdx.x];
}
extern "C" __global__ void overflow(int *a) { a[threadIdx.x] += 0x7fffffff; }
extern "C" __global__ void within(int *a) { a[threadIdx.x] = 1; }
"""


def sanitized(*arguments: str) -> subprocess.CompletedProcess:
    """Python under AddressSanitizer, which has to be there before anything else is loaded."""
    libraries = [
        subprocess.run(
            [str(COMPILER), f"-print-file-name={name}"], capture_output=True, text=True, check=True
        ).stdout.strip()
        for name in ("libasan.so", "libubsan.so")
    ]
    environment = os.environ | {
        "GEO3D_EMULATOR_SANITIZE": "1",
        "LD_PRELOAD": " ".join(libraries),
        "ASAN_OPTIONS": "detect_leaks=0",
        "PYTHONPATH": str(ROOT),
    }
    return subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, env=environment, capture_output=True, text=True
    )


@pytest.mark.parametrize(
    ("kernel", "words"),
    [
        ("beyond", "heap-buffer-overflow"),
        ("beyond_shared", "out of bounds"),
        ("overflow", "signed integer overflow"),
        ("within", ""),
    ],
)
def test_a_wrong_access_is_found(tmp_path, kernel, words):
    (tmp_path / "wrong.cu").write_text(BEYOND, encoding="utf-8")
    code = (
        "import pathlib, torch\nfrom tests.gpu.emulator import EmulatedLauncher\n"
        f"launch = EmulatedLauncher(pathlib.Path({str(tmp_path)!r}))\n"
        f"launch('wrong/{kernel}', 1, 64, torch.ones(64, dtype=torch.int32))"
    )
    done = sanitized("-c", code)
    assert (done.returncode == 0) == (not words) and words in done.stderr, done.stderr[-2000:]


def test_the_kernels_of_splatting_touch_only_what_is_theirs():
    done = sanitized(
        "-m", "pytest", "-q", "-s", "-p", "no:cacheprovider", "tests/splat/test_cuda_rasterizer.py",
        "tests/splat/test_cuda_training.py", "-k", "not backends and not both and not stable",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]


def test_the_kernels_of_radiance_fields_touch_only_what_is_theirs():
    done = sanitized(
        "-m", "pytest", "-q", "-s", "-p", "no:cacheprovider", "-m", "not slow", "tests/nerf/test_cuda_field.py",
        "tests/nerf/test_cuda_marching.py", "tests/nerf/test_cuda_volume.py", "tests/nerf/test_cuda_training.py",
        "tests/nerf/test_cuda_engine.py",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
