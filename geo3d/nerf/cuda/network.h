/* The field's network in the registers of a warp: 16 samples at a time through five layers without biases.

     geometry (16) = relu(features (32) D0) D1        density = exp(geometry[0])
     colour (3) = sigmoid(relu(relu([geometry, harmonics (16)] C0) C1) C2)

   Features of levels that a field does not have, and outputs beyond a layer's own, are zeros. */
#ifndef GEO3D_NERF_NETWORK_H
#define GEO3D_NERF_NETWORK_H

#include "field_math.h"
#include "tensor_cores.h"

/* Pieces of 16 x 8 weights (32 uint2) of each layer, forward and transposed, one after another. Inputs by outputs: */
#define D0 0                 /* 32 x 64 */
#define D1 (D0 + 2 * 8)      /* 64 x 16 */
#define C0 (D1 + 4 * 2)      /* 32 x 64 */
#define C1 (C0 + 2 * 8)      /* 64 x 64 */
#define C2 (C1 + 4 * 8)      /* 64 x 8, 3 used */
#define D0_BACK (C2 + 4)     /* 64 x 32 */
#define D1_BACK (D0_BACK + 4 * 4) /* 16 x 64 */
#define C0_BACK (D1_BACK + 8)     /* 64 x 16: the harmonics need no gradient */
#define C1_BACK (C0_BACK + 4 * 2) /* 64 x 64 */
#define C2_BACK (C1_BACK + 4 * 8) /* 16 x 64, 3 used */
#define PIECES (C2_BACK + 8)

#define LAYER(weights, piece) ((weights) + 32 * (piece))

/* What the layers leave: the inputs of the next ones, as in tensor_cores.h. */
struct Activations {
  unsigned features[8], hidden[16], both[8], first[16], second[16];
  float density[2], rgb[4]; /* exp(geometry[0]) of rows g, g + 8; sigmoid of columns 2 t, 2 t + 1 of both */
};

/* Features of samples `first + g` and `+ 8`: pairs of halves, (levels, capacity). */
__device__ __forceinline__ void load_features(const unsigned *features, int levels, int capacity, int first, int count,
                                              unsigned *x) {
  const int lane = threadIdx.x % 32, g = lane / 4, t = lane % 4;
#pragma unroll
  for (int block = 0; block < 4; ++block)
#pragma unroll
    for (int row = 0; row < 2; ++row) {
      const int level = 4 * block + t, sample = first + g + 8 * row;
      x[2 * block + row] = level < levels && sample < count ? features[(size_t)level * capacity + sample] : 0u;
    }
}

/* Spherical harmonics of a sample's direction: two blocks of columns, row `row` of x. rays: direction of each sample,
   or null where sample s has direction s. */
__device__ __forceinline__ void load_harmonics(const float *directions, const int *rays, int first, int count,
                                               unsigned *x) {
  const int lane = threadIdx.x % 32, g = lane / 4, t = lane % 4;
#pragma unroll
  for (int row = 0; row < 2; ++row) {
    const int sample = first + g + 8 * row;
    float basis[16], low[2] = {0.0f, 0.0f}, high[2] = {0.0f, 0.0f};
    if (sample < count) {
      const size_t ray = rays ? rays[sample] : sample;
      nf_harmonics(directions[3 * ray], directions[3 * ray + 1], directions[3 * ray + 2], basis);
#pragma unroll
      for (int k = 0; k < 4; ++k)
        if (k == t) {
          low[0] = basis[2 * k];
          low[1] = basis[2 * k + 1];
          high[0] = basis[8 + 2 * k];
          high[1] = basis[8 + 2 * k + 1];
        }
    }
    x[row] = pack_halves(low[0], low[1]);
    x[2 + row] = pack_halves(high[0], high[1]);
  }
}

__device__ __forceinline__ void density_forward(const uint2 *weights, Activations &a) {
  float c[8][4];
  product<2, 8>(a.features, LAYER(weights, D0), c);
  rectified<8>(c, a.hidden);
  product<4, 2>(a.hidden, LAYER(weights, D1), c);
  packed<2>(c, a.both);
  a.density[0] = nf_density(c[0][0]); /* where t is 0 */
  a.density[1] = nf_density(c[0][2]);
}

__device__ __forceinline__ void color_forward(const uint2 *weights, Activations &a) {
  float c[8][4];
  product<2, 8>(a.both, LAYER(weights, C0), c);
  rectified<8>(c, a.first);
  product<4, 8>(a.first, LAYER(weights, C1), c);
  rectified<8>(c, a.second);
  product<4, 1>(a.second, LAYER(weights, C2), c);
#pragma unroll
  for (int i = 0; i < 4; ++i) a.rgb[i] = nf_sigmoid(c[0][i]);
}

#endif
