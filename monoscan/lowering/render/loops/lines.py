"""inner == 1: consecutive elements, block after block, and what is left at the end."""

from __future__ import annotations

from monoscan.lowering.render.guard import GuardText
from monoscan.lowering.render.loops.driver import fill
from monoscan.lowering.render.spec import KernelSpec

LINE = """\
// Consecutive elements.
NOINLINE void scan_line(const elements& given, const results& wanted, ms_int length, bool seeded, state& last,
                        const captures& k, bool past) {
  const elements e = given;  // copies have no address: no store can change them, and they stay in registers
  const results r = wanted;
  const ms_int size = @length * W;
  ms_int i = 0;
  state carry = last;
@blocks  rest(given, wanted, i, length, seeded, last, k, true);
}
"""

BLOCKS = """\
  for (; i + size <= length; i += size, seeded = true) block(e, r, @block_at, seeded, carry, k, past);
  @keep_last
"""

PAIRS = """\
  if (!seeded && size <= length) block(given, wanted, @block_at, false, carry, k, past), i = size, seeded = true;
  if (seeded) {
    state c = carry;  // without an address, and so in registers
    for (; i + 2 * size <= length; i += 2 * size) pair(e, r, @pair_at, c, k, past);
    @keep_carry
    if (i + size <= length) block(given, wanted, @block_at, true, carry, k, past), i += size;
  }
  @keep_last
"""

FOLD = """\
NOINLINE void fold_line(const elements& given, ms_int length, bool seeded, state& last, const captures& k) {
  const elements e = given;
  const ms_int size = @length * W;
  ms_int i = 0;
  state carry = last;
  for (; i + size <= length; i += size, seeded = true) fold_block(e, @block_at, seeded, carry, k);
  last = carry;
  rest(given, {}, i, length, seeded, last, k, false);
}
"""

# A loop with a call in it holds no constants in registers: guarded ones stop, and are called again.
GUARDED_PAIRS = """\
// Pairs of blocks from `i` on; up to where all came out well.
NOINLINE ms_int pairs(const elements& given, const results& wanted, ms_int i, ms_int length, state& last,
                      const captures& k, bool past) {
  const elements e = given;
  const results r = wanted;
  const ms_int size = @length * W;
  state c = last;
  for (int done = 2; done == 2 && i + 2 * size <= length; i += done * size) done = pair(e, r, @pair_at, c, k, past);
  @keep_last_c
  return i;
}
NOINLINE void scan_line(const elements& e, const results& r, ms_int length, bool seeded, state& last,
                        const captures& k, bool past) {
  const ms_int size = @length * W;
  ms_int i = 0;
  if (!seeded && size <= length) block(e, r, @block_at, false, last, k, past), i = size, seeded = true;
  for (; seeded; i += size) {
    i = pairs(e, r, i, length, last, k, past);
    if (i + size > length) break;
    block(e, r, @block_at, true, last, k, past);
  }
  rest(e, r, i, length, seeded, last, k, true);
}
"""

GUARDED_BLOCKS = """\
// Blocks from `i` on; up to where.
NOINLINE ms_int blocks(const elements& given, const results& wanted, ms_int i, ms_int length, bool seeded, state& last,
                       const captures& k, bool past, state* kept) {
  const elements e = given;
  const results r = wanted;
  const ms_int size = @length * W;
  state carry = last;
  for (; i + size <= length; i += size, seeded = true)
    if (!block(e, r, @block_at, seeded, carry, k, past, kept)) break;
  @keep_last
  return i;
}
NOINLINE void scan_line(const elements& e, const results& r, ms_int length, bool seeded, state& last,
                        const captures& k, bool past) {
  const ms_int size = @length * W;
  state kept[@length + 1];
  ms_int i = 0;
  for (;; i += size) {
    i = blocks(e, r, i, length, seeded, last, k, past, kept), seeded = seeded || i > 0;
    if (i + size > length) break;
    mend_block(e, r, @block_at, seeded, last, kept, k), seeded = true;
  }
  rest(e, r, i, length, seeded, last, k, true);
}
"""

GUARDED_FOLD = """\
NOINLINE void fold_blocks(const elements& given, ms_int i, ms_int end, ms_int length, bool seeded, state& last,
                          const captures& k) {
  const elements e = given;
  const ms_int size = @length * W;
  state carry = last;
  for (; i < end; i += size, seeded = true) fold_block(e, @block_at, seeded, carry, k);
  last = carry;
}
// What is bad stays bad or has no say, so that a look once in a while is enough.
NOINLINE void fold_line(const elements& e, ms_int length, bool seeded, state& last, const captures& k) {
  const ms_int size = @length * W, whole = length / size * size;
  ms_int i = 0;
  for (ms_int end; i < whole; i = end, seeded = true) {
    end = least(whole, i + 16 * size);
    const state before = last;
    fold_blocks(e, i, end, length, seeded, last, k);
    if (@seldom) mend(e, @chunk_at, (int)((end - i) / W), seeded, before, last, nullptr, k);
  }
  rest(e, {}, i, length, seeded, last, k, false);
}
"""


def scan(spec: KernelSpec, guard: GuardText, length: int, paired: bool) -> str:
    """The scan of a line by blocks of `length` registers, or pairs of them."""
    text = LINE.replace("@blocks", PAIRS if paired else BLOCKS)
    if guard.needed:
        text = GUARDED_PAIRS if paired else GUARDED_BLOCKS
    return fill(
        text,
        length=length,
        block_at="length - i - size" if spec.reverse else "i",
        pair_at="length - i - 2 * size" if spec.reverse else "i",
        keep_carry=_keep(spec, "carry", "c"),
        keep_last=_keep(spec, "last", "carry"),
        keep_last_c=_keep(spec, "last", "c"),
    )


def fold(spec: KernelSpec, guard: GuardText, length: int) -> str:
    """The fold of a line by blocks of `length` registers."""
    at = {
        "block_at": "length - i - size" if spec.reverse else "i",
        "chunk_at": "length - end" if spec.reverse else "i",
    }
    if not guard.needed:
        return fill(FOLD, length=length, **at)
    return fill(GUARDED_FOLD, length=length, seldom=guard.seldom([], ["last"]), **at)


def _keep(spec: KernelSpec, to: str, source: str) -> str:
    """The carried lanes alone: the others need not be computed."""
    return " ".join(f"{to}.s{lane} = {source}.s{lane};" for lane in spec.lanes_of(spec.carried))
