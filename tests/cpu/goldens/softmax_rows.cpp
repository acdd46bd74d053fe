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
    const f32 v4 = splat<f32>(infinity<float>());
    const f32 v5 = splat<f32>(0.0f);
    const f32 v6 = maximum(l.s0, r.s0);
    const mask v7 = mask_of(l.s0 > r.s0);
    const mask v8 = mask_of(l.s0 == r.s0);
    const f32 v9 = absolute(l.s0);
    const mask v10 = mask_of(v9 == v4);
    const mask v11 = v8 & v10;
    const f32 v12 = select(v7, r.s0, l.s0);
    const f32 v13 = select(v11, v5, v12);
    const f32 v14 = select(v11, v5, v6);
    const f32 v15 = v13 - v14;
    const f32 v16 = exp(v15);
    const f32 v17 = r.s1 * v16;
    const f32 v18 = l.s1 + v17;
    const f32 v19 = l.s1 * v16;
    const f32 v20 = v19 + r.s1;
    const f32 v21 = select(v7, v18, v20);
    return {v6, v21};
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
static constexpr double nanoseconds = 3.89, first_part = 0.21568627450980396, second_part = 0.3921568627450981;
#include "state.h"
typedef leaves<leaf<0, float32, &input::s0>, leaf<1, float32, &input::s1>> in;
typedef leaves<leaf<0, float32, &state::s0>, leaf<1, float32, &state::s1>> out;
typedef constants<numbers<>> captured_arrays;
typedef lanes<lane<0, float32, &state::s0, 0, 0, CARRIED>,
    lane<1, float32, &state::s1, 4, 1, CARRIED | RESULT | WATCHED | HIGH | LOW | LASTING>> registers;
static constexpr carry_facts carried[] = {{0, 1, 4, 0}, {1, 1, 4, 4}};
#include "rows.h"
