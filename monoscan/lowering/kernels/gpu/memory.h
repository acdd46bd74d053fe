// Where the elements of a row stand in memory, what comes before a chunk, and what it leaves.
//
// Every array is contiguous, with strides counted in elements, 0 along what it is broadcast over; `sizes` holds them
// behind the sizes of the launch, and behind them the numbers of the operator. The generated text gives
//   arrays                       their pointers, as members of a struct
//   ARRAYS(each)                 each(number, name): all of them
//   CAPTURED(each)               each(array, dtype, lanes of the leaf, lane, member): captured arrays
//   NUMBERS(each)                each(place, member)
//   and the like of CAPTURED for init, seeds, totals and the carry.
#pragma once

namespace ms {

// ------------------------------------------------------------------ dtypes
template <class Item, class Held> struct plain {
  INLINE Held get(Item x) { return (Held)x; }
  INLINE Item put(Held x) { return (Item)x; }
};
struct float32 : plain<f32, f32> {};
struct int8 : plain<i8, i32> {};
struct int16 : plain<i16, i32> {};
struct int32 : plain<i32, i32> {};
struct int64 : plain<i64, i64> {};
struct uint8 : plain<u8, u32> {};
struct uint16 : plain<u16, u32> {};
struct uint32 : plain<u32, u32> {};
struct uint64 : plain<u64, u64> {};
struct boolean : plain<bool, bool> {};
struct float16 {
  INLINE f32 get(half_item x) { return from_half(x); }
  INLINE half_item put(f32 x) { return to_half(x); }
};
struct bfloat16 {
  INLINE f32 get(bfloat_item x) { return from_bfloat(x); }
  INLINE bfloat_item put(f32 x) { return to_bfloat(x); }
};

// ------------------------------------------------------------------ sizes
enum { size_n, size_inner, size_rows, size_chunks, size_tiles, size_groups, size_shape };
// Of each array: its strides along the outer axes, along the scan axis, along the inner axis.
enum { size_strides = size_shape + axes, strides = axes + 2, size_numbers = size_strides + number_of_arrays * strides };

// A part of a row in fold order.
struct chunk {
  i32 number, begin, end;
  bool last;
};
template <class P> INLINE chunk chunk_of(P sizes, u32 number) {
  chunk c;
  const i32 elements = (i32)sizes[size_tiles] * tile;
  c.number = (i32)number;
  c.last = c.number == (i32)sizes[size_chunks] - 1;
  c.begin = c.number * elements;
  c.end = c.last ? (i32)sizes[size_n] : c.begin + elements;
  return c;
}

// ------------------------------------------------------------------ places
// Where the first element of a row stands in each array, and how far the next one is.
struct place {
  i64 start, step;
};
#define PLACE(number, name) place name;
struct places {
  ARRAYS(PLACE)
};
template <class P> INLINE place find_one(P sizes, i32 number, u32 outer, u32 column) {
  place found;
  const i32 at = size_strides + number * strides;
  found.start = column * sizes[at + axes + 1];
  UNROLL for (i32 axis = axes - 1; axis > 0; --axis) {
    const u32 size = (u32)sizes[size_shape + axis];
    found.start += (i64)(outer % size) * sizes[at + axis];
    outer /= size;
  }
  found.start += (i64)outer * sizes[at];
  found.step = one_column ? 1 : sizes[at + axes];
  return found;
}
#define FIND(number, name) found.name = find_one(sizes, number, outer, column);
template <class P> INLINE places find(P sizes, u32 outer, u32 column) {
  places found;
  ARRAYS(FIND)
  return found;
}

INLINE i64 item(place at, i32 i, i32 lanes, i32 lane) { return (at.start + (i64)i * at.step) * lanes + lane; }
#define READ(array, dtype, lanes, lane, member) x.member = dtype::get(a.array[item(at.array, i, lanes, lane)]);
#define WRITE(array, dtype, lanes, lane, member) a.array[item(at.array, i, lanes, lane)] = dtype::put(x.member);

// What combine reads besides: captured arrays, constant along a row, and the numbers that the operator holds.
#define NUMBER(place, member) x.member = bit_cast<f32>((i32)sizes[size_numbers + place]);
template <class A, class P> INLINE captures load_captures(A a, P sizes, places at) {
  captures x;
  const i32 i = 0;
  CAPTURED(READ)
  NUMBERS(NUMBER)
  return x;
}

// ------------------------------------------------------------------ what comes before a chunk, and what it leaves
template <class A> INLINE prefix start(A a, places at, chunk c) {
  prefix before = nothing();
#ifdef SEEDS
  if (c.number > 0) {
    state x;
    const i32 i = c.number - 1;
    SEEDS(READ)
    before = just(x);
  }
#endif
#ifdef INITS
  if (c.number == 0) {
    state x = state();  // of an act some lanes are not given, nor do any depend on them
    const i32 i = 0;
    INITS(READ)
    before = just(x);
  }
#endif
  return before;
}
template <class A> INLINE void leave(A a, places at, chunk c, state x) {
#ifdef TOTALS
  const i32 i = c.number;
  TOTALS(WRITE)
#endif
#ifdef CARRIES
  if (c.last) {
    const i32 i = 0;
    CARRIES(WRITE)
  }
#endif
}

}  // namespace ms
