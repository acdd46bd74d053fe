"""From a call to its arrays, once for all public calls: check what is asked, look the plan up, run, rebuild the tree."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import attrs
import mlx.core as mx

from monoscan import dtypes, errors, tree
from monoscan.arguments import flag as flag
from monoscan.cache import PLANS
from monoscan.exported import EXPORTING
from monoscan.lowering.execute import execute
from monoscan.lowering.lengths import plan_of
from monoscan.lowering.plan import shapeless
from monoscan.lowering.plan.options import STRATEGIES, Options, changed
from monoscan.lowering.plan.plan import Plan
from monoscan.lowering.plan.problem import Problem, element, trace
from monoscan.lowering.planner import plan as make_plan
from monoscan.lowering.program.ir import Shape
from monoscan.lowering.targets.failures import FAILURES
from monoscan.lowering.trace.reads.captures import Captures, capture
from monoscan.monoids.base import Semigroup
from monoscan.scan import elements
from monoscan.scan.leaves import arrays_of, check_leaves
from monoscan.scan.question import Question, not_an_operator
from monoscan.tree import Tree

Shapes = tuple[Shape, ...]
Prepared = tuple[Plan, list[mx.array], list[mx.array] | None]
"""The plan, the leaves of the elements, and those of ``init``."""


def options(
    call: str,
    *,
    reverse: bool = False,
    inclusive: bool = True,
    return_carry: bool = False,
    results: bool = True,
    strategy: str = "auto",
    stream: Any = None,
    wanted: tuple[int, ...] | None = None,
) -> Options:
    """The options with these values: always the same object, so that keys compare by identity.

    Raises:
        ScanTypeError: A flag is neither True nor False, or ``stream`` is neither a stream nor a device.
        StrategyError: There is no strategy of that name.
    """
    if not (type(reverse) is type(inclusive) is type(return_carry) is bool and type(strategy) is str):
        reverse, inclusive = flag(call, "reverse", reverse), flag(call, "inclusive", inclusive)
        return_carry, strategy = flag(call, "return_carry", return_carry), _strategy(call, strategy)
    kind = mx.default_device().type if stream is None else device_type(stream)
    return _options(call, EXPORTING.get(), reverse, inclusive, return_carry, results, strategy, kind, wanted)


@functools.lru_cache(maxsize=1024)
def _options(call: str, alone: bool, *values: Any) -> Options:
    chosen = attrs.evolve(Options(call, *values), exported=alone)
    _strategy(call, chosen.strategy)
    return attrs.evolve(chosen, device="cpu" if chosen.device == mx.DeviceType.cpu else "gpu")


def device_type(stream: Any) -> mx.DeviceType:
    """The type of the device that a stream is on.

    Raises:
        ScanTypeError: It is neither a stream nor a device.
    """
    device = getattr(stream, "device", stream)
    if not isinstance(device, (mx.Device, mx.DeviceType)):
        raise errors.ScanTypeError(f"[stream] expects a Stream or a Device, as mx.cpu; got {stream!r:.60}.")
    return device.type if isinstance(device, mx.Device) else device


def _strategy(call: str, value: Any) -> str:
    if not isinstance(value, str) or value not in STRATEGIES:
        raise errors.StrategyError(f"[{call}] strategy must be one of {', '.join(STRATEGIES)}; got {value!r:.60}.")
    return value


def run(
    asked: Options, operator: Semigroup, elems: Tree, axis: int, init: Tree | None, stream: Any
) -> tuple[Tree, Tree]:
    """The results, and the carry where it is wanted, as trees."""
    if stream is not None:
        with mx.stream(stream):
            return run(asked, operator, elems, axis, init, None)
    if not isinstance(operator, Semigroup):
        raise errors.ScanTypeError(not_an_operator(asked.call, operator))
    captures = capture(operator, asked.call)
    plan, leaves, start = prepare(asked, captures, elems, axis, init, exact=False)
    results, carry = execute(plan, leaves, captures, start)
    structure = plan.problem.structure
    if asked.results:
        return tree.unflatten(structure, results), tree.unflatten(structure, carry) if carry else None
    rounded = zip(carry, plan.problem.results, strict=True)
    return None, tree.unflatten(structure, [c if c is None else c.astype(dtypes.by_name(name)) for c, name in rounded])


def planned(asked: Options, operator: Any, elems: Tree, axis: int, init: Tree | None) -> Plan:
    """The plan alone, as of a call that is not made."""
    if not isinstance(operator, Semigroup):
        raise errors.ScanTypeError(not_an_operator(asked.call, operator))
    return prepare(asked, capture(operator, asked.call), elems, axis, init)[0]


def pose(question: Question, shapes: Shapes, stored: tuple[str, ...], axis: int, starts: Shapes | None) -> Problem:
    """The problem of a scan of elements, whose ``combine`` is traced on one of them."""
    captures, structure, asked = question.captures, question.structure, question.asked
    captures.root.check(stored)
    axis, events = elements.event_shapes(question, shapes, axis)
    traces = trace(captures, structure, element(captures.root, stored, events), asked)
    layout = elements.lay_out(question, shapes, axis, events, starts, traces.depends)
    return Problem(captures, structure, stored, layout, traces, asked)


def init_of(question: Question, init: Tree, elems: Sequence[mx.array]) -> tuple[list[mx.array], Shapes]:
    """The leaves of ``init``, and their shapes."""
    start = elements.init_leaves(question, init, tuple([dtypes.name_of(x.dtype) for x in elems]))
    return start, tuple([x.shape for x in start])


Posed = Callable[[Question, Shapes, tuple[str, ...], int, Any], Problem]
Started = Callable[[Question, Tree, Sequence[mx.array]], tuple[list[mx.array], Any]]


def prepare(
    asked: Options, captures: Captures, elems: Tree, axis: int, init: Tree | None = None, pose: Posed = pose,
    start_of: Started = init_of, exact: bool = True,
) -> Prepared:  # fmt: skip
    """Looks a plan up, or makes it, and flattens what it runs on.

    Args:
        asked: The options.
        captures: The operator.
        elems: The elements.
        axis: The scan axis.
        init: An element, or of an act a state, if there is one to start from.
        pose: What the problem is, where the plan has to be made.
        start_of: The leaves of what there is to start from, and their type.
        exact: The plan is to say what is asked. If not, it is to run it, and may be one of another length.
    """
    leaves, structure = tree.flatten(elems)
    start = starts = None
    if type(axis) is not int or {*map(type, leaves)} != _ARRAYS:
        question = Question(asked, captures, structure)
        axis = elements.axis_number(question, axis)
        leaves = arrays_of(question, elems, leaves, axis)
    if init is not None:
        question = Question(asked, captures, structure)
        try:
            start, starts = start_of(question, init, leaves)
        except Exception:
            check_leaves(question, elems, leaves)  # what is wrong with the elements is said first
            raise
    shapes = tuple([x.shape for x in leaves])
    stored = tuple([x.dtype for x in leaves])
    key = (pose, captures.key, structure, shapes, stored, axis, starts, asked, FAILURES.generation, exact)
    plan: Plan | None = PLANS.find(key)
    if plan is None:

        def make() -> Plan:
            question = Question(asked, captures, structure)
            check_leaves(question, elems, leaves)
            names = tuple([dtypes.name_of(dtype) for dtype in stored])
            return make_plan(pose(question, shapes, names, axis, starts))

        plan = PLANS.get(key, make if exact else lambda: plan_of(key, shapes, axis, make))
    if plan.sized and shapeless.tracing():
        return prepare(changed(asked, shapeless=True), captures, elems, axis, init, pose, start_of, exact)
    return plan, leaves, start


_ARRAYS = {mx.array}
