"""``associative_scan``: JAX's signature and semantics, with this library's plans."""

from __future__ import annotations

from collections.abc import Callable
from typing import final

import attrs
import mlx.core as mx

from monoscan import errors, tree
from monoscan.lowering.execute import execute
from monoscan.lowering.plan.layout import Layout
from monoscan.lowering.plan.plan import Plan
from monoscan.lowering.plan.problem import Problem, Traces, accumulators
from monoscan.lowering.program.ir import Shape
from monoscan.lowering.trace.reads.captures import Captures, capture
from monoscan.lowering.trace.slices import trace_slices
from monoscan.monoids.base import Element, Semigroup
from monoscan.scan import call, elements
from monoscan.scan.question import Question
from monoscan.tree import Tree


@final
@attrs.frozen
class Slices(Semigroup):
    """A function of whole slices along the scan axis, as an operator."""

    function: Callable[[Tree, Tree], Tree]

    def combine(self, left: Element, right: Element) -> Element:
        return self.function(left, right)

    @property
    def name(self) -> str:
        return errors.called(self.function)


def run(fn: Callable[[Tree, Tree], Tree], elems: Tree, reverse: bool, axis: int) -> Tree:
    """What `associative_scan` returns."""
    plan, leaves, captures = prepare(fn, elems, reverse, axis)
    return tree.unflatten(plan.problem.structure, execute(plan, leaves, captures, None)[0])


def prepare(
    fn: Callable[[Tree, Tree], Tree], elems: Tree, reverse: bool, axis: int
) -> tuple[Plan, list[mx.array], Captures]:
    """The plan of `associative_scan`, and the arrays to run it on."""
    if not callable(fn) or isinstance(fn, Semigroup):
        hint = f"; ms.scan takes operators such as {fn.name}" if isinstance(fn, Semigroup) else ""
        raise errors.ScanTypeError(f"[associative_scan] expects a function first; got {fn!r:.40}{hint}.")
    asked, found = call.options("associative_scan", reverse=reverse), capture(fn, "associative_scan")
    captures = Captures(Slices(fn), found.arrays, found.key)
    plan, leaves, _ = call.prepare(asked, captures, elems, axis, pose=pose)
    return plan, leaves, captures


def pose(
    question: Question, shapes: tuple[Shape, ...], stored: tuple[str, ...], axis: int, starts: object = None
) -> Problem:
    """The problem of a scan of slices: with the fewest event axes for which the function works element by element."""
    captures, structure, asked = question.captures, question.structure, question.asked
    position = elements.slice_axis(question, shapes, axis)
    exact = accumulators(captures.root, stored)
    leading, traced = trace_slices(structure, exact, shapes, position, captures, asked.shapeless)
    traces = Traces(len(shapes), traced)
    # Without a program each leaf goes its own way: whatever follows the scan axis is the function's business.
    cut = leading or position + 1
    layout = Layout(
        length=shapes[0][position],
        axis=position,
        batch=tuple(shape[:position] + shape[position + 1 : cut] for shape in shapes),
        init=None,
        event=tuple(shape[cut:] for shape in shapes),
        depends=traces.depends if leading else tuple((i,) for i in range(len(shapes))),
        joint=bool(leading),
    )
    return Problem(captures, structure, stored, layout, traces, asked, slices=True)
