/* Random pixels of photos that lie on the GPU as bytes, with their rays. */
#include "field_math.h"

/* Photo that holds a pixel: the last one of starts (photos + 1,) that is not behind it. */
__device__ __forceinline__ int photo_of(long long pixel, int photos, const long long *starts) {
  int low = 0, high = photos;
  while (high - low > 1) {
    const int middle = (low + high) / 2;
    if (starts[middle] <= pixel)
      low = middle;
    else
      high = middle;
  }
  return low;
}

/* colors (pixels, 3) and opacities (pixels,) of all photos, row by row, photo by photo; opacities may be null. valid
   (candidates,): the pixels that count, or null where all `candidates` do. Of each photo: lenses, where the bearings
   (..., 3) of its pixels begin, 0 where a pixel has none; numbers, its number in the training; and by that number poses
   (12), frame_from_camera row by row, and nearest, where its rays begin. background (3), or null for a random one. Out,
   for each ray: origins, directions, near, far, target, opacity, behind (its background), rows, jitter. */
extern "C" __global__ void __launch_bounds__(256)
draw_pixels(int rays, int seed, int step, int photos, int candidates, const int *valid, const long long *starts,
            const unsigned char *colors, const unsigned char *opacities, const long long *lenses, const float *bearings,
            const int *numbers, const float *poses, const float *nearest, float farthest, const float *background,
            float *origins, float *directions, float *near, float *far, float *target, float *opacity, float *behind,
            int *rows, float *jitter) {
  const int r = blockIdx.x * blockDim.x + threadIdx.x;
  if (r >= rays) return;
  float u[3], other[3];
  nf_random((unsigned)r, (unsigned)step, 2u * (unsigned)seed, u);
  nf_random((unsigned)r, (unsigned)step, 2u * (unsigned)seed + 1u, other);
  /* 48 bits of randomness: 24 would not tell the pixels of many photos apart */
  const double place = ((double)u[0] + (double)u[1] * (1.0 / 16777216.0)) * (double)candidates;
  long long pixel = min((int)place, candidates - 1);
  if (valid) pixel = valid[pixel];
  const int photo = photo_of(pixel, photos, starts), row = numbers[photo];
  const float *bearing = bearings + 3 * (lenses[photo] + pixel - starts[photo]), *pose = poses + 12 * row;
  const bool seen = bearing[0] != 0.0f || bearing[1] != 0.0f || bearing[2] != 0.0f;
  near[r] = nearest[row];
  far[r] = seen ? farthest : nearest[row]; /* nothing is on a ray that is none */
  for (int i = 0; i < 3; ++i) {
    const size_t at = 3 * (size_t)r + i;
    origins[at] = pose[4 * i + 3];
    directions[at] = pose[4 * i] * bearing[0] + pose[4 * i + 1] * bearing[1] + pose[4 * i + 2] * bearing[2];
    target[at] = (float)colors[3 * pixel + i] * (1.0f / 255.0f);
    behind[at] = background ? background[i] : other[i];
  }
  opacity[r] = opacities ? (float)opacities[pixel] * (1.0f / 255.0f) : 1.0f;
  rows[r] = row;
  jitter[r] = u[2];
}
