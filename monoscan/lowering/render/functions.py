"""The functions that a combine may call, besides the compiler's own operators.

Each is given as an expression on items; a vector kernel applies it lane by lane. Those
that pay in vector form stand in `maths`.
"""

from __future__ import annotations

from monoscan.lowering.program.ir import Instr, Op, Program
from monoscan.lowering.render.base import kind
from monoscan.lowering.render.casts import conversions
from monoscan.lowering.render.maths import maths

EXTREMES = """\
template <class F> INLINE F minimum(F a, F b) { return a != a ? a : (a < b ? a : b); }
template <class F> INLINE F maximum(F a, F b) { return a != a ? a : (a > b ? a : b); }
"""

MAXPS = """\
#if defined(@feature) && !defined(__clang__)
// The instruction is a < b ? a : b, unordered giving b: one test of a is left.
INLINE f32v minimum(f32v a, f32v b) { return a != a ? a : @min; }
INLINE f32v maximum(f32v a, f32v b) { return a != a ? a : @max; }
#endif
"""

MAP = """\
template <class V, class G> INLINE V map(V x, G g) { V y = x; for (int i = 0; i < W; ++i) y[i] = g(x[i]); return y; }
template <class V, class G> INLINE V map(V x, V z, G g) {
  V y = x;
  for (int i = 0; i < W; ++i) y[i] = g(x[i], z[i]);
  return y;
}
"""

INTEGERS = """\
template <class T> INLINE bool is_signed(T) { return (T)-1 < (T)0; }
template <class T> INLINE T divide_items(T a, T b) {
  if (b == 0) return 0;
  return is_signed(b) && b == (T)-1 ? (T)(0 - (u64)a) : (T)(a / b);
}
template <class T> INLINE T remainder_items(T a, T b) {
  if (b == 0) return a;
  if (is_signed(b) && b == (T)-1) return 0;
  const T r = (T)(a % b);
  return is_signed(b) && r != 0 && (r < 0) != (b < 0) ? (T)(r + b) : r;
}
template <class T> INLINE T floor_divide_items(T a, T b) {
  const T q = divide_items(a, b);
  return is_signed(b) && b != 0 && b != (T)-1 && a % b != 0 && (a < 0) != (b < 0) ? (T)(q - 1) : q;
}
template <class T> INLINE T power_items(T a, T b) {
  if (is_signed(b) && b < (T)0) return 0;
  u64 result = 1, base = (u64)a;
  for (u64 left = (u64)b; left; left >>= 1, base *= base) if (left & 1) result *= base;
  return (T)result;
}
"""

FLOAT_ITEMS = {
    Op.SQRT: ("square_root", "__builtin_sqrt@(x)"),
    Op.RSQRT: ("square_root", "__builtin_sqrt@(x)"),
    Op.ABS: ("absolute", "__builtin_fabs@(x)"),
    Op.SIGN: ("sign", "(x > 0) - (x < 0)"),
    Op.FLOOR: ("floor", "__builtin_floor@(x)"),
    Op.FLOORDIV: ("floor", "__builtin_floor@(x)"),
    Op.CEIL: ("ceil", "__builtin_ceil@(x)"),
    Op.ROUND: ("round", "__builtin_rint@(x)"),
    Op.LOG2: ("log2", "__builtin_log2@(x)"),
    Op.LOG10: ("log10", "__builtin_log10@(x)"),
    Op.ERF: ("erf", "__builtin_erf@(x)"),
    Op.SIN: ("sin", "__builtin_sin@(x)"),
    Op.COS: ("cos", "__builtin_cos@(x)"),
    Op.TAN: ("tan", "__builtin_tan@(x)"),
    Op.ARCSIN: ("arcsin", "__builtin_asin@(x)"),
    Op.ARCCOS: ("arccos", "__builtin_acos@(x)"),
    Op.ARCTAN: ("arctan", "__builtin_atan@(x)"),
    Op.SINH: ("sinh", "__builtin_sinh@(x)"),
    Op.COSH: ("cosh", "__builtin_cosh@(x)"),
    Op.POW: ("power", "__builtin_pow@(x, y)"),
    Op.ARCTAN2: ("arctan2", "__builtin_atan2@(x, y)"),
    Op.REM: ("remainder", "remainder_item(x, y)"),
}
DOUBLE_ITEMS = {
    Op.EXP: ("exp", "__builtin_exp(x)"),
    Op.EXPM1: ("expm1", "__builtin_expm1(x)"),
    Op.LOG: ("log", "__builtin_log(x)"),
    Op.LOG1P: ("log1p", "__builtin_log1p(x)"),
    Op.TANH: ("tanh", "__builtin_tanh(x)"),
    Op.SIGMOID: ("sigmoid", "sigmoid_item(x)"),
    Op.LOGADDEXP: ("logaddexp", "logaddexp_item(x, y)"),
}
INTEGER_ITEMS = {
    Op.SIGN: ("sign", "(x > 0) - (x < 0)"),
    Op.ABS: ("absolute", "x < 0 ? ({T})(0 - (u64)x) : x"),
    Op.FLOORDIV: ("floor_divide", "floor_divide_items(x, y)"),
    Op.REM: ("remainder", "remainder_items(x, y)"),
    Op.POW: ("power", "power_items(x, y)"),
}
HELPERS = {
    "remainder_item": """\
INLINE {T} remainder_item({T} x, {T} y) {
  const {T} r = __builtin_remainder@(x, y);
  return r != 0 && (r < 0) != (y < 0) ? r + y : r;
}
""",
    "sigmoid_item": """\
INLINE f64 sigmoid_item(f64 x) {
  const f64 e = __builtin_exp(-__builtin_fabs(x));
  return (x < 0 ? e : 1) / (1 + e);
}
""",
    "logaddexp_item": """\
INLINE f64 logaddexp_item(f64 x, f64 y) {
  const f64 high = maximum(x, y), low = minimum(x, y);
  if (low == -__builtin_inf() || high == __builtin_inf()) return high;
  return high + __builtin_log1p(__builtin_exp(low - high));
}
""",
}
WHOLE = {
    ("absolute", "float"): "bit_cast<{V}>(bit_cast<{I}>(x) & {most})",
    ("absolute", "int"): "x < 0 ? ({V})(0 - ({U})x) : x",
    ("sign", "float"): "x > 0 ? {V}{} + 1 : x < 0 ? {V}{} - 1 : {V}{}",
    ("sign", "int"): "x > 0 ? {V}{} + 1 : x < 0 ? {V}{} - 1 : {V}{}",
}
"""Written on whole vectors."""

ROUNDING = {"floor": 9, "ceil": 10, "round": 8}
"""The immediate operand of the x86 instruction: no exception, and towards where."""

VECTORISED = frozenset({Op.EXP, Op.EXPM1, Op.LOG, Op.LOG1P, Op.TANH, Op.SIGMOID, Op.LOGADDEXP})


def functions(program: Program, types: dict[str, str], width: int | None) -> str:
    """The functions that a program calls.

    Args:
        program: The program.
        types: The dialect's type of each dtype.
        width: Lanes of a vector, or None for scalars.
    """
    code = program.code
    parts = [EXTREMES, "" if width is None else _extremes(width) + MAP, conversions(program, width)]
    if any(instr.dtype == "float32" and instr.op in VECTORISED for instr in code):
        parts.append(maths(width))
    if any(kind(instr.dtype) == "int" and instr.op in INTEGER_ITEMS for instr in code):
        parts.append(INTEGERS)
    written = []
    for instr in code:
        text = _function(instr, types[instr.dtype], width)
        if text and text not in written:
            written.append(text)
    return "".join([*parts, *written])


def _extremes(width: int) -> str:
    """Least and greatest of float32 by the x86 instructions, where there are some of that width."""
    features = {4: ("__SSE__", ""), 8: ("__AVX__", "256")}
    if width not in features:
        return ""
    feature, suffix = features[width]
    text = MAXPS.replace("@feature", feature)
    for name in ("min", "max"):
        text = text.replace(f"@{name}", f"__builtin_ia32_{name}ps{suffix}(a, b)")
    return text


def _function(instr: Instr, register: str, width: int | None) -> str:
    name, item = _item(instr)
    if not name:
        return ""
    suffix = "f" if instr.dtype == "float32" else ""
    scalar = register.removesuffix("v")
    item = item.replace("@", suffix).replace("{T}", scalar)
    helper = next((text for key, text in HELPERS.items() if key in item), "")
    helper = helper.replace("@", suffix).replace("{T}", scalar)
    arguments = ("x", "y") if "y" in item else ("x",)
    taken = ", ".join(f"{register} {a}" for a in arguments)
    if width is None:
        return f"{helper}INLINE {register} {name}({taken}) {{ return {item}; }}\n"
    whole = _whole(name, instr.dtype, register)
    if whole:
        return f"INLINE {register} {name}({taken}) {{ return {whole}; }}\n"
    parameters = ", ".join(f"{scalar} {a}" for a in arguments)
    body = f"return map({', '.join(arguments)}, []({parameters}) -> {scalar} {{ return {item}; }});"
    text = f"{helper}NOINLINE {register} {name}({taken}) {{ {body} }}\n"
    instruction = _instruction(name, register, width)
    if instruction:
        guard = "defined(__SSE4_1__)" if width * (4 if suffix else 8) == 16 else "defined(__AVX__)"
        return f"#if {guard}\nINLINE {register} {name}({taken}) {{ return {instruction}; }}\n#else\n{text}#endif\n"
    return text


def _whole(name: str, dtype: str, register: str) -> str:
    text = WHOLE.get((name, kind(dtype)), "")
    bits = register[1:]
    most = "0x7fffffff" if bits == "32v" else "0x7fffffffffffffffll"
    return text.replace("{V}", register).replace("{I}", f"i{bits}").replace("{U}", f"u{bits}").replace("{most}", most)


def _instruction(name: str, register: str, width: int) -> str:
    """The x86 instruction for square roots and rounding, which lane loops do not become."""
    size = width * (4 if register == "f32v" else 8)
    letters = "ps" if register == "f32v" else "pd"
    wide = {16: "", 32: "256"}.get(size)
    if wide is None or register not in ("f32v", "f64v"):
        return ""
    if name == "square_root":
        return f"__builtin_ia32_sqrt{letters}{wide}(x)"
    if name in ROUNDING:
        return f"__builtin_ia32_round{letters}{wide}(x, {ROUNDING[name]})"
    return ""


def _item(instr: Instr) -> tuple[str, str]:
    if kind(instr.dtype) == "int":
        return INTEGER_ITEMS.get(instr.op, ("", ""))
    if kind(instr.dtype) == "float":
        table = FLOAT_ITEMS if instr.dtype == "float32" else {**FLOAT_ITEMS, **DOUBLE_ITEMS}
        return table.get(instr.op, ("", ""))
    return "", ""
