"""Text that finds what is not ordinary among states: NaN, and infinities that no element need hold."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from monoscan.lowering.program.nonfinite import HIGH, LOW, Kinds
from monoscan.lowering.render.loops.driver import fill
from monoscan.lowering.render.spec import KernelSpec

MOST = {"float32": "0x1.fffffep127f", "float64": "0x1.fffffffffffffp1023"}

HALVES = {"float32": "f32x8", "float64": "f64x4"}

GUARD = """\
template <class V> struct halves_of { V low, high; };
template <class V> INLINE bool any(V m) {
#if defined(__AVX__)
  typedef long long q4 __attribute__((vector_size(32)));
  if constexpr (sizeof m == 32) return !__builtin_ia32_ptestz256(bit_cast<q4>(m), bit_cast<q4>(m));
  if constexpr (sizeof m == 64) {
    const halves_of<q4> h = bit_cast<halves_of<q4>>(m);
    return any(h.low | h.high);
  }
#endif
#if defined(__SSE4_1__)
  typedef long long q2 __attribute__((vector_size(16)));
  if constexpr (sizeof m == 16) return !__builtin_ia32_ptestz128(bit_cast<q2>(m), bit_cast<q2>(m));
#endif
  struct words { u64 at[sizeof m / 8]; };
  const words w = bit_cast<words>(m);
  u64 all = 0;
  for (u64 word : w.at) all |= word;
  return all != 0;
}
template <class V> INLINE V multiply_add(V a, V b, V c) {
#if __has_builtin(__builtin_elementwise_fma)
  return __builtin_elementwise_fma(a, b, c);
#elif defined(__FMA__)
  if constexpr (sizeof a == 32 && sizeof a[0] == 4) return __builtin_ia32_vfmaddps256(a, b, c);
  if constexpr (sizeof a == 32 && sizeof a[0] == 8) return __builtin_ia32_vfmaddpd256(a, b, c);
#if defined(__AVX512F__)
  if constexpr (sizeof a == 64 && sizeof a[0] == 4) return __builtin_ia32_vfmaddps512_mask(a, b, c, (short)-1, 4);
  if constexpr (sizeof a == 64 && sizeof a[0] == 8) return __builtin_ia32_vfmaddpd512_mask(a, b, c, -1, 4);
#endif
#endif
  return a * b + c;
}
template <class V> INLINE auto not_finite(V x) { return x - x != 0; }
// The sum of both halves tells as well, and is quicker to test.
template <class Half, class V> INLINE bool sum_not_finite(V x) {
#if defined(__AVX512DQ__)  // one instruction: quiet NaN, infinities, signalling NaN
  if constexpr (sizeof(V) == 64 && sizeof(x[0]) == 4) return __builtin_ia32_fpclassps512_mask(x, 0x99, (short)-1);
  if constexpr (sizeof(V) == 64 && sizeof(x[0]) == 8) return __builtin_ia32_fpclasspd512_mask(x, 0x99, (char)-1);
#endif
  if constexpr (sizeof(V) == 64) {
    const halves_of<Half> h = bit_cast<halves_of<Half>>(x);
    return any(not_finite(h.low + h.high));
  } else return any(not_finite(x));
}
// Bad: NaN, or an infinity that is not ordinary. Spoilt: bad, and not because it was so before for ever.
INLINE i32v bad(const state& s) { return @bad; }
INLINE i32v spoilt(const state& before, const state& s) { return @spoilt; }
INLINE i32v spoilt_results(const state& before, const state& s) { return @spoilt_results; }
"""


class GuardText:
    """Writes the tests of states.

    Args:
        spec: The kernel; it says what to look at.
        lanes: The lanes of the state that the loop holds.
    """

    def __init__(self, spec: KernelSpec, lanes: Sequence[int]) -> None:
        found = spec.watch
        self.spec = spec
        self.kinds: dict[int, Kinds] = {} if found is None else dict(zip(lanes, found.kinds, strict=True))
        self.lasting = set() if found is None else {n for n, a in zip(lanes, found.lasting, strict=True) if a}
        self.carried = [n for n in spec.lanes_of(spec.carried) if self.kinds.get(n)]
        wanted = spec.carried if found is None or found.whole else spec.emit
        self.results = [n for n in spec.lanes_of(wanted) if self.kinds.get(n)]
        self.whole = found is not None and found.whole

    @property
    def needed(self) -> bool:
        """Whether anything can go wrong."""
        return bool(self.carried)

    def text(self) -> str:
        """The functions."""
        if not self.needed:
            return ""
        return fill(
            GUARD,
            bad=_joined(self._bad(f"s.s{n}", n) for n in self.carried),
            spoilt=_joined(self._spoilt(n) for n in self.carried),
            spoilt_results=_joined(self._spoilt(n) for n in self.results),
        )

    def seldom(self, results: Sequence[str], carries: Sequence[str]) -> str:
        """A condition that holds if any of these states is bad, and hardly ever else: sums tell of all their terms."""
        terms: dict[tuple[str, Kinds], list[str]] = {}
        for names, lanes in ((results, self.results), (carries, self.carried)):
            for name in names:
                for n in lanes:
                    terms.setdefault((self.spec.dtypes[n], self.kinds[n]), []).append(f"{name}.s{n}")
        tests = []
        for (dtype, kinds), values in terms.items():
            if {HIGH, LOW} <= kinds:
                tests.append(f"sum_not_finite<{HALVES[dtype]}>({_sum(values)})")
            else:
                tests.append(f"any({_joined(_test(value, dtype, kinds) for value in values)})")
        return f"__builtin_expect({' | '.join(tests)}, 0)"

    def _bad(self, value: str, lane: int) -> str:
        dtype = self.spec.dtypes[lane]
        test = _test(value, dtype, self.kinds[lane])
        return test if dtype == "float32" else f"__builtin_convertvector({test}, i32v)"

    def _spoilt(self, lane: int) -> str:
        now = self._bad(f"s.s{lane}", lane)
        return f"({now} & ~{self._bad(f'before.s{lane}', lane)})" if lane in self.lasting else now


def _test(value: str, dtype: str, kinds: Kinds) -> str:
    if {HIGH, LOW} <= kinds:
        return f"not_finite({value})"
    if HIGH in kinds:
        return f"~({value} <= {MOST[dtype]})"
    return f"~({value} >= -{MOST[dtype]})" if LOW in kinds else f"({value} != {value})"


def _joined(tests: Iterable[str]) -> str:
    return " | ".join(tests)


def _sum(values: Sequence[str]) -> str:
    """Products of two by two, added up: half as many operations, and nothing makes it finite again."""
    pairs = [values[i : i + 2] for i in range(0, len(values), 2)]
    total = " * ".join(pairs[-1])
    for a, b in pairs[:-1]:
        total = f"multiply_add({a}, {b}, {total})"
    return total
