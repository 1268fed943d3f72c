/* Which cells of the occupancy grid are looked at, where in them, and what they remember. */
#include "field_math.h"

#define TRIES 32 /* to find an occupied cell */

__device__ __forceinline__ int random_cell(int cells, float u) { return min((int)(u * (float)cells), cells - 1); }

/* chosen (count,) and positions (count, 3): a random place in each cell. first >= 0: the cells from `first` on; else half
   of them from all, the rest from those that are occupied, as far as `TRIES` draws find one: `empty` (n, n, n) is 0. */
extern "C" __global__ void __launch_bounds__(256)
draw_cells(int count, int n, int first, int seed, const unsigned char *empty, int *chosen, float *positions) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= count) return;
  const int cells = n * n * n;
  float u[3], place[3];
  nf_random((unsigned)i, (unsigned)seed, 0u, place);
  int cell = first + i;
  if (first < 0) {
    nf_random((unsigned)i, (unsigned)seed, 1u, u);
    cell = random_cell(cells, u[0]);
    for (int k = 1; i >= count / 2 && k < TRIES && empty[cell]; ++k) {
      nf_random((unsigned)i, (unsigned)seed, 1u + (unsigned)k, u);
      cell = random_cell(cells, u[0]);
    }
  }
  chosen[i] = cell;
  const int corner[3] = {cell / (n * n), cell / n % n, cell % n};
  for (int axis = 0; axis < 3; ++axis) positions[3 * (size_t)i + axis] = ((float)corner[axis] + place[axis]) / (float)n;
}

/* densities (n^3,) of the chosen cells fade; those never looked at (-1) become 0. A cell chosen twice may fade twice. */
extern "C" __global__ void __launch_bounds__(256)
fade_cells(int count, const int *chosen, float decay, float *densities) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < count) densities[chosen[i]] = fmaxf(densities[chosen[i]] * decay, 0.0f);
}

/* And take the larger of that and what was found: numbers that are not negative are ordered as their bits are. */
extern "C" __global__ void __launch_bounds__(256)
remember_cells(int count, const int *chosen, const float *found, float *densities) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= count) return;
  const float density = found[i];
  if (density > 0.0f) atomicMax((int *)densities + chosen[i], *(const int *)&density);
}
