"""The problems of the suite `cliffs`: formulas of operators that the other suites do not run, and their inputs."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np

from benchmarks.model import Arrays, Combine, Problem
from benchmarks.problems import affine, draw_affine

Draw = Callable[[np.random.Generator, tuple[int, ...], int], Arrays]


def library(x: Any) -> Any:
    """The array library of `x`, for formulas that NumPy and JAX run alike."""
    return np if isinstance(x, np.ndarray) else import_module("jax.numpy")


def logaddexp(left: Arrays, right: Arrays) -> Arrays:
    """Sum of numbers given by their logarithms."""
    return (library(left[0]).logaddexp(left[0], right[0]),)


def maximum(left: Arrays, right: Arrays) -> Arrays:
    """The larger one."""
    return (library(left[0]).maximum(left[0], right[0]),)


def either(left: Arrays, right: Arrays) -> Arrays:
    """Whether any is true."""
    return (left[0] | right[0],)


def multiply(left: Arrays, right: Arrays) -> Arrays:
    """Product of one leaf."""
    return (left[0] * right[0],)


def semidirect(left: Arrays, right: Arrays) -> Arrays:
    """Layers from front to back: what passes them, and what is seen."""
    return left[0] * right[0], left[1] + left[0] * right[1]


def matrix_affine(left: Arrays, right: Arrays) -> Arrays:
    """h -> A h + b, the left map first."""
    return right[0] @ left[0], (right[0] @ left[1][..., None])[..., 0] + right[1]


def hamilton(left: Arrays, right: Arrays) -> Arrays:
    """Product of quaternions."""
    (aw, ax, ay, az), (bw, bx, by, bz) = (tuple(q[0][..., i] for i in range(4)) for q in (left, right))
    parts = (
        aw * bw - ax * bx - ay * by - az * bz,
        aw * bx + ax * bw + ay * bz - az * by,
        aw * by - ax * bz + ay * bw + az * bx,
        aw * bz + ax * by - ay * bx + az * bw,
    )
    return (library(aw).stack(parts, -1),)


def rigid(left: Arrays, right: Arrays) -> Arrays:
    """Motions in space, the right one first."""
    np_like = library(left[0])
    vector = left[0][..., 1:]
    across = 2 * np_like.cross(vector, right[1])
    turned = right[1] + left[0][..., :1] * across + np_like.cross(vector, across)
    return hamilton(left[:1], right[:1])[0], left[1] + turned


def of_dtype(dtype: str) -> Draw:
    """One leaf: standard normal floats and complex numbers, uniform integers, rare trues."""

    def draw(rng: np.random.Generator, shape: tuple[int, ...], axis: int) -> Arrays:
        if dtype == "bool":
            return (rng.random(shape) < 0.001,)
        if np.dtype(dtype).kind == "i":
            return (rng.integers(-100, 100, shape, dtype=dtype),)
        x = rng.standard_normal(shape)
        return ((x + 1j * rng.standard_normal(shape) if np.dtype(dtype).kind == "c" else x).astype(dtype),)

    return draw


def draw_turns(rng: np.random.Generator, shape: tuple[int, ...], axis: int) -> Arrays:
    """Complex numbers on the unit circle, whose products stay there."""
    return (np.exp(2j * np.pi * rng.random(shape)).astype(np.complex64),)


def gates_of(gate: str, update: str, gates: str = "near 1") -> Draw:
    """Gates and updates, in these dtypes; complex gates are turned by a uniform angle."""

    def draw(rng: np.random.Generator, shape: tuple[int, ...], axis: int) -> Arrays:
        size = draw_affine(rng, shape, axis)[0] if gates == "near 1" else rng.uniform(0.5, 1, shape)
        turned = size * np.exp(2j * np.pi * rng.random(shape)) if np.dtype(gate).kind == "c" else size
        return turned.astype(gate), of_dtype(update)(rng, shape, axis)[0]

    return draw


def draw_shared_gates(rng: np.random.Generator, shape: tuple[int, ...], axis: int) -> Arrays:
    """One gate for all channels."""
    gates = draw_affine(rng, (*shape[:-1], 1), axis)[0]
    return gates, rng.standard_normal(shape, dtype=np.float32)


def draw_biquads(rng: np.random.Generator, shape: tuple[int, ...], axis: int) -> Arrays:
    """A stable filter of second order in each channel, whose products underflow; normal inputs."""
    matrix = np.array([[1.6, -0.7], [1.0, 0.0]], np.float32)
    inputs = rng.standard_normal((*shape, 2), dtype=np.float32) * np.array([1, 0], np.float32)
    return np.broadcast_to(matrix, (*shape, 2, 2)).copy(), inputs


def draw_quaternions(rng: np.random.Generator, shape: tuple[int, ...], axis: int) -> Arrays:
    """Rotations."""
    q = rng.standard_normal((*shape, 4))
    return ((q / np.linalg.norm(q, axis=-1, keepdims=True)).astype(np.float32),)


def draw_motions(rng: np.random.Generator, shape: tuple[int, ...], axis: int) -> Arrays:
    """Rotations and translations."""
    return draw_quaternions(rng, shape, axis)[0], rng.standard_normal((*shape, 3), dtype=np.float32)


GATES_NEAR_ONE = "gates in [max(0.5, exp(-80/n)), 1)"
UNDERFLOWING = Problem(
    "Affine, gates in [0.5, 1)", "gates in [0.5, 1)", gates_of("float32", "float32", "low"), affine, "Affine"
)
FADING = Problem("Affine, biquad", "stable filters of order 2", draw_biquads, matrix_affine, "MatrixAffine")
LAYERS = Problem(
    "Semidirect",
    GATES_NEAR_ONE,
    draw_affine,
    semidirect,
    lambda ms: ms.Semidirect(ms.Product(), ms.Sum()),
)
SHARED = Problem("Affine, shared gates", "one gate for all channels", draw_shared_gates, affine, "Affine")
QUATERNION = Problem("Quaternion", "rotations", draw_quaternions, hamilton, "Quaternion")
RIGID = Problem("Rigid3", "motions", draw_motions, rigid, "Rigid3")


TURNS = Problem("Product complex64", "on the unit circle", draw_turns, multiply, "Product")


def affine_of(gate: str, update: str) -> Problem:
    """Affine maps of these dtypes."""
    return Problem(f"Affine {gate}, {update}", GATES_NEAR_ONE, gates_of(gate, update), affine, "Affine")


def single(operator: str, combine: Combine, dtype: str) -> Problem:
    """A scan of one leaf."""
    return Problem(f"{operator} {dtype}", "normal or uniform", of_dtype(dtype), combine, operator)
