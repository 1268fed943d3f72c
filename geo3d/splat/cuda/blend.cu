/* Front to back through each tile's list: a block a tile, a thread a pixel.

   final_c = sum_i w_i f_ic, w_i = alpha_i T_i, T_i = prod_{j<i} (1 - alpha_j); a pixel ends before the Gaussian that
   would bring T to 1e-4. Each pixel's (T, sums) at the start of every bucket is kept for the backward pass. */
#include "layout.h"

template <int C>
__device__ __forceinline__ void blend(int width, int height, const int *ranges, const int *gaussians,
                                      const float4 *projected, const float *features, const int *bucket_ends,
                                      int *bucket_tile, int *tile_last, float *checkpoints, float *sums,
                                      float *transmittance, int *last_instance, float background_r, float background_g,
                                      float background_b, float *color, float *alpha_image, float *depth,
                                      float *median_depth, float *normals) {
  __shared__ float4 place[TILE_PIXELS], conics[TILE_PIXELS];
  __shared__ float feature[TILE_PIXELS * C];
  __shared__ int deepest;
  const int tile = blockIdx.x, tiles_x = (width + TILE - 1) / TILE, thread = threadIdx.x;
  const int px = tile % tiles_x * TILE + thread % TILE, py = tile / tiles_x * TILE + thread / TILE;
  const bool inside = px < width && py < height;
  const int begin = ranges[2 * tile], end = ranges[2 * tile + 1];
  const int buckets = (end - begin + BUCKET - 1) / BUCKET;
  const int first_bucket = checkpoints ? bucket_ends[tile] - buckets : 0;
  float T = 1.0f, sum[C], median = 0.0f;
  for (int c = 0; c < C; ++c) sum[c] = 0.0f;
  int last = 0;
  bool done = !inside;
  if (thread == 0) deepest = 0;

  for (int base = begin; base < end; base += TILE_PIXELS) {
    if (__syncthreads_count(done) == TILE_PIXELS) break;
    if (base + thread < end) {
      const int g = gaussians[base + thread];
      place[thread] = PLACE(projected, g);
      conics[thread] = CONIC(projected, g);
      for (int c = 0; c < C; ++c) feature[thread * C + c] = features[(size_t)g * C + c];
    }
    __syncthreads();
    const int held = min(TILE_PIXELS, end - base);
    for (int j = 0; j < held && !done; ++j) {
      if (checkpoints && j % BUCKET == 0) {
        const int bucket = first_bucket + (base - begin + j) / BUCKET;
        float *kept = checkpoints + (size_t)bucket * (C + 1) * TILE_PIXELS + thread;
        kept[0] = T;
        for (int c = 0; c < C; ++c) kept[(c + 1) * TILE_PIXELS] = sum[c];
      }
      const float4 p = place[j], q = conics[j];
      const float conic[3] = {q.x, q.y, q.z};
      float falloff;
      const float alpha = gs_alpha(p.x - px - 0.5f, p.y - py - 0.5f, conic, p.z, &falloff);
      if (alpha == 0.0f) continue;
      const float next = T * (1.0f - alpha);
      if (next <= GS_TRANSMITTANCE_MIN) {
        done = true;
        break;
      }
      const float weight = alpha * T;
      for (int c = 0; c < C; ++c) sum[c] += weight * feature[j * C + c];
      if (T > 0.5f && next <= 0.5f) median = p.w;
      T = next;
      last = base - begin + j + 1;
    }
  }

  if (checkpoints) {
    __syncthreads();
    atomicMax(&deepest, last);
    __syncthreads();
    if (thread == 0) tile_last[tile] = deepest;
    for (int b = thread; b < buckets; b += TILE_PIXELS) bucket_tile[first_bucket + b] = tile;
  }
  if (!inside) return;
  const size_t pixel = (size_t)py * width + px, pixels = (size_t)width * height;
  if (checkpoints) {
    for (int c = 0; c < C; ++c) sums[c * pixels + pixel] = sum[c];
    transmittance[pixel] = T;
    last_instance[pixel] = last;
  }
  color[3 * pixel] = sum[0] + T * background_r;
  color[3 * pixel + 1] = sum[1] + T * background_g;
  color[3 * pixel + 2] = sum[2] + T * background_b;
  alpha_image[pixel] = 1.0f - T;
  if constexpr (C >= 4) {
    depth[pixel] = last ? sum[3] / (1.0f - T) : 0.0f;
    median_depth[pixel] = median;
  }
  if constexpr (C >= 7) {
    const float length = sqrtf(sum[4] * sum[4] + sum[5] * sum[5] + sum[6] * sum[6]);
    for (int c = 0; c < 3; ++c) normals[3 * pixel + c] = length > 0.0f ? sum[4 + c] / length : 0.0f;
  }
}

/* checkpoints is null where nobody will go back; sums (C, H W), transmittance and last_instance (H W) then are too. */
#define BLEND(C)                                                                                                      \
  extern "C" __global__ void __launch_bounds__(TILE_PIXELS)                                                           \
  blend_##C(int width, int height, const int *ranges, const int *gaussians, const float4 *projected,                  \
            const float *features, const int *bucket_ends, int *bucket_tile, int *tile_last, float *checkpoints,      \
            float *sums, float *transmittance, int *last_instance, float background_r, float background_g,            \
            float background_b, float *color, float *alpha_image, float *depth, float *median_depth, float *normals) { \
    blend<C>(width, height, ranges, gaussians, projected, features, bucket_ends, bucket_tile, tile_last, checkpoints, \
             sums, transmittance, last_instance, background_r, background_g, background_b, color, alpha_image, depth, \
             median_depth, normals);                                                                                  \
  }
BLEND(3)
BLEND(4)
BLEND(7)
