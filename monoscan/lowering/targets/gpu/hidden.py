"""Hides GPU kernels from ``mx.vmap``.

MLX maps what a custom function holds although that has a rule of its own, and kernels that it makes of text or of code
have no rule. The rule of the custom function makes the kernels anew for the batch; what it holds needs one whose
results nobody reads, and that is all the bridge is for here. So it is asked for where kernels read what has no value
yet alone: in traces of ``mx.vmap`` and ``mx.compile``, not in eager calls; and in rules of gradients, where MLX does not
say what has one. To ask takes a walk through the graph: once it is loaded, it hides kernels in every transformation.
"""

from __future__ import annotations

import functools
import threading

import mlx.core as mx

from monoscan.lowering.plan.aligned import Arrays
from monoscan.lowering.strategies.slices import Leaves
from monoscan.lowering.targets.cpu import build
from monoscan.lowering.targets.failures import FAILURES

_CALLS = threading.local()


def hidden(outputs: Leaves, inputs: Arrays) -> Leaves:
    """The outputs of a kernel, which ``mx.vmap`` passes; as they are where it cannot come, or no bridge can be built.

    Args:
        outputs: All of them, in order.
        inputs: What the kernel reads.
    """
    if not transformed():
        return outputs
    bridge = build.LOADER.bridge
    if bridge is None:
        failed = bool(FAILURES.reasons("bridge"))
        bridge = None if failed or have_values(inputs) else build.attempt()
    return outputs if bridge is None else bridge.opaque(outputs[0])


def transformed() -> bool:
    """Whether a function is being transformed, by ``mx.grad`` or any other: which MLX says in C++ alone.

    But ``mx.compile`` calls a function of tracers at every call and another one but once, and a tracer is what was made
    in a transformation, for as long as there is any.
    """
    return _sees() and _sees()  # the first time in any case


def have_values(arrays: Arrays) -> bool:
    """Whether arrays could be evaluated, of which none is: what comes behind them cannot. In rules of gradients: no."""
    try:
        mx.eval(*arrays, _placeholder())
    except ValueError:  # an input of the function that is being transformed
        return False
    except RuntimeError:
        return True
    raise AssertionError("a placeholder has no value")


def _sees() -> bool:
    _CALLS.seen = False
    _see(_tracer())
    return bool(_CALLS.seen)


@mx.compile
def _see(x: mx.array) -> mx.array:
    _CALLS.seen = True
    return x


@functools.cache
def _tracer() -> mx.array:
    """A tracer that has a value."""
    made: list[mx.array] = []

    def function(x: mx.array) -> mx.array:
        made.append(mx.negative(x))  # what no result depends on stays a tracer
        return x

    with mx.stream(mx.cpu):
        mx.grad(function)(mx.zeros(()))
        mx.eval(made)
    return made[0]


@functools.cache
def _placeholder() -> mx.array:
    """An array that never had a value, and is no tracer any more."""
    made: list[mx.array] = []

    def function(x: mx.array) -> mx.array:
        made.append(x)
        return x

    mx.vmap(function)(mx.zeros((1,)))
    return made[0]
