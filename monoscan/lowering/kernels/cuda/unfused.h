// float32 whose products and sums stay apart, where the compiler cannot be told to leave them: MLX compiles the text of
// mx.fast.cuda_kernel itself, makes a * b + c one instruction, and no pragma stops it.
#pragma once

namespace ms {

#define FRIEND friend __device__ __forceinline__ f32
// Of two, of which one may be a literal.
#define OF_TWO(op, function)                                               \
  FRIEND operator op(f32 x, f32 y) { return function(x.plain, y.plain); }  \
  FRIEND operator op(f32 x, float y) { return function(x.plain, y); }      \
  FRIEND operator op(float x, f32 y) { return function(x, y.plain); }      \
  FRIEND operator op(f32 x, int y) { return function(x.plain, (float)y); } \
  FRIEND operator op(int x, f32 y) { return function((float)x, y.plain); }
struct f32 {
  float plain;
  f32() = default;
  __device__ __forceinline__ f32(float x) : plain(x) {}
  template <class T> explicit __device__ __forceinline__ f32(T x) : plain((float)x) {}
  __device__ __forceinline__ operator float() const { return plain; }
  OF_TWO(+, __fadd_rn)
  OF_TWO(-, __fsub_rn)
  OF_TWO(*, __fmul_rn)
  OF_TWO(/, __fdiv_rn)
  FRIEND operator-(f32 x) { return -x.plain; }
};

}  // namespace ms
