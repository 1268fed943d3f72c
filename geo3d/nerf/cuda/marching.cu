/* Samples of rays in occupied cells: a thread a ray, two passes. */
#include "field_math.h"

/* box, steps, empty as of field_math.h; jitter (rays,), or null for 0.5. counts (rays,): how many samples each has, at
   most `most`; begins (rays,): where the first one does. */
extern "C" __global__ void __launch_bounds__(128)
count_samples(int rays, const float *origins, const float *directions, const float *near, const float *far,
              const float *jitter, const float *box, const float *steps, int n, const unsigned char *empty, int most,
              int *counts, float *begins) {
  const int r = blockIdx.x * blockDim.x + threadIdx.x;
  if (r >= rays) return;
  const nf_ray ray = nf_make_ray(box, n, origins + 3 * (size_t)r, directions + 3 * (size_t)r, near[r], far[r],
                                 jitter ? jitter[r] : 0.5f);
  float t = nf_first_place(&ray, steps), first = 0.0f;
  int found = 0;
  while (found < most && nf_next_sample(&ray, steps, n, empty, &t)) {
    if (found == 0) first = t;
    ++found;
    t += nf_step(t, steps);
  }
  counts[r] = found;
  begins[r] = first;
}

/* The samples from offsets (rays + 1,) on, those that fit: starts, ends (capacity,), cut to the ray; positions
   (capacity, 3) of their middles in the unit cube; owners (capacity,): the ray of each. Where this pass rounds otherwise
   than the first, and finds no more, samples have no length. */
extern "C" __global__ void __launch_bounds__(128)
write_samples(int rays, const float *origins, const float *directions, const float *near, const float *far,
              const float *jitter, const float *box, const float *steps, int n, const unsigned char *empty,
              const long long *offsets, const float *begins, int capacity, float *starts, float *ends, float *positions,
              int *owners) {
  const int r = blockIdx.x * blockDim.x + threadIdx.x;
  if (r >= rays) return;
  const long long last = offsets[r + 1] < capacity ? offsets[r + 1] : capacity;
  const nf_ray ray = nf_make_ray(box, n, origins + 3 * (size_t)r, directions + 3 * (size_t)r, near[r], far[r],
                                 jitter ? jitter[r] : 0.5f);
  float t = begins[r], unit[3];
  for (long long row = offsets[r]; row < last; ++row) {
    const bool found = nf_next_sample(&ray, steps, n, empty, &t);
    const float end = t + nf_step(t, steps), from = fminf(fmaxf(t, ray.first), ray.last);
    const float to = found ? fmaxf(fminf(end, ray.last), from) : from;
    nf_unit_position(&ray, 0.5f * (from + to), unit);
    starts[row] = from;
    ends[row] = to;
    for (int i = 0; i < 3; ++i) positions[3 * row + i] = unit[i];
    owners[row] = r;
    t = end;
  }
}
