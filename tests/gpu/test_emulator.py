"""The emulator that runs CUDA kernels in the tests: it computes what a GPU would, and refuses what that leaves open."""

from pathlib import Path

import pytest
import torch

from tests.gpu.emulator import COMPILER, EmulatedLauncher, kernel_names

pytestmark = pytest.mark.skipif(COMPILER is None, reason="needs g++, which compiles the kernels here")

SOURCE = r"""
#define NAMED(name) extern "C" __global__ void __launch_bounds__(64) name
extern "C" __global__ void reverse(int *a) {
  __shared__ int held[64];
  held[threadIdx.x] = a[blockIdx.x * 64 + threadIdx.x];
  __syncthreads();
  a[blockIdx.x * 64 + threadIdx.x] = held[63 - threadIdx.x];
}
extern "C" __global__ void reverse_without_barrier(int *a) {
  __shared__ int held[64];
  held[threadIdx.x] = a[threadIdx.x];
  a[threadIdx.x] = held[63 - threadIdx.x];
}
NAMED(warp_operations)(const float *a, float *up, float *sum, int *same, int *count) {
  const int i = threadIdx.x;
  up[i] = __shfl_up_sync(0xffffffffu, a[i], 3);
  float all = a[i];
  for (int half = 16; half > 0; half /= 2) all += __shfl_xor_sync(0xffffffffu, all, half);
  sum[i] = all;
  same[i] = __popc(__match_any_sync(0xffffffffu, i % 5)) + 100 * __popc(__ballot_sync(0xffffffffu, i % 32 < 7));
  count[i] = __syncthreads_count(a[i] > 10.0f);
}
extern "C" __global__ void half_a_barrier(int *a) { if (threadIdx.x < 32) __syncthreads(); a[0] = 1; }
extern "C" __global__ void half_a_warp(int *a) { if (threadIdx.x < 16) a[0] = __shfl_sync(0xffffffffu, 1, 0); }
extern "C" __global__ void part_of_a_mask(int *a) { a[0] = __shfl_sync(0xffffu, 1, 0); }
extern "C" __global__ void two_places(int *a) {
  if (threadIdx.x % 2)
    a[0] = __shfl_sync(0xffffffffu, 1, 0);
  else
    a[0] = __shfl_sync(0xffffffffu, 2, 0);
}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("kernels")
    (path / "probe.cu").write_text(SOURCE, encoding="utf-8")
    return path


def test_names_of_kernels_are_found_behind_macros(folder):
    assert kernel_names(folder / "probe.cu")[:3] == ["reverse", "reverse_without_barrier", "warp_operations"]


@pytest.mark.parametrize("order", [0, 1, 2])
def test_a_barrier_holds_all_threads_of_a_block(folder, order):
    a = torch.arange(128, dtype=torch.int32)
    EmulatedLauncher(folder, order)("probe/reverse", 2, 64, a)
    assert a.tolist() == [*range(63, -1, -1), *range(127, 63, -1)]


def test_a_missing_barrier_shows_as_another_result_in_another_order(folder):
    found = []
    for order in (0, 1):
        a = torch.arange(64, dtype=torch.int32)
        EmulatedLauncher(folder, order)("probe/reverse_without_barrier", 1, 64, a)
        found.append(a.tolist())
    assert found[0] != found[1]


@pytest.mark.parametrize("order", [0, 1, 2])
def test_warp_operations(folder, order):
    a = torch.arange(64, dtype=torch.float32)
    up, total = torch.zeros(64), torch.zeros(64)
    same, count = torch.zeros(64, dtype=torch.int32), torch.zeros(64, dtype=torch.int32)
    EmulatedLauncher(folder, order)("probe/warp_operations", 1, 64, a, up, total, same, count)
    assert up.tolist() == [i if i % 32 < 3 else i - 3 for i in range(64)]
    assert total.tolist() == [sum(range(32))] * 32 + [sum(range(32, 64))] * 32
    for i in range(64):
        warp = range(i // 32 * 32, i // 32 * 32 + 32)
        assert same[i] == sum(j % 5 == i % 5 for j in warp) + 700
    assert count.tolist() == [53] * 64


@pytest.mark.parametrize(
    ("kernel", "words"),
    [
        ("half_a_barrier", "wait where the others never come"),
        ("half_a_warp", "wait where the others never come"),
        ("part_of_a_mask", "a warp mask that is not full"),
        ("two_places", "lanes of one warp are at lines"),
    ],
)
def test_what_hardware_leaves_open_is_refused(folder, kernel, words):
    with pytest.raises(RuntimeError, match=f"probe/{kernel}: .*{words}"):
        EmulatedLauncher(folder)(f"probe/{kernel}", 1, 64, torch.zeros(1, dtype=torch.int32))


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        (torch.zeros(64),),
        (torch.zeros(64, dtype=torch.int64),),
        (3,),
        (torch.zeros(64, 2, dtype=torch.int32)[:, 0],),
    ],
)
def test_arguments_of_other_number_or_type_are_refused(folder, arguments):
    with pytest.raises(TypeError, match="probe/reverse"):
        EmulatedLauncher(folder)("probe/reverse", 1, 64, *arguments)
