/* From the gradients in the image to those of the Gaussians' parameters and of the camera's pose, a thread a Gaussian. */
#include "layout.h"

#define THREADS 128
#define POSE 12 /* entries of [R | t], row by row */

/* Gradients of one Gaussian that is seen; d_color: by its colour before it was held above 0, Y: the basis;
   coefficients: its harmonics. */
__device__ __forceinline__ void gaussian_gradient(const gs_view *view, int g, const float *means,
                                                  const float *quaternions, const float *log_scales,
                                                  const float *logits, const float *coefficients,
                                                  const float *filter, int degree, int antialiased, int channels,
                                                  const float *gradients, gs_gaussian_gradient *d, float *d_color,
                                                  float *Y) {
  const float *row = gradients + (size_t)g * (GRADIENT_HEAD + channels), *d_feature = row + GRADIENT_HEAD;
  gs_projected_gradient in_image;
  in_image.mean[0] = row[D_MEAN];
  in_image.mean[1] = row[D_MEAN + 1];
  for (int c = 0; c < 3; ++c) {
    in_image.conic[c] = row[D_CONIC + c];
    in_image.normal[c] = channels > 4 ? d_feature[4 + c] : 0.0f;
  }
  in_image.opacity = row[D_OPACITY];
  in_image.z = channels > 3 ? d_feature[3] : 0.0f;
  const float *mean = means + 3 * (size_t)g;
  const float variance = filter ? filter[g] : 0.0f;
  float wide[3], logit;
  gs_smooth(log_scales + 3 * (size_t)g, logits[g], variance, wide, &logit);
  gs_project_backward(view, mean, quaternions + 4 * (size_t)g, wide, logit, antialiased, &in_image, d);
  gs_smooth_backward(log_scales + 3 * (size_t)g, logits[g], variance, wide, d);

  float ray[3], direction[3], by_basis[16], d_direction[3], color[3] = {0.5f, 0.5f, 0.5f};
  gs_view_ray(view, mean, ray);
  const float length = gs_unit(ray, direction);
  gs_sh_basis(degree, direction, Y);
#pragma unroll
  for (int k = 0; k < 16; ++k)
    if (k < gs_sh_count(degree))
      for (int c = 0; c < 3; ++c) color[c] += Y[k] * coefficients[3 * k + c];
  for (int c = 0; c < 3; ++c) d_color[c] = color[c] > 0.0f ? d_feature[c] : 0.0f;
#pragma unroll
  for (int k = 0; k < 16; ++k) {
    by_basis[k] = 0.0f;
    if (k < gs_sh_count(degree))
      for (int c = 0; c < 3; ++c) by_basis[k] += d_color[c] * coefficients[3 * k + c];
  }
  gs_sh_basis_backward(degree, direction, by_basis, d_direction);
  gs_view_ray_backward(view, direction, length, d_direction, d);
}

/* Sum over the block of each thread's gradient by the pose, into a row of `partial` (blocks, 12). */
__device__ __forceinline__ void sum_pose(const gs_gaussian_gradient &d, float *partial) {
  __shared__ float sums[THREADS / 32][POSE];
  const int warp = threadIdx.x >> 5, lane = threadIdx.x & 31;
#pragma unroll
  for (int i = 0; i < 3; ++i)
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      float value = j < 3 ? d.R[3 * i + (j < 3 ? j : 0)] : d.t[i];
      for (int half = 16; half > 0; half /= 2) value += __shfl_xor_sync(FULL_WARP, value, half);
      if (lane == 0) sums[warp][4 * i + j] = value;
    }
  __syncthreads();
  if (threadIdx.x < POSE) {
    float value = 0.0f;
    for (int w = 0; w < THREADS / 32; ++w) value += sums[w][threadIdx.x];
    partial[(size_t)blockIdx.x * POSE + threadIdx.x] = value;
  }
}

__device__ __forceinline__ void clear(gs_gaussian_gradient *d) {
  for (int i = 0; i < 3; ++i) d->mean[i] = d->log_scale[i] = d->t[i] = 0.0f;
  for (int i = 0; i < 4; ++i) d->quaternion[i] = 0.0f;
  for (int i = 0; i < 9; ++i) d->R[i] = 0.0f;
  d->logit = 0.0f;
}

/* All gradients, zero where a Gaussian is not seen; pose (blocks, 12) may be null. */
extern "C" __global__ void __launch_bounds__(THREADS)
gaussian_backward(const gs_view *view, int count, const float *means, const float *quaternions,
                  const float *log_scales, const float *logits, const float *sh, const float *filter, int sh_count,
                  int degree, int antialiased, int channels, const int *tile_counts, const float *gradients, float *d_means,
                  float *d_quaternions, float *d_log_scales, float *d_logits, float *d_sh, float *pose) {
  const int g = blockIdx.x * THREADS + threadIdx.x;
  gs_gaussian_gradient d;
  float d_color[3] = {0.0f, 0.0f, 0.0f}, Y[16];
  const bool seen = g < count && tile_counts[g] > 0;
  if (seen)
    gaussian_gradient(view, g, means, quaternions, log_scales, logits, sh + 3 * (size_t)sh_count * g, filter, degree,
                      antialiased, channels, gradients, &d, d_color, Y);
  else
    clear(&d);
  if (g < count) {
    for (int i = 0; i < 3; ++i) {
      d_means[3 * (size_t)g + i] = d.mean[i];
      d_log_scales[3 * (size_t)g + i] = d.log_scale[i];
    }
    for (int i = 0; i < 4; ++i) d_quaternions[4 * (size_t)g + i] = d.quaternion[i];
    d_logits[g] = d.logit;
    float *to = d_sh + 3 * (size_t)sh_count * g;
#pragma unroll
    for (int k = 0; k < 16; ++k)
      if (k < sh_count)
        for (int c = 0; c < 3; ++c) to[3 * k + c] = seen && k < gs_sh_count(degree) ? Y[k] * d_color[c] : 0.0f;
  }
  if (pose) sum_pose(d, pose);
}

/* Adam (Kingma and Ba, 2015) of one Gaussian; m and v stand at its row. */
struct Adam {
  float *m, *v;
  float beta_1, beta_2, size, epsilon; /* size, epsilon: with both corrections of the bias */

  __device__ __forceinline__ void move(float *value, int at, float gradient, float rate) const {
    const float first = beta_1 * m[at] + (1.0f - beta_1) * gradient;
    const float second = beta_2 * v[at] + (1.0f - beta_2) * gradient * gradient;
    m[at] = first;
    v[at] = second;
    *value -= rate * size * first / (sqrtf(second) + epsilon);
  }
};

#define MOMENTS 11 /* of mean, quaternion, log scales and logit, before the harmonics' */
#define SH_ROW 49  /* harmonics of a Gaussian in shared memory; odd, so that a warp's rows lie in different banks */

/* The harmonics are most of what is moved: a block walks over those of its Gaussians together, so that neighbouring
   threads touch neighbouring numbers. What each of its Gaussians tells for that: */
struct HarmonicsStep {
  float Y[16], d_color[3], size, epsilon;
};

/* The gradients go straight into Adam, for the Gaussians that are seen. steps (N): how often each was moved; m, v
   (N, 11 + 3 sh_count): moments of mean, quaternion, log scales, logit and harmonics. opacity_weight, scale_weight:
   gradients of the regularisers by each opacity and each scale. pose as above. Nothing is moved where `loss` is no
   finite number; it may be null. Harmonics of a degree that is not in
   use yet have no gradient and no moments: they stay. */
extern "C" __global__ void __launch_bounds__(THREADS)
gaussian_step(const gs_view *view, int count, float *means, float *quaternions, float *log_scales, float *logits,
              float *sh, const float *filter, int sh_count, int degree, int antialiased, int channels, const int *tile_counts,
              const float *gradients, int *steps, float *m, float *v, float beta_1, float beta_2, float epsilon,
              float rate_means, float rate_quaternions, float rate_log_scales, float rate_logits, float rate_sh_0,
              float rate_sh_rest, float opacity_weight, float scale_weight, const float *loss, float *pose) {
  __shared__ float harmonics[THREADS * SH_ROW];
  __shared__ HarmonicsStep told[THREADS];
  __shared__ int seen[THREADS];
  const int first = blockIdx.x * THREADS, g = first + threadIdx.x;
  const int used = 3 * gs_sh_count(degree), all = 3 * sh_count, width = MOMENTS + all;
  const bool mine = g < count && tile_counts[g] > 0 && (!loss || fabsf(*loss) <= 3e38f);
  seen[threadIdx.x] = mine;
  __syncthreads();
  for (int i = threadIdx.x; i < THREADS * used; i += THREADS) {
    const int row = i / used, at = i - row * used;
    if (seen[row]) harmonics[row * SH_ROW + at] = sh[(size_t)(first + row) * all + at];
  }
  __syncthreads();
  gs_gaussian_gradient d;
  if (mine) {
    HarmonicsStep own;
    gaussian_gradient(view, g, means, quaternions, log_scales, logits, harmonics + threadIdx.x * SH_ROW, filter, degree,
                      antialiased, channels, gradients, &d, own.d_color, own.Y);
    const int step = ++steps[g];
    const float root = sqrtf(-expm1f(step * logf(beta_2)));
    const size_t row = (size_t)g * width;
    own.size = root / -expm1f(step * logf(beta_1));
    own.epsilon = epsilon * root;
    told[threadIdx.x] = own;
    const Adam adam = {m + row, v + row, beta_1, beta_2, own.size, own.epsilon};
    for (int i = 0; i < 3; ++i) adam.move(means + 3 * (size_t)g + i, i, d.mean[i], rate_means);
    for (int i = 0; i < 4; ++i)
      adam.move(quaternions + 4 * (size_t)g + i, 3 + i, d.quaternion[i], rate_quaternions);
    for (int i = 0; i < 3; ++i) {
      float *log_scale = log_scales + 3 * (size_t)g + i;
      adam.move(log_scale, 7 + i, d.log_scale[i] + scale_weight * gs_exp(*log_scale), rate_log_scales);
    }
    const float o = gs_sigmoid(logits[g]);
    adam.move(logits + g, 10, d.logit + opacity_weight * o * (1.0f - o), rate_logits);
  } else {
    clear(&d);
  }
  __syncthreads();
  for (int i = threadIdx.x; i < THREADS * used; i += THREADS) {
    const int row = i / used, at = i - row * used;
    if (!seen[row]) continue;
    const HarmonicsStep &step = told[row];
    const size_t moments = (size_t)(first + row) * width;
    const Adam adam = {m + moments, v + moments, beta_1, beta_2, step.size, step.epsilon};
    float value = harmonics[row * SH_ROW + at];
    adam.move(&value, MOMENTS + at, step.Y[at / 3] * step.d_color[at % 3], at < 3 ? rate_sh_0 : rate_sh_rest);
    sh[(size_t)(first + row) * all + at] = value;
  }
  if (pose) sum_pose(d, pose);
}
