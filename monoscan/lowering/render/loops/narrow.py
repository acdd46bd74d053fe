"""1 < inner < W: a register holds several whole rows, scanned by shifts of whole rows.

The register moves on by the rows that fit, not by its width: the lanes to spare hold the
beginning of the next row, and what is stored from them is overwritten by the next store.
The shifts depend on the inner length, so the lane numbers are computed, once for a piece.
"""

from __future__ import annotations

from monoscan.lowering.render.guard import GuardText
from monoscan.lowering.render.loops.driver import fill
from monoscan.lowering.render.loops.sweep import capture_columns
from monoscan.lowering.render.prelude import item_type
from monoscan.lowering.render.spec import SIZES, KernelSpec
from monoscan.lowering.render.state import StateText

LANES = """\
template <class V> INLINE V arrange(V x, i32v lanes) {
#if defined(__clang__)
  V y = x;
  for (int i = 0; i < W; ++i) y[i] = x[lanes[i]];
  return y;
#else
  if constexpr (sizeof(x[0]) == 8) return __builtin_shuffle(x, __builtin_convertvector(lanes, i64v));
  else return __builtin_shuffle(x, lanes);
#endif
}
INLINE state arrange(const state& s, i32v lanes) { return {@arranged}; }

// Where each lane stands: its row in fold order, its column, and the lanes that the shifts read.
struct grid { ms_int rows; i32v row, column, home, before[3]; };
NOINLINE grid grid_of(ms_int inner) {
  grid s = {W / inner, {}, {}, {}, {}};
  for (int p = 0; p < W; ++p) {
    const int i = (int)inner, from = @from;
    s.row[p] = from / i;
    s.column[p] = @column;
    s.home[p] = p < i ? @home : p;
    for (int d = 0; d < 3; ++d) s.before[d][p] = s.row[p] >= 1 << d ? @shifted : p;
  }
  return s;
}
// The lanes of the last of `rows` rows, for every row.
INLINE i32v last_row(const grid& s, ms_int rows, ms_int inner) { return @last; }
"""

MEND = """\
// The rows of a register again, one by one from the carry: in each column the results from the first bad one on.
NOINLINE void mend(const grid& s, const state& x, ms_int rows, ms_int inner, bool seeded, const state& before,
                   state& carry, state& y, const captures& k, bool scan) {
  const i32v results = scan ? spoilt_results(before, y) & (s.row < (i32)rows) : i32v{};
  if (!any(spoilt(before, carry) | results)) return;
  state c = before;
  i32v found = {};
  for (ms_int r = 0; r < rows; ++r, seeded = true) {
    const i32v lanes = last_row(s, r + 1, inner);
    const state own = arrange(x, lanes), next = seeded ? combine(c, own, k) : own;
    if (scan) {
      const state out = @again;
      found |= arrange(spoilt_results(before, y), lanes);
      y = choose(found & (s.row == (i32)r), out, y);
    }
    c = next;
  }
  carry = choose(spoilt(before, carry), c, carry);
}
"""

LINE = """\
// The rows of a register: scanned, what came before them in front.
INLINE state rows_of(const grid& s, state x, bool seeded, state& carry, i32v last, const captures& k) {
  for (int d = 0; 1 << d < s.rows; ++d) x = choose(s.row >= 1 << d, combine(arrange(x, s.before[d]), x, k), x);
  const state total = arrange(x, last), y = seeded ? combine(carry, x, k) : x;
@out
  carry = seeded ? combine(carry, total, k) : total;  // not from y: a shorter chain from carry to carry
  return out;
}
// Whole rows, one after the other in memory.
template <bool scan>
NOINLINE void line(const elements& given, const results& wanted, ms_int total, ms_int inner, const grid& s, bool seeded,
                   state& last, const captures& k) {
  const elements e = given;  // copies have no address: no store can change them, and they stay in registers
  const results r = wanted;
  const ms_int step = s.rows * inner;
  const i32v behind = last_row(s, s.rows, inner);
  state carry = last, next;
  ms_int done = 0;
  if (total >= W) load(e, @first, next);
@whole_registers
  if (done < total && done == 0) next = rest(e, 0, total, inner, s.rows);
  while (done < total) {
    const ms_int rows = least(s.rows, (total - done) / inner), count = rows * inner;
    const state x = next;
    if (done + count < total) next = rest(e, done + count, total, inner, s.rows);
    state after = carry, y = rows_of(s, x, seeded, after, last_row(s, rows, inner), k);
@check_part    if (scan) store_part(r, @part, (int)count, y);
    carry = after, done += count, seeded = true;
  }
  last = carry;
}
"""

CHECK = """\
    if (@seldom) {
      const state own = x, b = carry;
      state n = after, o = y;
      mend(s, own, rows, inner, seeded, b, n, o, k, scan);
      after = n, y = o;
    }
"""

REGISTERS = """\
  for (; done + W <= total; done += step, seeded = true) {
    const state x = next;
@ahead
    const state y = rows_of(s, x, seeded, carry, behind, k);
    if (scan) store(r, @whole, y);
  }
"""

# What a loop calls is called outside of it: a call would drive its constants from the registers.
GUARDED_REGISTERS = """\
  for (;; done += step, seeded = true) {
    state x, y, after;
    for (; done + W <= total; done += step, seeded = true) {
      x = next;
@ahead
      after = carry, y = rows_of(s, x, seeded, after, behind, k);
      if (@seldom) break;
      if (scan) store(r, @whole, y);
      carry = after;
    }
    if (done + W > total) break;
    const state own = x, b = carry;  // copies: what has an address is not held in registers
    state n = after, o = y;
    mend(s, own, s.rows, inner, seeded, b, n, o, k, scan);
    if (scan) store(r, @whole, o);
    carry = n;
  }
"""

AHEAD = """\
    if (done + step + W <= total) load(e, @next_at, next);  // before the store: it may be the same memory
    else if (done + step < total) next = rest(e, done + step, total, inner, s.rows);
"""

REST = """\
// Fewer items than a vector has lanes.
INLINE state rest(const elements& e, ms_int done, ms_int total, ms_int inner, ms_int rows) {
  state x;
  const ms_int count = least(rows, (total - done) / inner) * inner;
  load_part(e, @part, (int)count, x);
  return x;
}
"""

SPAN = """\
static const ms_int TILE = 256;
INLINE ms_int buffer_bytes(const ms_launch* g) { return padded(g->inner) * @captured + padded(TILE * g->inner) * @buffer; }
NOINLINE void pack_captures(const piece& p, elements& e) {
  u8* b = p.buffer;
@captures  (void)e, (void)b;
}
INLINE bool direct(const ms_launch* g) { return @direct; }
NOINLINE elements pack(const piece& p, ms_int at, ms_int count) {
  elements e = {};
  u8* b = p.buffer + padded(p.g->inner) * @captured;
  const ms_int inner = p.g->inner;
@pack  return e;
}
NOINLINE void unpack(const piece& p, const results& r, ms_int at, ms_int count) {
  const ms_int inner = p.g->inner;
@unpack  (void)p, (void)r, (void)at, (void)count, (void)inner;
}
NOINLINE void span(const piece& p, bool scan) {
  const ms_int inner = p.g->inner;
  const grid s = grid_of(inner);
  elements captured = {};
  pack_captures(p, captured);
  captures k;
  load_captures(captured, 0, padded(inner), k);
@arranged
  state carry = {};
  if (p.seeded) get_carry<true>(p.carry, p.pitch, 0, carry), carry = arrange(carry, s.column);
  const bool in_place = direct(p.g);
  const ms_int tile = in_place ? p.t1 - p.t0 : TILE;
  for (ms_int t = p.t0; t < p.t1; t += tile) {
    const ms_int count = least(tile, p.t1 - t), at = @tile_at;
    elements e = {};
    results r = {};
    if (in_place) {
@point
    } else {
      e = pack(p, at, count);
@buffers
    }
    (@line)(e, r, count * inner, inner, s, p.seeded || t > p.t0, carry, k);
    if (scan && !in_place) unpack(p, r, at, count);
  }
  put_carry<true>(p.carry, p.pitch, 0, arrange(carry, s.home));
}
"""


class NarrowText:
    """Writes the loop.

    Args:
        spec: The kernel.
        text: The writer of its state.
    """

    def __init__(self, spec: KernelSpec, text: StateText) -> None:
        self.spec = spec
        self.text = text
        self.guard = GuardText(spec, text.lanes)
        self.captures, self.captured = capture_columns(spec)

    def loop(self) -> str:
        """All of it, in order."""
        return self._lanes() + self._line() + self._span()

    def _lanes(self) -> str:
        back = self.spec.reverse
        arranged = ", ".join(f"arrange(s.s{lane}, lanes)" for lane in self.text.lanes)
        first = "s.column + (i32)(W - rows * inner)" if back else "s.column + (i32)((rows - 1) * inner)"
        return fill(
            LANES,
            arranged=arranged,
            column="i - 1 - from % i" if back else "from % i",
            home="W - i + p" if back else "p",
            shifted="p + (i << d)" if back else "p - (i << d)",
            last=first,
            **{"from": "W - 1 - p" if back else "p"},
        )

    def _line(self) -> str:
        spec, guard = self.spec, self.guard
        back = spec.reverse
        start = f"state{self.text.identity()}" if spec.identity is not None else "carry"
        out = "  const state out = y;"
        if not spec.inclusive:
            out = f"  const state out = choose(s.row >= 1, arrange(y, s.before[0]), seeded ? carry : {start});"
        mend, registers, check = "", REGISTERS, ""
        if guard.needed:
            mend = fill(MEND, again="next" if spec.inclusive else f"seeded ? c : {start}".replace("carry", "c"))
            seldom = f"scan ? {guard.seldom(['y'], ['after'])} : {guard.seldom([], ['after'])}"
            registers = fill(GUARDED_REGISTERS, seldom=seldom)
            check = fill(CHECK, seldom=seldom)
        line = LINE.replace("@whole_registers\n", registers.replace("@ahead\n", AHEAD))
        return fill(
            REST + mend + line,
            out=out,
            check_part=check,
            first="total - W" if back else "0",
            next_at="total - done - step - W" if back else "done + step",
            whole="total - done - W" if back else "done",
            part="total - done - count" if back else "done",
        )

    def _span(self) -> str:
        spec = self.spec
        direct, pack, point, buffers, unpack, size = [], [], [], [], [], 0
        for leaf in spec.tree:
            k, item, a = spec.state[leaf].lanes, item_type(spec.elements[leaf]), f"p.g->inputs[{leaf}]"
            test = f"g->inputs[{leaf}].inner == {k} && g->inputs[{leaf}].axis == {k} * g->inner"
            direct.append(test + (f" && g->inputs[{leaf}].lane == 1" if k > 1 else ""))
            point.append(f"      e.x{leaf} = (const {item}*){a}.data + p.w->in[{leaf}] + at * inner * {k};")
            pack.append(f"  e.x{leaf} = ({item}*)b;\n  for (ms_int t = 0; t < count; ++t) {{\n")
            for lane in range(k):
                start = f"(const {item}*){a}.data + p.w->in[{leaf}] + (at + t) * {a}.axis + {lane} * {a}.lane"
                to = f"({item}*)b + t * inner * {k} + {lane}"
                pack.append(f"    copy_strided({to}, {k}, {start}, {a}.inner, inner);\n")
            pack.append(f"  }}\n  b += padded(TILE * inner) * {k * SIZES[spec.elements[leaf]]};\n")
            size += k * SIZES[spec.elements[leaf]]
        outputs = zip(spec.emit, spec.results, strict=False) if spec.want_results else ()
        for index, (leaf, dtype) in enumerate(outputs):
            k, item, a = spec.state[leaf].lanes, item_type(dtype), f"p.g->outputs[{index}]"
            direct.append(f"g->outputs[{index}].inner == {k} && g->outputs[{index}].axis == {k} * g->inner")
            point.append(f"      r.y{leaf} = ({item}*){a}.data + p.w->out[{index}] + at * inner * {k};")
            start = f"p.buffer + padded(inner) * {self.captured} + padded(TILE * inner) * {size}"
            buffers.append(f"      r.y{leaf} = ({item}*)({start});")
            to = f"({item}*){a}.data + p.w->out[{index}] + (at + t) * {a}.axis"
            row = f"(const {item}*)r.y{leaf} + t * inner * {k}"
            unpack.append("  for (ms_int t = 0; t < count; ++t)\n")
            unpack.append(f"    copy_strided({to}, 1, {row}, 1, inner * {k});\n")
            size += k * SIZES[dtype]
        return fill(
            SPAN,
            captures=self.captures,
            captured=self.captured,
            buffer=size,
            direct=" && ".join(direct),
            pack="".join(pack),
            unpack="".join(unpack),
            arranged=self._arranged(),
            line="scan ? line<true> : line<false>" if spec.want_results else "line<false>",
            point="\n".join(point),
            buffers="\n".join(buffers),
            tile_at="p.g->n - t - count" if spec.reverse else "t",
        )

    def _arranged(self) -> str:
        lanes = [f"k.c{n}_{i}" for n, leaf in enumerate(self.spec.combine.captures) for i in range(leaf.lanes)]
        return "\n".join(f"  {lane} = arrange({lane}, s.column);" for lane in lanes)
