/* Keys that put Gaussians near one another in space near one another in memory: Morton's order, 21 bits an axis. */
#include "layout.h"

/* Bits of x, each followed by two zeros. */
__device__ __forceinline__ unsigned long long spread_bits(unsigned long long x) {
  x = (x | x << 32) & 0x1f00000000ffffULL;
  x = (x | x << 16) & 0x1f0000ff0000ffULL;
  x = (x | x << 8) & 0x100f00f00f00f00fULL;
  x = (x | x << 4) & 0x10c30c30c30c30c3ULL;
  return (x | x << 2) & 0x1249249249249249ULL;
}

/* low, high (3): corners of a box; what is outside counts as at its border. */
extern "C" __global__ void __launch_bounds__(256)
morton_keys(int count, const float *means, const float *low, const float *high, long long *keys) {
  const int g = blockIdx.x * blockDim.x + threadIdx.x;
  if (g >= count) return;
  unsigned long long key = 0;
  for (int i = 0; i < 3; ++i) {
    const float extent = high[i] - low[i];
    const float at = extent > 0.0f ? (means[3 * (size_t)g + i] - low[i]) / extent : 0.0f;
    key |= spread_bits((unsigned long long)(fminf(fmaxf(at, 0.0f), 1.0f) * 2097151.0f)) << i;
  }
  keys[g] = (long long)key;
}
