/* The mathematics of one Gaussian, forward and backward, in plain C: included by the CUDA kernels and compiled by gcc
   in the tests, in float or in double (GS_REAL).

   Frames: the camera looks along +z, x right, y down; the centre of the top-left pixel is (0.5, 0.5).
     t      = R mean + T                                              centre in the camera frame
     P      = J R R_q diag(exp(log_scales))   (2 x 3)                 J: Jacobian of the pinhole projection at t
     Sigma2 = P P^T + blur I                                          px^2
     o      = sigmoid(logit) [ sqrt(det(P P^T) / det(Sigma2)) ]       the root where antialiased
     alpha  = min(0.999, o exp(-d^T Sigma2^-1 d / 2)), nothing below 1/255
   Kerbl et al., 3D Gaussian Splatting, SIGGRAPH 2023; Zwicker et al., EWA Splatting, 2001; Yu et al., Mip-Splatting,
   CVPR 2024. det(P P^T) is taken as |p0 x p1|^2 (Lagrange), which does not cancel for thin Gaussians.

   A gradient of a symmetric 2 x 2 matrix is that of its three numbers (xx, xy, yy), xy counted once. */
#ifndef GEO3D_SPLAT_MATH_H
#define GEO3D_SPLAT_MATH_H

#ifdef __CUDACC__
#define GS_FN __device__ __forceinline__
#else
#include <math.h>
#define GS_FN static inline
#endif

#ifndef GS_REAL
#define GS_REAL float
#endif
typedef GS_REAL gs_real;

#ifdef GS_DOUBLE
#define gs_exp exp
#define gs_log log
#define gs_sqrt sqrt
#define gs_fma fma
#define gs_floor floor
#define gs_ceil ceil
#define gs_fabs fabs
#define gs_fmin fmin
#define gs_fmax fmax
#else
#ifdef __CUDACC__
#define gs_exp __expf /* 2 ulp and a rounding of x log2(e): enough for |x| < 20, and one instruction */
#else
#define gs_exp expf
#endif
#define gs_log logf
#define gs_sqrt sqrtf
#define gs_fma fmaf
#define gs_floor floorf
#define gs_ceil ceilf
#define gs_fabs fabsf
#define gs_fmin fminf
#define gs_fmax fmaxf
#endif

#define GS_ALPHA_MIN ((gs_real)(1.0 / 255.0))
#define GS_ALPHA_MAX ((gs_real)0.999)
#define GS_TRANSMITTANCE_MIN ((gs_real)1e-4)
#define GS_HUGE ((gs_real)1e30) /* determinants beyond this, and NaN, are refused */
#define GS_FAR ((gs_real)3e38) /* key of depth of what is not seen */

/* A camera at a pose; all real, so that an array of GS_VIEW_SIZE numbers can be read as one. */
typedef struct {
  gs_real fx, fy, cx, cy, width, height; /* px */
  gs_real near_z, blur;                  /* world units, px^2 */
  gs_real R[9], t[3];                    /* camera from world, row by row */
} gs_view;

/* A Gaussian as the image sees it. */
typedef struct {
  gs_real t[3];     /* centre, camera frame */
  gs_real mean[2];  /* centre, px */
  gs_real conic[3]; /* Sigma2^-1: xx, xy, yy, px^-2 */
  gs_real opacity;
  gs_real normal[3]; /* shortest axis, turned to the camera, camera frame */
  gs_real radius;    /* three standard deviations along the longer axis, px */
} gs_projected;

/* Gradients of a scalar with respect to what gs_project returns. */
typedef struct {
  gs_real z, mean[2], conic[3], opacity, normal[3];
} gs_projected_gradient;

/* Gradients with respect to what gs_project takes; R and t of the camera as free numbers. */
typedef struct {
  gs_real mean[3], quaternion[4], log_scale[3], logit, R[9], t[3];
} gs_gaussian_gradient;

/* Intermediate values that both directions need. */
typedef struct {
  gs_real t[3], u, v; /* centre, camera frame; x/z and y/z as J takes them */
  int u_free, v_free; /* not clamped */
  gs_real Rq[9], s[3], V[9], P[6]; /* V = R R_q */
  gs_real cov[3], det, det_blurred;
} gs_local;

GS_FN void gs_quaternion_to_matrix(const gs_real *q /* unit wxyz */, gs_real *m) {
  const gs_real w = q[0], x = q[1], y = q[2], z = q[3];
  m[0] = 1 - 2 * (y * y + z * z); m[1] = 2 * (x * y - w * z);     m[2] = 2 * (x * z + w * y);
  m[3] = 2 * (x * y + w * z);     m[4] = 1 - 2 * (x * x + z * z); m[5] = 2 * (y * z - w * x);
  m[6] = 2 * (x * z - w * y);     m[7] = 2 * (y * z + w * x);     m[8] = 1 - 2 * (x * x + y * y);
}

/* Gradient with respect to a quaternion of any length, through its normalisation. */
GS_FN void gs_quaternion_backward(const gs_real *q, const gs_real *d /* 3 x 3 */, gs_real *d_q) {
  const gs_real inverse = 1 / gs_sqrt(q[0] * q[0] + q[1] * q[1] + q[2] * q[2] + q[3] * q[3]);
  const gs_real w = q[0] * inverse, x = q[1] * inverse, y = q[2] * inverse, z = q[3] * inverse;
  gs_real g[4];
  g[0] = 2 * (x * (d[7] - d[5]) + y * (d[2] - d[6]) + z * (d[3] - d[1]));
  g[1] = 2 * (y * (d[1] + d[3]) + z * (d[2] + d[6]) + w * (d[7] - d[5]) - 2 * x * (d[4] + d[8]));
  g[2] = 2 * (x * (d[1] + d[3]) + z * (d[5] + d[7]) + w * (d[2] - d[6]) - 2 * y * (d[0] + d[8]));
  g[3] = 2 * (x * (d[2] + d[6]) + y * (d[5] + d[7]) + w * (d[3] - d[1]) - 2 * z * (d[0] + d[4]));
  const gs_real along = g[0] * w + g[1] * x + g[2] * y + g[3] * z;
  d_q[0] = (g[0] - along * w) * inverse;
  d_q[1] = (g[1] - along * x) * inverse;
  d_q[2] = (g[2] - along * y) * inverse;
  d_q[3] = (g[3] - along * z) * inverse;
}

/* x/z held to the image's borders plus 0.3 of the half-extent on each side: J grows without bound far outside. */
GS_FN gs_real gs_clamp_slope(gs_real slope, gs_real focal, gs_real centre, gs_real size, int *inside) {
  const gs_real margin = (gs_real)0.15 * size / focal;
  const gs_real low = -centre / focal - margin, high = (size - centre) / focal + margin;
  const gs_real held = gs_fmin(gs_fmax(slope, low), high);
  *inside = held == slope;
  return held;
}

/* 0 where the Gaussian is before the near plane or its numbers are not finite. */
GS_FN int gs_localise(const gs_view *view, const gs_real *mean, const gs_real *quaternion, const gs_real *log_scale,
                      gs_local *l) {
  for (int i = 0; i < 3; ++i)
    l->t[i] = view->R[3 * i] * mean[0] + view->R[3 * i + 1] * mean[1] + view->R[3 * i + 2] * mean[2] + view->t[i];
  if (!(l->t[2] >= view->near_z)) return 0;
  const gs_real iz = 1 / l->t[2];
  l->u = gs_clamp_slope(l->t[0] * iz, view->fx, view->cx, view->width, &l->u_free);
  l->v = gs_clamp_slope(l->t[1] * iz, view->fy, view->cy, view->height, &l->v_free);
  const gs_real inverse = 1 / gs_sqrt(quaternion[0] * quaternion[0] + quaternion[1] * quaternion[1] +
                                      quaternion[2] * quaternion[2] + quaternion[3] * quaternion[3]);
  const gs_real unit[4] = {quaternion[0] * inverse, quaternion[1] * inverse, quaternion[2] * inverse,
                           quaternion[3] * inverse};
  gs_quaternion_to_matrix(unit, l->Rq);
  for (int k = 0; k < 3; ++k) {
    l->s[k] = gs_exp(log_scale[k]);
    for (int i = 0; i < 3; ++i)
      l->V[3 * i + k] = view->R[3 * i] * l->Rq[k] + view->R[3 * i + 1] * l->Rq[3 + k] + view->R[3 * i + 2] * l->Rq[6 + k];
    l->P[k] = view->fx * iz * (l->V[k] - l->u * l->V[6 + k]) * l->s[k];
    l->P[3 + k] = view->fy * iz * (l->V[3 + k] - l->v * l->V[6 + k]) * l->s[k];
  }
  const gs_real *p = l->P, *q = l->P + 3;
  l->cov[0] = p[0] * p[0] + p[1] * p[1] + p[2] * p[2];
  l->cov[1] = p[0] * q[0] + p[1] * q[1] + p[2] * q[2];
  l->cov[2] = q[0] * q[0] + q[1] * q[1] + q[2] * q[2];
  const gs_real a = p[1] * q[2] - p[2] * q[1], b = p[2] * q[0] - p[0] * q[2], c = p[0] * q[1] - p[1] * q[0];
  l->det = a * a + b * b + c * c;
  l->det_blurred = l->det + view->blur * (l->cov[0] + l->cov[2]) + view->blur * view->blur;
  return l->det_blurred > 0 && l->det_blurred < GS_HUGE;
}

/* The shortest axis turned to the camera, in the camera frame; *index of the axis and *sign that turned it. Selects
   rather than an index: an array that is indexed by a variable does not fit in registers. */
GS_FN void gs_normal(const gs_local *l, const gs_real *log_scale, gs_real *normal, int *index, gs_real *sign) {
  const int k = log_scale[1] < log_scale[0] ? (log_scale[2] < log_scale[1] ? 2 : 1) : (log_scale[2] < log_scale[0] ? 2 : 0);
  gs_real towards = 0;
  for (int i = 0; i < 3; ++i) {
    normal[i] = k == 0 ? l->V[3 * i] : k == 1 ? l->V[3 * i + 1] : l->V[3 * i + 2];
    towards += normal[i] * l->t[i];
  }
  *index = k;
  *sign = towards > 0 ? (gs_real)-1 : (gs_real)1;
  for (int i = 0; i < 3; ++i) normal[i] *= *sign;
}

GS_FN gs_real gs_sigmoid(gs_real x) { return 1 / (1 + gs_exp(-x)); }

/* Mip-Splatting's 3D filter, Sigma + variance I: log scales and logit as they are rendered. */
GS_FN void gs_smooth(const gs_real *log_scale, gs_real logit, gs_real variance, gs_real *wide, gs_real *wide_logit) {
  gs_real shrink = 0;
  *wide_logit = logit;
  for (int k = 0; k < 3; ++k) {
    wide[k] = variance > 0 ? gs_log(gs_exp(2 * log_scale[k]) + variance) / 2 : log_scale[k];
    shrink += log_scale[k] - wide[k];
  }
  if (!(variance > 0)) return;
  const gs_real o = gs_fmin(gs_fmax(gs_sigmoid(logit) * gs_exp(shrink), (gs_real)1e-6), (gs_real)(1 - 1e-6));
  *wide_logit = gs_log(o / (1 - o));
}

/* Turns gradients by what gs_smooth gave into those by what it took. */
GS_FN void gs_smooth_backward(const gs_real *log_scale, gs_real logit, gs_real variance, const gs_real *wide,
                              gs_gaussian_gradient *d) {
  if (!(variance > 0)) return;
  const gs_real o = gs_sigmoid(logit);
  gs_real shrink = 0;
  for (int k = 0; k < 3; ++k) shrink += log_scale[k] - wide[k];
  const gs_real by_opacity = d->logit / gs_fmax(1 - o * gs_exp(shrink), (gs_real)1e-6);
  for (int k = 0; k < 3; ++k) {
    const gs_real own = gs_exp(2 * (log_scale[k] - wide[k])); /* share of the variance that is not the filter's */
    d->log_scale[k] = d->log_scale[k] * own + by_opacity * (1 - own);
  }
  d->logit = by_opacity * (1 - o);
}

/* 0 where the Gaussian contributes nothing to any pixel because of its depth, numbers or opacity. */
GS_FN int gs_project(const gs_view *view, const gs_real *mean, const gs_real *quaternion, const gs_real *log_scale,
                     gs_real logit, int antialiased, gs_projected *out) {
  gs_local l;
  if (!gs_localise(view, mean, quaternion, log_scale, &l)) return 0;
  out->opacity = gs_sigmoid(logit);
  if (antialiased) out->opacity *= gs_sqrt(l.det / l.det_blurred);
  if (!(out->opacity >= GS_ALPHA_MIN)) return 0;
  const gs_real inverse = 1 / l.det_blurred, iz = 1 / l.t[2];
  out->conic[0] = (l.cov[2] + view->blur) * inverse;
  out->conic[1] = -l.cov[1] * inverse;
  out->conic[2] = (l.cov[0] + view->blur) * inverse;
  const gs_real middle = (l.cov[0] + l.cov[2]) / 2 + view->blur;
  out->radius = 3 * gs_sqrt(middle + gs_sqrt(gs_fmax(middle * middle - l.det_blurred, 0)));
  out->mean[0] = view->fx * l.t[0] * iz + view->cx;
  out->mean[1] = view->fy * l.t[1] * iz + view->cy;
  gs_real sign;
  int shortest;
  gs_normal(&l, log_scale, out->normal, &shortest, &sign);
  for (int i = 0; i < 3; ++i) out->t[i] = l.t[i];
  return 1;
}

/* For a Gaussian that gs_project took. */
GS_FN void gs_project_backward(const gs_view *view, const gs_real *mean, const gs_real *quaternion,
                               const gs_real *log_scale, gs_real logit, int antialiased,
                               const gs_projected_gradient *d, gs_gaussian_gradient *out) {
  gs_local l;
  gs_localise(view, mean, quaternion, log_scale, &l);
  const gs_real iz = 1 / l.t[2], inverse = 1 / l.det_blurred;

  /* conic A = Sigma2^-1: dSigma2 = -A dA A. */
  const gs_real A = (l.cov[2] + view->blur) * inverse, B = -l.cov[1] * inverse, C = (l.cov[0] + view->blur) * inverse;
  const gs_real g0 = d->conic[0], g1 = d->conic[1] / 2, g2 = d->conic[2];
  const gs_real h00 = g0 * A + g1 * B, h01 = g0 * B + g1 * C, h10 = g1 * A + g2 * B, h11 = g1 * B + g2 * C;
  gs_real c0 = -(A * h00 + B * h10), c1 = -2 * (A * h01 + B * h11), c2 = -(B * h01 + C * h11);

  /* opacity = sigmoid(logit) rho, rho = sqrt(det / det_blurred). */
  const gs_real o = gs_sigmoid(logit);
  gs_real rho = 1;
  if (antialiased) {
    rho = gs_sqrt(l.det * inverse);
    const gs_real d_ratio = d->opacity * o / (2 * rho); /* rho >= 1/255, or gs_project had refused */
    const gs_real d_det = d_ratio * inverse, d_blurred = -d_ratio * rho * rho * inverse;
    c0 += d_det * l.cov[2] + d_blurred * (l.cov[2] + view->blur);
    c1 -= 2 * (d_det + d_blurred) * l.cov[1];
    c2 += d_det * l.cov[0] + d_blurred * (l.cov[0] + view->blur);
  }
  out->logit = d->opacity * rho * o * (1 - o);

  /* Sigma2 = P P^T, P = J V diag(s), V = R R_q. */
  gs_real dV[9], j00 = 0, j02 = 0, j11 = 0, j12 = 0;
  const gs_real J00 = view->fx * iz, J02 = -J00 * l.u, J11 = view->fy * iz, J12 = -J11 * l.v;
  for (int k = 0; k < 3; ++k) {
    const gs_real p = l.P[k], q = l.P[3 + k];
    const gs_real dp = 2 * c0 * p + c1 * q, dq = c1 * p + 2 * c2 * q;
    out->log_scale[k] = dp * p + dq * q;
    const gs_real a = dp * l.s[k], b = dq * l.s[k]; /* column k of the gradient of J V */
    j00 += a * l.V[k];
    j02 += a * l.V[6 + k];
    j11 += b * l.V[3 + k];
    j12 += b * l.V[6 + k];
    dV[k] = J00 * a;
    dV[3 + k] = J11 * b;
    dV[6 + k] = J02 * a + J12 * b;
  }
  gs_real sign, normal[3];
  int shortest;
  gs_normal(&l, log_scale, normal, &shortest, &sign);
  for (int k = 0; k < 3; ++k)
    for (int i = 0; i < 3; ++i) dV[3 * i + k] += k == shortest ? sign * d->normal[i] : 0;

  gs_real dRq[9];
  for (int i = 0; i < 3; ++i)
    for (int j = 0; j < 3; ++j) {
      dRq[3 * i + j] = view->R[i] * dV[j] + view->R[3 + i] * dV[3 + j] + view->R[6 + i] * dV[6 + j];
      out->R[3 * i + j] =
          dV[3 * i] * l.Rq[3 * j] + dV[3 * i + 1] * l.Rq[3 * j + 1] + dV[3 * i + 2] * l.Rq[3 * j + 2];
    }
  gs_quaternion_backward(quaternion, dRq, out->quaternion);

  /* t: by the mean in the image, by J, by the depth. */
  const gs_real x = l.t[0] * iz, y = l.t[1] * iz;
  gs_real dt[3];
  dt[0] = J00 * d->mean[0];
  dt[1] = J11 * d->mean[1];
  dt[2] = d->z - x * dt[0] - y * dt[1] - iz * (J00 * j00 + J02 * j02 + J11 * j11 + J12 * j12);
  const gs_real du = l.u_free ? -J00 * j02 * iz : 0, dv = l.v_free ? -J11 * j12 * iz : 0;
  dt[0] += du;
  dt[1] += dv;
  dt[2] -= x * du + y * dv;
  for (int j = 0; j < 3; ++j) {
    out->mean[j] = view->R[j] * dt[0] + view->R[3 + j] * dt[1] + view->R[6 + j] * dt[2];
    out->t[j] = dt[j];
    for (int i = 0; i < 3; ++i) out->R[3 * i + j] += dt[i] * mean[j];
  }
}

/* mean - centre of the camera, the centre being -R^T t. */
GS_FN void gs_view_ray(const gs_view *view, const gs_real *mean, gs_real *ray) {
  for (int j = 0; j < 3; ++j)
    ray[j] = mean[j] + view->R[j] * view->t[0] + view->R[3 + j] * view->t[1] + view->R[6 + j] * view->t[2];
}

/* Unit direction of a ray; returns its length. */
GS_FN gs_real gs_unit(const gs_real *ray, gs_real *direction) {
  const gs_real length = gs_sqrt(ray[0] * ray[0] + ray[1] * ray[1] + ray[2] * ray[2]);
  for (int i = 0; i < 3; ++i) direction[i] = ray[i] / length;
  return length;
}

/* Adds the gradient of the ray's direction to those of the mean and of the camera. */
GS_FN void gs_view_ray_backward(const gs_view *view, const gs_real *direction, gs_real length,
                                const gs_real *d_direction, gs_gaussian_gradient *out) {
  const gs_real along =
      direction[0] * d_direction[0] + direction[1] * d_direction[1] + direction[2] * d_direction[2];
  for (int j = 0; j < 3; ++j) {
    const gs_real d = (d_direction[j] - along * direction[j]) / length;
    out->mean[j] += d;
    for (int i = 0; i < 3; ++i) {
      out->R[3 * i + j] += view->t[i] * d;
      out->t[i] += view->R[3 * i + j] * d;
    }
  }
}

/* Real spherical harmonics of degree 0 to 3 at a unit direction; order and signs of Kerbl et al.'s code. */
GS_FN void gs_sh_basis(int degree, const gs_real *direction, gs_real *Y) {
  const gs_real x = direction[0], y = direction[1], z = direction[2];
  Y[0] = (gs_real)0.28209479177387814;
  if (degree < 1) return;
  const gs_real c1 = (gs_real)0.4886025119029199;
  Y[1] = -c1 * y;
  Y[2] = c1 * z;
  Y[3] = -c1 * x;
  if (degree < 2) return;
  const gs_real xx = x * x, yy = y * y, zz = z * z;
  Y[4] = (gs_real)1.0925484305920792 * x * y;
  Y[5] = (gs_real)-1.0925484305920792 * y * z;
  Y[6] = (gs_real)0.31539156525252005 * (2 * zz - xx - yy);
  Y[7] = (gs_real)-1.0925484305920792 * x * z;
  Y[8] = (gs_real)0.5462742152960396 * (xx - yy);
  if (degree < 3) return;
  Y[9] = (gs_real)-0.5900435899266435 * y * (3 * xx - yy);
  Y[10] = (gs_real)2.890611442640554 * x * y * z;
  Y[11] = (gs_real)-0.4570457994644658 * y * (4 * zz - xx - yy);
  Y[12] = (gs_real)0.3731763325901154 * z * (2 * zz - 3 * xx - 3 * yy);
  Y[13] = (gs_real)-0.4570457994644658 * x * (4 * zz - xx - yy);
  Y[14] = (gs_real)1.445305721320277 * z * (xx - yy);
  Y[15] = (gs_real)-0.5900435899266435 * x * (xx - 3 * yy);
}

/* Gradient of sum_k g_k Y_k with respect to the direction. */
GS_FN void gs_sh_basis_backward(int degree, const gs_real *direction, const gs_real *g, gs_real *d) {
  const gs_real x = direction[0], y = direction[1], z = direction[2];
  d[0] = d[1] = d[2] = 0;
  if (degree < 1) return;
  const gs_real c1 = (gs_real)0.4886025119029199;
  d[0] = -c1 * g[3];
  d[1] = -c1 * g[1];
  d[2] = c1 * g[2];
  if (degree < 2) return;
  const gs_real a = (gs_real)1.0925484305920792, b = (gs_real)0.31539156525252005, c = (gs_real)0.5462742152960396;
  d[0] += a * (y * g[4] - z * g[7]) + 2 * x * (c * g[8] - b * g[6]);
  d[1] += a * (x * g[4] - z * g[5]) - 2 * y * (c * g[8] + b * g[6]);
  d[2] += -a * (y * g[5] + x * g[7]) + 4 * b * z * g[6];
  if (degree < 3) return;
  const gs_real xx = x * x, yy = y * y, zz = z * z;
  const gs_real e = (gs_real)-0.5900435899266435, f = (gs_real)2.890611442640554, h = (gs_real)-0.4570457994644658,
                k = (gs_real)0.3731763325901154, m = (gs_real)1.445305721320277;
  d[0] += e * 6 * x * y * g[9] + f * y * z * g[10] - 2 * h * x * y * g[11] - 6 * k * x * z * g[12] +
          h * (4 * zz - 3 * xx - yy) * g[13] + 2 * m * x * z * g[14] + e * 3 * (xx - yy) * g[15];
  d[1] += e * 3 * (xx - yy) * g[9] + f * x * z * g[10] + h * (4 * zz - xx - 3 * yy) * g[11] - 6 * k * y * z * g[12] -
          2 * h * x * y * g[13] - 2 * m * y * z * g[14] - e * 6 * x * y * g[15];
  d[2] += f * x * y * g[10] + 8 * h * y * z * g[11] + k * (6 * zz - 3 * xx - 3 * yy) * g[12] + 8 * h * x * z * g[13] +
          m * (xx - yy) * g[14];
}

/* Number of coefficients up to a degree. */
GS_FN int gs_sh_count(int degree) { return (degree + 1) * (degree + 1); }

/* What a Gaussian adds at (dx, dy) = its centre minus the pixel's: alpha, 0 below the threshold; *falloff is
   exp(-d^T A d / 2). */
GS_FN gs_real gs_alpha(gs_real dx, gs_real dy, const gs_real *conic, gs_real opacity, gs_real *falloff) {
  const gs_real power = (gs_real)-0.5 * (conic[0] * dx * dx + conic[2] * dy * dy) - conic[1] * dx * dy;
  *falloff = gs_exp(gs_fmin(power, 0));
  const gs_real alpha = gs_fmin(GS_ALPHA_MAX, opacity * *falloff);
  return alpha < GS_ALPHA_MIN ? 0 : alpha;
}

/* The ellipse outside of which alpha is below its threshold: d^T A d = reach; a hair more, against rounding.
   gs_fma throughout: no compiler can contract it otherwise, so that counting and emitting agree to the last bit. */
GS_FN gs_real gs_reach(gs_real opacity) { return gs_fma(2, gs_log(255 * opacity), (gs_real)1e-3); }

GS_FN gs_real gs_conic_det(const gs_real *conic) {
  return gs_fma(conic[0], conic[2], -(conic[1] * conic[1]));
}

/* Half the extent of the ellipse along x (conic as it is) or y (xx and yy exchanged), px. */
GS_FN gs_real gs_half_extent(const gs_real *conic, gs_real reach, int along_y) {
  return gs_sqrt(gs_fmax(0, reach * conic[along_y ? 0 : 2] / gs_conic_det(conic)));
}

/* Rows or columns of pixel centres (i + 0.5) in [centre - half, centre + half], held to 0..size-1; first > last: none. */
GS_FN void gs_pixel_span(gs_real low, gs_real high, int size, int *first, int *last) {
  *first = (int)gs_fmin(gs_fmax(gs_ceil(low - (gs_real)0.5), 0), (gs_real)size);
  *last = (int)gs_fmax(gs_fmin(gs_floor(high - (gs_real)0.5), (gs_real)(size - 1)), -1);
}

/* Columns of pixels that the ellipse reaches in the rows first_row..last_row (which it does reach): the ellipse is
   convex, so its extreme x over a strip is at the extreme point itself, or at the strip's border nearest to it. */
GS_FN void gs_strip_span(const gs_real *mean, const gs_real *conic, gs_real reach, int first_row, int last_row,
                         int width, int *first, int *last) {
  const gs_real det = gs_conic_det(conic), half = gs_half_extent(conic, reach, 1);
  const gs_real top = gs_fmax((gs_real)first_row + (gs_real)0.5 - mean[1], -half);
  const gs_real bottom = gs_fmin((gs_real)last_row + (gs_real)0.5 - mean[1], half);
  const gs_real extreme = gs_half_extent(conic, reach, 0) * conic[1] / conic[2]; /* -y of the rightmost point */
  const gs_real y_right = gs_fmin(gs_fmax(-extreme, top), bottom), y_left = gs_fmin(gs_fmax(extreme, top), bottom);
  const gs_real a = 1 / conic[0];
  const gs_real root_right = gs_sqrt(gs_fmax(0, gs_fma(conic[0], reach, -(det * y_right) * y_right)));
  const gs_real root_left = gs_sqrt(gs_fmax(0, gs_fma(conic[0], reach, -(det * y_left) * y_left)));
  const gs_real left = gs_fma(gs_fma(-conic[1], y_left, -root_left), a, mean[0]);
  const gs_real right = gs_fma(gs_fma(-conic[1], y_right, root_right), a, mean[0]);
  gs_pixel_span(left, right, width, first, last);
}

#endif
