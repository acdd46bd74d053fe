"""Text that every vector kernel opens with: types, shuffles, loads and stores."""

from __future__ import annotations

from monoscan.lowering.render.spec import SIZES

SCALARS = """\
typedef float f32; typedef double f64;
typedef signed char i8; typedef short i16; typedef int i32; typedef long long i64;
typedef unsigned char u8; typedef unsigned short u16; typedef unsigned u32; typedef unsigned long long u64;
#define INLINE static inline __attribute__((always_inline))
#define NOINLINE static __attribute__((noinline))
INLINE ms_int least(ms_int a, ms_int b) { return a < b ? a : b; }
"""

REGISTERS = (("f32", 4), ("i32", 4), ("u32", 4), ("f64", 8), ("i64", 8), ("u64", 8), ("u8", 1), ("i8", 1),
             ("u16", 2), ("i16", 2))  # fmt: skip

VECTORS = """\
template <class V> INLINE V load_bits(const void* p) { V v; __builtin_memcpy(&v, p, sizeof v); return v; }
template <class V> INLINE void store_bits(void* p, V v) { __builtin_memcpy(p, &v, sizeof v); }
template <class To, class From> INLINE To bit_cast(From x) { To y; __builtin_memcpy(&y, &x, sizeof y); return y; }

#if __has_builtin(__builtin_shufflevector)
template <int... I, class V> INLINE V permute(V a, V b) { return __builtin_shufflevector(a, b, I...); }
#else
template <int size> struct index_of { typedef i32v type; };
template <> struct index_of<8> { typedef i64v type; };
template <int... I, class V> INLINE V permute(V a, V b) {
  return __builtin_shuffle(a, b, typename index_of<sizeof(a[0])>::type{I...});
}
#endif

template <class V> INLINE V choose(i32v m, V a, V b) {
  if constexpr (sizeof(a[0]) == 8) return __builtin_convertvector(m, i64v) ? a : b;
  else return m ? a : b;
}

// Past the caches; the caller has seen to the alignment.
template <class V> INLINE void stream_bits(void* p, V v) {
#if __has_builtin(__builtin_nontemporal_store)
  __builtin_nontemporal_store(v, (V*)p);
#else
  typedef long long q2 __attribute__((vector_size(16)));
#if defined(__AVX512F__)
  typedef long long q8 __attribute__((vector_size(64)));
  if (sizeof(V) == 64) { __builtin_ia32_movntdq512((q8*)p, bit_cast<q8>(v)); return; }
#endif
#if defined(__AVX__)
  typedef long long q4 __attribute__((vector_size(32)));
  if (sizeof(V) == 32) { __builtin_ia32_movntdq256((q4*)p, bit_cast<q4>(v)); return; }
#endif
#if defined(__SSE2__)
  if (sizeof(V) == 16) { __builtin_ia32_movntdq((q2*)p, bit_cast<q2>(v)); return; }
#endif
  store_bits(p, v);
#endif
}
// The first m items of a vector, or the last; what lies beside them is not touched.
template <bool last, class V> INLINE auto few_lanes(int m) {
  if constexpr (sizeof(V) / W == 4) return last ? iota >= W - m : iota < m;
  else return bit_cast<i64v>(last ? wide_iota >= (i64)(W - m) : wide_iota < (i64)m);
}
template <bool last, class V, class T> INLINE V load_few(const T* p, int m) {
#if defined(__AVX__)
  const T* const at = last ? p - (W - m) : p;
  if constexpr (sizeof(V) == 32 && sizeof(T) == 4)
    return bit_cast<V>(__builtin_ia32_maskloadps256((const f32x8*)at, few_lanes<last, V>(m)));
  else if constexpr (sizeof(V) == 32 && sizeof(T) == 8)
    return bit_cast<V>(__builtin_ia32_maskloadpd256((const f64x4*)at, few_lanes<last, V>(m)));
  else if constexpr (sizeof(V) == 16 && sizeof(T) == 4)
    return bit_cast<V>(__builtin_ia32_maskloadps((const f32x4*)at, few_lanes<last, V>(m)));
#endif
  T b[W] = {};
  __builtin_memcpy(b + (last ? W - m : 0), p, m * sizeof(T));
  return load_bits<V>(b);
}
template <int size, class T> INLINE void copy_few(T* to, const T* from, int m) {
  if (m & size) __builtin_memcpy(to, from, size * sizeof(T)), to += size, from += size;
  if constexpr (size > 1) copy_few<size / 2>(to, from, m);
}
// In pieces: masked stores are slow on some machines.
template <bool last, class V, class T> INLINE void store_few(T* p, int m, V v) {
  T b[W];
  store_bits(b, v);
  copy_few<W / 2>(p, b + (last ? W - m : 0), m);
}
INLINE void stream_fence() {
#if defined(__SSE2__)
  __builtin_ia32_sfence();
#endif
}
"""

CONVERSIONS = {
    "float32": ("f32v", "load_bits<f32v>(p)", "x"),
    "float64": ("f64v", "load_bits<f64v>(p)", "x"),
    "int32": ("i32v", "load_bits<i32v>(p)", "x"),
    "uint32": ("u32v", "load_bits<u32v>(p)", "x"),
    "int64": ("i64v", "load_bits<i64v>(p)", "x"),
    "uint64": ("u64v", "load_bits<u64v>(p)", "x"),
    "int8": ("i32v", "__builtin_convertvector(load_bits<i8v>(p), i32v)", "__builtin_convertvector(x, i8v)"),
    "int16": ("i32v", "__builtin_convertvector(load_bits<i16v>(p), i32v)", "__builtin_convertvector(x, i16v)"),
    "uint8": ("u32v", "__builtin_convertvector(load_bits<u8v>(p), u32v)", "__builtin_convertvector(x, u8v)"),
    "uint16": ("u32v", "__builtin_convertvector(load_bits<u16v>(p), u32v)", "__builtin_convertvector(x, u16v)"),
    "bool": ("mask", "__builtin_convertvector(load_bits<u8v>(p), mask) != 0", "__builtin_convertvector(x & 1, u8v)"),
    "float16": ("f32v", "from_half(load_bits<u16v>(p))", "to_half(x)"),
    "bfloat16": (
        "f32v",
        "bit_cast<f32v>(__builtin_convertvector(load_bits<u16v>(p), u32v) << 16)",
        "to_bfloat(x)",
    ),
}
"""For each storage dtype: the register type, its load from ``p`` and its stored form."""

FROM_HALF = {"float16": "from_half", "bfloat16": "from_bfloat"}
TO_HALF = {"float16": "to_half", "bfloat16": "to_bfloat"}
"""The same of halves in scalar code: what is called."""

HALVES = """\
INLINE f32v from_half(u16v x) {
#if defined(__F16C__) && !defined(__clang__)
  typedef short h8 __attribute__((vector_size(16)));
  if (sizeof x == 16) return bit_cast<f32v>(__builtin_ia32_vcvtph2ps256(bit_cast<h8>(x)));
#endif
  const u32v h = __builtin_convertvector(x, u32v);
  const u32v magnitude = (h & 0x7fff) << 13;
  const u32v finite = bit_cast<u32v>(bit_cast<f32v>(magnitude) * splat(0x1p112f));  // subnormals too
  return bit_cast<f32v>(((h & 0x8000) << 16) | ((h & 0x7c00) == 0x7c00 ? magnitude | 0x7f800000u : finite));
}
INLINE u16v to_half(f32v x) {
#if defined(__F16C__) && !defined(__clang__)
  typedef float f8 __attribute__((vector_size(32)));
  if (sizeof x == 32) return bit_cast<u16v>(__builtin_ia32_vcvtps2ph256(bit_cast<f8>(x), 0));
#endif
  const u32v bits = bit_cast<u32v>(x), magnitude = bits & 0x7fffffffu;
  const u32v normal = (magnitude - 0x38000000u + 0xfff + ((magnitude >> 13) & 1)) >> 13;
  const u32v subnormal = bit_cast<u32v>(bit_cast<f32v>(magnitude) + splat(0.5f)) - 0x3f000000u;  // rounds at 2^-24
  u32v half = magnitude < 0x38800000u ? subnormal : normal;
  half = magnitude >= 0x477ff000u ? splat(0x7c00u) : half;
  half = magnitude > 0x7f800000u ? (0x7e00u | ((bits >> 13) & 0x3ff)) : half;
  return __builtin_convertvector(half | ((bits >> 16) & 0x8000), u16v);
}
INLINE u16v to_bfloat(f32v x) {
  const u32v bits = bit_cast<u32v>(x);
  const u32v rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
  return __builtin_convertvector(x == x ? rounded : (bits >> 16) | 0x40, u16v);
}
"""


SCALAR_HALVES = """\
template <class To, class From> INLINE To bit_cast(From x) { To y; __builtin_memcpy(&y, &x, sizeof y); return y; }
INLINE f32 from_bfloat(u16 h) { return bit_cast<f32>((u32)h << 16); }
INLINE u16 to_bfloat(f32 x) {
  const u32 bits = bit_cast<u32>(x);
  return (u16)(x == x ? (bits + 0x7fff + ((bits >> 16) & 1)) >> 16 : (bits >> 16) | 0x40);
}
INLINE f32 from_half(u16 h) {
  const u32 magnitude = (u32)(h & 0x7fff) << 13;
  const u32 finite = bit_cast<u32>(bit_cast<f32>(magnitude) * 0x1p112f);  // subnormals too
  return bit_cast<f32>((u32)(h & 0x8000) << 16 | ((h & 0x7c00) == 0x7c00 ? magnitude | 0x7f800000u : finite));
}
INLINE u16 to_half(f32 x) {
  const u32 bits = bit_cast<u32>(x), magnitude = bits & 0x7fffffffu;
  u32 half = (magnitude - 0x38000000u + 0xfff + ((magnitude >> 13) & 1)) >> 13;
  if (magnitude < 0x38800000u) half = bit_cast<u32>(bit_cast<f32>(magnitude) + 0.5f) - 0x3f000000u;
  if (magnitude >= 0x477ff000u) half = 0x7c00;
  if (magnitude > 0x7f800000u) half = 0x7e00 | ((bits >> 13) & 0x3ff);
  return (u16)(half | (bits >> 16 & 0x8000));
}
"""


def scalar_prelude() -> str:
    """Types and conversions of the scalar loop."""
    return SCALARS + SCALAR_HALVES


def vector_prelude(width: int, mask_bytes: int) -> str:
    """Types and the operations on them that do not depend on the program."""
    lines = [SCALARS, f"static const int W = {width};  // lanes of a vector"]
    for name, size in REGISTERS:
        lines.append(f"typedef {name} {name}v __attribute__((vector_size({width * size})));")
    numbers = ", ".join(map(str, range(width)))
    lines.append(f"static const i32v iota = {{{numbers}}};\nstatic const i64v wide_iota = {{{numbers}}};")
    lines.append("typedef f32 f32x4 __attribute__((vector_size(16)));")
    lines.append("typedef f32 f32x8 __attribute__((vector_size(32)));")
    lines.append("typedef f64 f64x4 __attribute__((vector_size(32)));")
    lines.append(f"typedef i{8 * mask_bytes}v mask;  // a bool: 0 or -1")
    for name, _ in REGISTERS[:6]:
        lines.append(f"INLINE {name}v splat({name} x) {{ return {name}v{{{', '.join('x' * width)}}}; }}")
    return "\n".join(lines) + "\n" + VECTORS


def storage(dtypes: set[str]) -> str:
    """Loads and stores of W items of each storage dtype."""
    lines = [HALVES] if dtypes & {"float16", "bfloat16"} else []
    for dtype in sorted(dtypes):
        register, get, put = CONVERSIONS[dtype]
        lines.append(f"INLINE {register} load_{dtype}(const void* p) {{ return {get}; }}")
        for verb in ("store", "stream"):
            lines.append(f"INLINE void {verb}_{dtype}(void* p, {register} x) {{ {verb}_bits(p, {put}); }}")
    return "\n".join(lines) + "\n"


def item_type(dtype: str) -> str:
    """The C type of one stored item."""
    size = SIZES[dtype]
    if dtype in ("float32", "float64"):
        return f"f{8 * size}"
    return f"{'i' if dtype.startswith('int') else 'u'}{8 * size}"
