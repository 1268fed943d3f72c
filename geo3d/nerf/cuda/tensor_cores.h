/* Products of small matrices by the tensor cores of a warp: halves in, float32 out (PTX ISA, mma.m16n8k8 and m16n8k16).

   A lane holds of 16 rows (here: samples) by 8 columns (here: features) two pairs of halves,

     rows g and g + 8, columns 2 t and 2 t + 1,      g = lane / 4, t = lane % 4

   and of a sum of 16 by 8 the same four places as float32. So the output of a layer, packed to halves, is the input
   of the next one as it stands: activations never leave their registers. `x` below are such pairs of several blocks of
   8 columns, two numbers a block. */
#ifndef GEO3D_NERF_TENSOR_CORES_H
#define GEO3D_NERF_TENSOR_CORES_H

#define FULL_WARP 0xffffffffu

#ifdef __CUDACC__ /* the tests' emulator has its own */

/* A number held to a limit. NaN stays NaN: fminf and fmaxf would hide a field that has broken. */
__device__ __forceinline__ float at_most(float x, float limit) {
#if __CUDA_ARCH__ >= 800
  float held;
  asm("min.NaN.f32 %0, %1, %2;" : "=f"(held) : "f"(x), "f"(limit));
  return held;
#else
  return x > limit ? limit : x;
#endif
}

__device__ __forceinline__ float at_least(float x, float limit) {
#if __CUDA_ARCH__ >= 800
  float held;
  asm("max.NaN.f32 %0, %1, %2;" : "=f"(held) : "f"(x), "f"(limit));
  return held;
#else
  return x < limit ? limit : x;
#endif
}

/* Two float32 to two halves, `low` in the lower bits; what is too large becomes the largest half. */
__device__ __forceinline__ unsigned pack_halves(float low, float high) {
  unsigned pair;
  low = at_most(at_least(low, -65504.0f), 65504.0f);
  high = at_most(at_least(high, -65504.0f), 65504.0f);
#if __CUDA_ARCH__ >= 800
  asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
#else
  asm("{.reg .f16 a, b; cvt.rn.f16.f32 a, %1; cvt.rn.f16.f32 b, %2; mov.b32 %0, {a, b};}"
      : "=r"(pair)
      : "f"(low), "f"(high));
#endif
  return pair;
}

__device__ __forceinline__ float2 unpack_halves(unsigned pair) {
  float2 value;
  asm("{.reg .f16 a, b; mov.b32 {a, b}, %2; cvt.f32.f16 %0, a; cvt.f32.f16 %1, b;}"
      : "=f"(value.x), "=f"(value.y)
      : "r"(pair));
  return value;
}

/* c (16 x 8) += a (16 x 16) b (16 x 8). a: two blocks of columns; b.x, b.y: rows 2 t, 2 t + 1 and 8 below, column g. */
__device__ __forceinline__ void multiply_add(float *c, const unsigned *a, uint2 b) {
#if __CUDA_ARCH__ >= 800
  asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b.x), "r"(b.y));
#else
  asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5}, {%6}, {%0, %1, %2, %3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(b.x));
  asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5}, {%6}, {%0, %1, %2, %3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[2]), "r"(a[3]), "r"(b.y));
#endif
}

#endif

/* c = x W, over 16 K inputs and 8 N outputs; W as `pack_weights` of network.cu lays it out. */
template <int K, int N>
__device__ __forceinline__ void product(const unsigned *x, const uint2 *weights, float (*c)[4]) {
  const int lane = threadIdx.x % 32;
#pragma unroll
  for (int n = 0; n < N; ++n)
    c[n][0] = c[n][1] = c[n][2] = c[n][3] = 0.0f;
#pragma unroll
  for (int k = 0; k < K; ++k)
#pragma unroll
    for (int n = 0; n < N; ++n) multiply_add(c[n], x + 4 * k, weights[(k * N + n) * 32 + lane]);
}

/* The sums as the next layer's input. */
template <int N>
__device__ __forceinline__ void packed(float (*c)[4], unsigned *x) {
#pragma unroll
  for (int n = 0; n < N; ++n) {
    x[2 * n] = pack_halves(c[n][0], c[n][1]);
    x[2 * n + 1] = pack_halves(c[n][2], c[n][3]);
  }
}

/* The same through max(0, .). */
template <int N>
__device__ __forceinline__ void rectified(float (*c)[4], unsigned *x) {
#pragma unroll
  for (int n = 0; n < N; ++n)
#pragma unroll
    for (int i = 0; i < 4; ++i) c[n][i] = at_least(c[n][i], 0.0f);
  packed<N>(c, x);
}

/* Gradients by what `rectified` gave, back through it. Halves that are 0 or less have 0 or the sign in all bits. */
template <int N>
__device__ __forceinline__ void rectified_back(float (*c)[4], const unsigned *x, unsigned *d) {
#pragma unroll
  for (int n = 0; n < N; ++n)
#pragma unroll
    for (int row = 0; row < 2; ++row) {
      const unsigned pair = x[2 * n + row];
      d[2 * n + row] = pack_halves(pair & 0x7fffu ? c[n][2 * row] : 0.0f,
                                   pair & 0x7fff0000u ? c[n][2 * row + 1] : 0.0f);
    }
}

#endif
