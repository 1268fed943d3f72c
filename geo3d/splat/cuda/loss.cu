/* L1 and SSIM of an image beside a target, and the gradient by the image (Kerbl et al. 2023, eq. 7; Wang et al. 2004).

     x' = y + m (x - y)                                 m: weight of a pixel; x: image, y: target
     S  = (2 mx my + C1)(2 sxy + C2) / ((mx^2 + my^2 + C1)(sxx + syy + C2))
     sums: |x' - y| and m S

   Window of 11 x 11 pixels, sigma 1.5, zero outside of the image, per channel. `similarity` also leaves the derivatives
   of m S by mx, E[xx] and E[xy]; windowed once more by `loss_gradient` they are the gradient by x':
   F(S_mx) + 2 x' F(S_xx) + y F(S_xy). A block is a tile of one channel. */
#include "layout.h"

#define REACH 5
#define TAPS 11
#define SIDE (TILE + 2 * REACH)
#define C1 1e-4f
#define C2 9e-4f

__device__ __forceinline__ float window_weight(int i) {
  const float half[6] = {0.266011725f, 0.213005538f, 0.10936069f, 0.0360007721f, 0.00759875814f, 0.00102838008f};
  return half[i < REACH ? REACH - i : i - REACH];
}

/* Where a block's halo starts, and its channel. */
struct Place {
  int x, y, channel;
  __device__ __forceinline__ Place(int width) {
    const int tile = blockIdx.x / 3, tiles_x = (width + TILE - 1) / TILE;
    channel = blockIdx.x % 3;
    x = tile % tiles_x * TILE - REACH;
    y = tile / tiles_x * TILE - REACH;
  }
};

/* derivatives (3, 3, H, W): by mx, E[xx], E[xy], of each channel; sums (blocks, 2). mask may be null. */
extern "C" __global__ void __launch_bounds__(TILE_PIXELS)
similarity(int width, int height, const float *image, const float *target, const float *mask, float *derivatives,
           float *sums) {
  __shared__ float x[SIDE][SIDE], y[SIDE][SIDE], across[5][SIDE][TILE], totals[2][TILE_PIXELS / 32];
  const Place place(width);
  const int thread = threadIdx.x;
  for (int i = thread; i < SIDE * SIDE; i += TILE_PIXELS) {
    const int px = place.x + i % SIDE, py = place.y + i / SIDE;
    float a = 0.0f, b = 0.0f;
    if (px >= 0 && py >= 0 && px < width && py < height) {
      const size_t pixel = (size_t)py * width + px;
      b = target[3 * pixel + place.channel];
      a = image[3 * pixel + place.channel];
      if (mask) a = b + mask[pixel] * (a - b);
    }
    x[i / SIDE][i % SIDE] = a;
    y[i / SIDE][i % SIDE] = b;
  }
  __syncthreads();
  for (int i = thread; i < SIDE * TILE; i += TILE_PIXELS) {
    const int row = i / TILE, column = i % TILE;
    float sum[5] = {0.0f, 0.0f, 0.0f, 0.0f, 0.0f};
#pragma unroll
    for (int tap = 0; tap < TAPS; ++tap) {
      const float w = window_weight(tap), a = x[row][column + tap], b = y[row][column + tap];
      sum[0] += w * a;
      sum[1] += w * b;
      sum[2] += w * a * a;
      sum[3] += w * b * b;
      sum[4] += w * a * b;
    }
    for (int q = 0; q < 5; ++q) across[q][row][column] = sum[q];
  }
  __syncthreads();

  const int row = thread / TILE, column = thread % TILE;
  const int px = place.x + REACH + column, py = place.y + REACH + row;
  float difference = 0.0f, similar = 0.0f;
  if (px < width && py < height) {
    float sum[5] = {0.0f, 0.0f, 0.0f, 0.0f, 0.0f};
#pragma unroll
    for (int tap = 0; tap < TAPS; ++tap)
      for (int q = 0; q < 5; ++q) sum[q] += window_weight(tap) * across[q][row + tap][column];
    const float mx = sum[0], my = sum[1], mxx = mx * mx, myy = my * my, mxy = mx * my;
    const float a1 = 2.0f * mxy + C1, a2 = 2.0f * (sum[4] - mxy) + C2;
    const float b1 = mxx + myy + C1, b2 = (sum[2] - mxx) + (sum[3] - myy) + C2;
    const size_t pixel = (size_t)py * width + px, plane = (size_t)width * height;
    const float weight = mask ? mask[pixel] : 1.0f, inverse = weight / (b1 * b2), s = a1 * a2 / (b1 * b2);
    float *to = derivatives + place.channel * plane + pixel;
    to[0] = 2.0f * (my * (a2 - a1) - s * mx * (b2 - b1)) * inverse;
    to[3 * plane] = -s * b1 * inverse;
    to[6 * plane] = 2.0f * a1 * inverse;
    difference = fabsf(x[row + REACH][column + REACH] - y[row + REACH][column + REACH]);
    similar = s * weight;
  }
  for (int half = 16; half > 0; half /= 2) {
    difference += __shfl_xor_sync(FULL_WARP, difference, half);
    similar += __shfl_xor_sync(FULL_WARP, similar, half);
  }
  if (thread % 32 == 0) {
    totals[0][thread / 32] = difference;
    totals[1][thread / 32] = similar;
  }
  __syncthreads();
  if (thread < 2) {
    float all = 0.0f;
    for (int w = 0; w < TILE_PIXELS / 32; ++w) all += totals[thread][w];
    sums[2 * blockIdx.x + thread] = all;
  }
}

/* Gradient (H, W, 3) of ((1 - ssim_weight) sum |x' - y| - ssim_weight sum m S) / *count by the image. */
extern "C" __global__ void __launch_bounds__(TILE_PIXELS)
loss_gradient(int width, int height, const float *image, const float *target, const float *mask,
              const float *derivatives, const float *count, float ssim_weight, float *gradient) {
  __shared__ float halo[3][SIDE][SIDE], across[3][SIDE][TILE];
  const Place place(width);
  const int thread = threadIdx.x;
  const size_t plane = (size_t)width * height;
  for (int i = thread; i < SIDE * SIDE; i += TILE_PIXELS) {
    const int px = place.x + i % SIDE, py = place.y + i / SIDE;
    const bool inside = px >= 0 && py >= 0 && px < width && py < height;
    const size_t pixel = inside ? (size_t)py * width + px : 0;
    for (int q = 0; q < 3; ++q)
      halo[q][i / SIDE][i % SIDE] = inside ? derivatives[(3 * q + place.channel) * plane + pixel] : 0.0f;
  }
  __syncthreads();
  for (int i = thread; i < SIDE * TILE; i += TILE_PIXELS) {
    const int row = i / TILE, column = i % TILE;
    for (int q = 0; q < 3; ++q) {
      float sum = 0.0f;
#pragma unroll
      for (int tap = 0; tap < TAPS; ++tap) sum += window_weight(tap) * halo[q][row][column + tap];
      across[q][row][column] = sum;
    }
  }
  __syncthreads();
  const int row = thread / TILE, column = thread % TILE;
  const int px = place.x + REACH + column, py = place.y + REACH + row;
  if (px >= width || py >= height) return;
  float sum[3] = {0.0f, 0.0f, 0.0f};
#pragma unroll
  for (int tap = 0; tap < TAPS; ++tap)
    for (int q = 0; q < 3; ++q) sum[q] += window_weight(tap) * across[q][row + tap][column];
  const size_t pixel = (size_t)py * width + px, at = 3 * pixel + place.channel;
  const float weight = mask ? mask[pixel] : 1.0f, y = target[at], x = y + weight * (image[at] - y);
  const float sign = x > y ? 1.0f : x < y ? -1.0f : 0.0f;
  const float slope = sum[0] + 2.0f * x * sum[1] + y * sum[2];
  gradient[at] = weight * ((1.0f - ssim_weight) * sign - ssim_weight * slope) / *count;
}
