"""Loads and stores of event leaves: the lanes of W consecutive elements, a register each."""

from __future__ import annotations

from collections.abc import Iterator

from monoscan.lowering.render.prelude import CONVERSIONS, item_type
from monoscan.lowering.render.spec import SIZES

JOINS = """\
#if __has_builtin(__builtin_shufflevector)
#define JOIN(V, half, ...) __builtin_shufflevector(a, b, COUNT_##half)
#define COUNT_4 0, 1, 2, 3, 4, 5, 6, 7
#define COUNT_8 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
template <class Q, int... I, class V> INLINE Q quad(V v) { return __builtin_shufflevector(v, v, I...); }
#else
#define JOIN(V, half, ...) V{__VA_ARGS__}
template <class Q, int... I, class V> INLINE Q quad(V v) { return Q{v[I]...}; }
#endif
"""

QUADS = """\
// Four items from each of W / 4 places `step` apart, and back.
template <class V, class Q, class T> INLINE V load_quads(const T* p, ms_int step) {
  if constexpr (W == 4) return load_bits<V>(p);
  else if constexpr (W == 8) return join(load_bits<Q>(p), load_bits<Q>(p + step));
  else return join(join(load_bits<Q>(p), load_bits<Q>(p + step)),
                   join(load_bits<Q>(p + 2 * step), load_bits<Q>(p + 3 * step)));
}
"""

TRANSPOSE = """\
// Transposes each 4 x 4 block of lanes; its own inverse.
template <class V> INLINE void transpose(V& a, V& b, V& c, V& d) {
  if constexpr (sizeof(a[0]) == 4) {
    const V ab = permute<LOW>(a, b), AB = permute<HIGH>(a, b), cd = permute<LOW>(c, d), CD = permute<HIGH>(c, d);
    a = permute<FRONT>(ab, cd), b = permute<BACK>(ab, cd), c = permute<FRONT>(AB, CD), d = permute<BACK>(AB, CD);
  } else {
    const V ab = permute<EVEN>(a, b), AB = permute<ODD>(a, b), cd = permute<EVEN>(c, d), CD = permute<ODD>(c, d);
    a = permute<FRONT>(ab, cd), b = permute<FRONT>(AB, CD), c = permute<BACK>(ab, cd), d = permute<BACK>(AB, CD);
  }
}
"""


def lanes_text(lanes: list[int]) -> str:
    """A list of lane numbers as template arguments."""
    return ", ".join(map(str, lanes))


def transpose(width: int) -> str:
    """The 4 x 4 transposition for vectors of `width` lanes."""
    patterns = {
        "LOW": [0, width, 1, width + 1], "HIGH": [2, width + 2, 3, width + 3],
        "EVEN": [0, width, 2, width + 2], "ODD": [1, width + 1, 3, width + 3],
        "FRONT": [0, 1, width, width + 1], "BACK": [2, 3, width + 2, width + 3],
    }  # fmt: skip
    text = TRANSPOSE
    for name, pattern in patterns.items():
        spread = [4 * group + lane for group in range(width // 4) for lane in pattern]
        text = text.replace(f"<{name}>", f"<{lanes_text(spread)}>")
    return text


def event_leaf(dtype: str, lanes: int, width: int) -> str:
    """``load_<dtype>_x<lanes>(p, a0, ...)`` and its store."""
    direct = SIZES[dtype] >= 4
    if lanes == 2 and direct:
        return _pairs(dtype, width)
    if lanes >= 4 and direct:
        return _blocks(dtype, lanes, width)
    return _item_by_item(dtype, lanes)


def _signature(verb: str, dtype: str, lanes: int) -> str:
    register, item = CONVERSIONS[dtype][0], item_type(dtype)
    if verb == "load":
        return f"INLINE void load_{dtype}_x{lanes}(const {item}* p" + "".join(
            f", {register}& a{i}" for i in range(lanes)
        ) + ") {"  # fmt: skip
    return f"INLINE void store_{dtype}_x{lanes}({item}* p" + "".join(f", {register} a{i}" for i in range(lanes)) + ") {"


def _pairs(dtype: str, width: int) -> str:
    register = CONVERSIONS[dtype][0]
    even, odd = list(range(0, 2 * width, 2)), list(range(1, 2 * width, 2))
    zipped = [lane for i in range(width) for lane in (i, width + i)]
    return f"""\
{_signature("load", dtype, 2)}
  const {register} low = load_bits<{register}>(p), high = load_bits<{register}>(p + W);
  a0 = permute<{lanes_text(even)}>(low, high), a1 = permute<{lanes_text(odd)}>(low, high);
}}
{_signature("store", dtype, 2)}
  store_bits(p, permute<{lanes_text(zipped[:width])}>(a0, a1));
  store_bits(p + W, permute<{lanes_text(zipped[width:])}>(a0, a1));
}}
"""


def _starts(lanes: int) -> Iterator[int]:
    yield from range(0, lanes - 3, 4)
    if lanes % 4:
        yield lanes - 4  # the last quad overlaps the one before it


def _blocks(dtype: str, lanes: int, width: int) -> str:
    register, item = CONVERSIONS[dtype][0], item_type(dtype)
    load, store = [], []
    for start in _starts(lanes):
        rows = [f"load_quads<{register}, {item}q>(p + {c * lanes + start}, {4 * lanes})" for c in range(4)]
        names = [f"a{start + i}" for i in range(4)]
        load.append("  " + ", ".join(f"{n} = {r}" for n, r in zip(names, rows, strict=True)) + ";")
        load.append(f"  transpose({', '.join(names)});")
        store.append(f"  {{ {register} " + ", ".join(f"b{i} = {n}" for i, n in enumerate(names)) + ";")
        store.append("    transpose(b0, b1, b2, b3);")
        for group in range(width // 4):
            quad = lanes_text([4 * group + i for i in range(4)])
            for c in range(4):
                at = (4 * group + c) * lanes + start
                store.append(f"    store_bits(p + {at}, quad<{item}q, {quad}>(b{c}));")
        store.append("  }")
    text = [_signature("load", dtype, lanes), *load, "}", _signature("store", dtype, lanes), *store, "}"]
    return "\n".join(text) + "\n"


def _item_by_item(dtype: str, lanes: int) -> str:
    item = item_type(dtype)
    text = [_signature("load", dtype, lanes), f"  {item} b[{lanes}][W];"]
    text.append(f"  for (int i = 0; i < W; ++i) for (int k = 0; k < {lanes}; ++k) b[k][i] = p[i * {lanes} + k];")
    text += [f"  a{k} = load_{dtype}(b[{k}]);" for k in range(lanes)]
    text += ["}", _signature("store", dtype, lanes), f"  {item} b[{lanes}][W];"]
    text += [f"  store_{dtype}(b[{k}], a{k});" for k in range(lanes)]
    text.append(f"  for (int i = 0; i < W; ++i) for (int k = 0; k < {lanes}; ++k) p[i * {lanes} + k] = b[k][i];")
    return "\n".join([*text, "}"]) + "\n"


def quads(width: int) -> str:
    """Quads of items: what four lanes of one element make."""
    names = (("f32", 4), ("i32", 4), ("u32", 4), ("f64", 8), ("i64", 8), ("u64", 8))
    lines = [JOINS]
    lines += [f"typedef {name} {name}q __attribute__((vector_size({4 * size})));" for name, size in names]
    halves = {8: [(4, 8)], 16: [(4, 8), (8, 16)]}.get(width, [])
    if width == 16:
        lines += [f"typedef {name} {name}h __attribute__((vector_size({8 * size})));" for name, size in names]
    for half, full in halves:
        for name, _ in names:
            whole = f"{name}v" if full == width else f"{name}h"
            part = f"{name}q" if half == 4 else f"{name}h"
            items = ", ".join([f"a[{i}]" for i in range(half)] + [f"b[{i}]" for i in range(half)])
            lines.append(f"INLINE {whole} join({part} a, {part} b) {{ return JOIN({whole}, {half}, {items}); }}")
    return "\n".join(lines) + "\n" + QUADS
