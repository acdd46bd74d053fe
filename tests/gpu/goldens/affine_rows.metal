enum { run = 4, steps = 4, waves = 8, lanes_a_row = 32, tile = 4096, axes = 1, number_of_arrays = 6, one_column = 1,
    reverse = 0, inclusive = 1, want_results = 1, last_only = 0 };
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
typedef op<scalars> operation;

typedef operation::state element;
template <class X0, class X1, class Y0, class Y1, class Z0, class Z1> struct arrays {
  X0 x0; X1 x1; Y0 y0; Y1 y1; Z0 z0; Z1 z1;
};
template <class X0, class X1, class Y0, class Y1, class Z0, class Z1> INLINE arrays<X0, X1, Y0, Y1, Z0, Z1> gather(X0 x0, X1 x1, Y0 y0, Y1 y1, Z0 z0, Z1 z1) {
  return {x0, x1, y0, y1, z0, z1};
}
}  // namespace ms
#define VOTES
#define LANES(each) each(scalars::f32, s0) each(scalars::f32, s1)
#define ARRAYS(each) each(0, x0) each(1, x1) each(2, y0) each(3, y1) each(4, z0) each(5, z1)
#define CAPTURED(each)
#define READS(each) each(x0, float32, 1, 0, s0) each(x1, float32, 1, 0, s1)
#define WRITES(each) each(y0, float32, 1, 0, s0) each(y1, float32, 1, 0, s1)
#define NUMBERS(each)
#define CARRIES(each) each(z0, float32, 1, 0, s0) each(z1, float32, 1, 0, s1)
#define READ_QUADS(each) each(x0, float32, 1, 0, 0, s0, 1, s0, 2, s0, 3, s0) \
    each(x1, float32, 1, 0, 0, s1, 1, s1, 2, s1, 3, s1)
#define WRITE_QUADS(each) each(y0, float32, 1, 0, 0, s0, 1, s0, 2, s0, 3, s0) \
    each(y1, float32, 1, 0, 0, s1, 1, s1, 2, s1, 3, s1)
#define QUAD_ARRAYS(each) each(x0, 1) each(x1, 1) each(y0, 1) each(y1, 1)
#define GUARDED(each) each(s0, 1, 1, 1) each(s1, 1, 1, 1)
[[kernel]] void custom_kernel_monoscan_rows_int64_t_float_float_float_float_float_float(
  const device int64_t* sizes [[buffer(0)]],
  const device float* x0 [[buffer(1)]],
  const device float* x1 [[buffer(2)]],
  device float* y0 [[buffer(3)]],
  device float* y1 [[buffer(4)]],
  device float* z0 [[buffer(5)]],
  device float* z1 [[buffer(6)]],
  uint simdgroup_index_in_threadgroup [[simdgroup_index_in_threadgroup]],
  uint thread_index_in_simdgroup [[thread_index_in_simdgroup]],
  uint thread_index_in_threadgroup [[thread_index_in_threadgroup]],
  uint3 threadgroup_position_in_grid [[threadgroup_position_in_grid]],
  uint3 threadgroups_per_grid [[threadgroups_per_grid]]) {
  const ms::position here = {threadgroup_position_in_grid.x + threadgroup_position_in_grid.y * threadgroups_per_grid.x,
      thread_index_in_threadgroup, thread_index_in_simdgroup, simdgroup_index_in_threadgroup};
  SHARED(ms::scalars::f32, total0, 16);
  SHARED(ms::scalars::f32, total1, 16);
  SHARED(ms::i32, votes, 16);
  ms::rows(ms::gather(x0, x1, y0, y1, z0, z1), sizes, ms::totals{total0, total1, votes}, here);

}
