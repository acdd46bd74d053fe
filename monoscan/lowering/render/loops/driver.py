"""What the loops share: finding a row's arrays, its init and carry, and the cut into tasks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from monoscan.lowering.render.estimates import fold_share, nanoseconds
from monoscan.lowering.render.prelude import item_type
from monoscan.lowering.render.spec import SIZES, KernelSpec, Layout
from monoscan.lowering.render.state import carry_bytes, carry_offsets

if TYPE_CHECKING:
    from monoscan.lowering.render.guard import GuardText

WALK = """\
enum { INPUTS = @inputs, OUTPUTS = @outputs, INITS = @inits, CARRIES = @carries };

// Offsets, in items, of every array at one index of the outer axes.
struct walk {
  ms_int coordinate[MS_MAX_OUTER], in[INPUTS], out[OUTPUTS + 1], init[INITS], carry[CARRIES];
};
NOINLINE void move(const ms_launch* g, walk& w, ms_int axis, ms_int steps) {
  for (int i = 0; i < INPUTS; ++i) w.in[i] += steps * g->inputs[i].outer[axis];
  for (int i = 0; i < OUTPUTS; ++i) w.out[i] += steps * g->outputs[i].outer[axis];
  if (g->has_init) for (int i = 0; i < INITS; ++i) w.init[i] += steps * g->inits[i].outer[axis];
  if (g->want_carry) for (int i = 0; i < CARRIES; ++i) w.carry[i] += steps * g->carries[i].outer[axis];
}
NOINLINE walk walk_to(const ms_launch* g, ms_int index) {
  walk w = {};
  for (ms_int axis = g->outer_ndim; axis-- > 0; index /= g->outer_shape[axis]) {
    w.coordinate[axis] = index % g->outer_shape[axis];
    move(g, w, axis, w.coordinate[axis]);
  }
  return w;
}
NOINLINE void advance(const ms_launch* g, walk& w) {
  for (ms_int axis = g->outer_ndim; axis-- > 0;) {
    move(g, w, axis, 1);
    if (++w.coordinate[axis] < g->outer_shape[axis]) return;
    move(g, w, axis, -g->outer_shape[axis]);
    w.coordinate[axis] = 0;
  }
}

// A piece of one row: steps t0 to t1 in fold order, columns c0 to c1.
struct piece {
  const ms_launch* g;
  const walk* w;
  ms_int t0, t1, c0, c1, pitch;
  u8* carry;    // a row of carries: what to start from if `seeded`, the fold at the end
  u8* buffer;   // for leaves that are not laid out as the loop wants them
  bool seeded, stream;
};
INLINE ms_int steps_before(const piece& p) { return @steps_before; }

template <class T> NOINLINE void copy_strided(T* to, ms_int to_step, const T* from, ms_int from_step, ms_int count) {
  for (ms_int i = 0; i < count; ++i) to[i * to_step] = from[i * from_step];
}
"""

INIT = """\
// Puts the init into the carries; whether there is one.
NOINLINE bool take_init(const piece& p) {
  if (!p.g->has_init) return false;
  const ms_int count = p.c1 - p.c0;
@take  return true;
}
NOINLINE void give_carry(const piece& p) {
  const ms_int count = p.c1 - p.c0;
@give}
"""

TASKS = """\
// The cut depends on the shape alone.
struct cut { ms_int tasks, columns, pitch, carry, buffer; bool parts; };
NOINLINE cut cut_of(const ms_launch* g) {
  cut c = {1, 1, (g->inner + 2 * @width + 63) / 64 * 64, 0, 0, false};
  const double work = @ns * (double)g->n * (double)g->inner * (double)g->outer_size;
  if (work > 60e3) {
    if (g->outer_size >= 4) c.tasks = least(least(g->outer_size, 8), (ms_int)(work / 30e3)) / 2 * 2;
    else if (g->inner >= 256) c.tasks = g->outer_size * 2, c.columns = 2;
    else if (@can_part && g->outer_size != 2 && g->n >= 1024) c.tasks = g->outer_size * 2, c.parts = true;
    else c.tasks = g->outer_size;
  }
  c.carry = c.pitch * @carry_bytes;
  c.buffer = (buffer_bytes(g) + 63) / 64 * 64;
  return c;
}
INLINE bool past_caches(const ms_launch* g) {
  return g->last_level_cache > 0 && @out_bytes * g->n * g->inner * g->outer_size > g->last_level_cache;
}

MS_EXPORT void ms_schedule(const ms_launch* g, struct ms_schedule* s) {
  if (!(@fits)) return (void)(s->phases = 0);
  const cut c = cut_of(g);
  s->phases = c.parts ? @phases : 1;
  s->tasks[0] = c.tasks;
  s->tasks[1] = c.parts ? @second_phase : 0;
  s->tasks[2] = c.parts ? g->outer_size : 0;
  s->scratch_bytes = (c.parts ? 2 * c.tasks : c.tasks) * c.carry + c.tasks * c.buffer;
}

NOINLINE void whole_rows(const ms_launch* g, const cut& c, ms_int task) {
  const ms_int cuts = c.tasks / c.columns, row = task / c.columns, column = task % c.columns;
  const ms_int wide = (g->inner / c.columns + 15) / 16 * 16;
  u8* scratch = (u8*)g->scratch;
  const ms_int first = g->outer_size * row / cuts, last = g->outer_size * (row + 1) / cuts;
  walk w = walk_to(g, first);
  piece p = {g, &w, 0, g->n, column * wide, column + 1 == c.columns ? g->inner : (column + 1) * wide, c.pitch,
             scratch + task * c.carry, scratch + c.tasks * c.carry + task * c.buffer, false, past_caches(g)};
  for (ms_int o = first; o < last; ++o, advance(g, w)) {
    p.seeded = take_init(p);
    span(p, @results);
    if (g->want_carry) give_carry(p);
  }
}
@parts
MS_EXPORT void ms_task(const ms_launch* g, ms_int phase, ms_int task) {
  const cut c = cut_of(g);
@dispatch}
"""

PARTS = """\

// One long row in three unequal parts: the first is scanned while the second is folded,
// then the second and the third are scanned from what came before them. If the fold of the
// second came out bad, the third waits for its scan.
NOINLINE void part_of_row(const ms_launch* g, const cut& c, ms_int phase, ms_int task) {
  const ms_int row = phase == 2 ? task : task / 2, second = phase == 2 || task % 2;
  const ms_int n1 = (ms_int)((double)g->n * @first_part) / 64 * 64;
  const ms_int n2 = (ms_int)((double)g->n * @second_part) / 64 * 64;
  u8* const carries = (u8*)g->scratch + 4 * row * c.carry;
  u8* const after_first = carries, *const of_second = carries + c.carry;
  walk w = walk_to(g, row);
  piece p = {g, &w, 0, n1, 0, g->inner, c.pitch, after_first,
             (u8*)g->scratch + 2 * c.tasks * c.carry + task * c.buffer, false, past_caches(g)};
  if (phase == 0 && !second) {
    p.seeded = take_init(p);
    span(p, true);
  } else if (phase == 0) {
    p.t0 = n1, p.t1 = n1 + n2, p.carry = of_second;
    span(p, false);
  } else if (!second) {
    p.t0 = n1, p.t1 = n1 + n2, p.carry = carries + 2 * c.carry, p.seeded = true;
    __builtin_memcpy(p.carry, after_first, c.carry);
    span(p, true);
  } else {
    p.t0 = n1 + n2, p.t1 = g->n, p.carry = carries + 3 * c.carry, p.seeded = true;
    const bool bad = combine_carries(p, after_first, of_second, phase == 2 ? carries + 2 * c.carry : nullptr);
    if (bad != (phase == 2)) return;
    span(p, true);
    if (g->want_carry) give_carry(p);
  }
}
"""

HALVES = """\

// One long row in halves.
NOINLINE void part_of_row(const ms_launch* g, const cut& c, ms_int phase, ms_int task) {
  const ms_int row = phase ? task : task / 2, second = phase ? 0 : task % 2, half = g->n / 2;
  u8* const carries = (u8*)g->scratch + 4 * row * c.carry;
  walk w = walk_to(g, row);
  piece p = {g, &w, second || phase ? half : 0, second || phase ? g->n : half, 0, g->inner, c.pitch, carries + second * c.carry,
             (u8*)g->scratch + 2 * c.tasks * c.carry + task * c.buffer, false, false};
  if (phase == 0) {
    if (!second) p.seeded = take_init(p);
    span(p, false);
  } else {
    p.carry = carries + 2 * c.carry;
    if (combine_carries(p, carries, carries + c.carry, nullptr)) {
      piece again = p;  // the second half in order, from the true carries
      again.carry = carries + 3 * c.carry, again.seeded = true;
      __builtin_memcpy(again.carry, carries, c.carry);
      span(again, false);
      combine_carries(p, carries, carries + c.carry, again.carry);
    }
    if (g->want_carry) give_carry(p);
  }
}
"""

COMBINE_CARRIES = """\
// The row of carries that follows from two, one after the other; whether any came out bad. Those
// are taken from a third row, if there is one.
NOINLINE bool combine_carries(const piece& p, const u8* left, const u8* right, const u8* instead) {
  captures k;
  elements e = {};
  bool wrong = false;
  @captures
  for (ms_int j = 0; j < p.g->inner; j += W) {
    state l, r;
    get_carry<true>(left, p.pitch, j, l), get_carry<true>(right, p.pitch, j, r);
    @load
    state y = combine(l, r, k);
@check    put_carry<true>(p.carry, p.pitch, j, y);
  }
  (void)instead;
  return wrong;
}
"""

CHECK = """\
    const i32v bad_columns = (@bad) & (iota < (i32)least(W, p.g->inner - j));
    wrong |= any(bad_columns);
    if (instead) {
      state z;
      get_carry<true>(instead, p.pitch, j, z);
      y = choose(bad_columns, z, y);
    }
"""


FITS = {Layout.ROWS: "g->inner == 1", Layout.NARROW: "g->inner > 1 && g->inner < W"}
"""The launches that a loop is made for; the others take any."""


def fill(text: str, **values: object) -> str:
    """Replaces ``@name`` by a value, the longest names first."""
    for name in sorted(values, key=len, reverse=True):
        text = text.replace(f"@{name}", str(values[name]))
    return text


def walk(spec: KernelSpec) -> str:
    """Finding the arrays of a row, its init and its carry."""
    arity = spec.combine.arity
    take: list[str] = []
    give: list[str] = []
    for leaf in spec.carried:
        item = item_type(spec.state[leaf].dtype)
        for index, lane in enumerate(spec.lanes[leaf]):
            row = f"({item}*)(p.carry + p.pitch * {carry_offsets(spec)[lane]}) + p.c0"
            for lines, array, offset in ((take, "inits", "init"), (give, "carries", "carry")):
                at = f"p.g->{array}[{leaf}]"
                data = f"({item}*){at}.data + p.w->{offset}[{leaf}] + p.c0 * {at}.inner + {index} * {at}.lane"
                ends = (f"{row}, 1", f"{data}, {at}.inner") if lines is take else (f"{data}, {at}.inner", f"{row}, 1")
                lines.append(f"  copy_strided<{item}>({', '.join(ends)}, count);\n")
    before = "p.g->n - p.t1" if spec.reverse else "p.t0"
    text = fill(
        WALK,
        inputs=arity + len(spec.capture_dtypes),
        outputs=len(spec.results) if spec.want_results else 0,
        inits=arity,
        carries=arity,
        steps_before=before,
    )
    return text + fill(INIT, take="".join(take), give="".join(give) or "  (void)count;\n")


def tasks(spec: KernelSpec, guarded: bool = False) -> str:
    """The two functions that a kernel exports; `guarded`: what a part folds to may come out bad."""
    can_part = spec.layout is not Layout.SEQUENTIAL and spec.watch is not None
    share = fold_share(spec)
    if not can_part:
        parts = ""
    elif spec.want_results:
        parts = fill(PARTS, first_part=share / (2 + share), second_part=1 / (2 + share))
    else:
        parts = HALVES
    dispatch = "  c.parts ? part_of_row(g, c, phase, task) : whole_rows(g, c, task);\n"
    outputs = zip(spec.emit, spec.results, strict=False) if spec.want_results else ()
    return fill(
        TASKS,
        parts=parts,
        fits=FITS.get(spec.layout, "true"),
        dispatch=dispatch if can_part else "  (void)phase;\n  whole_rows(g, c, task);\n",
        width=spec.width,
        ns=f"{nanoseconds(spec):.3g}",
        can_part="true" if can_part else "false",
        carry_bytes=carry_bytes(spec),
        out_bytes=sum(SIZES[dtype] * spec.state[leaf].lanes for leaf, dtype in outputs),
        phases=3 if can_part and spec.want_results and guarded else 2,
        second_phase="c.tasks" if spec.want_results else "c.tasks / 2",
        results="true" if spec.want_results else "false",
    )


def combine_carries(guard: GuardText, captures: str, load: str) -> str:
    """Joins the carries of two parts; the layout says how it reads captured arrays."""
    bad = "spoilt(l, y) | bad(r)" if guard.whole else "spoilt(l, y)"
    check = fill(CHECK, bad=bad) if guard.needed else ""
    return fill(COMBINE_CARRIES, captures=captures, load=load, check=check)
