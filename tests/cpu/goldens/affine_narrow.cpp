#define MS_WIDTH 8
#define MS_MASK i32
#define MS_FLUSH 1
#define BULK INLINE  // what moves whole states
#define COMBINE INLINE
#include "ops.h"

template <class V> struct op {
  typedef typename V::f32 f32;
  struct state {
    f32 s0, s1;
  };
  struct captures {};
  INLINE state combine(state l, state r, captures) {
    const f32 v4 = r.s0 * l.s0;
    const f32 v5 = r.s0 * l.s1;
    const f32 v6 = v5 + r.s1;
    return {v4, v6};
  }
};
typedef op<vectors> operation;

typedef operation::state element;
typedef operation::state input;
static constexpr bool reverse = false, inclusive = true, has_identity = false, want_results = true, from_end = false,
    can_part = true, turns = false, guarded = true, whole_watch = false, action = false, begins = false,
    packs_captures = true;
static constexpr int arity = 2, captured = 0, inputs = 2, states = 2, outputs = 2, carry_bytes = 8, result_bytes = 8;
static constexpr double nanoseconds = 1.45, first_part = 0.2727272727272727, second_part = 0.36363636363636365;
#include "state.h"
typedef leaves<leaf<0, float32, &input::s0>, leaf<1, float32, &input::s1>> in;
typedef leaves<leaf<0, float32, &state::s0>, leaf<1, float32, &state::s1>> out;
typedef constants<numbers<>> captured_arrays;
typedef lanes<lane<0, float32, &state::s0, 0, 0, CARRIED | RESULT | WATCHED | HIGH | LOW | LASTING>,
    lane<1, float32, &state::s1, 4, 1, CARRIED | RESULT | WATCHED | HIGH | LOW | LASTING>> registers;
static constexpr carry_facts carried[] = {{0, 1, 4, 0}, {1, 1, 4, 4}};
#include "few_columns.h"
