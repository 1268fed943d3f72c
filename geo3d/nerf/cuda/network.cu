/* Weights to halves in the order in which the tensor cores take them, and the field's density and colour. */
#include "network.h"

/* A place in a row-major (inputs, outputs) matrix of the field's parameters; 0 outside of it. */
__device__ __forceinline__ float weight_at(const float *matrix, int inputs, int outputs, int input, int output) {
  return input < inputs && output < outputs ? matrix[input * outputs + output] : 0.0f;
}

/* weights: density_0 (2 levels, 64), density_1 (64, 16), color_0 (32, 64), color_1 (64, 64), color_2 (64, 3), one after
   another. packed: (PIECES, 32) uint2. A thread a lane of a piece: rows 2 t, 2 t + 1 and 8 below, column g. */
extern "C" __global__ void __launch_bounds__(256) pack_weights(int levels, const float *weights, unsigned *packed) {
  const int thread = blockIdx.x * blockDim.x + threadIdx.x;
  if (thread >= 32 * PIECES) return;
  const int lane = thread % 32, g = lane / 4, t = lane % 4;
  int piece = thread / 32, across = 0; /* pieces across: outputs / 8 */
  const int starts[10] = {D0, D1, C0, C1, C2, D0_BACK, D1_BACK, C0_BACK, C1_BACK, C2_BACK};
  const int widths[10] = {8, 2, 8, 8, 1, 4, 8, 2, 8, 8};
  const int inputs[5] = {2 * levels, 64, 32, 64, 64}, outputs[5] = {64, 16, 64, 64, 3};
  int layer = 0;
  for (int i = 1; i < 10; ++i)
    if (piece >= starts[i]) layer = i;
  piece -= starts[layer];
  across = widths[layer];
  const float *matrix = weights;
  for (int i = 0; i < layer % 5; ++i) matrix += inputs[i] * outputs[i];
  const int rows = inputs[layer % 5], columns = outputs[layer % 5];
  const int column = 8 * (piece % across) + g;
  float value[4];
  for (int i = 0; i < 4; ++i) {
    const int row = 16 * (piece / across) + 2 * t + (i & 1) + 8 * (i >> 1);
    value[i] = layer < 5 ? weight_at(matrix, rows, columns, row, column) : weight_at(matrix, rows, columns, column, row);
  }
  packed[2 * thread] = pack_halves(value[0], value[1]);
  packed[2 * thread + 1] = pack_halves(value[2], value[3]);
}

/* density (capacity), color (capacity, 3) of the samples 0 .. counts[0] - 1. */
extern "C" __global__ void __launch_bounds__(128)
network_forward(int capacity, const int *counts, int levels, const unsigned *features, const float *directions,
                const int *rays, const uint2 *weights, float *density, float *color) {
  const int count = min(counts[0], capacity), lane = threadIdx.x % 32, g = lane / 4, t = lane % 4;
  const int first = 16 * (blockIdx.x * (blockDim.x / 32) + threadIdx.x / 32);
  if (first >= count) return;
  Activations a;
  load_features(features, levels, capacity, first, count, a.features);
  load_harmonics(directions, rays, first, count, a.both + 4);
  density_forward(weights, a);
  color_forward(weights, a);
#pragma unroll
  for (int row = 0; row < 2; ++row) {
    const int sample = first + g + 8 * row;
    if (sample >= count) continue;
    if (t == 0) {
      density[sample] = a.density[row];
      color[3 * (size_t)sample] = a.rgb[2 * row];
      color[3 * (size_t)sample + 1] = a.rgb[2 * row + 1];
    }
    if (t == 1) color[3 * (size_t)sample + 2] = a.rgb[2 * row];
  }
}

/* The density alone. */
extern "C" __global__ void __launch_bounds__(128)
density_only(int capacity, const int *counts, int levels, const unsigned *features, const uint2 *weights,
             float *density) {
  const int count = min(counts[0], capacity), lane = threadIdx.x % 32, g = lane / 4, t = lane % 4;
  const int first = 16 * (blockIdx.x * (blockDim.x / 32) + threadIdx.x / 32);
  if (first >= count) return;
  Activations a;
  load_features(features, levels, capacity, first, count, a.features);
  density_forward(weights, a);
#pragma unroll
  for (int row = 0; row < 2; ++row)
    if (t == 0 && first + g + 8 * row < count) density[first + g + 8 * row] = a.density[row];
}
