"""How ``window`` runs: the fold of the last so many elements at each position."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import attrs
import mlx.core as mx

from monoscan import dtypes, errors, tree
from monoscan.cache import COMPILED
from monoscan.lowering.plan import shapeless
from monoscan.lowering.plan.fused_window import FusedWindow
from monoscan.lowering.plan.options import EXPORTED, Options
from monoscan.lowering.plan.plan import Plan
from monoscan.lowering.strategies.slices import cut
from monoscan.lowering.strategies.windows import windows
from monoscan.lowering.targets.cpu.bridge.protocol import Launch
from monoscan.lowering.targets.cpu.compiler import BridgeUnavailable
from monoscan.lowering.targets.cpu.windows import Windows, prepare
from monoscan.lowering.targets.failures import FAILURES
from monoscan.lowering.targets.graph import whole_combine
from monoscan.lowering.trace.reads.captures import Captures, capture
from monoscan.monoids import copies, domain
from monoscan.monoids.aggregator import Aggregator
from monoscan.monoids.base import Semigroup
from monoscan.monoids.combinators.order import Dual
from monoscan.scan import aggregate, call
from monoscan.scan.inputs import POSITION
from monoscan.scan.passes import Pass, pass_over
from monoscan.scan.question import not_an_operator
from monoscan.scan.window_fusion import WindowFusion
from monoscan.scan.window_rules import Function, attached, back_of_products
from monoscan.tree import Tree


def run(asked: Options, operator: Any, elems: Tree, size: int, axis: int, partial: bool) -> Tree:
    """What `window` returns."""
    size = _size(size)
    if isinstance(operator, Aggregator):
        found, position = _outputs(asked, operator, elems, size, axis)
    else:
        found, position = _products(asked, operator, elems, size, axis)
    leaves, structure = tree.flatten(found)
    length = leaves[0].shape[position]
    whole = leaves if partial else cut(leaves, position, min(size - 1, length), length)
    return tree.unflatten(structure, whole)


def _size(size: Any) -> int:
    """The number of elements in a window.

    Raises:
        ScanError: It is no whole number of at least 1.
    """
    size = domain.whole(size)
    if type(size) is not int:
        raise errors.ScanTypeError(f"[window] size must be an int; got {tree.shown(size)}.")
    if size < 1:
        raise errors.ScanError(f"[window] size must be at least 1, which is each element alone; got {size}.")
    return size


def _products(
    asked: Options, operator: Any, elems: Tree, size: int, axis: int, kernels: bool = True
) -> tuple[Tree, int]:
    """The windows of elements, partial ones first, and the axis from the front; without ``kernels`` by two scans."""
    if not isinstance(operator, Semigroup):
        raise errors.ScanTypeError(not_an_operator("window", operator))
    if shapeless.tracing():
        raise errors.StrategyError(
            f"[window] {operator.name} has no plan that fits every size, as mx.compile(..., shapeless=True) asks. Compile "
            "without shapeless=True: each shape is traced anew then."
        )
    captures = capture(operator, "window")
    plan, leaves, _ = call.prepare(asked, captures, elems, axis)
    layout, structure = plan.problem.layout, plan.problem.structure
    if size >= layout.length:
        return call.run(asked, operator, elems, layout.axis, None, None)[0], layout.axis
    kernel = _kernel(asked, captures, plan, size) if kernels else None
    if kernel is None:
        ys = _composed(asked, captures, plan, leaves, size)
    else:
        ys = _differentiable(kernel, asked, captures, plan, leaves, size)
    return tree.unflatten(structure, ys), layout.axis


def _kernel(asked: Options, captures: Captures, plan: Plan, size: int) -> Windows | None:
    """The kernels of windows, if there are any.

    Raises:
        StrategyError: There are none, and they are what the caller asks for.
    """
    if asked.strategy not in ("auto", "kernel") or plan.problem.layout.empty:
        return None
    found: Windows | str
    try:
        found = (
            EXPORTED
            if asked.exported
            else COMPILED.get(("window", plan, size, FAILURES.generation), lambda: prepare(plan.problem, size))
        )
    except BridgeUnavailable as failed:  # said and remembered where it failed
        found = failed.reason
    if isinstance(found, Windows):
        return found
    if asked.strategy == "kernel":
        raise errors.StrategyError(
            f"[window] {captures.root.name}: strategy='kernel' cannot run it: {found}. Use strategy=\"auto\"."
        )
    return None


def _differentiable(
    kernel: Windows, asked: Options, captures: Captures, plan: Plan, leaves: Sequence[mx.array], size: int
) -> list[mx.array]:
    """What kernels find, with the derivatives of the two scans and the combine."""
    structure, axis, number = plan.problem.structure, plan.problem.layout.axis, len(leaves)

    def composed(*arrays: mx.array) -> list[mx.array]:
        again = capture(captures.rebuild(arrays[number:]), "window")
        planned, xs, _ = call.prepare(asked, again, tree.unflatten(structure, arrays[:number]), axis)
        return _composed(asked, again, planned, xs, size)

    def run(*arrays: mx.array) -> list[mx.array]:
        return kernel.run(arrays[:number], attrs.evolve(captures, arrays=tuple(arrays[number:])))

    back = functools.partial(back_of_products, kernel, size)
    return attached(run, composed, back)(*leaves, *map(mx.array, captures.arrays))


def _composed(asked: Options, captures: Captures, plan: Plan, leaves: Sequence[mx.array], size: int) -> list[mx.array]:
    """Windows by two scans of blocks, each of any plan, and one combine on arrays."""
    operator, problem, layout = captures.root, plan.problem, plan.problem.layout
    exact = [layout.align(x, i).astype(dtypes.by_name(problem.accumulators[i])) for i, x in enumerate(leaves)]
    backward, reverse = Dual(operator), call.options("window", reverse=True, strategy=asked.strategy)

    def prefixes(xs: list[mx.array], along: int) -> list[mx.array]:
        return _leaves(call.run(asked, operator, tree.unflatten(problem.structure, xs), along, None, None))

    def suffixes(xs: list[mx.array], along: int) -> list[mx.array]:
        return _leaves(call.run(reverse, backward, tree.unflatten(problem.structure, xs), along, None, None))

    ys = windows(whole_combine(problem, captures), prefixes, suffixes, exact, size, layout.axis)
    rounded = [y.astype(dtypes.by_name(name)) for y, name in zip(ys, problem.results, strict=True)]
    return [layout.restore(y, i) for i, y in enumerate(rounded)]


def _leaves(found: tuple[Tree, Tree]) -> list[mx.array]:
    return tree.flatten(found[0])[0]


def _outputs(asked: Options, aggregator: Aggregator, inputs: Tree, size: int, axis: int) -> tuple[Tree, int]:
    """What an aggregator presents of the windows of its elements."""
    over = pass_over(aggregator, inputs, axis, None, asked)
    if size >= over.geometry.layout.length > 0:
        return aggregate.scan(aggregator, inputs, axis, None, asked, None)[0], over.axis
    fusion = WindowFusion(over, asked, size)
    kernel = fusion.windows()
    launch = kernel if isinstance(kernel, str) else fusion.launch(kernel)
    if not isinstance(kernel, str) and not isinstance(launch, str):
        return _fused(fusion, kernel, launch), over.axis
    if asked.strategy == "kernel":
        raise errors.StrategyError(f"{over.where}: strategy='kernel' cannot run it: {launch}. Use strategy=\"auto\".")
    return _in_passes(over, asked, size), over.axis


def _fused(fusion: WindowFusion, kernel: FusedWindow, launch: Launch) -> Tree:
    """What the kernel presents, with the derivatives of passes one after the other."""
    over = fusion.over
    places = [i for i, kind in enumerate(over.geometry.kinds) if kind != POSITION]

    def given(arrays: Sequence[mx.array]) -> Pass:
        inputs, number = list(over.inputs), len(places)
        for place, x in zip(places, arrays[:number], strict=True):
            inputs[place] = x
        aggregator = over.captures.rebuild(arrays[number:])
        captures = attrs.evolve(over.captures, root=aggregator, arrays=tuple(arrays[number:]))
        return attrs.evolve(over, inputs=inputs, captures=captures, aggregator=aggregator)

    def run(*arrays: mx.array) -> list[mx.array]:
        return tree.flatten(attrs.evolve(fusion, over=given(arrays)).outputs(launch))[0]

    def composed(*arrays: mx.array) -> list[mx.array]:
        return tree.flatten(_in_passes(given(arrays), fusion.asked, fusion.size, kernels=False))[0]

    def back() -> Function | None:
        return fusion.back(kernel, lambda arrays: attrs.evolve(fusion, over=given(arrays)), places)

    found = attached(run, composed, back)(*(over.inputs[i] for i in places), *map(mx.array, over.captures.arrays))
    return tree.unflatten(over.types.output, found)


def _in_passes(over: Pass, asked: Options, size: int, kernels: bool = True) -> Tree:
    """Elements, the folds of windows, and outputs, one after the other."""
    operator = over.aggregator.operator
    products, _ = _products(asked, operator, over.elements(), size, over.axis, kernels)
    return over.present(over.states(copies.begun(operator, products, over.rank, over.where)))
