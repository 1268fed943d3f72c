/* From the parameters of the Gaussians to what the image sees of them, a thread a Gaussian. */
#include "layout.h"

/* filter (N): variances of the 3D filter, or null. depth_keys (N): depth, or GS_FAR where the Gaussian reaches no pixel; tile_counts (N): tiles that it reaches; radii (N):
   three standard deviations in the image, px, or 0. */
extern "C" __global__ void __launch_bounds__(128)
project(const gs_view *view, int count, const float *means, const float *quaternions, const float *log_scales,
        const float *logits, const float *sh, const float *filter, int sh_count, int degree, int antialiased, int channels,
        float *depth_keys, float4 *projected, float *features, int *tile_counts, float *radii) {
  const int g = blockIdx.x * blockDim.x + threadIdx.x;
  if (g >= count) return;
  depth_keys[g] = GS_FAR;
  tile_counts[g] = 0;
  radii[g] = 0.0f;
  gs_projected p;
  float wide[3], logit;
  gs_smooth(log_scales + 3 * (size_t)g, logits[g], filter ? filter[g] : 0.0f, wide, &logit);
  if (!gs_project(view, means + 3 * (size_t)g, quaternions + 4 * (size_t)g, wide, logit, antialiased, &p))
    return;
  const float4 place = make_float4(p.mean[0], p.mean[1], p.opacity, p.t[2]);
  const float4 conic = make_float4(p.conic[0], p.conic[1], p.conic[2], gs_reach(p.opacity));
  const int tiles = visit_tiles(place, conic, (int)view->width, (int)view->height, [](int) {});
  if (tiles == 0) return;

  float ray[3], direction[3], Y[16], color[3] = {0.5f, 0.5f, 0.5f};
  gs_view_ray(view, means + 3 * (size_t)g, ray);
  gs_unit(ray, direction);
  gs_sh_basis(degree, direction, Y);
  const float *coefficients = sh + 3 * (size_t)sh_count * g;
#pragma unroll
  for (int k = 0; k < 16; ++k)
    if (k < gs_sh_count(degree))
      for (int c = 0; c < 3; ++c) color[c] += Y[k] * coefficients[3 * k + c];
  if (!(fabsf(color[0]) + fabsf(color[1]) + fabsf(color[2]) < GS_HUGE)) return; /* not finite */

  depth_keys[g] = p.t[2];
  tile_counts[g] = tiles;
  radii[g] = p.radius;
  PLACE(projected, g) = place;
  CONIC(projected, g) = conic;
  float *feature = features + channels * (size_t)g;
  for (int c = 0; c < 3; ++c) feature[c] = fmaxf(color[c], 0.0f);
  if (channels > 3) feature[3] = p.t[2];
  if (channels > 4)
    for (int c = 0; c < 3; ++c) feature[4 + c] = p.normal[c];
}
