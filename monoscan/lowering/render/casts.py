"""Floats to integers: C++ leaves undefined what an integer does not hold, so that compilers drop casts.

A float is cut towards zero to an int32 or an int64; what that does not hold, and NaN, become
its lowest value; then it wraps to its width, as integers do. That is what MLX's casts give on
x86 (docs/accuracy.md), so that kernels and array operations agree.
"""

from __future__ import annotations

from monoscan.lowering.program.ir import Op, Program

_FLOATS = ("float32", "float64")
_WIDE = {"uint32": "int64", "int64": "int64", "uint64": "uint64"}
_NUMBERS = ("int8", "int16", "int32", "uint8", "uint16", *_WIDE)

_SCALAR = """\
INLINE i32 to_int32(f64 x) { return x >= -0x1p31 && x < 0x1p31 ? (i32)x : -0x7fffffff - 1; }
INLINE i64 to_int64(f64 x) { return x >= -0x1p63 && x < 0x1p63 ? (i64)x : -0x7fffffffffffffffll - 1; }
INLINE u64 to_uint64(f64 x) { return x >= 0x1p63 ? (u64)to_int64(x - 0x1p63) ^ 1ull << 63 : (u64)to_int64(x); }
"""

_VECTOR = """\
template <class I, class F> INLINE I cut_to(F x, F edge, I lowest) {
  const auto inside = (x >= -edge) & (x < edge);
  const I y = __builtin_convertvector(inside ? x : F{}, I);
  return __builtin_convertvector(inside, I) ? y : lowest;
}
template <class F> INLINE i32v to_int32(F x) { return cut_to(x, F{} + 0x1p31f, i32v{} - 0x7fffffff - 1); }
template <class F> INLINE i64v to_int64(F x) { return cut_to(x, F{} + 0x1p63f, i64v{} - 0x7fffffffffffffffll - 1); }
template <class F> INLINE u64v to_uint64(F x) {
  const F edge = F{} + 0x1p63f;
  const auto high = __builtin_convertvector(x >= edge, i64v);
  return (u64v)to_int64(x >= edge ? x - edge : x) ^ ((u64v)high & 1ull << 63);
}
"""


def whole(text: str, source: str, target: str) -> tuple[str, str]:
    """A float on its way to an integer, cut: its text and the integer that holds it. Else what was given."""
    if source not in _FLOATS or target not in _NUMBERS:
        return text, source
    held = _WIDE.get(target, "int32")
    return f"to_{held}({text})", held


def conversions(program: Program, width: int | None) -> str:
    """The functions that cut, where a program casts floats to integers."""
    for instr in program.code:
        if instr.op is Op.CAST and program.dtypes[instr.args[0]] in _FLOATS and instr.dtype in _NUMBERS:
            return _SCALAR if width is None else _VECTOR
    return ""
