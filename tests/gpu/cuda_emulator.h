/* Runs CUDA kernels on the CPU, one thread at a time, so that their sources are executed and checked without a GPU.

   Included before a .cu file that g++ compiles as C++. Every thread of a block is a coroutine, which yields at a barrier
   or a warp operation until all the others that take part are there; blocks run one after the other. What hardware
   leaves open is an error here: a barrier or warp operation that some threads never reach, a partial warp mask, lanes
   of a warp at different operations. Threads run in ascending, descending or shuffled order: a kernel that misses a
   barrier then gives different results. */
#pragma once

#include <math.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <ucontext.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#endif

#define __device__
#define __global__
#define __shared__ static
#define __forceinline__ inline
#define __launch_bounds__(...)

struct float2 { float x, y; };
struct float4 { float x, y, z, w; };
struct uint2 { unsigned x, y; };
struct uint3 { unsigned x, y, z; };
typedef uint3 dim3;
inline float2 make_float2(float x, float y) { return {x, y}; }
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }
inline int min(int a, int b) { return a < b ? a : b; }
inline int max(int a, int b) { return a > b ? a : b; }
inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline float __expf(float x) { return expf(x); }
inline float __fdividef(float a, float b) { return a / b; }

static uint3 threadIdx, blockIdx;
static dim3 blockDim, gridDim;

namespace emulator {

constexpr int kStack = 256 * 1024;

struct Warp {
  unsigned generation = 0;
  int arrived = 0, line[2] = {0, 0};
  uint64_t slots[2][32];
  unsigned operands[2][32][6]; /* of matrix products */
};

struct Thread {
  ucontext_t context;
  std::unique_ptr<char[]> stack;
  bool finished;
  const unsigned *waits_for; /* a generation that has to move on from `seen` */
  unsigned seen;
};

static std::vector<std::unique_ptr<Thread>> threads;
static std::vector<Warp> warps;
static int current;
static unsigned barrier_generation;
static int barrier_arrived, barrier_sum[2];
static ucontext_t scheduler;
static std::string error;
static void (*body)(void *);
static void *body_argument;
#if defined(__SANITIZE_ADDRESS__)
static const void *scheduler_stack;
static size_t scheduler_size;
#endif

inline void yield(bool last = false) {
#if defined(__SANITIZE_ADDRESS__)
  void *fake = nullptr;
  __sanitizer_start_switch_fiber(last ? nullptr : &fake, scheduler_stack, scheduler_size);
#endif
  swapcontext(&threads[current]->context, &scheduler);
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(fake, &scheduler_stack, &scheduler_size);
#endif
}

/* Leaves this thread for good: the launch ends with the message. */
inline void fail(const std::string &message) {
  if (error.empty())
    error = message + " (block " + std::to_string(blockIdx.x) + ", thread " + std::to_string(threadIdx.x) + ")";
  while (true) yield();
}

inline void wait(const unsigned *generation, unsigned seen) {
  threads[current]->waits_for = generation;
  threads[current]->seen = seen;
  yield();
}

/* The values of all lanes of this warp, once all are there. */
inline const uint64_t *exchange(unsigned mask, uint64_t value, int line) {
  if (mask != 0xffffffffu) fail("line " + std::to_string(line) + ": a warp mask that is not full");
  Warp &warp = warps[current / 32];
  const unsigned generation = warp.generation, half = generation & 1;
  if (warp.arrived > 0 && warp.line[half] != line)
    fail("lanes of one warp are at lines " + std::to_string(warp.line[half]) + " and " + std::to_string(line));
  warp.line[half] = line;
  warp.slots[half][current % 32] = value;
  if (++warp.arrived == 32) {
    warp.arrived = 0;
    ++warp.generation;
  } else {
    wait(&warp.generation, generation);
  }
  return warp.slots[half];
}

inline int barrier(int value) {
  const unsigned generation = barrier_generation, half = generation & 1;
  if (barrier_arrived == 0) barrier_sum[half] = 0;
  barrier_sum[half] += value;
  if (++barrier_arrived == (int)threads.size()) {
    barrier_arrived = 0;
    ++barrier_generation;
  } else {
    wait(&barrier_generation, generation);
  }
  return barrier_sum[half];
}

template <class T>
uint64_t to_bits(T value) {
  static_assert(sizeof(T) <= 8, "values of warp operations have at most 64 bits");
  uint64_t bits = 0;
  memcpy(&bits, &value, sizeof(T));
  return bits;
}

template <class T>
T from_bits(uint64_t bits) {
  T value;
  memcpy(&value, &bits, sizeof(T));
  return value;
}

template <class T>
T shuffle(unsigned mask, T value, int from, int line) {
  const uint64_t *slots = exchange(mask, to_bits(value), line);
  return from_bits<T>(slots[from >= 0 && from < 32 ? from : current % 32]);
}

/* A half of 16 bits, and float32 to the nearest half, ties to even. */
inline float decoded_half(unsigned half) {
  const unsigned exponent = half >> 10 & 0x1f, fraction = half & 0x3ff;
  const float size = exponent == 0    ? ldexpf((float)fraction, -24)
                     : exponent == 31 ? (fraction ? NAN : INFINITY)
                                      : ldexpf((float)(fraction | 0x400), (int)exponent - 25);
  return half & 0x8000 ? -size : size;
}

inline float from_half(unsigned half) {
  static const std::vector<float> all = [] {
    std::vector<float> found(65536);
    for (unsigned i = 0; i < 65536; ++i) found[i] = decoded_half(i);
    return found;
  }();
  return all[half];
}

inline unsigned to_half(float value) {
  const unsigned sign = signbit(value) ? 0x8000u : 0u;
  const float size = fabsf(value);
  if (isnan(value)) return sign | 0x7e00u;
  if (size >= 65520.0f) return sign | 0x7c00u;
  int exponent;
  frexpf(size, &exponent); /* size = f 2^exponent, 0.5 <= f < 1 */
  const int unit = exponent - 11 > -24 ? exponent - 11 : -24;
  const unsigned steps = (unsigned)nearbyintf(ldexpf(size, -unit)); /* up to 2048: then the next exponent's first */
  return sign | (steps < 1024 ? steps : steps + ((unsigned)(unit + 24) << 10));
}

inline unsigned ballot(unsigned mask, bool value, int line) {
  const uint64_t *slots = exchange(mask, value, line);
  unsigned set = 0;
  for (int i = 0; i < 32; ++i) set |= (unsigned)slots[i] << i;
  return set;
}

template <class T>
unsigned match_any(unsigned mask, T value, int line) {
  const uint64_t *slots = exchange(mask, to_bits(value), line);
  unsigned same = 0;
  for (int i = 0; i < 32; ++i) same |= (unsigned)(slots[i] == to_bits(value)) << i;
  return same;
}

inline void enter() {
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(nullptr, &scheduler_stack, &scheduler_size);
#endif
  body(body_argument);
  threads[current]->finished = true;
  yield(true);
}

inline void resume(int i) {
  current = i;
  threadIdx = {(unsigned)i, 0, 0};
  threads[i]->waits_for = nullptr;
#if defined(__SANITIZE_ADDRESS__)
  void *fake = nullptr;
  __sanitizer_start_switch_fiber(&fake, threads[i]->stack.get(), kStack);
#endif
  swapcontext(&scheduler, &threads[i]->context);
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(fake, nullptr, nullptr);
#endif
}

inline void run_block(int order, unsigned &random) {
  const int count = (int)threads.size();
  warps.assign(count / 32, Warp());
  barrier_generation = 0;
  barrier_arrived = 0;
  for (auto &thread : threads) {
    thread->finished = false;
    thread->waits_for = nullptr;
    getcontext(&thread->context);
    thread->context.uc_stack.ss_sp = thread->stack.get();
    thread->context.uc_stack.ss_size = kStack;
    thread->context.uc_link = &scheduler;
    makecontext(&thread->context, enter, 0);
  }
  for (int alive = count; alive > 0;) {
    bool moved = false;
    unsigned offset = 0, stride = 1;
    if (order == 2) { /* an odd stride visits all threads of a power of two, and nearly all otherwise */
      random = random * 1664525u + 1013904223u;
      offset = random >> 16;
      stride = (random >> 8 & 0xfe) + 1;
    }
    for (int k = 0; k < count && error.empty(); ++k) {
      const int i = order == 0 ? k : order == 1 ? count - 1 - k : (int)((offset + k * stride) % count);
      Thread &thread = *threads[i];
      if (thread.finished || (thread.waits_for && *thread.waits_for == thread.seen)) continue;
      resume(i);
      moved = true;
      alive -= thread.finished;
    }
    if (!error.empty()) return;
    if (!moved && order != 2) {
      error = "block " + std::to_string(blockIdx.x) + ": some threads wait where the others never come";
      return;
    }
    if (!moved) order = 0;
  }
}

template <class... A>
struct Call {
  void (*kernel)(A...);
  void **arguments;
};

template <class... A, size_t... I>
void invoke(const Call<A...> &call, std::index_sequence<I...>) {
  call.kernel(*static_cast<std::remove_const_t<A> *>(call.arguments[I])...);
}

/* Runs all blocks; null, or what went wrong. order: 0 ascending, 1 descending, 2 shuffled. */
template <class... A>
const char *launch(void (*kernel)(A...), int grid, int block, void **arguments, int order) {
  error.clear();
  if (block % 32 || block <= 0 || block > 1024) return "a block is of 32 to 1024 threads, whole warps";
  Call<A...> call{kernel, arguments};
  body_argument = &call;
  body = [](void *argument) {
    invoke(*static_cast<Call<A...> *>(argument), std::index_sequence_for<A...>());
  };
  gridDim = {(unsigned)grid, 1, 1};
  blockDim = {(unsigned)block, 1, 1};
  while ((int)threads.size() > block) threads.pop_back();
  while ((int)threads.size() < block) {
    threads.push_back(std::make_unique<Thread>());
    threads.back()->stack.reset(new char[kStack]);
  }
  unsigned random = 1;
  for (int b = 0; b < grid && error.empty(); ++b) {
    blockIdx = {(unsigned)(order == 0 ? b : grid - 1 - b), 0, 0};
    run_block(order, random);
  }
  return error.empty() ? nullptr : error.c_str();
}

/* The kind of each parameter, a letter: f, i, l a pointer to float (or structures of it), int, long long;
   F, I a float or int by value. */
template <class T> struct Kind { static constexpr char pointer = 'f'; };
template <> struct Kind<float> { static constexpr char value = 'F', pointer = 'f'; };
template <> struct Kind<int> { static constexpr char value = 'I', pointer = 'i'; };
template <> struct Kind<unsigned> { static constexpr char value = 'I', pointer = 'i'; };
template <> struct Kind<long long> { static constexpr char value = 'L', pointer = 'l'; };
template <> struct Kind<unsigned char> { static constexpr char pointer = 'b'; };
template <> struct Kind<uint2> { static constexpr char pointer = 'i'; };
template <class T> struct Letter { static constexpr char value = Kind<std::remove_const_t<T>>::value; };
template <class T> struct Letter<T *> { static constexpr char value = Kind<std::remove_const_t<T>>::pointer; };

template <class... A>
const char *signature(void (*)(A...)) {
  static const char letters[] = {Letter<A>::value..., 0};
  return letters;
}

}  // namespace emulator

inline float at_most(float x, float limit) { return x > limit ? limit : x; }
inline float at_least(float x, float limit) { return x < limit ? limit : x; }

inline unsigned pack_halves(float low, float high) {
  low = at_most(at_least(low, -65504.0f), 65504.0f);
  high = at_most(at_least(high, -65504.0f), 65504.0f);
  return emulator::to_half(low) | emulator::to_half(high) << 16;
}

inline float2 unpack_halves(unsigned pair) { return {emulator::from_half(pair & 0xffff), emulator::from_half(pair >> 16)}; }

/* mma.m16n8k16 of PTX on halves: of A (16 x 16) a lane holds in register r the row lane / 4 + 8 (r % 2) and the columns
   2 (lane % 4) + 8 (r / 2) and the next; of B (16 x 8) in register r the column lane / 4 and the rows 2 (lane % 4) + 8 r
   and the next; of C (16 x 8) the row lane / 4 and the columns 2 (lane % 4) and the next, then row + 8. */
inline void multiply_add(float *c, const unsigned *a, uint2 b) {
  emulator::Warp &warp = emulator::warps[emulator::current / 32];
  unsigned(*held)[6] = warp.operands[warp.generation & 1];
  const int lane = emulator::current % 32;
  const unsigned mine[6] = {a[0], a[1], a[2], a[3], b.x, b.y};
  memcpy(held[lane], mine, sizeof mine);
  emulator::exchange(0xffffffffu, 0, __LINE__);
  for (int i = 0; i < 4; ++i) {
    const int row = lane / 4 + 8 * (i / 2), column = 2 * (lane % 4) + i % 2;
    for (int k = 0; k < 16; ++k) {
      const int shift = 16 * (k % 2), other = k % 8 / 2;
      const unsigned left = held[4 * (row % 8) + other][row / 8 + 2 * (k / 8)] >> shift;
      const unsigned right = held[4 * column + other][4 + k / 8] >> shift;
      c[i] += emulator::from_half(left & 0xffff) * emulator::from_half(right & 0xffff);
    }
  }
}

#define __syncthreads() emulator::barrier(0)
#define __syncthreads_count(value) emulator::barrier((value) ? 1 : 0)
#define __syncwarp() emulator::exchange(0xffffffffu, 0, __LINE__)
#define __shfl_sync(mask, value, lane) emulator::shuffle(mask, value, lane, __LINE__)
#define __shfl_up_sync(mask, value, by) emulator::shuffle(mask, value, emulator::current % 32 - (by), __LINE__)
#define __shfl_down_sync(mask, value, by) emulator::shuffle(mask, value, emulator::current % 32 + (by), __LINE__)
#define __shfl_xor_sync(mask, value, by) emulator::shuffle(mask, value, (emulator::current % 32) ^ (by), __LINE__)
#define __ballot_sync(mask, value) emulator::ballot(mask, value, __LINE__)
#define __match_any_sync(mask, value) emulator::match_any(mask, value, __LINE__)

template <class T>
T atomicAdd(T *at, T value) {
  const T before = *at;
  *at += value;
  return before;
}

inline int atomicMax(int *at, int value) {
  const int before = *at;
  *at = before > value ? before : value;
  return before;
}
