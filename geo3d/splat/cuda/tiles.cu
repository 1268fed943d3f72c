/* The list of each tile: instances are emitted in the order of depth and sorted, stably, by tile.

   The sort is a radix sort of 32-bit keys with 32-bit values, least significant digit first: a histogram a block
   (radix_histogram), its prefix sums over (digit, block) elsewhere, then a scatter that keeps the order
   (radix_scatter; ranks within a warp by __match_any_sync). No atomics on global memory: reruns are identical. */
#include "layout.h"

#define RADIX 256
#define RADIX_ROUNDS 16
#define RADIX_ITEMS (256 * RADIX_ROUNDS) /* keys of a block */

/* order (N): Gaussians front to back; ends (N): inclusive prefix sums of their tile counts in that order.
   keys, owners: tile and Gaussian of each instance; first_instance (N): by Gaussian. */
extern "C" __global__ void __launch_bounds__(128)
emit_instances(int count, int width, int height, const long long *order, const int *ends, const int *tile_counts,
               const float4 *projected, unsigned *keys, int *instances, int *owners, int *first_instance) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= count) return;
  const int g = (int)order[i];
  if (tile_counts[g] == 0) return;
  const int end = ends[i], begin = end - tile_counts[g];
  first_instance[g] = begin;
  int e = begin;
  visit_tiles(PLACE(projected, g), CONIC(projected, g), width, height, [&](int tile) {
    if (e >= end) return; /* both passes count alike (gs_fma); this is for the memory's safety */
    keys[e] = tile;
    instances[e] = e;
    owners[e] = g;
    ++e;
  });
}

extern "C" __global__ void __launch_bounds__(256)
radix_histogram(int count, int shift, int digits, const unsigned *keys, int *histogram /* (digits, blocks) */) {
  __shared__ int bins[RADIX];
  bins[threadIdx.x] = 0;
  __syncthreads();
  for (int round = 0; round < RADIX_ROUNDS; ++round) {
    const long long i = (long long)blockIdx.x * RADIX_ITEMS + round * 256 + threadIdx.x;
    if (i < count) atomicAdd(&bins[(keys[i] >> shift) & (digits - 1)], 1);
  }
  __syncthreads();
  if (threadIdx.x < digits) histogram[(size_t)threadIdx.x * gridDim.x + blockIdx.x] = bins[threadIdx.x];
}

/* ends: inclusive prefix sums of the histogram. */
extern "C" __global__ void __launch_bounds__(256)
radix_scatter(int count, int shift, int digits, const int *histogram, const int *ends, const unsigned *keys_in,
              const int *values_in, unsigned *keys_out, int *values_out) {
  __shared__ int place[RADIX];
  __shared__ int warp_place[8][RADIX];
  const int thread = threadIdx.x, warp = thread >> 5, lane = thread & 31;
  if (thread < digits) {
    const size_t bin = (size_t)thread * gridDim.x + blockIdx.x;
    place[thread] = ends[bin] - histogram[bin];
  }
  for (int round = 0; round < RADIX_ROUNDS; ++round) {
    const long long first = (long long)blockIdx.x * RADIX_ITEMS + round * 256;
    if (first >= count) return;
    const long long i = first + thread;
    const bool valid = i < count;
    const unsigned key = valid ? keys_in[i] : 0u;
    const int digit = valid ? (key >> shift) & (digits - 1) : RADIX;
    for (int w = 0; w < 8; ++w) warp_place[w][thread] = 0;
    __syncthreads();
    const unsigned peers = __match_any_sync(FULL_WARP, digit);
    const int rank = __popc(peers & ((1u << lane) - 1u));
    if (valid && rank == 0) warp_place[warp][digit] = __popc(peers);
    __syncthreads();
    if (thread < digits) {
      int next = place[thread];
      for (int w = 0; w < 8; ++w) {
        const int held = warp_place[w][thread];
        warp_place[w][thread] = next;
        next += held;
      }
      place[thread] = next;
    }
    __syncthreads();
    if (valid) {
      const int to = warp_place[warp][digit] + rank;
      keys_out[to] = key;
      values_out[to] = values_in[i];
    }
    __syncthreads();
  }
}

/* ranges (tiles, 2): first and one past the last instance of each tile, zero before; gaussians: owner of each. */
extern "C" __global__ void __launch_bounds__(256)
tile_ranges(int count, const unsigned *keys, const int *instances, const int *owners, int *ranges, int *gaussians) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= count) return;
  const unsigned tile = keys[i];
  gaussians[i] = owners[instances[i]];
  if (i == 0 || keys[i - 1] != tile) ranges[2 * tile] = i;
  if (i == count - 1 || keys[i + 1] != tile) ranges[2 * tile + 1] = i + 1;
}
