/* Adam (Kingma and Ba, ICLR 2015): m <- b1 m + (1 - b1) g;  v <- b2 v + (1 - b2) g^2;  x <- x - rate m / (sqrt(v) + eps),
   where `rate` and `eps` already hold the corrections of the bias. Gradients come multiplied, and are left 0. Nothing
   moves where the loss is not finite. */
#include "tensor_cores.h"

__device__ __forceinline__ bool finite(float x) { return fabsf(x) < 3e38f; }

__device__ __forceinline__ float moved(float x, float g, float &m, float &v, float rate, float beta1, float beta2,
                                       float epsilon) {
  m = beta1 * m + (1.0f - beta1) * g;
  v = beta2 * v + (1.0f - beta2) * g * g;
  return x - rate * m / (sqrtf(v) + epsilon);
}

/* Entries of the grid, (entries,) pairs each; one without gradient stays as it is. halves (entries,): their copies. */
extern "C" __global__ void __launch_bounds__(256)
adam_grid(int entries, const float *loss, float scale, float rate, float beta1, float beta2, float epsilon,
          float2 *gradient, float2 *m, float2 *v, float2 *grid, unsigned *halves) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= entries) return;
  const float2 g = gradient[i];
  if (g.x == 0.0f && g.y == 0.0f) return;
  gradient[i] = make_float2(0.0f, 0.0f);
  if (!finite(loss[0]) || !finite(g.x) || !finite(g.y)) return;
  float2 first = m[i], second = v[i], at = grid[i];
  at.x = moved(at.x, g.x * scale, first.x, second.x, rate, beta1, beta2, epsilon);
  at.y = moved(at.y, g.y * scale, first.y, second.y, rate, beta1, beta2, epsilon);
  m[i] = first;
  v[i] = second;
  grid[i] = at;
  halves[i] = pack_halves(at.x, at.y);
}

extern "C" __global__ void __launch_bounds__(256)
adam_weights(int count, const float *loss, float scale, float rate, float beta1, float beta2, float epsilon,
             float *gradient, float *m, float *v, float *weights) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= count) return;
  const float g = gradient[i];
  gradient[i] = 0.0f;
  if (finite(loss[0]) && finite(g)) weights[i] = moved(weights[i], g * scale, m[i], v[i], rate, beta1, beta2, epsilon);
}
