"""Gradients by central differences in float64: the fold in order, run by NumPy, knows no derivative.

A program is the traced ``combine``; what it computes is tested elsewhere. Here NumPy runs
it in float64 (MLX's own float64 exponentials are no more accurate than its float32), for
all perturbed inputs at once along an axis in front.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import attrs
import mlx.core as mx
import numpy as np
import numpy.typing as npt

import monoscan as ms
from monoscan import tree
from monoscan.lowering.program.ir import Instr, Leaf, Op, Program
from monoscan.lowering.trace.reads.captures import capture

Array = npt.NDArray[Any]
STEP = 1e-5


def _extreme(wins: Callable[[Array, Array], Array]) -> Callable[..., Array]:
    return lambda a, b: np.where((a != a) | wins(a, b), a, b)


def _sign(a: Array) -> Array:
    return (a > 0) * 1 - (a < 0) * 1


def _lookup(index: Array, *lanes: Array) -> Array:
    return np.choose(index, np.broadcast_arrays(*lanes))


def _erf(a: Array) -> Array:
    return np.vectorize(math.erf, otypes=[np.float64])(a)


def _erfinv(a: Array) -> Array:
    x = np.zeros_like(a)
    for _ in range(60):  # Newton
        x = x - (_erf(x) - a) * (math.sqrt(math.pi) / 2) * np.exp(x * x)
    return x


TABLE: dict[Op, Callable[..., Any]] = {
    Op.ADD: np.add, Op.SUB: np.subtract, Op.MUL: np.multiply, Op.DIV: np.divide, Op.FLOORDIV: np.floor_divide,
    Op.REM: np.mod, Op.POW: np.power, Op.NEG: np.negative, Op.ABS: np.abs, Op.SIGN: _sign,
    Op.MIN: _extreme(np.less), Op.MAX: _extreme(np.greater), Op.SQRT: np.sqrt, Op.RSQRT: lambda a: 1 / np.sqrt(a),
    Op.EXP: np.exp, Op.EXPM1: np.expm1, Op.LOG: np.log, Op.LOG2: np.log2, Op.LOG10: np.log10, Op.LOG1P: np.log1p,
    Op.LOGADDEXP: np.logaddexp, Op.SIGMOID: lambda a: 1 / (1 + np.exp(-a)), Op.ERF: _erf, Op.ERFINV: _erfinv,
    Op.SIN: np.sin, Op.COS: np.cos, Op.TAN: np.tan, Op.ARCSIN: np.arcsin, Op.ARCCOS: np.arccos, Op.ARCTAN: np.arctan,
    Op.ARCTAN2: np.arctan2, Op.SINH: np.sinh, Op.COSH: np.cosh, Op.TANH: np.tanh, Op.FLOOR: np.floor, Op.CEIL: np.ceil,
    Op.ROUND: np.rint, Op.EQ: np.equal, Op.NE: np.not_equal, Op.LT: np.less, Op.LE: np.less_equal, Op.GT: np.greater,
    Op.GE: np.greater_equal, Op.NOT: np.invert, Op.AND: np.bitwise_and, Op.OR: np.bitwise_or, Op.XOR: np.bitwise_xor,
    Op.SHL: np.left_shift, Op.SHR: np.right_shift,
    Op.STOP: lambda a: a, Op.SELECT: np.where, Op.LOOKUP: _lookup,
}  # fmt: skip


def wide(dtype: str) -> np.dtype[Any]:
    """What the oracle computes a dtype in."""
    return np.dtype("float64" if "float" in dtype else dtype)


def evaluate(program: Program, lanes: Sequence[Array]) -> list[Array]:
    """The output lanes of a program, floats in float64."""
    values = list(lanes)
    with np.errstate(all="ignore"):
        for instr in program.code:
            values.append(_apply(instr, [values[a] for a in instr.args]))
    return [values[v] for v in program.results]


def _apply(instr: Instr, args: list[Array]) -> Array:
    if instr.op is Op.CONST:
        return np.asarray(instr.param).astype(wide(instr.dtype))
    if instr.op is Op.CAST:
        return args[0].astype(wide(instr.dtype))
    return np.asarray(TABLE[instr.op](*args)).astype(wide(instr.dtype))


def numpy_of(x: mx.array) -> Array:
    """An MLX array, floats in float64; complex numbers as their parts, of which programs compute."""
    name = str(x.dtype).removeprefix("mlx.core.")
    if name == "complex64":
        return np.stack([np.real(x), np.imag(x)], -1).astype(np.float64)
    array = np.array(x.astype(mx.float32) if name in ("float16", "bfloat16") else x)
    return array.astype(wide(name))


@attrs.frozen
class Fold:
    """A scan by definition.

    Args:
        program: The ``combine``.
        axis: The scan axis, from the front.
        reverse: Fold from the last element.
        inclusive: Each position includes its own element.
        identity: The identity's leaves, for exclusive scans without ``init``.
        heads: Whether the first leaf starts segments, at which exclusive results are the identity.
    """

    program: Program
    axis: int = 0
    reverse: bool = False
    inclusive: bool = True
    identity: tuple[Array, ...] | None = None
    heads: bool = False

    def run(
        self, elements: Sequence[Array], captures: Sequence[Array], init: Sequence[Array]
    ) -> tuple[list[Array], list[Array]]:
        """Results and carry, leaf by leaf, for arrays with an axis of variants in front; the scan axis comes next."""
        state_leaves = self.program.inputs[: self.program.arity]
        rows = [np.moveaxis(x, self.axis + 1, 1) for x in elements]
        rank = max(x.ndim - 2 - len(leaf.shape) for x, leaf in zip(rows, state_leaves, strict=True))
        starts = [x.ndim - 1 - len(leaf.shape) for x, leaf in zip(init, state_leaves, strict=False)]
        rank = max([rank, *starts])
        xs = [_lanes(_pad(x, 2, rank, leaf), leaf) for x, leaf in zip(rows, state_leaves, strict=True)]
        held = [lane for c, leaf in zip(captures, self.program.captures, strict=True)
                for lane in _lanes(c.reshape(c.shape[0], *(1,) * rank, *c.shape[1:]), leaf)]  # fmt: skip
        state = [v for x, leaf in zip(init, state_leaves, strict=False) for v in _lanes(_pad(x, 1, rank, leaf), leaf)]
        n = rows[0].shape[1]
        befores: list[list[Array]] = [[]] * n
        afters: list[list[Array]] = [[]] * n
        for t in range(n - 1, -1, -1) if self.reverse else range(n):
            element = [lane[:, t] for x in xs for lane in x]
            befores[t] = state or self._neutral(element)
            state = evaluate(self.program, [*state, *element, *held]) if state else element
            afters[t] = state
        results = afters if self.inclusive else befores
        ys = [np.stack(np.broadcast_arrays(*each), axis=1) for each in zip(*results, strict=True)]
        joined = _joined(ys, state_leaves)
        if self.heads and not self.inclusive:
            joined = self._restarted(joined, xs[0][0], state_leaves)
        return joined, _joined(state, state_leaves)

    def _neutral(self, like: list[Array]) -> list[Array]:
        if self.inclusive:
            return like
        assert self.identity is not None
        values = [v for leaf in self.identity for v in leaf.reshape(-1)]
        return [np.broadcast_to(np.asarray(v), x.shape) for v, x in zip(values, like, strict=True)]

    def _restarted(self, ys: list[Array], heads: Array, leaves: Sequence[Leaf]) -> list[Array]:
        assert self.identity is not None
        rows = zip(ys, self.identity, leaves, strict=True)
        return [np.where(heads.reshape(*heads.shape, *(1,) * len(leaf.shape)), e, y) for y, e, leaf in rows]


def _pad(x: Array, front: int, rank: int, leaf: Leaf) -> Array:
    """Batch axes aligned from the right."""
    missing = rank - (x.ndim - front - len(leaf.shape))
    return x.reshape(*x.shape[:front], *(1,) * missing, *x.shape[front:])


def _lanes(x: Array, leaf: Leaf) -> list[Array]:
    if not leaf.shape:
        return [x]
    flat = x.reshape(*x.shape[: x.ndim - len(leaf.shape)], leaf.lanes)
    return [flat[..., i] for i in range(leaf.lanes)]


def _joined(lanes: Sequence[Array], leaves: Sequence[Leaf]) -> list[Array]:
    joined, start = [], 0
    for leaf in leaves:
        own = np.stack(np.broadcast_arrays(*lanes[start : start + leaf.lanes]), axis=-1)
        joined.append(own.reshape(*own.shape[:-1], *leaf.shape))
        start += leaf.lanes
    return joined


def central(loss: Callable[[list[Array]], Array], arrays: Sequence[Array], step: float = STEP) -> list[Array | None]:
    """The gradient of ``loss``, which takes variants along an axis in front, by each array of floats."""
    moves: list[tuple[int, int, float]] = []
    for k, x in enumerate(arrays):
        if x.dtype.kind == "f":
            moves += [(k, i, sign * step) for i in range(x.size) for sign in (1, -1)]
    variants = [np.repeat(x[None], len(moves), axis=0) for x in arrays]
    for row, (k, i, move) in enumerate(moves):
        variants[k].reshape(len(moves), -1)[row, i] += move
    slopes = loss(variants) if moves else np.zeros(0)
    found: list[Array | None] = [np.zeros(x.shape, x.dtype) if x.dtype.kind == "f" else None for x in arrays]
    for row in range(0, len(moves), 2):
        k, i, move = moves[row]
        target = found[k]
        assert target is not None
        target.reshape(-1)[i] += (slopes[row] - slopes[row + 1]) / (2 * step) * (move / step)
    return found


def weigh(weights: Sequence[Array | None], outputs: Sequence[Array], axis: int | None) -> Array:
    """The sum of all outputs, each by its weights."""
    total: Array = np.zeros(1)
    for w, y in zip(weights, outputs, strict=True):
        if w is not None:
            moved = w if axis is None else np.moveaxis(w, axis, 0)
            front = moved.shape[: 0 if axis is None else 1]
            moved = moved.reshape((*front, *(1,) * (y.ndim - 1 - moved.ndim), *moved.shape[len(front) :]))
            finite = np.where(np.isfinite(y), y, 0)  # an identity of -inf does not move
            wide_y = np.broadcast_to(finite, (y.shape[0], *moved.shape))
            total = total + (moved * wide_y).reshape(y.shape[0], -1).sum(1)
    return total


@attrs.frozen
class Question:
    """A scan and the part of its outputs that a loss looks at.

    Args:
        operator: Makes the operator from the arrays that it captures.
        elems: The elements.
        captured: The arrays that it captures.
        init: The initial element.
        leaves: The result leaves in the loss; all by default.
        carry: Whether the carry is in the loss.
        fold: Whether the loss looks at the fold alone.
        options: Those of the scan.
        seed: Of the weights.
    """

    operator: Callable[..., ms.Semigroup]
    elems: Any
    captured: tuple[mx.array, ...] = ()
    init: Any = None
    leaves: tuple[int, ...] | None = None
    carry: bool = False
    fold: bool = False
    options: dict[str, Any] = attrs.field(factory=dict)
    seed: int = 0

    def inputs(self) -> list[mx.array]:
        """All arrays: elements, captured, init."""
        return [
            *tree.flatten(self.elems)[0],
            *self.captured,
            *(tree.flatten(self.init)[0] if self.init is not None else []),
        ]

    def outputs(self, *arrays: mx.array) -> list[mx.array]:
        """The outputs that are in the loss."""
        ys, structure = tree.flatten(self.elems)
        k, c = len(ys), len(self.captured)
        elems, operator = tree.unflatten(structure, arrays[:k]), self.operator(*arrays[k : k + c])
        init = None if self.init is None else tree.unflatten(tree.flatten(self.init)[1], arrays[k + c :])
        if self.fold:
            options = {key: value for key, value in self.options.items() if key != "inclusive"}
            return self._wanted(tree.flatten(ms.fold(operator, elems, init=init, **options))[0])
        got = ms.scan(operator, elems, init=init, return_carry=self.carry, **self.options)
        results = self._wanted(tree.flatten(got[0] if self.carry else got)[0])
        return results + (differentiable(tree.flatten(got[1])[0]) if self.carry else [])

    def _wanted(self, ys: list[mx.array]) -> list[mx.array]:
        return [y for i, y in enumerate(ys) if (self.leaves is None or i in self.leaves) and is_float(y)]

    def weights(self) -> list[mx.array]:
        """Random cotangents of the outputs."""
        rng = np.random.default_rng(self.seed + 17)
        return [random_like(rng, y) for y in self.outputs(*self.inputs())]

    def got(self) -> list[mx.array | None]:
        """The gradients by `mx.vjp`; ``None`` for integers and bools."""
        arrays = self.inputs()
        places = [i for i, x in enumerate(arrays) if is_float(x)]

        def run(*chosen: mx.array) -> list[mx.array]:
            given = list(arrays)
            for i, x in zip(places, chosen, strict=True):
                given[i] = x
            return self.outputs(*given)

        _, found = mx.vjp(run, [arrays[i] for i in places], self.weights())
        known = dict(zip(places, found, strict=True))
        return [known.get(i) for i in range(len(arrays))]

    def want(self) -> list[Array | None]:
        """The gradients by central differences of the fold in float64."""
        operator = self.operator(*self.captured)
        options = {key: value for key, value in self.options.items() if key != "strategy"}
        plan = ms.explain(operator, self.elems, init=self.init, **options)
        program = plan.problem.program
        assert program is not None
        axis = plan.problem.layout.axis
        fold = Fold(program, axis, options.get("reverse", False), options.get("inclusive", True) or self.fold,
                    self._identity(operator, plan.problem.element), isinstance(operator, ms.Segmented))  # fmt: skip
        k, c = program.arity, len(self.captured)
        order = [next(i for i, x in enumerate(self.captured) if x is found) for found in capture(operator).arrays]
        weights = iter([numpy_of(w) for w in self.weights()])
        state = program.inputs[:k]
        live = [i for i in range(k) if "float" in state[i].dtype]
        chosen = [i for i in live if self.leaves is None or i in self.leaves]
        on_results = {i: next(weights) for i in chosen}
        on_carry = {i: next(weights) for i in live} if self.carry else {}

        def loss(arrays: list[Array]) -> Array:
            results, carry = fold.run(arrays[:k], [arrays[k + i] for i in order], arrays[k + c :])
            if self.fold:
                return weigh([on_results.get(i) for i in range(k)], carry, None)
            total = weigh([on_results.get(i) for i in range(k)], results, axis)
            return total + weigh([on_carry.get(i) for i in range(k)], carry, None)

        return central(loss, [numpy_of(x) for x in self.inputs()])

    def _identity(self, operator: ms.Semigroup, element: tuple[Leaf, ...]) -> tuple[Array, ...] | None:
        if self.options.get("inclusive", True) or not operator.has_identity:
            return None
        structure = tree.flatten(self.elems)[1]
        like = [mx.zeros(leaf.shape, getattr(mx, "bool_" if leaf.dtype == "bool" else leaf.dtype)) for leaf in element]
        neutral = operator.identity(tree.unflatten(structure, like))  # type: ignore[attr-defined]
        return tuple(numpy_of(x) for x in tree.flatten(neutral)[0])

    def check(self, rtol: float = 1e-5) -> None:
        """Compares shape, dtype and value, relative to the largest value of each gradient."""
        for x, got, want in zip(self.inputs(), self.got(), self.want(), strict=True):
            if want is None:
                assert got is None
                continue
            assert got is not None
            assert got.shape == x.shape
            assert got.dtype == x.dtype
            np.testing.assert_allclose(
                numpy_of(got), want, rtol=rtol, atol=rtol * max(1.0, float(np.abs(want).max(initial=0)))
            )


def is_float(x: mx.array) -> bool:
    """Whether an array has a derivative."""
    return mx.issubdtype(x.dtype, mx.inexact)


def differentiable(xs: Sequence[mx.array]) -> list[mx.array]:
    """Those that have a derivative."""
    return [x for x in xs if is_float(x)]


def random_like(rng: np.random.Generator, y: mx.array) -> mx.array:
    """Normal numbers of the shape and dtype of an array."""
    values = rng.normal(size=y.shape)
    if y.dtype == mx.complex64:
        return mx.array((values + 1j * rng.normal(size=y.shape)).astype(np.complex64))
    return mx.array(values, mx.float64).astype(y.dtype)
