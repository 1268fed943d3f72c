/* Gradients of the field's weights and features: a block takes 128 samples at a time, a warp 16 of them.

   Activations are computed anew in registers. Going back through a layer Y = X W, each warp takes its 16 rows of
   dX = dY W^T itself; dW = X^T dY is a sum over samples, so X and dY of all eight warps are laid out in shared memory,
   transposed, and each warp adds up an eighth of dW, in registers from the block's first samples to its last. Blocks
   add what they have to the gradients in any order: reruns differ in the last bits. */
#include "network.h"

#define WARPS 8
#define SAMPLES (16 * WARPS)
#define STRIDE (SAMPLES + 8) /* halves; spreads the rows of both over the banks of shared memory */

struct Staged {
  unsigned short x[64 * STRIDE], d[64 * STRIDE]; /* feature by sample */
};

/* N blocks of 8 columns of this warp's 16 samples into `to`. */
template <int N>
__device__ __forceinline__ void stage(const unsigned *x, unsigned short *to) {
  const int lane = threadIdx.x % 32, g = lane / 4, t = lane % 4, sample = 16 * (threadIdx.x / 32) + g;
#pragma unroll
  for (int n = 0; n < N; ++n)
#pragma unroll
    for (int row = 0; row < 2; ++row) {
      const unsigned pair = x[2 * n + row];
      unsigned short *at = to + (8 * n + 2 * t) * STRIDE + sample + 8 * row;
      at[0] = (unsigned short)(pair & 0xffffu);
      at[STRIDE] = (unsigned short)(pair >> 16);
    }
}

/* Two samples of a staged feature. */
__device__ __forceinline__ unsigned pair_at(const unsigned short *staged, int feature, int sample) {
  return *(const unsigned *)(staged + feature * STRIDE + sample);
}

/* sum (M N / 8 tiles of 16 x 8) += this warp's part of X^T dY: 16 M inputs, 8 N outputs. */
template <int M, int N, int TILES>
__device__ __forceinline__ void weight_gradient(Staged &staged, const unsigned *x, const unsigned *d,
                                                float (*sum)[4]) {
  stage<2 * M>(x, staged.x);
  stage<N>(d, staged.d);
  __syncthreads();
  const int lane = threadIdx.x % 32, g = lane / 4, t = lane % 4, warp = threadIdx.x / 32;
  const int input = 16 * (warp % M) + g, first = warp / M * TILES;
  if (first < N) {
#pragma unroll
    for (int k = 0; k < SAMPLES; k += 16) {
      const unsigned a[4] = {pair_at(staged.x, input, k + 2 * t), pair_at(staged.x, input + 8, k + 2 * t),
                             pair_at(staged.x, input, k + 8 + 2 * t), pair_at(staged.x, input + 8, k + 8 + 2 * t)};
#pragma unroll
      for (int n = 0; n < TILES; ++n) {
        const int output = 8 * (first + n) + g;
        uint2 b;
        b.x = pair_at(staged.d, output, k + 2 * t);
        b.y = pair_at(staged.d, output, k + 8 + 2 * t);
        multiply_add(sum[n], a, b);
      }
    }
  }
  __syncthreads();
}

/* Add a warp's part to the gradient by a row-major (inputs, outputs) matrix. */
template <int M, int N, int TILES>
__device__ __forceinline__ void deliver(const float (*sum)[4], int inputs, int outputs, float *gradient) {
  const int lane = threadIdx.x % 32, g = lane / 4, t = lane % 4, warp = threadIdx.x / 32;
  const int input = 16 * (warp % M) + g, first = warp / M * TILES;
  if (first >= N) return;
#pragma unroll
  for (int n = 0; n < TILES; ++n)
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int row = input + 8 * (i >> 1), column = 8 * (first + n) + 2 * t + (i & 1);
      if (row < inputs && column < outputs) atomicAdd(gradient + row * outputs + column, sum[n][i]);
    }
}

/* d_features (levels, capacity): pairs of halves, gradients times whatever d_density (capacity) and d_color
   (capacity, 3) are scaled by; d_weights: as the weights, added to. */
extern "C" __global__ void __launch_bounds__(32 * WARPS)
network_backward(int capacity, const int *counts, int levels, const unsigned *features, const float *directions,
                 const int *rays, const uint2 *weights, const float *d_density, const float *d_color,
                 unsigned *d_features, float *d_weights) {
  __shared__ Staged staged;
  const int count = min(counts[0], capacity), lane = threadIdx.x % 32, g = lane / 4, t = lane % 4;
  float by_d0[2][4] = {}, by_d1[1][4] = {}, by_c0[2][4] = {}, by_c1[4][4] = {}, by_c2[1][4] = {};
  for (int tile = blockIdx.x; tile * SAMPLES < count; tile += gridDim.x) {
    const int first = tile * SAMPLES + 16 * (threadIdx.x / 32);
    Activations a;
    load_features(features, levels, capacity, first, count, a.features);
    load_harmonics(directions, rays, first, count, a.both + 4);
    density_forward(weights, a);
    color_forward(weights, a);

    float c[8][4];
    unsigned d[16];
    d[2] = d[3] = 0u;
#pragma unroll
    for (int row = 0; row < 2; ++row) {
      const int sample = first + g + 8 * row;
      float by_rgb[2] = {0.0f, 0.0f};
      if (sample < count)
#pragma unroll
        for (int i = 0; i < 2; ++i) {
          const float y = a.rgb[2 * row + i];
          if (2 * t + i < 3) by_rgb[i] = d_color[3 * (size_t)sample + 2 * t + i] * y * (1.0f - y);
        }
      d[row] = pack_halves(by_rgb[0], by_rgb[1]);
    }
    weight_gradient<4, 1, 1>(staged, a.second, d, by_c2);
    product<1, 8>(d, LAYER(weights, C2_BACK), c);
    rectified_back<8>(c, a.second, d);
    weight_gradient<4, 8, 4>(staged, a.first, d, by_c1);
    product<4, 8>(d, LAYER(weights, C1_BACK), c);
    rectified_back<8>(c, a.first, d);
    weight_gradient<2, 8, 2>(staged, a.both, d, by_c0);
    product<4, 2>(d, LAYER(weights, C0_BACK), c);
#pragma unroll
    for (int row = 0; row < 2; ++row) {
      const int sample = first + g + 8 * row;
      if (t == 0 && sample < count) c[0][2 * row] += d_density[sample] * nf_density_slope(a.density[row]);
    }
    packed<2>(c, d);
    weight_gradient<4, 2, 1>(staged, a.hidden, d, by_d1);
    product<1, 8>(d, LAYER(weights, D1_BACK), c);
    rectified_back<8>(c, a.hidden, d);
    weight_gradient<2, 8, 2>(staged, a.features, d, by_d0);
    product<4, 4>(d, LAYER(weights, D0_BACK), c);
#pragma unroll
    for (int block = 0; block < 4; ++block)
#pragma unroll
      for (int row = 0; row < 2; ++row) {
        const int level = 4 * block + t, sample = first + g + 8 * row;
        if (level < levels && sample < count)
          d_features[(size_t)level * capacity + sample] = pack_halves(c[block][2 * row], c[block][2 * row + 1]);
      }
  }
  deliver<2, 8, 2>(by_d0, 2 * levels, 64, d_weights);
  d_weights += 2 * levels * 64;
  deliver<4, 2, 1>(by_d1, 64, 16, d_weights);
  d_weights += 64 * 16;
  deliver<2, 8, 2>(by_c0, 32, 64, d_weights);
  d_weights += 32 * 64;
  deliver<4, 8, 4>(by_c1, 64, 64, d_weights);
  d_weights += 64 * 64;
  deliver<4, 1, 1>(by_c2, 64, 3, d_weights);
}
