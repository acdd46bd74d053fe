// Arrays of lanes in memory: what the operations of wide elements read and write.
//
// Vectors hold the lanes of one element, along its last axis; rows of lanes stand `pitch` apart, so that whole vectors
// can be read and written at their ends. What stands behind a row there is anything: results of it are never looked at.
// Or, with MS_BATCH, a vector holds the same lane of W elements, and memory is an array of such vectors.
//
// Vectors must not be read from what was stored in scalars: the load would wait for the stores to leave.
#pragma once
#include "dtypes.h"
#include "folds.h"
#include "patterns.h"

// What memory is an array of, and how many of them a vector holds: all lanes that are one element's.
#if MS_BATCH
template <class V> using cell = V;
constexpr int E = 1;
#else
template <class V> using cell = item_of<V>;
constexpr int E = W;
#endif

// Some bytes of memory as an array of lanes, or of items that W elements share.
template <class V> INLINE cell<V>* array_at(u8* memory, int offset) { return (cell<V>*)(memory + offset); }
template <class V> INLINE item_of<V>* items_at(u8* memory, int offset) { return (item_of<V>*)(memory + offset); }
// A vector anywhere in memory, whatever was stored there.
template <class V> struct anywhere { typedef V type __attribute__((aligned(1), may_alias)); };

// Lanes `stride` items apart; of the last ones, which do not exist, the first again.
template <class V, int stride, int... k> INLINE V load_apart(const item_of<V>* p, int count, seq<k...>) {
  return V{p[k < count ? k * stride : 0]...};
}
// The next `count` lanes of an operand: side by side, the same one, or apart.
template <class V, int stride> INLINE V get(const cell<V>* p, [[maybe_unused]] int count) {
  if constexpr (E == 1) return *p;
  else if constexpr (stride == 0) return splat<V>(*p);
  else if constexpr (stride == 1) return load_bits<V>(p);
  else return load_apart<V, stride>(p, count, upto<W>());
}
// The same of what W elements share: one item for each lane.
#if MS_BATCH
template <class V, int> INLINE V get(const item_of<V>* p, int) { return splat<V>(*p); }
#endif
template <class V> INLINE void put(cell<V>* p, V v) { store_bits(p, v); }

// The rows of a table, copied.
template <class V, int rows, int columns> INLINE void fill(cell<V>* to, int pitch, const item_of<V>* table) {
  for (int i = 0; i < rows * columns; ++i) to[i / columns * pitch + i % columns] = cell<V>{} + table[i];
}

// The same from a table of numbers that were given at launch: an entry has 8 bytes, the first of them its own.
template <class V, int rows, int columns> INLINE void fill_given(cell<V>* to, int pitch, const u8* numbers) {
  for (int i = 0; i < rows * columns; ++i)
    to[i / columns * pitch + i % columns] = cell<V>{} + *(const item_of<V>*)(numbers + 8 * i);
}

// Lanes that exist.
template <class V> INLINE as_signed<V> first_lanes([[maybe_unused]] int count) {
  if constexpr (E == 1) return ~as_signed<V>{};
  else return __builtin_convertvector(iota < count, as_signed<V>);
}

// An operand of a sum of products, at row i, term k and `count` columns from j on.
template <class V, int along_rows, int along_columns, int along_terms, class Cell = cell<V>> struct operand {
  typedef V value;
  static constexpr int rows = along_rows, columns = along_columns, terms = along_terms;
  const Cell* at;
  inline __attribute__((always_inline)) V get(int i, int j, int k, int count) const {
    return ::get<V, along_columns>(at + i * along_rows + j * along_columns + k * along_terms, count);
  }
  INLINE operand<V, along_columns, along_rows, along_terms, Cell> turned(const operand& x) { return {x.at}; }
};

// Sums of products in order, a few rows at once: each hides the others' latency, and shares what they all read.
// Results stand `pitch` and `step` apart along rows and columns.
template <class S, int columns, int terms, class A, class B, int... row>
INLINE void rows_of_sums(const A& a, const B& b, cell<typename A::value>* out, int pitch, int step, int i, int j,
                         seq<row...>) {
  typename A::value sum[] = {S::times(a.get(i + row, j, 0, columns - j), b.get(i + row, j, 0, columns - j))...};
  for (int k = 1; k < terms; ++k)
    ((sum[row] = S::plus(sum[row], S::times(a.get(i + row, j, k, columns - j), b.get(i + row, j, k, columns - j)))),
     ...);
  (put(out + (i + row) * pitch + j * step, sum[row]), ...);
}
// The same of one row, some vectors at once.
template <class S, int columns, int terms, class A, class B, int... block>
INLINE void columns_of_sums(const A& a, const B& b, cell<typename A::value>* out, int step, int i, int j,
                            seq<block...>) {
  typename A::value sum[] = {S::times(a.get(i, j + block * E, 0, columns - j - block * E),
                                      b.get(i, j + block * E, 0, columns - j - block * E))...};
  for (int k = 1; k < terms; ++k)
    ((sum[block] = S::plus(sum[block], S::times(a.get(i, j + block * E, k, columns - j - block * E),
                                                b.get(i, j + block * E, k, columns - j - block * E)))),
     ...);
  (put(out + (j + block * E) * step, sum[block]), ...);
}
// Terms that may be put in brackets: halves of them side by side, down to a few, for a chain waits at every term.
template <class S, int columns, int few, int first, int last, class A, class B>
INLINE typename A::value sum_in_brackets(const A& a, const B& b, int i, int j) {
  typedef typename A::value V;
  if constexpr (last - first > few) {
    const V left = sum_in_brackets<S, columns, few, first, (first + last) / 2>(a, b, i, j);
    return S::plus(left, sum_in_brackets<S, columns, few, (first + last) / 2, last>(a, b, i, j));
  } else {
    V sum = S::times(a.get(i, j, first, columns - j), b.get(i, j, first, columns - j));
    for (int k = first + 1; k < last; ++k)
      sum = S::plus(sum, S::times(a.get(i, j, k, columns - j), b.get(i, j, k, columns - j)));
    return sum;
  }
}
constexpr int few_of(int terms) { return terms <= 64 ? 4 : terms / 16; }
// Blocks of about as many rows each, at most 8.
constexpr int rows_at_once(int rows) { return (rows + (rows + 7) / 8 - 1) / ((rows + 7) / 8); }
template <class S, int rows, int columns, int terms, class A, class B>
INLINE void write_sums(const A& a, const B& b, cell<typename A::value>* out, int pitch, int step) {
  constexpr int high = rows_at_once(rows), whole = rows / high * high;
  if constexpr (E == 1 && rows < 4 && columns > rows) {  // a row is no vector here: its columns hide latency as well
    write_sums<S, columns, rows, terms>(A::turned(a), B::turned(b), out, step, pitch);
  } else if constexpr (rows < 4 && (E > 1 ? columns > E || S::brackets : S::brackets && columns < 4)) {
    constexpr int vectors = (columns + E - 1) / E, wide = rows_at_once(vectors), most = vectors / wide * wide;
    for (int i = 0; i < rows; ++i) {
      cell<typename A::value>* const row = out + i * pitch;
      if constexpr (S::brackets) {
        for (int j = 0; j < columns; j += E)
          put(row + j * step, sum_in_brackets<S, columns, few_of(terms), 0, terms>(a, b, i, j));
        continue;
      }
      for (int v = 0; v < most; v += wide) columns_of_sums<S, columns, terms>(a, b, row, step, i, v * E, upto<wide>());
      if constexpr (most < vectors)
        columns_of_sums<S, columns, terms>(a, b, row, step, i, most * E, upto<vectors - most>());
    }
  } else
    for (int j = 0; j < columns; j += E) {
      for (int i = 0; i < whole; i += high) rows_of_sums<S, columns, terms>(a, b, out, pitch, step, i, j, upto<high>());
      if constexpr (whole < rows)
        rows_of_sums<S, columns, terms>(a, b, out, pitch, step, whole, j, upto<rows - whole>());
    }
}
// Called: a step may hold dozens of the same shape.
template <class S, int rows, int columns, int terms, class A, class B>
NOINLINE void sums_of_products(A a, B b, cell<typename A::value>* out, int pitch) {
  write_sums<S, rows, columns, terms>(a, b, out, pitch, 1);
}
