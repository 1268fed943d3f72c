/* What the kernels agree on: tiles, buckets, and rows of numbers in memory.

   An instance is a Gaussian in a tile that it reaches. A tile's instances, front to back, are cut into buckets: the
   forward pass stores each pixel's state at the start of a bucket, and one warp walks back through it. */
#ifndef GEO3D_SPLAT_LAYOUT_H
#define GEO3D_SPLAT_LAYOUT_H

#include "splat_math.h"

#define TILE 16
#define TILE_PIXELS 256
#define PER_LANE 2                 /* Gaussians that one lane of the backward pass holds */
#define BUCKET (32 * PER_LANE)     /* instances */
#define FULL_WARP 0xffffffffu

/* Channels that are blended: 3 colour; 4 and the depth; 7 and the normal in the camera frame. */

/* A projected Gaussian, two float4: centre x, y (px), opacity, depth | conic xx, xy, yy, reach. */
#define PLACE(projected, g) (projected)[2 * (size_t)(g)]
#define CONIC(projected, g) (projected)[2 * (size_t)(g) + 1]

/* Gradient of one instance, or of a Gaussian in the image: a row of GRADIENT_HEAD + channels numbers. */
#define D_MEAN 0     /* 2: by the centre, px^-1 */
#define D_MEAN_ABS 2 /* 2: absolute values of that, summed over pixels */
#define D_CONIC 4    /* 3 */
#define D_OPACITY 7
#define GRADIENT_HEAD 8

/* Tiles that a Gaussian reaches: `visit(tile)` for each, row by row (AccuTile: Hanson et al., Speedy-Splat, CVPR 2025;
   here in closed form). Returns their number. */
template <class Visit>
__device__ __forceinline__ int visit_tiles(const float4 &place, const float4 &conic4, int width, int height,
                                           Visit visit) {
  const float mean[2] = {place.x, place.y}, conic[3] = {conic4.x, conic4.y, conic4.z};
  const float half = gs_half_extent(conic, conic4.w, 1);
  int top, bottom, count = 0;
  gs_pixel_span(mean[1] - half, mean[1] + half, height, &top, &bottom);
  const int tiles_x = (width + TILE - 1) / TILE;
  for (int row = top / TILE; row * TILE <= bottom; ++row) {
    int left, right;
    gs_strip_span(mean, conic, conic4.w, max(top, row * TILE), min(bottom, row * TILE + TILE - 1), width, &left, &right);
    if (left > right) continue;
    for (int column = left / TILE; column * TILE <= right; ++column, ++count) visit(row * tiles_x + column);
  }
  return count;
}

#endif
