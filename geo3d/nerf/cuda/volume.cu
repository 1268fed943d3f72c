/* Volume rendering of packed samples, and the photometric loss with its gradients: a warp a ray, a lane a sample.

     x_i = density_i length_i;  T_i = exp(-sum_{j<i} x_j);  w_i = T_i (1 - exp(-x_i))
     color = sum_i w_i c_i + (1 - alpha) background,  alpha = sum_i w_i

   Gradients, with v_i = dL / dw_i, as in geo3d.nerf.volume_kernels:

     dL / d density_i = length_i (T_{i+1} v_i - sum_{j>i} w_j v_j),    dL / d c_i = w_i dL / d color

   Samples where less than `least_light` is left count as nothing. Sums along a ray are scans of the warp. */
#include "field_math.h"

#define FULL_WARP 0xffffffffu

/* Sum over the lanes up to this one. */
__device__ __forceinline__ float scan(float value) {
  const int lane = threadIdx.x % 32;
  for (int by = 1; by < 32; by *= 2) {
    const float other = __shfl_up_sync(FULL_WARP, value, by);
    if (lane >= by) value += other;
  }
  return value;
}

__device__ __forceinline__ float total_of(float value) {
  for (int by = 16; by > 0; by /= 2) value += __shfl_xor_sync(FULL_WARP, value, by);
  return value;
}

__device__ __forceinline__ float last_lane(float value) { return __shfl_sync(FULL_WARP, value, 31); }

/* 32 samples of a ray and what is in front of them. */
struct Piece {
  float start, length, thickness, before, light, weight, middle, width; /* the last two as t / (1 + t) counts them */
  /* `passed`: thickness of all before this piece, moved on to its end. */
  __device__ __forceinline__ Piece(long long sample, bool here, const float *starts, const float *ends,
                                   const float *density, float least_light, float &passed) {
    start = here ? starts[sample] : 0.0f;
    const float end = here ? ends[sample] : 0.0f, nearer = start / (1.0f + start), farther = end / (1.0f + end);
    length = end - start;
    middle = 0.5f * (nearer + farther);
    width = farther - nearer;
    thickness = here ? density[sample] * length : 0.0f;
    const float up_to = scan(thickness);
    before = passed + up_to - thickness;
    light = nf_exp(-before);
    weight = light < least_light ? 0.0f : light * nf_opacity(thickness); /* NaN stays NaN */
    passed += last_lane(up_to);
  }
};

/* density: per unit of starts and ends. image (rays, 3), alpha (rays,), mean, median (rays,): ranges,
   0 where there is nothing. offsets (rays + 1,). */
extern "C" __global__ void __launch_bounds__(128)
composite(int rays, const long long *offsets, const float *starts, const float *ends, const float *density,
          const float *color, const float *background, float *image, float *alpha, float *mean,
          float *median) {
  const int ray = blockIdx.x * (blockDim.x / 32) + threadIdx.x / 32, lane = threadIdx.x % 32;
  if (ray >= rays) return;
  const float half = 0.69314718f;
  float rgb[3] = {0.0f, 0.0f, 0.0f}, seen = 0.0f, far = 0.0f, middle = 0.0f, passed = 0.0f;
  for (long long base = offsets[ray]; base < offsets[ray + 1]; base += 32) {
    const long long sample = base + lane;
    const bool here = sample < offsets[ray + 1];
    const Piece piece(sample, here, starts, ends, density, 0.0f, passed);
    if (!here) continue;
    for (int i = 0; i < 3; ++i) rgb[i] += piece.weight * color[3 * sample + i];
    seen += piece.weight;
    far += piece.weight * (piece.start + piece.length * nf_mean_place(piece.thickness));
    if (piece.before < half && half <= piece.before + piece.thickness)
      middle = piece.start + piece.length * (half - piece.before) / piece.thickness;
  }
  seen = total_of(seen);
  far = total_of(far);
  middle = total_of(middle);
  for (int i = 0; i < 3; ++i) rgb[i] = total_of(rgb[i]) + (1.0f - seen) * background[3 * (size_t)ray + i];
  if (lane > 0) return;
  for (int i = 0; i < 3; ++i) image[3 * (size_t)ray + i] = rgb[i];
  alpha[ray] = seen;
  mean[ray] = seen > 0.0f ? far / seen : 0.0f;
  median[ray] = middle;
}

/* target (rays, 3): before black; opacity (rays,) of it, or null for 1. huber: from where on the loss is linear, 0 for
   squares. distortion: weight of mip-NeRF 360's loss, of distances t / (1 + t). gradient_scale: of all gradients. Rays
   whose samples do not all fit into the capacity do not count. exposures (photos, 12), or null: [A | b] row by row, the
   photo rows[ray] shows A rgb + b. losses (rays,), image (rays, 3): rgb; gradients of the sum of the losses: d_density
   (capacity,), d_color (capacity, 3), and not scaled, or null, d_changed (rays, 3) by what the photo shows. */
extern "C" __global__ void __launch_bounds__(128)
composite_loss(int rays, const long long *offsets, int capacity, const float *starts, const float *ends,
               const float *density, const float *color, const float *background, const float *target,
               const float *opacity, const float *exposures, const int *rows, float huber, float distortion,
               float least_light, float gradient_scale, float *losses, float *image, float *d_changed,
               float *d_density, float *d_color) {
  const int ray = blockIdx.x * (blockDim.x / 32) + threadIdx.x / 32, lane = threadIdx.x % 32;
  if (ray >= rays) return;
  const long long first = offsets[ray], last = offsets[ray + 1];
  if (last > capacity) {
    for (long long sample = first + lane; sample < capacity; sample += 32) {
      d_density[sample] = 0.0f;
      for (int i = 0; i < 3; ++i) d_color[3 * sample + i] = 0.0f;
    }
    if (lane == 0) losses[ray] = 0.0f;
    if (lane < 3) {
      image[3 * (size_t)ray + lane] = 0.0f;
      if (d_changed) d_changed[3 * (size_t)ray + lane] = 0.0f;
    }
    return;
  }
  float rgb[3] = {0.0f, 0.0f, 0.0f}, passed = 0.0f, seen = 0.0f, moment = 0.0f, spread = 0.0f;
  for (long long base = first; base < last; base += 32) {
    const long long sample = base + lane;
    const bool here = sample < last;
    const Piece piece(sample, here, starts, ends, density, least_light, passed);
    const float weight = piece.weight, middle = piece.middle;
    for (int i = 0; i < 3; ++i) rgb[i] += here ? weight * color[3 * sample + i] : 0.0f;
    const float weights = scan(weight), moments = scan(weight * middle);
    const float nearer = middle * (seen + weights - weight) - (moment + moments - weight * middle);
    spread += weight * (2.0f * nearer + weight * piece.width * (1.0f / 3.0f));
    seen += last_lane(weights);
    moment += last_lane(moments);
  }
  spread = total_of(spread);
  float shown[3], d_shown[3], d_rgb[3], behind = 2.0f * distortion * spread, always = 0.0f;
  float loss = distortion * spread;
  const float bare = opacity ? 1.0f - opacity[ray] : 0.0f;
  for (int i = 0; i < 3; ++i) {
    rgb[i] = total_of(rgb[i]);
    shown[i] = rgb[i] + (1.0f - seen) * background[3 * (size_t)ray + i];
    if (lane == 0) image[3 * (size_t)ray + i] = shown[i];
  }
  const float *matrix = exposures ? exposures + 12 * (size_t)rows[ray] : nullptr;
  for (int i = 0; i < 3; ++i) {
    const size_t at = 3 * (size_t)ray + i;
    float changed = shown[i];
    if (matrix) {
      const float *row = matrix + 4 * i;
      changed = row[0] * shown[0] + row[1] * shown[1] + row[2] * shown[2] + row[3];
    }
    loss += nf_huber(changed - target[at] - bare * background[at], huber, d_shown + i) * (1.0f / 3.0f);
    d_shown[i] *= 1.0f / 3.0f;
    if (d_changed && lane == 0) d_changed[at] = d_shown[i];
  }
  for (int i = 0; i < 3; ++i) {
    const float back = background[3 * (size_t)ray + i];
    d_rgb[i] = matrix ? matrix[i] * d_shown[0] + matrix[4 + i] * d_shown[1] + matrix[8 + i] * d_shown[2] : d_shown[i];
    always -= d_rgb[i] * back;
    behind += d_rgb[i] * (rgb[i] - seen * back);
  }
  if (lane == 0) losses[ray] = loss;
  float near = 0.0f, near_moment = 0.0f;
  passed = 0.0f;
  for (long long base = first; base < last; base += 32) {
    const long long sample = base + lane;
    const bool here = sample < last;
    const Piece piece(sample, here, starts, ends, density, least_light, passed);
    const float weight = piece.weight, middle = piece.middle;
    float value = always;
    for (int i = 0; i < 3; ++i) value += here ? d_rgb[i] * color[3 * sample + i] : 0.0f;
    if (distortion > 0.0f) { /* the same for all */
      const float weights = near + scan(weight), moments = near_moment + scan(weight * middle);
      const float nearer = middle * (weights - weight) - (moments - weight * middle);
      const float farther = moment - moments - middle * (seen - weights);
      value += 2.0f * distortion * (nearer + farther + weight * piece.width * (1.0f / 3.0f));
      near = last_lane(weights);
      near_moment = last_lane(moments);
    }
    const float up_to = scan(weight * value);
    if (here) {
      const bool lit = !(piece.light < least_light);
      const float after = piece.light - weight;
      d_density[sample] = lit ? gradient_scale * piece.length * (after * value - (behind - up_to)) : 0.0f;
      for (int i = 0; i < 3; ++i) d_color[3 * sample + i] = gradient_scale * weight * d_rgb[i];
    }
    behind -= last_lane(up_to);
  }
}
