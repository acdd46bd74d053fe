"""Aggregators: in one pass by a kernel, or in three by array operations."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import mlx.core as mx

from monoscan import errors
from monoscan.lowering.plan import shapeless
from monoscan.lowering.plan.fused import Fused
from monoscan.lowering.plan.options import Options, changed
from monoscan.monoids.aggregator import Aggregator
from monoscan.scan import act, call, fused_products
from monoscan.scan.fuse import Fusion
from monoscan.scan.pass_plan import PassPlan
from monoscan.scan.passes import Pass, pass_over, sized
from monoscan.tree import Tree

if TYPE_CHECKING:  # GPUs are imported where they are asked for
    from monoscan.lowering.plan.gpu import GpuKernel

Stream = Any


def scan(
    aggregator: Aggregator, inputs: Tree, axis: int, state: Tree | None, asked: Options, stream: Stream
) -> tuple[Tree, Tree | None]:
    """The outputs, and the last state where it is wanted."""
    with contextlib.nullcontext() if stream is None else mx.stream(stream):
        return outputs(pass_over(aggregator, inputs, axis, state, asked), asked)


def outputs(over: Pass, asked: Options) -> tuple[Tree, Tree | None]:
    """The outputs of a pass, and the last state where it is wanted."""
    if shapeless.tracing():
        return _of_any_size(over, changed(asked, shapeless=True))
    return fused(Fusion(over, asked)) or _three_passes(over, asked)


def _of_any_size(over: Pass, asked: Options) -> tuple[Tree | None, Tree | None]:
    """The same by a kernel, whose results have the sizes of what it reads; passes hold those of the trace.

    Raises:
        StrategyError: There is no kernel, or an input that it does not read may have more rows.
    """
    fusion = Fusion(over, asked)
    kernel = kernel_of(fusion)
    if not isinstance(kernel, Fused) or len(kernel.leaves) < len(fusion.timed_arrays()):
        raise sized(over.where)
    return fusion.launched(kernel)


def _three_passes(over: Pass, asked: Options) -> tuple[Tree | None, Tree | None]:
    """The outputs and the last state, each where it is wanted, by passes of their own."""
    if not asked.results:
        return None, _last_by_passes(over, asked)
    ys, last = act.run(asked, over.aggregator.operator, over.elements(), over.start(), over.axis)
    return over.present(over.states(ys)), over.last(last) if asked.return_carry else None


def fold(aggregator: Aggregator, inputs: Tree, axis: int, state: Tree | None, asked: Options, stream: Stream) -> Tree:
    """The output of the last state."""
    with contextlib.nullcontext() if stream is None else mx.stream(stream):
        over = pass_over(aggregator, inputs, axis, state, asked)
        if shapeless.tracing():
            raise sized(over.where)
        over.check_fold()
        return over.present_last(last_state(over, asked))


def last_state(over: Pass, asked: Options) -> Tree:
    """The last state alone, as a fold asks for it."""
    found = fused(Fusion(over, asked))
    return _last_by_passes(over, asked) if found is None else found[1]


def _last_by_passes(over: Pass, asked: Options) -> Tree:
    elems, start, operator = over.elements(), over.start(), over.aggregator.operator
    if on_itself(operator):
        return over.last(call.run(asked, operator, elems, over.axis, start, None)[1])
    return over.last(act.run(changed(asked, results=True, return_carry=True), operator, elems, start, over.axis)[1])


def explain(aggregator: Aggregator, inputs: Tree, axis: int, state: Tree | None, asked: Options) -> PassPlan:
    """What would run, and why."""
    return explained(pass_over(aggregator, inputs, axis, state, asked), asked)


def explained(over: Pass, asked: Options) -> PassPlan:
    """What would run of a pass, and why."""
    kernel = kernel_of(Fusion(over, asked), exact=True)
    if not isinstance(kernel, str):
        return PassPlan(over, asked, kernel)
    states = act.prepare(asked, over.aggregator.operator, over.elements(), over.start(), over.axis)[0]
    return PassPlan(over, asked, None, kernel, states)


def check_start(where: str, monoid: object, init: Tree | None, state: Tree | None) -> None:
    """What a scan starts from is an element of an operator, and a state of an aggregator.

    Raises:
        ScanError: The other one is given.
    """
    aggregates = isinstance(monoid, Aggregator)
    if (init if aggregates else state) is None:
        return
    if aggregates:
        raise errors.ScanError(f"[{where}] an aggregator starts from a state and takes no init; give state=.")
    other = "act=True, or init=" if where == "explain" else "init=, or call ms.act, which goes on from a state"
    raise errors.ScanError(f"[{where}] state is no argument of scan; give {other}.")


def fused(fusion: Fusion) -> tuple[Tree | None, Tree | None] | None:
    """What a kernel finds; ``None`` where there is none."""
    kernel = kernel_of(fusion)
    if isinstance(kernel, str):
        return None
    if isinstance(kernel, Fused) or kernel.spec.around is None:
        return fusion.run(kernel)
    return fused_products.run(fusion, kernel, _three_passes)


def kernel_of(fusion: Fusion, exact: bool = False) -> Fused | GpuKernel | str:
    """The kernel, or why there is none; to be shown, exactly the one for this length.

    Raises:
        StrategyError: It is what the caller asks for.
    """
    kernel = fusion.kernel(exact)
    if isinstance(kernel, str) and fusion.asked.strategy == "kernel":
        raise errors.StrategyError(
            f"{fusion.over.where}: strategy='kernel' cannot run it: {kernel}. Use strategy=\"auto\"; explain() says what it "
            "chooses and why."
        )
    return kernel


def on_itself(operator: Any) -> bool:
    """Whether states are elements, so that the fold of elements is the last state."""
    return all(map(on_itself, operator.parts)) if operator.parts else operator.right.on_elements
