/* The mathematics of the hash-grid field, of the march and of volume rendering, in plain C: included by the CUDA
   kernels and compiled by gcc in the tests, in float or in double (NF_REAL).

     p = N x;  c = floor(p), at most N - 1;  f = p - c            x in the unit cube, N cells along an edge
     e(x) = sum over the 8 corners k of  prod_a (k_a f_a + (1 - k_a)(1 - f_a))  entry(c + k)
     density = exp(min(raw, 15)), its derivative by raw taken as itself
     alpha = 1 - exp(-density length)

   Müller et al., Instant Neural Graphics Primitives, SIGGRAPH 2022; Barron et al., mip-NeRF 360, CVPR 2022. The same
   numbers as geo3d.nerf.hash_grid, field_parameters, contraction, marching_kernels and volume_rendering. */
#ifndef GEO3D_NERF_FIELD_MATH_H
#define GEO3D_NERF_FIELD_MATH_H

#ifdef __CUDACC__
#define NF_FN __device__ __forceinline__
#else
#include <math.h>
#define NF_FN static inline
#endif

#ifdef NF_DOUBLE
typedef double nf_real;
#define nf_exp exp
#define nf_floor floor
#define nf_fabs fabs
#define nf_min fmin
#define nf_max fmax
#else
typedef float nf_real;
#ifdef __CUDACC__
#define nf_exp __expf
#else
#define nf_exp expf
#endif
#define nf_floor floorf
#define nf_fabs fabsf
#define nf_min fminf
#define nf_max fmaxf
#endif

#define NF_DENSITY_LIMIT ((nf_real)15)
#define NF_INFINITY ((nf_real)3e38)

/* A level of the grid, four numbers: */
#define NF_LEVEL 4 /* resolution, first entry, entries, whether hashed */

NF_FN nf_real nf_clamp(nf_real x, nf_real low, nf_real high) { return nf_min(nf_max(x, low), high); }

/* NaN stays NaN, so that a field that has broken is seen to. */
NF_FN nf_real nf_density(nf_real raw) { return nf_exp(raw > NF_DENSITY_LIMIT ? NF_DENSITY_LIMIT : raw); }
/* Derivative of the density by what it came from. */
NF_FN nf_real nf_density_slope(nf_real density) { return density; }
NF_FN nf_real nf_sigmoid(nf_real x) { return (nf_real)1 / ((nf_real)1 + nf_exp(-x)); }

/* Cell of a position along one axis, and where in it. */
NF_FN int nf_cell(nf_real x, int resolution, nf_real *fraction) {
  const nf_real scaled = nf_clamp(x, (nf_real)0, (nf_real)1) * (nf_real)resolution;
  const nf_real cell = nf_min(nf_floor(scaled), (nf_real)(resolution - 1));
  *fraction = scaled - cell;
  return (int)cell;
}

/* Row of the whole grid that holds a vertex of a level. */
NF_FN unsigned nf_entry(const int *level, unsigned x, unsigned y, unsigned z) {
  const unsigned across = (unsigned)level[0] + 1u;
  unsigned row;
  if (level[3])
    row = (x ^ (y * 2654435761u) ^ (z * 805459861u)) & ((unsigned)level[2] - 1u);
  else
    row = x + across * (y + across * z);
  return (unsigned)level[1] + row;
}

/* Rows and weights of the 8 corners around a point (x fastest). */
NF_FN void nf_corners(const int *level, const nf_real *position, unsigned *rows, nf_real *weights) {
  nf_real f[3];
  unsigned c[3];
  int i;
  for (i = 0; i < 3; ++i) c[i] = (unsigned)nf_cell(position[i], level[0], f + i);
  for (i = 0; i < 8; ++i) {
    const unsigned kx = (unsigned)i & 1u, ky = (unsigned)i >> 1 & 1u, kz = (unsigned)i >> 2;
    rows[i] = nf_entry(level, c[0] + kx, c[1] + ky, c[2] + kz);
    weights[i] = (kx ? f[0] : (nf_real)1 - f[0]) * (ky ? f[1] : (nf_real)1 - f[1]) * (kz ? f[2] : (nf_real)1 - f[2]);
  }
}

/* Derivative of the weight of corner i by the position along an axis. */
NF_FN nf_real nf_corner_slope(const int *level, const nf_real *position, int i, int axis) {
  nf_real slope = (nf_real)level[0] * ((i >> axis & 1) ? (nf_real)1 : (nf_real)-1);
  int a;
  for (a = 0; a < 3; ++a) {
    nf_real f;
    nf_cell(position[a], level[0], &f);
    if (a != axis) slope *= (i >> a & 1) ? f : (nf_real)1 - f;
  }
  return slope;
}

/* Real spherical harmonics of degree 0 to 3, in the order and with the signs of geo3d.geometry.sh_basis. */
NF_FN void nf_harmonics(nf_real x, nf_real y, nf_real z, nf_real *basis) {
  const nf_real xx = x * x, yy = y * y, zz = z * z;
  basis[0] = (nf_real)0.28209479177387814;
  basis[1] = (nf_real)-0.48860251190291992 * y;
  basis[2] = (nf_real)0.48860251190291992 * z;
  basis[3] = (nf_real)-0.48860251190291992 * x;
  basis[4] = (nf_real)1.0925484305920792 * x * y;
  basis[5] = (nf_real)-1.0925484305920792 * y * z;
  basis[6] = (nf_real)0.31539156525252005 * ((nf_real)2 * zz - xx - yy);
  basis[7] = (nf_real)-1.0925484305920792 * x * z;
  basis[8] = (nf_real)0.54627421529603959 * (xx - yy);
  basis[9] = (nf_real)-0.59004358992664352 * y * ((nf_real)3 * xx - yy);
  basis[10] = (nf_real)2.8906114426405538 * x * y * z;
  basis[11] = (nf_real)-0.45704579946446577 * y * ((nf_real)4 * zz - xx - yy);
  basis[12] = (nf_real)0.3731763325901154 * z * ((nf_real)2 * zz - (nf_real)3 * xx - (nf_real)3 * yy);
  basis[13] = (nf_real)-0.45704579946446577 * x * ((nf_real)4 * zz - xx - yy);
  basis[14] = (nf_real)1.4453057213202769 * z * (xx - yy);
  basis[15] = (nf_real)-0.59004358992664352 * x * (xx - (nf_real)3 * yy);
}

/* A point of the box frame of an unbounded box in the unit cube. */
NF_FN void nf_contract(const nf_real *x, nf_real *unit) {
  nf_real q[3], largest = 1, inverse, factor;
  int i;
  for (i = 0; i < 3; ++i) {
    q[i] = (nf_real)2 * x[i] - (nf_real)1;
    largest = nf_max(largest, nf_fabs(q[i]));
  }
  inverse = (nf_real)1 / largest;
  factor = ((nf_real)2 - inverse) * inverse / (nf_real)4;
  for (i = 0; i < 3; ++i) unit[i] = (nf_real)0.5 + factor * q[i];
}

/* A ray in the box frame, and in cells of the unit cube where that is not contracted: `at` + t `slope`. first, last: as
   given; near, far: where something may be. widest: K of `nf_contracted_leap`. */
typedef struct {
  nf_real o[3], d[3], at[3], slope[3], inverse[3], first, last, near, far, phase, widest;
  int unbounded;
} nf_ray;

/* 2 |a x b| + |b|, largest coordinates, for q = a + t b with q = 2 x - 1 along o + t d. */
NF_FN nf_real nf_widest(const nf_real *o, const nf_real *d) {
  nf_real a[3], b[3], turn = 0, along = 0;
  int i;
  for (i = 0; i < 3; ++i) {
    a[i] = (nf_real)2 * o[i] - (nf_real)1;
    b[i] = (nf_real)2 * d[i];
    along = nf_max(along, nf_fabs(b[i]));
  }
  for (i = 0; i < 3; ++i) turn = nf_max(turn, nf_fabs(a[(i + 1) % 3] * b[(i + 2) % 3] - a[(i + 2) % 3] * b[(i + 1) % 3]));
  return (nf_real)2 * turn + along;
}

/* How far the ray at the point p of the box frame is sure to go before its contracted place has moved by `room`. With
   r = |q|_inf the contraction moves by at most K / r^2 for each t, and r >= r0 + r' t: geo3d.nerf.marching_kernels. */
NF_FN nf_real nf_contracted_leap(const nf_real *p, const nf_real *d, nf_real widest, nf_real room) {
  nf_real r = 0, slope = 0, rest;
  int i;
  for (i = 0; i < 3; ++i) {
    const nf_real q = (nf_real)2 * p[i] - (nf_real)1;
    if (nf_fabs(q) > r) {
      r = nf_fabs(q);
      slope = q > (nf_real)0 ? (nf_real)2 * d[i] : (nf_real)-2 * d[i];
    }
  }
  rest = widest - room * r * slope;
  return rest > (nf_real)0 ? room * r * r / rest : NF_INFINITY;
}

/* box: centre (3), side, whether unbounded, smallest and largest corner (3 + 3) of what is occupied, box frame: near and
   far move to where the ray enters and leaves these in a bounded box. n: cells along an edge. */
NF_FN nf_ray nf_make_ray(const nf_real *box, int n, const nf_real *origin, const nf_real *direction, nf_real near,
                         nf_real far, nf_real phase) {
  nf_ray ray;
  int i;
  ray.near = ray.first = near;
  ray.far = ray.last = far;
  ray.phase = phase;
  ray.unbounded = box[4] != (nf_real)0;
  for (i = 0; i < 3; ++i) {
    const nf_real scale = (ray.unbounded ? (nf_real)0.5 : (nf_real)1) * (nf_real)n;
    ray.o[i] = (origin[i] - box[i]) / box[3] + (nf_real)0.5;
    ray.d[i] = direction[i] / box[3];
    if (ray.d[i] == (nf_real)0) ray.d[i] = (nf_real)1e-30;
    ray.at[i] = ray.o[i] * scale + (ray.unbounded ? (nf_real)0.25 * (nf_real)n : (nf_real)0);
    ray.slope[i] = ray.d[i] * scale;
    ray.inverse[i] = (nf_real)1 / ray.slope[i];
    if (!ray.unbounded) {
      const nf_real a = (box[5 + i] - ray.o[i]) / ray.d[i], b = (box[8 + i] - ray.o[i]) / ray.d[i];
      ray.near = nf_max(ray.near, nf_min(a, b));
      ray.far = nf_min(ray.far, nf_max(a, b));
    }
  }
  ray.widest = nf_widest(ray.o, ray.d);
  return ray;
}

/* A place on a ray in the unit cube. */
NF_FN void nf_unit_position(const nf_ray *ray, nf_real t, nf_real *unit) {
  nf_real p[3];
  int i;
  for (i = 0; i < 3; ++i) p[i] = unit[i] = ray->o[i] + t * ray->d[i];
  if (ray->unbounded) nf_contract(p, unit);
}

/* steps: cone angle, smallest, largest. */
NF_FN nf_real nf_step(nf_real t, const nf_real *steps) { return nf_clamp(t * steps[0], steps[1], steps[2]); }

NF_FN nf_real nf_first_place(const nf_ray *ray, const nf_real *steps) {
  return ray->near + (ray->phase - (nf_real)0.5) * nf_step(ray->near, steps);
}

#define NF_MOST_LEAPS 8192 /* between two samples: a ray that does not move on in float32 ends */

/* The next sample of a march from t on: 1, and t moves to where it begins; or 0 at the end of the ray. empty (n, n, n):
   distance of each cell to the nearest occupied one, in cells, the largest of the three coordinates'. */
NF_FN int nf_next_sample(const nf_ray *ray, const nf_real *steps, int n, const unsigned char *empty, nf_real *t) {
  int leaps;
  for (leaps = 0; leaps < NF_MOST_LEAPS; ++leaps) {
    const nf_real step = nf_step(*t, steps), middle = *t + (nf_real)0.5 * step;
    nf_real p[3], u[3], distance, off = 0, leap = NF_INFINITY, following;
    int c[3], i, straight = 1;
    if (!(middle < ray->far)) return 0;
    for (i = 0; i < 3; ++i) {
      p[i] = ray->o[i] + middle * ray->d[i];
      u[i] = ray->at[i] + middle * ray->slope[i];
      if (ray->unbounded && !(nf_fabs(p[i] - (nf_real)0.5) < (nf_real)0.5)) straight = 0;
    }
    if (!straight) {
      nf_contract(p, u);
      for (i = 0; i < 3; ++i) u[i] *= (nf_real)n;
    }
    for (i = 0; i < 3; ++i) {
      c[i] = (int)nf_clamp(u[i], (nf_real)0, (nf_real)(n - 1));
      off = nf_max(off, nf_fabs(u[i] - (nf_real)c[i] - (nf_real)0.5));
    }
    distance = (nf_real)empty[(c[0] * n + c[1]) * n + c[2]];
    if (distance == (nf_real)0) return 1;
    if (!straight) {
      leap = nf_contracted_leap(p, ray->d, ray->widest, (distance - (nf_real)0.5 - off) * (nf_real)4 / (nf_real)n);
      *t += leap > (nf_real)2 * step ? leap - ray->phase * step : step;
      continue;
    }
    /* along x the empty cube ends at i + distance, or at i + 1 - distance where the ray runs back */
    for (i = 0; i < 3; ++i)
      leap = nf_min(leap, ((nf_real)c[i] + (ray->slope[i] < (nf_real)0 ? (nf_real)1 : (nf_real)0) - u[i]) * ray->inverse[i] +
                              distance * nf_fabs(ray->inverse[i]));
    following = middle + nf_max(leap, (nf_real)0.05 * step);
    *t = nf_max(following + (ray->phase - (nf_real)0.5) * nf_step(following, steps), *t + (nf_real)0.05 * step);
  }
  return 0;
}

/* 1 - exp(-x), to a few units of the last place for x >= 0. */
NF_FN nf_real nf_opacity(nf_real x) {
  if (x < (nf_real)0.03)
    return x * ((nf_real)1 - x * ((nf_real)0.5 - x * ((nf_real)(1.0 / 6) - x * (nf_real)(1.0 / 24))));
  return (nf_real)1 - nf_exp(-x);
}

/* Where the light ends within an interval of thickness x, 0 to 1/2 of its length. */
NF_FN nf_real nf_mean_place(nf_real x) {
  if (x < (nf_real)0.5) {
    const nf_real square = x * x;
    return (nf_real)0.5 - x * ((nf_real)(1.0 / 12) - square * ((nf_real)(1.0 / 720) - square * (nf_real)(1.0 / 30240)));
  }
  return (nf_real)1 / x - (nf_real)1 / (nf_exp(nf_min(x, (nf_real)60)) - (nf_real)1);
}

/* Loss of a difference and its slope: Huber's, from `limit` on linear with the slope 1; the square where limit is 0. */
NF_FN nf_real nf_huber(nf_real difference, nf_real limit, nf_real *slope) {
  const nf_real size = nf_fabs(difference);
  if (limit == (nf_real)0) {
    *slope = (nf_real)2 * difference;
    return difference * difference;
  }
  if (size > limit) {
    *slope = difference > (nf_real)0 ? (nf_real)1 : (nf_real)-1;
    return size - (nf_real)0.5 * limit;
  }
  *slope = difference / limit;
  return (nf_real)0.5 * difference * difference / limit;
}

/* A number in [0, 1) from three: Jarzynski and Olano, Hash Functions for GPU Rendering, JCGT 2020, pcg3d. */
NF_FN void nf_random(unsigned x, unsigned y, unsigned z, nf_real *out) {
  unsigned v[3];
  int i;
  v[0] = x * 1664525u + 1013904223u;
  v[1] = y * 1664525u + 1013904223u;
  v[2] = z * 1664525u + 1013904223u;
  v[0] += v[1] * v[2];
  v[1] += v[2] * v[0];
  v[2] += v[0] * v[1];
  for (i = 0; i < 3; ++i) v[i] ^= v[i] >> 16;
  v[0] += v[1] * v[2];
  v[1] += v[2] * v[0];
  v[2] += v[0] * v[1];
  for (i = 0; i < 3; ++i) out[i] = (nf_real)(v[i] >> 8) * (nf_real)(1.0 / 16777216.0);
}

#endif
