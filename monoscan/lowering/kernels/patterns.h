// Which lane goes where. The compiler turns constant patterns into single instructions.
//
// An order says which run of elements each lane holds: the lanes as they stand in memory, or the runs that a block
// transposition leaves in them.
#pragma once
#include "vector.h"

// Lane p holds step p of W, or its mirror image where the fold goes back.
template <bool back> struct in_order {
  static constexpr int run(int lane) { return back ? W - 1 - lane : lane; }
};
// After the transposition of 4 registers lane 4 g + c holds the four elements of run c * W / 4 + g; of 8, the halves
// of neighbouring runs of four are brought together.
template <int length, bool back> struct runs {
  static constexpr int quad(int lane) { return lane % 4 * (W / 4) + lane / 4; }
  static constexpr int first_half(int lane) {
    if (W == 4) return 2 * lane;
    const int g = lane / 4, c = lane % 4;
    return g % 2 == 0 ? lane : W + 4 * (g - 1) + c;
  }
  static constexpr int second_half(int lane) {
    if (W == 4) return 2 * lane + 1;
    const int g = lane / 4, c = lane % 4;
    return g % 2 == 0 ? 4 * (g + 1) + c : W + lane;
  }
  static constexpr int run(int lane) {
    int r = quad(lane);
    if (length == 8) {
      const int source = first_half(lane);
      r = (source < W ? quad(source) : W + quad(source - W)) / 2;
    }
    return back ? W - 1 - r : r;
  }
};
template <class Order> constexpr int lane_of(int run) {
  int lane = 0;
  while (Order::run(lane) != run) ++lane;
  return lane;
}

// Patterns of a permutation of (own, other): a rule for each lane, and the sequence of all.
template <class Rule, class Lanes = upto<W>> struct pattern_of;
template <class Rule, int... lane> struct pattern_of<Rule, seq<lane...>> { typedef seq<Rule::at(lane)...> type; };
template <class Rule> using pattern = typename pattern_of<Rule>::type;

template <class Order, int steps> struct rotate_rule {
  static constexpr int at(int lane) { return lane_of<Order>((Order::run(lane) + W - steps) % W); }
};
template <class Order, int steps> struct keep_rule {
  static constexpr int at(int lane) { return Order::run(lane) < steps ? lane : W + lane; }
};
template <class Order, int run> struct everywhere_rule {
  static constexpr int at(int) { return lane_of<Order>(run); }
};
// The value of `steps` runs before, around the end.
template <class Order, int steps> using rotate = pattern<rotate_rule<Order, steps>>;
// A lane with fewer than `steps` runs before it keeps its own; the others take the other.
template <class Order, int steps> using keep = pattern<keep_rule<Order, steps>>;
// The value of one run in all lanes.
template <class Order, int run> using everywhere = pattern<everywhere_rule<Order, run>>;

template <int a, int b, int c, int d> struct in_fours_rule {
  static constexpr int at(int lane) {
    return lane / 4 * 4 + (lane % 4 == 0 ? a : lane % 4 == 1 ? b : lane % 4 == 2 ? c : d);
  }
};
// The same in each block of four lanes.
template <int a, int b, int c, int d> using in_fours = pattern<in_fours_rule<a, b, c, d>>;

// Transposes each 4 x 4 block of lanes; its own inverse.
template <class V> INLINE void transpose(V& a, V& b, V& c, V& d) {
  constexpr in_fours<0, 1, W, W + 1> front;
  constexpr in_fours<2, 3, W + 2, W + 3> back;
  if constexpr (sizeof(a[0]) == 4) {
    constexpr in_fours<0, W, 1, W + 1> low;
    constexpr in_fours<2, W + 2, 3, W + 3> high;
    const V ab = permute(a, b, low), AB = permute(a, b, high), cd = permute(c, d, low), CD = permute(c, d, high);
    a = permute(ab, cd, front), b = permute(ab, cd, back), c = permute(AB, CD, front), d = permute(AB, CD, back);
  } else {
    constexpr in_fours<0, W, 2, W + 2> even;
    constexpr in_fours<1, W + 1, 3, W + 3> odd;
    const V ab = permute(a, b, even), AB = permute(a, b, odd), cd = permute(c, d, even), CD = permute(c, d, odd);
    a = permute(ab, cd, front), b = permute(AB, CD, front), c = permute(ab, cd, back), d = permute(AB, CD, back);
  }
}

// Of blocks of four lanes in two registers, every other one.
template <int odd> struct fours_rule {
  static constexpr int at(int lane) { return (2 * (lane / 4) + odd) * 4 + lane % 4; }
};
template <class V> INLINE void part_fours(V& a, V& b) {
  const V even = permute(a, b, pattern<fours_rule<0>>()), odd = permute(a, b, pattern<fours_rule<1>>());
  a = even, b = odd;
}
template <int apart, class V, int... i> INLINE void part_all(V (&v)[W], seq<i...>) {
  (part_fours(v[i / apart * 2 * apart + i % apart], v[i / apart * 2 * apart + i % apart + apart]), ...);
}
template <class V, int... i> INLINE void transpose_fours_of(V (&v)[W], seq<i...>) {
  (transpose(v[4 * i], v[4 * i + 1], v[4 * i + 2], v[4 * i + 3]), ...);
}
// Transposes W registers of W lanes; its own inverse.
template <class V> INLINE void transpose_square(V (&v)[W]) {
  transpose_fours_of(v, upto<W / 4>());
  if constexpr (W >= 8) part_all<4>(v, upto<W / 2>());
  if constexpr (W == 16) part_all<8>(v, upto<W / 2>());
}
