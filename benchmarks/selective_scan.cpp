// Mamba's selective scan written by hand, for 16 states a channel: what a kernel from an operator is measured against.
//
// A vector holds channels, whose states stay in registers; threads claim blocks of channels one by one. Blocks begin at
// cache lines, where MLX's arrays do not: the first and the last overlap their neighbours. The exponential and the
// registers' flush to zero are those of monoscan's kernels.
#include "maths.h"

#include <atomic>
#include <thread>

enum { STATES = 16 };
struct arrays {
  ms_int batch, time, channels;
  const f32 *delta, *a, *b, *c,
      *x;  // (batch, time, channels), (channels, states), twice (batch, time, states), as delta
  f32* y;
};
template <int... n> INLINE void block(const arrays& g, ms_int row, ms_int first, seq<n...>) {
  alignas(64) f32 a[STATES * W];  // a vector of channels for each state
  for (int k = 0; k < STATES; ++k)
    for (int j = 0; j < W; ++j) a[k * W + j] = g.a[(first + j) * STATES + k];
  f32v h[STATES] = {};
  for (ms_int t = 0; t < g.time; ++t) {
    const ms_int at = (row * g.time + t) * g.channels + first;
    const f32 *const b = g.b + (row * g.time + t) * STATES, *const c = g.c + (row * g.time + t) * STATES;
    __builtin_prefetch(g.delta + at + 8 * g.channels), __builtin_prefetch(g.x + at + 8 * g.channels);
    __builtin_prefetch(g.y + at + 8 * g.channels, 1);
    const f32v d = load_bits<f32v>(g.delta + at), taken = d * load_bits<f32v>(g.x + at);
    f32v y = {};
    ((h[n] = exp(d * load_bits<f32v>(a + n * W)) * h[n] + taken * b[n], y = y + h[n] * c[n]), ...);
    store_bits(g.y + at, y);
  }
}
// Channels are a multiple of the vector's lanes.
MS_EXPORT void run(const arrays* given, int threads) {
  const arrays g = *given;
  const ms_int line = (ms_int)(-(u64)g.delta % 64 / sizeof(f32)) % W, blocks = g.channels / W + (line > 0);
  auto first_of = [&](ms_int i) { return line == 0 ? i * W : i == 0 ? 0 : least(line + (i - 1) * W, g.channels - W); };
  std::atomic<ms_int> next{0};
  auto work = [&] {
    const arithmetic_mode mode;
    for (ms_int i; (i = next++) < g.batch * blocks;) block(g, i / blocks, first_of(i % blocks), upto<STATES>());
  };
  std::thread others[16];
  for (int i = 1; i < threads; ++i) others[i] = std::thread(work);
  work();
  for (int i = 1; i < threads; ++i) others[i].join();
}
