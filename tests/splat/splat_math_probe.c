/* geo3d/splat/cuda/splat_math.h for ctypes: each function over n rows. */
#include "splat_math.h"

typedef gs_real real;

void probe_project(int n, const real *view, const real *means, const real *quaternions, const real *log_scales,
                   const real *logits, int antialiased, int *seen, real *out /* (n, 13) */) {
  for (int i = 0; i < n; ++i)
    seen[i] = gs_project((const gs_view *)view, means + 3 * i, quaternions + 4 * i, log_scales + 3 * i, logits[i],
                         antialiased, (gs_projected *)(out + 13 * i));
}

void probe_project_backward(int n, const real *view, const real *means, const real *quaternions,
                            const real *log_scales, const real *logits, int antialiased,
                            const real *d /* (n, 10) */, real *out /* (n, 23) */) {
  for (int i = 0; i < n; ++i)
    gs_project_backward((const gs_view *)view, means + 3 * i, quaternions + 4 * i, log_scales + 3 * i, logits[i],
                        antialiased, (const gs_projected_gradient *)(d + 10 * i),
                        (gs_gaussian_gradient *)(out + 23 * i));
}

/* The basis at the direction in which the camera sees each mean, and the gradient of sum_k g_k Y_k. */
void probe_basis(int n, const real *view, const real *means, int degree, const real *g /* (n, 16) */,
                 real *basis /* (n, 16) */, real *out /* (n, 23) */) {
  for (int i = 0; i < n; ++i) {
    real ray[3], direction[3], d[3];
    gs_view_ray((const gs_view *)view, means + 3 * i, ray);
    const real length = gs_unit(ray, direction);
    gs_sh_basis(degree, direction, basis + 16 * i);
    gs_sh_basis_backward(degree, direction, g + 16 * i, d);
    gs_view_ray_backward((const gs_view *)view, direction, length, d, (gs_gaussian_gradient *)(out + 23 * i));
  }
}

void probe_alpha(int n, const real *d /* (n, 2) */, const real *conics, const real *opacities, real *out) {
  for (int i = 0; i < n; ++i) {
    real falloff;
    out[i] = gs_alpha(d[2 * i], d[2 * i + 1], conics + 3 * i, opacities[i], &falloff);
  }
}

void probe_reach(int n, const real *opacities, real *out) {
  for (int i = 0; i < n; ++i) out[i] = gs_reach(opacities[i]);
}

/* Rows of the image, and columns of the strip of those rows within first_row..last_row. */
void probe_spans(int n, const real *means, const real *conics, const real *reaches, int width, int height,
                 const int *strips /* (n, 2) */, int *out /* (n, 4) */) {
  for (int i = 0; i < n; ++i) {
    const real half = gs_half_extent(conics + 3 * i, reaches[i], 1);
    int *to = out + 4 * i;
    gs_pixel_span(means[2 * i + 1] - half, means[2 * i + 1] + half, height, to, to + 1);
    const int first = strips[2 * i] > to[0] ? strips[2 * i] : to[0];
    const int last = strips[2 * i + 1] < to[1] ? strips[2 * i + 1] : to[1];
    to[2] = 0;
    to[3] = -1;
    if (first <= last)
      gs_strip_span(means + 2 * i, conics + 3 * i, reaches[i], first, last, width, to + 2, to + 3);
  }
}

/* Log scales and logit with the filter (n, 4), and gradients (n, 4) of d . that by those without. */
void probe_smooth(int n, const real *log_scales, const real *logits, const real *variances, const real *d, real *out,
                  real *slopes) {
  for (int i = 0; i < n; ++i) {
    gs_gaussian_gradient g;
    gs_smooth(log_scales + 3 * i, logits[i], variances[i], out + 4 * i, out + 4 * i + 3);
    for (int k = 0; k < 3; ++k) g.log_scale[k] = d[4 * i + k];
    g.logit = d[4 * i + 3];
    gs_smooth_backward(log_scales + 3 * i, logits[i], variances[i], out + 4 * i, &g);
    for (int k = 0; k < 3; ++k) slopes[4 * i + k] = g.log_scale[k];
    slopes[4 * i + 3] = g.logit;
  }
}
