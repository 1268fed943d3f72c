/* Gradients of the blend, a warp a bucket: each lane holds PER_LANE Gaussians, and the tile's pixels pass through the
   lanes (Mallick et al., Taming 3DGS, SIGGRAPH Asia 2024). No atomics: each instance writes a row, and each Gaussian
   gathers its own.

   With v_c the gradient by sum c, v_T that by the final T, and s_i = sum_{j>i} w_j (f_j . v) + T_final v_T:
     d alpha_i = T_i (f_i . v) - s_i / (1 - alpha_i). */
#include "layout.h"

/* Per pixel: v (C, H W) and total (H W) = sum_c sum_c v_c + T v_T, from the gradients of the images that are not null.
   depth = sum_3 / A and normal = m / |m| are undone here, A = 1 - T. */
template <int C>
__device__ __forceinline__ void pixel_gradients(int pixels, const float *sums, const float *transmittance,
                                                float background_r, float background_g, float background_b,
                                                const float *d_color, const float *d_alpha, const float *d_depth,
                                                const float *d_normals, float *v, float *total) {
  const int p = blockIdx.x * blockDim.x + threadIdx.x;
  if (p >= pixels) return;
  const float T = transmittance[p], A = 1.0f - T;
  float g[C], sum[C], d_T = d_alpha ? -d_alpha[p] : 0.0f;
  for (int c = 0; c < C; ++c) {
    g[c] = c < 3 && d_color ? d_color[3 * (size_t)p + c] : 0.0f;
    sum[c] = sums[c * (size_t)pixels + p];
  }
  d_T += g[0] * background_r + g[1] * background_g + g[2] * background_b;
  if constexpr (C >= 4) {
    if (d_depth && A > 0.0f) {
      g[3] = d_depth[p] / A;
      d_T += g[3] * sum[3] / A;
    }
  }
  if constexpr (C >= 7) {
    const float length = sqrtf(sum[4] * sum[4] + sum[5] * sum[5] + sum[6] * sum[6]);
    if (d_normals && length > 0.0f) {
      const float *d = d_normals + 3 * (size_t)p;
      const float along = (d[0] * sum[4] + d[1] * sum[5] + d[2] * sum[6]) / (length * length);
      for (int c = 0; c < 3; ++c) g[4 + c] = (d[c] - along * sum[4 + c]) / length;
    }
  }
  float all = T * d_T;
  for (int c = 0; c < C; ++c) {
    v[c * (size_t)pixels + p] = g[c];
    all += g[c] * sum[c];
  }
  total[p] = all;
}

#define WARPS 4  /* of a block; they do not wait for one another */
#define RING 64  /* pixels in flight: a warp's length behind the chunk being read */

/* What one lane knows of one instance, and has summed of its gradient. */
template <int C>
struct Instance {
  int index;  /* within its tile */
  float4 place;
  float conic[3], feature[C], row[GRADIENT_HEAD + C];
};

/* One pixel at one instance; T and suffix move on to the next. */
template <int C>
__device__ __forceinline__ void step_back(Instance<C> &at, float px, float py, const float *v, float &T,
                                          float &suffix) {
  const float dx = at.place.x - px, dy = at.place.y - py;
  float falloff;
  const float alpha = gs_alpha(dx, dy, at.conic, at.place.z, &falloff);
  if (alpha == 0.0f) return;
  const float weight = alpha * T;
  float along = 0.0f;
  for (int c = 0; c < C; ++c) {
    along += at.feature[c] * v[c];
    at.row[GRADIENT_HEAD + c] += weight * v[c];
  }
  suffix -= weight * along;
  if (at.place.z * falloff <= GS_ALPHA_MAX) {
    const float d_alpha = T * along - __fdividef(suffix, 1.0f - alpha);
    const float d_form = -0.5f * alpha * d_alpha; /* by d^T A d */
    const float gx = 2.0f * d_form * (at.conic[0] * dx + at.conic[1] * dy);
    const float gy = 2.0f * d_form * (at.conic[1] * dx + at.conic[2] * dy);
    at.row[D_MEAN] += gx;
    at.row[D_MEAN + 1] += gy;
    at.row[D_MEAN_ABS] += fabsf(gx);
    at.row[D_MEAN_ABS + 1] += fabsf(gy);
    at.row[D_CONIC] += d_form * dx * dx;
    at.row[D_CONIC + 1] += 2.0f * d_form * dx * dy;
    at.row[D_CONIC + 2] += d_form * dy * dy;
    at.row[D_OPACITY] += falloff * d_alpha;
  }
  T *= 1.0f - alpha;
}

template <int C>
__device__ __forceinline__ void blend_backward(int width, int height, int tiles, const int *ranges,
                                               const int *gaussians, const int *instances, const float4 *projected,
                                               const float *features, const int *bucket_ends, const int *bucket_tile,
                                               const int *tile_last, const float *checkpoints,
                                               const int *last_instance, const float *v, const float *total,
                                               float *rows) {
  __shared__ float ring_v[WARPS][C][RING], ring_T[WARPS][RING], ring_suffix[WARPS][RING];
  __shared__ int ring_last[WARPS][RING];
  const int warp = threadIdx.x >> 5, lane = threadIdx.x & 31, bucket = blockIdx.x * WARPS + warp;
  if (bucket >= bucket_ends[tiles - 1]) return;
  const int tile = bucket_tile[bucket], tiles_x = (width + TILE - 1) / TILE;
  const int begin = ranges[2 * tile], held = ranges[2 * tile + 1] - begin;
  const int first = (bucket - bucket_ends[tile]) * BUCKET + (held + BUCKET - 1) / BUCKET * BUCKET;
  const int left = tile % tiles_x * TILE, top = tile / tiles_x * TILE;
  const size_t pixels = (size_t)width * height;

  Instance<C> mine[PER_LANE];
  for (int k = 0; k < PER_LANE; ++k) {
    Instance<C> &at = mine[k];
    at.index = first + lane * PER_LANE + k;
    for (int c = 0; c < GRADIENT_HEAD + C; ++c) at.row[c] = 0.0f;
    if (at.index >= held) {
      at.index = 0x7fffffff; /* no pixel goes that deep */
      continue;
    }
    const int g = gaussians[begin + at.index];
    const float4 q = CONIC(projected, g);
    at.place = PLACE(projected, g);
    at.conic[0] = q.x;
    at.conic[1] = q.y;
    at.conic[2] = q.z;
    for (int c = 0; c < C; ++c) at.feature[c] = features[(size_t)g * C + c];
  }

  const int steps = first < tile_last[tile] ? TILE_PIXELS + 31 : 0;
  float T = 0.0f, suffix = 0.0f;
  for (int step = 0; step < steps; ++step) {
    if (step % 32 == 0 && step < TILE_PIXELS) {
      const int p = step + lane, px = left + p % TILE, py = top + p / TILE, slot = p % RING;
      int last = 0;
      if (px < width && py < height) {
        const size_t pixel = (size_t)py * width + px;
        last = last_instance[pixel];
        if (last > first) { /* else no checkpoint may have been written */
          const float *kept = checkpoints + (size_t)bucket * (C + 1) * TILE_PIXELS + p;
          float behind = total[pixel];
          for (int c = 0; c < C; ++c) {
            const float value = v[c * pixels + pixel];
            ring_v[warp][c][slot] = value;
            behind -= kept[(c + 1) * TILE_PIXELS] * value;
          }
          ring_T[warp][slot] = kept[0];
          ring_suffix[warp][slot] = behind;
        }
      }
      ring_last[warp][slot] = last;
      __syncwarp();
    }
    T = __shfl_up_sync(FULL_WARP, T, 1);
    suffix = __shfl_up_sync(FULL_WARP, suffix, 1);
    const int p = step - lane, slot = p & (RING - 1);
    if (p < 0 || p >= TILE_PIXELS) continue;
    const int last = ring_last[warp][slot];
    if (lane == 0 && last > first) {
      T = ring_T[warp][slot];
      suffix = ring_suffix[warp][slot];
    }
    if (mine[0].index >= last) continue;
    float value[C];
    for (int c = 0; c < C; ++c) value[c] = ring_v[warp][c][slot];
    for (int k = 0; k < PER_LANE; ++k)
      if (mine[k].index < last)
        step_back<C>(mine[k], left + p % TILE + 0.5f, top + p / TILE + 0.5f, value, T, suffix);
  }

  for (int k = 0; k < PER_LANE; ++k) {
    if (mine[k].index >= held) continue;
    float *row = rows + (size_t)instances[begin + mine[k].index] * (GRADIENT_HEAD + C);
    for (int c = 0; c < GRADIENT_HEAD + C; ++c) row[c] = mine[k].row[c];
  }
}

#define GATHER_LANES 8

/* Sum of the rows of each Gaussian, zero where it is not seen; GATHER_LANES lanes a Gaussian. */
template <int C>
__device__ __forceinline__ void gather_gradients(int count, const int *tile_counts, const int *first_instance,
                                                 const float *rows, float *gradients) {
  const int thread = blockIdx.x * blockDim.x + threadIdx.x;
  const int g = thread / GATHER_LANES, lane = thread % GATHER_LANES;
  const int tiles = g < count ? tile_counts[g] : 0;
  float sum[GRADIENT_HEAD + C];
  for (int c = 0; c < GRADIENT_HEAD + C; ++c) sum[c] = 0.0f;
  for (int i = lane; i < tiles; i += GATHER_LANES) {
    const float *row = rows + (size_t)(first_instance[g] + i) * (GRADIENT_HEAD + C);
    for (int c = 0; c < GRADIENT_HEAD + C; ++c) sum[c] += row[c];
  }
  for (int c = 0; c < GRADIENT_HEAD + C; ++c)
    for (int half = GATHER_LANES / 2; half > 0; half /= 2) sum[c] += __shfl_xor_sync(FULL_WARP, sum[c], half);
  if (g < count && lane == 0)
    for (int c = 0; c < GRADIENT_HEAD + C; ++c) gradients[(size_t)g * (GRADIENT_HEAD + C) + c] = sum[c];
}

#define BACKWARD(C)                                                                                                    \
  extern "C" __global__ void __launch_bounds__(256)                                                                    \
  pixel_gradients_##C(int pixels, const float *sums, const float *transmittance, float background_r,                   \
                      float background_g, float background_b, const float *d_color, const float *d_alpha,              \
                      const float *d_depth, const float *d_normals, float *v, float *total) {                          \
    pixel_gradients<C>(pixels, sums, transmittance, background_r, background_g, background_b, d_color, d_alpha,        \
                       d_depth, d_normals, v, total);                                                                  \
  }                                                                                                                    \
  extern "C" __global__ void __launch_bounds__(32 * WARPS)                                                             \
  blend_backward_##C(int width, int height, int tiles, const int *ranges, const int *gaussians, const int *instances, \
                     const float4 *projected, const float *features, const int *bucket_ends, const int *bucket_tile,   \
                     const int *tile_last, const float *checkpoints, const int *last_instance, const float *v,         \
                     const float *total, float *rows) {                                                                \
    blend_backward<C>(width, height, tiles, ranges, gaussians, instances, projected, features, bucket_ends,            \
                      bucket_tile, tile_last, checkpoints, last_instance, v, total, rows);                             \
  }                                                                                                                    \
  extern "C" __global__ void __launch_bounds__(256)                                                                    \
  gather_gradients_##C(int count, const int *tile_counts, const int *first_instance, const float *rows,               \
                       float *gradients) {                                                                             \
    gather_gradients<C>(count, tile_counts, first_instance, rows, gradients);                                          \
  }
BACKWARD(3)
BACKWARD(4)
BACKWARD(7)
