/* Features of the multi-resolution hash grid, and gradients by its entries. Blocks go level by level, so that one
   level's entries stay in the cache while all samples read them. Gradients are added atomically: in any order. */
#include "field_math.h"
#include "tensor_cores.h"

/* A block's level and its thread's sample; blocks a level: gridDim.x / levels. */
struct Place {
  int level, sample;
  __device__ __forceinline__ Place(int levels) {
    const int blocks = gridDim.x / levels;
    level = blockIdx.x / blocks;
    sample = blockIdx.x % blocks * blockDim.x + threadIdx.x;
  }
};

/* table (levels, NF_LEVEL); grid (entries,): pairs of halves; positions (capacity, 3) in the unit cube; features
   (levels, capacity): pairs of halves. */
extern "C" __global__ void __launch_bounds__(256)
encode(int capacity, const int *counts, int levels, const int *table, const unsigned *grid, const float *positions,
       unsigned *features) {
  const Place place(levels);
  if (place.sample >= min(counts[0], capacity)) return;
  unsigned rows[8], pairs[8];
  float weights[8], x = 0.0f, y = 0.0f;
  nf_corners(table + NF_LEVEL * place.level, positions + 3 * (size_t)place.sample, rows, weights);
#pragma unroll
  for (int i = 0; i < 8; ++i) pairs[i] = grid[rows[i]];
#pragma unroll
  for (int i = 0; i < 8; ++i) {
    const float2 entry = unpack_halves(pairs[i]);
    x += weights[i] * entry.x;
    y += weights[i] * entry.y;
  }
  features[(size_t)place.level * capacity + place.sample] = pack_halves(x, y);
}

__device__ __forceinline__ void add_pair(float *at, float x, float y) {
#if __CUDA_ARCH__ >= 900
  atomicAdd((float2 *)at, make_float2(x, y));
#else
  atomicAdd(at, x);
  atomicAdd(at + 1, y);
#endif
}

/* gradient (entries, 2), added to. */
extern "C" __global__ void __launch_bounds__(256)
encode_backward(int capacity, const int *counts, int levels, const int *table, const float *positions,
                const unsigned *d_features, float *gradient) {
  const Place place(levels);
  if (place.sample >= min(counts[0], capacity)) return;
  const unsigned pair = d_features[(size_t)place.level * capacity + place.sample];
  if (!(pair & 0x7fff7fffu)) return;
  unsigned rows[8];
  float weights[8];
  nf_corners(table + NF_LEVEL * place.level, positions + 3 * (size_t)place.sample, rows, weights);
  const float2 d = unpack_halves(pair);
#pragma unroll
  for (int i = 0; i < 8; ++i) add_pair(gradient + 2 * (size_t)rows[i], weights[i] * d.x, weights[i] * d.y);
}

/* d_positions (capacity, 3), added to. */
extern "C" __global__ void __launch_bounds__(256)
position_gradients(int capacity, const int *counts, int levels, const int *table, const unsigned *grid,
                   const float *positions, const unsigned *d_features, float *d_positions) {
  const Place place(levels);
  if (place.sample >= min(counts[0], capacity)) return;
  const int *level = table + NF_LEVEL * place.level;
  const float *position = positions + 3 * (size_t)place.sample;
  const float2 d = unpack_halves(d_features[(size_t)place.level * capacity + place.sample]);
  unsigned rows[8];
  float weights[8], sum[3] = {0.0f, 0.0f, 0.0f};
  nf_corners(level, position, rows, weights);
#pragma unroll
  for (int i = 0; i < 8; ++i) {
    const float2 entry = unpack_halves(grid[rows[i]]);
    const float along = entry.x * d.x + entry.y * d.y;
    for (int axis = 0; axis < 3; ++axis) sum[axis] += along * nf_corner_slope(level, position, i, axis);
  }
  for (int axis = 0; axis < 3; ++axis)
    if (position[axis] >= 0.0f && position[axis] <= 1.0f) atomicAdd(d_positions + 3 * (size_t)place.sample + axis, sum[axis]);
}
