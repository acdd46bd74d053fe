"""``loop`` against a Python loop over positions in float64, in every loop of the kernels and without one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from selection import thinned

import monoscan as ms
from monoscan import tree
from monoscan.lowering.plan.plan import Kernels
from monoscan.lowering.render.scan_spec import Loop

RNG = np.random.default_rng(3)
N = 12


def normal(*shape: int) -> Any:
    return RNG.normal(size=shape).astype(np.float32)


def leaky(v: Any, x: Any, np: Any = mx) -> Any:
    """Integrates, and fires above a threshold."""
    v = 0.75 * v + x
    fires = v > 0.5
    return np.where(fires, 0.0, v), (fires, v)


def controller(state: Any, x: Any, np: Any = mx) -> Any:
    """A clamped PID controller: two numbers of state, one output."""
    total, last = state
    total = np.clip(total + x, -1.0, 1.0)
    return (total, x), {"u": 0.5 * x + 0.3 * total + 0.1 * (x - last)}


GATES = normal(2, 3, 3) * np.float32(0.5)


def gated(h: Any, x: Any, np: Any = mx) -> Any:
    """A cell of three units with one gate."""
    reset, new = (np.array(each) for each in GATES)
    z = 1 / (1 + np.exp(-(x["gate"] + reset @ h)))
    h = z * h + (1 - z) * np.tanh(x["new"] + new @ h)
    return h, h.sum()


STEPS: dict[str, tuple[Callable[..., Any], Any, Any, Any, Any]] = {
    "leaky": (leaky, lambda b: normal(N, b), lambda b: normal(b), 0, 0),
    "controller": (controller, lambda b: normal(N, b), lambda b: (normal(b), normal(b)), 0, 0),
    "gated": (gated, lambda b: {"gate": normal(N, b, 3), "new": normal(N, b, 3)}, lambda b: normal(b, 3), 1, 1),
}
COLUMNS = {Loop.SEQUENTIAL: 2, Loop.PANELS: 19, Loop.SWEEP: 70}


def reference(step: Any, xs: Any, state: Any, reverse: bool = False) -> tuple[Any, Any]:
    """Outputs of one column and the last state, in float64."""
    leaves, structure = tree.flatten(tree.map_leaves(lambda x: np.asarray(x, np.float64), xs))
    state = tree.map_leaves(lambda x: np.asarray(x, np.float64), state)
    found: dict[int, Any] = {}
    for t in range(N)[::-1] if reverse else range(N):
        state, found[t] = step(state, tree.unflatten(structure, [x[t] for x in leaves]), np)
    return tree.map_leaves(lambda *ys: np.stack(ys), *(found[t] for t in range(N))), state


def close(found: Any, expected: Any) -> None:
    left, right = tree.flatten(found), tree.flatten(expected)
    assert left[1] == right[1]
    for x, y in zip(left[0], right[0], strict=True):
        np.testing.assert_allclose(np.array(x), y, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize(
    ("name", "loop"),
    thinned([(name, loop) for name in STEPS for loop in COLUMNS], [("leaky", loop) for loop in COLUMNS]
            + [("controller", Loop.PANELS), ("gated", Loop.SWEEP)]),
)  # fmt: skip
def test_outputs_are_those_of_a_python_loop(name: str, loop: Loop) -> None:
    step, xs_of, state_of, event, state_event = STEPS[name]
    count = COLUMNS[loop]
    xs, state = xs_of(count), state_of(count)
    given = tree.map_leaves(mx.array, xs), tree.map_leaves(mx.array, state)
    plan = ms.explain(step, given[0], state=given[1], event=event, state_event=state_event, loop=True)
    assert isinstance(plan.way, Kernels)
    assert plan.way.fused[0].spec.loop is loop or name != "leaky"  # others are chosen by what their steps cost
    for reverse in (False, True):
        options: dict[str, Any] = {"event": event, "state_event": state_event, "reverse": reverse}
        outputs, last = ms.loop(step, *given, return_carry=True, **options)
        alone = ms.loop(step, *given, **options)
        for x, y in zip(tree.flatten(outputs)[0], tree.flatten(alone)[0], strict=True):
            assert mx.array_equal(x, y)
        for j in {0, count - 1}:
            own = tree.map_leaves(lambda x, j=j: x[:, j], xs), tree.map_leaves(lambda x, j=j: x[j], state)
            expected, end = reference(step, *own, reverse=reverse)
            close(tree.map_leaves(lambda y, j=j: y[:, j], outputs), expected)
            close(tree.map_leaves(lambda y, j=j: y[j], last), end)


def test_chained_calls_are_one_call() -> None:
    x, v = mx.array(normal(N, 19)), mx.array(normal(19))
    whole = ms.loop(leaky, x, v)
    first, carry = ms.loop(leaky, x[:5], v, return_carry=True)
    rest = ms.loop(leaky, x[5:], carry)
    for parts, y in zip(zip(first, rest, strict=True), whole, strict=True):
        assert mx.array_equal(mx.concatenate(list(parts)), y)


def test_steps_may_need_no_input() -> None:
    def fibonacci(state: Any, x: None) -> Any:
        assert x is None
        return (state[1], state[0] + state[1]), state[0]

    start = mx.array([0, 2]), mx.array([1, 1])
    found, last = ms.loop(fibonacci, None, start, length=8, return_carry=True)
    assert found[:, 0].tolist() == [0, 1, 1, 2, 3, 5, 8, 13]
    assert found[:, 1].tolist() == [2, 1, 3, 4, 7, 11, 18, 29]
    assert [x.tolist() for x in last] == [[21, 47], [34, 76]]
    assert mx.array_equal(ms.loop(fibonacci, None, start, axis=1, length=8), found.T)
    assert ms.loop(fibonacci, None, start, length=0).shape == (0, 2)


def test_batch_axes_broadcast_between_state_and_inputs() -> None:
    x, v = normal(N, 4), normal(3, 1)
    outputs, last = ms.loop(leaky, mx.array(x), mx.array(v), return_carry=True)
    assert outputs[1].shape == (N, 3, 4)
    assert last.shape == (3, 4)
    close(tree.map_leaves(lambda y: y[:, 2, 3], outputs), reference(leaky, x[:, 3], v[2, 0])[0])


def test_an_output_may_depend_on_less_than_others() -> None:
    def step(state: Any, x: Any) -> Any:
        return state + x[0], (state * x[1], x[0])

    narrow, wide = mx.array(normal(N)), mx.array(normal(N, 5))
    (product, same), last = ms.loop(step, (narrow, wide), mx.array(0.0), return_carry=True)
    assert product.shape == (N, 5)
    assert same.shape == (N,)
    assert last.shape == ()
    close(last, np.array(narrow.sum()))
    close(product, np.array((mx.cumsum(narrow) - narrow)[:, None] * wide))


def test_halves_add_up_in_float32_and_round_once() -> None:
    x = mx.full((1000, 3), 0.125, mx.float16)
    total, last = ms.loop(lambda s, x: (s + x, s + x), x, mx.zeros((3,), mx.float16), return_carry=True)
    assert total.dtype == mx.float16
    assert last.dtype == mx.float32
    assert last.tolist() == [125, 125, 125]


def test_complex_states_and_integers() -> None:
    turn = ms.loop(lambda z, x: (z * 1j, mx.abs(z) * x), mx.ones((5,)), mx.array(2 + 0j))
    assert turn.tolist() == [2, 2, 2, 2, 2]
    wrapped = ms.loop(lambda s, x: (s + x, s), mx.array([100, 100, 1], mx.int8), mx.array(0, mx.int8))
    assert wrapped.tolist() == [0, 100, -56]


# ----------------------------------------------------------------------------------------- derivatives


def unrolled(step: Any, x: mx.array, state: Any, *more: Any) -> Any:
    found = []
    for t in range(x.shape[0]):
        state, y = step(state, x[t], *more)
        found.append(y)
    return mx.stack(found), state


def smooth(h: Any, x: Any, w: Any) -> Any:
    h = mx.tanh(w * h + x)
    return h, h * h * w


@pytest.mark.parametrize("count", [2, 19])
def test_derivatives_are_those_of_the_unrolled_loop(count: int) -> None:
    given = [mx.array(normal(N, count)), mx.array(normal(count)), mx.array(normal(1)[0])]
    weights, ends = mx.array(normal(N, count)), mx.array(normal(count))

    def ours(x: mx.array, h: mx.array, w: mx.array) -> mx.array:
        y, last = ms.loop(lambda h, x: smooth(h, x, w), x, h, return_carry=True)
        return (y * weights).sum() + (last * ends).sum()

    def theirs(x: mx.array, h: mx.array, w: mx.array) -> mx.array:
        y, last = unrolled(smooth, x, h, w)
        return (y * weights).sum() + (last * ends).sum()

    for f, e in zip(mx.grad(ours, (0, 1, 2))(*given), mx.grad(theirs, (0, 1, 2))(*given), strict=True):
        np.testing.assert_allclose(np.array(f), np.array(e), rtol=2e-4, atol=2e-4)
    moved = [mx.array(normal(*x.shape)) for x in given]
    np.testing.assert_allclose(
        mx.jvp(ours, given, moved)[1][0].item(), mx.jvp(theirs, given, moved)[1][0].item(), rtol=1e-3
    )

    def squared(f: Any) -> Any:
        return mx.grad(lambda *xs: sum((d**2).sum() for d in mx.grad(f, (0, 1, 2))(*xs)), (0, 1, 2))(*given)

    for f, e in zip(squared(ours), squared(theirs), strict=True):
        np.testing.assert_allclose(np.array(f), np.array(e), rtol=3e-3, atol=3e-3)


def test_states_that_are_shown_are_not_computed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    from monoscan.lowering.targets.cpu import target

    x, h = mx.array(normal(N, 19)), mx.array(normal(19))

    def grad(step: Any) -> mx.array:
        return mx.grad(lambda x: (ms.loop(step, x, h) ** 2).sum())(x)

    again = []
    real = target.run_kernel
    monkeypatch.setattr(target, "run_kernel", lambda scan, *rest: again.append(scan) or real(scan, *rest))
    grad(lambda h, x: (s := mx.tanh(h + x), s))
    assert not again
    grad(lambda h, x: (s := mx.tanh(h + x), s * x))
    assert len(again) == 1


def test_transformations_nest() -> None:
    x, h = mx.array(normal(4, N, 3)), mx.array(normal(3))

    def run(x: mx.array) -> mx.array:
        return ms.loop(lambda h, x: smooth(h, x, 0.5), x, h)

    each = mx.stack([unrolled(smooth, x[i], h, 0.5)[0] for i in range(4)])
    close(mx.vmap(run)(x), np.array(each))
    close(mx.compile(run)(x[0]), np.array(each[0]))
    close(mx.compile(run, shapeless=True)(x[0]), np.array(each[0]))
    grads = mx.vmap(mx.grad(lambda x: (run(x) ** 2).sum()))(x)
    one = mx.grad(lambda x: (unrolled(smooth, x, h, 0.5)[0] ** 2).sum())(x[2])
    np.testing.assert_allclose(np.array(grads[2]), np.array(one), rtol=2e-4, atol=2e-4)


# ------------------------------------------------------------------------------- without a kernel, and errors


def largest(s: Any, x: Any) -> Any:
    """Not traceable: a sort."""
    s = mx.sort(mx.concatenate([s, x[None]]))[1:]
    return s, s.sum()


def test_a_step_that_cannot_be_traced_runs_as_a_loop_of_python() -> None:
    x, s = normal(N, 3), normal(3, 2)
    outputs, last = ms.loop(largest, mx.array(x), mx.array(s), state_event=1, return_carry=True)
    for j in range(3):
        kept = np.sort(s[j])
        for t in range(N):
            kept = np.sort([*kept, x[t, j]])[1:]
            np.testing.assert_allclose(outputs[t, j].item(), kept.sum(), rtol=1e-5)
        np.testing.assert_array_equal(np.array(last[j]), kept)
    weights = mx.array(normal(N, 3))
    found = mx.grad(lambda x: (ms.loop(largest, x, mx.array(s), state_event=1) * weights).sum())(mx.array(x))
    assert found.shape == (N, 3)
    text = str(ms.explain(largest, mx.array(x), state=mx.array(s), state_event=1, loop=True))
    assert "loop of largest over float32[12, 3]" in text
    assert "-> 7 portable      a loop of Python: one array operation for each of a step's" in text
    assert "5 kernel        not traceable" in text


def test_explain_says_what_a_loop_runs() -> None:
    x, v = mx.ones((100, 64)), mx.zeros((64,))
    text = str(ms.explain(leaky, x, state=v, loop=True))
    assert text.startswith("loop of leaky over float32[100, 64], axis 0, on cpu")
    assert "kernel    loop panels, vectors of" in text
    assert (
        "states    not shown, 1 leaves, 1 of 1 numbers carried; outputs bool[64], float32[64]; one after another"
        in text
    )


X, V = mx.ones((4, 3)), mx.zeros((3,))
ERRORS: list[tuple[str, type[Exception], str, Callable[[], Any]]] = [
    ("no pair", ms.TreeError, r"\[loop\] .*: step must return a pair \(state, output\); it returned float32\(\)",
     lambda: ms.loop(lambda s, x: s, X, V)),
    ("other tree", ms.TreeError, r"step must return the tree of the state, array; it returned \(float32\(\), float32\(\)\)",
     lambda: ms.loop(lambda s, x: ((s, s), x), X, V)),
    ("other shape", ms.ScanError, r"step must keep the shape of the state; leaf x has \(3,\) and step returned \(3, 1\)",
     lambda: ms.loop(lambda s, x: (s[:, None], x), X, V, state_event=1)),
    ("no output", ms.TreeError, r"step must return arrays as its output; it returned None",
     lambda: ms.loop(lambda s, x: (s, None), X, V)),
    ("branch", ms.TraceError, r"step reads the value of an array", lambda: ms.loop(lambda s, x: (s if x > 0 else x, x), X, V)),
    ("dtype", ms.ScanTypeError, r"step must keep the dtypes of a state; leaf \[1\] is int64 and step returned int32",
     lambda: ms.loop(lambda s, x: (s.astype(mx.int32), x), X, V.astype(mx.int64))),
    ("no xs", ms.ScanError, r"\[loop\] without xs needs length, the number of steps; got None",
     lambda: ms.loop(lambda s, x: (s, s), None, V)),
    ("rows without xs", ms.ScanError, r"where xs is None all rows have the same steps; got lengths of shape \(3,\)",
     lambda: ms.loop(lambda s, x: (s, s), None, V, length=4, lengths=[1, 2, 3])),
    ("both", ms.ScanError, r"\[loop\] length says how many steps there are where xs is None",
     lambda: ms.loop(lambda s, x: (s, s), X, V, length=4)),
    ("event", ms.ScanError, r"leaf x of the state has shape \(3,\), fewer axes than the 2 that belong to a state",
     lambda: ms.loop(lambda s, x: (s, s), X, V, state_event=2)),
    ("batch", ms.ScanError, r"batch shapes of the state and of elements must broadcast",
     lambda: ms.loop(lambda s, x: (s + x, s), X, mx.zeros((5,)))),
    ("operator", ms.ScanTypeError, r"\[loop\] expects a function step\(state, x\)", lambda: ms.loop(ms.Sum(), X, V)),  # type: ignore[arg-type]
    ("strings", ms.TreeError, r"expects a state of arrays; leaf x is 'a'", lambda: ms.loop(leaky, X, "a")),
    ("explain", ms.ScanError, r"\[explain\] a loop starts from a state: give state=", lambda: ms.explain(leaky, X, loop=True)),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "words", "run"), [each[1:] for each in ERRORS], ids=[each[0] for each in ERRORS])
def test_what_is_wrong_is_said(kind: type[Exception], words: str, run: Callable[[], Any]) -> None:
    with pytest.raises(kind, match=words):
        run()


def test_the_stream_is_that_of_the_caller() -> None:
    assert ms.loop(lambda s, x: (s + x, s), mx.array([1, 2]), mx.array(5), stream=mx.cpu).tolist() == [5, 6]


def test_states_and_outputs_may_depend_on_no_input() -> None:
    x, weights = mx.array(normal(N, 5)), mx.array(normal(N))

    def step(state: Any, x: Any) -> Any:
        total, count = state
        return (total + x, 0.5 * count + 1), (count, mx.array(2.0), total)

    def loss(count: mx.array) -> mx.array:
        return (ms.loop(step, x, (mx.zeros((5,)), count))[0] * weights).sum()

    (counts, twos, totals), last = ms.loop(step, x, (mx.zeros((5,)), mx.array(1.0)), return_carry=True)
    assert (counts.shape, twos.shape, totals.shape, last[1].shape) == ((N,), (N,), (N, 5), ())
    np.testing.assert_allclose(np.array(counts), 2 - 0.5 ** np.arange(N), rtol=1e-6)
    np.testing.assert_allclose(last[1].item(), 2 - 0.5**N, rtol=1e-6)
    assert twos.tolist() == [2.0] * N
    np.testing.assert_allclose(mx.grad(loss)(mx.array(1.0)).item(), (weights * 0.5 ** mx.arange(N)).sum(), rtol=1e-5)
    counts, _, totals = ms.loop(step, x[:, :0], (mx.zeros((0,)), mx.array(1.0)))
    assert (counts.shape, totals.shape) == ((N,), (N, 0))


def test_the_carry_of_wide_columns_that_are_not_put_out_is_kept() -> None:
    x = mx.ones((3, 128))
    shown, last = ms.loop(lambda s, x: (s + x, s), x, mx.zeros((128,)), return_carry=True)
    assert shown[:, 5].tolist() == [0, 1, 2]
    assert last.tolist() == [3] * 128


@pytest.mark.parametrize("event", [-1, "a", None, 1.0, (True,)])
def test_what_is_no_number_of_axes_of_a_state_is_refused(event: Any) -> None:
    with pytest.raises(ms.ScanError, match=r"\[loop\] .*state_event must be how many trailing axes belong to a state"):
        ms.loop(lambda s, x: (s, x), mx.ones((3, 2)), mx.zeros((2,)), state_event=event)
