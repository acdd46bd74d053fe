#define MS_WIDTH 8
#define MS_MASK i32
#define MS_FLUSH 1
#define BULK INLINE  // what moves whole states
#define COMBINE INLINE
#include "maths.h"

template <class V> struct op {
  typedef typename V::f32 f32;
  typedef typename V::mask mask;
  struct state {
    f32 s0, s1;
  };
  struct captures {};
  INLINE state combine(state l, state r, captures) {
    const f32 v4 = splat<f32>(0.0f);
    const f32 v5 = maximum(l.s0, r.s0);
    const mask v6 = mask_of(l.s0 >= r.s0);
    const mask v7 = mask_of(l.s0 == r.s0);
    const f32 v8 = minimum(l.s0, r.s0);
    const f32 v9 = select(v7, v4, v8);
    const f32 v10 = select(v7, v4, v5);
    const f32 v11 = v9 - v10;
    const f32 v12 = exp(v11);
    const f32 v13 = r.s1 * v12;
    const f32 v14 = l.s1 + v13;
    const f32 v15 = l.s1 * v12;
    const f32 v16 = v15 + r.s1;
    const f32 v17 = select(v6, v14, v16);
    return {v5, v17};
  }
};
typedef op<vectors> operation;

typedef operation::state element;
typedef operation::state input;
static constexpr bool reverse = false, inclusive = true, has_identity = false, want_results = true, from_end = false,
    can_part = true, turns = false, guarded = true, whole_watch = false, action = false, begins = false,
    packs_captures = false, prepares = false, presents = false, calls_around = false, paired = false, heavy = true;
static constexpr int arity = 2, captured = 0, inputs = 2, states = 2, outputs = 2, carry_bytes = 8, result_bytes = 8,
    cache_line = 2, length = 8, fold_length = 4;
static constexpr double nanoseconds = 3.52, first_part = 0.21568627450980396, second_part = 0.3921568627450981;
#include "state.h"
typedef leaves<leaf<0, float32, &input::s0>, leaf<1, float32, &input::s1>> in;
typedef leaves<leaf<0, float32, &state::s0>, leaf<1, float32, &state::s1>> out;
typedef constants<numbers<>> captured_arrays;
typedef lanes<lane<0, float32, &state::s0, 0, 0, CARRIED>,
    lane<1, float32, &state::s1, 4, 1, CARRIED | RESULT | WATCHED | HIGH | LOW | LASTING>> registers;
static constexpr carry_facts carried[] = {{0, 1, 4, 0}, {1, 1, 4, 4}};
#include "rows.h"
