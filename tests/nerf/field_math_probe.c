/* The header of the CUDA kernels as plain C, called from Python on arrays. */
#include "field_math.h"

void probe_corners(int count, const int *level, const nf_real *positions, int *rows, nf_real *weights, nf_real *slopes) {
  int n, i, axis;
  for (n = 0; n < count; ++n) {
    nf_corners(level, positions + 3 * n, (unsigned *)rows + 8 * n, weights + 8 * n);
    for (i = 0; i < 8; ++i)
      for (axis = 0; axis < 3; ++axis)
        slopes[24 * n + 3 * i + axis] = nf_corner_slope(level, positions + 3 * n, i, axis);
  }
}

void probe_harmonics(int count, const nf_real *d, nf_real *basis) {
  int n;
  for (n = 0; n < count; ++n) nf_harmonics(d[3 * n], d[3 * n + 1], d[3 * n + 2], basis + 16 * n);
}

void probe_contract(int count, const nf_real *points, nf_real *unit) {
  int n;
  for (n = 0; n < count; ++n) nf_contract(points + 3 * n, unit + 3 * n);
}

/* out (count, 6): opacity, mean place, Huber's loss and slope, loss and slope of squares. */
void probe_scalars(int count, const nf_real *x, const nf_real *limit, nf_real *out) {
  int n;
  for (n = 0; n < count; ++n) {
    out[6 * n] = nf_opacity(x[n]);
    out[6 * n + 1] = nf_mean_place(x[n]);
    out[6 * n + 2] = nf_huber(x[n] - (nf_real)1, limit[0], out + 6 * n + 3);
    out[6 * n + 4] = nf_huber(x[n] - (nf_real)1, (nf_real)0, out + 6 * n + 5);
  }
}

/* begins (rays, most): where each sample begins; counts (rays,). */
void probe_march(int rays, const nf_real *box, int n, const nf_real *origins, const nf_real *directions,
                 const nf_real *near, const nf_real *far, const nf_real *jitter, const nf_real *steps,
                 const unsigned char *empty, int most, int *counts, nf_real *begins) {
  int r;
  for (r = 0; r < rays; ++r) {
    const nf_ray ray = nf_make_ray(box, n, origins + 3 * r, directions + 3 * r, near[r], far[r], jitter[r]);
    nf_real t = nf_first_place(&ray, steps);
    counts[r] = 0;
    while (counts[r] < most && nf_next_sample(&ray, steps, n, empty, &t)) {
      begins[most * r + counts[r]++] = t;
      t += nf_step(t, steps);
    }
  }
}

void probe_random(int count, nf_real *out) {
  int n;
  for (n = 0; n < count; ++n) nf_random((unsigned)n, 7u, 3u, out + 3 * n);
}

/* out (count, 3): density, its slope, sigmoid. */
void probe_activations(int count, const nf_real *x, nf_real *out) {
  int n;
  for (n = 0; n < count; ++n) {
    out[3 * n] = nf_density(x[n]);
    out[3 * n + 1] = nf_density_slope(out[3 * n]);
    out[3 * n + 2] = nf_sigmoid(x[n]);
  }
}
