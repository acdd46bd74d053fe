"""Actions of the catalogue with elements, a state, and the action itself in NumPy, which is the oracle of ``act``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mlx.core as mx
import numpy as np

import monoscan as ms
from monoscan import tree

RNG = np.random.default_rng(11)
N = 9


def normal(*shape: int, scale: float = 0.7) -> Any:
    """Numbers of float32."""
    return (RNG.normal(size=shape) * scale).astype(np.float32)


def _unit(*shape: int) -> Any:
    q = RNG.normal(size=shape)
    return (q / np.linalg.norm(q, axis=-1, keepdims=True)).astype(np.float32)


def _covariance(*shape: int) -> Any:
    root = normal(*shape, shape[-1])
    return root @ root.swapaxes(-1, -2) + 0.1 * np.eye(shape[-1], dtype=np.float32)


# --------------------------------------------------------------- the actions, on one element, in NumPy


def _rotate(v: Any, q: Any) -> Any:
    w, axis = q[0], q[1:]
    return (w * w - axis @ axis) * v + 2 * (axis @ v) * axis + 2 * w * np.cross(axis, v)


def _scaled(state: Any, element: Any) -> Any:
    moved = state[0] @ element[0]
    return moved / moved.sum(), state[1] + element[1] + np.log(moved.sum())


def _filtered(state: Any, element: Any) -> Any:
    (m, p), (a, b, c, eta, j) = state, element
    gain = np.linalg.inv(np.eye(len(m)) + p @ j)
    return a @ gain @ (m + p @ eta) + b, a @ gain @ p @ a.T + c


def _maybe(state: Any, element: Any) -> Any:
    (seen, h), (valid, (a, b)) = state, element
    return seen or valid, (a * h + b if seen else b) if valid else h


def _log_row(s: Any, matrix: Any) -> Any:
    return np.logaddexp.reduce(s[:, None] + matrix, axis=0)


Case = tuple[str, ms.Semigroup, Any, Any, Callable[[Any, Any], Any], Callable[[Any], Any] | None]
_heads = RNG.random(N) < 0.3
CASES: list[Case] = [
    ("Affine", ms.Affine(), (normal(N), normal(N)), normal(), lambda h, x: x[0] * h + x[1], lambda x: x[1]),
    ("MatrixAffine", ms.MatrixAffine(), (normal(N, 2, 2), normal(N, 2)), normal(2), lambda h, x: x[0] @ h + x[1],
     lambda x: x[1]),
    ("MatMul", ms.MatMul(), normal(N, 3, 3), normal(3), lambda s, x: s @ x, None),
    ("column", ms.Dual(ms.MatMul()), normal(N, 3, 3), normal(3), lambda s, x: x @ s, None),
    ("Viterbi", ms.SemiringMatMul(ms.MaxPlus()), normal(N, 3, 3), normal(3), lambda s, x: (s[:, None] + x).max(0), None),
    ("forward", ms.SemiringMatMul(ms.Log()), normal(N, 2, 2), normal(2), _log_row, None),
    ("ScaledMatMul", ms.ScaledMatMul(), tuple(np.array(e) for e in ms.ScaledMatMul().embed(mx.array(abs(normal(N, 3, 3))))),
     (np.array([0.2, 0.3, 0.5], np.float32), np.float32(0)), _scaled, None),
    ("waiting", ms.MaxPlusAffine(), (normal(N), normal(N)), normal(), lambda w, x: max(w + x[0], x[1]), lambda x: x[1]),
    ("FiniteMap", ms.FiniteMap(4), RNG.integers(0, 4, (N, 4)).astype(np.int32), np.int32(2), lambda s, f: f[s],
     lambda f: f[0]),
    ("Bracket", ms.Bracket(), tuple(RNG.integers(0, 3, (2, N)).astype(np.int32)), np.int32(2),
     lambda d, x: max(d - x[0], 0) + x[1], lambda x: x[1]),
    ("KalmanFilter", ms.KalmanFilter(), (normal(N, 2, 2), normal(N, 2), _covariance(N, 2), normal(N, 2), _covariance(N, 2)),
     (normal(2), _covariance(2)), _filtered, lambda x: (x[1], x[2])),
    ("KalmanSmoother", ms.KalmanSmoother(), (normal(N, 2, 2), normal(N, 2), _covariance(N, 2)), (normal(2), _covariance(2)),
     lambda s, x: (x[0] @ s[0] + x[1], x[0] @ s[1] @ x[0].T + x[2]), lambda x: (x[1], x[2])),
    ("vectors", ms.Dual(ms.Quaternion()), _unit(N, 4), normal(3), _rotate, None),
    ("points", ms.Dual(ms.Rigid3()), (_unit(N, 4), normal(N, 3)), normal(3), lambda p, x: _rotate(p, x[0]) + x[1], None),
    ("Semidirect", ms.Dual(ms.Semidirect(ms.Product(), ms.Sum())), (normal(N), normal(N)), normal(),
     lambda h, x: x[0] * h + x[1], lambda x: x[1]),
    ("Segmented", ms.Segmented(ms.Affine()), (_heads, (normal(N), normal(N))), normal(),
     lambda h, x: x[1][1] if x[0] else x[1][0] * h + x[1][1], lambda x: x[1][1]),
    ("Maybe", ms.Maybe(ms.Affine()), (RNG.random(N) < 0.6, (normal(N), normal(N))), (np.array(True), normal()), _maybe,
     lambda x: (x[0], x[1][1])),
    ("Tuple", ms.Tuple(ms.Sum(), ms.Affine()), (normal(N), (normal(N), normal(N))), (normal(), normal()),
     lambda s, x: (s[0] + x[0], x[1][0] * s[1] + x[1][1]), lambda x: (x[0], x[1][1])),
    ("Struct", ms.Struct(a=ms.Max(), b=ms.MatMul()), {"a": normal(N), "b": normal(N, 2, 2)}, {"a": normal(), "b": normal(2)},
     lambda s, x: {"a": max(s["a"], x["a"]), "b": s["b"] @ x["b"]}, None),
    ("itself", ms.Product(), normal(N), normal(), lambda s, x: s * x, lambda x: x),
]  # fmt: skip


def arrays(given: Any) -> Any:
    """A tree of NumPy arrays as one of MLX's."""
    return tree.map_leaves(mx.array, given)


def wide(x: Any) -> Any:
    """Floats in float64, the rest as it is."""
    return np.asarray(x, np.float64) if np.asarray(x).dtype == np.float32 else np.asarray(x)


def fold(
    step: Any, begin: Any, elems: Any, state: Any, reverse: bool = False, inclusive: bool = True
) -> tuple[Any, Any]:
    """The states in array order and the last one, in float64."""
    leaves, structure = tree.flatten(tree.map_leaves(wide, elems))
    state = None if state is None else tree.map_leaves(wide, state)
    found = []
    steps = range(len(leaves[0]))
    for t in steps[::-1] if reverse else steps:
        x = tree.unflatten(structure, [leaf[t] for leaf in leaves])
        before = state
        state = begin(x) if state is None else step(state, x)
        found.append(state if inclusive else before)
    ordered = found[::-1] if reverse else found
    return tree.map_leaves(lambda *xs: np.stack(xs), *ordered), state
