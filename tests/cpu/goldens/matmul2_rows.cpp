#define MS_WIDTH 8
#define MS_MASK i32
#define MS_FLUSH 1
#define BULK INLINE  // what moves whole states
#define COMBINE INLINE
#include "ops.h"

template <class V> struct op {
  typedef typename V::f32 f32;
  struct state {
    f32 s0, s1, s2, s3;
  };
  struct captures {};
  INLINE state combine(state l, state r, captures) {
    const f32 v8 = l.s0 * r.s0;
    const f32 v9 = l.s0 * r.s1;
    const f32 v10 = l.s2 * r.s0;
    const f32 v11 = l.s2 * r.s1;
    const f32 v12 = l.s1 * r.s2;
    const f32 v13 = l.s1 * r.s3;
    const f32 v14 = l.s3 * r.s2;
    const f32 v15 = l.s3 * r.s3;
    const f32 v16 = v8 + v12;
    const f32 v17 = v9 + v13;
    const f32 v18 = v10 + v14;
    const f32 v19 = v11 + v15;
    return {v16, v17, v18, v19};
  }
};
typedef op<vectors> operation;

typedef operation::state element;
typedef operation::state input;
static constexpr bool reverse = false, inclusive = true, has_identity = false, want_results = true, from_end = false,
    can_part = true, turns = false, guarded = true, whole_watch = false, action = false, begins = false,
    packs_captures = false, prepares = false, presents = false, calls_around = false, paired = true, heavy = false;
static constexpr int arity = 1, captured = 0, inputs = 1, states = 1, outputs = 1, carry_bytes = 16, result_bytes = 16,
    cache_line = 2, length = 4, fold_length = 4;
static constexpr double nanoseconds = 5.81, first_part = 0.21568627450980396, second_part = 0.3921568627450981;
#include "state.h"
typedef leaves<leaf<0, float32, &input::s0, &input::s1, &input::s2, &input::s3>> in;
typedef leaves<leaf<0, float32, &state::s0, &state::s1, &state::s2, &state::s3>> out;
typedef constants<numbers<>> captured_arrays;
typedef lanes<lane<0, float32, &state::s0, 0, 0, CARRIED | RESULT | WATCHED | HIGH | LOW | LASTING>,
    lane<1, float32, &state::s1, 4, -1, CARRIED | RESULT | WATCHED | HIGH | LOW | LASTING>,
    lane<2, float32, &state::s2, 8, -1, CARRIED | RESULT | WATCHED | HIGH | LOW | LASTING>,
    lane<3, float32, &state::s3, 12, -1, CARRIED | RESULT | WATCHED | HIGH | LOW | LASTING>> registers;
static constexpr carry_facts carried[] = {{0, 4, 4, 0}};
#include "rows.h"
