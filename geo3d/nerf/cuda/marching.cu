/* Samples of rays in occupied cells: a thread a ray, two passes. */
#include "field_math.h"

__device__ __forceinline__ nf_ray ray_of(int ray, const float *box, const float *origins, const float *directions,
                                         const float *near, const float *far, const float *jitter) {
  return nf_make_ray(box, origins + 3 * (size_t)ray, directions + 3 * (size_t)ray, near[ray], far[ray],
                     jitter ? jitter[ray] : 0.5f);
}

__device__ __forceinline__ float first_place(const nf_ray &ray, const float *steps) {
  return ray.near + (ray.phase - 0.5f) * nf_step(ray.near, steps);
}

/* box (5): centre, side, whether unbounded; steps (3): cone angle, smallest, largest; jitter (rays,), or null for 0.5;
   cells (n, n, n), blocks (n / 8, ...). counts (rays,): how many samples each has, at most `most`. */
extern "C" __global__ void __launch_bounds__(128)
count_samples(int rays, const float *origins, const float *directions, const float *near, const float *far,
              const float *jitter, const float *box, const float *steps, int n, const unsigned char *cells,
              const unsigned char *blocks, int most, int *counts) {
  const int r = blockIdx.x * blockDim.x + threadIdx.x;
  if (r >= rays) return;
  const nf_ray ray = ray_of(r, box, origins, directions, near, far, jitter);
  float t = first_place(ray, steps), start, end, unit[3];
  int found = 0;
  while (found < most && nf_next_sample(&ray, box[4] != 0.0f, steps, n, cells, blocks, &t, &start, &end, unit))
    ++found;
  counts[r] = found;
}

/* The samples from offsets (rays + 1,) on, those that fit: starts, ends (capacity,), positions (capacity, 3) in the unit
   cube, owners (capacity,): the ray of each. */
extern "C" __global__ void __launch_bounds__(128)
write_samples(int rays, const float *origins, const float *directions, const float *near, const float *far,
              const float *jitter, const float *box, const float *steps, int n, const unsigned char *cells,
              const unsigned char *blocks, const long long *offsets, int capacity, float *starts, float *ends,
              float *positions, int *owners) {
  const int r = blockIdx.x * blockDim.x + threadIdx.x;
  if (r >= rays) return;
  const long long last = offsets[r + 1] < capacity ? offsets[r + 1] : capacity;
  const nf_ray ray = ray_of(r, box, origins, directions, near, far, jitter);
  float t = first_place(ray, steps), start, end, unit[3];
  for (long long row = offsets[r]; row < last; ++row) {
    nf_next_sample(&ray, box[4] != 0.0f, steps, n, cells, blocks, &t, &start, &end, unit);
    starts[row] = start;
    ends[row] = end;
    for (int i = 0; i < 3; ++i) positions[3 * row + i] = unit[i];
    owners[row] = r;
  }
}
