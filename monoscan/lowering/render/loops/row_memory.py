"""Where the elements of a row are, and a copy of those that are not side by side.

The loop over a row sees consecutive elements only. A leaf with other strides makes the
row go through small tiles, copied in and out. A captured array is constant along a row.
"""

from __future__ import annotations

from monoscan.lowering.render.loops.driver import fill
from monoscan.lowering.render.loops.patterns import arguments
from monoscan.lowering.render.prelude import item_type
from monoscan.lowering.render.spec import SIZES, KernelSpec

TILE = 512
"""Elements copied at a time where a leaf's strides are not those of consecutive elements."""

SPAN = """\
static const ms_int TILE = @tile;
INLINE ms_int buffer_bytes(const ms_launch*) { return TILE * @buffer; }
INLINE bool direct(const ms_launch* g) { return @direct; }
NOINLINE void row_captures(const piece& p, captures& k) {
@captures}
NOINLINE elements pack(const piece& p, ms_int at, ms_int count) {
  elements e = {};
  u8* b = p.buffer;
@pack  return e;
}
NOINLINE void unpack(const piece& p, const results& r, ms_int at, ms_int count) {
@unpack}
// A carry is the same in every lane.
NOINLINE void span(const piece& p, bool scan) {
  captures k;
  row_captures(p, k);
  state carry = {};
  if (p.seeded) get_carry<true>(p.carry, p.pitch, 0, carry), carry = shuffle<@zeros>(carry, carry);
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
    const bool seeded = p.seeded || t > p.t0;
@line    if (scan && !in_place) unpack(p, r, at, count);
  }
  put_carry<true>(p.carry, p.pitch, 0, carry);
  if (p.stream) stream_fence();
}
"""


def span_text(spec: KernelSpec) -> str:
    """How a piece of a row is found, and copied where it must be."""
    direct, pack, point, buffers, unpack, aligned, size = [], [], [], [], [], [], 0
    for leaf in spec.tree:
        k, item, a = spec.state[leaf].lanes, item_type(spec.elements[leaf]), f"p.g->inputs[{leaf}]"
        direct.append(f"g->inputs[{leaf}].axis == {k}" + (f" && g->inputs[{leaf}].lane == 1" if k > 1 else ""))
        point.append(f"      e.x{leaf} = (const {item}*){a}.data + p.w->in[{leaf}] + at * {k};")
        pack.append(f"  e.x{leaf} = ({item}*)b;\n")
        for lane in range(k):
            start = f"(const {item}*){a}.data + p.w->in[{leaf}] + at * {a}.axis + {lane} * {a}.lane"
            pack.append(f"  copy_strided(({item}*)b + {lane}, {k}, {start}, {a}.axis, count);\n")
        pack.append(f"  b += TILE * {k * SIZES[spec.elements[leaf]]};\n")
        size += k * SIZES[spec.elements[leaf]]
    outputs = zip(spec.emit, spec.results, strict=False) if spec.want_results else ()
    for index, (leaf, dtype) in enumerate(outputs):
        k, item, a = spec.state[leaf].lanes, item_type(dtype), f"p.g->outputs[{index}]"
        direct.append(f"g->outputs[{index}].axis == {k}")
        point.append(f"      r.y{leaf} = ({item}*){a}.data + p.w->out[{index}] + at * {k};")
        buffers.append(f"      r.y{leaf} = ({item}*)(p.buffer + TILE * {size});")
        for lane in range(k):
            start = f"({item}*){a}.data + p.w->out[{index}] + at * {a}.axis + {lane}"
            unpack.append(f"  copy_strided({start}, {a}.axis, (const {item}*)r.y{leaf} + {lane}, {k}, count);\n")
        if k == 1:
            end = " + count" if spec.reverse else ""
            aligned.append(f" && (u64)(r.y{leaf}{end}) % 64 == 0")
        size += k * SIZES[dtype]
    return fill(
        SPAN,
        tile=TILE,
        buffer=size,
        direct=" && ".join(direct),
        captures=capture_rows(spec),
        pack="".join(pack),
        unpack="".join(unpack) or "  (void)p, (void)r, (void)at, (void)count;\n",
        point="\n".join(point),
        buffers="\n".join(buffers),
        line=_call(spec, "".join(aligned)),
        zeros=arguments([0] * spec.width),
        tile_at="p.g->n - t - count" if spec.reverse else "t",
    )


def _call(spec: KernelSpec, aligned: str) -> str:
    fold = "fold_line(e, count, seeded, carry, k);\n"
    if not spec.want_results:
        return f"    {fold}"
    past = f"p.stream && in_place{aligned}"
    return f"    if (scan) scan_line(e, r, count, seeded, carry, k, {past});\n    else {fold}"


def capture_rows(spec: KernelSpec) -> str:
    """Captured arrays are constant along a row: the same value in every lane."""
    lines = []
    for number, (leaf, dtype) in enumerate(zip(spec.combine.captures, spec.capture_dtypes, strict=True)):
        item, index = item_type(dtype), spec.combine.arity + number
        a = f"p.g->inputs[{index}]"
        for lane in range(leaf.lanes):
            value = f"((const {item}*){a}.data)[p.w->in[{index}] + {lane} * {a}.lane]"
            spread = f"{item} b[W]; for (int i = 0; i < W; ++i) b[i] = {value};"
            lines.append(f"  {{ {spread} k.c{number}_{lane} = load_{dtype}(b); }}\n")
    return "".join(lines) or "  (void)p, (void)k;\n"
