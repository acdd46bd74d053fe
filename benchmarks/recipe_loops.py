"""What recipes are measured against where no library has them: plain loops, as they are written for numba.

In Python, on float64, they are also what every answer is checked by. Of many sequences ``r[t]`` is a row.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib import import_module
from typing import Any

import numpy as np

Loop = Callable[..., Any]


@cache
def jitted(loop: Loop) -> Loop:
    """The loop, compiled by numba for one thread."""
    compiled: Loop = import_module("numba").njit(loop)
    return compiled


def discounted_returns(r: Any, discount: Any) -> Any:
    y = np.empty_like(r)
    later = r[0] * 0
    for t in range(len(r) - 1, -1, -1):
        later = r[t] + discount[t] * later
        y[t] = later
    return y


def gae(r: Any, discount: Any, values: Any, weight: Any) -> Any:
    y = np.empty_like(r)
    later = r[0] * 0
    for t in range(len(r) - 1, -1, -1):
        later = r[t] + discount[t] * values[t + 1] - values[t] + discount[t] * weight * later
        y[t] = later
    return y


def vtrace(v: Any, after: Any, r: Any, discount: Any, rho: Any) -> Any:
    y = np.empty_like(r)
    later = r[0] * 0
    for t in range(len(r) - 1, -1, -1):
        clipped = np.minimum(rho[t], np.float32(1))
        later = clipped * (r[t] + discount[t] * after[t] - v[t]) + discount[t] * clipped * later
        y[t] = later
    return y


def hmm_filter(initial: Any, transition: Any, seen: Any) -> Any:
    """Beliefs, by logarithms of probabilities."""
    steps, states = seen.shape
    y = np.empty_like(seen)
    before = initial.copy()
    for t in range(steps):
        joint = before + seen[t]
        top = joint.max()
        joint = joint - (top + np.log(np.exp(joint - top).sum()))
        y[t] = joint
        for j in range(states):
            top = joint[0] + transition[0, j]
            for i in range(1, states):
                top = max(top, joint[i] + transition[i, j])
            total = top * 0
            for i in range(states):
                total += np.exp(joint[i] + transition[i, j] - top)
            before[j] = top + np.log(total)
    return y


def hmm_filter_of_probabilities(initial: Any, transition: Any, seen: Any) -> Any:
    """Beliefs from probabilities, normed at each step; those below the least float are lost."""
    steps, states = seen.shape
    y = np.empty_like(seen)
    before = initial.copy()
    for t in range(steps):
        top = seen[t, 0]
        for j in range(states):
            top = max(top, seen[t, j])
        total = seen[t, 0] * 0
        for j in range(states):
            before[j] = before[j] * np.exp(seen[t, j] - top)
            total += before[j]
        for j in range(states):
            before[j] /= total
            y[t, j] = np.log(before[j])
        if t + 1 < steps:
            now = np.zeros_like(before)
            for i in range(states):
                for j in range(states):
                    now[j] += before[i] * transition[i, j]
            before = now
    return y


def viterbi(initial: Any, transition: Any, seen: Any) -> Any:
    """The path, by pointers."""
    steps, states = seen.shape
    pointers = np.zeros((steps, states), np.int32)
    score = initial + seen[0]
    for t in range(1, steps):
        now = np.empty_like(score)
        for j in range(states):
            best, where = score[0] + transition[0, j], 0
            for i in range(1, states):
                here = score[i] + transition[i, j]
                if here > best:
                    best, where = here, i
            now[j], pointers[t, j] = best + seen[t, j], where
        score = now - now.max()
    path = np.empty(steps, np.int32)
    path[-1] = np.argmax(score)
    for t in range(steps - 1, 0, -1):
        path[t - 1] = pointers[t, path[t]]
    return path


def tanh_states(weights: Any, x: Any) -> Any:
    y = np.empty_like(x)
    h = x[0] * 0
    for t in range(len(x)):
        h = np.tanh(np.dot(weights, h) + x[t])
        y[t] = h
    return y
