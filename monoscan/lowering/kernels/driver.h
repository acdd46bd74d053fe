// What drives a kernel's loop: finding the arrays of a row, copying what is not laid out as the loop wants it, the cut
// into tasks. It is the same for every operator, and compiled once (driver.cpp); a kernel is linked with it.
#pragma once
#include "scalar.h"

struct lot;

// A piece of one row: steps t0 to t1 in fold order, columns c0 to c1.
struct piece {
  const ms_launch* g;
  const ms_int *in, *out;  // where the row begins in every array, in items
  const ms_int *init, *carry_out;
  ms_int t0, t1, c0, c1, pitch;
  u8* carry;   // a row of carries: what to start from if `seeded`, the fold at the end
  u8* buffer;  // for leaves that are not laid out as the loop wants them
  bool seeded, stream;
  lot* across;    // rows that stand as columns, tile by tile; null: columns as they lie in memory
  ms_int behind;  // of a block of windows, how many steps the block behind it has, where that is read
};

// What a leaf is in memory: the number of its array, the lanes of an element, the bytes of an item; whether all columns
// have the same element, and which kind of halves it is.
struct leaf_facts {
  int index, lanes, size;
  bool alike = false, bfloat = false;
  constexpr int bytes() const { return lanes * size; }
};
struct leaf_list {
  const leaf_facts* at;
  int count, bytes;
};
// A carried leaf: where its lanes stand in a row of carries, too, in bytes for each column.
struct carry_facts {
  int index, lanes, size, offset;
};
// Of an adjoint: its arrays, and how many columns go side by side, if rows that stand across do.
struct adjoint_facts {
  bool shifted, inclusive, seeded;
  int columns;
  leaf_list rights, lefts, weights, captured, out, ends, before, sums;
  const int* shown;  // for each of the weights the init that is the cotangent of the last state
};
struct kernel_facts {
  bool reverse, want_results, can_part, guarded, turns;
  int width;  // lanes of a vector
  int arity, inputs, outputs, inits, carries;
  int carry_bytes, result_bytes;  // for each element
  double nanoseconds, first_part, second_part;
  leaf_list in, out, captured;
  const carry_facts* carried;
  int carried_count;
  const int* shown;  // for each output which of the carried leaves it shows; -1: none
  const adjoint_facts* adjoint;
  bool inclusive = true;
  bool looks_behind = false;  // a block of windows reads the one behind it
};

// ------------------------------------------------------------------ what a kernel gives
extern const kernel_facts facts;
bool fits(const ms_launch* g);            // whether its loop is made for such a launch
ms_int buffer_bytes(const ms_launch* g);  // for each task
void span(const piece& p, bool scanned);  // scans or folds a piece
// The row of carries that follows from two, one after the other; whether any came out bad. Those are taken from a third
// row, if there is one.
bool combine_carries(const piece& p, const u8* left, const u8* right, const u8* instead);

// ------------------------------------------------------------------ what the driver gives
// The items of a buffer's row: W more than its content, and items of any size may start behind it.
INLINE ms_int padded_to(ms_int items, int width) { return (items + width + 7) / 8 * 8; }

// Rows of elements, the scan axis innermost. `x`, `y`: pointers to each leaf's elements.
bool rows_lie_ready(const ms_launch* g);
void inputs_at(const piece& p, ms_int at, ms_int count, ms_int tile, const u8** x, bool same);
void outputs_at(const piece& p, ms_int at, ms_int tile, u8** y);
// Copied where they must be; `same`: also what is the same at every step.
void rows_at(const piece& p, ms_int at, ms_int count, ms_int tile, const u8** x, u8** y, bool same = true);
void unpack_rows(const piece& p, ms_int at, ms_int count, u8* const* y);
// Whether results begin at cache lines, `end` elements on; leaves of several lanes do not count.
bool at_cache_lines(u8* const* y, ms_int end);

// Rows of columns.
bool columns_lie_ready(const ms_launch* g);
// Some rows of columns: where each leaf has the first of them in fold order, and how many bytes on the next one.
struct strip_of_rows {
  const u8** x;
  ms_int* x_step;
  u8** y;
  ms_int* y_step;
  int leaves = 1 << 30;  // how many of the leaves are read
};
void tile_at(const piece& p, ms_int t, ms_int count, ms_int room, const strip_of_rows& w);  // copied where they must be
void unpack_tile(const piece& p, ms_int t, ms_int count, u8* const* y, const ms_int* y_step);
void pack_captures(const piece& p, const u8** c);  // a row for each lane, once for all columns of a piece

// Several whole rows of few columns.
bool lines_lie_ready(const ms_launch* g);
void lines_at(const piece& p, ms_int at, ms_int count, ms_int tile, const u8** x, bool* shared, u8** y);
void unpack_lines(const piece& p, ms_int at, ms_int count, u8* const* y);

// The tasks of a scan.
void schedule_scan(const ms_launch* g, struct ms_schedule* s);
void run_scan(const ms_launch* g, ms_int phase, ms_int task);

// Those of windows.
void schedule_windows(const ms_launch* g, struct ms_schedule* s);
void run_windows(const ms_launch* g, ms_int task);

// The tasks of a scan of wide elements, row by row in one phase.
void schedule_rows(const ms_launch* g, struct ms_schedule* s);
void run_rows(const ms_launch* g, ms_int task);
// The same, a vector of rows at once: where they begin in every array is a table, with a vector of places for each.
void schedule_batches(const ms_launch* g, struct ms_schedule* s);
void run_batches(const ms_launch* g, ms_int task);

// How many steps of rows side by side stand in a buffer.
inline constexpr ms_int tile_steps = 32;
// The tasks of an adjoint, which has one phase. Of a piece of rows side by side some steps, in and out.
void pull(const piece& p, ms_int first, ms_int last);
void push(const piece& p, ms_int first, ms_int last);
void schedule_back(const ms_launch* g, struct ms_schedule* s);
void run_back(const ms_launch* g, ms_int task);
// The tasks of an adjoint that sums what columns, steps and rows share: `facts.out` lists these sums.
void schedule_summed(const ms_launch* g, struct ms_schedule* s);
void run_summed(const ms_launch* g, ms_int phase, ms_int task);
ms_int room_for_tile(const ms_launch* g);  // bytes that the buffer of a task may take
