// The contract between the bridge (which owns arrays and threads) and a generated kernel
// (which owns the loops). Plain C, so that a kernel compiles without any other header.
// The bridge's build gives it to every kernel with -include.
//
// A launch walks the index space (outer..., t, inner). Every array is described by a
// pointer to its first element and by strides, all counted in items of its own dtype;
// stride 0 broadcasts, and of an output says that it holds the sum along that axis. A leaf
// with an event shape has `lanes` items an element, `lane` apart from one another.
//
// Rows may hold several sequences, one behind the other, which begin at `bounds` and of which the
// first `lengths` steps count, in memory's order. Inits and carries have an axis of sequences then.
// The driver knows of them: a kernel's loop sees each sequence as a row of its own.
//
// What the bridge promises: `n`, `inner` and every outer_shape are at least 1, and
// outer_shape holds no 1; the inner stride is 0 or `lanes` (0 when inner is 1), but anything in
// inputs of a launch that was made `strided`; lane is 1 in outputs and carries and may be anything
// in inputs. The axis and outer strides are free: negative ones and gaps occur. An output's buffer
// may be that of the input it was declared donatable from, with the same strides. `bounds` rise, from
// 0 on and up to n at most; `lengths` may be anything. Neither has an inner stride,
// but lengths of a launch that was made `uneven`.
//
// What a kernel checks: that it has a loop for this `inner`. If not, its schedule has no phases.
#pragma once

typedef long long ms_int;  // 64 bits on every platform we build for

// Each outer axis doubles the rows at least: no memory holds the arrays that have more of them.
#define MS_MAX_OUTER 32

typedef struct {
  void* data;
  ms_int outer[MS_MAX_OUTER];  // stride along each outer axis
  ms_int axis;   // along the scan axis; 0: the same value at every step; of inits and carries along sequences
  ms_int inner;  // along the inner axis
  ms_int lane;   // between the lanes of one event
} ms_array;

typedef struct {
  ms_int n;      // length of the scan axis
  ms_int inner;  // length of the inner axis; 1: the scan axis itself is innermost
  ms_int outer_ndim;
  ms_int outer_shape[MS_MAX_OUTER];
  ms_int outer_size;        // product of outer_shape
  ms_int has_init;          // inits are valid
  ms_int want_carry;        // carries are valid
  ms_int last_level_cache;  // bytes: outputs beyond it are stored past the caches
  ms_int threads;           // how many tasks run at a time: for what they need meanwhile, and nothing else
  ms_int window;            // how many steps a window holds; 0: a scan
  ms_int sequences;         // how many a row holds, if there are bounds
  const ms_array* inputs;   // element leaves, then captures (axis stride 0)
  const ms_array* inits;    // one per state leaf, accumulation dtype
  ms_array* outputs;
  ms_array* carries;         // one per state leaf, accumulation dtype
  const ms_array* bounds;    // ms_int, one more than sequences; null: each row is one
  const ms_array* lengths;   // int, one for each sequence; null: all steps count
  const void* const* fills;  // the lanes of what stands where nothing came yet, for each carry, if there are bounds or
                             // lengths; null: zeros
  const void* numbers;       // the numbers that combine holds: 8 bytes each, the first of them its own
  void* scratch;             // 64-byte aligned, ms_schedule's scratch_bytes long
} ms_launch;

// A tag, not a typedef: in C++ the kernel's function of the same name may stand beside it.
struct ms_schedule {
  ms_int phases;    // run in order, with a barrier between them; 0: not made for such a launch
  ms_int tasks[4];  // tasks of each phase: independent of one another
  ms_int scratch_bytes;
};

// How the work is cut. Depends on the launch's shape alone, never on the thread count.
typedef void (*ms_schedule_fn)(const ms_launch*, struct ms_schedule*);
// Runs one task of one phase.
typedef void (*ms_task_fn)(const ms_launch*, ms_int phase, ms_int task);

// A kernel is a shared library that exports these two, and nothing else:
//   MS_EXPORT void ms_schedule(const ms_launch* l, struct ms_schedule* s) { ... }
//   MS_EXPORT void ms_task(const ms_launch* l, ms_int phase, ms_int task) { ... }
#ifdef __cplusplus
#define MS_EXPORT extern "C" __attribute__((visibility("default")))
#else
#define MS_EXPORT __attribute__((visibility("default")))
#endif
